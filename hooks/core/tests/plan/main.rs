//! The plan against a model of a cloud: whole lives, crashes at every action, and the rules as a table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

mod causes;
mod crash;
mod driver;
mod explore;
mod failures;
mod lives;
mod pass;
mod recover;
mod rest;
mod rotate;
mod router;
mod surplus;
mod table;
mod total;
mod upgrade;
mod waits;
mod world;
