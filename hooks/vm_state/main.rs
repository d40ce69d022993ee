//! The hook for states of virtual machines.

use std::process::ExitCode;

fn main() -> ExitCode {
    oneks::hook::main(oneks::event::Kind::VmState)
}
