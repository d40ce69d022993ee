//! What happens to a VM by itself: drivers succeed or fail, monitoring finds something out.

use opennebula::template::Template;

use super::{Action, Hotplug};
use crate::acl::Caller;
use crate::agenda::Task;
use crate::core::Core;
use crate::states::{LcmState, VmState};

impl Core {
    /// Changes the state and saves it.
    pub(crate) fn set_vm_state(&mut self, id: u32, state: VmState, lcm_state: LcmState) {
        if let Some(vm) = self.vms.get_mut(id) {
            (vm.state, vm.lcm_state) = (state, lcm_state);
        }
        self.vm_saved(id);
    }

    pub(super) fn set_lcm_state(&mut self, id: u32, lcm_state: LcmState) {
        self.set_vm_state(id, VmState::Active, lcm_state);
    }

    /// A VM was written to the database: if its state is another than before, hooks and guests get to know.
    pub(crate) fn vm_saved(&mut self, id: u32) {
        let Some(vm) = self.vms.get(id) else { return };
        let is_new = vm.serial == 0 && vm.history.is_empty() && vm.prev_state == vm.state;
        if !is_new && (vm.prev_state, vm.prev_lcm_state) == (vm.state, vm.lcm_state) {
            return;
        }
        self.publish_vm(id);
        self.tell_guests(id);
        if let Some(vm) = self.vms.get_mut(id) {
            (vm.prev_state, vm.prev_lcm_state) = (vm.state, vm.lcm_state);
            // From now on it is not new.
            vm.serial = vm.serial.max(1);
        }
    }

    /// Asks a driver for something that ends in some seconds. Whatever was asked before is forgotten.
    pub(crate) fn drive(&mut self, id: u32, seconds: u64) {
        let Some(vm) = self.vms.get_mut(id) else { return };
        vm.serial += 1;
        let serial = vm.serial;
        self.agenda
            .at(self.now + seconds, Task::Driver { vm: id, serial });
    }

    /// The scheduler has chosen a host.
    pub(crate) fn deploy_on(&mut self, id: u32, host: u32) {
        let now = self.now;
        let Some(host_name) = self.hosts.get(host).map(|host| host.meta.name.clone()) else {
            return;
        };
        let cluster = self.hosts.get(host).map_or(0, |host| host.cluster);
        let datastore = self.system_datastore(cluster);
        let Some(vm) = self.vms.get_mut(id) else { return };
        let last_action = vm.history.last().map(|record| record.action);
        let seq = u32::try_from(vm.history.len()).unwrap_or(u32::MAX);
        let mut record = super::History::new(seq, host, host_name, cluster, now);
        record.datastore = datastore;
        vm.history.push(record);
        vm.template.set("TM_MAD_SYSTEM", "dummy");
        vm.user_template.remove("SCHED_MESSAGE");
        self.occupy(id, host, true);
        self.set_lcm_state(id, LcmState::LcmInit);
        let lcm_state = match last_action {
            Some(Action::Stop) => LcmState::PrologResume,
            Some(Action::Undeploy | Action::UndeployHard) => LcmState::PrologUndeploy,
            _ => LcmState::Prolog,
        };
        self.set_lcm_state(id, lcm_state);
        self.drive(id, self.config.timings.prolog);
    }

    fn system_datastore(&self, cluster: u32) -> u32 {
        let found = self.datastores.values().find(|datastore| {
            datastore.kind == crate::datastores::DatastoreKind::System
                && datastore.clusters.contains(&cluster)
        });
        found.map_or(0, |datastore| datastore.meta.id)
    }

    /// Adds a VM's capacity to a host, or takes it away.
    pub(crate) fn occupy(&mut self, id: u32, host: u32, on: bool) {
        let Some((cpu, memory)) = self.vms.get(id).map(super::Vm::capacity) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(host) else {
            return;
        };
        if on == host.vms.contains(&id) {
            return;
        }
        if on {
            host.vms.insert(id);
            host.cpu_usage += cpu;
            host.memory_usage += memory;
        } else {
            host.vms.remove(&id);
            host.cpu_usage = host.cpu_usage.saturating_sub(cpu);
            host.memory_usage = host.memory_usage.saturating_sub(memory);
        }
    }

