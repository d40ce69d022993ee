//! Commands in guests, through the QEMU guest agent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use opennebula::template::{AttributeValue, Template};
use opennebula::xmlrpc::Value;

use super::{Action, Command, Hotplug};
use crate::acl::Caller;
use crate::agenda::Task;
use crate::core::Core;
use crate::failure::Failure;
use crate::guest::ExecResult;
use crate::meta::{ObjectKind, Operation};
use crate::notices::Notice;
use crate::rpc::{Args, Context, Outcome};
use crate::states::{LcmState, VmState};

const BLOCK: &str = "QEMU_GA_EXEC";

/// `one.vm.exec`: id, command, standard input (base64).
pub(crate) fn exec(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let vm = core.existing(ObjectKind::Vm, id)?.meta().id;
    core.start_exec(vm, args.text(1), args.text(2), Action::Exec, &ctx.caller)
        .map_err(Failure::action)?;
    Ok(Value::from(id))
}

/// `one.vm.retryexec`: the last command once more.
pub(crate) fn retry_exec(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let vm = core.existing(ObjectKind::Vm, id)?.meta().id;
    let value = |key: &str| {
        core.vms
            .get(vm)
            .and_then(|vm| vm.template.get_in(BLOCK, key))
            .unwrap_or("")
            .to_owned()
    };
    let (command, stdin) = (value("COMMAND"), value("STDIN"));
    if command.is_empty() {
        return Err(Failure::action(
            "Could not execute command, there is no previous command",
        ));
    }
    core.start_exec(vm, &command, &stdin, Action::Exec, &ctx.caller)
        .map_err(Failure::action)?;
    Ok(Value::from(id))
}

/// `one.vm.cancelexec`.
pub(crate) fn cancel_exec(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    let Some(vm) = core.vms.get_mut(vm_id) else {
        return Err(Failure::no_exists(id));
    };
    if !vm.is_running() {
        return Err(Failure::action("Could not cancel command, VM must be in running"));
    }
    if vm.template.get_in(BLOCK, "STATUS") != Some("EXECUTING") {
        return Err(Failure::action(
            "Could not cancel command, there is no command being executed",
        ));
    }
    vm.hotplug = Hotplug::CancelExec;
    core.next_record(vm_id, Some((Action::ExecCancel, Some(&ctx.caller))), None);
    core.set_vm_state(vm_id, VmState::Active, LcmState::Hotplug);
    core.drive(vm_id, core.config.timings.hotplug);
    Ok(Value::from(id))
}

impl Core {
    fn start_exec(
        &mut self,
        id: u32,
        command: &str,
        stdin: &str,
        action: Action,
        caller: &Caller,
    ) -> Result<(), String> {
        let Some(vm) = self.vms.get_mut(id) else {
            return Err("Could not execute command, VM does not exist".into());
        };
        if !vm.is_running() {
            return Err("Could not execute command, VM must be in running".into());
        }
        if vm.template.get_in(BLOCK, "STATUS") == Some("EXECUTING") {
            return Err("Could not execute command, a command is already being executed".into());
        }
        vm.hotplug = Hotplug::Exec;
        vm.template
            .set_vector(BLOCK, [("COMMAND", command), ("STDIN", stdin)]);
        vm.command = None;
        self.next_record(id, Some((action, Some(caller))), None);
        self.set_vm_state(id, VmState::Active, LcmState::Hotplug);
        self.drive(id, self.config.timings.hotplug);
        Ok(())
    }

    /// The hypervisor has handed the command over.
    pub(super) fn start_command(&mut self, id: u32) {
        let Some(vm) = self.vms.get_mut(id) else { return };
        let serial = vm.serial;
        vm.command = Some(Command { serial, result: None });
        let value = |vm: &super::Vm, key: &str| vm.template.get_in(BLOCK, key).unwrap_or("").to_owned();
        let (command, stdin) = (value(vm, "COMMAND"), value(vm, "STDIN"));
        if self.has_guests {
            let stdin = BASE64
                .decode(stdin.as_bytes())
                .unwrap_or_else(|_| stdin.into_bytes());
            if let Some(facts) = self.vm_facts(id) {
                self.notices.push_back(Notice::Exec {
                    facts: Box::new(facts),
                    command,
                    stdin,
                    serial,
                });
            }
        } else {
            let result = ExecResult {
                stdout: format!("Execution finished for VM {id}").into_bytes(),
                ..ExecResult::default()
            };
            self.exec_result(id, serial, self.now, result);
        }
    }

