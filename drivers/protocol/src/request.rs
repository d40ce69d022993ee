//! What the hooks ask a driver.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request: the protocol version and the action with its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// See [`crate::PROTOCOL`].
    pub protocol: u32,
    /// What is asked.
    #[serde(flatten)]
    pub action: Action,
}

/// The actions of the protocol.
///
/// All but `info` describe the cluster as the hooks know it at this moment; nothing is remembered between requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Name, version and capabilities. Answered with [`crate::Info`].
    Info,
    /// Can this group be realised? Answered with [`crate::Validation`].
    Validate {
        /// The cluster, with the values that would be accepted.
        cluster: Box<Cluster>,
        /// The group to check.
        group: Box<Group>,
    },
    /// What must be made to start the control plane. Answered with [`crate::Bootstrap`].
    ///
    /// Asked again when more is known: a driver whose router is made by the hooks is asked first without endpoint and
    /// gateway, and what it says of the seed is used only once it was asked with both.
    Bootstrap {
        /// The cluster.
        cluster: Box<Cluster>,
        /// Its control plane.
        group: Box<Group>,
    },
    /// What makes the group's nodes. Answered with [`crate::Steps`].
    Provision {
        /// The cluster.
        cluster: Box<Cluster>,
        /// The group, with the replicas and version that are wanted.
        group: Box<Group>,
    },
    /// What brings the group to another size. Answered with [`crate::Steps`].
    Scale {
        /// The cluster.
        cluster: Box<Cluster>,
        /// The group, with the replicas that are wanted.
        group: Box<Group>,
    },
    /// What brings the group to another version. Answered with [`crate::Steps`].
    Upgrade {
        /// The cluster.
        cluster: Box<Cluster>,
        /// The group, with the version that is wanted.
        group: Box<Group>,
    },
    /// What removes the group from a cluster that goes on living. Answered with [`crate::Steps`].
    Deprovision {
        /// The cluster.
        cluster: Box<Cluster>,
        /// The group to remove.
        group: Box<Group>,
    },
    /// A script that asks Kubernetes how the group is. Answered with [`crate::Script`].
    Probe {
        /// The cluster.
        cluster: Box<Cluster>,
        /// The group.
        group: Box<Group>,
        /// Seconds for which the script may wait for the group to be what is wanted before it answers; its `timeout`
        /// includes them. A driver that can't wait has it answer at once.
        #[serde(default)]
        wait: u64,
    },
    /// What the probe's output, or without one the state of the VMs, says. Answered with [`crate::Observation`].
    Observe {
        /// The cluster.
        cluster: Box<Cluster>,
        /// The group.
        group: Box<Group>,
        /// Output of the probe's script; absent for drivers without guests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Output>,
    },
    /// Without `output`: the script that prints the kubeconfig ([`crate::Script`]), or [`crate::Kubeconfig`] at once
    /// if no guest is needed. With it: [`crate::Kubeconfig`].
    Kubeconfig {
        /// The cluster.
        cluster: Box<Cluster>,
        /// Its control plane.
        group: Box<Group>,
        /// Output of the script.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Output>,
    },
    /// A script that hands the cluster its new credential, may be run any number of times, and ends well only when the
    /// cluster was seen to use it: the old one is revoked after that. Answered with [`crate::Script`].
    Rotate {
        /// The cluster.
        cluster: Box<Cluster>,
        /// Its control plane.
        group: Box<Group>,
    },
}

impl Action {
    /// The action's name in the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Validate { .. } => "validate",
            Self::Bootstrap { .. } => "bootstrap",
            Self::Provision { .. } => "provision",
            Self::Scale { .. } => "scale",
            Self::Upgrade { .. } => "upgrade",
            Self::Deprovision { .. } => "deprovision",
            Self::Probe { .. } => "probe",
            Self::Observe { .. } => "observe",
            Self::Kubeconfig { .. } => "kubeconfig",
            Self::Rotate { .. } => "rotate",
        }
    }
}

/// A cluster as a driver sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Id of the cluster's document.
    pub id: u32,
    /// Name of the Cluster API objects, `oneks-<id>`. Every object's name begins with it.
    pub name: String,
    /// The name that users gave the cluster; for display only.
    pub display_name: String,
    /// Who owns every object of the cluster.
    pub owner: Owner,
    /// Wanted Kubernetes version, `v1.34.2`.
    pub kubernetes_version: String,
    /// Where it lives.
    pub placement: Placement,
    /// Images found in the chosen datastore, by purpose (`seed`, `node`, `router`).
    #[serde(default)]
    pub images: BTreeMap<String, Image>,
    /// Address of the API server, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Address of the virtual router in the private network, once known: the nodes' gateway and name server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// XML-RPC address of OpenNebula as the cluster's VMs reach it.
    pub xmlrpc: String,
    /// Number of the cluster's own credential. The next one has the next number: a text that must change with the
    /// credential can name it.
    #[serde(default = "first_credential")]
    pub credential: u32,
}

const fn first_credential() -> u32 {
    1
}

/// A user of OpenNebula.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// User name.
    pub name: String,
}

/// Where a cluster lives in the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// OpenNebula cluster.
    pub cluster_id: u32,
    /// Network of the API endpoint.
    pub public: Network,
    /// Network of the nodes.
    pub private: Network,
    /// Datastore of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_datastore: Option<u32>,
}

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Network id.
    pub id: u32,
    /// Its name, which may hold any character.
    pub name: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Image id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Size in MB.
    pub size: u64,
}

/// Address of the Kubernetes API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The control plane.
    ControlPlane,
    /// Worker nodes.
    NodeGroup,
}

/// A group of nodes as a driver sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// `cluster id × 1000 + n`, 0 for the control plane.
    pub id: u32,
    /// Name of its objects: `oneks-<id>` for the control plane, `oneks-<id>-<key>` for a node group.
    pub name: String,
    /// The group's name in the specification; `control-plane` for the control plane.
    pub key: String,
    /// What it is for.
    pub role: Role,
    /// Wanted number of nodes.
    pub replicas: u32,
    /// Wanted Kubernetes version.
    pub version: String,
    /// Values of the profile's inputs, all of them, checked.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// The profile that it is made from.
    pub profile: Profile,
    /// Node labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Node taints.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// Its virtual machines, oldest first.
    #[serde(default)]
    pub vms: Vec<GroupVm>,
}

/// A node taint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// The profile of a group: free-form settings and the texts that the driver renders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Family, such as `general`.
    pub family: String,
    /// Flavour, such as `ha` or `small`.
    pub flavour: String,
    /// The family's `settings`, as its YAML file gives them.
    #[serde(default)]
    pub settings: Value,
    /// Template texts of the family by file name, such as `manifest.yaml.j2`.
    #[serde(default)]
    pub texts: BTreeMap<String, String>,
}

/// A virtual machine of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVm {
    /// VM id.
    pub id: u32,
    /// Its name, which is the node's name.
    pub name: String,
    /// How it is.
    pub condition: VmCondition,
    /// First address in the private network, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Kubernetes version that it was made for, if known (drivers without guests).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The states of a virtual machine, as far as a cluster cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmCondition {
    /// On its way up.
    Starting,
    /// Running.
    Running,
    /// Stopped by somebody, or out of reach.
    Down,
    /// In one of OpenNebula's failure states.
    Failed,
    /// On its way out, or gone.
    Ending,
}

/// Output of a script that ran in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Exit status of the script.
    pub return_code: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}
