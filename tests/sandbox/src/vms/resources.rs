//! What a VM takes from the cloud: images, addresses, a place in a VM group.

use std::collections::{BTreeMap, BTreeSet};

use opennebula::template::{Attribute, Template, vector_value};

use crate::acl::Request;
use crate::core::Core;
use crate::leases::{Holder, random_mac};
use crate::meta::{ObjectKind, Operation};
use crate::shared::target;

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
        if let Some(group) = template
            .get_vector("VMGROUP")
            .and_then(|pairs| self.vm_group_of(pairs, uid))
            && let Some(group) = self.object(ObjectKind::VmGroup, group)
        {
            request.need(Operation::Use, &target(ObjectKind::VmGroup, group));
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

    /// Gives each NIC its address and what its network says.
    pub(super) fn lease_nics(&mut self, id: u32, uid: u32, template: &mut Template) -> Result<(), String> {
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
    pub(super) fn attach_disks(
        &mut self,
        id: u32,
        uid: u32,
        template: &mut Template,
    ) -> Result<bool, String> {
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
    pub(super) fn set_requirements(&self, template: &mut Template) -> Result<(), String> {
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
