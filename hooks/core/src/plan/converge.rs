//! Bringing a group to its goal: the driver's steps, one after another, then the question whether it is there.

use oneks_driver::{Action as DriverAction, Cluster, Group as DriverGroup, Script, Steps};

use crate::action::Action;
use crate::fingerprint;
use crate::observed::Vm;
use crate::plan::adopt;
use crate::plan::context::{Answer, Context};
use crate::plan::guest::Wanted;
use crate::plan::health::obstacle;
use crate::plan::observe::{kubeconfig, observe, probe_after};
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::surplus;
use crate::plan::templates;
use crate::plan::work::{group_mut, hinder, refuse, wait};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Group, Purpose, Status};

/// How far a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its steps are not carried out yet.
    Working,
    /// Its steps are carried out, but it is not what its goal says.
    Carried,
    /// It is what its goal says.
    Settled,
}

/// One step of work on a group. `Settled` if there is nothing left to do.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status, spec: &Spec, group_id: u32) -> Progress {
    let progress = go_on(context, status, spec, group_id);
    if progress != Progress::Settled
        && let Some(group) = group_mut(status, group_id)
        && let Some(trouble) = obstacle(context, &group.vms, group.is_control_plane())
    {
        hinder(context, group, trouble);
    }
    progress
}

/// The driver's steps for the group's state, one after another.
fn go_on(context: &mut Context<'_>, status: &mut Status, spec: &Spec, group_id: u32) -> Progress {
    let Some(group) = group_mut(status, group_id).map(|g| g.clone()) else {
        return Progress::Working;
    };
    let Some(goal) = group.goal.clone() else {
        return Progress::Working;
    };
    let Some(cluster) = driver_cluster(context, status, spec) else {
        return Progress::Working;
    };
    let asked = match driver_group(context, &group, &goal, spec) {
        Ok(Some(asked)) => asked,
        Ok(None) => return Progress::Working,
        Err(message) => {
            refuse(context, status, group_id, "ProfileUnusable", message);
            return Progress::Working;
        }
    };
    let (cluster, asked) = (Box::new(cluster), Box::new(asked));
    if adopt::is_unknown(&group) {
        return find_out(context, status, spec, &group, cluster, asked);
    }
    let question = match group.state {
        GroupState::Scaling => DriverAction::Scale {
            cluster: cluster.clone(),
            group: asked.clone(),
        },
        GroupState::Upgrading => DriverAction::Upgrade {
            cluster: cluster.clone(),
            group: asked.clone(),
        },
        GroupState::Deprovisioning => DriverAction::Deprovision {
            cluster: cluster.clone(),
            group: asked.clone(),
        },
        _ => DriverAction::Provision {
            cluster: cluster.clone(),
            group: asked.clone(),
        },
    };
    let steps: Steps = match context.ask(&spec.driver, question) {
        Answer::Waiting => return Progress::Working,
        Answer::Given(steps) => steps,
        Answer::Refused(e) => {
            refuse(context, status, group_id, &e.reason, e.message);
            return Progress::Working;
        }
    };
    let carried = carry_out(context, status, group_id, &steps);
    if carried && group.state == GroupState::Deprovisioning {
        let progress = gone(context, status, group_id, &steps.obsolete_templates);
        if progress != Progress::Settled && context.needs.is_empty() {
            surplus::of_removed(context, status, spec, group_id, cluster, asked);
        }
        return progress;
    }
    let kept = !group.is_control_plane() || status.kubeconfig;
    if !carried || !kept && !kubeconfig(context, status, spec, &cluster, &asked) {
        if group.state != GroupState::Deprovisioning {
            probe_after(context, status, spec, group_id, cluster, asked);
        }
        return Progress::Working;
    }
    match observe(context, status, spec, group_id, cluster, asked) {
        Progress::Settled if !templates::obsolete(context, status, group_id, &steps.obsolete_templates) => {
            Progress::Carried
        }
        progress => progress,
    }
}

/// Nothing is done to a group whose status was lost until it is known what it is.
fn find_out(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    group: &Group,
    cluster: Box<Cluster>,
    asked: Box<DriverGroup>,
) -> Progress {
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    if !guest || group.probe.is_none() {
        let progress = observe(context, status, spec, group.id, cluster, asked);
        if guest || progress != Progress::Carried {
            return progress;
        }
    }
    if !adopt::found_out(context, status, group.id)
        && let Some(group) = group_mut(status, group.id)
    {
        wait(group, "waiting for the control plane's version to be known");
    }
    Progress::Working
}

