//! The hook for what a guest reports through OneGate.

use std::process::ExitCode;

fn main() -> ExitCode {
    oneks::hook::main(oneks::event::Kind::VmUpdate)
}
