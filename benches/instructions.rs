//! What it takes to start each program, counted in instructions: the same on every machine and at every hour.

use std::path::Path;

use crate::Effort;
use crate::payload;
use crate::process::{Program, empty};
use crate::report::{Goal, Report};

/// A program, what it is given, and how many thousand instructions and KiB it may have at most.
struct Budget {
    program: &'static str,
    what: &'static str,
    input: Vec<u8>,
    arguments: &'static [&'static str],
    thousands: f64,
    kib: f64,
}

fn budgets() -> Vec<Budget> {
    let (vm, document) = (payload::vm(8 * 1024), payload::document(8 * 1024));
    let budget = |program, what, input: &[u8], arguments, thousands, kib| Budget {
        program,
        what,
        input: input.to_vec(),
        arguments,
        thousands,
        kib,
    };
    vec![
        budget(
            env!("CARGO_BIN_EXE_vm_state"),
            "a foreign event of 8 KiB",
            &vm,
            &[][..],
            1500.0,
            2048.0,
        ),
        budget(
            env!("CARGO_BIN_EXE_document"),
            "a foreign event of 8 KiB",
            &document,
            &[],
            1500.0,
            2048.0,
        ),
        budget(
            env!("CARGO_BIN_EXE_vm_update"),
            "an empty event",
            b"",
            &[],
            500.0,
            2048.0,
        ),
        budget(
            env!("CARGO_BIN_EXE_guest_exec"),
            "an empty event",
            b"",
            &[],
            500.0,
            2048.0,
        ),
        budget(
            env!("CARGO_BIN_EXE_vrouter"),
            "an empty event",
            b"",
            &[],
            500.0,
            2048.0,
        ),
        budget(
            env!("CARGO_BIN_EXE_oneks"),
            "--version",
            b"",
            &["--version"],
            8000.0,
            10_240.0,
        ),
    ]
}

/// Every program once under callgrind, and its size.
pub fn measure(_: Effort, report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let nothing = empty(folder.path());
    if let Some(count) = nothing.instructions(b"") {
        report.counted(
            "an empty program: instructions",
            count / 1000.0,
            "thousand",
            Goal::None,
        );
    }
    for budget in budgets() {
        let path = Path::new(budget.program);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let program = Program::new("", path).arguments(budget.arguments);
        if let Some(count) = program.instructions(&budget.input) {
            report.counted(
                format!("{name}, {}: instructions", budget.what),
                count / 1000.0,
                "thousand",
                Goal::Most(budget.thousands),
            );
        }
        // Only a release is what people install.
        if path.components().any(|part| part.as_os_str() == "release") {
            #[allow(clippy::cast_precision_loss)] // far below 2⁵³
            let size = std::fs::metadata(path).unwrap().len() as f64 / 1024.0;
            report.counted(format!("{name}: size"), size, "KiB", Goal::Most(budget.kib));
        }
    }
}
