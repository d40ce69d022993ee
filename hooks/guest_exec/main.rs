//! The hook for the results of guest commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    oneks::hook::main(oneks::event::Kind::GuestExec)
}
