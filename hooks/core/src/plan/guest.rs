//! Guest commands: one at a time for a cluster, on any running control-plane node, matched by token.
//!
//! A command is only ever *started* here. Its result comes with a later event, on the VM, and is taken from there; if
//! the event is lost, the sweep finds it. "Look again in a while" is a command that sleeps first.

use oneks_driver::{Action as DriverAction, Kubeconfig, Observation, Output, Script};

use crate::action::Action;
use crate::names::CommandToken;
use crate::observed::{FailureKind, Kind, Progress as CommandProgress, Vm};
use crate::plan::bundle;
use crate::plan::context::{Answer, Context};
use crate::plan::converge::{driver_cluster, driver_group, group_mut, refuse};
use crate::plan::observe::{
    PATIENCE_SHARED, knows_no_others, note_nodes, probe_order, probe_subject, speaks_of_all, store,
};
use crate::plan::rotate;
use crate::plan::router;
use crate::spec::Spec;
use crate::status::{Group, GuestExec, LastError, Probe, Purpose, Status};

/// Seconds on top of a script's own limit: the hypervisor's agent reports every few seconds, and events may be late.
const GRACE: u64 = 60;

/// Longest excerpt of an error output that is kept, characters.
const EXCERPT: usize = 300;

/// A command that some group would like to run.
pub(super) struct Wanted {
    pub purpose: Purpose,
    pub group: u32,
    pub script: Script,
    /// A probe that follows in the same command, and what it is made for.
    pub then: Option<(Script, String)>,
    /// Fingerprint of the script, or of what a probe is made for.
    pub of: String,
    /// Seconds to sleep first.
    pub delay: u64,
    /// Seconds for which it may wait for something to happen.
    pub wait: u64,
}

/// Seconds after which a command that changes something and then waits is taken to wait.
const CHANGING: u64 = 30;

/// Seconds that a command gets whose record was lost, and with it its limit.
const ADOPTED: u64 = 1200;

/// Takes up commands whose record was lost with a STATUS that was not written, and ends those that were given up.
fn strays(context: &mut Context<'_>, status: &mut Status) {
    for vm in context.vms() {
        let Some((token, progress)) = vm
            .command
            .as_ref()
            .and_then(|c| Some((c.token.as_ref()?, c.progress)))
        else {
            continue;
        };
        let text = token.to_string();
        let recorded = status
            .guest_exec
            .as_ref()
            .is_some_and(|e| e.token == text && e.vm == vm.id);
        // No command of ours comes so far, and none could come after it: it would be taken up again for ever.
        let last = token.serial == u64::MAX;
        if token.cluster != context.desired.document || recorded || last {
            continue;
        }
        let executing = progress == CommandProgress::Executing;
        if token.serial < status.commands {
            if executing && vm.steady {
                context.act(Action::CancelExec { vm: vm.id });
            }
            continue;
        }
        let Some((purpose, id, script)) = parts(&token.purpose) else {
            continue;
        };
        let Some(group) = group_mut(status, id) else {
            continue;
        };
        if purpose == Purpose::Apply {
            // What it has changed is not known; the wanted script is run again.
            group.begun = true;
            group.applied = None;
        }
        if executing && status.guest_exec.is_none() {
            status.guest_exec = Some(GuestExec {
                vm: vm.id,
                group: id,
                purpose,
                token: text,
                script,
                probe: None,
                // It may be one that waits.
                wait: 1,
                given_up: false,
                issued: context.now,
                deadline: context.now.saturating_add(ADOPTED),
            });
        }
        if !executing || status.guest_exec.as_ref().is_some_and(|e| e.vm == vm.id) {
            status.commands = token.serial.saturating_add(1);
        }
    }
}

