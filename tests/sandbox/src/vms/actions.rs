//! `one.vm.action`, `one.vm.recover` and `one.vm.deploy`.

use opennebula::xmlrpc::Value;

use super::{Trigger, Vm};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::rpc::{Args, Context, Outcome};
use crate::states::{LcmState, VmState};

/// `one.vm.action`: the action, then the VM.
pub(crate) fn action(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (name, id) = (args.text(0), args.int(1));
    let operation = match name {
        "resched" | "unresched" => Operation::Admin,
        _ => Operation::Manage,
    };
    core.need(&ctx.caller, operation, ObjectKind::Vm, id)?;
    let vm = core.existing(ObjectKind::Vm, id)?.meta().id;
    let refused = match name {
        "resume" => resume(core, ctx, vm)?,
        _ => core.act(name, vm, ctx),
    };
    match refused {
        Ok(()) => Ok(Value::from(id)),
        Err(Refused::Unknown) => Err(Failure::action(format!("Action \"{name}\" is not supported"))),
        Err(Refused::State(cause)) => Err(Failure::action(format!(
            "Error performing action \"{name}\": {cause}"
        ))),
    }
}

/// Why an action was not done.
pub(crate) enum Refused {
    /// There is no such action.
    Unknown,
    /// The VM's state forbids it.
    State(String),
}

/// Resuming takes the RUNNING quotas again.
fn resume(core: &mut Core, ctx: &mut Context, id: u32) -> Result<Result<(), Refused>, Failure> {
    let mut charged = None;
    if let Some(vm) = core
        .vms
        .get(id)
        .filter(|vm| !vm.runs_on_quota && vm.state != VmState::Done)
    {
        let (usage, uid, gid) = (vm.running_usage(), vm.meta.uid, vm.meta.gid);
        core.charge(uid, gid, &usage)
            .map_err(|refusal| Failure::action(refusal.message))?;
        charged = Some((usage, uid, gid));
    }
    let result = core.act("resume", id, ctx);
    match (&result, charged) {
        (Ok(()), Some(_)) => {
            if let Some(vm) = core.vms.get_mut(id) {
                vm.runs_on_quota = true;
            }
        }
        (Err(_), Some((usage, uid, gid))) => core.discharge(uid, gid, &usage),
        _ => {}
    }
    Ok(result)
}

impl Core {
    /// Does an action, or says why the VM's state forbids it.
    pub(crate) fn act(&mut self, name: &str, id: u32, ctx: &Context) -> Result<(), Refused> {
        let caller = Some(ctx.caller.clone());
        let Some(vm) = self.vms.get(id) else { return Ok(()) };
        let (state, lcm_state) = (vm.state, vm.lcm_state);
        let is_up = state == VmState::Active && matches!(lcm_state, LcmState::Running | LcmState::Unknown);
        let hard = name.ends_with("-hard");
        let wrong_state = || {
            Err(Refused::State(format!(
                "This action is not available for state {}",
                vm.state_name()
            )))
        };
        match name {
            "terminate" | "terminate-hard" => self.terminate(id, hard, ctx),
            "hold" if state == VmState::Pending => {
                self.set_vm_state(id, VmState::Hold, LcmState::LcmInit);
                Ok(())
            }
            "release" if state == VmState::Hold => {
                self.release_vm(id);
                Ok(())
            }
            "stop" if state == VmState::Suspended || vm.is_running() => {
                self.later(id, Trigger::Stop { caller });
                Ok(())
            }
            "suspend" if vm.is_running() => {
                self.later(id, Trigger::Suspend { caller });
                Ok(())
            }
            "resume" => match state {
                VmState::Stopped | VmState::Undeployed => {
                    self.make_pending(id);
                    Ok(())
                }
                VmState::Suspended | VmState::Poweroff => {
                    self.later(id, Trigger::Resume { caller });
                    Ok(())
                }
                VmState::Active if lcm_state == LcmState::Unknown => {
                    self.later(id, Trigger::Resume { caller });
                    Ok(())
                }
                _ => wrong_state(),
            },
            "reboot" | "reboot-hard" if vm.is_running() => Ok(()),
            "resched" | "unresched" if is_up || state == VmState::Poweroff => {
                if let Some(vm) = self.vms.get_mut(id) {
                    vm.resched = name == "resched";
                }
                Ok(())
            }
            "poweroff" | "poweroff-hard"
                if is_up || (hard && vm.is_active_in(LcmState::ShutdownPoweroff)) =>
            {
                self.later(id, Trigger::Poweroff { hard, caller });
                Ok(())
            }
            "undeploy" | "undeploy-hard"
                if is_up
                    || state == VmState::Poweroff
                    || (hard && vm.is_active_in(LcmState::ShutdownUndeploy)) =>
            {
                self.later(id, Trigger::Undeploy { hard, caller });
                Ok(())
            }
            "hold" | "release" | "stop" | "suspend" | "reboot" | "reboot-hard" | "resched" | "unresched"
            | "poweroff" | "poweroff-hard" | "undeploy" | "undeploy-hard" => wrong_state(),
            _ => Err(Refused::Unknown),
        }
    }