/// Is a group that was removed gone, templates and all? They go when no VM is left that could be made from them.
fn gone(context: &mut Context<'_>, status: &mut Status, group_id: u32, templates: &[String]) -> Progress {
    if !context.all_vms() {
        return Progress::Carried;
    }
    let Some(group) = group_mut(status, group_id) else {
        return Progress::Carried;
    };
    if !group.vms.is_empty() {
        let text = format!("waiting for {} virtual machines to end", group.vms.len());
        wait(group, text);
        return Progress::Carried;
    }
    if templates::obsolete(context, status, group_id, templates) {
        Progress::Settled
    } else {
        Progress::Carried
    }
}

/// Carries out a driver's steps. True if all of them are done.
pub(super) fn carry_out(
    context: &mut Context<'_>,
    status: &mut Status,
    group_id: u32,
    steps: &Steps,
) -> bool {
    if !templates::ensure(context, status, group_id, &steps.templates) {
        return false;
    }
    let mut done = true;
    if !steps.vms.is_empty() {
        if !context.all_vms() {
            return false;
        }
        let alive: Vec<&Vm> = context.vms();
        for vm in &steps.vms {
            let there = alive
                .iter()
                .any(|v| v.name == vm.name && v.condition != oneks_driver::VmCondition::Ending);
            if !there {
                context.act(Action::AllocateVm { vm: vm.clone() });
                done = false;
            }
        }
        if !done && let Some(group) = group_mut(status, group_id) {
            wait(group, format!("making {} virtual machines", steps.vms.len()));
        }
    }
    for id in &steps.remove {
        let Some(group) = group_mut(status, group_id) else {
            break;
        };
        if let Some(vm) = group.vms.iter().find(|vm| vm.id == *id) {
            let (id, name) = (vm.id, vm.name.clone());
            // What STATUS notes proves nothing: it may be anybody's writing.
            if context.vms().iter().all(|vm| vm.id != id) {
                context.all_vms();
                done = false;
                continue;
            }
            wait(group, format!("removing VM {id} ({name})"));
            context.act(Action::TerminateVm { id, name });
            done = false;
        }
    }
    if !done {
        return false;
    }
    steps
        .script
        .as_ref()
        .is_none_or(|script| script_done(context, status, group_id, script))
}

/// Runs a script once; true if it was run with success.
fn script_done(context: &mut Context<'_>, status: &mut Status, group_id: u32, script: &Script) -> bool {
    let print = fingerprint::of_text(&script.text);
    let Some(group) = group_mut(status, group_id) else {
        return false;
    };
    if group.applied.as_ref() == Some(&print) {
        return true;
    }
    let attempts = group.attempts();
    wait(group, "waiting for a control-plane node to carry out the change");
    let delay = if attempts == 0 {
        0
    } else {
        (10 << attempts.min(4)).min(120)
    };
    context.wanted.push(Wanted {
        purpose: Purpose::Apply,
        group: group_id,
        script: script.clone(),
        then: None,
        of: print,
        delay,
        wait: 0,
    });
    false
}

#[cfg(test)]
mod tests {
    use oneks_driver::{Owner, VmCondition};

    use super::*;
    use crate::observed::{Need, Observed};
    use crate::plan::Desired;
    use crate::status::GroupVm;

    /// Whoever may write STATUS could name anybody's VMs in it.
    #[test]
    fn a_vm_that_only_the_status_names_is_not_removed() {
        let desired = Desired {
            document: 24,
            name: "demo",
            owner: Owner {
                uid: 3,
                name: "alice".to_owned(),
            },
            spec: None,
            recover: None,
            rotate: None,
            delete: None,
        };
        let mut status = Status::new(24);
        status.control_plane.vms = vec![GroupVm {
            id: 77,
            name: "oneks-24-x".to_owned(),
            condition: VmCondition::Running,
            ready: None,
            version: None,
            forgotten: None,
        }];
        let steps = Steps {
            remove: vec![77],
            ..Steps::default()
        };
        for all_vms in [false, true] {
            let observed = Observed {
                all_vms,
                ..Observed::default()
            };
            let mut context = Context::new(&desired, &status, &observed, 1000);
            let id = status.control_plane.id;
            assert!(!carry_out(&mut context, &mut status.clone(), id, &steps));
            assert!(context.actions.is_empty(), "{:?}", context.actions);
            assert_eq!(context.needs.contains(&Need::AllVms), !all_vms);
        }
    }
}
