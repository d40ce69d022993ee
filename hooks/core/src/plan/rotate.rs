//! The cluster's credential: replaced when ROTATE orders it and before it ends, and at no moment is the one that the
//! cluster uses invalid.
//!
//! ```text
//!         make              hand over               revoke
//! ROTATE ─▶ one.user.login ─▶ a guest command ─▶ (grace) ─▶ one.user.login for the others ─▶ done
//! ```
//!
//! The new one counts as the cluster's as soon as it is made: texts that are made from then on carry it. The others are
//! revoked only after a command has ended well that hands over this very number and has itself seen it in use. Without
//! STATUS nobody knows how far that was; two valid credentials then mean that the newer one is handed over again.

use oneks_driver::{Action as DriverAction, Script};

use crate::action::Action;
use crate::observed::{Credentials, Need};
use crate::plan::context::{Answer, Context};
use crate::plan::guest::Wanted;
use crate::plan::lifetime::{LEAST_LIFE, half, life, renew_at, warn_at};
use crate::plan::request::{driver_cluster, driver_group};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{
    Credential, GuestExec, LastError, Purpose, Rotation, RotationStage, Status, Truth, recover_mark,
};

/// Condition: how the last rotation went.
pub(super) const ROTATED: &str = "CredentialRotated";

/// Condition: the credential ends soon, and nothing has replaced it.
pub(super) const EXPIRING: &str = "CredentialExpiring";

/// Seconds between the cluster's use of the new credential and the end of the old one. The cluster's controllers read
/// their Secret at the beginning of each turn; a turn takes seconds. One that lost its credential half-way would take a
/// machine's VM for gone and leave it behind.
const GRACE: u64 = 60;

/// How often a step is tried before it takes an order to go on.
const ATTEMPTS: u32 = 6;

/// Shortest and longest time between two attempts, seconds.
const PAUSE: (u64, u64) = (30, 600);

/// Seconds between two attempts with a credential that ends, after all the others failed.
const AGAIN: u64 = 3600;

/// Most login tokens that OpenNebula lets a user have.
const TOKENS: usize = 10;

/// Looks at ROTATE. Any token that is not the last one is an order. It lets a rotation go on whose steps failed; one
/// that has made its credential before the order came is followed by another.
///
/// With a status built anew nobody knows whether the order was carried out: it is carried out again, which costs one
/// more credential and harms nothing.
pub(super) fn order(context: &mut Context<'_>, status: &mut Status) {
    let order = context.desired.rotate.filter(|t| status.wants_rotation(t));
    let Some(token) = order.filter(|_| status.placed.is_some()) else {
        return;
    };
    if !able(status) {
        return not_able(context, status, token);
    }
    if !retry(status) {
        match status.rotation.as_ref().map(|r| r.stage) {
            None => {
                let why = "ROTATE: the cluster's credential is replaced";
                begin(status, context.now, why, RotationStage::Make);
            }
            Some(RotationStage::Make) => {}
            Some(_) => return,
        }
    }
    status.rotated = Some(recover_mark(token));
    context.attempt_now(status);
}

/// The driver hands over no credentials: is there one at all?
fn not_able(context: &mut Context<'_>, status: &mut Status, token: &str) {
    let mut known = status.credential.is_some();
    if !known {
        // After a loss of STATUS only OpenNebula knows.
        let Some(credentials) = look(context) else { return };
        known = !credentials.own.is_empty();
    }
    let driver = status.accepted.as_ref().map_or("", |s| s.driver.as_str());
    status.rotated = Some(recover_mark(token));
    if known {
        let message = format!(
            "driver {driver} can't hand a cluster another credential; the one that it has stays until the cluster is \
             deleted"
        );
        status.note(context.now, format!("ROTATE refused: {message}"));
        status.set_condition(context.now, ROTATED, Truth::False, "NotSupported", message);
    } else {
        let message = format!("clusters of driver {driver} have no credential: there is nothing to rotate");
        status.note(context.now, format!("ROTATE: {message}"));
        status.set_condition(context.now, ROTATED, Truth::True, "NothingToRotate", message);
    }
}

