//! Is a group at rest well? VMs come and go by themselves: health checks replace nodes, somebody powers one off. That
//! is a WARNING while it lasts, and never looks like a user's change.

use oneks_driver::VmCondition;

use crate::observed::{Kind, Vm};
use crate::plan::context::Context;
use crate::plan::converge::Progress;
use crate::plan::observe::observe;
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::work::group_mut;
use crate::plan::{rest, router, surplus};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Group, GroupVm, LastError, Status};

/// Attribute of a VM by which a driver without guests says for which version it was made.
pub(super) const VERSION_ATTRIBUTE: &str = "ONEKS_KUBERNETES_VERSION";

/// Notes the VMs that are in view. What is not in view and was not looked for stays as it was noted.
pub(super) fn refresh(context: &mut Context<'_>, status: &mut Status) {
    let vms = context.vms();
    let ids: Vec<u32> = status.groups().map(|g| g.id).collect();
    for id in ids {
        let Some(group) = group_mut(status, id) else {
            continue;
        };
        let kind = if group.is_control_plane() {
            Kind::ControlPlane
        } else {
            Kind::Node
        };
        let mut now: Vec<GroupVm> = Vec::new();
        for vm in &vms {
            let tag = vm.tag.as_ref();
            let of_group = tag.is_some_and(|t| t.kind == kind && t.group.is_none_or(|g| g == id));
            if of_group && (kind == Kind::ControlPlane || tag.is_some_and(|t| t.group.is_some())) {
                let old = group.vms.iter().find(|v| v.id == vm.id);
                if vm.condition != VmCondition::Ending {
                    let same = old.filter(|o| o.condition == vm.condition);
                    now.push(GroupVm {
                        ready: same.and_then(|o| o.ready),
                        forgotten: same.and_then(|o| o.forgotten),
                        version: vm
                            .reports
                            .get(VERSION_ATTRIBUTE)
                            .cloned()
                            .or_else(|| old.and_then(|o| o.version.clone())),
                        ..group_vm(vm)
                    });
                }
            }
        }
        now.extend(group.vms.iter().filter(|vm| !context.in_view(vm.id)).cloned());
        now.sort_by_key(|vm| vm.id);
        group.vms = now;
    }
    router::refresh(context, status);
}

/// A VM as the status notes it.
pub(super) fn group_vm(vm: &Vm) -> GroupVm {
    GroupVm {
        id: vm.id,
        name: vm.name.clone(),
        condition: vm.condition,
        ready: None,
        version: vm.reports.get(VERSION_ATTRIBUTE).cloned(),
        forgotten: None,
    }
}

/// While a cluster is paused: says how the groups are, and does nothing.
pub(super) fn watch(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let resting = |g: &&Group| matches!(g.state, GroupState::Running | GroupState::Warning);
    let ids: Vec<u32> = status.groups().filter(resting).map(|g| g.id).collect();
    for id in ids {
        step(context, status, spec, id);
    }
}

/// RUNNING or WARNING?
pub(super) fn step(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) {
    let now = context.now;
    let router = if status.control_plane.id == id {
        router::trouble(context, status)
    } else {
        None
    };
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let Some(group) = group_mut(status, id) else {
        return;
    };
    let Some(goal) = group.goal.clone() else { return };
    let mut trouble = vm_trouble(context, group, goal.replicas);
    if trouble.is_some() && !context.observed.all_vms && group.vms.len() < goal.replicas as usize {
        // A node that was replaced has a new id, and its event may have been lost.
        context.all_vms();
        return;
    }
    if let Some(surplus) = surplus::at_rest(context, status, spec, id) {
        trouble = Some(surplus);
    }
    if !context.needs.is_empty() {
        return;
    }
    let Some(group) = group_mut(status, id) else {
        return;
    };
    if trouble.is_some() {
        // A node that comes back has to be asked for again: that its VM runs doesn't make it ready.
        group.settled.clear();
        group.probe = None;
    } else {
        trouble = router;
    }
    if trouble.is_none() && guest && rest::is_unwell(group) {
        // From here on it is asked again until it is well.
        group.settled.clear();
    }
    let changed = group.nodes_changed() || group.vms.is_empty() != group.settled.is_empty();
    if trouble.is_none() && !changed && guest && !spec.paused {
        trouble = rest::ask(context, status, spec, id);
    } else if trouble.is_none() && changed {
        if guest {
            match ask_again(context, status, spec, id) {
                Some(Progress::Settled) => {}
                Some(_) => {
                    let group = group_mut(status, id);
                    trouble = group.map(|group| {
                        let said = group.probe.as_ref().and_then(|p| p.observation.message.clone());
                        let text = said.unwrap_or_else(|| {
                            "Kubernetes has not said yet that the nodes are ready".to_owned()
                        });
                        let node = group.vms.iter().find(|vm| vm.ready == Some(false));
                        ("NodeNotReady", text, node.map(|vm| format!("VM {}", vm.id)))
                    });
                }
                None => return,
            }
        }
        if trouble.is_none()
            && let Some(group) = group_mut(status, id)
        {
            group.settled = group.vms.iter().map(|vm| vm.id).collect();
        }
    }
    let Some(group) = group_mut(status, id) else {
        return;
    };
    match trouble {
        None => {
            group.state = GroupState::Running;
            group.error = None;
            group.asked = 0;
            if !guest {
                group.ready = goal.replicas;
            }
        }
        Some((reason, message, object)) => {
            let since = group
                .error
                .as_ref()
                .filter(|e| e.reason == reason)
                .map_or(now, |e| e.since);
            group.state = GroupState::Warning;
            group.ready = group.ready.min(u32::try_from(running(group)).unwrap_or(u32::MAX));
            group.error = Some(LastError {
                reason: reason.to_owned(),
                message,
                object,
                since,
            });
        }
    }
}

