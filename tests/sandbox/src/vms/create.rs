//! From a template to a VM: rights, quotas, images, addresses.

use std::collections::BTreeSet;

use opennebula::template::{Attribute, Template, vector_value};

use super::variables::Variables;
use super::{Hotplug, Vm, context, set, usage_of};
use crate::acl::{Caller, Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::sched_actions;
use crate::shared::{self, done, parse};
use crate::states::{LcmState, VmState};
use crate::xml;

/// Attributes that OpenNebula itself understands. They become the VM's TEMPLATE, all others its `USER_TEMPLATE`.
const KNOWN: [&str; 31] = [
    "INPUT",
    "RAW",
    "CLONING_TEMPLATE_ID",
    "TOPOLOGY",
    "NUMA_NODE",
    "HYPERV_OPTIONS",
    "SPICE_OPTIONS",
    "EMULATOR",
    "MEMORY",
    "MEMORY_RESIZE_MODE",
    "MEMORY_MAX",
    "MEMORY_SLOTS",
    "CPU",
    "VCPU",
    "VCPU_MAX",
    "CPU_COST",
    "MEMORY_COST",
    "DISK_COST",
    "FEATURES",
    "OS",
    "TPM",
    "CPU_MODEL",
    "PCI",
    "DISK",
    "NIC",
    "NIC_ALIAS",
    "CONTEXT",
    "GRAPHICS",
    "VIDEO",
    "SUBMIT_ON_HOLD",
    "VMGROUP",
];

/// `one.vm.allocate`: template, hold.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(0)).map_err(Failure::internal)?;
    if !ctx.caller.is_admin()
        && let Some(name) = restricted::first(restricted::VM, &template)
    {
        return Err(Failure::authorization(format!(
            "VM Template includes a restricted attribute {name}"
        )));
    }
    let mut request = Request::new(core, &ctx.caller);
    request.need(Operation::Create, &Target::new_of(ObjectKind::Vm, &ctx.caller));
    core.need_resources(&mut request, ctx.caller.uid, &template);
    request.finish()?;
    let caller = ctx.caller.clone();
    let id = core.create_vm(&caller, template, args.flag(1), Failure::internal)?;
    ctx.extra = core.vm_xml(id);
    done(id)
}

impl Core {
    /// Makes a VM, for a caller whose rights have been checked. `refuse` words what the template lacks.
    pub(crate) fn create_vm(
        &mut self,
        caller: &Caller,
        mut source: Template,
        hold: bool,
        refuse: fn(String) -> Failure,
    ) -> Result<u32, Failure> {
        // Sizes of images count, so they have to be known for quotas.
        let mut sized = source.clone();
        sized.remove("DISK");
        for disk in source.get_vectors("DISK") {
            let mut disk = disk.to_vec();
            if let Ok(Some(id)) = self.disk_image(&disk, caller.uid) {
                let size = self.images.get(id).map_or(0, |image| image.size);
                set(&mut disk, "IMAGE_ID", id.to_string());
                if vector_value(&disk, "SIZE").is_none() {
                    set(&mut disk, "SIZE", size.to_string());
                }
            }
            sized.push(Attribute::vector("DISK", disk));
        }
        let resolved = source
            .get_vectors("NIC")
            .map(|nic| self.nic_vnet(nic, caller.uid));
        let networks: Vec<u32> = resolved.filter_map(|vnet| vnet.ok().flatten()).collect();
        let mut usage = usage_of(&sized);
        usage.networks = networks;
        self.charge(caller.uid, caller.gid, &usage)?;

        let schedule: Vec<Vec<(String, String)>> =
            source.get_vectors("SCHED_ACTION").map(<[_]>::to_vec).collect();
        source.remove("SCHED_ACTION");
        let id = self.vms.next_id();
        match self.build_vm(id, caller, source, hold) {
            Ok(vm) => {
                self.vms.insert(id, vm);
            }
            Err(cause) => {
                self.release_resources(id);
                self.discharge(caller.uid, caller.gid, &usage);
                return Err(refuse(cause));
            }
        }
        for pairs in schedule {
            if let Err(cause) = sched_actions::add(self, id, &pairs) {
                self.release_resources(id);
                self.discharge(caller.uid, caller.gid, &usage);
                self.vms.remove(id);
                return Err(refuse(cause));
            }
        }
        self.vm_saved(id);
        if self.vms.get(id).is_some_and(|vm| vm.state == VmState::Pending) {
            self.trigger_scheduler();
        }
        Ok(id)
    }

