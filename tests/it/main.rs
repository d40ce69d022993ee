//! Integration tests.

// All of this is test code, helpers included; clippy recognises only the functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod calls;
mod capone;
mod capone_life;
mod causes;
mod cli;
mod copies;
mod docs;
mod dummy;
mod event;
mod foreign;
mod forgotten;
mod front_ends;
mod gate;
mod gateway;
mod handle;
mod healing;
mod install;
mod lives;
mod lost_events;
mod matrix;
mod packages;
mod plain_life;
mod poison;
mod profile;
mod programs;
mod rotate;
mod support;
mod waits;
mod wake_ups;
