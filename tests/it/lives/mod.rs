//! Whole lives: everything that an owner does after creation, in virtual time, with what goes wrong meanwhile. After
//! each nothing is left, nobody else was touched, and no right was overstepped.

mod base;
mod changes;
mod cleanup;
mod deletion;
mod failures;
mod groups;
mod mishaps;
mod upgrade;
