//! What the parts of one plan share: the inputs, and the needs and actions that come together.

use oneks_driver::{Action as DriverAction, DriverError, reason};
use serde::de::DeserializeOwned;

use crate::action::Action;
use crate::names::Names;
use crate::observed::{FailureKind, Need, Observed, Template, Vm};
use crate::plan::Desired;
use crate::plan::guest::Wanted;
use crate::status::{LastError, MAX_MESSAGE, Retry, Status};
use crate::text::shorten;

/// Shortest and longest time between two attempts after failures, seconds.
const RETRY: (u64, u64) = (30, 600);

/// The inputs of a plan and what comes of it.
pub(super) struct Context<'a> {
    pub desired: &'a Desired<'a>,
    pub observed: &'a Observed,
    pub now: u64,
    pub names: Names,
    pub needs: Vec<Need>,
    pub actions: Vec<Action>,
    pub wanted: Vec<Wanted>,
    /// What went wrong in this plan.
    errors: Vec<LastError>,
    /// Until when nothing new is created, after calls that failed.
    backing_off: Option<u64>,
}

/// A driver's answer, as far as it is there.
pub(super) enum Answer<T> {
    /// It was asked for; the plan can't go on without it.
    Waiting,
    /// Here it is.
    Given(T),
    /// The driver refused, or answered something else.
    Refused(DriverError),
}

impl<'a> Context<'a> {
    pub fn new(desired: &'a Desired<'a>, previous: &Status, observed: &'a Observed, now: u64) -> Self {
        let backing_off = previous.retry.as_ref().map(|r| r.not_before).filter(|&t| t > now);
        Self {
            desired,
            observed,
            now,
            names: Names::new(desired.document),
            needs: Vec::new(),
            actions: Vec::new(),
            wanted: Vec::new(),
            errors: Vec::new(),
            backing_off,
        }
    }

    /// Asks for a look, once.
    pub fn need(&mut self, need: Need) {
        if !self.needs.contains(&need) {
            self.needs.push(need);
        }
    }

    /// Are all of the owner's VMs in view? If not, asks for them.
    pub fn all_vms(&mut self) -> bool {
        if !self.observed.all_vms {
            self.need(Need::AllVms);
        }
        self.observed.all_vms
    }

    /// Was this VM looked for? If so, and it is not among those observed, it is gone.
    pub fn in_view(&self, id: u32) -> bool {
        self.observed.all_vms
            || self.observed.looked_for.contains(&id)
            || self.observed.vms.iter().any(|vm| vm.id == id)
    }

    /// Are the owner's VM templates in view? If not, asks for them.
    pub fn all_templates(&mut self) -> bool {
        if self.observed.templates.is_none() {
            self.need(Need::Templates);
        }
        self.observed.templates.is_some()
    }

    /// Are the owner's routers in view? If not, asks for them.
    pub fn all_routers(&mut self) -> bool {
        if self.observed.routers.is_none() {
            self.need(Need::Routers);
        }
        self.observed.routers.is_some()
    }

    /// The cluster's own VMs among those in view.
    pub fn vms(&self) -> Vec<&'a Vm> {
        self.observed
            .cluster_vms(self.desired.document, self.desired.owner.uid)
    }

    /// The cluster's own VM templates among those in view.
    pub fn templates(&self) -> Vec<&'a Template> {
        self.observed
            .cluster_templates(self.desired.document, self.desired.owner.uid)
    }

    /// Lets an action be done, unless it failed in this pass already or has to wait.
    pub fn act(&mut self, action: Action) {
        let waits = action.creates() && self.backing_off.is_some();
        if !waits && self.observed.failure(&action).is_none() && !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }

    /// Forgets the back-off: the user changed something, so another attempt is due.
    pub fn attempt_now(&mut self, status: &mut Status) {
        self.backing_off = None;
        status.retry = None;
    }

    /// Asks the driver.
    pub fn ask<T: DeserializeOwned>(&mut self, driver: &str, action: DriverAction) -> Answer<T> {
        match self.observed.answer(&action) {
            None => {
                self.need(Need::Driver {
                    driver: driver.to_owned(),
                    action: Box::new(action),
                });
                Answer::Waiting
            }
            Some(Err(error)) => Answer::Refused(error.clone()),
            Some(Ok(value)) => match T::deserialize(value) {
                Ok(answer) => Answer::Given(answer),
                Err(e) => Answer::Refused(DriverError::fatal(
                    reason::DRIVER_FAILED,
                    format!(
                        "the answer of driver {driver} to {} is not what it should be: {e}",
                        action.name()
                    ),
                )),
            },
        }
    }

    /// Keeps something that went wrong for the end of the plan.
    pub fn blame(&mut self, error: LastError) {
        self.errors.push(cut(error));
    }

    /// Keeps what went wrong: the cause for users, and the back-off for the next pass.
    pub fn settle_failures(&mut self, status: &mut Status) {
        // An object that is busy or gone is the ordinary course of things; the next look shows what became of it.
        let grave = |kind| !matches!(kind, FailureKind::WrongState | FailureKind::Gone);
        let failure = self.observed.failures.iter().rfind(|(_, f)| grave(f.kind));
        if let Some((action, failure)) = failure {
            let reason = failure.kind.reason();
            // While a call is repeated, it is the same trouble, whatever the words.
            let told = status.last_error.as_ref();
            let told = told.filter(|e| status.retry.is_some() && e.reason == reason);
            self.blame(LastError {
                reason: reason.to_owned(),
                message: format!("could not {}: {}", action.summary(), failure.message),
                object: action.object(),
                since: told.map_or(self.now, |e| e.since),
            });
            if status.retry.as_ref().is_none_or(|r| r.not_before <= self.now) {
                let count = status.retry.as_ref().map_or(0, |r| r.count).saturating_add(1);
                let pause = RETRY.0.saturating_mul(1 << (count - 1).min(10)).min(RETRY.1);
                let not_before = self.now.saturating_add(pause);
                status.retry = Some(Retry { count, not_before });
            }
        } else {
            let over = status.retry.as_ref().is_some_and(|r| r.not_before <= self.now);
            if over && !self.actions.iter().any(Action::creates) {
                status.retry = None;
            }
        }
        // Of several errors that persist, the one that users were told stays: one that changed with every pass would
        // be written with every pass.
        let told = status.last_error.as_ref();
        if self.errors.iter().any(|e| told.is_some_and(|t| same(t, e))) {
            return;
        }
        if let Some(error) = self.errors.pop() {
            status.note(self.now, format!("{}: {}", error.reason, error.message));
            status.last_error = Some(error);
        }
    }
}

/// The error with a message that can be stored.
pub(super) fn cut(error: LastError) -> LastError {
    LastError {
        message: shorten(error.message, MAX_MESSAGE),
        ..error
    }
}

fn same(a: &LastError, b: &LastError) -> bool {
    (&a.reason, &a.message, &a.object) == (&b.reason, &b.message, &b.object)
}
