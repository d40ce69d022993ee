//! Is a group what its goal says? And the kubeconfig, which is asked for in the same way.

use crate::action::{Action, Redacted};
use crate::fingerprint;
use crate::plan::context::{Answer, Context};
use crate::plan::converge::{Progress, driver_cluster, driver_group, group_mut, refuse, wait};
use crate::plan::guest::Wanted;
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Group, Purpose, Status};
use oneks_driver::{Action as DriverAction, Cluster, Group as DriverGroup, Kubeconfig, Observation, Script};

/// Seconds between two probes while a group is not settled yet: first, longest.
const PROBE_PAUSE: (u64, u64) = (20, 60);

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
                delay,
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

/// Is the group what its goal says? Without guests the driver says so from the VMs; with guests Kubernetes is asked.
pub(super) fn observe(
    context: &mut Context<'_>,
    status: &mut Status,
    spec: &Spec,
    group_id: u32,
    question: DriverAction,
    probe: DriverAction,
) -> Progress {
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let now = context.now;
    if !guest {
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
    let Some(group) = group_mut(status, group_id) else {
        return Progress::Working;
    };
    let subject = probe_subject(group);
    let fresh = group.probe.clone().filter(|p| p.of == subject);
    if let Some(probe) = &fresh
        && probe.observation.settled
    {
        return Progress::Settled;
    }
    let resting = group.work.is_none();
    let began = group.error.as_ref().map_or(now, |e| e.since);
    let started = group.work.as_ref().map_or(began, |w| w.started);
    let last = group.probe.as_ref().map_or(started, |p| p.at);
    let unsure = group.work.as_ref().is_some_and(|w| w.unsure);
    let unasked = unsure && group.probe.is_none();
    if let Some(reason) = not_settled_by_vms(group).filter(|_| !unasked) {
        // A node that came by itself has an id that nobody knows yet.
        if !context.all_vms() {
            return Progress::Carried;
        }
        wait(group, reason);
        if now.saturating_sub(last) < PROBE_ANYWAY {
            return Progress::Carried;
        }
    } else if let Some(probe) = &fresh {
        let text = probe.observation.message.clone();
        let text =
            text.unwrap_or_else(|| format!("{} of {} nodes are ready", probe.observation.ready, group.want));
        wait(group, text);
    } else {
        wait(group, "waiting for Kubernetes to say that the nodes are ready");
    }
    let attempts = group.attempts();
    let idle = resting && now.saturating_sub(started) >= PROBE_ANYWAY;
    if idle && now.saturating_sub(last.max(group.asked)) < RESTING_PAUSE {
        return Progress::Carried;
    }
    let delay = if idle || fresh.is_none() && attempts == 0 {
        0
    } else {
        probe_pause(now, started)
    };
    if let Answer::Given(script) = ask_script(context, status, spec, group_id, probe) {
        context.wanted.push(Wanted {
            purpose: Purpose::Probe,
            group: group_id,
            script,
            of: subject,
            delay,
        });
    }
    Progress::Carried
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
