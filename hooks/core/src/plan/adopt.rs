//! Groups whose status was lost: they are there, and what they are is found out before anything is done to them.
//!
//! A group may be of the old version, of the new one, or in between. It goes on with the newest version that its nodes
//! have: nothing goes back, and nothing is upgraded before its turn.

use crate::plan::context::Context;
use crate::plan::work::{begin, group_mut, time_limit};
use crate::state::GroupState;
use crate::status::{Goal, Group, Status};
use crate::version::Version;

/// Lowest and highest version among the nodes of a group, as far as they are known.
pub(super) fn versions(group: &Group) -> Option<(Version, Version)> {
    let asked = group.probe.iter().flat_map(|p| &p.observation.nodes);
    let asked = asked.filter_map(|n| n.version.as_deref());
    let noted = group.vms.iter().filter_map(|vm| vm.version.as_deref());
    let all: Vec<Version> = asked.chain(noted).filter_map(Version::parse).collect();
    Some((*all.iter().min()?, *all.iter().max()?))
}

/// Takes up a node group that is there already.
pub(super) fn group(context: &Context<'_>, status: &mut Status, id: u32) {
    let Some(group) = group_mut(status, id) else {
        return;
    };
    let Some(goal) = group.target.clone() else { return };
    let limit = time_limit(GroupState::Provisioning, &goal, 0);
    begin(group, context.now, GroupState::Provisioning, goal, limit);
    if let Some(work) = &mut group.work {
        work.unsure = true;
    }
}

/// Is it still to be found out what the group is?
pub(super) fn is_unknown(group: &Group) -> bool {
    !group.is_control_plane()
        && group.state == GroupState::Provisioning
        && group.work.as_ref().is_some_and(|w| w.unsure)
}

/// Goes on with a group of which it is known now what it is; if there is no node to tell, with the control plane's version.
/// False if even that is not known yet.
pub(super) fn found_out(context: &Context<'_>, status: &mut Status, id: u32) -> bool {
    let of_control_plane = status.control_plane.version.clone();
    let Some(group) = group_mut(status, id) else {
        return false;
    };
    let Some(goal) = group.goal.clone() else {
        return false;
    };
    let (version, mixed) = match versions(group) {
        Some((lowest, highest)) => (Some(highest.to_string()), lowest != highest),
        None => (of_control_plane, false),
    };
    let Some(version) = version else {
        return false;
    };
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let Some(group) = group_mut(status, id) else {
        return false;
    };
    // With guests everything that the group is to be is told at once; virtual machines are replaced one by one.
    let state = if mixed && !guest {
        GroupState::Upgrading
    } else {
        GroupState::Provisioning
    };
    let goal = Goal { version, ..goal };
    let limit = if mixed {
        time_limit(GroupState::Upgrading, &goal, 0)
    } else {
        time_limit(state, &goal, 0)
    };
    let unsure = state == GroupState::Upgrading;
    begin(group, context.now, state, goal, limit);
    if let Some(work) = &mut group.work {
        work.unsure = unsure;
    }
    true
}