    fn build_vm(&mut self, id: u32, caller: &Caller, mut source: Template, hold: bool) -> Result<Vm, String> {
        let take = |source: &mut Template, name: &str| {
            let text = source.get(name).map(str::to_owned);
            source.remove(name);
            text.filter(|text| !text.is_empty())
        };
        let mut template = Template::new();
        template.set("VMID", id.to_string());
        take(&mut source, "VMID");
        if let Some(from) = take(&mut source, "TEMPLATE_ID") {
            template.set("TEMPLATE_ID", from);
        }
        let prefix = take(&mut source, "TEMPLATE_NAME").unwrap_or_else(|| "one".into());
        let name = take(&mut source, "NAME").unwrap_or_else(|| format!("{prefix}-{id}"));
        shared::check_name(&name)?;
        let meta = Self::new_meta(caller, id, name);

        for attribute in source
            .iter()
            .filter(|attribute| KNOWN.contains(&attribute.name.as_str()))
        {
            template.push(attribute.clone());
        }
        for name in KNOWN.iter().chain(&context::VROUTER) {
            if let (true, Some(text)) = (context::VROUTER.contains(name), source.get(name)) {
                template.set(name, text);
            }
            source.remove(name);
        }
        check_capacity(&mut template)?;
        if hold {
            template.set("SUBMIT_ON_HOLD", "YES");
        }
        let hold = template
            .get("SUBMIT_ON_HOLD")
            .is_some_and(|text| text.eq_ignore_ascii_case("YES"));
        if template.get_in("OS", "UUID").is_none() {
            let uuid = self.rng.uuid();
            template.set_in("OS", "UUID", uuid);
        }
        self.lease_nics(id, caller.uid, &mut template)?;
        let cloning = self.attach_disks(id, caller.uid, &mut template)?;
        self.fill_context(&meta, &mut template, &source)?;
        self.replace_in_requirements(&meta, &template, &mut source)?;
        self.set_requirements(&mut template)?;
        self.join_vm_group(id, caller.uid, &mut template)?;
        if !xml::is_storable(&template) || !xml::is_storable(&source) {
            return Err("Error transforming the VM to XML.".into());
        }
        let state = match (cloning, hold) {
            (true, _) => VmState::Cloning,
            (false, true) => VmState::Hold,
            (false, false) => VmState::Pending,
        };
        Ok(Vm {
            meta,
            state,
            lcm_state: LcmState::LcmInit,
            prev_state: state,
            prev_lcm_state: LcmState::LcmInit,
            stime: self.now,
            etime: 0,
            template,
            user_template: source,
            history: Vec::new(),
            deploy_id: String::new(),
            resched: false,
            serial: 0,
            hotplug: Hotplug::None,
            command: None,
            hard: false,
            runs_on_quota: true,
            pending_since: self.now,
            sched_actions: BTreeSet::new(),
            sched_xml: String::new(),
            hold_after_cloning: hold,
        })
    }

    /// What the owner demands of hosts may hold variables.
    fn replace_in_requirements(
        &self,
        meta: &Meta,
        template: &Template,
        source: &mut Template,
    ) -> Result<(), String> {
        let named = |name: &str| source.iter().filter(|attribute| attribute.name == name).count();
        let name = if named("SCHED_REQUIREMENTS") > 0 {
            "SCHED_REQUIREMENTS"
        } else {
            "REQUIREMENTS"
        };
        match named(name) {
            0 => return Ok(()),
            1 => {}
            _ => return Err("Only one SCHED_REQUIREMENTS attribute can be defined.".into()),
        }
        let Some(text) = source.get(name) else {
            return Err("Wrong format for SCHED_REQUIREMENTS attribute.".into());
        };
        let variables = Variables {
            core: self,
            name: &meta.name,
            owner: (meta.uid, &meta.uname, meta.gid, &meta.gname),
            template,
            user_template: source,
        };
        let text = variables.replace(text)?;
        source.remove("REQUIREMENTS");
        source.set("SCHED_REQUIREMENTS", text);
        Ok(())
    }
}

/// Checks the numbers of CPU, VCPU and MEMORY.
fn check_capacity(template: &mut Template) -> Result<(), String> {
    let number = |template: &Template, name: &str| template.get(name).map(str::parse::<f64>);
    let is_positive = |value: &Option<Result<f64, _>>| matches!(value, Some(Ok(number)) if *number > 0.0);
    if !is_positive(&number(template, "MEMORY")) {
        return Err("MEMORY attribute must be a positive integer value.".into());
    }
    if !is_positive(&number(template, "CPU")) {
        return Err("CPU attribute must be a positive float or integer value.".into());
    }
    match template.get("VCPU") {
        Some("") => {
            template.remove("VCPU");
        }
        Some(_) if !is_positive(&number(template, "VCPU")) => {
            return Err("VCPU attribute must be a positive integer value.".into());
        }
        _ => {}
    }
    for pci in template.get_vectors("PCI") {
        let named = ["VENDOR", "DEVICE", "CLASS"]
            .iter()
            .any(|key| vector_value(pci, key).is_some());
        let addressed = vector_value(pci, "SHORT_ADDRESS").is_some();
        if !named && !addressed {
            return Err("SHORT_ADDRESS, DEVICE, VENDOR or CLASS must be defined for PCI.".into());
        }
        if named && addressed {
            return Err("SHORT_ADDRESS cannot be set with DEVICE, VENDOR or CLASS".into());
        }
    }
    Ok(())
}
