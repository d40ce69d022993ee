//! Guest commands: one at a time for a cluster, on any running control-plane node, matched by token.
//!
//! A command is only ever *started* here. Its result comes with a later event, on the VM, and is taken from there; if
//! the event is lost, the sweep finds it. "Look again in a while" is a command that sleeps first.

use oneks_driver::{Action as DriverAction, Kubeconfig, Observation, Output, Script};

use crate::action::{Action, Redacted};
use crate::names::CommandToken;
use crate::observed::{Kind, Progress as CommandProgress, Vm};
use crate::plan::context::{Answer, Context, remember};
use crate::plan::converge::{driver_cluster, driver_group, group_mut, refuse};
use crate::spec::Spec;
use crate::status::{GuestExec, LastError, Probe, Purpose, Status};

/// Seconds on top of a script's own limit: the hypervisor's agent reports every few seconds, and events may be late.
const GRACE: u64 = 60;

/// Longest excerpt of an error output that is kept, characters.
const EXCERPT: usize = 300;

/// A command that some group would like to run.
pub(super) struct Wanted {
    pub purpose: Purpose,
    pub group: u32,
    pub script: Script,
    /// Fingerprint of the script, or of what a probe is made for.
    pub of: String,
    /// Seconds to sleep first.
    pub delay: u64,
}

/// Takes the result of the command that is under way, if there is one.
pub(super) fn collect(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let Some(exec) = status.guest_exec.clone() else {
        return;
    };
    let vm = context.vms().into_iter().find(|vm| vm.id == exec.vm);
    let Some(vm) = vm.filter(|vm| vm.condition == oneks_driver::VmCondition::Running) else {
        return lost(context, status, &exec, "the VM stopped running");
    };
    let ours = vm.command.as_ref().filter(|c| {
        c.token
            .as_ref()
            .is_some_and(|token| token.to_string() == exec.token)
    });
    let Some(command) = ours else {
        // A plan's own command shows on the VM as soon as the call returns; if it does not, it was never started, or
        // somebody else's took its place.
        return lost(context, status, &exec, "the VM shows another command");
    };
    match (command.progress, &command.output) {
        (CommandProgress::Executing, _) | (CommandProgress::Done, None) => {
            if context.now >= exec.deadline {
                context.act(Action::CancelExec { vm: exec.vm });
                lost(context, status, &exec, "it did not end in time and was cancelled");
            }
        }
        (CommandProgress::Failed, _) => lost(context, status, &exec, "the guest agent could not run it"),
        (CommandProgress::Done, Some(output)) => {
            let output = output.clone();
            finished(context, status, spec, &exec, &output);
        }
    }
}

/// A command without a result: the next attempt goes to another node, if there is one.
fn lost(context: &Context<'_>, status: &mut Status, exec: &GuestExec, why: &str) {
    status.guest_exec = None;
    let message = format!(
        "the {} command in VM {} gave no result: {why}",
        exec.purpose.as_str(),
        exec.vm
    );
    blame(context, status, exec, "GuestCommandLost", message);
}

fn blame(context: &Context<'_>, status: &mut Status, exec: &GuestExec, reason: &str, message: String) {
    if let Some(work) = group_mut(status, exec.group).and_then(|g| g.work.as_mut()) {
        work.attempts = work.attempts.saturating_add(1);
    }
    let object = Some(format!("VM {}", exec.vm));
    remember(
        status,
        LastError {
            reason: reason.to_owned(),
            message,
            object,
            since: context.now,
        },
    );
}

fn finished(context: &mut Context<'_>, status: &mut Status, spec: &Spec, exec: &GuestExec, output: &Output) {
    if exec.purpose == Purpose::Apply || output.return_code != 0 {
        status.guest_exec = None;
        if output.return_code == 0 {
            if let Some(group) = group_mut(status, exec.group) {
                group.applied = Some(exec.script.clone());
                if let Some(work) = &mut group.work {
                    work.attempts = 0;
                }
            }
            return;
        }
        let message = format!(
            "the {} command in VM {} ended with {}: {}",
            exec.purpose.as_str(),
            exec.vm,
            output.return_code,
            excerpt(&output.stderr)
        );
        return blame(context, status, exec, "GuestCommandFailed", message);
    }
    let Some(group) = group_mut(status, exec.group).map(|g| g.clone()) else {
        status.guest_exec = None;
        return;
    };
    let Some(goal) = group.goal.clone() else {
        status.guest_exec = None;
        return;
    };
    let Some(cluster) = driver_cluster(context, status, spec) else {
        return;
    };
    let asked = match driver_group(context, &group, &goal, spec) {
        Ok(Some(asked)) => asked,
        Ok(None) => return,
        Err(message) => {
            status.guest_exec = None;
            return refuse(context, status, exec.group, "ProfileUnusable", message);
        }
    };
    let (cluster, asked, output) = (Box::new(cluster), Box::new(asked), Some(output.clone()));
    match exec.purpose {
        Purpose::Kubeconfig => {
            let question = DriverAction::Kubeconfig {
                cluster,
                group: asked,
                output,
            };
            match context.ask::<Kubeconfig>(&spec.driver, question) {
                Answer::Waiting => return,
                Answer::Given(answer) => {
                    context.act(Action::StoreKubeconfig {
                        text: Redacted::new(answer.kubeconfig),
                    });
                    status.kubeconfig = true;
                    if let Some(work) = &mut status.control_plane.work {
                        work.attempts = 0;
                    }
                }
                Answer::Refused(e) => blame(context, status, exec, &e.reason, e.message),
            }
        }
        Purpose::Probe => {
            let question = DriverAction::Observe {
                cluster,
                group: asked,
                output,
            };
            match context.ask::<Observation>(&spec.driver, question) {
                Answer::Waiting => return,
                Answer::Given(observation) => probed(context, status, exec, observation),
                Answer::Refused(e) => blame(context, status, exec, &e.reason, e.message),
            }
        }
        Purpose::Apply | Purpose::Rotate => {}
    }
    status.guest_exec = None;
}

