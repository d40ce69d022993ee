//! Is a group what its goal says? And the kubeconfig, which is asked for in the same way.

use crate::action::{Action, Redacted};
use crate::fingerprint;
use crate::plan::context::{Answer, Context};
use crate::plan::converge::Progress;
use crate::plan::guest::Wanted;
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::work::{group_mut, refuse, wait};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Group, GroupVm, Purpose, Status};
use oneks_driver::{
    Action as DriverAction, Cluster, Group as DriverGroup, Kubeconfig, Node, Observation, Script,
};

/// Seconds between two probes while a group is not settled yet: first, longest.
const PROBE_PAUSE: (u64, u64) = (20, 60);

/// Seconds for which a script may wait in the guest until the group is settled: for the only group that is worked on, and
/// for one of several that need the same nodes for their commands. How far an upgrade is,
/// its virtual machines tell meanwhile.
const PATIENCE: u64 = 600;
const PATIENCE_UPGRADE: u64 = 1200;
pub(super) const PATIENCE_SHARED: u64 = 60;

/// Seconds before a deadline at which nothing waits any more: the cause of what goes wrong must be known by then.
const BEFORE_DEADLINE: u64 = 120;

/// Seconds after which a group is asked although its VMs don't look as if it were settled.
pub(super) const PROBE_ANYWAY: u64 = 600;

/// Seconds between two probes of a group at rest whose nodes have long not been ready. The sweep is their clock: a
/// command that slept so long would keep others waiting.
pub(super) const RESTING_PAUSE: u64 = 300;

/// Sees to it that the kubeconfig is stored. True if it is.
pub(super) fn kubeconfig(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    cluster: &Cluster,
    group: &DriverGroup,
) -> bool {
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let question = DriverAction::Kubeconfig {
        cluster: Box::new(cluster.clone()),
        group: Box::new(group.clone()),
        output: None,
    };
    let id = status.control_plane.id;
    if guest {
        if let Answer::Given(script) = ask_script(context, status, spec, id, question) {
            wait(&mut status.control_plane, "waiting for the kubeconfig");
            let delay = if status.control_plane.attempts() == 0 {
                0
            } else {
                20
            };
            context.wanted.push(Wanted {
                purpose: Purpose::Kubeconfig,
                group: id,
                of: fingerprint::of_text(&script.text),
                script,
                then: None,
                delay,
                wait: 0,
            });
        }
        return false;
    }
    match context.ask::<Kubeconfig>(&spec.driver, question) {
        Answer::Waiting => {}
        Answer::Given(answer) => {
            status.kubeconfig = store(context, answer);
            return status.kubeconfig;
        }
        Answer::Refused(e) => refuse(context, status, id, &e.reason, e.message),
    }
    false
}

/// Fetches the kubeconfig of a control plane at rest: it could not be stored when it was made.
pub(super) fn fetch_kubeconfig(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let group = status.control_plane.clone();
    let Some((goal, cluster)) = group.goal.clone().zip(driver_cluster(context, status, spec)) else {
        return;
    };
    if let Ok(Some(asked)) = driver_group(context, &group, &goal, spec) {
        kubeconfig(context, status, spec, &cluster, &asked);
    }
}

/// Stores a kubeconfig. False if that has failed in this pass already.
pub(super) fn store(context: &mut Context<'_>, answer: Kubeconfig) -> bool {
    let text = Redacted::new(answer.kubeconfig);
    let action = Action::StoreKubeconfig { text };
    let failed = context.observed.failure(&action).is_some();
    context.act(action);
    !failed
}

pub(super) fn ask_script(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    group_id: u32,
    question: DriverAction,
) -> Answer<Script> {
    let answer = context.ask::<Script>(&spec.driver, question);
    if let Answer::Refused(e) = &answer {
        refuse(context, status, group_id, &e.reason, e.message.clone());
    }
    answer
}

/// What a probe is made for: if this changed meanwhile, its answer is old.
pub(super) fn probe_subject(group: &Group) -> String {
    let ids: Vec<u32> = group.vms.iter().map(|vm| vm.id).collect();
    fingerprint::of(&(&group.goal, &group.applied, ids))
}

/// What a probe is made for when it is started. Which nodes there are is what it finds out.
pub(super) fn probe_order(group: &Group) -> String {
    fingerprint::of(&(&group.goal, &group.applied))
}

