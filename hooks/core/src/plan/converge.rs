//! Bringing a group to its goal: the driver's steps, one after another, then the question whether it is there.

use oneks_driver::{
    Action as DriverAction, Cluster, Group as DriverGroup, GroupVm as DriverVm, Role, Script, Steps,
    TemplateText, VmCondition,
};

use crate::action::Action;
use crate::fingerprint;
use crate::observed::{Need, Vm};
use crate::plan::adopt;
use crate::plan::context::{Answer, Context, cut};
use crate::plan::guest::Wanted;
use crate::plan::health::{Trouble, obstacle};
use crate::plan::observe::{kubeconfig, observe, probe_after};
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Goal, Group, LastError, Purpose, Status, Template, Work};
use crate::text::shorten;

/// Attribute of a VM template that carries the fingerprint of the text that it was made from.
pub const FINGERPRINT_ATTRIBUTE: &str = "ONEKS_FINGERPRINT";

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

/// The cluster as the driver gets to see it.
pub(super) fn driver_cluster(context: &Context<'_>, status: &Status, spec: &Spec) -> Option<Cluster> {
    let placed = status.placed.as_ref()?;
    Some(Cluster {
        id: context.desired.document,
        name: context.names.cluster(),
        display_name: context.desired.name.to_owned(),
        owner: context.desired.owner.clone(),
        kubernetes_version: spec.kubernetes_version.clone(),
        placement: placed.placement.clone(),
        images: placed.images.clone(),
        endpoint: status.endpoint.clone(),
        gateway: status.gateway.clone(),
        xmlrpc: placed.xmlrpc.clone(),
        credential: status.credential.as_ref().map_or(1, |c| c.serial),
    })
}

/// The group as the driver gets to see it. `Ok(None)` while the profiles have not been read.
pub(super) fn driver_group(
    context: &mut Context<'_>,
    group: &Group,
    goal: &Goal,
    spec: &Spec,
) -> Result<Option<DriverGroup>, String> {
    let Some(catalog) = &context.observed.catalog else {
        context.need(Need::Catalog);
        return Ok(None);
    };
    // A group that is being removed may share its key with the one that comes after it.
    let node_group = spec
        .node_groups
        .iter()
        .find(|g| g.name == group.key && !group.removed);
    let choices = spec.choices();
    let position = spec
        .node_groups
        .iter()
        .position(|g| g.name == group.key)
        .map_or(0, |i| i + 1);
    let (role, choice) = match (group.is_control_plane(), choices.get(position)) {
        (true, Some(choice)) => (Role::ControlPlane, Some(choice)),
        (false, Some(choice)) if node_group.is_some() => (Role::NodeGroup, Some(choice)),
        // The group is being removed: only its names matter.
        _ => (Role::NodeGroup, None),
    };
    let mut made = DriverGroup {
        id: group.id,
        name: group.uuid.clone(),
        key: group.key.clone(),
        role,
        replicas: goal.replicas,
        version: goal.version.clone(),
        inputs: std::collections::BTreeMap::new(),
        profile: oneks_driver::Profile::default(),
        labels: std::collections::BTreeMap::new(),
        taints: Vec::new(),
        vms: group
            .vms
            .iter()
            .map(|vm| DriverVm {
                id: vm.id,
                name: vm.name.clone(),
                condition: vm.condition,
                ip: None,
                version: vm.version.clone(),
            })
            .collect(),
    };
    if let Some(choice) = choice {
        let family = catalog.family(role, choice.family).map_err(|e| e.to_string())?;
        made.inputs = family
            .resolve(choice.flavour, choice.values, &choice.path)
            .map_err(|errors| {
                let texts: Vec<String> = errors
                    .iter()
                    .map(|e| format!("{}: {}", e.path, e.message))
                    .collect();
                format!(
                    "the profile no longer allows what the cluster has: {}",
                    texts.join("; ")
                )
            })?;
        made.profile = family.driver_profile(choice.flavour);
    }
    if let Some(node_group) = node_group {
        made.labels.clone_from(&node_group.labels);
        made.taints.clone_from(&node_group.taints);
    }
    Ok(Some(made))
}

