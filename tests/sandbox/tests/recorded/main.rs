//! The sandbox against what a real OpenNebula 7.5 answered, request by request, and what its hooks got to read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod cloud;
mod fixtures;
mod normal;
mod rights;
mod story;
