//! From an action to its answer.

use oneks_driver::{
    Action, Capabilities, Cluster, Driver, DriverError, Group, Info, Invalid, Kubeconfig, Observation,
    Validation, VmCondition, answer, reason,
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
    let mut errors = Vec::new();
    for input in ["cpu", "vcpu", "memory"] {
        if let Err(e) = text::number(group, input) {
            errors.push(Invalid {
                path: format!("{}.user_inputs_values.{input}", group.key),
                message: e.message,
            });
        }
    }
    Validation { errors }
}

/// A node is ready when its VM runs.
fn observe(group: &Group) -> Observation {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let there: Vec<_> = group
        .vms
        .iter()
        .filter(|vm| vm.condition != VmCondition::Ending)
        .collect();
    let running = there
        .iter()
        .filter(|vm| vm.condition == VmCondition::Running)
        .count();
    let updated = there
        .iter()
        .filter(|vm| vm.version.as_ref() == Some(&group.version))
        .count();
    let want = group.replicas as usize;
    let settled = there.len() == want && running == want && updated == want;
    let message = format!(
        "{running} of {want} virtual machines run, {updated} of version {}",
        group.version
    );
    Observation {
        settled,
        replicas: count(there.len()),
        ready: count(running),
        updated: count(updated),
        version: there.iter().filter_map(|vm| vm.version.clone()).min(),
        nodes: Vec::new(),
        message: (!settled).then_some(message),
    }
}

/// A kubeconfig of the right form. Nobody answers behind it.
fn kubeconfig(cluster: &Cluster) -> Kubeconfig {
    let (host, port) = cluster
        .endpoint
        .as_ref()
        .map_or(("127.0.0.1", 6443), |e| (e.host.as_str(), e.port));
    let name = &cluster.name;
    Kubeconfig {
        kubeconfig: format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: \"https://{host}:{port}\"\n\
             contexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: nobody\ncurrent-context: {name}\n\
             users:\n- name: nobody\n  user: {{}}\n"
        ),
    }
}
