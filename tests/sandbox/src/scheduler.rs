//! Where pending VMs go.

use crate::agenda::Task;
use crate::core::Core;
use crate::states::VmState;
use crate::vms::Vm;

impl Core {
    /// Opens the scheduler's window, if it is not open.
    pub(crate) fn trigger_scheduler(&mut self) {
        if self.vms.values().any(|vm| vm.state == VmState::Pending) {
            self.agenda
                .once_at(self.now + self.config.timings.scheduler_window, Task::Schedule);
        }
    }

    /// Places all pending VMs, in the order in which they came.
    pub(crate) fn schedule(&mut self) {
        let mut pending: Vec<(u64, u32)> = self
            .vms
            .iter()
            .filter(|(_, vm)| vm.state == VmState::Pending)
            .map(|(id, vm)| (vm.pending_since, id))
            .collect();
        pending.sort_unstable();
        let mut waiting = false;
        for (_, id) in pending {
            match self.choose_host(id) {
                Ok(host) => self.deploy_on(id, host),
                Err(message) => {
                    waiting = true;
                    let text = format!("{}: {message}", crate::clock::asctime(self.now));
                    if let Some(vm) = self.vms.get_mut(id) {
                        vm.user_template.set("SCHED_MESSAGE", text);
                    }
                }
            }
        }
        if waiting {
            self.agenda.once_at(
                self.now + self.config.timings.scheduler_retry.max(1),
                Task::Schedule,
            );
        }
    }

    /// The emptiest host that satisfies the VM, or why there is none.
    fn choose_host(&self, id: u32) -> Result<u32, String> {
        let Some(vm) = self.vms.get(id) else {
            return Err(String::new());
        };
        if self.faults.no_capacity {
            return Err("[HOST] Not enough CPU on hosts: all".into());
        }
        let enabled: Vec<u32> = self
            .hosts
            .iter()
            .filter(|(_, host)| host.enabled)
            .map(|(id, _)| id)
            .collect();
        if enabled.is_empty() {
            return Err("Cannot dispatch VM: No hosts enabled to run VMs".into());
        }
        let names = |hosts: &[u32]| hosts.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let suitable: Vec<u32> = enabled
            .iter()
            .copied()
            .filter(|host| self.meets(vm, *host))
            .collect();
        if suitable.is_empty() {
            return Err(format!(
                "[HOST] Requirements not met on hosts: {}",
                names(&enabled)
            ));
        }
        let apart: Vec<u32> = suitable
            .iter()
            .copied()
            .filter(|host| self.keeps_apart(vm, *host))
            .collect();
        if apart.is_empty() {
            return Err(format!(
                "[HOST] Cannot fulfill affinity constraints on hosts: {}",
                names(&suitable)
            ));
        }
        let fitting = apart.iter().copied().filter(|host| self.fits(vm, *host));
        let emptiest = fitting.min_by_key(|host| self.hosts.get(*host).map_or(0, |host| host.vms.len()));
        emptiest.ok_or_else(|| {
            let cpu = vm.capacity().0;
            let lacks_cpu = apart
                .iter()
                .filter_map(|host| self.hosts.get(*host))
                .all(|host| host.cpu_usage + cpu > host.max_cpu);
            let what = if lacks_cpu { "CPU" } else { "MEMORY" };
            format!("[HOST] Not enough {what} on hosts: {}", names(&apart))
        })
    }

    /// Whether a host has room for a VM.
    pub(crate) fn fits(&self, vm: &Vm, host: u32) -> bool {
        let (cpu, memory) = vm.capacity();
        self.hosts.get(host).is_some_and(|host| {
            host.cpu_usage + cpu <= host.max_cpu && host.memory_usage + memory <= host.max_memory
        })
    }

    /// Whether a host satisfies what the VM and its resources demand.
    fn meets(&self, vm: &Vm, host: u32) -> bool {
        let automatic = vm.template.get("AUTOMATIC_REQUIREMENTS").unwrap_or("");
        let wanted = vm.user_template.get("SCHED_REQUIREMENTS").unwrap_or("");
        let Some(host) = self.hosts.get(host) else {
            return false;
        };
        let value = |name: &str| match name {
            "ID" => Some(host.meta.id.to_string()),
            "NAME" | "HOSTNAME" => Some(host.meta.name.clone()),
            "CLUSTER_ID" => Some(host.cluster.to_string()),
            "CLUSTER" => Some(host.cluster_name.clone()),
            "HYPERVISOR" => Some("dummy".into()),
            name => host.template.get(name).map(str::to_owned),
        };
        crate::requirements::holds(automatic, &value) && crate::requirements::holds(wanted, &value)
    }

    /// Whether a VM group allows the host.
    fn keeps_apart(&self, vm: &Vm, host: u32) -> bool {
        let others_on = |id: u32| {
            self.vms.get(id).is_some_and(|other| {
                other.meta.id != vm.meta.id && other.state == VmState::Active && other.host() == Some(host)
            })
        };
        let anywhere = |id: u32| {
            self.vms
                .get(id)
                .is_some_and(|other| other.meta.id != vm.meta.id && other.state == VmState::Active)
        };
        let roles = self
            .vmgroups
            .values()
            .flat_map(|group| &group.roles)
            .filter(|role| role.vms.contains(&vm.meta.id));
        for role in roles {
            let policy = opennebula::template::vector_value(&role.pairs, "POLICY").unwrap_or("NONE");
            let together = role.vms.iter().any(|id| others_on(*id));
            match policy {
                "ANTI_AFFINED" if together => return false,
                "AFFINED" if !together && role.vms.iter().any(|id| anywhere(*id)) => return false,
                _ => {}
            }
        }
        true
    }
}
