//! Figures, what they should be, and how they are shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What a figure may be at most, or at least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// None: it is told for itself.
    None,
    /// At most this.
    Most(f64),
    /// At least this.
    Least(f64),
}

/// Does the figure depend on the machine and its other work?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depends {
    /// On time: another machine, or the same one at another hour, has another.
    OnTime,
    /// On the code alone.
    OnCode,
}

struct Row {
    bench: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    goal: Goal,
    depends: Depends,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    bench: &'static str,
    rows: Vec<Row>,
    printed: usize,
}

impl Row {
    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::None => None,
            Goal::Most(most) => Some(self.value <= most),
            Goal::Least(least) => Some(self.value >= least),
        }
    }
}

/// Three significant digits; whole numbers whole.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 {
        format!("{value:.0}")
    } else if value >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

impl Report {
    /// What follows belongs to this benchmark.
    pub fn begin(&mut self, bench: &'static str) {
        self.bench = bench;
        eprintln!("{bench} …");
    }

    /// A figure that depends on time.
    pub fn timed(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        self.add(what.into(), value, unit, goal, Depends::OnTime);
    }

    /// A figure that is the same each time.
    pub fn counted(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Goal) {
        self.add(what.into(), value, unit, goal, Depends::OnCode);
    }

    fn add(&mut self, what: String, value: f64, unit: &'static str, goal: Goal, depends: Depends) {
        self.rows.push(Row {
            bench: self.bench,
            what,
            value,
            unit,
            goal,
            depends,
        });
    }

    /// Prints what was not printed yet, as rows of a table in Markdown.
    pub fn print_new(&mut self) {
        let mut text = String::new();
        if self.printed == 0 {
            text.push_str("| benchmark | what | figure | goal | |\n|---|---|---|---|---|\n");
        }
        for row in &self.rows[self.printed..] {
            let goal = match row.goal {
                Goal::None => String::new(),
                Goal::Most(most) => format!("≤ {}", number(most)),
                Goal::Least(least) => format!("≥ {}", number(least)),
            };
            let met = match row.met() {
                None => "",
                Some(true) => "met",
                Some(false) => "MISSED",
            };
            let value = number(row.value);
            let _ = writeln!(
                text,
                "| {} | {} | {value}{}{} | {goal} | {met} |",
                row.bench,
                row.what,
                if row.unit == "×" || row.unit.is_empty() {
                    ""
                } else {
                    " "
                },
                row.unit
            );
        }
        self.printed = self.rows.len();
        print!("{text}");
    }

    /// All figures.
    pub fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "benchmark": row.bench,
                    "what": row.what,
                    "value": row.value,
                    "unit": row.unit,
                    "most": if let Goal::Most(most) = row.goal { Some(most) } else { None },
                    "least": if let Goal::Least(least) = row.goal { Some(least) } else { None },
                    "met": row.met(),
                    "depends_on_time": row.depends == Depends::OnTime,
                })
            })
            .collect();
        format!("{:#}\n", Value::from(rows))
    }

    /// Was a goal missed that does not depend on time?
    pub fn missed_for_sure(&self) -> bool {
        self.rows
            .iter()
            .any(|row| row.depends == Depends::OnCode && row.met() == Some(false))
    }
}