/// Has Kubernetes said of just these VMs that they are what the goal says?
pub(super) fn is_settled(group: &Group) -> bool {
    let subject = || probe_subject(group);
    let probe = group.probe.as_ref();
    probe.is_some_and(|p| p.observation.settled && p.of == subject())
}

/// Is the last answer one about the group's goal, perhaps with other VMs than there are?
pub(super) fn was_asked(group: &Group) -> bool {
    let probe = group.probe.as_ref();
    probe.is_some_and(|p| p.of == probe_order(group) || p.of == probe_subject(group))
}

/// Does Kubernetes know just the VMs that the group has? A driver that lists no nodes is taken at its word.
pub(super) fn speaks_of_all(group: &Group, seen: &Observation) -> bool {
    let known = |vm: &GroupVm| seen.nodes.iter().any(|node| is_on(node, vm));
    seen.nodes.is_empty() || knows_no_others(group, seen) && group.vms.iter().all(known)
}

/// Has every node that Kubernetes knows its VM in the group?
pub(super) fn knows_no_others(group: &Group, seen: &Observation) -> bool {
    let there = |node: &Node| group.vms.iter().any(|vm| is_on(node, vm));
    seen.nodes.iter().all(there)
}

/// Is it the node of this VM?
pub(super) fn is_on(node: &Node, vm: &GroupVm) -> bool {
    node.vm.map_or(node.name == vm.name, |id| id == vm.id)
}

/// How long a script may wait in the guest until the group is settled: long where nothing else is to be done, so that
/// one command tells the end; not at all where any answer decides what comes next.
fn patience(status: &Status, group_id: u32, now: u64) -> u64 {
    let group = status.groups().find(|g| g.id == group_id);
    let Some(work) = group.and_then(|g| g.work.as_ref()).filter(|w| !w.unsure) else {
        return 0;
    };
    let left = work.deadline.saturating_sub(now).saturating_sub(BEFORE_DEADLINE);
    let upgrades = group.is_some_and(|g| g.state == GroupState::Upgrading);
    left.min(match (is_alone(status, group_id), upgrades) {
        (false, _) => PATIENCE_SHARED,
        (true, false) => PATIENCE,
        (true, true) => PATIENCE_UPGRADE,
    })
}

/// Is this the only group for which guests run commands?
fn is_alone(status: &Status, group_id: u32) -> bool {
    let busy = |g: &Group| {
        let rests = matches!(g.state, GroupState::Running | GroupState::Warning);
        let unwell = g.state == GroupState::Warning || g.nodes_changed() || g.failed_commands > 0;
        g.work.is_some() || rests && unwell
    };
    status.groups().all(|g| g.id == group_id || !busy(g))
}

/// Is the group what its goal says? Without guests the driver says so from the VMs; with guests Kubernetes is asked.
pub(super) fn observe(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    group_id: u32,
    cluster: Box<Cluster>,
    asked: Box<DriverGroup>,
) -> Progress {
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let now = context.now;
    if !guest {
        let question = DriverAction::Observe {
            cluster,
            group: asked,
            output: None,
        };
        let seen: Observation = match context.ask(&spec.driver, question) {
            Answer::Waiting => return Progress::Working,
            Answer::Given(seen) => seen,
            Answer::Refused(e) => {
                refuse(context, status, group_id, &e.reason, e.message);
                return Progress::Working;
            }
        };
        let Some(group) = group_mut(status, group_id) else {
            return Progress::Working;
        };
        note_nodes(group, &seen);
        if seen.settled {
            return Progress::Settled;
        }
        let text = seen
            .message
            .unwrap_or_else(|| format!("{} of {} nodes run", seen.ready, group.want));
        wait(group, text);
        return Progress::Carried;
    }
    let (patience, alone) = (patience(status, group_id, now), is_alone(status, group_id));
    let Some(group) = group_mut(status, group_id) else {
        return Progress::Working;
    };
    if is_settled(group) {
        return Progress::Settled;
    }
    let said = group.probe.clone().filter(|_| was_asked(group));
    let said_why = said.as_ref().and_then(|p| p.observation.message.clone());
    let resting = group.work.is_none();
    let began = group.error.as_ref().map_or(now, |e| e.since);
    let started = group.work.as_ref().map_or(began, |w| w.started);
    let last = group.probe.as_ref().map_or(started, |p| p.at);
    let unsure = group.work.as_ref().is_some_and(|w| w.unsure);
    let unasked = unsure && group.probe.is_none();
    if let Some(reason) = not_settled_by_vms(group).filter(|_| !unasked) {
        // The command that waits in the guest tells when they are there; without one their events do.
        let waits = alone && patience > 0;
        // A node that came by itself has an id that nobody knows yet.
        if !waits && !context.all_vms() {
            return Progress::Carried;
        }
        let text = said_why.map_or(reason.clone(), |why| format!("{reason}; {why}"));
        wait(group, text);
        if !waits && now.saturating_sub(last) < PROBE_ANYWAY {
            return Progress::Carried;
        }
    } else if let Some(probe) = &said {
        let count = || format!("{} of {} nodes are ready", probe.observation.ready, group.want);
        let text = said_why.unwrap_or_else(count);
        wait(group, text);
    } else {
        wait(group, "waiting for Kubernetes to say that the nodes are ready");
    }
    let attempts = group.attempts();
    let idle = resting && now.saturating_sub(started) >= PROBE_ANYWAY;
    if idle && now.saturating_sub(last.max(group.asked)) < RESTING_PAUSE {
        return Progress::Carried;
    }
    let delay = if idle || said.is_none() && attempts == 0 {
        0
    } else {
        probe_pause(now, started)
    };
    let of = probe_order(group);
    let patience = if idle { 0 } else { patience };
    let probe = DriverAction::Probe {
        cluster,
        group: asked,
        wait: patience,
    };
    if let Answer::Given(script) = ask_script(context, status, spec, group_id, probe) {
        context.wanted.push(Wanted {
            purpose: Purpose::Probe,
            group: group_id,
            script,
            then: None,
            of,
            delay,
            wait: patience,
        });
    }
    Progress::Carried
}

