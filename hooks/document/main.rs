//! The hook for documents: a cluster was created, changed, copied, given away or deleted.

use std::process::ExitCode;

fn main() -> ExitCode {
    oneks::hook::main(oneks::event::Kind::Document)
}
