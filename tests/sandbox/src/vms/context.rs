//! CONTEXT: what a guest finds on its context disk.

use opennebula::template::{AttributeValue, Template, vector_value};

use crate::core::Core;

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
    /// Completes CONTEXT: variables, addresses, OneGate, router.
    pub(super) fn fill_context(
        &self,
        id: u32,
        uid: u32,
        template: &mut Template,
        user_template: &Template,
    ) -> Result<(), String> {
        let Some(context) = template.get_vector("CONTEXT") else {
            return Ok(());
        };
        let mut context = context.to_vec();
        for (_, text) in &mut context {
            *text = substitute(text, template, user_template);
        }
        let is_yes = |context: &[(String, String)], key: &str| {
            vector_value(context, key).is_some_and(|text| text.eq_ignore_ascii_case("YES"))
        };
        if is_yes(&context, "NETWORK") {
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
        }
        put(
            &mut context,
            "DISK_ID",
            template.get_vectors("DISK").count().to_string(),
        );
        if vector_value(&context, "TARGET").is_none() {
            put(&mut context, "TARGET", "hda".into());
        }
        if is_yes(&context, "TOKEN") {
            if self.config.onegate_endpoint.is_empty() {
                return Err("TOKEN set, but onegate endpoint was not defined in oned.conf.".into());
            }
            put(
                &mut context,
                "ONEGATE_ENDPOINT",
                self.config.onegate_endpoint.clone(),
            );
            put(&mut context, "VMID", id.to_string());
            template.set("CREATED_BY", uid.to_string());
        }
        for name in VROUTER {
            if let Some(text) = template.get(name) {
                put(&mut context, name, text.to_owned());
            }
        }
        template.set_vector("CONTEXT", context);
        Ok(())
    }

    /// A value that the NIC's address range or network gives.
    fn network_value(&self, nic: &[(String, String)], key: &str) -> String {
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

/// Replaces `$NAME` by an attribute of the VM, `$VECTOR[KEY]` by a value in its first vector.
fn substitute(text: &str, template: &Template, user_template: &Template) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() {
            out.push('$');
            continue;
        }
        rest = &rest[end..];
        if let Some(index) = rest.strip_prefix('[')
            && let Some(close) = index.find(']')
        {
            let key = index[..close].trim();
            let value = template
                .get_in(name, key)
                .or_else(|| user_template.get_in(name, key));
            out.push_str(value.unwrap_or(""));
            rest = &index[close + 1..];
            continue;
        }
        let find = |template: &Template| {
            template
                .iter()
                .find(|attribute| attribute.name == name)
                .and_then(|attribute| match &attribute.value {
                    AttributeValue::Text(text) => Some(text.clone()),
                    AttributeValue::Vector(_) => None,
                })
        };
        out.push_str(&find(template).or_else(|| find(user_template)).unwrap_or_default());
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let template = Template::parse_text("VMID=7\nNIC=[IP=\"10.0.0.1\"]").unwrap();
        let user = Template::parse_text("CLUSTER=\"demo\"").unwrap();
        for (text, expected) in [
            ("plain", "plain"),
            ("id $VMID of $CLUSTER", "id 7 of demo"),
            ("$NIC[IP] and $NIC[MAC].", "10.0.0.1 and ."),
            ("$UNKNOWN.", "."),
            ("5$ and $", "5$ and $"),
        ] {
            assert_eq!(substitute(text, &template, &user), expected);
        }
    }
}
