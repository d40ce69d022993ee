//! What it takes to start each program, counted in instructions: the same on every machine and at every hour.

use std::path::Path;

use crate::Effort;
use crate::payload;
use crate::process::{Program, empty};
use crate::report::{Goal, Report};

/// A program and what it is given: (path, what, input, arguments, most thousands of instructions beyond those of an empty
/// program, most KiB of a release).
///
/// The budgets are those of the profile `trial`, a quarter above what was measured when they were set; a release takes
/// about half.
type Budget = (
    &'static str,
    &'static str,
    Vec<u8>,
    &'static [&'static str],
    f64,
    f64,
);

#[rustfmt::skip] // a table
fn budgets() -> Vec<Budget> {
    let (vm, document) = (payload::vm(8 * 1024), payload::document(8 * 1024));
    let info = br#"{"protocol":1,"action":"info"}"#.to_vec();
    vec![
        (env!("CARGO_BIN_EXE_vm_state"), "a foreign event of 8 KiB", vm, &[], 310.0, 2048.0),
        (env!("CARGO_BIN_EXE_document"), "a foreign event of 8 KiB", document, &[], 650.0, 2048.0),
        (env!("CARGO_BIN_EXE_vm_update"), "an empty event", Vec::new(), &[], 210.0, 2048.0),
        (env!("CARGO_BIN_EXE_guest_exec"), "an empty event", Vec::new(), &[], 210.0, 2048.0),
        (env!("CARGO_BIN_EXE_vrouter"), "an empty event", Vec::new(), &[], 210.0, 2048.0),
        (env!("CARGO_BIN_EXE_capone"), "info", info.clone(), &[], 190.0, 2048.0),
        (env!("CARGO_BIN_EXE_dummy"), "info", info, &[], 50.0, 1024.0),
        (env!("CARGO_BIN_EXE_oneks"), "--version", Vec::new(), &["--version"], 11_700.0, 10_240.0),
        (env!("CARGO_BIN_EXE_oneks-gateway"), "--version", Vec::new(), &["--version"], 420.0, 4096.0),
    ]
}

/// Every program once under callgrind, and its size.
pub fn measure(_: Effort, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let nothing = empty(folder.path()).instructions(b"");
    if let Some(count) = nothing {
        let what = "an empty program: instructions";
        report.counted(what, count / 1000.0, "thousand", Goal::None);
    }
    for (path, what, input, arguments, thousands, kib) in budgets() {
        let path = Path::new(path);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let program = Program::new("", path).arguments(arguments);
        if let (Some(count), Some(nothing)) = (program.instructions(&input), nothing) {
            let what = format!("{name}, {what}: instructions beyond those of an empty program");
            let beyond = (count - nothing) / 1000.0;
            report.counted(what, beyond, "thousand", Goal::Most(thousands));
        }
        // Only a release is what people install.
        if path.components().any(|part| part.as_os_str() == "release") {
            #[allow(clippy::cast_precision_loss)] // far below 2⁵³
            let size = std::fs::metadata(path).unwrap().len() as f64 / 1024.0;
            report.counted(format!("{name}: size"), size, "KiB", Goal::Most(kib));
        }
    }
}
