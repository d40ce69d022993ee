//! What the guests have to be told, and the result that comes back.

use crate::core::Core;
use crate::guest::{ExecResult, VmFacts};

/// Something for the guests.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    Changed(Box<VmFacts>),
    Exec {
        facts: Box<VmFacts>,
        command: String,
        stdin: Vec<u8>,
        serial: u64,
    },
    Cancelled {
        id: u32,
    },
}

impl Core {
    /// Notes a change of a VM for the guests.
    pub(crate) fn tell_guests(&mut self, id: u32) {
        if self.has_guests
            && let Some(facts) = self.vm_facts(id)
        {
            self.notices.push_back(Notice::Changed(Box::new(facts)));
        }
    }

    /// What guests may know of a VM.
    pub(crate) fn vm_facts(&self, id: u32) -> Option<VmFacts> {
        let vm = self.vms.get(id)?;
        Some(VmFacts {
            id,
            uid: vm.meta.uid,
            gid: vm.meta.gid,
            uname: vm.meta.uname.clone(),
            name: vm.meta.name.clone(),
            state: vm.state,
            lcm_state: vm.lcm_state,
            prev_state: vm.prev_state,
            prev_lcm_state: vm.prev_lcm_state,
            host_id: vm.host(),
            template: vm.full_template(),
            user_template: vm.user_template.clone(),
        })
    }

    /// A guest has finished the command that runs in it.
    pub(crate) fn command_ended(&mut self, id: u32, result: ExecResult) {
        let serial = self
            .vms
            .get(id)
            .and_then(|vm| vm.command.as_ref())
            .map(|c| c.serial);
        if let Some(serial) = serial {
            self.guest_finished(id, serial, result);
        }
    }

    /// A guest has finished a command, or will have after some seconds.
    pub(crate) fn guest_finished(&mut self, id: u32, serial: u64, result: ExecResult) {
        let due = self.now + result.seconds;
        self.exec_result(id, serial, due, result);
    }
}