/// Starts work on a group.
pub(super) fn begin(group: &mut Group, now: u64, state: GroupState, goal: Goal, seconds: u64) {
    group.state = state;
    group.want = goal.replicas;
    group.goal = Some(goal);
    group.probe = None;
    group.error = None;
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
        return gone(context, status, group_id, &steps.obsolete_templates);
    }
    let kept = !group.is_control_plane() || status.kubeconfig;
    if !carried || !kept && !kubeconfig(context, status, spec, &cluster, &asked) {
        if group.state != GroupState::Deprovisioning {
            probe_after(context, status, spec, group_id, cluster, asked);
        }
        return Progress::Working;
    }
    match observe(context, status, spec, group_id, cluster, asked) {
        Progress::Settled if !obsolete(context, status, group_id, &steps.obsolete_templates) => {
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
    if obsolete(context, status, group_id, templates) {
        Progress::Settled
    } else {
        Progress::Carried
    }
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

/// Carries out a driver's steps. True if all of them are done.
pub(super) fn carry_out(
    context: &mut Context<'_>,
    status: &mut Status,
    group_id: u32,
    steps: &Steps,
) -> bool {
    if !templates(context, status, group_id, &steps.templates) {
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

/// Sees to it that VM templates exist with the right text. True if they do.
pub(super) fn templates(
    context: &mut Context<'_>,
    status: &mut Status,
    group_id: u32,
    wanted: &[TemplateText],
) -> bool {
    let owner = context.desired.owner.uid;
    let mut done = true;
    for template in wanted {
        let print = fingerprint::of_text(&template.text);
        let text = format!(
            "{}\n{FINGERPRINT_ATTRIBUTE}=\"{print}\"\n",
            template.text.trim_end()
        );
        let Some(group) = group_mut(status, group_id) else {
            return false;
        };
        if group
            .templates
            .get(&template.name)
            .is_some_and(|t| t.fingerprint == print)
        {
            continue;
        }
        let Some(seen) = &context.observed.templates else {
            context.need(Need::Templates);
            return false;
        };
        let name = template.name.clone();
        let cluster = context.desired.document;
        match seen.iter().find(|t| t.uid == owner && t.name == name) {
            Some(t) if t.tag.as_ref().is_none_or(|tag| tag.cluster != cluster) => {
                let message = format!(
                    "VM template {} ({name}) bears a name that the cluster needs and is none of its own; rename or \
                     delete it",
                    t.id
                );
                taken(context, status, group_id, message);
                return false;
            }
            Some(t) if t.fingerprint.as_ref() == Some(&print) => {
                group.templates.insert(
                    name,
                    Template {
                        id: t.id,
                        fingerprint: print,
                    },
                );
            }
            Some(t) => {
                done = false;
                context.act(Action::UpdateTemplate { id: t.id, name, text });
            }
            None => {
                done = false;
                context.act(Action::CreateTemplate { name, text });
            }
        }
    }
    if !done && let Some(group) = group_mut(status, group_id) {
        wait(group, "making VM templates");
    }
    done
}

/// A name that the cluster needs is another object's.
fn taken(context: &mut Context<'_>, status: &mut Status, group_id: u32, message: String) {
    if let Some(group) = group_mut(status, group_id) {
        wait(group, message.clone());
    }
    context.blame(LastError {
        reason: "NameTaken".to_owned(),
        message,
        object: None,
        since: context.now,
    });
}

/// Removes VM templates that nothing is made from any more. True if they are gone.
fn obsolete(context: &mut Context<'_>, status: &mut Status, group_id: u32, names: &[String]) -> bool {
    if names.is_empty() {
        return true;
    }
    if !context.all_templates() {
        return false;
    }
    if let Some(group) = group_mut(status, group_id) {
        group.templates.retain(|name, _| !names.contains(name));
        wait(group, "removing VM templates");
    }
    let mut done = true;
    let templates = context.templates().into_iter();
    for template in templates.filter(|t| names.contains(&t.name)) {
        context.act(Action::DeleteTemplate {
            id: template.id,
            name: template.name.clone(),
        });
        done = false;
    }
    done
}
