//! An OpenNebula in memory that behaves as OpenNebula 7.5 does, with its hook manager and guests.
//!
//! A [`Sandbox`] answers XML-RPC requests at a virtual time, keeps users, rights, documents, VMs, networks and routers,
//! and asks for executions of the hooks that are registered in it. Nothing happens between calls but by
//! [`Sandbox::advance_to`]; equal seeds give equal runs.
//!
//! What software in VMs does is behind [`Guests`]. Without guests, VMs are those of the dummy hypervisor.

mod acl;
mod agenda;
mod calllog;
pub mod capi;
mod clock;
mod cloud;
mod clusters;
mod config;
mod copies;
mod core;
mod datastores;
mod documents;
mod events;
mod failure;
mod faults;
mod groups;
mod guest;
mod hookmanager;
mod hooks;
mod hosts;
mod http;
mod images;
mod inspect;
mod installation;
mod leases;
mod market;
mod meta;
mod methods;
mod nokogiri;
mod notices;
mod onegate;
mod pool;
mod quotas;
mod requirements;
mod reservations;
mod restricted;
mod rng;
mod rpc;
mod runner;
mod sandbox;
mod sched_actions;
mod scheduler;
mod sessions;
mod shared;
mod states;
mod system;
mod templates;
mod transport;
mod updates;
mod users;
mod vmgroups;
mod vms;
mod vnets;
mod vrouters;
mod xml;

pub use acl::Acl;
pub use calllog::{CallLog, CallRecord};
pub use cloud::{ALICE_PASSWORD, MALLORY_PASSWORD, SetupError};
pub use config::{Config, Timings};
pub use copies::Renaming;
pub use datastores::DatastoreKind;
pub use documents::Document;
pub use events::{Execution, ExecutionRecord};
pub use failure::ErrorCode;
pub use faults::{Broken, CallFault, Effect, EventFaults, Faults, VmFaults, When};
pub use groups::Group;
pub use guest::{CallError, Cloud, ExecResult, Guests, Started, VmFacts};
pub use hookmanager::{HookManager, HookProcesses};
pub use http::{Serve, Server};
pub use images::{Image, ImageState};
pub use inspect::Remains;
pub use installation::{EndSignals, Installation, Running};
pub use leases::{AddressRange, Holder};
pub use meta::{Lock, Meta, ObjectKind, Permissions};
pub use rng::Rng;
pub use runner::{HookRunner, RunEnd};
pub use sandbox::Sandbox;
pub use states::{LcmState, VmState};
pub use templates::VmTemplate;
pub use transport::CallerDied;
pub use users::LoginToken;
pub use vms::{Action, History, Vm};
pub use vnets::Vnet;
pub use vrouters::VRouter;
