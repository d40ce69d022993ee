//! More virtual machines than nodes are wanted, for long: something has forgotten one, and nobody else will end it.
//!
//! With guests it is Cluster API that makes and ends nodes. Where its provider can't look a VM up as it deletes the
//! machine, it takes it for gone: the machine goes, the VM stays. Such a VM is ended here, as its owner, and only if
//! - two questions, ten minutes apart, found neither machine nor node of it anywhere in Kubernetes, and no answer between
//!   them found anything else;
//! - both times the group was what it is to be, with every wanted node ready on a VM that is there; or it was removed to
//!   its last machine;
//! - nothing has happened to the VM meanwhile, and nothing was begun in the group;
//! - tag, owner and name say now that it is the group's;
//! - of a control plane, a newer VM is among the nodes: who asks a node that was left behind, and answers from what it
//!   knew, must not be led to the one that took its place.
//!
//! Cluster API makes a machine before its VM, and a question names VMs that are there. So one that is only about to join
//! is never among those that nothing stands for.
//!
//! Without guests the hooks themselves make and end nodes. Then SPEC decides how many, and the driver which.

use oneks_driver::{Action as DriverAction, Cluster, Group as DriverGroup, Observation, Steps, VmCondition};

use crate::action::Action;
use crate::plan::context::{Answer, Context};
use crate::plan::converge::carry_out;
use crate::plan::guest::Wanted;
use crate::plan::health::Trouble;
use crate::plan::observe::{ask_script, is_on, knows_no_others, probe_order};
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::rest;
use crate::plan::work::{group_mut, wait};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Forgotten, Group, GroupVm, Purpose, Status};

/// Seconds for which there must be too many VMs before Kubernetes is asked about them, and between two questions: as a
/// rule one is being replaced.
const DOUBT: u64 = 300;

/// Seconds between the two questions that condemn a VM, and for which the last is believed. Without guests: for which
/// there must be too many.
const PATIENCE: u64 = 600;

/// Seconds without an answer after which the first question is asked anew.
const SILENCE: u64 = 1800;

/// There are more than are wanted.
const SURPLUS: &str = "NodeSurplus";

/// Nothing in Kubernetes stands for one of them.
const FORGOTTEN: &str = "NodeForgotten";

/// Takes down which VMs an answer found nothing of.
pub(super) fn note(group: &mut Group, seen: &Observation, current: bool, issued: u64, now: u64) {
    let certain = current
        && knows_no_others(group, seen)
        && (seen.settled || group.state == GroupState::Deprovisioning);
    for vm in &mut group.vms {
        let listed = seen
            .nodes
            .iter()
            .any(|node| is_on(node, vm) || node.name == vm.name);
        let said = seen.forgotten.iter().flatten().any(|id| *id == vm.id);
        // Nobody knows what was in a long silence.
        let before = vm.forgotten.filter(|f| now <= f.again.saturating_add(SILENCE));
        vm.forgotten = (certain && said && !listed).then(|| Forgotten {
            since: before.map_or(now, |f| f.since),
            again: issued,
        });
    }
}

/// What is wrong with a group at rest that has more VMs than it should, and what is done about it.
pub(super) fn at_rest(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    id: u32,
) -> Option<Trouble> {
    let group = group_mut(status, id)?.clone();
    let want = group.goal.as_ref()?.replicas as usize;
    if spec.paused || group.vms.len() <= want {
        return None;
    }
    if !status.placed.as_ref().is_some_and(|p| p.capabilities.guest) {
        return by_driver(context, status, spec, &group);
    }
    let began = group.error.as_ref().map_or(context.now, |e| e.since);
    if is_due(&group, began, group.asked, context.now) {
        rest::want(context, status, spec, &group, 0);
    }
    end(context, status, &group, group.vms.len() - want);
    let vm = group.vms.iter().find(|vm| vm.forgotten.is_some())?;
    Some((FORGOTTEN, tell(&group, vm), Some(format!("VM {}", vm.id))))
}

