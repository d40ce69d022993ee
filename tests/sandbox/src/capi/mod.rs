//! What lives inside the VMs: the seed appliance, Kubernetes nodes, and Cluster API with CAPONE and CAPRKE2 on them.
//!
//! It is faithful where the outside can see it: names, order, refusals, timing, and the calls that OpenNebula gets. It
//! reaches OpenNebula only through [`Cloud`](crate::guest::Cloud), with the credential that its manifest carries.
//!
//! - [`kube`] is the API server, [`kubectl`] the client that scripts use.
//! - The controllers work on the objects of one cluster; before the pivot that is the seed's, after it the cluster's own.
//! - Commands run in the host's shell, with `kubectl` and `sleep` from [`shim_main`].

mod config;
mod controllers;
mod exec;
mod guests;
pub mod kube;
pub mod kubectl;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod lives_in_sandbox;
mod one;
mod process;
mod programs;
mod seed;
mod shim;
#[cfg(test)]
mod testing;
mod world;

pub use config::{Config, Fault, FaultKind, SeedPhase, Timings};
pub use guests::{Guests, Handle};
pub use shim::shim_main;
pub use world::LogLine;
