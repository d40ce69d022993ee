//! The command `oneks`, as its users start it, against the sandbox.

#![allow(clippy::unwrap_used, clippy::panic)] // everything here is a test

mod cloud;
mod doctor;
mod examples;
mod generated;
mod images;
mod life;
mod listing;
mod refusals;
mod setup;
mod strays;
mod tls;

use cloud::spec;
pub use cloud::{Answer, Cloud, answer};
