//! The command `oneks`, as its users start it, against the sandbox.

mod cloud;
mod examples;
mod generated;
mod life;
mod listing;
mod refusals;
mod setup;

use cloud::{Cloud, spec};
