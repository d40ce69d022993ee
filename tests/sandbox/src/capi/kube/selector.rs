//! Label selectors, as objects hold them and as kubectl takes them.

use serde_json::{Map, Value};

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

impl Selector {
    /// Reads `matchLabels` and `matchExpressions`.
    pub fn from_object(value: &Value) -> Self {
        let mut all = Vec::new();
        for (key, wanted) in value["matchLabels"].as_object().into_iter().flatten() {
            all.push(Requirement::In(
                key.clone(),
                vec![wanted.as_str().unwrap_or_default().into()],
            ));
        }
        for entry in value["matchExpressions"].as_array().into_iter().flatten() {
            let key = entry["key"].as_str().unwrap_or_default().to_owned();
            let values = entry["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            all.push(match entry["operator"].as_str() {
                Some("NotIn") => Requirement::NotIn(key, values),
                Some("Exists") => Requirement::Exists(key),
                Some("DoesNotExist") => Requirement::Absent(key),
                _ => Requirement::In(key, values),
            });
        }
        Self(all)
    }

    /// Reads what follows `-l`: `a=b,c!=d,e,!f,g in (x,y)`.
    pub fn parse(text: &str) -> Option<Self> {
        split_outside_brackets(text)
            .into_iter()
            .map(requirement)
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels match.
    pub fn matches(&self, labels: &Map<String, Value>) -> bool {
        let value = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, wanted) => {
                value(key).is_some_and(|found| wanted.iter().any(|item| item == found))
            }
            Requirement::NotIn(key, barred) => {
                !value(key).is_some_and(|found| barred.iter().any(|item| item == found))
            }
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
        })
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(out, "{key}={}", values[0])?,
                Requirement::In(key, values) => write!(out, "{key} in ({})", values.join(","))?,
                Requirement::NotIn(key, values) => write!(out, "{key} notin ({})", values.join(","))?,
                Requirement::Exists(key) => write!(out, "{key}")?,
                Requirement::Absent(key) => write!(out, "!{key}")?,
            }
        }
        Ok(())
    }
}

fn requirement(text: &str) -> Option<Requirement> {
    let text = text.trim();
    let list = |body: &str| -> Option<Vec<String>> {
        let body = body.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(body.split(',').map(|item| item.trim().to_owned()).collect())
    };
    if let Some((key, body)) = text.split_once(" notin ") {
        return Some(Requirement::NotIn(key.trim().into(), list(body)?));
    }
    if let Some((key, body)) = text.split_once(" in ") {
        return Some(Requirement::In(key.trim().into(), list(body)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(key.trim().into(), vec![value.trim().into()]));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.trim_start_matches('=').trim();
        return Some(Requirement::In(key.trim().into(), vec![value.into()]));
    }
    if let Some(key) = text.strip_prefix('!') {
        return Some(Requirement::Absent(key.trim().into()));
    }
    (!text.is_empty()).then(|| Requirement::Exists(text.into()))
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_of_kubectl() {
        let labels = json!({"a": "1", "b": "2", "cluster.x-k8s.io/control-plane": ""});
        let labels = labels.as_object().unwrap();
        for (text, wanted) in [
            ("a=1", true),
            ("a==1,b=2", true),
            ("a=2", false),
            ("a!=2", true),
            ("c!=2", true),
            ("a in (1,3),b", true),
            ("a notin (1,3)", false),
            ("!c", true),
            ("!a", false),
            ("cluster.x-k8s.io/control-plane", true),
            ("cluster.x-k8s.io/control-plane=", true),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(labels), wanted, "{text}");
        }
        assert_eq!(Selector::parse("a in 1"), None);
    }

    #[test]
    fn selectors_of_objects() {
        let labels = json!({"a": "1"});
        let labels = labels.as_object().unwrap();
        for (value, wanted) in [
            (json!({}), true),
            (json!({"matchLabels": {"a": "1"}}), true),
            (json!({"matchLabels": {"a": "2"}}), false),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}),
                false,
            ),
        ] {
            assert_eq!(Selector::from_object(&value).matches(labels), wanted, "{value}");
        }
        assert_eq!(
            Selector::from_object(&json!({"matchLabels": {"a": "1"}})).to_string(),
            "a=1"
        );
    }
}