fn begin(status: &mut Status, now: u64, why: &str, stage: RotationStage) {
    status.note(now, why);
    status.set_condition(now, ROTATED, Truth::Unknown, "Rotating", why);
    status.rotation = Some(Rotation {
        started: now,
        stage,
        old: None,
        attempts: 0,
        not_before: 0,
        failed: false,
    });
}

/// Lets a rotation go on whose steps failed. False if there is none.
pub(super) fn retry(status: &mut Status) -> bool {
    let Some(rotation) = status.rotation.as_mut().filter(|r| r.attempts > 0) else {
        return false;
    };
    (rotation.attempts, rotation.not_before, rotation.failed) = (0, 0, false);
    true
}

/// Says that the credential ends soon, or has ended. Also while the cluster is paused.
pub(super) fn watch(context: &Context<'_>, status: &mut Status) {
    let now = context.now;
    let ending = status
        .credential_in_use()
        .filter(|c| warn_at(c).is_some_and(|at| at <= now))
        .cloned();
    let Some(credential) = ending else {
        status.clear_condition(EXPIRING);
        return;
    };
    let ended = credential.expires.is_some_and(|at| at <= now);
    let (reason, what) = if ended {
        (
            "Expired",
            "has ended: the cluster can neither make nor remove nodes and load balancers",
        )
    } else {
        ("Expiring", "ends soon: less than a sixth of its life is left")
    };
    let owner = &context.desired.owner.name;
    let way_out = if !able(status) {
        "its driver can't replace it; an administrator can let login tokens live longer (MAX_TOKEN_TIME in oned.conf) \
         for the next cluster"
            .to_owned()
    } else if life(&credential).is_some_and(|l| l < LEAST_LIFE) {
        format!(
            "login tokens of {owner} live too short a time to be replaced by themselves; an administrator can let them \
             live longer (MAX_TOKEN_TIME in oned.conf), then set ROTATE"
        )
    } else if status.rotation.as_ref().is_some_and(|r| r.attempts > 0) {
        format!("replacing it has failed, see {ROTATED}; mend the cause, then set ROTATE")
    } else if status.accepted.as_ref().is_some_and(|s| s.paused) {
        "it is replaced once SPEC no longer says paused".to_owned()
    } else {
        "it is being replaced".to_owned()
    };
    let message = format!(
        "credential {}, a login token of {owner}, {what}; {way_out}",
        credential.serial
    );
    if status.condition(EXPIRING).is_none_or(|c| c.reason != reason) {
        status.note(now, format!("credential {} {what}", credential.serial));
    }
    status.set_condition(now, EXPIRING, Truth::True, reason, message);
}

/// Brings a rotation one step further, and begins one before the credential ends.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let now = context.now;
    if !able(status) || !built(status) {
        return;
    }
    if status.credential.is_none() && status.rotation.is_none() {
        return rebuild(context, status);
    }
    let due = status
        .credential_in_use()
        .and_then(renew_at)
        .is_some_and(|at| at <= now);
    if due && status.rotation.is_none() {
        begin(
            status,
            now,
            "less than a third of the credential's life is left; it is replaced",
            RotationStage::Make,
        );
    }
    let Some(rotation) = status.rotation.clone() else {
        return;
    };
    if rotation.not_before > now || rotation.failed && !due {
        return;
    }
    match rotation.stage {
        RotationStage::Make => make(context, status),
        RotationStage::HandOver => hand_over(context, status, spec),
        RotationStage::Revoke { after } if after <= now => revoke(context, status),
        RotationStage::Revoke { .. } => {}
    }
}

