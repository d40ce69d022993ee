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
    for (attribute, input) in [("CPU", "cpu"), ("VCPU", "vcpu"), ("MEMORY", "memory")] {
        template.set(attribute, number(group, input)?.to_string());
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
    text(&template)
}

/// The text of a template.
pub fn text(template: &Template) -> Result<String, DriverError> {
    template
        .to_text()
        .map_err(|e| DriverError::fatal(reason::BAD_REQUEST, e.to_string()))
}

/// An input that must be a number above 0.
pub fn number(group: &Group, input: &str) -> Result<serde_json::Number, DriverError> {
    let value = group.inputs.get(input);
    match value
        .and_then(|v| v.as_number())
        .filter(|n| n.as_f64().is_some_and(|n| n > 0.0))
    {
        Some(number) => Ok(number.clone()),
        None => {
            let said = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            let message = format!(
                "group {}: {input} must be a number above 0, not {said}",
                group.key
            );
            Err(DriverError::fatal(reason::BAD_REQUEST, message))
        }
    }
}
