//! Integration tests.

mod bad_input;
mod capone;
mod capone_life;
mod cli;
mod dummy;
mod event;
mod foreign;
mod gate;
mod killed;
mod plain_life;
mod profile;
mod support;
