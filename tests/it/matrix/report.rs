//! What a matrix counts, and how a case is named so that it can be run again.

// The counts are for whoever runs the whole: `--nocapture` shows them.
#![allow(clippy::print_stderr)]

use std::fmt;

/// Environment variable that asks for the whole of every matrix.
const ALL: &str = "ONEKS_TESTS";

/// Environment variable that names the one case to run.
const CASE: &str = "ONEKS_CASE";

/// Is the whole to be run, as `ONEKS_TESTS=all` says?
pub fn all() -> bool {
    std::env::var(ALL).is_ok_and(|value| value == "all")
}

/// The words of the case that is to be run alone, as `ONEKS_CASE` says.
pub fn wanted_case() -> Option<Vec<String>> {
    let text = std::env::var(CASE).ok()?;
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// The count of a matrix.
#[derive(Default)]
pub struct Report {
    pub name: String,
    pub cases: usize,
    pub deaths: usize,
    pub recoveries: u32,
    failures: Vec<String>,
}

impl Report {
    pub fn new(name: impl fmt::Display) -> Self {
        Self {
            name: name.to_string(),
            ..Self::default()
        }
    }

    /// Notes how a case ended.
    pub fn note(&mut self, case: impl fmt::Display, deaths: usize, result: Result<(), String>) {
        self.cases += 1;
        self.deaths += deaths;
        if let Err(why) = result {
            let extent = if all() {
                format!("{ALL}=all ")
            } else {
                String::new()
            };
            let again = format!(
                "{extent}{CASE}='{case}' cargo test --locked --test it matrix::replay -- --nocapture"
            );
            eprintln!(
                "FAILED {case}: {}\n  again: {again}",
                why.lines().next().unwrap_or_default()
            );
            self.failures.push(format!("{case}: {why}\n  again: {again}"));
        }
    }

    /// Says what was counted. Fails if any case did.
    pub fn end(self) {
        eprintln!("{self}");
        let shown: Vec<&str> = self.failures.iter().take(5).map(String::as_str).collect();
        assert!(self.failures.is_empty(), "{self}\n{}\n", shown.join("\n"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            cases,
            deaths,
            recoveries,
            failures,
        } = self;
        write!(f, "{name}: {cases} cases, {deaths} kills, ")?;
        if *recoveries > 0 {
            write!(f, "{recoveries} RECOVER orders, ")?;
        }
        write!(f, "{} failures", failures.len())
    }
}
