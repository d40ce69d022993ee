//! What calls ask the life-cycle manager for: the VM begins to go down, up or away.

use super::Action;
use crate::acl::Caller;
use crate::core::Core;
use crate::states::{LcmState, VmState};

/// Something that oned's life-cycle manager does after the call that asked for it has been answered.
#[derive(Clone, Debug)]
pub(crate) enum Trigger {
    Shutdown { hard: bool, caller: Option<Caller> },
    Poweroff { hard: bool, caller: Option<Caller> },
    Undeploy { hard: bool, caller: Option<Caller> },
    Suspend { caller: Option<Caller> },
    Stop { caller: Option<Caller> },
    Resume { caller: Option<Caller> },
    Delete { caller: Option<Caller> },
    Recreate { caller: Option<Caller> },
}

impl Core {
    /// Performs what was asked for, if the VM is still in a state for it.
    pub(crate) fn trigger(&mut self, id: u32, trigger: &Trigger) {
        let Some(vm) = self.vms.get(id) else { return };
        let (state, lcm_state) = (vm.state, vm.lcm_state);
        let timings = self.config.timings;
        let now = self.now;
        let ignores_acpi = self.faults.ignores_acpi(id, &vm.meta.name);
        let stop = |hard: bool| match (hard, ignores_acpi) {
            (true, _) => timings.cancel,
            (false, true) => timings.shutdown_timeout,
            (false, false) => timings.shutdown,
        };
        let is_up = state == VmState::Active && matches!(lcm_state, LcmState::Running | LcmState::Unknown);
        match trigger {
            Trigger::Shutdown { hard, caller } => {
                let action = if *hard {
                    Action::TerminateHard
                } else {
                    Action::Terminate
                };
                if is_up || (*hard && vm.is_active_in(LcmState::Shutdown)) {
                    self.begin_stop(id, LcmState::Shutdown, *hard, action, caller.as_ref());
                    self.drive(id, stop(*hard));
                } else if state != VmState::Active {
                    self.record(id, |record| {
                        record.set_action(Action::Terminate, caller.as_ref());
                        record.epilog.0 = now;
                    });
                    self.set_lcm_state(id, LcmState::Epilog);
                    self.drive(id, timings.epilog);
                }
            }
            Trigger::Poweroff { hard, caller } if is_up || vm.is_active_in(LcmState::ShutdownPoweroff) => {
                let action = if *hard {
                    Action::PoweroffHard
                } else {
                    Action::Poweroff
                };
                self.begin_stop(id, LcmState::ShutdownPoweroff, *hard, action, caller.as_ref());
                self.drive(id, stop(*hard));
            }
            Trigger::Undeploy { hard, caller } => {
                let action = if *hard {
                    Action::UndeployHard
                } else {
                    Action::Undeploy
                };
                if is_up || vm.is_active_in(LcmState::ShutdownUndeploy) {
                    self.begin_stop(id, LcmState::ShutdownUndeploy, *hard, action, caller.as_ref());
                    self.drive(id, stop(*hard));
                } else if state == VmState::Poweroff {
                    self.record(id, |record| {
                        record.set_action(Action::Undeploy, caller.as_ref());
                        record.epilog.0 = now;
                    });
                    self.set_lcm_state(id, LcmState::EpilogUndeploy);
                    self.drive(id, timings.epilog);
                }
            }
            Trigger::Suspend { caller } if vm.is_running() => {
                self.begin_stop(id, LcmState::SaveSuspend, true, Action::Suspend, caller.as_ref());
                self.drive(id, timings.save);
            }
            Trigger::Stop { caller } => {
                if vm.is_running() {
                    self.begin_stop(id, LcmState::SaveStop, true, Action::Stop, caller.as_ref());
                    self.drive(id, timings.save);
                } else if state == VmState::Suspended {
                    self.record(id, |record| {
                        record.set_action(Action::Stop, caller.as_ref());
                        record.epilog.0 = now;
                    });
                    self.set_lcm_state(id, LcmState::EpilogStop);
                    self.drive(id, timings.epilog);
                }
            }
            Trigger::Resume { caller } => {
                let boot = match state {
                    VmState::Poweroff => LcmState::BootPoweroff,
                    VmState::Suspended => LcmState::BootSuspended,
                    VmState::Active if lcm_state == LcmState::Unknown => LcmState::BootUnknown,
                    _ => return,
                };
                if boot != LcmState::BootUnknown {
                    self.next_record(id, None, Some((Action::Resume, caller.as_ref())));
                }
                self.set_lcm_state(id, boot);
                self.drive(id, timings.boot);
            }
            Trigger::Delete { caller } => self.clean_up(id, Action::Delete, caller.as_ref()),
            Trigger::Recreate { caller } => self.clean_up(id, Action::DeleteRecreate, caller.as_ref()),
            Trigger::Poweroff { .. } | Trigger::Suspend { .. } => {}
        }
    }

    pub(super) fn begin_stop(
        &mut self,
        id: u32,
        lcm_state: LcmState,
        hard: bool,
        action: Action,
        caller: Option<&Caller>,
    ) {
        if let Some(vm) = self.vms.get_mut(id) {
            vm.hard = hard;
            vm.resched = false;
        }
        self.record(id, |record| record.set_action(action, caller));
        self.set_lcm_state(id, lcm_state);
    }

    fn clean_up(&mut self, id: u32, action: Action, caller: Option<&Caller>) {
        let now = self.now;
        let Some(vm) = self.vms.get(id) else { return };
        let lcm_state = vm.lcm_state;
        let is_delete = action == Action::Delete;
        self.cancel_command(id);
        self.leave_host(id);
        self.record(id, |record| {
            record.set_action(action, caller);
            if record.etime == 0 {
                record.etime = now;
            }
            match lcm_state {
                LcmState::Prolog | LcmState::PrologFailure => record.prolog.1 = now,
                LcmState::Epilog | LcmState::EpilogFailure => record.epilog.1 = now,
                _ if record.running.0 != 0 => record.running.1 = now,
                _ => {}
            }
        });
        self.set_lcm_state(
            id,
            if is_delete {
                LcmState::CleanupDelete
            } else {
                LcmState::CleanupResubmit
            },
        );
        if is_delete {
            self.vm_done(id);
        } else {
            self.drive(id, self.config.timings.cleanup);
        }
    }
}
