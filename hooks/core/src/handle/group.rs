//! Node groups as attributes: `ONEKS_GROUP_WORKERS="3 small"`.

use serde_json::Value;

use super::GROUP;
use crate::spec::NodeGroup;

/// What stands in the attribute of a node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// The group is to be removed.
    Delete,
    /// The group is to be so; what is not said stays, or is the usual.
    Be {
        count: Option<u64>,
        family: Option<String>,
        flavour: Option<String>,
    },
}

/// The attribute of a group. A group's name has no `_`, so that it can stand for `-`.
pub(super) fn attribute(name: &str) -> String {
    format!("{GROUP}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The name of the group that an attribute is about.
pub(super) fn name(attribute: &str) -> Option<String> {
    let name = attribute.strip_prefix(GROUP).filter(|name| !name.is_empty())?;
    Some(name.to_ascii_lowercase().replace('_', "-"))
}

/// `family/flavour`, or the flavour alone.
pub(super) fn choice(text: &str) -> (Option<String>, String) {
    match text.split_once('/') {
        Some((family, flavour)) => (Some(family.trim().to_owned()), flavour.trim().to_owned()),
        None => (None, text.trim().to_owned()),
    }
}

/// Reads the attribute of a group.
pub(super) fn parse(text: &str) -> Result<Wish, String> {
    let wanted = || {
        format!("{text:?} must be a number of nodes, a flavour, or both, such as \"3 small\"; or \"delete\"")
    };
    let (mut count, mut family, mut flavour) = (None, None, None);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    if let [word] = words[..]
        && ["delete", "remove"].iter().any(|w| word.eq_ignore_ascii_case(w))
    {
        return Ok(Wish::Delete);
    }
    for word in words {
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            let number = word.parse().map_err(|_| wanted())?;
            if count.replace(number).is_some() {
                return Err(wanted());
            }
        } else {
            let (of, name) = choice(word);
            if flavour.replace(name).is_some() {
                return Err(wanted());
            }
            family = of;
        }
    }
    if count.is_none() && flavour.is_none() {
        return Err(wanted());
    }
    Ok(Wish::Be {
        count,
        family,
        flavour,
    })
}

/// What the attribute of a group shows: how many nodes, and which.
pub(super) fn text(group: &NodeGroup, replicas: Option<u32>) -> String {
    let family = if group.family == "general" {
        String::new()
    } else {
        format!("{}/", group.family)
    };
    let count = match group.user_inputs_values.get("count") {
        Some(Value::Number(n)) => format!("{n} "),
        _ => replicas.map_or_else(String::new, |n| format!("{n} ")),
    };
    format!("{count}{family}{}", group.flavour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn be(count: Option<u64>, family: Option<&str>, flavour: Option<&str>) -> Wish {
        Wish::Be {
            count,
            family: family.map(str::to_owned),
            flavour: flavour.map(str::to_owned),
        }
    }

    #[test]
    fn values_are_read_in_any_order_and_nothing_is_guessed() {
        for (text, wish) in [
            ("3", Some(be(Some(3), None, None))),
            (" 3 small ", Some(be(Some(3), None, Some("small")))),
            ("small,3", Some(be(Some(3), None, Some("small")))),
            ("bigmem/small 2", Some(be(Some(2), Some("bigmem"), Some("small")))),
            ("large", Some(be(None, None, Some("large")))),
            ("Delete", Some(Wish::Delete)),
            ("remove", Some(Wish::Delete)),
            ("", None),
            ("  ", None),
            ("-1", None),
            ("3 4", None),
            ("3x", None),
            ("small large", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse(text).ok(), wish, "{text:?}");
        }
    }

    #[test]
    fn names_and_attributes_are_one_to_one() {
        for (group, of) in [("workers", "ONEKS_GROUP_WORKERS"), ("a-b-2", "ONEKS_GROUP_A_B_2")] {
            assert_eq!(attribute(group), of);
            assert_eq!(name(of).as_deref(), Some(group));
        }
        assert_eq!(name("ONEKS_GROUP_"), None);
        assert_eq!(name("ONEKS_STATE"), None);
    }
}