/// The parts of a token's purpose: `apply-24001-0123456789abcdef`.
fn parts(text: &str) -> Option<(Purpose, u32, String)> {
    let mut parts = text.splitn(3, '-');
    let purpose = parts.next()?;
    let all = [
        Purpose::Kubeconfig,
        Purpose::Apply,
        Purpose::Rotate,
        Purpose::Probe,
    ];
    let purpose = all.into_iter().find(|p| p.as_str() == purpose)?;
    Some((purpose, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
}

/// Takes the result of the command that is under way, if there is one.
pub(super) fn collect(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    strays(context, status);
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

/// Starts the most urgent of the wanted commands, if none is under way and a node can take it.
pub(super) fn dispatch(context: &mut Context<'_>, status: &mut Status) {
    if !context.needs.is_empty() {
        return;
    }
    if status.guest_exec.is_some() {
        return make_way(context, status);
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
    let mut wanted = context.wanted.swap_remove(index);
    if !context.wanted.is_empty() {
        // Others want a node, too: whoever can wait does so later.
        if wanted.then.take().is_some() {
            wanted.wait = 0;
        }
    }
    let attempts = match (wanted.purpose, &status.rotation) {
        (Purpose::Rotate, Some(rotation)) => rotation.attempts,
        _ => status
            .groups()
            .find(|g| g.id == wanted.group)
            .map_or(0, Group::attempts),
    };
    let Some(vm) = node(context, attempts) else {
        return;
    };
    let token = CommandToken {
        cluster: context.desired.document,
        purpose: format!("{}-{}-{}", wanted.purpose.as_str(), wanted.group, wanted.of),
        serial: status.commands,
    };
    let text = match &wanted.then {
        Some((then, _)) => bundle::join(&wanted.script.text, &then.text, &token.to_string()),
        None => wanted.script.text.clone(),
    };
    let script = if wanted.delay == 0 {
        text
    } else {
        format!("sleep {}\n{text}", wanted.delay)
    };
    let action = Action::Exec {
        vm,
        command: token.command(),
        script,
    };
    if let Some(group) = group_mut(status, wanted.group) {
        match wanted.purpose {
            // From now on, until it has ended well, nobody knows what the cluster was told.
            Purpose::Apply => {
                group.begun = true;
                group.applied = None;
            }
            Purpose::Probe => group.asked = if group.work.is_none() { context.now } else { 0 },
            Purpose::Kubeconfig | Purpose::Rotate => {}
        }
    }
    status.commands = status.commands.saturating_add(1);
    context.act(action);
    let limit = wanted
        .script
        .timeout
        .saturating_add(wanted.then.as_ref().map_or(0, |(script, _)| script.timeout))
        .saturating_add(wanted.delay)
        .saturating_add(GRACE);
    status.guest_exec = Some(GuestExec {
        vm,
        group: wanted.group,
        purpose: wanted.purpose,
        token: token.to_string(),
        script: wanted.of,
        probe: wanted.then.map(|(_, of)| of),
        wait: wanted.wait,
        given_up: false,
        issued: context.now,
        deadline: context.now.saturating_add(limit),
    });
}

/// A command that only waits makes way for what can't wait.
fn make_way(context: &mut Context<'_>, status: &mut Status) {
    let Some(exec) = &status.guest_exec else {
        return;
    };
    let same = |w: &Wanted| (w.purpose, w.group, &w.of) == (exec.purpose, exec.group, &exec.script);
    let urgent = |w: &Wanted| {
        let changes = w.purpose != Purpose::Probe && w.delay == 0;
        // Its answer will be about something that nobody wants any more.
        let outdated = w.group == exec.group && exec.purpose == Purpose::Probe;
        // A question about another group takes seconds; where several wait they take turns anyway.
        let other = w.group != exec.group && w.delay == 0 && exec.wait > PATIENCE_SHARED;
        (changes || outdated || other) && !same(w)
    };
    if context.wanted.iter().any(urgent) {
        give_up(context, status);
    }
}

/// Ends the command that is under way if it only waits. One that may still be changing something first gets its time.
pub(super) fn give_up(context: &mut Context<'_>, status: &mut Status) {
    let now = context.now;
    let vms = context.vms();
    let Some(exec) = status.guest_exec.as_mut().filter(|e| e.wait > 0 && !e.given_up) else {
        return;
    };
    let vm = vms.into_iter().find(|vm| vm.id == exec.vm);
    let changed_by = exec.issued.saturating_add(CHANGING);
    if (exec.purpose == Purpose::Probe || changed_by <= now) && vm.is_some_and(|vm| vm.steady) {
        context.act(Action::CancelExec { vm: exec.vm });
        *exec = cancelled(exec.clone(), now);
    } else {
        exec.given_up = true;
        exec.deadline = changed_by.max(now.saturating_add(1)).min(exec.deadline);
    }
}

/// A command that was told to end. It stays noted until it has: the VM is heard of then, and takes the next one.
fn cancelled(exec: GuestExec, now: u64) -> GuestExec {
    GuestExec {
        wait: 0,
        given_up: true,
        deadline: now.saturating_add(GRACE),
        ..exec
    }
}

/// A control-plane node that can take a command. After a failure the next one gets its turn.
fn node(context: &mut Context<'_>, attempts: u32) -> Option<u32> {
    let free = |vm: &&Vm| {
        let busy = vm
            .command
            .as_ref()
            .is_some_and(|c| c.progress == CommandProgress::Executing);
        let failed = context.observed.failures.iter();
        let refused = failed
            .filter(|(a, _)| matches!(a, Action::Exec { vm: id, .. } if *id == vm.id))
            .count();
        vm.steady && !busy && refused == 0
    };
    let nodes: Vec<u32> = context
        .vms()
        .into_iter()
        // The newest first: it will be replaced last.
        .rev()
        .filter(|vm| vm.tag.as_ref().is_some_and(|t| t.kind == Kind::ControlPlane))
        .filter(free)
        .map(|vm| vm.id)
        .collect();
    if nodes.is_empty() {
        // The first nodes come by themselves: nobody knows their ids.
        context.all_vms();
        return None;
    }
    nodes.get(attempts as usize % nodes.len()).copied()
}