    pub(super) fn leave_host(&mut self, id: u32) {
        if let Some(host) = self.vms.get(id).and_then(super::Vm::host) {
            self.occupy(id, host, false);
        }
    }

    pub(super) fn record(&mut self, id: u32, change: impl FnOnce(&mut super::History)) {
        if let Some(record) = self.vms.get_mut(id).and_then(|vm| vm.history.last_mut()) {
            change(record);
        }
    }

    /// A driver has finished.
    pub(crate) fn driver_done(&mut self, id: u32, serial: u64) {
        let Some(vm) = self
            .vms
            .get(id)
            .filter(|vm| vm.serial == serial && vm.state == VmState::Active)
        else {
            return;
        };
        let timings = self.config.timings;
        let now = self.now;
        match vm.lcm_state {
            LcmState::Prolog | LcmState::PrologUndeploy | LcmState::PrologResume => self.prolog_success(id),
            LcmState::Boot
            | LcmState::BootPoweroff
            | LcmState::BootSuspended
            | LcmState::BootStopped
            | LcmState::BootUndeploy
            | LcmState::BootUnknown => {
                let name = vm.meta.name.clone();
                if self.faults.boot_fails(id, &name) {
                    self.boot_failure(id);
                } else {
                    self.boot_success(id);
                }
            }
            LcmState::Shutdown | LcmState::ShutdownPoweroff | LcmState::ShutdownUndeploy => {
                let ignores = !vm.hard && self.faults.ignores_acpi(id, &vm.meta.name);
                if ignores {
                    self.record(id, |record| record.set_action(Action::None, None));
                    self.set_lcm_state(id, LcmState::Running);
                } else {
                    self.shutdown_success(id);
                }
            }
            LcmState::Epilog => {
                self.record(id, |record| (record.epilog.1, record.etime) = (now, now));
                self.leave_host(id);
                self.vm_done(id);
            }
            LcmState::EpilogUndeploy | LcmState::EpilogStop => {
                let state = if vm.lcm_state == LcmState::EpilogStop {
                    VmState::Stopped
                } else {
                    VmState::Undeployed
                };
                self.record(id, |record| (record.epilog.1, record.etime) = (now, now));
                self.leave_host(id);
                self.set_vm_state(id, state, LcmState::LcmInit);
                self.stop_running_quota(id);
            }
            LcmState::SaveSuspend => {
                self.record(id, |record| record.running.1 = now);
                self.set_vm_state(id, VmState::Suspended, LcmState::LcmInit);
                self.stop_running_quota(id);
            }
            LcmState::SaveStop => {
                self.record(id, |record| (record.running.1, record.epilog.0) = (now, now));
                self.set_lcm_state(id, LcmState::EpilogStop);
                self.drive(id, timings.epilog);
            }
            LcmState::Hotplug => self.hotplug_done(id),
            LcmState::HotplugNic => {
                self.nic_done(id);
                self.set_lcm_state(id, LcmState::Running);
            }
            LcmState::CleanupDelete => self.vm_done(id),
            LcmState::CleanupResubmit => self.resubmit(id),
            _ => {}
        }
    }

    fn prolog_success(&mut self, id: u32) {
        let Some(vm) = self.vms.get(id) else { return };
        let name = vm.meta.name.clone();
        let (lcm_state, failure) = match vm.lcm_state {
            LcmState::PrologUndeploy => (LcmState::BootUndeploy, LcmState::PrologUndeployFailure),
            LcmState::PrologResume => (LcmState::BootStopped, LcmState::PrologResumeFailure),
            _ => (LcmState::Boot, LcmState::PrologFailure),
        };
        if self.faults.prolog_fails(id, &name) {
            self.set_error(id, "Error copying image: dummy transfer failed");
            self.set_lcm_state(id, failure);
            return;
        }
        let now = self.now;
        self.record(id, |record| (record.prolog.1, record.running.0) = (now, now));
        self.set_lcm_state(id, lcm_state);
        self.drive(id, self.config.timings.boot);
    }

    pub(super) fn boot_success(&mut self, id: u32) {
        let Some(vm) = self.vms.get_mut(id) else { return };
        if let Some(host) = vm.history.last().map(|record| record.host_name.clone()) {
            vm.deploy_id = format!("{host}:{}:dummy", vm.meta.name);
        }
        self.record(id, |record| {
            record.set_action(Action::None, None);
            (record.etime, record.running.1) = (0, 0);
        });
        self.set_lcm_state(id, LcmState::Running);
    }