/// With the status built anew: which credential is the cluster's?
fn rebuild(context: &mut Context<'_>, status: &mut Status) {
    let Some(credentials) = look(context) else { return };
    let now = context.now;
    match credentials.newest(now) {
        None => begin(
            status,
            now,
            "none of the cluster's credentials is valid; it gets another",
            RotationStage::Make,
        ),
        Some((serial, expires)) => {
            take(status, now, serial, expires);
            if credentials.valid(now).len() > 1 {
                let why =
                    "the credential was being replaced when STATUS was lost; the newest is handed over again";
                begin(status, now, why, RotationStage::HandOver);
            }
        }
    }
}

fn make(context: &mut Context<'_>, status: &mut Status) {
    let Some(credentials) = look(context) else { return };
    let now = context.now;
    let mut known = status.credential.as_ref().map(|c| c.serial);
    let newest = credentials.newest(now);
    // Made by a pass that did not get to note it.
    let made = newest.filter(|(serial, _)| match known {
        Some(known) => *serial > known,
        None => credentials.valid(now).len() > 1,
    });
    if let Some((serial, expires)) = made {
        // Without STATUS: the one before the newest.
        let before = || {
            let (serial, expires) = credentials.own.range(..serial).next_back()?;
            Some(Credential {
                serial: *serial,
                issued: now,
                expires: *expires,
            })
        };
        let old = status.credential_in_use().cloned().or_else(before);
        if let Some(rotation) = &mut status.rotation {
            rotation.old = old;
        }
        take(status, now, serial, expires);
        progress(
            status,
            now,
            RotationStage::HandOver,
            &format!("credential {serial} is made"),
        );
        return;
    }
    if let (None, Some((serial, expires))) = (known, newest) {
        take(status, now, serial, expires);
        known = Some(serial);
    }
    // A number that an earlier one had stands for the same token: it must not come to life again.
    let last = known.max(credentials.own.keys().next_back().copied());
    let serial = last.map_or_else(|| unused(now), |last| last.saturating_add(1));
    if credentials.tokens(now) >= TOKENS {
        let message = format!(
            "{} has {TOKENS} login tokens, the most that OpenNebula allows; remove one that nothing needs \
             (oneuser token-delete)",
            context.desired.owner.name
        );
        let error = cause(context, "TokenLimit", message, None);
        context.blame(error.clone());
        return failed(context, status, &error);
    }
    if let Some(error) = too_short(context) {
        context.blame(error.clone());
        return failed(context, status, &error);
    }
    call(context, status, Action::CreateCredential { serial });
}

/// One that was made in this pass and is not valid any more: another won't be either.
pub(super) fn too_short(context: &Context<'_>) -> Option<LastError> {
    let serial = context.observed.made.last()?;
    let owner = &context.desired.owner.name;
    let message = format!(
        "OpenNebula made credential {serial}, but it is not valid: login tokens of {owner} live too short a time \
         (MAX_TOKEN_TIME in oned.conf), or the clocks differ"
    );
    Some(cause(context, "TokenInvalid", message, None))
}

/// A number for a credential of a cluster whose earlier numbers nobody knows any more.
fn unused(now: u64) -> u32 {
    u32::try_from(now / 60).unwrap_or(u32::MAX)
}

fn hand_over(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let now = context.now;
    let under_way = is_handed_over(status);
    let Some(credential) = status.credential.clone().filter(|_| !under_way) else {
        return;
    };
    if credential
        .expires
        .is_some_and(|at| half(&credential).is_some_and(|l| at.saturating_sub(now) < l))
    {
        let why = format!(
            "credential {} has become old before it was used",
            credential.serial
        );
        return progress(status, now, RotationStage::Make, &why);
    }
    let script = match ask(context, status, spec) {
        Ok(script) => script,
        Err(None) => return,
        Err(Some(error)) => {
            context.blame(error.clone());
            return failed(context, status, &error);
        }
    };
    context.wanted.push(Wanted {
        purpose: Purpose::Rotate,
        group: status.control_plane.id,
        script,
        then: None,
        of: credential.serial.to_string(),
        delay: 0,
        wait: 0,
    });
}

