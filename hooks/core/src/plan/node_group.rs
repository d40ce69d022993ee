//! Node groups, and what they share with the control plane once that runs: when work begins and how it ends.
//!
//! At most one change is under way in a group; groups change side by side. Upgrades are the exception: the control
//! plane first, then one group after another, each when the last is settled.

use crate::action::Action;
use crate::observed::Template;
use crate::plan::adopt;
use crate::plan::context::Context;
use crate::plan::converge::{self, Progress};
use crate::plan::health;
use crate::plan::repair;
use crate::plan::work::{begin, check_deadline, group_mut, time_limit};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Goal, Group, Status};

/// One step of every node group.
pub(super) fn steps(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let ids: Vec<u32> = status.node_groups.iter().map(|g| g.id).collect();
    for id in ids {
        step(context, status, spec, id);
    }
}

fn step(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) {
    // A control plane that is being built again ends everything else first.
    let built = !matches!(
        status.control_plane.state,
        GroupState::Pending | GroupState::Bootstrapping | GroupState::BootstrappingFailure
    );
    let control_plane_lives = status.provisioned && built
        || matches!(
            status.control_plane.state,
            GroupState::Running | GroupState::Warning | GroupState::Scaling | GroupState::Upgrading
        );
    let guest = status.guest_exec.as_ref().is_some_and(|e| e.group == id);
    let Some(group) = group_mut(status, id) else {
        return;
    };
    let state = group.state;
    let key = group.key.clone();
    if group.removed && !group.begun && !guest {
        remove_unbegun(context, status, id);
    } else if group.removed
        && state != GroupState::Deprovisioning
        && state != GroupState::DeprovisioningFailure
    {
        let goal = group
            .goal
            .clone()
            .or_else(|| group.target.clone())
            .unwrap_or(Goal {
                replicas: 0,
                version: spec.kubernetes_version.clone(),
                nodes: String::new(),
            });
        let goal = Goal { replicas: 0, ..goal };
        let limit = time_limit(GroupState::Deprovisioning, &goal, 0);
        begin(group, context.now, GroupState::Deprovisioning, goal, limit);
    }
    // A group of the same name that is being removed has the same objects.
    let free = !status
        .node_groups
        .iter()
        .any(|g| g.id != id && g.key == key && g.removed);
    let Some(group) = group_mut(status, id) else {
        return;
    };
    match group.state {
        GroupState::Pending if control_plane_lives && free && group.begun => {
            adopt::group(context, status, id);
            work(context, status, spec, id);
        }
        GroupState::Pending if control_plane_lives && free => {
            // A kubelet may not be newer than the API server.
            let (Some(goal), Some(version)) = (group.target.clone(), status.control_plane.version.clone())
            else {
                return;
            };
            let goal = Goal { version, ..goal };
            let limit = time_limit(GroupState::Provisioning, &goal, 0);
            if let Some(group) = group_mut(status, id) {
                begin(group, context.now, GroupState::Provisioning, goal, limit);
            }
            work(context, status, spec, id);
        }
        GroupState::Provisioning
        | GroupState::Scaling
        | GroupState::Upgrading
        | GroupState::Deprovisioning
            if built =>
        {
            retarget(context, status, id);
            if !check_deadline(context, status, id) {
                work(context, status, spec, id);
            }
        }
        GroupState::Running | GroupState::Warning => next_work(context, status, spec, id),
        _ => {}
    }
}

/// A group that is removed before Kubernetes has heard of it: without VMs there is nothing to run a script for.
fn remove_unbegun(context: &mut Context<'_>, status: &mut Status, id: u32) {
    let (vms, templates) = (context.all_vms(), context.all_templates());
    let Some(group) = group_mut(status, id) else {
        return;
    };
    if !vms || !templates {
        return;
    }
    if !group.vms.is_empty() {
        group.begun = true;
        return;
    }
    let ours = |t: &&Template| {
        group.templates.contains_key(&t.name) || t.tag.as_ref().is_some_and(|t| t.group == Some(id))
    };
    let left: Vec<&Template> = context.templates().into_iter().filter(ours).collect();
    group.state = if left.is_empty() {
        GroupState::Done
    } else {
        GroupState::Deprovisioning
    };
    group.work = None;
    for template in left {
        context.act(Action::DeleteTemplate {
            id: template.id,
            name: template.name.clone(),
        });
    }
}