    pub(super) fn boot_failure(&mut self, id: u32) {
        let Some(vm) = self.vms.get(id) else { return };
        let host = vm
            .history
            .last()
            .map(|record| record.host_name.clone())
            .unwrap_or_default();
        let text = format!("DEPLOY: {host}:{}:dummy", vm.meta.name);
        let lcm_state = vm.lcm_state;
        self.set_error(id, &text);
        let now = self.now;
        self.record(id, |record| record.running.1 = now);
        match lcm_state {
            LcmState::BootPoweroff => {
                self.set_vm_state(id, VmState::Poweroff, LcmState::LcmInit);
                self.stop_running_quota(id);
            }
            LcmState::BootSuspended => {
                self.set_vm_state(id, VmState::Suspended, LcmState::LcmInit);
                self.stop_running_quota(id);
            }
            LcmState::BootStopped => self.set_lcm_state(id, LcmState::BootStoppedFailure),
            LcmState::BootUndeploy => self.set_lcm_state(id, LcmState::BootUndeployFailure),
            LcmState::BootUnknown => self.set_lcm_state(id, LcmState::Unknown),
            _ => self.set_lcm_state(id, LcmState::BootFailure),
        }
    }

    fn shutdown_success(&mut self, id: u32) {
        self.cancel_command(id);
        let now = self.now;
        let epilog = self.config.timings.epilog;
        match self.vms.get(id).map(|vm| vm.lcm_state) {
            Some(LcmState::ShutdownPoweroff) => {
                self.record(id, |record| record.running.1 = now);
                self.set_vm_state(id, VmState::Poweroff, LcmState::LcmInit);
                self.stop_running_quota(id);
            }
            Some(LcmState::ShutdownUndeploy) => {
                self.record(id, |record| (record.running.1, record.epilog.0) = (now, now));
                self.set_lcm_state(id, LcmState::EpilogUndeploy);
                self.drive(id, epilog);
            }
            _ => {
                self.record(id, |record| (record.running.1, record.epilog.0) = (now, now));
                self.set_lcm_state(id, LcmState::Epilog);
                self.drive(id, epilog);
            }
        }
    }

    fn hotplug_done(&mut self, id: u32) {
        // The dummy hypervisor goes on reporting a command that was cancelled.
        let repeats = !self.has_guests && self.config.dummy_repeats_results;
        let hotplug = self.vms.get(id).map_or(Hotplug::None, |vm| vm.hotplug);
        if let Some(vm) = self.vms.get_mut(id) {
            vm.hotplug = Hotplug::None;
            match hotplug {
                Hotplug::Exec => vm.template.set_in("QEMU_GA_EXEC", "STATUS", "EXECUTING"),
                Hotplug::CancelExec => {
                    vm.template.set_in("QEMU_GA_EXEC", "STATUS", "CANCELLED");
                    if !repeats {
                        vm.command = None;
                    }
                }
                Hotplug::Config | Hotplug::None => {}
            }
        }
        self.set_lcm_state(id, LcmState::Running);
        if hotplug == Hotplug::Exec {
            self.start_command(id);
        }
    }

    /// The VM is DONE and gives everything back.
    pub(crate) fn vm_done(&mut self, id: u32) {
        let now = self.now;
        self.leave_host(id);
        let Some((usage, uid, gid)) = self.vms.get(id).map(|vm| (vm.usage(), vm.meta.uid, vm.meta.gid))
        else {
            return;
        };
        self.discharge(uid, gid, &usage);
        self.release_resources(id);
        let mut actions = Vec::new();
        if let Some(vm) = self.vms.get_mut(id) {
            vm.etime = now;
            vm.runs_on_quota = false;
            vm.command = None;
            vm.serial += 1;
            if let Some(record) = vm.history.last_mut() {
                if record.running.0 != 0 && record.running.1 == 0 {
                    record.running.1 = now;
                }
                if record.etime == 0 {
                    record.etime = now;
                }
            }
            actions.extend(std::mem::take(&mut vm.sched_actions));
        }
        self.set_vm_state(id, VmState::Done, LcmState::LcmInit);
        if let Some(vm) = self.vms.get_mut(id) {
            vm.sched_xml.clear();
        }
        for action in actions {
            self.sched_actions.remove(action);
        }
        for router in self.vrouters.values_mut() {
            router.vms.remove(&id);
        }
        self.trigger_scheduler();
    }

