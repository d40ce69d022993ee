//! Clusters by their handles: virtual machines that stand for them.

mod budget;
mod crash;
mod edits;
mod ends;
mod lives;
mod rights;
mod services;
mod support;