fn probed(context: &Context<'_>, status: &mut Status, exec: &GuestExec, observation: Observation) {
    let now = context.now;
    let Some(group) = group_mut(status, exec.group) else {
        return;
    };
    group.ready = observation.ready;
    for vm in &mut group.vms {
        if let Some(node) = observation
            .nodes
            .iter()
            .find(|n| n.vm == Some(vm.id) || n.name == vm.name)
        {
            vm.ready = Some(node.ready);
            vm.version.clone_from(&node.version);
        }
    }
    group.probe = Some(Probe {
        at: now,
        of: exec.script.clone(),
        observation,
    });
    if let Some(work) = &mut group.work {
        work.attempts = 0;
    }
}

/// The last line that says something; that is where tools put the cause.
fn excerpt(text: &str) -> String {
    let line = text
        .lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("no error output")
        .trim();
    line.chars().take(EXCERPT).collect()
}

/// Starts the most urgent of the wanted commands, if none is under way and a node can take it.
pub(super) fn dispatch(context: &mut Context<'_>, status: &mut Status) {
    if status.guest_exec.is_some() || !context.needs.is_empty() {
        return;
    }
    let last_probe = |id: u32| {
        status
            .groups()
            .find(|g| g.id == id)
            .and_then(|g| g.probe.as_ref())
            .map_or(0, |p| p.at)
    };
    // What needn't wait goes first; among the rest, the group that was asked the longest ago.
    let urgent = |w: &Wanted| (w.delay, w.purpose, last_probe(w.group), w.group);
    let Some(index) = (0..context.wanted.len()).min_by_key(|&i| urgent(&context.wanted[i])) else {
        return;
    };
    let wanted = context.wanted.swap_remove(index);
    let Some(vm) = node(context, status, wanted.group) else {
        return;
    };
    let token = CommandToken {
        cluster: context.desired.document,
        purpose: format!("{}-{}", wanted.purpose.as_str(), wanted.group),
        serial: status.rev,
    };
    let script = if wanted.delay == 0 {
        wanted.script.text.clone()
    } else {
        format!("sleep {}\n{}", wanted.delay, wanted.script.text)
    };
    let action = Action::Exec {
        vm,
        command: token.command(),
        script,
    };
    if context.observed.failure(&action).is_some() {
        return;
    }
    context.act(action);
    let limit = wanted
        .script
        .timeout
        .saturating_add(wanted.delay)
        .saturating_add(GRACE);
    status.guest_exec = Some(GuestExec {
        vm,
        group: wanted.group,
        purpose: wanted.purpose,
        token: token.to_string(),
        script: wanted.of,
        issued: context.now,
        deadline: context.now.saturating_add(limit),
    });
}

/// A control-plane node that can take a command. After a failure the next one gets its turn.
fn node(context: &Context<'_>, status: &Status, group: u32) -> Option<u32> {
    let free = |vm: &&Vm| {
        let busy = vm
            .command
            .as_ref()
            .is_some_and(|c| c.progress == CommandProgress::Executing);
        vm.steady && !busy
    };
    let nodes: Vec<u32> = context
        .vms()
        .into_iter()
        .filter(|vm| vm.tag.as_ref().is_some_and(|t| t.kind == Kind::ControlPlane))
        .filter(free)
        .map(|vm| vm.id)
        .collect();
    let attempts = status
        .groups()
        .find(|g| g.id == group)
        .and_then(|g| g.work.as_ref())
        .map_or(0, |w| w.attempts);
    if nodes.is_empty() {
        None
    } else {
        nodes.get(attempts as usize % nodes.len()).copied()
    }
}
