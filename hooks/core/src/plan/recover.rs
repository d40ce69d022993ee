//! RECOVER: what failed is tried again. A failed bootstrap is torn down and rebuilt; nothing else is.

use crate::plan::context::Context;
use crate::plan::guest;
use crate::plan::repair;
use crate::plan::rotate;
use crate::plan::work::{begin, group_mut, time_limit};
use crate::state::GroupState;
use crate::status::Status;

/// Tries again what has failed.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status) {
    let mut groups = Vec::new();
    let ids: Vec<u32> = status.groups().map(|g| g.id).collect();
    for id in ids {
        let Some(group) = group_mut(status, id) else {
            continue;
        };
        // A version that is not possible is corrected in SPEC, and looked at anew.
        let error = group.error.as_ref();
        let impossible = error.is_some_and(|e| e.reason == "VersionNotPossible");
        let goal = group.goal.clone().filter(|_| !impossible);
        let Some(goal) = goal.or_else(|| group.target.clone()) else {
            continue;
        };
        let action = group.state.failed_action();
        if action.is_none() && group.state != GroupState::Warning {
            continue;
        }
        repair::order(group, context.now);
        // Somebody may have removed them; they are looked for again.
        group.templates.clear();
        // The step that failed is done again even if its script seemed to have worked.
        group.applied = None;
        groups.push(group.key.clone());
        let Some(action) = action else {
            // Nothing is to be changed. What is stopped is started, what is missing made, and Kubernetes asked at once.
            group.probe = None;
            group.asked = 0;
            group.reset_attempts();
            continue;
        };
        let limit = time_limit(action, &goal, 0);
        group.teardown |= action == GroupState::Bootstrapping;
        begin(group, context.now, action, goal, limit);
        if let Some(work) = &mut group.work {
            // Some of its nodes may be new ones already; those are not to be replaced a second time. And a group of which
            // nobody ever knew the version has to be asked for it.
            let nameless = group.begun && group.version.is_none();
            work.unsure = impossible
                || action == GroupState::Upgrading
                || action == GroupState::Provisioning && nameless;
        }
    }
    if rotate::retry(status) {
        groups.push("the rotation of the credential".to_owned());
    }
    if groups.is_empty() {
        status.note(context.now, "RECOVER: nothing has failed");
    } else {
        guest::give_up(context, status);
        status.note(
            context.now,
            format!("RECOVER: {} is tried again", groups.join(", ")),
        );
    }
}

/// Is there an order that was not acted upon? Any token that is not the last one is. Notes it as acted upon.
pub(super) fn ordered(context: &mut Context<'_>, status: &mut Status) -> bool {
    let Some(token) = context.desired.recover.map(str::trim).filter(|t| !t.is_empty()) else {
        return false;
    };
    if status.has_recovered(token) {
        return false;
    }
    let first = status.rev == 0;
    status.recovered = Some(crate::status::recover_mark(token));
    context.attempt_now(status);
    status.refused = None;
    // With a status built anew the order is as old as the status that was lost.
    !first
}