    /// A command has a result, or will have at `due`.
    pub(crate) fn exec_result(&mut self, id: u32, serial: u64, due: u64, result: ExecResult) {
        let Some(command) = self.vms.get_mut(id).and_then(|vm| vm.command.as_mut()) else {
            return;
        };
        if command.serial == serial {
            command.result = Some((due, result));
            self.schedule_probe(due);
        }
    }

    /// Plans the first probe at or after `due`. Probes come at multiples of their period.
    fn schedule_probe(&mut self, due: u64) {
        let period = self.config.timings.exec_probe.max(1);
        let start = self.config.start;
        let since = due.max(self.now + 1).saturating_sub(start);
        let at = start + since.div_ceil(period) * period;
        self.agenda.at(at, Task::ExecProbe);
    }

    /// A probe brings the results that exist by now.
    pub(crate) fn exec_probe(&mut self) {
        let now = self.now;
        let due: Vec<u32> = self
            .vms
            .iter()
            .filter(|(_, vm)| vm.state == VmState::Active)
            .filter(|(_, vm)| {
                vm.command
                    .as_ref()
                    .is_some_and(|command| matches!(&command.result, Some((at, _)) if *at <= now))
            })
            .map(|(id, _)| id)
            .collect();
        for id in due {
            self.report_command(id);
        }
        let again = !self.has_guests
            && self.config.dummy_repeats_results
            && !self.agenda.has(&Task::ExecProbe)
            && self.vms.values().any(|vm| vm.command.is_some());
        if again {
            self.schedule_probe(now + 1);
        }
    }

    fn report_command(&mut self, id: u32) {
        let repeats = !self.has_guests && self.config.dummy_repeats_results;
        let limit = self.config.exec_output_limit;
        let Some(vm) = self.vms.get_mut(id) else { return };
        // While the VM is being changed, the report finds the block without a status and is lost.
        if !vm.is_running() {
            let due = self.now + 1;
            self.schedule_probe(due);
            return;
        }
        let command = if repeats {
            vm.command.clone()
        } else {
            vm.command.take()
        };
        let Some((_, result)) = command.and_then(|command| command.result) else {
            return;
        };
        let (stdout, stderr) = (BASE64.encode(&result.stdout), BASE64.encode(&result.stderr));
        if stdout.len() + stderr.len() > limit {
            // The datagram is too long: nobody ever hears of it.
            return;
        }
        for (key, text) in [
            ("PID", id.to_string()),
            ("RETURN_CODE", result.return_code.to_string()),
            ("STATUS", "DONE".into()),
            ("STDERR", stderr),
            ("STDOUT", stdout),
        ] {
            vm.template.set_in(BLOCK, key, text);
        }
        let block = sorted_block(&vm.template);
        self.publish_vm_monitor(id, &block);
    }

    /// The VM stops; its command will not end.
    pub(super) fn cancel_command(&mut self, id: u32) {
        let Some(vm) = self.vms.get_mut(id) else { return };
        if vm.template.get_in(BLOCK, "STATUS") == Some("EXECUTING") {
            vm.template.set_in(BLOCK, "STATUS", "CANCELLED");
        }
        if vm.command.take().is_some() && self.has_guests {
            self.notices.push_back(Notice::Cancelled { id });
        }
    }
}

fn sorted_block(template: &Template) -> Vec<(String, String)> {
    let block = template.iter().find(|attribute| attribute.name == BLOCK);
    let mut pairs = match block.map(|attribute| &attribute.value) {
        Some(AttributeValue::Vector(pairs)) => pairs.clone(),
        _ => Vec::new(),
    };
    pairs.sort();
    pairs
}