/// The driver's script. `Err(None)` while answers are missing.
fn ask(context: &mut Context<'_>, status: &Status, spec: &Spec) -> Result<Script, Option<LastError>> {
    let group = &status.control_plane;
    let goal = group.goal.as_ref().ok_or(None)?;
    let cluster = driver_cluster(context, status, spec).ok_or(None)?;
    let asked = driver_group(context, group, goal, spec)
        .map_err(|message| cause(context, "ProfileUnusable", message, None))?
        .ok_or(None)?;
    let question = DriverAction::Rotate {
        cluster: Box::new(cluster),
        group: Box::new(asked),
    };
    match context.ask(&spec.driver, question) {
        Answer::Waiting => Err(None),
        Answer::Given(script) => Ok(script),
        Answer::Refused(e) => Err(Some(cause(context, &e.reason, e.message, None))),
    }
}

/// The command that hands a credential over has ended well.
pub(super) fn used(context: &Context<'_>, status: &mut Status, exec: &GuestExec) {
    let Some(serial) = status.credential.as_ref().map(|c| c.serial) else {
        return;
    };
    let waited_for = status
        .rotation
        .as_ref()
        .is_some_and(|r| r.stage == RotationStage::HandOver);
    // One that hands over an older number says nothing about this one.
    if waited_for && exec.script == serial.to_string() {
        if let Some(rotation) = &mut status.rotation {
            rotation.old = None;
        }
        let after = context.now.saturating_add(GRACE);
        let why = format!("the cluster uses credential {serial}");
        progress(status, context.now, RotationStage::Revoke { after }, &why);
    }
}

fn revoke(context: &mut Context<'_>, status: &mut Status) {
    let now = context.now;
    let (Some(credentials), Some(present)) = (look(context), status.credential.clone()) else {
        return;
    };
    let mut valid = credentials.valid(now);
    if !valid.remove(&present.serial) {
        let why = format!("credential {} was revoked by somebody else", present.serial);
        return progress(status, now, RotationStage::Make, &why);
    }
    if valid.is_empty() {
        let message = format!("credential {} is in use, and no other is valid", present.serial);
        status.note(now, format!("credential rotated: {message}"));
        status.set_condition(now, ROTATED, Truth::True, "Rotated", message);
        status.rotation = None;
        return;
    }
    for serial in valid {
        call(context, status, Action::RevokeCredential { serial });
    }
}

/// Makes a call, or counts that it failed.
fn call(context: &mut Context<'_>, status: &mut Status, action: Action) {
    let failure = context.observed.failure(&action);
    match failure.map(|f| {
        (
            f.kind.reason(),
            format!("could not {}: {}", action.summary(), f.message),
        )
    }) {
        Some((reason, message)) => {
            let error = cause(context, reason, message, None);
            failed(context, status, &error);
        }
        None => context.act(action),
    }
}

/// A step has failed: the next attempt comes later, and after the last one only by order.
pub(super) fn failed(context: &Context<'_>, status: &mut Status, error: &LastError) {
    let now = context.now;
    let Some(rotation) = &mut status.rotation else {
        return;
    };
    rotation.attempts = rotation.attempts.saturating_add(1);
    rotation.failed = rotation.attempts >= ATTEMPTS;
    let pause = if rotation.failed {
        AGAIN
    } else {
        PAUSE
            .0
            .saturating_mul(1 << (rotation.attempts - 1).min(10))
            .min(PAUSE.1)
    };
    rotation.not_before = now.saturating_add(pause);
    let next = if rotation.failed {
        "mend the cause, then set RECOVER or ROTATE"
    } else {
        "it is tried again"
    };
    let message = format!("{}; {next}", error.message);
    status.set_condition(now, ROTATED, Truth::False, &error.reason, message);
}

fn progress(status: &mut Status, now: u64, stage: RotationStage, why: &str) {
    if let Some(rotation) = &mut status.rotation {
        rotation.stage = stage;
        (rotation.attempts, rotation.not_before, rotation.failed) = (0, 0, false);
    }
    status.note(now, why);
    status.set_condition(now, ROTATED, Truth::Unknown, "Rotating", why);
}

