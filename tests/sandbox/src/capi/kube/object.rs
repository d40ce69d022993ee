//! A Kubernetes object as JSON, with the accessors that controllers need.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// One Kubernetes object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(pub Value);

impl Object {
    /// An object with a name and nothing else.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        let mut metadata = json!({ "name": name });
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        Self(json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata }))
    }

    /// The value at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter()
            .try_fold(&self.0, |value, key| value.get(key))
            .filter(|value| !value.is_null())
    }

    /// The text at a path; empty if there is none.
    pub fn text(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// The number at a path.
    pub fn number(&self, path: &[&str]) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    /// Whether the value at a path is `true`.
    pub fn flag(&self, path: &[&str]) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The list at a path; empty if there is none.
    pub fn list(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Sets the value at a path and makes the maps on the way.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut current = &mut self.0;
        for key in parents {
            current = entry(current, key);
        }
        *entry(current, last) = value.into();
    }

    /// Removes the value at a path. Returns whether there was one.
    pub fn remove(&mut self, path: &[&str]) -> bool {
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        let mut current = &mut self.0;
        for key in parents {
            let Some(next) = current.get_mut(key) else {
                return false;
            };
            current = next;
        }
        current
            .as_object_mut()
            .is_some_and(|map| map.remove(*last).is_some())
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.text(&["kind"])
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.text(&["apiVersion"])
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }

    /// `metadata.namespace`; empty for objects of the whole cluster.
    pub fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.text(&["metadata", "uid"])
    }

    /// `metadata.generation`.
    pub fn generation(&self) -> i64 {
        self.number(&["metadata", "generation"]).unwrap_or_default()
    }

    /// A label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "labels", key]).and_then(Value::as_str)
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.at(&["metadata", "annotations", key]).and_then(Value::as_str)
    }

    /// All labels.
    pub fn labels(&self) -> Map<String, Value> {
        self.map(&["metadata", "labels"])
    }

    /// The map at a path; empty if there is none.
    pub fn map(&self, path: &[&str]) -> Map<String, Value> {
        self.at(path)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// Whether the object waits for its finalizers.
    pub fn is_deleting(&self) -> bool {
        self.at(&["metadata", "deletionTimestamp"]).is_some()
    }

    /// Whether it has a finalizer.
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.list(&["metadata", "finalizers"])
            .iter()
            .any(|item| item == name)
    }

    /// Adds a finalizer once.
    pub fn add_finalizer(&mut self, name: &str) {
        if !self.has_finalizer(name) {
            let mut all = self.list(&["metadata", "finalizers"]).to_vec();
            all.push(json!(name));
            self.set(&["metadata", "finalizers"], all);
        }
    }

    /// Removes a finalizer.
    pub fn remove_finalizer(&mut self, name: &str) {
        let rest: Vec<Value> = self
            .list(&["metadata", "finalizers"])
            .iter()
            .filter(|item| *item != name)
            .cloned()
            .collect();
        if rest.is_empty() {
            self.remove(&["metadata", "finalizers"]);
        } else {
            self.set(&["metadata", "finalizers"], rest);
        }
    }

    /// The owner of a kind, by its reference: `(name, uid)`.
    pub fn owner(&self, kind: &str) -> Option<(&str, &str)> {
        let owner = self
            .list(&["metadata", "ownerReferences"])
            .iter()
            .find(|owner| owner["kind"] == kind)?;
        Some((owner["name"].as_str()?, owner["uid"].as_str()?))
    }

    /// Whether a reference to that UID is among the owners.
    pub fn is_owned_by(&self, uid: &str) -> bool {
        self.list(&["metadata", "ownerReferences"])
            .iter()
            .any(|owner| owner["uid"] == uid)
    }

    /// Makes `owner` an owner. A controller reference replaces those of creators that are no controllers.
    pub fn add_owner(&mut self, owner: &Self, controller: bool) {
        if self.is_owned_by(owner.uid()) {
            return;
        }
        let mut all = self.list(&["metadata", "ownerReferences"]).to_vec();
        all.push(owner.as_owner(controller));
        self.set(&["metadata", "ownerReferences"], all);
    }

    /// An owner reference to this object.
    pub fn as_owner(&self, controller: bool) -> Value {
        let mut reference = json!({
            "apiVersion": self.api_version(), "kind": self.kind(), "name": self.name(), "uid": self.uid(),
        });
        if controller {
            reference["controller"] = json!(true);
            reference["blockOwnerDeletion"] = json!(true);
        }
        reference
    }

    /// An object reference to this object.
    pub fn as_reference(&self) -> Value {
        json!({
            "apiVersion": self.api_version(), "kind": self.kind(), "name": self.name(),
            "namespace": self.namespace(), "uid": self.uid(),
        })
    }
}

fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    &mut value[key]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_and_removed() {
        let mut object = Object::new("v1", "Secret", "default", "a");
        object.set(&["metadata", "labels", "x.io/y"], "1");
        assert_eq!(object.label("x.io/y"), Some("1"));
        assert!(object.remove(&["metadata", "labels", "x.io/y"]));
        assert!(!object.remove(&["metadata", "labels", "x.io/y"]));
        assert!(!object.remove(&["spec", "none", "deeper"]));
    }

    #[test]
    fn the_last_finalizer_takes_the_list_along() {
        let mut object = Object::new("v1", "Secret", "default", "a");
        object.add_finalizer("f");
        object.add_finalizer("f");
        assert_eq!(object.list(&["metadata", "finalizers"]).len(), 1);
        object.remove_finalizer("f");
        assert!(object.at(&["metadata", "finalizers"]).is_none());
    }

    #[test]
    fn an_owner_is_added_once() {
        let mut owner = Object::new("v1", "ConfigMap", "default", "o");
        owner.set(&["metadata", "uid"], "u1");
        let mut object = Object::new("v1", "Secret", "default", "a");
        object.add_owner(&owner, true);
        object.add_owner(&owner, true);
        assert_eq!(object.list(&["metadata", "ownerReferences"]).len(), 1);
        assert_eq!(object.owner("ConfigMap"), Some(("o", "u1")));
    }
}
