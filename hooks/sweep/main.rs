//! The sweep, started by a timer and when a front-end becomes leader.

use std::process::ExitCode;

fn main() -> ExitCode {
    oneks::hook::sweep_main()
}
