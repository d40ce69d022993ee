//! Conditions of the v1beta1 contract, and how they are summed up.

use serde_json::{Map, Value, json};

use super::super::kube::Object;
use super::super::kube::quantity::timestamp;

/// A condition to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    kind: String,
    status: &'static str,
    severity: &'static str,
    reason: String,
    message: String,
}

impl Condition {
    pub(crate) fn yes(kind: &str) -> Self {
        Self {
            kind: kind.into(),
            status: "True",
            severity: "",
            reason: String::new(),
            message: String::new(),
        }
    }

    pub(crate) fn no(kind: &str, severity: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            status: "False",
            severity,
            reason: reason.into(),
            message: message.into(),
        }
    }

    pub(crate) fn unknown(kind: &str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            status: "Unknown",
            severity: "",
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// The same condition under another name.
    pub(crate) fn renamed(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    fn read(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default();
        Self {
            kind: text("type").into(),
            status: match text("status") {
                "True" => "True",
                "False" => "False",
                _ => "Unknown",
            },
            severity: match text("severity") {
                "Error" => "Error",
                "Warning" => "Warning",
                "Info" => "Info",
                _ => "",
            },
            reason: text("reason").into(),
            message: text("message").into(),
        }
    }

    fn write(&self, since: &str) -> Value {
        let mut map = Map::new();
        map.insert("type".into(), json!(self.kind));
        map.insert("status".into(), json!(self.status));
        map.insert("lastTransitionTime".into(), json!(since));
        for (key, text) in [
            ("severity", self.severity),
            ("reason", &self.reason),
            ("message", &self.message),
        ] {
            if !text.is_empty() {
                map.insert(key.into(), json!(text));
            }
        }
        Value::Object(map)
    }

    /// Order in which conditions decide a summary: the worst first, unknown last.
    fn rank(&self) -> u8 {
        match (self.status, self.severity) {
            ("False", "Error") => 0,
            ("False", "Warning") => 1,
            ("False", _) => 2,
            ("True", _) => 3,
            _ => 4,
        }
    }
}

/// Sets a condition. Its time changes with its content only.
pub(crate) fn set(object: &mut Object, now: u64, condition: &Condition) {
    let mut all = object.list(&["status", "conditions"]).to_vec();
    let old = all.iter().find(|entry| entry["type"] == condition.kind.as_str());
    if old.is_some_and(|old| Condition::read(old) == *condition) {
        return;
    }
    let since = timestamp(now);
    all.retain(|entry| entry["type"] != condition.kind.as_str());
    all.push(condition.write(&since));
    all.sort_by(|left, right| {
        let key = |entry: &Value| {
            let kind = entry["type"].as_str().unwrap_or_default().to_owned();
            (kind != "Ready", kind)
        };
        key(left).cmp(&key(right))
    });
    object.set(&["status", "conditions"], all);
}

/// Removes a condition.
pub(crate) fn remove(object: &mut Object, kind: &str) {
    let mut all = object.list(&["status", "conditions"]).to_vec();
    let before = all.len();
    all.retain(|entry| entry["type"] != kind);
    if all.len() != before {
        object.set(&["status", "conditions"], all);
    }
}

/// A condition.
pub(crate) fn get<'a>(object: &'a Object, kind: &str) -> Option<&'a Value> {
    object
        .list(&["status", "conditions"])
        .iter()
        .find(|entry| entry["type"] == kind)
}

/// Whether a condition is there and true.
pub(crate) fn is_true(object: &Object, kind: &str) -> bool {
    get(object, kind).is_some_and(|entry| entry["status"] == "True")
}

/// Whether a condition is there and false.
pub(crate) fn is_false(object: &Object, kind: &str) -> bool {
    get(object, kind).is_some_and(|entry| entry["status"] == "False")
}

/// Sets `Ready` to what the conditions of those kinds come to. Without any of them it is left alone.
pub(crate) fn summarize(object: &mut Object, now: u64, kinds: &[&str]) {
    let found = kinds
        .iter()
        .filter_map(|kind| get(object, kind))
        .map(Condition::read);
    if let Some(worst) = found.min_by_key(Condition::rank) {
        let summary = match worst.status {
            "True" => Condition::yes("Ready"),
            _ => worst.renamed("Ready"),
        };
        set(object, now, &summary);
    }
}

/// What the `Ready` conditions of several objects come to, under a name.
pub(crate) fn aggregate<'a>(kind: &str, objects: impl Iterator<Item = &'a Object>) -> Option<Condition> {
    let mut all: Vec<(Condition, &Object)> = objects
        .filter_map(|object| get(object, "Ready").map(|entry| (Condition::read(entry), object)))
        .collect();
    all.sort_by_key(|(condition, _)| condition.rank());
    let (worst, source) = all.first()?;
    if worst.status == "True" {
        return Some(Condition::yes(kind));
    }
    let mut condition = worst.clone().renamed(kind);
    condition.reason = format!("{} @ {}/{}", worst.reason, source.kind(), source.name());
    Some(condition)
}

/// The condition of another object under a name; the fallback if there is none.
pub(crate) fn mirror(kind: &str, source: &Object, fallback: Condition) -> Condition {
    get(source, "Ready").map_or(fallback, |entry| Condition::read(entry).renamed(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(conditions: &[Condition]) -> Object {
        let mut object = Object::new("v1", "ConfigMap", "default", "a");
        for condition in conditions {
            set(&mut object, 1000, condition);
        }
        object
    }

    #[test]
    fn the_time_stays_with_an_unchanged_condition() {
        let mut object = object(&[Condition::yes("A")]);
        let before = object.clone();
        set(&mut object, 2000, &Condition::yes("A"));
        assert_eq!(object, before);
        set(&mut object, 2000, &Condition::no("A", "Info", "Why", ""));
        assert_eq!(
            get(&object, "A").unwrap()["lastTransitionTime"],
            "1970-01-01T00:33:20Z"
        );
    }

    #[test]
    fn the_worst_decides() {
        let (yes, info) = (Condition::yes("A"), Condition::no("B", "Info", "Waits", ""));
        let (error, unknown) = (
            Condition::no("C", "Error", "Broken", ""),
            Condition::unknown("D", "Silent", ""),
        );
        for (conditions, status, reason) in [
            (vec![yes.clone()], Some("True"), None),
            (vec![yes.clone(), info.clone()], Some("False"), Some("Waits")),
            (vec![info, error, yes.clone()], Some("False"), Some("Broken")),
            (vec![yes, unknown], Some("True"), None),
            (vec![], None, None),
        ] {
            let mut object = object(&conditions);
            summarize(&mut object, 1000, &["A", "B", "C", "D"]);
            let ready = get(&object, "Ready");
            assert_eq!(ready.and_then(|entry| entry["status"].as_str()), status);
            assert_eq!(ready.and_then(|entry| entry["reason"].as_str()), reason);
        }
    }

    #[test]
    fn ready_stands_first() {
        let object = object(&[Condition::yes("Z"), Condition::yes("A"), Condition::yes("Ready")]);
        let kinds: Vec<_> = object
            .list(&["status", "conditions"])
            .iter()
            .map(|entry| entry["type"].clone())
            .collect();
        assert_eq!(kinds, ["Ready", "A", "Z"]);
    }
}
