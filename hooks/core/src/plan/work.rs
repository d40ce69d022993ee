//! Work on a group: how it begins, how long it may take, what is in its way, and how it fails.

use oneks_driver::VmCondition;

use crate::plan::context::{Context, cut};
use crate::plan::health::Trouble;
use crate::state::GroupState;
use crate::status::{Goal, Group, LastError, Status, Work};
use crate::text::shorten;

/// Starts work on a group.
pub(super) fn begin(group: &mut Group, now: u64, state: GroupState, goal: Goal, seconds: u64) {
    group.state = state;
    group.want = goal.replicas;
    group.goal = Some(goal);
    group.probe = None;
    group.error = None;
    for vm in &mut group.vms {
        vm.forgotten = None;
    }
    group.work = Some(Work {
        started: now,
        deadline: now.saturating_add(seconds),
        attempts: 0,
        before: group.vms.iter().map(|vm| vm.id).collect(),
        unsure: false,
        step: String::new(),
    });
}

/// How long work of this kind may take, seconds.
pub(super) fn time_limit(state: GroupState, goal: &Goal, from: u32) -> u64 {
    let nodes = u64::from(goal.replicas);
    match state {
        GroupState::Bootstrapping => 3600,
        GroupState::Upgrading => 1800 + 1200 * nodes,
        GroupState::Scaling => 1200 + 300 * u64::from(goal.replicas.abs_diff(from)),
        GroupState::Deprovisioning => 1800,
        _ => 1800 + 300 * nodes,
    }
}

/// Most bytes of the text that says what a group waits for.
const MAX_STEP: usize = 1000;

/// Says what a group waits for.
pub(super) fn wait(group: &mut Group, step: impl Into<String>) {
    if let Some(work) = &mut group.work {
        work.step = shorten(step, MAX_STEP);
    }
}

/// Ends work as failed, with the cause.
pub(super) fn fail(context: &mut Context<'_>, status: &mut Status, group_id: u32, error: LastError) {
    let error = cut(error);
    context.blame(error.clone());
    let Some(group) = group_mut(status, group_id) else {
        return;
    };
    group.state = group.state.failed();
    group.work = None;
    group.error = Some(error);
}

/// Ends work whose time is over. The cause is the last thing that went wrong, or what it waited for.
pub(super) fn check_deadline(context: &mut Context<'_>, status: &mut Status, group_id: u32) -> bool {
    let Some(group) = group_mut(status, group_id) else {
        return false;
    };
    let Some(work) = group.work.clone().filter(|w| w.deadline <= context.now) else {
        return false;
    };
    let minutes = work.deadline.saturating_sub(work.started) / 60;
    let key = group.key.clone();
    let router = group.router.iter().flat_map(|r| &r.vms);
    let bad = group
        .vms
        .iter()
        .chain(router)
        .find(|vm| vm.condition != VmCondition::Running);
    let seed = group
        .seed
        .as_ref()
        .filter(|_| group.state == GroupState::Bootstrapping);
    let object = bad.map(|vm| vm.id).or(seed.and_then(|s| s.vm));
    let object = object.map_or_else(|| format!("group {key}"), |id| format!("VM {id}"));
    let waited = if work.step.is_empty() {
        "waiting for its first step".to_owned()
    } else {
        work.step
    };
    let cause = status
        .last_error
        .as_ref()
        .filter(|e| e.since >= work.started)
        .map_or_else(String::new, |e| format!("; last error: {}", e.message));
    let error = LastError {
        reason: "DeadlineExceeded".to_owned(),
        message: format!(
            "group {key} was not done within {minutes} minutes; it was {waited}{cause}; RECOVER tries again"
        ),
        object: Some(object),
        since: context.now,
    };
    fail(context, status, group_id, error);
    true
}

pub(super) fn group_mut(status: &mut Status, id: u32) -> Option<&mut Group> {
    if status.control_plane.id == id {
        return Some(&mut status.control_plane);
    }
    status.node_groups.iter_mut().find(|g| g.id == id)
}

/// Says which VM stands in the way of the work on a group.
pub(super) fn hinder(context: &mut Context<'_>, group: &mut Group, (reason, message, object): Trouble) {
    if let Some(work) = &mut group.work
        && !work.step.contains(&message)
    {
        let step = if work.step.is_empty() {
            "waiting"
        } else {
            &work.step
        };
        work.step = format!("{step}; {message}");
    }
    context.blame(LastError {
        reason: reason.to_owned(),
        message,
        object,
        since: context.now,
    });
}

/// A driver's refusal in mid-life: kept as the cause, and tried again until the deadline.
pub(super) fn refuse(
    context: &mut Context<'_>,
    status: &mut Status,
    group_id: u32,
    reason: &str,
    message: String,
) {
    let Some(group) = group_mut(status, group_id) else {
        return;
    };
    wait(group, format!("stopped by the driver: {message}"));
    let object = Some(format!("group {}", group.key));
    context.blame(LastError {
        reason: reason.to_owned(),
        message,
        object,
        since: context.now,
    });
}
