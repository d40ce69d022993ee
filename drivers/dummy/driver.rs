//! From an action to its answer.

use oneks_driver::{
    Action, Capabilities, Cluster, Driver, DriverError, Group, Info, Invalid, Kubeconfig, Node, Observation,
    Role, Validation, VmCondition, answer, reason,
};
use serde_json::Value;

use crate::{bootstrap, steps, text};

/// The driver.
pub struct Dummy;

impl Driver for Dummy {
    fn perform(&self, action: &Action) -> Result<Value, DriverError> {
        match action {
            Action::Info => answer(&info()),
            Action::Validate { group, .. } => answer(&validate(group)),
            Action::Bootstrap { cluster, group } => answer(&bootstrap::bootstrap(cluster, group)?),
            Action::Provision { cluster, group } | Action::Scale { cluster, group } => {
                answer(&steps::resize(cluster, group)?)
            }
            Action::Upgrade { cluster, group } => answer(&steps::upgrade(cluster, group)?),
            Action::Deprovision { group, .. } => answer(&steps::remove_all(group)),
            Action::Observe { group, .. } => answer(&observe(group)),
            Action::Kubeconfig { cluster, .. } => answer(&kubeconfig(cluster)),
            other => Err(DriverError::fatal(
                reason::UNKNOWN_ACTION,
                format!("driver dummy has no guests, so it has no {}", other.name()),
            )),
        }
    }
}

fn info() -> Info {
    Info {
        name: "dummy".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: Capabilities {
            guest: false,
            upgrade: true,
            resize_control_plane: true,
            rotate: false,
        },
    }
}

/// Only the inputs that VMs are made from matter here.
fn validate(group: &Group) -> Validation {
    let own = match group.role {
        Role::ControlPlane => "control_plane".to_owned(),
        Role::NodeGroup => format!("node_groups[{}]", group.key),
    };
    let wrong = text::SIZES.iter().filter_map(|(_, input)| {
        let message = text::size(group, input).err()?;
        let path = format!("{own}.user_inputs_values.{input}");
        Some(Invalid { path, message })
    });
    Validation {
        errors: wrong.collect(),
    }
}

/// A node is ready when its VM runs.
fn observe(group: &Group) -> Observation {
    let nodes: Vec<Node> = group
        .vms
        .iter()
        .filter(|vm| vm.condition != VmCondition::Ending)
        .map(|vm| Node {
            name: vm.name.clone(),
            vm: Some(vm.id),
            ready: vm.condition == VmCondition::Running,
            version: vm.version.clone(),
        })
        .collect();
    let count = |test: &dyn Fn(&Node) -> bool| {
        let count = nodes.iter().filter(|node| test(node)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    let (replicas, ready) = (count(&|_| true), count(&|node| node.ready));
    let updated = count(&|node| node.version.as_ref() == Some(&group.version));
    let want = group.replicas;
    let settled = replicas == want && ready == want && updated == want;
    let message = format!(
        "{ready} of {want} virtual machines run, {updated} of version {}",
        group.version
    );
    let versions = nodes.iter().filter_map(|node| node.version.clone());
    Observation {
        settled,
        unmanaged: false,
        forgotten: None,
        replicas,
        ready,
        updated,
        version: versions.min_by_key(|version| numbers(version)),
        nodes,
        message: (!settled).then_some(message),
    }
}

/// The numbers in a version, by which it is older or newer than another.
fn numbers(version: &str) -> Vec<u64> {
    let digits = version.split(|c: char| !c.is_ascii_digit());
    digits.filter_map(|number| number.parse().ok()).collect()
}

/// A kubeconfig of the right form. Nobody answers behind it.
fn kubeconfig(cluster: &Cluster) -> Kubeconfig {
    let (host, port) = cluster
        .endpoint
        .as_ref()
        .map_or(("127.0.0.1", 6443), |e| (e.host.as_str(), e.port));
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let name = &cluster.name;
    Kubeconfig {
        endpoint: None,
        gateway: None,
        kubeconfig: format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: \"https://{host}:{port}\"\n\
             contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: nobody\ncurrent-context: {name}\n\
             users:\n- name: nobody\n  user: {{}}\n"
        ),
    }
}
