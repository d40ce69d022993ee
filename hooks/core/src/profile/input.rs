//! Inputs: what a user may choose, and within which limits.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One input of a family.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserInput {
    /// Its name, the key of `user_inputs_values`.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// The type of its value.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// Must it have a value?
    pub mandatory: bool,
    /// Its value unless a flavour or the user gives another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Limits of its value.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub limits: Option<InputMatch>,
}

impl UserInput {
    /// Reads a value that was given as text, as in a VM template or on a command line.
    ///
    /// # Errors
    /// What is wrong with the text, without the input's name.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind {
            InputType::String => Value::from(text),
            InputType::Number | InputType::Bool | InputType::List | InputType::Map => {
                let text = text.trim();
                match (self.kind, text.to_ascii_lowercase().as_str()) {
                    (InputType::Bool, "yes" | "true") => Value::Bool(true),
                    (InputType::Bool, "no" | "false") => Value::Bool(false),
                    _ => serde_json::from_str(text)
                        .map_err(|_| format!("must be {}, not {text:?}", self.kind.wanted()))?,
                }
            }
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Is the value of the right type and within the limits?
    ///
    /// # Errors
    /// What is wrong, without the input's name.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        if !self.kind.accepts(value) {
            return Err(format!("must be {}, not {value}", self.kind.wanted()));
        }
        match &self.limits {
            None => Ok(()),
            Some(InputMatch::Number { values }) => values.check(value),
            Some(InputMatch::List { values }) => {
                let given = match value {
                    Value::Array(items) => items.as_slice(),
                    one => std::slice::from_ref(one),
                };
                match given.iter().find(|item| !values.iter().any(|v| same(v, item))) {
                    None => Ok(()),
                    Some(item) => Err(format!("{item} is not one of {}", listed(values))),
                }
            }
        }
    }
}

/// The types of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    /// Text.
    String,
    /// A finite number.
    Number,
    /// True or false.
    Bool,
    /// A list of values.
    List,
    /// Values by name.
    Map,
}

impl InputType {
    /// Reads a type's name as profiles write it: `number`, `list(string)`, `object` …
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let name = name.split('(').next().unwrap_or_default().trim();
        Some(match name.to_ascii_lowercase().as_str() {
            "string" => Self::String,
            "number" => Self::Number,
            "bool" => Self::Bool,
            "list" | "tuple" => Self::List,
            "map" | "object" => Self::Map,
            _ => return None,
        })
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

/// Limits of an input's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputMatch {
    /// For numbers: a range.
    Number {
        /// The range.
        values: NumberRange,
    },
    /// For everything but maps: the values there are.
    List {
        /// The values.
        values: Vec<Value>,
    },
}

/// A range of numbers; both ends belong to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberRange {
    /// Least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// Greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
}

impl NumberRange {
    fn check(&self, value: &Value) -> Result<(), String> {
        let Some(given) = value.as_f64() else {
            return Err(format!("must be a number, not {value}"));
        };
        if let Some(min) = self.min.filter(|min| given < min.0) {
            return Err(format!("{value} is less than {min}"));
        }
        if let Some(max) = self.max.filter(|max| given > max.0) {
            return Err(format!("{value} is more than {max}"));
        }
        Ok(())
    }
}

/// A number of a profile; written without a fraction if it has none.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(transparent)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[allow(clippy::cast_possible_truncation)] // the guard excludes what does not fit
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Equality as users see it: 2 and 2.0 are the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || (x.as_f64().is_some() && x.as_f64() == y.as_f64()),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        _ => a == b,
    }
}

fn listed(values: &[Value]) -> String {
    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
}
