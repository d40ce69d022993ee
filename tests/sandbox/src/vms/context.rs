//! CONTEXT: what a guest finds on its context disk.

use opennebula::template::{Template, vector_value};

use super::variables::Variables;
use crate::core::Core;
use crate::meta::Meta;

/// A variable of a NIC in CONTEXT: its name there, the key in the NIC, another key, and whether the address range and
/// the network are asked if the NIC has neither.
const NETWORK: [(&str, &str, &str, bool); 22] = [
    ("IP", "IP", "", false),
    ("MAC", "MAC", "", false),
    ("MASK", "NETWORK_MASK", "", true),
    ("NETWORK", "NETWORK_ADDRESS", "", true),
    ("GATEWAY", "GATEWAY", "", true),
    ("DNS", "DNS", "", true),
    ("SEARCH_DOMAIN", "SEARCH_DOMAIN", "", true),
    ("MTU", "GUEST_MTU", "", true),
    ("METRIC", "METRIC", "", true),
    ("METHOD", "METHOD", "", true),
    ("VLAN_ID", "VLAN_ID", "", true),
    ("VROUTER_IP", "VROUTER_IP", "", false),
    ("VROUTER_MANAGEMENT", "VROUTER_MANAGEMENT", "", false),
    ("EXTERNAL", "EXTERNAL", "", false),
    ("ROUTES", "ROUTES", "", true),
    ("IP6", "IP6_GLOBAL", "IP6", false),
    ("IP6_ULA", "IP6_ULA", "", false),
    ("IP6_GATEWAY", "GATEWAY6", "", true),
    ("IP6_METRIC", "IP6_METRIC", "", true),
    ("IP6_METHOD", "IP6_METHOD", "", true),
    ("IP6_PREFIX_LENGTH", "PREFIX_LENGTH", "", true),
    ("VROUTER_IP6", "VROUTER_IP6_GLOBAL", "VROUTER_IP6", false),
];

/// Attributes of router VMs that go to the template and to CONTEXT.
pub(super) const VROUTER: [&str; 3] = [
    "VROUTER_ID",
    "VROUTER_KEEPALIVED_ID",
    "VROUTER_KEEPALIVED_PASSWORD",
];

impl Core {
    /// CONTEXT of a new VM.
    pub(super) fn fill_context(
        &self,
        meta: &Meta,
        template: &mut Template,
        user_template: &Template,
    ) -> Result<(), String> {
        if template.get_vector("CONTEXT").is_none() {
            return Ok(());
        }
        template.set_in(
            "CONTEXT",
            "DISK_ID",
            template.get_vectors("DISK").count().to_string(),
        );
        if template.get_in("CONTEXT", "TARGET").is_none() {
            template.set_in("CONTEXT", "TARGET", "hda");
        }
        self.parse_context(meta, template, user_template)
    }

    /// Completes CONTEXT: variables, addresses, OneGate, router.
    pub(super) fn parse_context(
        &self,
        meta: &Meta,
        template: &mut Template,
        user_template: &Template,
    ) -> Result<(), String> {
        let variables = Variables {
            core: self,
            name: &meta.name,
            owner: (meta.uid, &meta.uname, meta.gid, &meta.gname),
            template,
            user_template,
        };
        let context = template.get_vector("CONTEXT").unwrap_or(&[]);
        let context = split(&variables.replace(&joined(context))?);
        template.set_vector("CONTEXT", context);
        self.network_context(template);

        let mut context = template.get_vector("CONTEXT").unwrap_or(&[]).to_vec();
        if is_yes(&context, "TOKEN") {
            if self.config.onegate_endpoint.is_empty() {
                return Err("TOKEN set, but onegate endpoint was not defined in oned.conf.".into());
            }
            put(
                &mut context,
                "ONEGATE_ENDPOINT",
                self.config.onegate_endpoint.clone(),
            );
            put(&mut context, "VMID", meta.id.to_string());
            template.set("CREATED_BY", meta.uid.to_string());
        }
        for name in VROUTER {
            if let Some(text) = template.get(name) {
                put(&mut context, name, text.to_owned());
            }
        }
        template.set_vector("CONTEXT", context);
        Ok(())
    }

    /// Addresses in CONTEXT, if it wants them.
    pub(super) fn network_context(&self, template: &mut Template) {
        let Some(context) = template.get_vector("CONTEXT") else {
            return;
        };
        if !is_yes(context, "NETWORK") {
            return;
        }
        let mut context = context.to_vec();
        for nic in template.get_vectors("NIC") {
            let nic_id = vector_value(nic, "NIC_ID").unwrap_or("0");
            for (name, key, other, ask_network) in NETWORK {
                let own = [key, other]
                    .into_iter()
                    .find_map(|key| vector_value(nic, key).filter(|text| !text.is_empty()));
                let mut text = own.unwrap_or("").to_owned();
                if text.is_empty() && ask_network {
                    text = self.network_value(nic, key);
                }
                put(&mut context, &format!("ETH{nic_id}_{name}"), text);
            }
        }
        template.set_vector("CONTEXT", context);
    }

    /// A value that the NIC's address range or network gives.
    pub(super) fn network_value(&self, nic: &[(String, String)], key: &str) -> String {
        let number = |key: &str| vector_value(nic, key).and_then(|text| text.parse::<u32>().ok());
        let Some(vnet) = number("NETWORK_ID").and_then(|id| self.vnets.get(id)) else {
            return String::new();
        };
        let range = number("AR_ID").and_then(|id| vnet.ranges.iter().find(|range| range.id == id));
        let in_range = range.and_then(|range| vector_value(&range.extra, key));
        in_range
            .or_else(|| vnet.template.get(key))
            .unwrap_or("")
            .to_owned()
    }
}

fn put(context: &mut Vec<(String, String)>, key: &str, text: String) {
    context.retain(|(known, _)| known != key);
    context.push((key.into(), text));
}

fn is_yes(context: &[(String, String)], key: &str) -> bool {
    vector_value(context, key).is_some_and(|text| text.eq_ignore_ascii_case("YES"))
}

/// What oned puts between the pairs of a vector while it replaces variables.
const SEPARATOR: &str = "@^_^@";

fn joined(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<String> = pairs.iter().map(|(key, text)| format!("{key}={text}")).collect();
    pairs.sort_unstable();
    pairs.join(SEPARATOR)
}

fn split(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (key, text) in text.split(SEPARATOR).filter_map(|pair| pair.split_once('=')) {
        if vector_value(&pairs, key).is_none() {
            pairs.push((key.into(), text.into()));
        }
    }
    pairs
}
