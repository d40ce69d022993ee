//! How a value is written in YAML, in an OpenNebula template and in a shell script.
//!
//! Each function either writes a text that reads back as the same value, or refuses it. Nothing that it writes holds a
//! mark for a secret (see [`oneks_driver::secret`]), whatever the value says.

use std::fmt::Write as _;

use serde_json::Value;

/// How every mark begins.
const MARK: &str = "@ONEKS:";

/// A value that the format can't carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} can't be written here: {reason}")]
pub struct Unquotable {
    /// The value.
    pub value: String,
    /// Why not.
    pub reason: &'static str,
}

fn refuse(value: &str, reason: &'static str) -> Unquotable {
    Unquotable {
        value: value.chars().take(100).collect(),
        reason,
    }
}

/// YAML in flow style on one line, of which JSON is a part.
///
/// All but printable ASCII is escaped, because readers of YAML 1.1 take some of the rest for line breaks. Characters
/// beyond the Basic Multilingual Plane stay as they are: JSON's surrogate pairs are not YAML.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(&mut out, value);
    out
}

fn write_yaml(out: &mut String, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
        Value::String(text) => write_yaml_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_yaml(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_yaml_text(out, key);
                out.push_str(": ");
                write_yaml(out, item);
            }
            out.push('}');
        }
    }
}

fn write_yaml_text(out: &mut String, text: &str) {
    out.push('"');
    for (i, c) in text.char_indices() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '@' if text[i..].starts_with(MARK) => out.push_str("\\u0040"),
            ' '..='~' | '\u{10000}'.. => out.push(c),
            _ => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
}

/// A quoted value in OpenNebula's template syntax.
///
/// # Errors
/// The syntax knows no escape but `\"`, trims values, and goca, which writes templates anew, mangles control
/// characters. What would not read back is refused.
pub fn one(text: &str) -> Result<String, Unquotable> {
    let reason = if text.chars().any(char::is_control) {
        "OpenNebula templates carry no control characters"
    } else if text.trim() != text {
        "OpenNebula trims blanks at the ends of a value"
    } else if text.ends_with('\\') || text.contains("\\\"") {
        "OpenNebula templates carry no backslash at the end or before a quote"
    } else if text.contains("]]>") {
        "OpenNebula templates carry no ]]>"
    } else if text.contains(MARK) {
        "it looks like a mark for a secret"
    } else {
        return Ok(format!("\"{}\"", text.replace('"', "\\\"")));
    };
    Err(refuse(text, reason))
}

/// The name of an attribute in OpenNebula's template syntax.
///
/// # Errors
/// OpenNebula changes names with anything but capitals, digits and `_`.
pub fn one_name(text: &str) -> Result<String, Unquotable> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if text.is_empty() || !plain {
        return Err(refuse(
            text,
            "an attribute's name has capitals, digits and _ only",
        ));
    }
    Ok(text.to_owned())
}

/// One word of a shell script.
///
/// # Errors
/// A NUL character.
pub fn sh(text: &str) -> Result<String, Unquotable> {
    if text.contains('\0') {
        return Err(refuse(text, "a shell word can't hold a NUL character"));
    }
    Ok(format!(
        "'{}'",
        text.replace('\'', "'\\''").replace(MARK, "@''ONEKS:")
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[@ONEKS:BASE64_AUTH\"'\\\\#\\n\u{85}\u{2028}\u{feff}😀 {}\\[\\]>-]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn yaml_reads_back(value in json()) {
            let text = format!("key: {}\n", yaml(&value));
            prop_assert_eq!(text.lines().count(), 1);
            prop_assert!(!text.contains(MARK));
            let options = serde_saphyr::options! { strict_booleans: true };
            let read: Value = serde_saphyr::from_str_with_options(&text, options).unwrap();
            prop_assert_eq!(&read["key"], &value);
        }

        #[test]
        fn one_reads_back_or_refuses(text in "[@ONEKS:\"\\\\\\]>a-z \\n=,\\[é]{0,20}") {
            if let Ok(quoted) = one(&text) {
                prop_assert!(!quoted.contains(MARK));
                let template = format!("KEY = {quoted}\nVECTOR = [\n  IN = {quoted} ]\n");
                let read = opennebula::template::Template::parse(&template).unwrap();
                prop_assert_eq!(read.get("KEY"), Some(text.as_str()));
                prop_assert_eq!(read.get_in("VECTOR", "IN"), Some(text.as_str()));
            }
        }

        #[test]
        fn shell_reads_back(text in "[^\0]{0,30}|[@ONEKS:' ]{0,30}") {
            let quoted = sh(&text).unwrap();
            prop_assert!(!quoted.contains(MARK));
            let out = std::process::Command::new("/bin/sh")
                .args(["-c", &format!("printf %s {quoted}")])
                .output()
                .unwrap();
            prop_assert_eq!(String::from_utf8(out.stdout).unwrap(), text);
        }
    }

    #[test]
    fn what_a_template_cannot_carry_is_refused() {
        for text in [
            "a\nb",
            "a\0b",
            " a",
            "a ",
            "a\\",
            "a\\\"b",
            "a]]>b",
            "@ONEKS:BASE64:ONE_AUTH@",
        ] {
            assert!(one(text).is_err(), "{text:?}");
        }
        assert_eq!(one("").unwrap(), "\"\"");
        assert_eq!(one("a\"b\\c").unwrap(), "\"a\\\"b\\c\"");
        for text in ["", "a", "A-B", "A B", "É"] {
            assert!(one_name(text).is_err(), "{text:?}");
        }
        assert_eq!(one_name("ETH0_DNS").unwrap(), "ETH0_DNS");
    }
}
