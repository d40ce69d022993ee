//! The document's tables: where they stand, and how rows are written.

#![allow(clippy::disallowed_methods)] // the core reads no files; this test of it does

use std::fmt::Write;
use std::path::PathBuf;

use oneks_core::state::GroupState as G;

use super::scene::Subject;
use super::sight::{Outcome, Sight};

/// One thing that is seen, with what comes of it where scripts run in guests, and where there are VMs alone.
pub type Row = (Sight, Option<Outcome>, Option<Outcome>);

pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    pub fn read() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/states.md");
        let text = std::fs::read_to_string(&path).unwrap();
        Self { path, text }
    }

    /// Fails if the part with this name says something else. With `UPDATE`, it is written instead.
    pub fn compare(&self, name: &str, made: &str) {
        let begin = format!("<!-- checked: {name} -->\n");
        let (_, rest) = self
            .text
            .split_once(&begin)
            .unwrap_or_else(|| panic!("{} has no part {name}", self.path.display()));
        let (said, _) = rest.split_once("<!-- end -->").unwrap();
        if said == made {
            return;
        }
        if std::env::var_os("UPDATE").is_some() {
            // Tests run side by side, and each writes its own part.
            static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
            let _one = WRITING.lock().unwrap();
            let text = std::fs::read_to_string(&self.path).unwrap();
            let old = format!("{begin}{said}<!-- end -->");
            let new = format!("{begin}{made}<!-- end -->");
            std::fs::write(&self.path, text.replace(&old, &new)).unwrap();
            return;
        }
        let line = said.lines().zip(made.lines()).find(|(a, b)| a != b);
        let (says, is) = line.unwrap_or(("nothing more", "more, or less"));
        panic!("docs/states.md, {name}, says\n  {says}\nand the rules\n  {is}\nUPDATE=1 writes it anew");
    }
}

/// The table of one state: what comes to the same stands in one row.
pub fn section(subject: Subject, state: G, rows: &[Row]) -> String {
    let mut text = format!(
        "### {}\n\n| seen | {}the cluster | done at once, through guests | done at once, with VMs alone |\n|---|{}---|---|---|\n",
        subject.title(state),
        if subject == Subject::Cluster {
            ""
        } else {
            "the group | "
        },
        if subject == Subject::Cluster { "" } else { "---|" },
    );
    let mut left: Vec<&Row> = rows.iter().collect();
    while let Some(first) = left.first().copied() {
        let same = |row: &&Row| (&row.1, &row.2) == (&first.1, &first.2);
        let seen: Vec<&str> = left
            .iter()
            .copied()
            .filter(|r| same(r))
            .map(|r| r.0.words())
            .collect();
        left.retain(|r| !same(r));
        let (_, guest, plain) = first;
        let either = |of: fn(&Outcome) -> String| match (guest, plain) {
            (Some(guest), Some(plain)) if of(guest) != of(plain) => {
                format!("{}; VMs alone: {}", of(guest), of(plain))
            }
            (Some(one), _) | (None, Some(one)) => of(one),
            (None, None) => String::new(),
        };
        let group = if subject == Subject::Cluster {
            String::new()
        } else {
            format!("{} | ", either(Outcome::group_words))
        };
        let actions = |outcome: &Option<Outcome>| {
            outcome
                .as_ref()
                .map_or_else(|| "cannot be".to_owned(), Outcome::action_words)
        };
        let _ = writeln!(
            text,
            "| {} | {group}{} | {} | {} |",
            seen.join("; "),
            either(|o| o.cluster.to_string()),
            actions(guest),
            actions(plain),
        );
    }
    text + "\n"
}
