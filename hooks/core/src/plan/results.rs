//! What guest commands have answered, and what becomes of those that gave no answer.

use oneks_driver::{Action as DriverAction, Kubeconfig, Observation, Output};

use crate::action::Action;
use crate::names::CommandToken;
use crate::observed::{FailureKind, Progress as CommandProgress};
use crate::plan::bundle;
use crate::plan::context::{Answer, Context};
use crate::plan::guest::cancelled;
use crate::plan::observe::{knows_no_others, note_nodes, probe_order, probe_subject, speaks_of_all, store};
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::rotate;
use crate::plan::router;
use crate::plan::stray_commands;
use crate::plan::surplus;
use crate::plan::work::{group_mut, refuse};
use crate::spec::Spec;
use crate::status::{GuestExec, LastError, Probe, Purpose, Status};

/// Longest excerpt of an error output that is kept, characters.
const EXCERPT: usize = 300;

/// Takes the result of the command that is under way, if there is one.
pub(super) fn collect(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    stray_commands::adopt(context, status);
    let Some(exec) = status.guest_exec.clone() else {
        return;
    };
    if let Some(kind) = start_failed(context, &exec) {
        match kind {
            // It may have been started all the same; the next look shows it.
            FailureKind::Unreachable => {}
            // The node is busy with something else for a moment.
            FailureKind::WrongState => status.guest_exec = None,
            _ => lost(context, status, &exec, "it could not be started"),
        }
        return;
    }
    if !context.in_view(exec.vm) {
        context.all_vms();
        return;
    }
    let vm = context.vms().into_iter().find(|vm| vm.id == exec.vm);
    let Some(vm) = vm.filter(|vm| vm.condition == oneks_driver::VmCondition::Running) else {
        if exec.wait > 0 || exec.given_up {
            // A node that was replaced while a command waited on it; another takes it over.
            status.guest_exec = None;
            return;
        }
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
                if exec.given_up && exec.wait > 0 {
                    status.guest_exec = Some(cancelled(exec, context.now));
                } else if exec.given_up {
                    status.guest_exec = None;
                } else {
                    lost(context, status, &exec, "it did not end in time and was cancelled");
                }
            }
        }
        (CommandProgress::Failed, _) if exec.given_up => status.guest_exec = None,
        (CommandProgress::Failed, _) => lost(context, status, &exec, "the guest agent could not run it"),
        (CommandProgress::Done, Some(output)) => {
            let output = output.clone();
            ended(context, status, spec, &exec, &output);
        }
    }
}

/// A command that has ended may have been two.
fn ended(context: &mut Context<'_>, status: &mut Status, spec: &Spec, exec: &GuestExec, output: &Output) {
    let (first, second) = bundle::split(output, &exec.token);
    let (Some(second), Some(of)) = (second, exec.probe.clone()) else {
        return finished(context, status, spec, exec, &first);
    };
    let fetches = exec.purpose == Purpose::Kubeconfig;
    if !fetches || !status.kubeconfig {
        finished(context, status, spec, exec, &first);
        if !context.needs.is_empty() {
            return;
        }
        if fetches && status.kubeconfig {
            // Whether it can be stored is seen before the group counts as settled.
            status.guest_exec = Some(exec.clone());
            return;
        }
    }
    let probe = GuestExec {
        purpose: Purpose::Probe,
        script: of,
        ..exec.clone()
    };
    finished(context, status, spec, &probe, &second);
}

/// A command without a result: the next attempt goes to another node, if there is one.
fn lost(context: &mut Context<'_>, status: &mut Status, exec: &GuestExec, why: &str) {
    status.guest_exec = None;
    let message = format!(
        "the {} command in VM {} gave no result: {why}",
        exec.purpose.as_str(),
        exec.vm
    );
    blame(context, status, exec, "GuestCommandLost", message);
}

fn blame(context: &mut Context<'_>, status: &mut Status, exec: &GuestExec, reason: &str, message: String) {
    let again = exec.purpose != Purpose::Rotate
        && group_mut(status, exec.group).is_some_and(|group| {
            group.count_attempt();
            group.attempts() > 1
        });
    // The same trouble on another node is the same trouble.
    let told = status.last_error.as_ref().filter(|e| again && e.reason == reason);
    let error = LastError {
        reason: reason.to_owned(),
        message,
        object: Some(format!("VM {}", exec.vm)),
        since: told.map_or(context.now, |e| e.since),
    };
    if exec.purpose == Purpose::Rotate {
        rotate::failed(context, status, &error);
    }
    context.blame(error);
}

/// Why the command could not be started, if it was in this pass.
fn start_failed(context: &Context<'_>, exec: &GuestExec) -> Option<FailureKind> {
    let ours = |command: &str| CommandToken::of_command(command).is_some_and(|t| t.to_string() == exec.token);
    context
        .observed
        .failures
        .iter()
        .find_map(|(action, failure)| match action {
            Action::Exec { vm, command, .. } if *vm == exec.vm && ours(command) => Some(failure.kind),
            _ => None,
        })
}

fn finished(context: &mut Context<'_>, status: &mut Status, spec: &Spec, exec: &GuestExec, output: &Output) {
    if matches!(exec.purpose, Purpose::Apply | Purpose::Rotate) || output.return_code != 0 {
        status.guest_exec = None;
        if output.return_code == 0 {
            if exec.purpose == Purpose::Rotate {
                rotate::used(context, status, exec);
            } else if let Some(group) = group_mut(status, exec.group) {
                group.applied = Some(exec.script.clone());
                group.reset_attempts();
            }
            return;
        }
        let said = if exec.purpose == Purpose::Rotate {
            // Its script holds the credential, and what goes wrong with a script may show parts of it.
            excerpt(&without_long_words(&output.stderr))
        } else {
            excerpt(&output.stderr)
        };
        let message = format!(
            "the {} command in VM {} ended with {}: {said}",
            exec.purpose.as_str(),
            exec.vm,
            output.return_code
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
                    router::told(status, &answer);
                    status.kubeconfig = store(context, answer);
                    status.control_plane.reset_attempts();
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
                Answer::Given(observation) => {
                    if !probed(context, status, exec, observation) {
                        return;
                    }
                }
                Answer::Refused(e) => blame(context, status, exec, &e.reason, e.message),
            }
        }
        Purpose::Apply | Purpose::Rotate => {}
    }
    status.guest_exec = None;
}

/// Notes what a probe found. False if the VMs must be looked at first.
fn probed(
    context: &mut Context<'_>,
    status: &mut Status,
    exec: &GuestExec,
    observation: Observation,
) -> bool {
    let now = context.now;
    let Some(group) = group_mut(status, exec.group) else {
        return true;
    };
    // Nodes may have come and gone while it waited.
    if !speaks_of_all(group, &observation) && !context.all_vms() {
        return false;
    }
    let current = exec.script == probe_order(group) && knows_no_others(group, &observation);
    note_nodes(group, &observation);
    surplus::note(group, &observation, current, exec.issued, now);
    group.probe = Some(Probe {
        at: now,
        of: if current {
            probe_subject(group)
        } else {
            exec.script.clone()
        },
        observation,
    });
    group.reset_attempts();
    true
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

/// The text with everything left out that might be a secret: base64 and digits in a row.
fn without_long_words(text: &str) -> String {
    const LONG: usize = 32;
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !part(c)) {
        let word = piece.trim_end_matches(|c| !part(c));
        out.push_str(if word.len() >= LONG { "…" } else { word });
        out.push_str(&piece[word.len()..]);
    }
    out
}