fn work(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) {
    if converge::step(context, status, spec, id) == Progress::Settled
        && let Some(group) = group_mut(status, id)
    {
        settle(group);
    }
}

/// A new target while one is under way simply replaces it, as far as the work is of that kind.
pub(super) fn retarget(context: &Context<'_>, status: &mut Status, id: u32) {
    let Some(group) = group_mut(status, id) else {
        return;
    };
    let (Some(goal), Some(target)) = (group.goal.clone(), group.target.clone()) else {
        return;
    };
    let sizes = matches!(group.state, GroupState::Provisioning | GroupState::Scaling);
    if sizes && (goal.replicas, &goal.nodes) != (target.replicas, &target.nodes) {
        let new = Goal {
            replicas: target.replicas,
            nodes: target.nodes,
            version: goal.version,
        };
        // The seed has been told the old size; only a change of size tells the control plane another.
        let state = if group.is_control_plane() {
            GroupState::Scaling
        } else {
            group.state
        };
        let limit = time_limit(group.state, &new, goal.replicas);
        let unsure = group.work.as_ref().is_some_and(|w| w.unsure);
        begin(group, context.now, state, new, limit);
        if let Some(work) = &mut group.work {
            work.unsure = unsure && state != GroupState::Scaling;
        }
        return;
    }
    // An upgrade can be taken back, or aim elsewhere, while every node is still the old one.
    let first = group.is_control_plane() && group.state == GroupState::Upgrading && !group.nodes_changed();
    if first && goal.version != target.version {
        let back = group.version.as_ref() == Some(&target.version);
        let new = Goal {
            version: target.version,
            ..goal
        };
        let limit = time_limit(group.state, &new, 0);
        begin(group, context.now, GroupState::Upgrading, new, limit);
        if let Some(work) = &mut group.work {
            work.unsure = back;
        }
    }
}

/// The group is what its goal says.
pub(super) fn settle(group: &mut Group) {
    if group.state == GroupState::Deprovisioning {
        group.state = GroupState::Done;
        return;
    }
    group.state = GroupState::Running;
    group.settled = group.vms.iter().map(|vm| vm.id).collect();
    if let Some(goal) = &group.goal {
        group.want = goal.replicas;
        group.version = Some(goal.version.clone());
        if group.probe.is_none() {
            group.ready = goal.replicas;
        }
    }
    group.work = None;
    group.error = None;
    group.failed_commands = 0;
    group.asked = 0;
}

/// A group that is at rest: is there something to do, and is it well?
pub(super) fn next_work(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) {
    let now = context.now;
    let may_upgrade = upgrade_turn(status, id);
    let Some(group) = group_mut(status, id) else {
        return;
    };
    let (Some(target), Some(goal)) = (group.target.clone(), group.goal.clone()) else {
        return;
    };
    let next = if (target.replicas, &target.nodes) != (goal.replicas, &goal.nodes) {
        let new = Goal {
            replicas: target.replicas,
            nodes: target.nodes,
            version: goal.version.clone(),
        };
        Some((GroupState::Scaling, new))
    } else if target.version != goal.version && may_upgrade {
        Some((
            GroupState::Upgrading,
            Goal {
                version: target.version,
                ..goal.clone()
            },
        ))
    } else {
        None
    };
    let Some((state, new)) = next else {
        repair::nodes(context, status, spec, id);
        health::step(context, status, spec, id);
        return;
    };
    let limit = time_limit(state, &new, goal.replicas);
    begin(group, now, state, new, limit);
    work(context, status, spec, id);
}

/// Is it this group's turn to be upgraded? After the control plane, and after every group in front of it.
fn upgrade_turn(status: &Status, id: u32) -> bool {
    let ready = |g: &Group| {
        g.state == GroupState::Running
            && g.target.as_ref().map(|t| &t.version) == g.goal.as_ref().map(|t| &t.version)
    };
    status
        .groups()
        .take_while(|g| g.id != id)
        .all(|g| g.removed || ready(g))
}
