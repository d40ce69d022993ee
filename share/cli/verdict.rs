//! How the verdicts of `check` and `doctor` look.

use clap::builder::styling::{AnsiColor, Style};

pub use oneks::orders::survey::Verdict;

/// Its colour.
pub fn style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::Ok => AnsiColor::Green,
        Verdict::Warning => AnsiColor::Yellow,
        Verdict::Failed => AnsiColor::Red,
        Verdict::Unknown => AnsiColor::BrightBlack,
    };
    Style::new().fg_color(Some(colour.into()))
}
