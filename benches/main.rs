//! What `OneKS` costs: figures that anyone can measure again.
//!
//! `cargo bench` measures everything, `cargo bench -- foreign life` only that. Options: `--json FILE` also writes the
//! figures as JSON, `--quick` takes fewer samples, `--check` ends with 1 if a goal that does not depend on time is missed.
//! README.md beside this file says what is measured and how, and keeps the last figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // it is run by hand
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cloud;
mod foreign;
mod instructions;
mod life;
mod own;
mod payload;
mod process;
mod report;
mod scale;
mod storm;
#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code)] // tests need more of it
mod support;
mod throughput;

use std::process::ExitCode;

use report::Report;

/// How thorough to be.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Fewer samples and smaller clouds: to see that everything works, not for figures.
    pub quick: bool,
}

impl Effort {
    /// A number of samples or objects.
    pub fn of(self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

type Bench = (&'static str, fn(Effort, &mut Report));

const BENCHES: [Bench; 7] = [
    ("instructions", instructions::measure),
    ("foreign", foreign::measure),
    ("own", own::measure),
    ("throughput", throughput::measure),
    ("storm", storm::measure),
    ("scale", scale::measure),
    ("life", life::measure),
];

fn main() -> ExitCode {
    let mut wanted = Vec::new();
    let mut json = None;
    let mut effort = Effort { quick: false };
    let mut check = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // What cargo itself says.
            "--bench" => {}
            "--json" => json = arguments.next(),
            "--quick" => effort.quick = true,
            "--check" => check = true,
            name => {
                let Some(bench) = BENCHES.iter().find(|(known, _)| *known == name) else {
                    let names = BENCHES.map(|(name, _)| name).join(", ");
                    eprintln!("{name}: there is --json FILE, --quick, --check, and {names}");
                    return ExitCode::from(2);
                };
                wanted.push(*bench);
            }
        }
    }
    if wanted.is_empty() {
        wanted = BENCHES.to_vec();
    }
    let mut report = Report::default();
    for (name, measure) in wanted {
        report.begin(name);
        measure(effort, &mut report);
        report.print_new();
    }
    if let Some(path) = json {
        std::fs::write(&path, report.json()).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    if check && report.missed_for_sure() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
