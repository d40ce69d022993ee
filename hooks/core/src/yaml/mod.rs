//! YAML as administrators write it in profiles and settings, with the line of everything that is wrong.
//!
//! The syntax is the parser library's. What is here turns its events into values for `serde`, by the rules of YAML 1.2's
//! core schema; merge keys (`<<`) are followed, since those of the Ruby server may have them. A library for this too would be a fifth
//! of each hook's size.
//!
//! # Guarantees
//! - A text makes at most [`MAX_NODES`] nodes, [`MAX_DEPTH`] deep, aliases followed: no text costs more than its length
//!   would make one expect.
//! - A key that stands twice is an error, as is a second document.

mod de;
mod tree;

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Most nodes of a text, aliases followed.
pub const MAX_NODES: usize = 100_000;

/// Deepest nesting of a text.
pub const MAX_DEPTH: usize = 64;

/// Reads a value.
///
/// # Errors
/// The text is no YAML, or not what is wanted: with line and reason.
///
/// ```
/// let ports: Vec<u16> = oneks_core::yaml::from_str("- 80\n- 443\n").unwrap();
/// assert_eq!(ports, [80, 443]);
/// let error = oneks_core::yaml::from_str::<Vec<u16>>("- 80\n- many\n").unwrap_err();
/// assert_eq!(error.line(), Some(2));
/// ```
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let root = tree::read(text)?;
    T::deserialize(&root)
}

/// Why a text can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    line: Option<u64>,
    reason: String,
}

impl Error {
    /// The line, counted from 1, where it is known.
    pub const fn line(&self) -> Option<u64> {
        self.line
    }

    /// What is wrong, without the place.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The innermost place that is known counts.
    fn at(mut self, line: u64) -> Self {
        self.line.get_or_insert(line);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self {
            line: None,
            reason: reason.to_string(),
        }
    }
}

/// A value and where it begins. Only this module's reader can make one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename = "$oneks::yaml::At")]
pub struct At<T> {
    /// The line, counted from 1.
    pub line: u64,
    /// The column, counted from 0.
    pub column: u64,
    /// The value.
    pub value: T,
}

/// Name by which the reader knows [`At`].
const AT: &str = "$oneks::yaml::At";

#[cfg(test)]
mod tests;
