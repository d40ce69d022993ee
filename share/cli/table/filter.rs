//! `-f STATE=RUNNING`: which rows are shown.

use std::cmp::Ordering;

use clap::ValueEnum;

use super::{Column, column};
use crate::failure::Failure;

/// How several filters go together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Operator {
    /// All must match.
    #[default]
    #[value(name = "AND")]
    And,
    /// One must match.
    #[value(name = "OR")]
    Or,
}

/// Which rows are shown.
#[derive(Debug)]
pub struct Filter {
    /// Index of the column, comparison, value.
    tests: Vec<(usize, Comparison, String)>,
    operator: Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// Longer ones first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("~", Comparison::Contains),
];

impl Filter {
    /// Reads filters.
    ///
    /// # Errors
    /// One that is no comparison, or a column that there is not.
    pub fn parse<T>(columns: &[Column<T>], given: &[String], operator: Operator) -> Result<Self, Failure> {
        let mut tests = Vec::new();
        for text in given {
            let (name, sign, value) = split(text).ok_or_else(|| {
                Failure::Usage(format!(
                    "{text:?} is no filter; write COLUMN=VALUE, with one of = != < <= > >= ~"
                ))
            })?;
            let found = column(columns, name)?;
            let index = columns
                .iter()
                .position(|c| c.name == found.name)
                .unwrap_or_default();
            tests.push((index, sign, value.to_owned()));
        }
        Ok(Self { tests, operator })
    }

    /// Is this row shown?
    pub fn keeps<T>(&self, columns: &[Column<T>], row: &T) -> bool {
        let mut results = self.tests.iter().map(|(index, comparison, value)| {
            columns
                .get(*index)
                .is_some_and(|column| matches(&(column.value)(row), *comparison, value))
        });
        match self.operator {
            _ if self.tests.is_empty() => true,
            Operator::And => results.all(|kept| kept),
            Operator::Or => results.any(|kept| kept),
        }
    }
}

fn split(text: &str) -> Option<(&str, Comparison, &str)> {
    let at = text.find(['=', '!', '<', '>', '~'])?;
    let (name, rest) = text.split_at(at);
    let (sign, comparison) = COMPARISONS.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
    (!name.trim().is_empty()).then(|| (name.trim(), comparison, rest[sign.len()..].trim()))
}

fn matches(value: &str, comparison: Comparison, wanted: &str) -> bool {
    let order = match (value.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.partial_cmp(&b),
        _ => Some(value.cmp(wanted)),
    };
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Contains => value.to_lowercase().contains(&wanted.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read() {
        for (text, wanted) in [
            ("STATE=RUNNING", Some(("STATE", Comparison::Equal, "RUNNING"))),
            ("ID >= 7", Some(("ID", Comparison::GreaterOrEqual, "7"))),
            ("NAME!=a=b", Some(("NAME", Comparison::NotEqual, "a=b"))),
            ("NAME~x", Some(("NAME", Comparison::Contains, "x"))),
            ("NAME", None),
            ("=x", None),
            ("NAME!x", None),
        ] {
            assert_eq!(split(text), wanted, "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(matches("1200", Comparison::Greater, "7"));
        assert!(!matches("abc", Comparison::Less, "abc"));
        assert!(matches("b", Comparison::Greater, "a"));
    }
}
