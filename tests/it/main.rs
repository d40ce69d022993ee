//! Integration tests.

mod capone;
mod cli;
mod capone_life;
mod event;
mod foreign;
mod gate;
mod plain_life;
mod profile;
mod support;
