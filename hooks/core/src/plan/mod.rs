//! The plan: what a cluster's next state is and what is to be done for it.
//!
//! [`plan`] is total, deterministic and pure. It gets the document, its status, what was looked at and the time; the
//! event that led to it is not among its arguments. Where it would have to guess, it asks for a look instead.
//!
//! ```text
//!                    ┌────────── needs ──────────┐
//!                    ▼                           │
//! document ──▶ Observed ──▶ plan(desired, status, observed, now) ──▶ actions ──▶ status
//!                    ▲                                                  │
//!                    └──────────────── absorb(outcome) ─────────────────┘
//! ```
//!
//! # Guarantees
//! - With needs there are no actions: nothing is done on half a picture.
//! - Before anything is created, all of the owner's objects of that kind were looked at.
//! - Planning again with the outcome absorbed ends: after finitely many rounds there is nothing left to do.

mod accept;
mod adopt;
mod bundle;
mod context;
mod control_plane;
mod converge;
mod delete;
mod enlist;
mod guest;
mod health;
mod lifetime;
mod news;
mod node_group;
mod observe;
mod outcome;
mod preflight;
mod recover;
mod repair;
mod request;
mod rest;
mod results;
mod rotate;
mod router;
mod seed;
mod stray_commands;
mod summary;
mod surplus;
mod templates;
mod work;

use oneks_driver::Owner;

use crate::action::Action;
use crate::observed::{Need, Observed};
use crate::state::GroupState;
use crate::status::{Status, Truth};

pub use accept::refusals;
use context::Context;
pub use delete::{Teardown, teardown};
pub use news::{Tidings, Told, is_news};
pub use outcome::{Outcome, absorb};
pub use rest::{next_probe, probe_is_due};
pub use rotate::{credential_look, rotation_waits};
pub use summary::{CLUSTER_RULES, Rule};
pub use templates::FINGERPRINT_ATTRIBUTE;

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired<'a> {
    /// The document's id.
    pub document: u32,
    /// Its name.
    pub name: &'a str,
    /// Its owner.
    pub owner: Owner,
    /// SPEC.
    pub spec: Option<&'a str>,
    /// RECOVER.
    pub recover: Option<&'a str>,
    /// ROTATE.
    pub rotate: Option<&'a str>,
    /// DELETE.
    pub delete: Option<&'a str>,
}

/// What comes next.
#[derive(Clone)]
pub struct Plan {
    /// The status as it will be.
    pub status: Status,
    /// What must be looked at first. If there is anything here, nothing else has happened.
    pub needs: Vec<Need>,
    /// What is to be done, in this order.
    pub actions: Vec<Action>,
}

/// Decides what comes next for one cluster.
pub fn plan(desired: &Desired<'_>, previous: &Status, observed: &Observed, now: u64) -> Plan {
    // Later than any clock can say; so that a pause can always be added.
    let now = now.min(u64::MAX / 2);
    let mut current = previous.clone();
    // Work that ends lets other work begin, and no event would tell: a step that changed something and has nothing to
    // do is followed by the next.
    for _ in 0..MAX_STEPS {
        let mut context = Context::new(desired, &current, observed, now);
        let mut status = current.clone();
        decide(&mut context, &mut status);
        context.settle_failures(&mut status);
        if !context.needs.is_empty() {
            return Plan {
                status: previous.clone(),
                needs: context.needs,
                actions: Vec::new(),
            };
        }
        summary::write(&context, &current, &mut status);
        if !context.actions.is_empty() {
            return Plan {
                status,
                needs: Vec::new(),
                actions: context.actions,
            };
        }
        let same = status.same_as(&current);
        current = status;
        if same {
            break;
        }
    }
    Plan {
        status: current,
        needs: Vec::new(),
        actions: Vec::new(),
    }
}

/// Most steps of one plan that change nothing but the status. A group has fewer states.
const MAX_STEPS: usize = 24;

/// After a pause: what waited has as much time left as it had before.
fn resume(context: &Context<'_>, status: &mut Status) {
    let Some(since) = status.condition("Paused").map(|c| c.since) else {
        return;
    };
    let paused = context.now.saturating_sub(since);
    for group in std::iter::once(&mut status.control_plane).chain(&mut status.node_groups) {
        if let Some(work) = &mut group.work {
            work.started = work.started.saturating_add(paused);
            work.deadline = work.deadline.saturating_add(paused);
        }
        if group.repair > 0 {
            group.repair = group.repair.saturating_add(paused);
        }
    }
    status.clear_condition("Paused");
}

fn decide(context: &mut Context<'_>, status: &mut Status) {
    if status.owner.is_some_and(|uid| uid != context.desired.owner.uid) {
        // The objects are the old owner's. To act as the new one would build everything a second time; to act as the
        // old one would do for a document's owner what only another user may.
        status.set_condition(
            context.now,
            "OwnerChanged",
            Truth::True,
            "OwnerChanged",
            format!(
                "the document belongs to {} now, but the cluster's objects to user {}; give it back (one.document.chown) \
                 and it goes on or can be deleted; for a cluster of another user's create another",
                context.desired.owner.name,
                status.owner.unwrap_or_default()
            ),
        );
        return;
    }
    status.clear_condition("OwnerChanged");

    delete::order(context, status);
    if status.deletion.is_some() {
        delete::step(context, status);
        return;
    }
    if context
        .observed
        .failures
        .iter()
        .any(|(a, _)| matches!(a, Action::StoreKubeconfig { .. }))
    {
        status.kubeconfig = false;
    }
    health::refresh(context, status);
    let recover = recover::ordered(context, status);
    accept::step(context, status);
    if status.accepted.is_some() && context.observed.all_vms {
        // A backup may have brought back a STATUS that doesn't know of a group, and with it a SPEC that hasn't it.
        enlist::enlist_remains(context, status);
    }
    // Groups that have just been listed have their VMs too.
    health::refresh(context, status);
    let Some(spec) = status.accepted.clone() else {
        return;
    };
    if recover {
        recover::step(context, status);
    }
    rotate::order(context, status);
    results::collect(context, status, &spec);
    if !context.needs.is_empty() {
        return;
    }
    rotate::watch(context, status);
    if spec.paused {
        status.set_condition(
            context.now,
            "Paused",
            Truth::True,
            "Paused",
            "SPEC says paused; nothing is started until it says otherwise",
        );
        health::watch(context, status, &spec);
        return;
    }
    resume(context, status);
    repair::machines(context, status);

    rotate::step(context, status, &spec);
    control_plane::step(context, status, &spec);
    node_group::steps(context, status, &spec);
    guest::dispatch(context, status);
    status.node_groups.retain(|g| g.state != GroupState::Done);
}
