//! What the sandbox does beyond the recorded requests: lives of VMs, commands, rights, quotas, networks, routers, hooks
//! and injected faults.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod commands;
mod documents;
mod faults;
mod hooks;
mod life;
mod networks;
mod placement;
mod quotas;
mod rights;
mod routers;
mod support;
mod templates;
