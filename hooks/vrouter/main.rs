//! The hook for virtual routers that come and go.

use std::process::ExitCode;

fn main() -> ExitCode {
    oneks::hook::main(oneks::event::Kind::Vrouter)
}