    /// Ends a VM, from any state that allows it. One that is done already is no error.
    pub(crate) fn terminate(&mut self, id: u32, hard: bool, ctx: &Context) -> Result<(), Refused> {
        let caller = Some(ctx.caller.clone());
        let Some(vm) = self.vms.get(id) else { return Ok(()) };
        match vm.state {
            VmState::Done => {}
            VmState::Suspended | VmState::Poweroff | VmState::Stopped | VmState::Undeployed => {
                self.later(id, Trigger::Shutdown { hard: false, caller });
            }
            VmState::Active => match vm.lcm_state {
                LcmState::Running | LcmState::Unknown => self.later(id, Trigger::Shutdown { hard, caller }),
                LcmState::Shutdown if hard => self.later(id, Trigger::Shutdown { hard, caller }),
                lcm_state if lcm_state.is_failure() => self.later(id, Trigger::Delete { caller }),
                lcm_state => {
                    return Err(Refused::State(format!(
                        "Could not terminate VM {id}, wrong state {}.",
                        lcm_state.name()
                    )));
                }
            },
            _ => self.vm_done(id),
        }
        Ok(())
    }

    pub(crate) fn release_vm(&mut self, id: u32) {
        if self.vms.get(id).is_some_and(|vm| vm.state == VmState::Hold) {
            self.make_pending(id);
        }
    }

    fn make_pending(&mut self, id: u32) {
        if let Some(vm) = self.vms.get_mut(id) {
            vm.pending_since = self.now;
        }
        self.set_vm_state(id, VmState::Pending, LcmState::LcmInit);
        self.trigger_scheduler();
    }

    /// Lets the life-cycle manager do something once the call has been answered.
    pub(crate) fn later(&mut self, id: u32, trigger: Trigger) {
        self.triggers.push_back((id, trigger));
    }

    /// Does what calls have left for later.
    pub(crate) fn run_triggers(&mut self) {
        while let Some((id, trigger)) = self.triggers.pop_front() {
            self.trigger(id, &trigger);
        }
    }
}

/// `one.vm.recover`: id, operation (0 failure, 1 success, 2 retry, 3 delete, 4 delete-recreate, 5 delete-db).
pub(crate) fn recover(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, operation) = (args.int(0), args.int(1));
    core.need(&ctx.caller, Operation::Admin, ObjectKind::Vm, id)?;
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    let Some(vm) = core.vms.get(vm_id) else {
        return Err(Failure::no_exists(id));
    };
    let caller = Some(ctx.caller.clone());
    let wrong_state = |what: &str, vm: &Vm| {
        Failure::action(format!(
            "Could not perform a {what} on VM {id}, wrong state {}.",
            vm.state_name()
        ))
    };
    match operation {
        0 | 1 => match vm.state {
            VmState::Active => core.recover_active(vm_id, operation == 1),
            VmState::CloningFailure => core.image_copied(vm_id),
            _ => return Err(wrong_state("recover operation", vm)),
        },
        2 => match vm.state {
            VmState::Active => core.retry(vm_id),
            _ => return Err(wrong_state("retry", vm)),
        },
        3 => match vm.state {
            VmState::Active => core.later(vm_id, Trigger::Delete { caller }),
            VmState::Done => {}
            _ => core.vm_done(vm_id),
        },
        4 => match vm.state {
            VmState::Done => {
                return Err(Failure::action(
                    "Cannot delete-recreate a VM already in DONE state",
                ));
            }
            VmState::Active | VmState::Poweroff | VmState::Suspended => {
                core.later(vm_id, Trigger::Recreate { caller });
            }
            VmState::Hold | VmState::Stopped | VmState::Undeployed => core.make_pending(vm_id),
            _ => {}
        },
        5 => core.vm_done(vm_id),
        _ => return Err(Failure::action("Wrong recovery operation code")),
    }
    Ok(Value::from(id))
}

