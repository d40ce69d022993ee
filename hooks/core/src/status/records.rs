//! What STATUS notes beside the groups: each a record of its own, which comes and goes.

use std::collections::BTreeMap;

use oneks_driver::{Capabilities, Image, Placement};
use serde::{Deserialize, Serialize};

use super::is_zero;

/// A SPEC that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Fingerprint of its text.
    pub fingerprint: String,
    /// The cloud may have changed by then, seconds since the epoch.
    pub again: u64,
    /// How often it was looked at.
    pub count: u32,
}

/// Where a cluster was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Networks and cluster.
    #[serde(flatten)]
    pub placement: Placement,
    /// Images by purpose.
    #[serde(default)]
    pub images: BTreeMap<String, Image>,
    /// What the driver can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Address of OpenNebula as the cluster's VMs reach it.
    #[serde(default)]
    pub xmlrpc: String,
}

/// One condition, as Kubernetes has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What it is about, in `CamelCase`.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, false, or not known.
    pub status: Truth,
    /// Why, one word in `CamelCase`.
    pub reason: String,
    /// Why, for people.
    #[serde(default)]
    pub message: String,
    /// Since when the status is what it is, seconds since the epoch.
    pub since: u64,
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Truth {
    /// It holds.
    True,
    /// It doesn't.
    False,
    /// Nobody knows yet.
    Unknown,
}

/// What is under way, for the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `create`, `scale`, `upgrade`, `rotate`, `recover` or `delete`.
    pub kind: String,
    /// When it began, seconds since the epoch.
    pub started: u64,
    /// When it counts as failed, seconds since the epoch.
    pub deadline: u64,
    /// What it waits for, for people.
    pub step: String,
}

/// A guest command that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestExec {
    /// The VM.
    pub vm: u32,
    /// Group that it is for.
    pub group: u32,
    /// What it does.
    pub purpose: Purpose,
    /// The command's last word.
    pub token: String,
    /// Fingerprint of the script, or of what a probe is made for.
    pub script: String,
    /// What the probe is made for that follows in the same command, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Seconds for which it may wait in the guest for something to happen.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait: u64,
    /// Something more urgent waits: at the deadline it is ended, and nobody is blamed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// When it was issued, seconds since the epoch.
    pub issued: u64,
    /// When it counts as stuck, seconds since the epoch.
    pub deadline: u64,
}

impl GuestExec {
    /// Does it tell how its group is?
    pub fn probes(&self) -> bool {
        self.purpose == Purpose::Probe || self.probe.is_some()
    }
}

/// What a guest command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Reads the kubeconfig.
    Kubeconfig,
    /// Runs a script of the group's steps.
    Apply,
    /// Hands the cluster its new credential.
    Rotate,
    /// Asks Kubernetes how the group is.
    Probe,
}

impl Purpose {
    /// Its name in a command's token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubeconfig => "kubeconfig",
            Self::Apply => "apply",
            Self::Probe => "probe",
            Self::Rotate => "rotate",
        }
    }
}

/// The cluster's own credential: a login token of its owner. The token itself is nowhere in STATUS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Which token; the next one after a rotation has the next number.
    pub serial: u32,
    /// When it was made, seconds since the epoch.
    pub issued: u64,
    /// When it ends, seconds since the epoch; absent if it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// A credential that is being replaced by the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// When it began, seconds since the epoch.
    pub started: u64,
    /// How far it is.
    pub stage: RotationStage,
    /// The credential that the cluster uses until the new one is handed over, if it is known and still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Credential>,
    /// How often a step failed in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// No attempt before this time, seconds since the epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_before: u64,
    /// It failed too often; an order lets it go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotationStage {
    /// The new credential is to be made.
    Make,
    /// It was made and is the cluster's; the nodes are to be told.
    HandOver,
    /// The cluster uses it; the others are to be revoked.
    Revoke {
        /// Not before this time, seconds since the epoch: calls with the old one may be under way.
        after: u64,
    },
}

/// An ordered deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Remove what can be removed and don't wait for the rest.
    pub force: bool,
    /// When it was ordered, seconds since the epoch.
    pub started: u64,
    /// When it counts as failed, seconds since the epoch.
    pub deadline: u64,
    /// Did it count as failed?
    #[serde(default)]
    pub failed: bool,
}

/// Back-off after calls that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often in a row.
    pub count: u32,
    /// Not before this time, seconds since the epoch.
    pub not_before: u64,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// One word in `CamelCase`.
    pub reason: String,
    /// For people: what happened to which thing, and the way out.
    pub message: String,
    /// The object, such as `VM 42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Since when, seconds since the epoch.
    pub since: u64,
}

/// One line of history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, seconds since the epoch.
    pub at: u64,
    /// What happened, for people.
    pub text: String,
}
