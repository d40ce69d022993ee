//! What a STATUS says that this version does not know: it is written back as it was read.
//!
//! A field lives as long as the thing that it was said of: the same condition, the same virtual machine, the same
//! operation. What a thing is called or numbered, and when it began, tells it from the next one in its place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

/// The text that a status was read from. Any two are equal: it says nothing of the cluster.
#[derive(Clone, Default)]
pub(super) struct Origin(Option<Arc<Value>>);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Origin")
    }
}

impl Origin {
    pub(super) fn new(read: Value) -> Self {
        Self(Some(Arc::new(read)))
    }

    /// What was read.
    pub(super) fn read(&self) -> Option<&Value> {
        self.0.as_deref()
    }
}

/// Fields by which a thing is known again.
const IDENTITY: [&str; 12] = [
    "id",
    "type",
    "name",
    "key",
    "at",
    "text",
    "kind",
    "started",
    "token",
    "serial",
    "fingerprint",
    "since",
];

/// Adds to `written` what `read` says beyond `known`, which is all that this version understands of it. Whether there
/// was anything to add.
pub(super) fn restore(read: &Value, known: &Value, written: &mut Value) -> bool {
    match (read, known, written) {
        (Value::Object(read), Value::Object(known), Value::Object(written)) => {
            let mut added = false;
            for (key, said) in read {
                match (known.get(key), written.get_mut(key)) {
                    (Some(known), Some(written)) if same_thing(known, written) => {
                        added |= restore(said, known, written);
                    }
                    // Null says nothing, as most fields have it.
                    (None, None) if !said.is_null() => {
                        written.insert(key.clone(), said.clone());
                        added = true;
                    }
                    _ => {}
                }
            }
            added
        }
        (Value::Array(read), Value::Array(known), Value::Array(written)) if read.len() == known.len() => {
            let mut places: BTreeMap<String, VecDeque<&mut Value>> = BTreeMap::new();
            for item in written {
                if let Some(name) = identity(item) {
                    places.entry(name).or_default().push_back(item);
                }
            }
            let mut added = false;
            for (said, known) in read.iter().zip(known) {
                let place = identity(known).and_then(|name| places.get_mut(&name)?.pop_front());
                if let Some(written) = place {
                    added |= restore(said, known, written);
                }
            }
            added
        }
        _ => false,
    }
}

/// May this still be what that was? Texts and numbers may, whatever they say now.
fn same_thing(a: &Value, b: &Value) -> bool {
    identity(a) == identity(b)
}

/// What tells a thing from others; `None` for texts, numbers and lists.
fn identity(thing: &Value) -> Option<String> {
    let fields = thing.as_object()?;
    let said = IDENTITY.iter().filter_map(|name| fields.get_key_value(*name));
    Some(said.fold(String::new(), |text, (name, value)| {
        format!("{text}{name}={value};")
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Status, Truth};
    use super::*;

    /// A status of a later version, in which everything has a field more.
    fn later() -> Value {
        let mut status = Status::new(24);
        status.note(1, "first");
        status.note(2, "second");
        status.set_condition(3, "Accepted", Truth::True, "Accepted", "");
        status.set_condition(3, "Paused", Truth::True, "Paused", "");
        let mut value = serde_json::to_value(status).unwrap();
        value["later"] = json!({"a": null});
        value["control_plane"]["later"] = json!([2]);
        value["operation"] = json!({"kind": "create", "started": 5, "deadline": 9, "step": "", "later": 1});
        for list in ["history", "conditions"] {
            for (i, item) in value[list].as_array_mut().unwrap().iter_mut().enumerate() {
                item["later"] = i.into();
            }
        }
        value
    }

    fn written(status: &Status) -> Value {
        serde_json::from_str(&status.to_json()).unwrap()
    }

    #[test]
    fn what_is_not_known_is_written_as_it_was_read() {
        let status = Status::parse(Some(&later().to_string()), 24).unwrap();
        assert_eq!(written(&status), later());
    }

    #[test]
    fn it_goes_with_the_thing_that_it_was_said_of() {
        let mut status = Status::parse(Some(&later().to_string()), 24).unwrap();
        status.history.remove(0);
        status.note(7, "third");
        status.clear_condition("Accepted");
        status.set_condition(8, "Paused", Truth::True, "Paused", "still");
        status.operation.as_mut().unwrap().started = 6;
        let now = written(&status);
        assert_eq!(now["history"][0], json!({"at": 2, "text": "second", "later": 1}));
        assert_eq!(now["history"][1], json!({"at": 7, "text": "third"}));
        assert_eq!(now["conditions"][0]["later"], 1);
        assert_eq!(now["operation"].get("later"), None);
        assert_eq!(now["later"], json!({"a": null}));
        let again = Status::parse(Some(&status.to_json()), 24).unwrap();
        assert_eq!(written(&again), now);
    }

    #[test]
    fn a_status_without_such_fields_is_written_in_the_usual_order() {
        let text = Status::new(24).to_json();
        assert!(text.starts_with("{\"schema\""), "{text}");
        assert_eq!(Status::parse(Some(&text), 24).unwrap().to_json(), text);
    }
}
