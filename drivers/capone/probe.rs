//! The script that asks Kubernetes how a group is, and what it answers.

use minijinja::{Value, context};
use oneks_driver::{Cluster, DriverError, Group, Role, Script};
use serde::Deserialize;

use crate::script::Target;
use crate::settings::Settings;

/// Seconds for the script without its waiting: eight questions of at most half a minute each, and one pause.
const TIMEOUT: u64 = 270;

/// Seconds for two questions more.
const TIMEOUT_DOUBT: u64 = 60;

/// Seconds between two looks of a script that waits.
const PAUSE: u64 = 10;

/// Seconds after which it no longer waits for an API server that does not answer, and for counts that stay as they are.
/// Somebody wants to know why.
const SILENCE: u64 = 60;
const STILL: u64 = 180;

/// Answers `probe`.
///
/// A script that waits looks again and again at what counts, in three questions; only then it asks for everything.
/// See `wait.sh.j2` for
/// what it does not wait for.
///
/// Where there are more VMs than nodes are wanted, it asks besides for whatever might stand for one of them: machines of
/// any group, provider's machines, nodes. Cluster API makes a machine before its VM, and the request names VMs that are
/// there already: one that nothing stands for then was forgotten.
///
/// # Errors
/// `BadProfile`.
pub fn script(cluster: &Cluster, group: &Group, wait: u64) -> Result<Script, DriverError> {
    let target = Target::of(group);
    let selector = match group.role {
        Role::ControlPlane => "cluster.x-k8s.io/control-plane".to_owned(),
        Role::NodeGroup => format!("cluster.x-k8s.io/deployment-name={}", group.name),
    };
    let in_doubt = group.vms.len() > group.replicas as usize;
    let vms: Vec<Value> = group
        .vms
        .iter()
        .filter(|_| in_doubt)
        .map(|vm| context! { id => number(vm.id.into()), name => vm.name.as_str() })
        .collect();
    let timeout = if in_doubt {
        TIMEOUT + TIMEOUT_DOUBT
    } else {
        TIMEOUT
    };
    let context = context! {
        vms => vms,
        cluster => cluster.name.as_str(),
        name => group.name.as_str(),
        resource => target.resource,
        version_path => Value::from_safe_string(target.version_path.to_owned()),
        selector => format!("cluster.x-k8s.io/cluster-name={},{selector}", cluster.name),
        replicas => number(group.replicas.into()),
        version => Settings::of(group)?.rke2.version(&group.version),
        waits => wait > 0,
        wait => number(wait),
        pause => number(PAUSE),
        silence => number(SILENCE),
        still => number(STILL),
    };
    crate::script::script("probe.sh.j2", &context, timeout + wait)
}

/// A number as arithmetic in a script takes it: without quotes.
fn number(number: u64) -> Value {
    Value::from_safe_string(number.to_string())
}

/// What the script prints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Report {
    /// The Cluster API cluster, if it exists.
    pub cluster: Option<ClusterReport>,
    /// The `RKE2ControlPlane` or `MachineDeployment`, if it exists.
    pub group: Option<GroupReport>,
    /// Its conditions that are not true.
    pub conditions: Vec<Condition>,
    /// Its machines.
    pub machines: Vec<Machine>,
    /// VMs that nothing stands for, if that was asked.
    #[serde(default)]
    pub forgotten: Option<Vec<u32>>,
}

/// The Cluster API cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ClusterReport {
    /// `Provisioned`, when all is well.
    pub phase: String,
    /// Do its controllers stand still?
    pub paused: bool,
    /// Is it on its way out?
    pub deleting: bool,
}

/// An `RKE2ControlPlane` or a `MachineDeployment`. A count that is not reported is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GroupReport {
    /// Counts changes of its specification.
    pub generation: Option<u64>,
    /// The one that the status belongs to.
    pub observed: Option<u64>,
    /// Wanted machines.
    pub wanted: Option<u32>,
    /// Machines.
    pub replicas: Option<u32>,
    /// Machines that are as wanted.
    pub updated: Option<u32>,
    /// Machines whose nodes are ready.
    pub ready: Option<u32>,
    /// Machines that are missing or not ready.
    pub unavailable: Option<u32>,
    /// Wanted version.
    pub version: String,
    /// What it is doing.
    pub phase: String,
    /// Is it on its way out?
    pub deleting: bool,
    /// Why its controller has given up.
    pub failure: String,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// Text for people.
    pub message: String,
}

/// A machine with its node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Its name, which is its VM's.
    pub name: String,
    /// What it is doing; `Running`, when all is well.
    pub phase: String,
    /// Its version.
    pub version: String,
    /// `one://<vm id>`.
    pub provider: String,
    /// Its node's name, once there is one.
    pub node: String,
    /// Is it on its way out?
    pub deleting: bool,
    /// Why it is not ready, in one word.
    pub reason: String,
    /// Why it is not ready, for people.
    pub message: String,
    /// The node's version.
    pub kubelet: String,
    /// `one://<vm id>` as the node has it.
    pub node_provider: String,
    /// Is the node ready?
    pub ready: bool,
}
