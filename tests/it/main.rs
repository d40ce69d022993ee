//! Integration tests.

mod capone;
mod foreign;
mod gate;
mod profile;
mod support;