/// Reason, text for people, object.
pub(super) type Trouble = (&'static str, String, Option<String>);

fn running(group: &Group) -> usize {
    group
        .vms
        .iter()
        .filter(|vm| vm.condition == VmCondition::Running)
        .count()
}

/// What is wrong with the VMs of a group.
fn vm_trouble(context: &Context<'_>, group: &Group, want: u32) -> Option<Trouble> {
    let keeps = group.is_control_plane();
    if let Some(trouble) = group
        .vms
        .iter()
        .find_map(|vm| machine_trouble(context, vm, keeps))
    {
        return Some(trouble);
    }
    let there = group.vms.len();
    if there < want as usize {
        return Some(("NodeMissing", format!("{there} of {want} nodes are there"), None));
    }
    if there > want as usize {
        return Some((
            "NodeSurplus",
            format!("{there} nodes are there, {want} are wanted; one is being replaced"),
            None,
        ));
    }
    None
}

/// What is wrong with one VM. What failed is replaced, unless it `keeps` a part of the cluster's memory.
pub(super) fn machine_trouble(context: &Context<'_>, vm: &GroupVm, keeps: bool) -> Option<Trouble> {
    let seen = context.observed.vms.iter().find(|seen| seen.id == vm.id);
    let state = seen.map_or("unknown", |seen| seen.state.as_str());
    let why = seen.and_then(|seen| seen.error.as_deref());
    let cause = why.map_or_else(String::new, |why| format!(": {why}"));
    let (reason, text) = match vm.condition {
        VmCondition::Failed => {
            let way_out = if keeps {
                format!("an administrator can try again: onevm recover --retry {}", vm.id)
            } else {
                "RECOVER replaces it".to_owned()
            };
            ("VmFailure", format!("is in {state}{cause}; {way_out}"))
        }
        VmCondition::Down => ("VmDown", format!("is {state}; RECOVER starts it")),
        VmCondition::Starting if why.is_some() && state == "PENDING" => {
            ("Unschedulable", format!("finds no host{cause}"))
        }
        VmCondition::Starting => ("NodeStarting", format!("is on its way up, {state}{cause}")),
        VmCondition::Running | VmCondition::Ending => return None,
    };
    let text = format!("VM {} ({}) {text}", vm.id, vm.name);
    Some((reason, text, Some(format!("VM {}", vm.id))))
}

/// The first VM that stands in the way of what is under way. One that merely starts does not.
pub(super) fn obstacle(context: &Context<'_>, vms: &[GroupVm], keeps: bool) -> Option<Trouble> {
    vms.iter()
        .filter_map(|vm| machine_trouble(context, vm, keeps))
        .find(|(reason, ..)| *reason != "NodeStarting")
}

/// The nodes have changed since the group was last found settled: does Kubernetes say that they are ready?
fn ask_again(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) -> Option<Progress> {
    let group = group_mut(status, id)?.clone();
    let goal = group.goal.clone()?;
    let cluster = driver_cluster(context, status, spec)?;
    let asked = driver_group(context, &group, &goal, spec).ok()??;
    let progress = observe(context, status, spec, id, Box::new(cluster), Box::new(asked));
    context.needs.is_empty().then_some(progress)
}
