//! The gateway, as its clients meet it, against the sandbox.

#![allow(clippy::unwrap_used, clippy::panic)] // everything here is a test

mod activation;
mod client;
mod differences;
mod files;
mod fireedge;
mod limits;
mod load;
mod recorded;
mod requests;

use client::Gateway;
