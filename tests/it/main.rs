//! Integration tests.

mod capone;
mod foreign;
mod profile;
mod support;