/// Sees to VMs of a removed group that don't end.
pub(super) fn of_removed(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    id: u32,
    cluster: Box<Cluster>,
    asked: Box<DriverGroup>,
) {
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let Some(group) = group_mut(status, id).filter(|_| guest).map(|g| g.clone()) else {
        return;
    };
    let began = group.work.as_ref().map_or(context.now, |w| w.started);
    let last = group.probe.as_ref().map_or(0, |p| p.at);
    if is_due(&group, began, last, context.now) {
        let of = probe_order(&group);
        let probe = DriverAction::Probe {
            cluster,
            group: asked,
            wait: 0,
        };
        if let Answer::Given(script) = ask_script(context, status, spec, id, probe) {
            let delay = match group.attempts() {
                0 => 0,
                n => (10 << n.min(4)).min(120),
            };
            context.wanted.push(Wanted {
                purpose: Purpose::Probe,
                group: id,
                script,
                then: None,
                of,
                delay,
                wait: 0,
            });
        }
    }
    end(context, status, &group, group.vms.len());
    if let Some(vm) = group.vms.iter().find(|vm| vm.forgotten.is_some())
        && let Some(working) = group_mut(status, id)
    {
        let count = group.vms.len();
        wait(
            working,
            format!(
                "waiting for {count} virtual machines to end; {}",
                tell(&group, vm)
            ),
        );
    }
}

/// Is it time to ask?
fn is_due(group: &Group, began: u64, last: u64, now: u64) -> bool {
    let suspected = group.vms.iter().filter_map(|vm| vm.forgotten).map(|f| f.since);
    let next = suspected.min().map_or(began.saturating_add(DOUBT), |since| {
        since.saturating_add(PATIENCE)
    });
    now >= next && now >= last.saturating_add(DOUBT)
}

/// Ends what was forgotten, `most` at once.
fn end(context: &mut Context<'_>, status: &mut Status, group: &Group, most: usize) {
    let seen = context.vms();
    let is_ripe = |vm: &&GroupVm| is_ripe(vm, context.now) && !is_newest(group, vm);
    let ripe: Vec<&GroupVm> = group.vms.iter().filter(is_ripe).take(most).collect();
    for vm in ripe {
        let (id, name) = (vm.id, vm.name.clone());
        // What STATUS notes proves nothing: it may be anybody's writing.
        let Some(there) = seen.iter().find(|vm| vm.id == id) else {
            context.all_vms();
            continue;
        };
        let old = vm.forgotten.is_some_and(|f| there.created < f.since);
        let action = Action::TerminateVm { id, name };
        if !old || there.condition == VmCondition::Ending || context.observed.failure(&action).is_some() {
            continue;
        }
        context.act(action);
        let text = format!(
            "group {}: VM {id} ({}) is ended: Cluster API has forgotten it, nothing in Kubernetes stands for it",
            group.key, vm.name
        );
        if status.history.iter().all(|entry| entry.text != text) {
            status.note(context.now, text);
        }
    }
}

fn is_ripe(vm: &GroupVm, now: u64) -> bool {
    vm.forgotten.is_some_and(|f| {
        f.again >= f.since.saturating_add(PATIENCE)
            && now >= f.again
            && now <= f.again.saturating_add(PATIENCE)
    })
}

/// Is it of the control plane, and none of those that Kubernetes knows newer?
fn is_newest(group: &Group, vm: &GroupVm) -> bool {
    let newer = |other: &GroupVm| other.id > vm.id && other.forgotten.is_none();
    group.is_control_plane() && !group.vms.iter().any(newer)
}

fn tell(group: &Group, vm: &GroupVm) -> String {
    let found = format!(
        "VM {} ({}) has neither machine nor node in Kubernetes",
        vm.id, vm.name
    );
    if is_newest(group, vm) {
        return format!(
            "{found}, but it is the newest of the control plane and is not ended by itself; if it is not needed, its \
             owner ends it: onevm terminate --hard {}",
            vm.id
        );
    }
    format!(
        "{found} and nothing is under way that would end it: Cluster API has forgotten it; if {} minutes later that is \
         so again, it is ended",
        PATIENCE / 60
    )
}

