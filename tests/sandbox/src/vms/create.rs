//! From a template to a VM: rights, quotas, images, addresses.

use std::collections::{BTreeMap, BTreeSet};

use opennebula::template::{Attribute, Template, vector_value};

use super::{Hotplug, Vm, context, usage_of};
use crate::acl::{Caller, Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::leases::{Holder, random_mac};
use crate::meta::{ObjectKind, Operation};
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::sched_actions;
use crate::shared::{self, done, parse, target};
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
    /// Demands the right to use the images and networks of a template. What doesn't exist is found out later.
    pub(crate) fn need_resources(&self, request: &mut Request<'_>, uid: u32, template: &Template) {
        for disk in template.get_vectors("DISK") {
            if let Ok(Some(id)) = self.disk_image(disk, uid)
                && let Some(image) = self.object(ObjectKind::Image, id)
            {
                request.need(Operation::Use, &target(ObjectKind::Image, image));
            }
        }
        for nic in template.get_vectors("NIC") {
            if let Ok(Some(id)) = self.nic_vnet(nic, uid)
                && let Some(vnet) = self.object(ObjectKind::Net, id)
            {
                request.need(Operation::Use, &target(ObjectKind::Net, vnet));
            }
        }
    }

    /// The network that a NIC means, by id or by name and owner.
    pub(crate) fn nic_vnet(&self, nic: &[(String, String)], uid: u32) -> Result<Option<u32>, String> {
        if let Some(text) = vector_value(nic, "NETWORK_ID") {
            let id = text
                .parse::<u32>()
                .ok()
                .filter(|id| self.vnets.get(*id).is_some());
            return id
                .map(Some)
                .ok_or_else(|| format!("Virtual network with ID: {text} does not exist"));
        }
        let Some(name) = vector_value(nic, "NETWORK") else {
            return Ok(None);
        };
        let owner = match (
            vector_value(nic, "NETWORK_UID"),
            vector_value(nic, "NETWORK_UNAME"),
        ) {
            (Some(text), _) => text.parse().ok(),
            (None, Some(name)) => self.user_named(name).map(|user| user.meta.id),
            (None, None) => Some(uid),
        };
        let found = owner.and_then(|owner| self.vnets.find(name, owner));
        let owner = owner.unwrap_or(uid);
        found.map(Some).ok_or_else(|| {
            format!(
                "User {owner} does not own a network with name: {name} . Set NETWORK_UNAME or NETWORK_UID of owner in NIC."
            )
        })
    }

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
        self.join_vm_group(id);
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
        self.fill_context(id, caller.uid, &mut template, &source)?;
        self.set_requirements(&mut template)?;
        if !xml::is_storable(&template) || !xml::is_storable(&source) {
            return Err("Error transforming the VM to XML.".into());
        }
        let state = match (cloning, hold) {
            (true, _) => VmState::Cloning,
            (false, true) => VmState::Hold,
            (false, false) => VmState::Pending,
        };
        Ok(Vm {
            meta: Self::new_meta(caller, id, name),
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

    /// Gives each NIC its address and what its network says.
    fn lease_nics(&mut self, id: u32, uid: u32, template: &mut Template) -> Result<(), String> {
        let nics: Vec<Vec<(String, String)>> = template.get_vectors("NIC").map(<[_]>::to_vec).collect();
        template.remove("NIC");
        let mut security_groups = BTreeSet::new();
        for (index, mut nic) in nics.into_iter().enumerate() {
            self.lease_nic(id, uid, index, &mut nic)?;
            let groups = vector_value(&nic, "SECURITY_GROUPS").unwrap_or("").to_owned();
            security_groups.extend(
                groups
                    .split(',')
                    .filter(|group| !group.is_empty())
                    .map(str::to_owned),
            );
            template.push(Attribute::vector("NIC", nic));
        }
        for group in security_groups {
            for direction in ["OUTBOUND", "INBOUND"] {
                template.push(Attribute::vector(
                    "SECURITY_GROUP_RULE",
                    [
                        ("PROTOCOL", "ALL"),
                        ("RULE_TYPE", direction),
                        ("SECURITY_GROUP_ID", group.as_str()),
                        ("SECURITY_GROUP_NAME", "default"),
                    ],
                ));
            }
        }
        Ok(())
    }

    /// Gives one NIC its address.
    pub(super) fn lease_nic(
        &mut self,
        id: u32,
        uid: u32,
        index: usize,
        nic: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        set(nic, "NIC_ID", index.to_string());
        if vector_value(nic, "NAME").is_none() {
            set(nic, "NAME", format!("NIC{index}"));
        }
        let Some(vnet_id) = self.nic_vnet(nic, uid)? else {
            return Ok(());
        };
        let random = self.rng.next();
        let Some(vnet) = self.vnets.get_mut(vnet_id) else {
            return Ok(());
        };
        let is_yes = |nic: &[(String, String)], key: &str| {
            vector_value(nic, key).is_some_and(|text| text.eq_ignore_ascii_case("YES"))
        };
        let wanted = ["IP", "MAC"]
            .into_iter()
            .find_map(|key| vector_value(nic, key))
            .map(str::to_owned);
        let range = vector_value(nic, "AR_ID").and_then(|text| text.parse::<u32>().ok());
        if is_yes(nic, "FLOATING_ONLY") {
            set(nic, "MAC", random_mac(random));
        } else {
            let ranges = vnet
                .ranges
                .iter_mut()
                .filter(|known| wanted.is_none() || range.is_none_or(|id| id == known.id));
            let lease = ranges.filter_map(|range| match &wanted {
                Some(address) => range.take_at(address, Holder::Vm(id)),
                None => range.take(Holder::Vm(id)),
            });
            let Some(lease) = { lease }.next() else {
                return Err(format!("Cannot get IP/MAC lease from virtual network {vnet_id}."));
            };
            set(nic, "AR_ID", lease.range.to_string());
            set(nic, "MAC", lease.mac);
            if let Some(ip) = lease.ip {
                set(nic, "IP", ip.to_string());
            }
        }
        vnet.vms.insert(id);
        set(nic, "NETWORK", vnet.meta.name.clone());
        set(nic, "NETWORK_ID", vnet_id.to_string());
        let clusters: Vec<String> = vnet.clusters.iter().map(u32::to_string).collect();
        set(nic, "CLUSTER_ID", clusters.join(","));
        set(nic, "TARGET", format!("one-{id}-{index}"));
        if let Some(parent) = vnet.parent {
            set(nic, "PARENT_NETWORK_ID", parent.to_string());
        }
        for key in ["BRIDGE", "BRIDGE_TYPE", "VN_MAD", "PHYDEV", "VLAN_ID"] {
            if let Some(text) = vnet.template.get(key).filter(|text| !text.is_empty()) {
                set(nic, key, text.to_owned());
            }
        }
        let groups = vnet.template.get("SECURITY_GROUPS").unwrap_or("0");
        let own = vector_value(nic, "SECURITY_GROUPS").unwrap_or("").to_owned();
        let groups: BTreeSet<u32> = own
            .split(',')
            .chain(groups.split(','))
            .filter_map(|group| group.trim().parse().ok())
            .collect();
        let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
        set(nic, "SECURITY_GROUPS", groups.join(","));
        Ok(())
    }

    /// Takes the images of the disks. Whether one of them is still being made.
    fn attach_disks(&mut self, id: u32, uid: u32, template: &mut Template) -> Result<bool, String> {
        let disks: Vec<Vec<(String, String)>> = template.get_vectors("DISK").map(<[_]>::to_vec).collect();
        template.remove("DISK");
        let mut cloning = false;
        let mut letters: BTreeMap<String, u8> = BTreeMap::new();
        for (index, mut disk) in disks.into_iter().enumerate() {
            let prefix = match self.disk_image(&disk, uid)? {
                Some(image) => {
                    self.acquire_image(image, id)?;
                    self.describe_disk(image, &mut disk, &mut cloning)?
                }
                None => describe_volatile(&mut disk)?,
            };
            set(&mut disk, "DISK_ID", index.to_string());
            if vector_value(&disk, "TARGET").is_none() {
                let letter = letters.entry(prefix.clone()).or_insert(b'a');
                let name = format!("{prefix}{}", char::from(*letter));
                *letter += 1;
                set(&mut disk, "TARGET", name);
            }
            template.push(Attribute::vector("DISK", disk));
        }
        Ok(cloning)
    }

    /// Fills in what the image and its datastore say. The device prefix.
    pub(crate) fn describe_disk(
        &self,
        image: u32,
        disk: &mut Vec<(String, String)>,
        cloning: &mut bool,
    ) -> Result<String, String> {
        let Some(image) = self.images.get(image) else {
            return Err(format!("Image with ID: {image} does not exist"));
        };
        let prefix = vector_value(disk, "DEV_PREFIX")
            .or_else(|| image.template.get("DEV_PREFIX"))
            .unwrap_or("sd");
        let prefix = prefix.to_owned();
        set(disk, "DEV_PREFIX", prefix.clone());
        set(disk, "IMAGE", image.meta.name.clone());
        set(disk, "IMAGE_ID", image.meta.id.to_string());
        set(disk, "IMAGE_STATE", (image.state as u8).to_string());
        set(disk, "SOURCE", "dummy_path".into());
        set(disk, "ORIGINAL_SIZE", image.size.to_string());
        let size = vector_value(disk, "SIZE").and_then(|text| text.parse::<u64>().ok());
        match size {
            Some(size) if size < image.size => {
                return Err(format!(
                    "SIZE of {size}MB is less than the image [{}] size of {}MB.",
                    image.meta.id, image.size
                ));
            }
            Some(_) => {}
            None => set(disk, "SIZE", image.size.to_string()),
        }
        set(disk, "DISK_SNAPSHOT_TOTAL_SIZE", "0".into());
        for key in ["DRIVER", "FORMAT"] {
            set(disk, key, "dummy_format".into());
        }
        if vector_value(disk, "READONLY").is_none() {
            set(disk, "READONLY", "NO".into());
        }
        if image.persistent {
            set(disk, "PERSISTENT", "YES".into());
        }
        set(disk, "CLONE", if image.persistent { "NO" } else { "YES" }.into());
        set(disk, "SAVE", if image.persistent { "YES" } else { "NO" }.into());
        if matches!(
            image.state,
            crate::images::ImageState::Locked | crate::images::ImageState::LockedUsed
        ) {
            set(disk, "CLONING", "YES".into());
            *cloning = true;
        }
        let Some(datastore) = self.datastores.get(image.datastore) else {
            return Err("Associated datastore for the image does not exist".into());
        };
        set(disk, "DATASTORE", datastore.meta.name.clone());
        set(disk, "DATASTORE_ID", datastore.meta.id.to_string());
        let clusters: Vec<String> = datastore.clusters.iter().map(u32::to_string).collect();
        set(disk, "CLUSTER_ID", clusters.join(","));
        set(disk, "TYPE", "FILE".into());
        for key in [
            "ALLOW_ORPHANS",
            "CLONE_TARGET",
            "DISK_TYPE",
            "LN_TARGET",
            "PERSISTENT_SNAPSHOTS",
            "TM_MAD",
        ] {
            if let Some(text) = datastore.template.get(key) {
                set(disk, key, text.to_owned());
            }
        }
        Ok(prefix)
    }

    /// Which clusters the VM can run in, by its images and networks.
    fn set_requirements(&self, template: &mut Template) -> Result<(), String> {
        let mut clusters: Option<BTreeSet<u32>> = None;
        for pairs in template.get_vectors("DISK").chain(template.get_vectors("NIC")) {
            let Some(text) = vector_value(pairs, "CLUSTER_ID") else {
                continue;
            };
            let own: BTreeSet<u32> = text.split(',').filter_map(|id| id.parse().ok()).collect();
            let both = match &clusters {
                Some(known) => known.intersection(&own).copied().collect(),
                None => own,
            };
            if both.is_empty() {
                return Err("Incompatible cluster IDs.".into());
            }
            clusters = Some(both);
        }
        let clusters = clusters.unwrap_or_else(|| self.clusters.ids().into_iter().collect());
        let hosts: Vec<String> = clusters.iter().map(|id| format!("CLUSTER_ID = {id}")).collect();
        let others: Vec<String> = clusters
            .iter()
            .map(|id| format!("\"CLUSTERS/ID\" @> {id}"))
            .collect();
        template.set(
            "AUTOMATIC_REQUIREMENTS",
            format!("({}) & !(PIN_POLICY = PINNED)", hosts.join(" | ")),
        );
        template.set("AUTOMATIC_DS_REQUIREMENTS", format!("({})", others.join(" | ")));
        template.set("AUTOMATIC_NIC_REQUIREMENTS", format!("({})", others.join(" | ")));
        Ok(())
    }

    /// Gives back addresses and images.
    pub(crate) fn release_resources(&mut self, id: u32) {
        for vnet in self.vnets.values_mut() {
            vnet.release(Holder::Vm(id));
        }
        let images: Vec<u32> = self
            .images
            .iter()
            .filter(|(_, image)| image.vms.contains(&id))
            .map(|(image, _)| image)
            .collect();
        for image in images {
            self.release_image(image, id);
        }
        for group in self.vmgroups.values_mut() {
            for role in &mut group.roles {
                role.vms.remove(&id);
            }
        }
    }

    fn join_vm_group(&mut self, id: u32) {
        let Some(vm) = self.vms.get(id) else { return };
        let wanted = |key: &str| vm.template.get_in("VMGROUP", key).map(str::to_owned);
        let (group, name, role) = (wanted("VMGROUP_ID"), wanted("VMGROUP_NAME"), wanted("ROLE"));
        let found = self.vmgroups.values_mut().find(|known| {
            group.as_deref() == Some(known.meta.id.to_string().as_str())
                || name.as_deref() == Some(&known.meta.name)
        });
        if let Some(group) = found
            && let Some(role) = group
                .roles
                .iter_mut()
                .find(|known| Some(&known.name) == role.as_ref())
        {
            role.vms.insert(id);
        }
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

fn describe_volatile(disk: &mut Vec<(String, String)>) -> Result<String, String> {
    let kind = vector_value(disk, "TYPE").unwrap_or("").to_ascii_uppercase();
    if kind != "SWAP" && kind != "FS" {
        return Err(format!("Unknown disk type {kind}"));
    }
    if vector_value(disk, "SIZE")
        .and_then(|text| text.parse::<i64>().ok())
        .is_none_or(|size| size <= 0)
    {
        return Err("SIZE attribute must be a positive integer value.".into());
    }
    let prefix = vector_value(disk, "DEV_PREFIX").unwrap_or("sd").to_owned();
    set(disk, "DEV_PREFIX", prefix.clone());
    set(disk, "DISK_SNAPSHOT_TOTAL_SIZE", "0".into());
    Ok(prefix)
}

/// Sets a key of a vector.
pub(crate) fn set(pairs: &mut Vec<(String, String)>, key: &str, text: String) {
    match pairs.iter_mut().find(|(known, _)| known == key) {
        Some(pair) => pair.1 = text,
        None => pairs.push((key.into(), text)),
    }
}
