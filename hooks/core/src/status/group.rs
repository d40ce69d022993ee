//! A group as STATUS has it: what it is to be, what it is, and what is being done about the difference.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{Observation, VmCondition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LastError, is_zero};
use crate::state::{DependencyState, GroupState};

/// A group of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// `cluster id × 1000 + n`.
    pub id: u32,
    /// The group's key in the SPEC; `control-plane` for the control plane.
    pub key: String,
    /// Name of its Cluster API objects.
    pub uuid: String,
    /// Its state.
    pub state: GroupState,
    /// How many nodes are wanted.
    #[serde(default)]
    pub want: u32,
    /// How many were ready when last asked.
    #[serde(default)]
    pub ready: u32,
    /// What the accepted SPEC wants it to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Goal>,
    /// What it is being brought to, or was brought to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// The SPEC no longer has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// What a failed bootstrap left is to be removed before the next begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub teardown: bool,
    /// Version that its nodes run, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its virtual machines.
    #[serde(default)]
    pub vms: Vec<GroupVm>,
    /// The VMs that were there when the group was last found settled.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settled: BTreeSet<u32>,
    /// The seed VM; of the control plane only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// The virtual router; of the control plane only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Router>,
    /// VM templates that were made for it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, Template>,
    /// What is being done to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// Fingerprint of the script that was run last with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Was a script of it ever started? Until then Kubernetes knows nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begun: bool,
    /// How often commands failed while it was at rest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_commands: u32,
    /// When it was asked last while at rest, seconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked: u64,
    /// Until when RECOVER starts what was stopped and makes what is missing, seconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repair: u64,
    /// What Kubernetes said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Why it is in a failure or warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<LastError>,
    /// Fields of later versions, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Group {
    /// A group about which nothing is known.
    pub fn new(id: u32, key: &str, uuid: String) -> Self {
        Self {
            id,
            key: key.to_owned(),
            uuid,
            state: GroupState::Pending,
            want: 0,
            ready: 0,
            target: None,
            goal: None,
            removed: false,
            teardown: false,
            version: None,
            vms: Vec::new(),
            settled: BTreeSet::new(),
            seed: None,
            router: None,
            templates: BTreeMap::new(),
            work: None,
            applied: None,
            begun: false,
            failed_commands: 0,
            asked: 0,
            repair: 0,
            probe: None,
            error: None,
            extra: BTreeMap::new(),
        }
    }

    /// How often commands for it failed in a row.
    pub fn attempts(&self) -> u32 {
        self.work.as_ref().map_or(self.failed_commands, |w| w.attempts)
    }

    /// Counts a command for it that failed.
    pub fn count_attempt(&mut self) {
        let count = match &mut self.work {
            Some(work) => &mut work.attempts,
            None => &mut self.failed_commands,
        };
        *count = count.saturating_add(1);
    }

    /// Forgets commands that failed: one has worked.
    pub fn reset_attempts(&mut self) {
        self.failed_commands = 0;
        if let Some(work) = &mut self.work {
            work.attempts = 0;
        }
    }

    /// Was a node added or removed since the group was last found settled?
    pub fn nodes_changed(&self) -> bool {
        !self.vms.iter().map(|vm| vm.id).eq(self.settled.iter().copied())
    }

    /// Is it the control plane?
    pub fn is_control_plane(&self) -> bool {
        self.key == crate::names::CONTROL_PLANE_KEY
    }
}

/// What a group is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// Number of nodes.
    pub replicas: u32,
    /// Kubernetes version.
    pub version: String,
    /// Fingerprint of everything else: inputs, labels, taints.
    pub nodes: String,
}

/// A virtual machine of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVm {
    /// VM id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// How it is.
    pub condition: VmCondition,
    /// Is the node ready? Absent while nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Version of the node, if known. Together these are the ledger of an upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Nothing in Kubernetes stands for it, although all nodes that are wanted are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<Forgotten>,
}

/// Answers that found nothing of a virtual machine, with no other between them. Seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// When the first was there.
    pub since: u64,
    /// When the last was asked for.
    pub again: u64,
}

/// The seed VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Its state.
    pub state: DependencyState,
    /// VM id, once it was allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<u32>,
    /// What it reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Since when, seconds since the epoch.
    pub since: u64,
}

/// The virtual router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Its state.
    pub state: DependencyState,
    /// Id of the virtual router, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Its virtual machines.
    #[serde(default)]
    pub vms: Vec<GroupVm>,
    /// How many virtual machines the hooks see to; none where something in the cluster makes the router. Absent until
    /// the driver was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<u32>,
    /// An address of it that is not the cluster's: somebody made it anew, elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
    /// Since when, seconds since the epoch.
    pub since: u64,
}

impl Router {
    /// A router of which there is nothing.
    pub const fn gone(since: u64) -> Self {
        Self {
            state: DependencyState::Gone,
            id: None,
            vms: Vec::new(),
            want: None,
            elsewhere: None,
            since,
        }
    }
}

/// A VM template that was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Template id.
    pub id: u32,
    /// Fingerprint of its text.
    pub fingerprint: String,
}

/// Work on a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// When it began, seconds since the epoch.
    pub started: u64,
    /// When it counts as failed, seconds since the epoch.
    pub deadline: u64,
    /// How often a command of it failed.
    #[serde(default)]
    pub attempts: u32,
    /// It is not known how far it is: after a rebuild of the status, or after a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
    /// The VMs that there were when it began; an upgrade replaces them all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub before: BTreeSet<u32>,
    /// What it waits for, for people.
    #[serde(default)]
    pub step: String,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When, seconds since the epoch.
    pub at: u64,
    /// Fingerprint of the goal and VMs that it was made for.
    pub of: String,
    /// What it found.
    #[serde(flatten)]
    pub observation: Observation,
}