impl Core {
    /// Takes what a driver is busy with, or failed at, for done or for failed.
    fn recover_active(&mut self, id: u32, success: bool) {
        let Some(vm) = self.vms.get_mut(id) else { return };
        let lcm_state = vm.lcm_state;
        vm.serial += 1;
        let serial = vm.serial;
        if lcm_state == LcmState::Unknown {
            self.set_vm_state(id, VmState::Active, LcmState::Running);
            return;
        }
        if lcm_state == LcmState::Running {
            return;
        }
        if !success {
            match lcm_state {
                LcmState::Boot
                | LcmState::BootPoweroff
                | LcmState::BootSuspended
                | LcmState::BootStopped
                | LcmState::BootUndeploy
                | LcmState::BootUnknown => self.boot_failure(id),
                LcmState::Prolog => self.set_vm_state(id, VmState::Active, LcmState::PrologFailure),
                LcmState::Epilog => self.set_vm_state(id, VmState::Active, LcmState::EpilogFailure),
                LcmState::Shutdown
                | LcmState::ShutdownPoweroff
                | LcmState::ShutdownUndeploy
                | LcmState::Hotplug => {
                    self.set_vm_state(id, VmState::Active, LcmState::Running);
                }
                _ => {}
            }
            return;
        }
        match lcm_state {
            LcmState::BootFailure | LcmState::BootStoppedFailure | LcmState::BootUndeployFailure => {
                self.boot_success(id);
            }
            failure if failure.is_failure() => {
                if let Some(busy) = before_failure(failure) {
                    if let Some(vm) = self.vms.get_mut(id) {
                        vm.lcm_state = busy;
                    }
                    self.driver_done(id, serial);
                }
            }
            _ => self.driver_done(id, serial),
        }
    }

    /// Asks the driver again for what failed.
    fn retry(&mut self, id: u32) {
        let timings = self.config.timings;
        let Some(busy) = self.vms.get(id).and_then(|vm| before_failure(vm.lcm_state)) else {
            return;
        };
        let seconds = match busy {
            LcmState::Prolog | LcmState::PrologResume | LcmState::PrologUndeploy => timings.prolog,
            LcmState::Epilog | LcmState::EpilogStop | LcmState::EpilogUndeploy => timings.epilog,
            _ => timings.boot,
        };
        self.set_vm_state(id, VmState::Active, busy);
        self.drive(id, seconds);
    }
}

/// What a VM was doing when it failed.
fn before_failure(failure: LcmState) -> Option<LcmState> {
    Some(match failure {
        LcmState::BootFailure => LcmState::Boot,
        LcmState::BootStoppedFailure => LcmState::BootStopped,
        LcmState::BootUndeployFailure => LcmState::BootUndeploy,
        LcmState::PrologFailure => LcmState::Prolog,
        LcmState::PrologResumeFailure => LcmState::PrologResume,
        LcmState::PrologUndeployFailure => LcmState::PrologUndeploy,
        LcmState::EpilogFailure => LcmState::Epilog,
        LcmState::EpilogStopFailure => LcmState::EpilogStop,
        LcmState::EpilogUndeployFailure => LcmState::EpilogUndeploy,
        _ => return None,
    })
}

/// `one.vm.deploy`: VM, host, enforce capacity.
pub(crate) fn deploy(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, host, enforce) = (args.int(0), args.int(1), args.flag(2));
    let host_id = core
        .existing(ObjectKind::Host, host)
        .map_err(|_| Failure::no_exists_of(ObjectKind::Host, host))?
        .meta()
        .id;
    core.need(&ctx.caller, Operation::Admin, ObjectKind::Vm, id)?;
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    let Some(vm) = core.vms.get(vm_id) else {
        return Err(Failure::no_exists(id));
    };
    if !matches!(
        vm.state,
        VmState::Pending | VmState::Hold | VmState::Stopped | VmState::Undeployed
    ) {
        return Err(Failure::action(format!(
            "Deploy action is not available for state {}",
            vm.state_name()
        )));
    }
    if enforce && !core.fits(vm, host_id) {
        return Err(Failure::action(format!(
            "Host {host} does not have enough capacity for VM {id}."
        )));
    }
    core.deploy_on(vm_id, host_id);
    Ok(Value::from(id))
}

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::*;

    #[test]
    fn every_failure_of_the_usual_life_can_be_retried() {
        use LcmState as L;
        for (failure, busy) in [
            (L::BootFailure, Some(L::Boot)),
            (L::PrologFailure, Some(L::Prolog)),
            (L::EpilogUndeployFailure, Some(L::EpilogUndeploy)),
            (L::Running, None),
        ] {
            assert_eq!(before_failure(failure), busy);
        }
        assert_eq!(Action::TerminateHard as u8, 28);
    }
}