/// Lets the wait for the group follow in the command that is wanted for it, if nothing else is to be done meanwhile.
pub(super) fn probe_after(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    group_id: u32,
    cluster: Box<Cluster>,
    asked: Box<DriverGroup>,
) {
    let wait = patience(status, group_id, context.now);
    if status.guest_exec.is_some() || wait == 0 || !is_alone(status, group_id) {
        return;
    }
    let index = context
        .wanted
        .iter()
        .position(|w| w.group == group_id && matches!(w.purpose, Purpose::Apply | Purpose::Kubeconfig));
    let (Some(index), Some(group)) = (index, group_mut(status, group_id)) else {
        return;
    };
    let probe = DriverAction::Probe {
        cluster,
        group: asked,
        wait,
    };
    if let Answer::Given(script) = context.ask::<Script>(&spec.driver, probe) {
        let wanted = &mut context.wanted[index];
        let applied = match wanted.purpose {
            Purpose::Apply => Some(wanted.of.clone()),
            _ => group.applied.clone(),
        };
        let of = fingerprint::of(&(&group.goal, &applied));
        (wanted.then, wanted.wait) = (Some((script, of)), wait);
    }
}

/// Notes what is known about single nodes.
pub(super) fn note_nodes(group: &mut Group, seen: &Observation) {
    group.ready = seen.ready;
    for vm in &mut group.vms {
        if let Some(node) = seen
            .nodes
            .iter()
            .find(|n| n.vm == Some(vm.id) || n.name == vm.name)
        {
            vm.ready = Some(node.ready);
            vm.version.clone_from(&node.version);
        }
    }
}

/// The pause grows with the time that the work has taken: a node that needs ten minutes isn't asked thirty times.
pub(super) fn probe_pause(now: u64, started: u64) -> u64 {
    (now.saturating_sub(started) / 10).clamp(PROBE_PAUSE.0, PROBE_PAUSE.1)
}

/// Why the VMs alone show that the group can't be settled yet.
pub(super) fn not_settled_by_vms(group: &Group) -> Option<String> {
    use oneks_driver::VmCondition::Running;
    let goal = group.goal.as_ref()?;
    let running = group.vms.iter().filter(|vm| vm.condition == Running).count();
    if group.vms.len() != goal.replicas as usize || running != group.vms.len() {
        let there = group.vms.len();
        return Some(format!(
            "waiting for {} virtual machines: {there} are there, {running} run",
            goal.replicas
        ));
    }
    let work = group.work.as_ref()?;
    let old = group.vms.iter().filter(|vm| work.before.contains(&vm.id)).count();
    if group.state == GroupState::Upgrading && !work.unsure && old > 0 {
        return Some(format!(
            "waiting for {old} nodes of the old version to be replaced"
        ));
    }
    None
}
