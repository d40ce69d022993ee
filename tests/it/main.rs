//! Integration tests.

mod foreign;
mod support;
