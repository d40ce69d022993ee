//! Virtual machines.

mod actions;
mod context;
mod create;
mod edit;
mod exec;
mod history;
mod lifecycle;
mod network;
mod pool;
mod resources;
mod triggers;
mod updateconf;
mod variables;
mod write;

use std::collections::BTreeSet;

use opennebula::template::{Template, vector_value};

pub use history::{Action, History};
pub(crate) use triggers::Trigger;

pub(crate) use actions::{Refused, action, deploy, recover};
pub(crate) use create::allocate;
pub(crate) use edit::{resize, update};
pub(crate) use exec::{cancel_exec, exec, retry_exec};
pub(crate) use network::{attach_nic, detach_nic};
pub(crate) use pool::{info, pool_info, pool_info_extended, pool_info_set};
pub(crate) use resources::set;
pub(crate) use updateconf::update_conf;

use crate::meta::Meta;
use crate::pool::Object;
use crate::quotas::Usage;
use crate::states::{LcmState, VmState};
use crate::xml::Xml;

/// A virtual machine.
#[allow(clippy::struct_excessive_bools)] // They are independent of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Vm {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// State.
    pub state: VmState,
    /// State while active.
    pub lcm_state: LcmState,
    /// State before the last change; equal to `state` once the change is saved.
    pub prev_state: VmState,
    /// State before the last change, while active.
    pub prev_lcm_state: LcmState,
    /// Creation, epoch seconds.
    pub stime: u64,
    /// End, epoch seconds; 0 before.
    pub etime: u64,
    /// What OpenNebula knows.
    pub template: Template,
    /// Everything else.
    pub user_template: Template,
    /// Records, the oldest first.
    pub history: Vec<History>,
    pub(crate) deploy_id: String,
    pub(crate) resched: bool,
    /// Counts what drivers are asked to do. A driver that ends an older request is ignored.
    pub(crate) serial: u64,
    /// What HOTPLUG is for.
    pub(crate) hotplug: Hotplug,
    /// The command in the guest, if one is on its way or its result has not been reported.
    pub(crate) command: Option<Command>,
    /// Whether the shutdown that goes on is a hard one.
    pub(crate) hard: bool,
    /// Whether RUNNING quotas are charged.
    pub(crate) runs_on_quota: bool,
    /// Since when the scheduler can see it.
    pub(crate) pending_since: u64,
    pub(crate) sched_actions: BTreeSet<u32>,
    pub(crate) sched_xml: String,
    /// Whether the VM waits for images and goes on hold afterwards.
    pub(crate) hold_after_cloning: bool,
}

/// What a running VM is changed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hotplug {
    None,
    Exec,
    CancelExec,
    Config,
}

/// A command in a guest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    /// Which one; the results of others are lost.
    pub(crate) serial: u64,
    /// The result and when it exists.
    pub(crate) result: Option<(u64, crate::guest::ExecResult)>,
}

impl Vm {
    /// Host, once the VM has been placed.
    pub fn host(&self) -> Option<u32> {
        self.history.last().map(|record| record.host)
    }

    /// Addresses of the NICs, in order.
    pub fn addresses(&self) -> Vec<String> {
        let nics = self.template.get_vectors("NIC");
        nics.filter_map(|nic| vector_value(nic, "IP"))
            .map(str::to_owned)
            .collect()
    }

    /// The name of what it does: the LCM state of an active VM, the state of any other.
    pub fn state_name(&self) -> &'static str {
        if self.state == VmState::Active {
            self.lcm_state.name()
        } else {
            self.state.name()
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.is_active_in(LcmState::Running)
    }

    pub(crate) fn is_active_in(&self, state: LcmState) -> bool {
        self.state == VmState::Active && self.lcm_state == state
    }

    /// The template with what guests see in it.
    pub(crate) fn full_template(&self) -> Template {
        self.template.clone()
    }

    /// Hundredths of a CPU and KiB of memory.
    pub(crate) fn capacity(&self) -> (u64, u64) {
        let number = |name: &str| {
            self.template
                .get(name)
                .and_then(|text| text.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (rounded(number("CPU") * 100.0), rounded(number("MEMORY") * 1024.0))
    }

    /// What it takes of quotas.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = usage_of(&self.template);
        if !self.runs_on_quota {
            usage.vm.retain(|(name, _)| !name.starts_with("RUNNING_"));
        }
        usage
    }

    /// The part of [`Vm::usage`] that is for running.
    pub(crate) fn running_usage(&self) -> Usage {
        let mut usage = usage_of(&self.template);
        usage.vm.retain(|(name, _)| name.starts_with("RUNNING_"));
        Usage {
            vm: usage.vm,
            ..Usage::default()
        }
    }
}

/// What a VM of that template takes of quotas.
pub(crate) fn usage_of(template: &Template) -> Usage {
    let number = |name: &str| {
        template
            .get(name)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let ids = |vector: &str, key: &str| -> Vec<u32> {
        let pairs = template.get_vectors(vector);
        pairs
            .filter_map(|pairs| vector_value(pairs, key))
            .filter_map(|text| text.parse().ok())
            .collect()
    };
    let (cpu, memory) = (number("CPU"), number("MEMORY"));
    let devices = template.get_vectors("PCI").count();
    #[allow(clippy::cast_precision_loss)]
    let devices = devices as f64;
    let size: f64 = template
        .get_vectors("DISK")
        .filter(|disk| vector_value(disk, "CLONE") != Some("NO"))
        .filter_map(|disk| vector_value(disk, "SIZE").and_then(|text| text.parse::<f64>().ok()))
        .sum();
    Usage {
        vm: vec![
            ("VMS", 1.0),
            ("RUNNING_VMS", 1.0),
            ("CPU", cpu),
            ("RUNNING_CPU", cpu),
            ("MEMORY", memory),
            ("RUNNING_MEMORY", memory),
            ("PCI_DEV", devices),
            ("RUNNING_PCI_DEV", devices),
            ("SYSTEM_DISK_SIZE", size),
        ],
        networks: ids("NIC", "NETWORK_ID"),
        images: ids("DISK", "IMAGE_ID"),
        datastores: Vec::new(),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn rounded(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

impl Object for Vm {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    // What `update` changes is the user template.
    #[allow(clippy::misnamed_getters)]
    fn template(&self) -> &Template {
        &self.user_template
    }

    #[allow(clippy::misnamed_getters)]
    fn template_mut(&mut self) -> &mut Template {
        &mut self.user_template
    }

    fn write(&self, xml: &mut Xml) {
        self.write_full(xml, false);
    }
}
