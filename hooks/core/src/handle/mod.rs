//! A handle: a virtual machine that never runs and stands for a cluster, so that whoever knows virtual machines only can
//! have clusters too. Its attributes say what is wanted and show what is.
//!
//! ```text
//!  VM on hold, owner alice                            document 7, owner alice
//!  ┌──────────────────────────┐                       ┌──────────────────┐
//!  │ ONEKS_HANDLE=YES         │   HANDLE=42           │ SPEC, RECOVER, … │
//!  │ ONEKS_GROUP_WORKERS=3 …  │◀──────────────────────│ HANDLE=42        │
//!  │ ONEKS_SHOWN={vm,cluster, │   cluster=7, proof    │                  │
//!  │   proof, what was shown} │──────────────────────▶│                  │
//!  └──────────────────────────┘                       └──────────────────┘
//! ```
//!
//! Here is what follows from attributes, SPEC and STATUS; nothing is read or written.
//!
//! # Guarantees
//! - The two belong together only if one user owns both, the document names the VM, and the VM's record names document and
//!   VM with a proof that only the hooks can make. Copies of attributes are a new handle, or nothing.
//! - A change of the handle is told from a change of SPEC by what the handle showed last, which the handle itself carries:
//!   whoever writes back an old copy of it writes back the old record as well, and changes only what he changed.
//! - Nothing is removed because an attribute is missing.

mod edit;
mod group;
mod inputs;
mod link;
mod pace;
mod picture;

#[cfg(test)]
mod testing;

use std::collections::BTreeMap;

pub use edit::{Edit, Order, edit};
pub use inputs::{Asked, Named, Places, asked, needs_datastores, refusals};
pub use link::{Record, Standing, View, standing};
pub use pace::{is_pressing, is_progress, is_users, pause_ends, touches};
pub use picture::{Picture, Shown, changes, picture, service_name, wishes};

/// Attributes of a user template by name: those that [`is_ours`] knows.
pub type Attributes = BTreeMap<String, String>;

/// Says that a VM is a handle.
pub const TAG: &str = "ONEKS_HANDLE";
/// What the handle showed last, and whose it is: see [`Record`]. The hooks write it first, whenever they write.
pub const SHOWN: &str = "ONEKS_SHOWN";
/// The handle that was terminated and that this one replaces: `VM proof`.
pub const REPLACES: &str = "ONEKS_REPLACES";
/// Id of the cluster.
pub const CLUSTER_ID: &str = "ONEKS_CLUSTER_ID";
/// State of the cluster.
pub const STATE: &str = "ONEKS_STATE";
/// Address of the API.
pub const ENDPOINT: &str = "ONEKS_ENDPOINT";
/// Version of Kubernetes that SPEC wants; writing another upgrades.
pub const VERSION: &str = "ONEKS_KUBERNETES_VERSION";
/// How many nodes are ready, by group.
pub const NODES: &str = "ONEKS_NODES";
/// Progress, the cause of an error, or an answer.
pub const MESSAGE: &str = "ONEKS_MESSAGE";
/// An order: `recover` or `rotate-credentials`.
pub const ACTION: &str = "ONEKS_ACTION";
/// `YES` keeps the cluster when its handle is terminated.
pub const PROTECTION: &str = "ONEKS_DELETION_PROTECTION";
/// The driver, where it is another than the usual one; of templates for clouds without guests.
pub const DRIVER: &str = "ONEKS_DRIVER";
/// How the attribute of a node group begins. The rest is its name, with `_` for `-`.
pub const GROUP: &str = "ONEKS_GROUP_";
/// Where Sunstone looks for what it shows in red.
pub const ERROR: &str = "ERROR";
/// How the inputs of the template begin: they are asked for once, and removed when there is a cluster.
pub const INPUT: &str = "ONEAPP_KUBERNETES_";

/// What keeps the scheduler from it.
pub const REQUIREMENTS: &str = "SCHED_REQUIREMENTS";
/// What no host has.
pub const NO_HOST: &str = "NAME = \"no host: this stands for a Kubernetes cluster\"";
/// The OneFlow service that made it.
pub const SERVICE: &str = "SERVICE_ID";
/// What the template brings along for those who instantiate it, and the VM has no use for.
pub const QUESTIONS: [&str; 4] = [
    "USER_INPUTS",
    "USER_INPUTS_METADATA",
    "INPUTS_ORDER",
    "ONEKS_TEMPLATE",
];

/// Is the attribute one that handles have?
pub fn is_ours(name: &str) -> bool {
    let also = [ERROR, REQUIREMENTS, SERVICE];
    let any = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
    if any(&also) || any(&QUESTIONS) {
        return true;
    }
    let begins = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    begins("ONEKS_") || begins(INPUT)
}

/// Does a user template say that its VM is a handle?
pub fn is_handle(attributes: &Attributes) -> bool {
    let value = attributes.get(TAG).map_or("", String::as_str);
    !matches!(value.trim().to_ascii_uppercase().as_str(), "" | "NO")
}