/// What a rotation is waiting for, for people. Nothing if none is under way, or if it takes an order to go on.
pub(super) fn waits_for(status: &Status, now: u64) -> Option<String> {
    let paused = status.accepted.as_ref().is_none_or(|s| s.paused);
    let rotation = status.rotation.as_ref().filter(|r| !r.failed && !paused)?;
    let serial = status.credential.as_ref().map_or(0, |c| c.serial);
    Some(if !built(status) {
        "waiting for the control plane, to replace its credential".to_owned()
    } else if rotation.not_before > now {
        "waiting for the next attempt to replace the credential".to_owned()
    } else {
        match rotation.stage {
            RotationStage::Make => "making another credential".to_owned(),
            RotationStage::HandOver => {
                format!("waiting for a control-plane node to hand credential {serial} to the cluster")
            }
            RotationStage::Revoke { .. } => {
                format!("the cluster uses credential {serial}; the old one is revoked in a minute")
            }
        }
    })
}

/// When the clock alone gives the plan something to do for the credential, seconds since the epoch.
pub fn credential_look(status: &Status) -> Option<u64> {
    let credential = status.credential_in_use();
    if status.deletion.is_some() {
        return None;
    }
    let warned = status.condition(EXPIRING).is_some();
    let warn = credential.and_then(warn_at).filter(|_| !warned);
    let paused = status.accepted.as_ref().is_none_or(|s| s.paused);
    if paused || !able(status) || !built(status) {
        return warn;
    }
    let renew = credential.and_then(renew_at);
    let next = match &status.rotation {
        None => renew,
        Some(_) if is_handed_over(status) => None,
        Some(r) if r.failed => renew.map(|at| at.max(r.not_before)),
        Some(r) => match r.stage {
            RotationStage::Revoke { after } => Some(after.max(r.not_before)),
            _ => Some(r.not_before),
        },
    };
    warn.into_iter().chain(next).min()
}

/// Does a rotation wait for something that an event should tell: a node that takes commands?
pub fn rotation_waits(status: &Status) -> bool {
    let paused = status.accepted.as_ref().is_none_or(|s| s.paused);
    let stage = status.rotation.as_ref().filter(|r| !r.failed).map(|r| r.stage);
    let waits = stage.is_some_and(|s| !matches!(s, RotationStage::Revoke { .. }));
    waits && !paused && able(status) && built(status)
}

/// Is the command under way that hands a credential over?
fn is_handed_over(status: &Status) -> bool {
    let exec = status.guest_exec.as_ref();
    exec.is_some_and(|e| e.purpose == Purpose::Rotate)
}

fn able(status: &Status) -> bool {
    status.placed.as_ref().is_some_and(|p| p.capabilities.rotate)
}

/// Has the control plane been built, so that there is a cluster that uses a credential?
fn built(status: &Status) -> bool {
    use GroupState as G;
    matches!(
        status.control_plane.state,
        G::Running | G::Warning | G::Scaling | G::Upgrading | G::ScalingFailure | G::UpgradingFailure
    )
}

fn look<'a>(context: &mut Context<'a>) -> Option<&'a Credentials> {
    if context.observed.credentials.is_none() {
        context.need(Need::Credentials);
    }
    context.observed.credentials.as_ref()
}

/// This credential is the cluster's from now on.
pub(super) fn take(status: &mut Status, now: u64, serial: u32, expires: Option<u64>) {
    let same = status
        .credential
        .as_ref()
        .filter(|c| (c.serial, c.expires) == (serial, expires));
    let issued = same.map_or(now, |c| c.issued);
    status.credential = Some(Credential {
        serial,
        issued,
        expires,
    });
}

fn cause(context: &Context<'_>, reason: &str, message: String, object: Option<String>) -> LastError {
    LastError {
        reason: reason.to_owned(),
        message,
        object,
        since: context.now,
    }
}