/// Without guests: what SPEC doesn't want is removed after a while, in which it can still be said otherwise.
fn by_driver(context: &mut Context<'_>, status: &mut Status, spec: &Spec, group: &Group) -> Option<Trouble> {
    let goal = group.goal.as_ref()?;
    let (there, want) = (group.vms.len(), goal.replicas as usize);
    let text = format!(
        "{there} nodes are there, {want} are wanted; after {} minutes those that are too many are removed",
        PATIENCE / 60
    );
    let trouble = Some((SURPLUS, text, None));
    let told = group.error.as_ref().filter(|e| e.reason == SURPLUS);
    if told.is_none_or(|e| context.now < e.since.saturating_add(PATIENCE)) {
        return trouble;
    }
    let cluster = driver_cluster(context, status, spec)?;
    let Ok(Some(asked)) = driver_group(context, group, goal, spec) else {
        return trouble;
    };
    let question = DriverAction::Scale {
        cluster: Box::new(cluster),
        group: Box::new(asked),
    };
    if let Answer::Given(steps) = context.ask::<Steps>(&spec.driver, question) {
        let remove: Vec<u32> = steps.remove.into_iter().take(there - want).collect();
        for vm in group.vms.iter().filter(|vm| remove.contains(&vm.id)) {
            let text = format!(
                "group {}: VM {} ({}) is removed: {want} nodes are wanted",
                group.key, vm.id, vm.name
            );
            if status.history.iter().all(|entry| entry.text != text) {
                status.note(context.now, text);
            }
        }
        let steps = Steps {
            remove,
            ..Steps::default()
        };
        carry_out(context, status, group.id, &steps);
    }
    trouble
}

#[cfg(test)]
mod tests {
    use oneks_driver::Node;

    use super::*;

    fn group() -> Group {
        let mut group = Group::new(24001, "a", "oneks-24-a".to_owned());
        group.state = GroupState::Running;
        group.vms = [7, 8]
            .map(|id| GroupVm {
                id,
                name: format!("oneks-24-a-{id}"),
                condition: VmCondition::Running,
                ready: None,
                version: None,
                forgotten: None,
            })
            .into();
        group
    }

    fn node(name: &str, vm: Option<u32>) -> Node {
        Node {
            name: name.to_owned(),
            vm,
            ready: true,
            version: None,
        }
    }

    /// A driver that says too much is not believed: what else it says must fit.
    #[test]
    fn an_answer_counts_only_if_the_whole_of_it_fits() {
        let good = Observation {
            settled: true,
            nodes: vec![node("oneks-24-a-8", Some(8))],
            forgotten: Some(vec![7]),
            ..Observation::default()
        };
        let noted = |seen: &Observation, state: GroupState, current: bool| {
            let mut group = Group { state, ..group() };
            note(&mut group, seen, current, 900, 1000);
            let forgotten = group.vms.iter().filter(|vm| vm.forgotten.is_some());
            forgotten.map(|vm| vm.id).collect::<Vec<_>>()
        };
        let with = |change: &dyn Fn(&mut Observation)| {
            let mut seen = good.clone();
            change(&mut seen);
            seen
        };
        assert_eq!(noted(&good, GroupState::Running, true), [7]);
        assert!(
            noted(&good, GroupState::Running, false).is_empty(),
            "of an older order"
        );
        let bad = [
            with(&|seen| seen.settled = false),
            with(&|seen| seen.forgotten = None),
            with(&|seen| seen.nodes.push(node("oneks-24-a-7", None))),
            with(&|seen| seen.nodes.push(node("oneks-24-a-7", Some(8)))),
            with(&|seen| seen.nodes.push(node("other", Some(7)))),
            with(&|seen| seen.nodes.push(node("other", Some(99)))),
        ];
        for seen in bad {
            assert!(noted(&seen, GroupState::Running, true).is_empty(), "{seen:?}");
        }
        let removed = with(&|seen| {
            seen.settled = false;
            seen.nodes.clear();
        });
        assert_eq!(noted(&removed, GroupState::Deprovisioning, true), [7]);
    }
}
