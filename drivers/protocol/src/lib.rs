//! The protocol between the hooks and a driver.
//!
//! A driver says *how* a cluster is realised; the hooks carry it out. It is an executable in any language that
//! reads one JSON request from standard input, writes one JSON reply to standard output and ends. It holds no
//! credentials and does no I/O of its own: what it answers depends on nothing but the request.
//!
//! ```text
//! {"protocol":1,"action":"probe","cluster":{…},"group":{…}}   →   {"protocol":1,"ok":{…}}
//!                                                             or  {"protocol":1,"error":{"reason":…,"message":…,"retry":false}}
//! ```
//!
//! Log lines go to standard error. Exit status 0 goes with either reply; anything else means that the driver
//! itself broke, and counts as an error that may be retried.
//!
//! # Guarantees expected of a driver
//! - Total: every well-formed request gets a reply; an action it does not know gets the error `UnknownAction`.
//! - Deterministic: equal requests get equal replies. The hooks rely on it when they resume after a crash.
//! - Forward compatible: unknown fields of a request are ignored.
//!
//! # Secrets
//! Texts in replies carry [marks](secret) where a secret belongs. The hooks replace them at the moment of the
//! call, so that no plan, log or history ever holds one.

mod error;
mod reply;
mod request;
mod run;
pub mod secret;

pub use error::{DriverError, reason};
pub use reply::{
    Bootstrap, Capabilities, Info, Invalid, Kubeconfig, Node, Nodes, Observation, Reply, Router, Script,
    Seed, SeedDone, Steps, TemplateText, Validation, VmText,
};
pub use request::{
    Action, Cluster, Endpoint, Group, GroupVm, Image, Network, Output, Owner, Placement, Profile, Request,
    Role, Taint, VmCondition,
};
pub use run::{Driver, answer, run};

/// The version that this crate speaks; it stands in every request and reply.
pub const PROTOCOL: u32 = 1;
