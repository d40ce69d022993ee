//! What a driver answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::DriverError;
use crate::request::Endpoint;

/// The envelope of every reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// See [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The answer, of the type that belongs to the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<DriverError>,
}

/// Answer to `info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The driver's name, equal to its folder's.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// What a driver can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // independent abilities, not a state
pub struct Capabilities {
    /// Its nodes run guest commands: it answers `probe` and reads their output.
    pub guest: bool,
    /// It can bring a group to another version.
    pub upgrade: bool,
    /// It can change the number of control-plane nodes.
    pub resize_control_plane: bool,
    /// It can hand a running cluster a new credential.
    pub rotate: bool,
}

/// Answer to `validate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// Everything that is wrong; empty if nothing is.
    #[serde(default)]
    pub errors: Vec<Invalid>,
}

/// One thing that is wrong with a specification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Invalid {
    /// Where, such as `node_groups[0].taints[1].effect`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Answer to `bootstrap`: what is made before the control plane can exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// VM templates that must exist first.
    #[serde(default)]
    pub templates: Vec<TemplateText>,
    /// The temporary VM that builds the control plane, if the driver works that way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// The virtual router.
    pub router: Router,
    /// Who makes the control plane's nodes.
    pub nodes: Nodes,
}

/// A VM template to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateText {
    /// Its name, which begins with the cluster's.
    pub name: String,
    /// Its content in OpenNebula's template syntax, without NAME.
    pub text: String,
}

/// A virtual machine to allocate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmText {
    /// Its name, which begins with the cluster's.
    pub name: String,
    /// Its content in OpenNebula's template syntax, without NAME. Marks are replaced, see [`crate::secret`].
    pub text: String,
    /// Texts that `text` embeds in base64 by mark, secrets filled in first.
    #[serde(default)]
    pub attachments: BTreeMap<String, String>,
}

/// The seed VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The VM.
    pub vm: VmText,
    /// When it has done its work.
    pub done: SeedDone,
    /// Seconds within which it must report for the first time.
    pub first_report: u64,
    /// Seconds within which it must be done.
    pub total: u64,
}

/// How a seed VM says that it has done its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum SeedDone {
    /// By running.
    Running,
    /// By a value of an attribute in its user template, reported through OneGate.
    Report {
        /// The attribute.
        attribute: String,
        /// The value that means success.
        success: String,
        /// A value with this in it means failure, for good.
        failure: String,
        /// Attribute with a code or text that explains a failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
}

/// Who makes the virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Router {
    /// Something that runs in the seed or the cluster; the hooks recognise it by name and owner.
    Cluster {
        /// Name of the virtual router.
        name: String,
        /// Seconds after which a router without VMs counts as half-created and is removed, to be made anew.
        repair_after: u64,
    },
    /// The hooks.
    Hooks {
        /// Name of the virtual router.
        name: String,
        /// Its content, without NAME.
        text: String,
        /// Name of the VM template of its VMs, one of [`Bootstrap::templates`].
        template: String,
        /// How many VMs.
        replicas: u32,
    },
}

impl Default for Router {
    fn default() -> Self {
        Self::Cluster {
            name: String::new(),
            repair_after: 0,
        }
    }
}

impl Router {
    /// Name of the virtual router.
    pub fn name(&self) -> &str {
        match self {
            Self::Cluster { name, .. } | Self::Hooks { name, .. } => name,
        }
    }
}

/// Who makes the nodes of the control plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nodes {
    /// Something that runs in the seed or the cluster.
    #[default]
    Cluster,
    /// The hooks, by the steps of `provision`.
    Hooks,
}

/// Answer to `provision`, `scale`, `upgrade` and `deprovision`: what to do next for a group.
///
/// Carried out in the order of the fields. No step at all means that nothing is left to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steps {
    /// VM templates that must exist.
    pub templates: Vec<TemplateText>,
    /// VMs that must exist.
    pub vms: Vec<VmText>,
    /// VMs to end.
    pub remove: Vec<u32>,
    /// A script to run on one node of the control plane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Names of VM templates that are no longer needed afterwards.
    pub obsolete_templates: Vec<String>,
}

/// A script for `/bin/sh`, to run on one running node of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The text. Marks are replaced, see [`crate::secret`].
    pub text: String,
    /// Seconds after which it is taken for stuck.
    pub timeout: u64,
}

/// Answer to `observe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// Nothing is under way, and what is equals what is wanted.
    pub settled: bool,
    /// Nodes there are.
    pub replicas: u32,
    /// Nodes that are ready.
    pub ready: u32,
    /// Nodes of the wanted version.
    pub updated: u32,
    /// Lowest version among the nodes, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Kubernetes runs, but nothing in it manages the cluster: what built it ended before it had handed over. Of a
    /// control plane only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unmanaged: bool,
    /// The nodes, if known.
    pub nodes: Vec<Node>,
    /// Which of the request's VMs nothing stands for: no node, and nothing that would become one or end one. Only where
    /// that can be said for certain, and only while nothing is under way in the group; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<Vec<u32>>,
    /// What is going on, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A node as Kubernetes sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name, which is its VM's.
    pub name: String,
    /// VM id, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<u32>,
    /// Is it ready?
    pub ready: bool,
    /// Its version, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Answer to `kubeconfig` when it is at hand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubeconfig {
    /// The file's content.
    pub kubeconfig: String,
    /// Where the cluster's certificates and nodes expect the API server. Only asked for where the request has no
    /// endpoint: the virtual router that would tell it is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The nodes' gateway, in the same case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig")
            .field("kubeconfig", &"REDACTED")
            .finish()
    }
}
