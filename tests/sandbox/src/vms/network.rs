//! NICs of VMs that exist already.

use opennebula::template::{Attribute, AttributeValue, Template, vector_value};
use opennebula::xmlrpc::Value;

use super::Action;
use super::set;
use crate::acl::{Caller, Request};
use crate::core::Core;
use crate::failure::Failure;
use crate::leases::Holder;
use crate::meta::{ObjectKind, Operation};
use crate::quotas::Usage;
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{parse, target};
use crate::states::{LcmState, VmState};

/// `one.vm.attachnic`: id, template with `NIC=[…]`.
pub(crate) fn attach_nic(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    let template = parse(args.text(1)).map_err(Failure::internal)?;
    let vm = core.existing(ObjectKind::Vm, id)?;
    let vm_id = vm.meta().id;
    core.refuse_router(vm_id)?;
    if !ctx.caller.is_admin()
        && let Some(name) = restricted::first(restricted::VM, &template)
    {
        return Err(Failure::authorization(format!(
            "NIC includes a restricted attribute {name}"
        )));
    }
    let mut request = Request::new(core, &ctx.caller);
    request.need(Operation::Manage, &target(ObjectKind::Vm, vm));
    core.need_resources(&mut request, ctx.caller.uid, &template);
    request.finish()?;
    let Some(nic) = template.get_vector("NIC") else {
        return Err(Failure::action("Could not attach NIC: the template has no NIC"));
    };
    core.add_nic(vm_id, nic.to_vec(), &ctx.caller.clone())?;
    Ok(Value::from(id))
}

/// `one.vm.detachnic`: id, NIC.
pub(crate) fn detach_nic(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, nic) = (args.int(0), args.int(1));
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    core.refuse_router(vm_id)?;
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    core.remove_nic(vm_id, nic, &ctx.caller.clone())?;
    Ok(Value::from(id))
}

impl Core {
    /// NICs of a router's VMs are the router's.
    fn refuse_router(&self, id: u32) -> Result<(), Failure> {
        let is_router = self
            .vms
            .get(id)
            .is_some_and(|vm| vm.template.get("VROUTER_ID").is_some());
        if is_router {
            return Err(Failure::action("Action is not supported for virtual router VMs"));
        }
        Ok(())
    }

    /// Adds a NIC to a VM that runs or is off.
    pub(crate) fn add_nic(
        &mut self,
        id: u32,
        mut nic: Vec<(String, String)>,
        caller: &Caller,
    ) -> Result<(), Failure> {
        let Some(vm) = self.vms.get(id) else {
            return Err(Failure::no_exists(i64::from(id)));
        };
        if !vm.is_running() && vm.state != VmState::Poweroff {
            return Err(Failure::action(format!(
                "Could not add a new NIC to VM {id}, wrong state {}.",
                vm.state_name()
            )));
        }
        let next = vm
            .template
            .get_vectors("NIC")
            .filter_map(|nic| vector_value(nic, "NIC_ID"))
            .filter_map(|id| id.parse::<usize>().ok());
        let index = next.max().map_or(0, |last| last + 1);
        let (uid, gid, running) = (vm.meta.uid, vm.meta.gid, vm.is_running());
        let networks: Vec<u32> = self.nic_vnet(&nic, uid).ok().flatten().into_iter().collect();
        let usage = Usage {
            networks,
            ..Usage::default()
        };
        self.charge(uid, gid, &usage)?;
        if let Err(cause) = self.lease_nic(id, uid, index, &mut nic) {
            self.discharge(uid, gid, &usage);
            return Err(Failure::action(cause));
        }
        if running {
            set(&mut nic, "ATTACH", "YES".into());
        }
        if let Some(vm) = self.vms.get_mut(id) {
            vm.template.push(Attribute::vector("NIC", nic));
        }
        self.refresh_context(id);
        if running {
            self.next_record(id, Some((Action::NicAttach, Some(caller))), None);
            self.set_vm_state(id, VmState::Active, LcmState::HotplugNic);
            self.drive(id, self.config.timings.hotplug);
        }
        Ok(())
    }

    /// Takes a NIC from a VM that runs or is off.
    pub(crate) fn remove_nic(&mut self, id: u32, nic: i64, caller: &Caller) -> Result<(), Failure> {
        let Some(vm) = self.vms.get(id) else {
            return Err(Failure::no_exists(i64::from(id)));
        };
        if !vm.is_running() && vm.state != VmState::Poweroff {
            return Err(Failure::action(format!(
                "Could not detach NIC from VM {id}, wrong state {}.",
                vm.state_name()
            )));
        }
        let wanted = nic.to_string();
        let (uid, gid, running) = (vm.meta.uid, vm.meta.gid, vm.is_running());
        let found = vm
            .template
            .get_vectors("NIC")
            .find(|pairs| vector_value(pairs, "NIC_ID") == Some(&wanted));
        let Some(pairs) = found.map(<[_]>::to_vec) else {
            return Err(Failure::action(format!("NIC with NIC_ID {nic} does not exist.")));
        };
        let networks: Vec<u32> = vector_value(&pairs, "NETWORK_ID")
            .and_then(|text| text.parse().ok())
            .into_iter()
            .collect();
        if let Some(vnet) = networks.first().and_then(|vnet| self.vnets.get_mut(*vnet)) {
            for range in &mut vnet.ranges {
                if let Some(address) = vector_value(&pairs, "IP").or_else(|| vector_value(&pairs, "MAC")) {
                    range.release_at(address, Holder::Vm(id));
                }
            }
        }
        self.discharge(
            uid,
            gid,
            &Usage {
                networks,
                ..Usage::default()
            },
        );
        if let Some(vm) = self.vms.get_mut(id) {
            vm.template = without_nic(&vm.template, &wanted);
        }
        if running {
            self.next_record(id, Some((Action::NicDetach, Some(caller))), None);
            self.set_vm_state(id, VmState::Active, LcmState::HotplugNic);
            self.drive(id, self.config.timings.hotplug);
        }
        Ok(())
    }

    /// The hypervisor has attached what it was asked for.
    pub(super) fn nic_done(&mut self, id: u32) {
        let Some(vm) = self.vms.get_mut(id) else { return };
        vm.template = vm
            .template
            .iter()
            .map(|attribute| {
                let mut attribute = attribute.clone();
                if let AttributeValue::Vector(pairs) = &mut attribute.value
                    && attribute.name == "NIC"
                {
                    pairs.retain(|(key, _)| key != "ATTACH");
                }
                attribute
            })
            .collect();
    }

    fn refresh_context(&mut self, id: u32) {
        let Some(mut template) = self.vms.get(id).map(|vm| vm.template.clone()) else {
            return;
        };
        self.network_context(&mut template);
        if let Some(vm) = self.vms.get_mut(id) {
            vm.template = template;
        }
    }
}

fn without_nic(template: &Template, nic_id: &str) -> Template {
    let prefix = format!("ETH{nic_id}_");
    template
        .iter()
        .filter(|attribute| {
            let pairs = attribute.value.as_vector().unwrap_or(&[]);
            !(attribute.name == "NIC" && vector_value(pairs, "NIC_ID") == Some(nic_id))
        })
        .map(|attribute| {
            let mut attribute = attribute.clone();
            if let AttributeValue::Vector(pairs) = &mut attribute.value
                && attribute.name == "CONTEXT"
            {
                pairs.retain(|(key, _)| !key.starts_with(&prefix));
            }
            attribute
        })
        .collect()
}
