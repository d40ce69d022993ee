//! The texts of VM templates.

use oneks_driver::{Cluster, DriverError, Group, reason};
use opennebula::template::Template;

/// Attribute of a VM that says for which version its node was made.
pub const VERSION: &str = "ONEKS_KUBERNETES_VERSION";

/// What a virtual machine is: TYPE in its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The seed.
    Seed,
    /// A VM of the virtual router.
    Router,
    /// A control-plane node.
    ControlPlane,
    /// A worker.
    Node,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "SEED",
            Self::Router => "ROUTER",
            Self::ControlPlane => "CONTROL_PLANE",
            Self::Node => "NODE",
        }
    }
}

/// What every VM of a group has: its tag, its size, its place.
pub fn base(cluster: &Cluster, group: &Group, kind: Kind) -> Result<Template, DriverError> {
    let mut template = Template::new();
    template.set_vector(
        "ONEKS",
        [
            ("CLUSTER_ID", cluster.id.to_string()),
            ("GROUP_ID", group.id.to_string()),
            ("TYPE", kind.as_str().to_owned()),
            ("CLUSTER_NAME", cluster.name.clone()),
        ],
    );
    template.set(VERSION, group.version.as_str());
    for (attribute, input) in SIZES {
        let size = size(group, input).map_err(|message| {
            let message = format!("group {}: input {input}: {message}", group.key);
            DriverError::fatal(reason::BAD_REQUEST, message)
        })?;
        template.set(attribute, size);
    }
    template.set(
        "SCHED_REQUIREMENTS",
        format!("CLUSTER_ID = {}", cluster.placement.cluster_id),
    );
    Ok(template)
}

/// A VM with one NIC in the private network.
pub fn node(cluster: &Cluster, group: &Group, kind: Kind) -> Result<String, DriverError> {
    let mut template = base(cluster, group, kind)?;
    template.set_vector("NIC", [("NETWORK_ID", cluster.placement.private.id.to_string())]);
    // A real node has these in its certificates and its network. Should the virtual router be lost, it is made again
    // with them.
    if let Some(endpoint) = &cluster.endpoint {
        template.set("ONEKS_ENDPOINT", endpoint.host.as_str());
    }
    if let Some(gateway) = &cluster.gateway {
        template.set("ONEKS_GATEWAY", gateway.as_str());
    }
    text(&template)
}

/// The text of a template.
pub fn text(template: &Template) -> Result<String, DriverError> {
    template
        .to_text()
        .map_err(|e| DriverError::fatal(reason::BAD_REQUEST, e.to_string()))
}

/// Attributes of a VM's size, and the inputs that say it.
pub const SIZES: [(&str, &str); 3] = [("CPU", "cpu"), ("VCPU", "vcpu"), ("MEMORY", "memory")];

/// One of [`SIZES`] as the template has it. CPU may be a part of one, the others are whole.
///
/// # Errors
/// What is wrong with the input.
pub fn size(group: &Group, input: &str) -> Result<String, String> {
    let given = group.inputs.get(input);
    let number = given.and_then(serde_json::Value::as_f64).filter(|n| *n > 0.0);
    match number {
        Some(n) if input == "cpu" || n.fract() == 0.0 => Ok(n.to_string()),
        _ => {
            let kind = if input == "cpu" {
                "a number"
            } else {
                "a whole number"
            };
            let said = given.map_or_else(|| "missing".to_owned(), |value| format!("not {value}"));
            Err(format!("{kind} above 0 is needed, {said}"))
        }
    }
}
