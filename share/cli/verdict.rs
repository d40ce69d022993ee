//! What comes of a look at something, for `check` and `doctor`.

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

/// What came of it, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It can't be seen from here, or by this user.
    Unknown,
    /// It may work, but not well.
    Warning,
    /// It can't work.
    Failed,
}

impl Verdict {
    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "WARNING",
            Self::Failed => "FAILED",
            Self::Unknown => "unknown",
        }
    }

    /// Its colour.
    pub fn style(self) -> Style {
        let colour = match self {
            Self::Ok => AnsiColor::Green,
            Self::Warning => AnsiColor::Yellow,
            Self::Failed => AnsiColor::Red,
            Self::Unknown => AnsiColor::BrightBlack,
        };
        Style::new().fg_color(Some(colour.into()))
    }
}