    fn resubmit(&mut self, id: u32) {
        if let Some(vm) = self.vms.get_mut(id) {
            vm.deploy_id.clear();
            vm.template.remove("QEMU_GA_EXEC");
            vm.pending_since = self.now;
        }
        self.set_vm_state(id, VmState::Pending, LcmState::LcmInit);
        self.trigger_scheduler();
    }

    pub(super) fn stop_running_quota(&mut self, id: u32) {
        let Some(vm) = self.vms.get_mut(id).filter(|vm| vm.runs_on_quota) else {
            return;
        };
        let usage = vm.running_usage();
        vm.runs_on_quota = false;
        let (uid, gid) = (vm.meta.uid, vm.meta.gid);
        self.discharge(uid, gid, &usage);
    }

    /// An image that the VM waited for is there.
    pub(crate) fn image_copied(&mut self, id: u32) {
        let Some(vm) = self.vms.get_mut(id).filter(|vm| vm.state == VmState::Cloning) else {
            return;
        };
        let hold = vm.hold_after_cloning;
        vm.template = vm
            .template
            .iter()
            .map(|attribute| {
                let mut attribute = attribute.clone();
                if let opennebula::template::AttributeValue::Vector(pairs) = &mut attribute.value
                    && attribute.name == "DISK"
                {
                    pairs.retain(|(key, _)| key != "CLONING");
                }
                attribute
            })
            .collect::<Template>();
        vm.pending_since = self.now;
        self.set_vm_state(
            id,
            if hold { VmState::Hold } else { VmState::Pending },
            LcmState::LcmInit,
        );
        self.trigger_scheduler();
    }

    /// Notes an error for people, as drivers do.
    pub(crate) fn set_error(&mut self, id: u32, text: &str) {
        let text = format!("{}: {text}", crate::clock::asctime(self.now));
        if let Some(vm) = self.vms.get_mut(id) {
            vm.user_template.set("ERROR", text);
        }
    }

    /// Ends the record, for an action, and begins the next one on the same host.
    pub(super) fn next_record(
        &mut self,
        id: u32,
        ended_by: Option<(Action, Option<&Caller>)>,
        begun_by: Option<(Action, Option<&Caller>)>,
    ) {
        let now = self.now;
        let Some(vm) = self.vms.get_mut(id) else { return };
        let Some(last) = vm.history.last_mut() else { return };
        last.etime = now;
        if let Some((action, caller)) = ended_by {
            last.set_action(action, caller);
            if last.running.1 == 0 {
                last.running.1 = now;
            }
        }
        let mut next = last.next(now);
        next.datastore = last.datastore;
        if let Some((action, caller)) = begun_by {
            next.set_action(action, caller);
        }
        vm.history.push(next);
    }
}

/// What a test can do to VMs from outside.
impl Core {
    /// Monitoring finds a running VM powered off.
    pub(crate) fn vm_found_off(&mut self, id: u32) -> bool {
        let is_up = self
            .vms
            .get(id)
            .is_some_and(|vm| vm.is_running() || vm.is_active_in(LcmState::Unknown));
        if is_up {
            self.begin_stop(id, LcmState::ShutdownPoweroff, true, Action::Monitor, None);
            self.shutdown_success(id);
        }
        is_up
    }

    /// Monitoring loses sight of a running VM.
    pub(crate) fn vm_lost(&mut self, id: u32) -> bool {
        let running = self.vms.get(id).is_some_and(super::Vm::is_running);
        if running {
            self.set_lcm_state(id, LcmState::Unknown);
        }
        running
    }

    /// Monitoring finds a lost VM again.
    pub(crate) fn vm_found(&mut self, id: u32) -> bool {
        let lost = self
            .vms
            .get(id)
            .is_some_and(|vm| vm.is_active_in(LcmState::Unknown));
        if lost {
            self.set_lcm_state(id, LcmState::Running);
        }
        lost
    }
}
