//! Integration tests.

mod capone;
mod foreign;
mod gate;
mod plain_life;
mod profile;
mod support;
