//! The model of a cluster and the plan: every decision of `OneKS`, and nothing but decisions.
//!
//! This crate does no I/O and reads no clock, environment or randomness; `clippy.toml` beside it forbids the means.
//! What it decides about comes in as arguments, what is to be done goes out as data.

pub mod action;
pub mod attribute;
pub mod fingerprint;
pub mod handle;
pub mod names;
pub mod observed;
pub mod plan;
pub mod profile;
pub mod spec;
pub mod state;
pub mod status;
pub mod text;
pub mod version;
pub mod yaml;

pub use action::Action;
pub use observed::{Need, Observed};
pub use plan::{Desired, Plan, plan};
pub use spec::Spec;
pub use status::Status;
