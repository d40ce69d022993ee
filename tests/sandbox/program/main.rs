//! The sandbox as a program. Under the names `kubectl` and `sleep` it is what guests' scripts call.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let arguments: Vec<String> = words.collect();
    match oneks_sandbox::capi::shim_main(name, &arguments) {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::from(64),
    }
}
