//! Guest commands: one at a time for a cluster, on any running control-plane node, matched by token.
//!
//! A command is only ever *started* here, or told to end. Its result comes with a later event, on the VM, and is taken
//! from there (`results.rs`); if the event is lost, the sweep finds it. "Look again in a while" is a command that sleeps
//! first.

use oneks_driver::Script;

use crate::action::Action;
use crate::names::CommandToken;
use crate::observed::{Kind, Progress as CommandProgress, Vm};
use crate::plan::bundle;
use crate::plan::context::Context;
use crate::plan::observe::PATIENCE_SHARED;
use crate::plan::work::group_mut;
use crate::status::{Group, GuestExec, Purpose, Status};

/// Seconds on top of a script's own limit: the hypervisor's agent reports every few seconds, and events may be late.
const GRACE: u64 = 60;

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
pub(super) fn cancelled(exec: GuestExec, now: u64) -> GuestExec {
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
