//! Attributes that only admins may set or change (`*_RESTRICTED_ATTR` of the shipped oned.conf).

use opennebula::template::{Template, vector_value};

use crate::meta::ObjectKind;

/// VM templates and VMs.
pub(crate) const VM: &[&str] = &[
    "CONTEXT/FILES",
    "NIC/MAC",
    "NIC/VLAN_ID",
    "NIC/BRIDGE",
    "NIC/FILTER",
    "NIC/FILTER_IP_SPOOFING",
    "NIC/FILTER_MAC_SPOOFING",
    "NIC/INBOUND_AVG_BW",
    "NIC/INBOUND_PEAK_BW",
    "NIC/INBOUND_PEAK_KB",
    "NIC/OUTBOUND_AVG_BW",
    "NIC/OUTBOUND_PEAK_BW",
    "NIC/OUTBOUND_PEAK_KB",
    "NIC/OPENNEBULA_MANAGED",
    "NIC/EXTERNAL",
    "NIC/VLAN_TAGGED_ID",
    "NIC_ALIAS/MAC",
    "NIC_ALIAS/VLAN_ID",
    "NIC_ALIAS/BRIDGE",
    "NIC_ALIAS/INBOUND_AVG_BW",
    "NIC_ALIAS/INBOUND_PEAK_BW",
    "NIC_ALIAS/INBOUND_PEAK_KB",
    "NIC_ALIAS/OUTBOUND_AVG_BW",
    "NIC_ALIAS/OUTBOUND_PEAK_BW",
    "NIC_ALIAS/OUTBOUND_PEAK_KB",
    "NIC_ALIAS/OPENNEBULA_MANAGED",
    "NIC_DEFAULT/MAC",
    "NIC_DEFAULT/VLAN_ID",
    "NIC_DEFAULT/BRIDGE",
    "NIC_DEFAULT/FILTER",
    "NIC_DEFAULT/EXTERNAL",
    "DISK/TOTAL_BYTES_SEC",
    "DISK/TOTAL_BYTES_SEC_MAX_LENGTH",
    "DISK/TOTAL_BYTES_SEC_MAX",
    "DISK/READ_BYTES_SEC",
    "DISK/READ_BYTES_SEC_MAX_LENGTH",
    "DISK/READ_BYTES_SEC_MAX",
    "DISK/WRITE_BYTES_SEC",
    "DISK/WRITE_BYTES_SEC_MAX_LENGTH",
    "DISK/WRITE_BYTES_SEC_MAX",
    "DISK/TOTAL_IOPS_SEC",
    "DISK/TOTAL_IOPS_SEC_MAX_LENGTH",
    "DISK/TOTAL_IOPS_SEC_MAX",
    "DISK/READ_IOPS_SEC",
    "DISK/READ_IOPS_SEC_MAX_LENGTH",
    "DISK/READ_IOPS_SEC_MAX",
    "DISK/WRITE_IOPS_SEC",
    "DISK/WRITE_IOPS_SEC_MAX_LENGTH",
    "DISK/WRITE_IOPS_SEC_MAX",
    "DISK/SIZE_IOPS_SEC",
    "DISK/OPENNEBULA_MANAGED",
    "DISK/ORIGINAL_SIZE",
    "DISK/SIZE_PREV",
    "DEPLOY_ID",
    "CPU_COST",
    "MEMORY_COST",
    "DISK_COST",
    "PCI",
    "EMULATOR",
    "RAW/DATA",
    "USER_PRIORITY",
    "USER_INPUTS/CPU",
    "USER_INPUTS/MEMORY",
    "USER_INPUTS/VCPU",
    "TOPOLOGY/PIN_POLICY",
    "TOPOLOGY/HUGEPAGE_SIZE",
];

const IMAGE: &[&str] = &["SOURCE"];

const VNET: &[&str] = &[
    "VN_MAD",
    "PHYDEV",
    "QINQ_TYPE",
    "BRIDGE",
    "CONF",
    "BRIDGE_CONF",
    "OVS_BRIDGE_CONF",
    "IP_LINK_CONF",
    "FILTER",
    "FILTER_IP_SPOOFING",
    "FILTER_MAC_SPOOFING",
    "AR/VN_MAD",
    "AR/PHYDEV",
    "AR/BRIDGE",
    "AR/FILTER",
    "AR/FILTER_IP_SPOOFING",
    "AR/FILTER_MAC_SPOOFING",
    "CLUSTER_IDS",
    "EXTERNAL",
];

const USER: &[&str] = &["VM_USE_OPERATIONS", "VM_MANAGE_OPERATIONS", "VM_ADMIN_OPERATIONS"];

/// The list for a kind of objects.
pub(crate) fn of(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::Vm | ObjectKind::Template => VM,
        ObjectKind::Image => IMAGE,
        ObjectKind::Net => VNET,
        ObjectKind::User | ObjectKind::Group => USER,
        _ => &[],
    }
}

/// The first restricted attribute that a template holds. A name without a part in a vector means a text: a vector of
/// that name (such as `PCI`) passes.
pub(crate) fn first(list: &[&str], template: &Template) -> Option<String> {
    list.iter().find_map(|name| match name.split_once('/') {
        Some((vector, key)) => {
            let found = template
                .get_vectors(vector)
                .any(|pairs| vector_value(pairs, key).is_some());
            found.then(|| key.to_owned())
        }
        None => template.get(name).map(|_| (*name).to_owned()),
    })
}

/// The first restricted attribute that an update would change. What the update leaves out is carried over into `new`.
pub(crate) fn changed(list: &[&str], new: &mut Template, old: &Template, append: bool) -> Option<String> {
    let mut vectors: Vec<&str> = list
        .iter()
        .filter_map(|name| name.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    vectors.dedup();
    for vector in vectors {
        let keys: Vec<&str> = list
            .iter()
            .filter_map(|name| name.split_once('/'))
            .filter(|(of, _)| *of == vector)
            .map(|(_, key)| key)
            .collect();
        let values = |template: &Template| {
            let mut values: Vec<String> = template
                .get_vectors(vector)
                .flat_map(|pairs| {
                    keys.iter()
                        .filter_map(|key| vector_value(pairs, key).map(|text| format!("{key}={text}")))
                })
                .collect();
            values.sort();
            values
        };
        let is_set = |template: &Template| template.get_vectors(vector).next().is_some();
        if values(new) != values(old) && (is_set(new) || (!append && is_set(old))) {
            return Some(vector.into());
        }
    }
    for name in list.iter().filter(|name| !name.contains('/')) {
        match (new.get(name), old.get(name)) {
            (Some(new), old) if old.unwrap_or("") != new => return Some((*name).into()),
            (None, Some(text)) => {
                let text = text.to_owned();
                new.push(opennebula::template::Attribute::text(name, text));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    #[test]
    fn a_new_template() {
        for (text, found) in [
            ("CPU=1\nNIC=[NETWORK_ID=0]", None),
            ("NIC=[NETWORK_ID=0]\nNIC=[MAC=\"02:00\"]", Some("MAC")),
            ("CPU_COST=1", Some("CPU_COST")),
            ("PCI=[VENDOR=\"10de\"]", None),
            ("PCI=x", Some("PCI")),
            ("RAW=[TYPE=kvm,DATA=x]", Some("DATA")),
            ("CONTEXT=[FILES=\"/etc/passwd\"]", Some("FILES")),
        ] {
            assert_eq!(first(VM, &template(text)).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn an_update() {
        for (new, old, append, found) in [
            ("A=1", "", true, None),
            ("NIC=[MAC=a]", "NIC=[MAC=a]", true, None),
            ("NIC=[MAC=b]", "NIC=[MAC=a]", true, Some("NIC")),
            ("A=1", "NIC=[MAC=a]", true, None),
            ("A=1", "NIC=[MAC=a]", false, Some("NIC")),
            ("CPU_COST=2", "CPU_COST=1", true, Some("CPU_COST")),
            ("CPU_COST=1", "CPU_COST=1", false, None),
        ] {
            let found_now = changed(VM, &mut template(new), &template(old), append);
            assert_eq!(found_now.as_deref(), found, "{new} over {old}");
        }
        let mut new = template("A=1");
        changed(VM, &mut new, &template("CPU_COST=7"), false);
        assert_eq!(new.get("CPU_COST"), Some("7"));
    }
}
