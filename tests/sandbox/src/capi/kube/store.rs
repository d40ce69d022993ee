//! The objects of one cluster, with the server's bookkeeping: UIDs, versions, generations, finalizers, owners.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::admission;
use super::error::ApiError;
use super::kinds::{self, Kind};
use super::object::Object;
use super::quantity::timestamp;
use super::selector::Selector;
use crate::rng::Rng;

/// Kind, namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `kind`.
    pub kind: String,
    /// Namespace; empty for objects of the whole cluster.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of an object in the namespace that everything of Cluster API lives in.
    pub fn new(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: "default".into(),
            name: name.into(),
        }
    }

    /// The key of an object in a namespace, or of the whole cluster.
    pub fn within(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object.
    pub fn of(object: &Object) -> Self {
        Self::within(object.kind(), object.namespace(), object.name())
    }
}

/// How the server treats fields that it doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the object, as `kubectl apply` asks for.
    Strict,
    /// Drop the fields, as `kubectl patch` does.
    Warn,
}

/// The objects of one cluster.
#[derive(Clone, Debug)]
pub struct Store {
    objects: BTreeMap<Key, Object>,
    version: u64,
    rng: Rng,
    /// Virtual time for timestamps, epoch seconds.
    pub now: u64,
    /// Whether Cluster API and its providers are installed.
    pub cluster_api: bool,
    /// Version of Kubernetes, such as `v1.33.7+rke2r1`.
    pub kubernetes_version: String,
}

impl Store {
    /// An empty cluster with the namespaces that every cluster has.
    pub fn new(seed: u64, now: u64) -> Self {
        let mut store = Self {
            objects: BTreeMap::new(),
            version: 1,
            rng: Rng::new(seed),
            now,
            cluster_api: false,
            kubernetes_version: String::new(),
        };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            store.insert(Object::new("v1", "Namespace", "", name));
        }
        store
    }

    /// Changes with every change of any object.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The kind, if this server has it installed.
    pub fn serves(&self, kind: &'static Kind) -> bool {
        self.cluster_api || !kind.cluster_api
    }

    /// An object.
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// An object, or the server's answer if there is none.
    ///
    /// # Errors
    /// [`ApiError::NotFound`].
    pub fn find(&self, kind: &'static Kind, namespace: &str, name: &str) -> Result<&Object, ApiError> {
        let namespace = if kind.namespaced { namespace } else { "" };
        self.get(&Key::within(kind.kind, namespace, name))
            .ok_or_else(|| ApiError::NotFound {
                resource: kind.resource(),
                name: name.into(),
            })
    }

    /// All objects of a kind, by namespace and name.
    pub fn list<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> + 'a {
        self.objects
            .range(Key::within(kind, "", "")..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(_, object)| object)
    }

    /// Keys of all objects of a kind.
    pub fn keys(&self, kind: &str) -> Vec<Key> {
        self.objects
            .range(Key::within(kind, "", "")..)
            .take_while(|(key, _)| key.kind == kind)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// Objects of a kind that a selector matches.
    pub fn select<'a>(
        &'a self,
        kind: &'a str,
        namespace: &'a str,
        selector: &'a Selector,
    ) -> impl Iterator<Item = &'a Object> + 'a {
        self.list(kind)
            .filter(move |object| object.namespace() == namespace && selector.matches(&object.labels()))
    }

    /// Creates an object as a client does: with defaults, schema and webhooks. Returns it as stored, and warnings.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn create(
        &mut self,
        object: Object,
        mode: FieldValidation,
    ) -> Result<(Object, Vec<String>), ApiError> {
        let (object, warnings) = admission::admit(self, object, None, mode)?;
        if self.objects.contains_key(&Key::of(&object)) {
            let resource = kinds::named(object.kind())
                .map(Kind::resource)
                .unwrap_or_default();
            return Err(ApiError::AlreadyExists {
                resource,
                name: object.name().into(),
            });
        }
        let namespace = object.namespace();
        if !namespace.is_empty() && self.get(&Key::within("Namespace", "", namespace)).is_none() {
            return Err(ApiError::NotFound {
                resource: "namespaces".into(),
                name: namespace.into(),
            });
        }
        Ok((self.insert(object), warnings))
    }

    /// Replaces an object as a client does. Its status stays. Returns whether anything changed, and warnings.
    ///
    /// # Errors
    /// The server refuses the change.
    pub fn update(&mut self, object: Object, mode: FieldValidation) -> Result<(bool, Vec<String>), ApiError> {
        let key = Key::of(&object);
        let Some(old) = self.objects.get(&key).cloned() else {
            let resource = kinds::named(&key.kind).map(Kind::resource).unwrap_or_default();
            return Err(ApiError::NotFound {
                resource,
                name: key.name,
            });
        };
        let (mut object, warnings) = admission::admit(self, object, Some(&old), mode)?;
        for field in [
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "deletionTimestamp",
        ] {
            match old.at(&["metadata", field]) {
                Some(value) => object.set(&["metadata", field], value.clone()),
                None => {
                    object.remove(&["metadata", field]);
                }
            }
        }
        match old.at(&["status"]) {
            Some(status) => object.set(&["status"], status.clone()),
            None => {
                object.remove(&["status"]);
            }
        }
        Ok((self.modify(&key, |stored| *stored = object), warnings))
    }

    /// Deletes an object as a client does: it stays until its finalizers are gone. Returns whether there was one.
    pub fn delete(&mut self, key: &Key) -> bool {
        let Some(object) = self.objects.get(key) else {
            return false;
        };
        if object.list(&["metadata", "finalizers"]).is_empty() {
            self.objects.remove(key);
            self.version += 1;
            self.collect_garbage();
        } else if !object.is_deleting() {
            let now = timestamp(self.now);
            self.modify(key, |object| object.set(&["metadata", "deletionTimestamp"], now));
        }
        true
    }

    /// Changes an object as a controller of the cluster does. Returns whether anything changed.
    ///
    /// The generation grows with the specification; an object that is being deleted goes with its last finalizer.
    pub fn modify(&mut self, key: &Key, change: impl FnOnce(&mut Object)) -> bool {
        let Some(object) = self.objects.get_mut(key) else {
            return false;
        };
        let old = object.clone();
        change(object);
        if *object == old {
            return false;
        }
        if object.at(&["spec"]) != old.at(&["spec"]) || object.is_deleting() != old.is_deleting() {
            let generation = old.generation() + 1;
            object.set(&["metadata", "generation"], generation);
        }
        self.version += 1;
        object.set(&["metadata", "resourceVersion"], self.version.to_string());
        let gone = object.is_deleting() && object.list(&["metadata", "finalizers"]).is_empty();
        if gone {
            self.objects.remove(key);
            self.collect_garbage();
        }
        true
    }

    /// Puts an object in as a controller does, with the server's metadata. Returns it as stored.
    pub fn insert(&mut self, mut object: Object) -> Object {
        self.version += 1;
        let uid = self.rng.uuid();
        object.set(&["metadata", "uid"], uid);
        object.set(&["metadata", "creationTimestamp"], timestamp(self.now));
        object.set(&["metadata", "resourceVersion"], self.version.to_string());
        object.set(&["metadata", "generation"], 1);
        self.objects.insert(Key::of(&object), object.clone());
        object
    }

    /// Takes objects out, as `clusterctl move` does at the source: no finalizer is waited for.
    pub fn take(&mut self, keys: &[Key]) -> Vec<Object> {
        self.version += 1;
        keys.iter().filter_map(|key| self.objects.remove(key)).collect()
    }

    /// Five characters of a generated name.
    pub fn suffix(&mut self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5)
            .map(|_| {
                let index = self.rng.below(ALPHABET.len() as u64);
                char::from(ALPHABET[usize::try_from(index).unwrap_or(0)])
            })
            .collect()
    }

    /// A random text of lower-case hexadecimal digits.
    pub fn secret(&mut self, digits: usize) -> String {
        self.rng.hex(digits)
    }

    /// A name with a random suffix, its base cut so that it fits a label.
    pub fn generate_name(&mut self, base: &str) -> String {
        let cut = base
            .char_indices()
            .nth(58)
            .map_or(base, |(index, _)| &base[..index]);
        format!("{cut}{}", self.suffix())
    }

    /// Deletes what has owners, all of which are gone.
    fn collect_garbage(&mut self) {
        loop {
            let alive: BTreeSet<&str> = self.objects.values().map(Object::uid).collect();
            let orphans: Vec<Key> = self
                .objects
                .iter()
                .filter(|(_, object)| {
                    let owners = object.list(&["metadata", "ownerReferences"]);
                    !object.is_deleting()
                        && !owners.is_empty()
                        && owners
                            .iter()
                            .filter_map(|owner| owner["uid"].as_str())
                            .all(|uid| !alive.contains(uid))
                })
                .map(|(key, _)| key.clone())
                .collect();
            if orphans.is_empty() {
                return;
            }
            let now = timestamp(self.now);
            for key in orphans {
                self.version += 1;
                let waits = self
                    .objects
                    .get_mut(&key)
                    .filter(|object| !object.list(&["metadata", "finalizers"]).is_empty());
                if let Some(object) = waits {
                    object.set(&["metadata", "deletionTimestamp"], now.clone());
                } else {
                    self.objects.remove(&key);
                }
            }
        }
    }
}

/// The value of a key in a Secret, decoded.
pub fn secret_value(secret: &Object, key: &str) -> Option<String> {
    use base64::Engine as _;
    let encoded = secret.at(&["data", key])?.as_str()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok()
}

/// A Secret with one text.
pub fn secret(namespace: &str, name: &str, kind: &str, key: &str, text: &str) -> Object {
    use base64::Engine as _;
    let mut secret = Object::new("v1", "Secret", namespace, name);
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    secret.set(&["data"], json!({ key: encoded }));
    secret.set(&["type"], Value::from(kind));
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(name: &str) -> Object {
        Object::new("v1", "ConfigMap", "default", name)
    }

    #[test]
    fn the_generation_counts_changes_of_the_specification() {
        let mut store = Store::new(1, 1000);
        store.insert(config_map("a"));
        let key = Key::new("ConfigMap", "a");
        assert!(store.modify(&key, |object| object.set(&["status", "x"], 1)));
        assert_eq!(store.get(&key).unwrap().generation(), 1);
        assert!(store.modify(&key, |object| object.set(&["spec", "x"], 1)));
        assert_eq!(store.get(&key).unwrap().generation(), 2);
        let version = store.version();
        assert!(!store.modify(&key, |object| object.set(&["spec", "x"], 1)));
        assert_eq!(store.version(), version);
    }

    #[test]
    fn a_finalizer_holds_a_deleted_object() {
        let mut store = Store::new(1, 1000);
        let mut object = config_map("a");
        object.add_finalizer("f");
        store.insert(object);
        let key = Key::new("ConfigMap", "a");
        assert!(store.delete(&key));
        assert!(store.get(&key).unwrap().is_deleting());
        store.modify(&key, |object| object.remove_finalizer("f"));
        assert!(store.get(&key).is_none());
        assert!(!store.delete(&key));
    }

    #[test]
    fn owned_objects_follow_their_last_owner() {
        let mut store = Store::new(1, 1000);
        let (one, two) = (store.insert(config_map("one")), store.insert(config_map("two")));
        let mut both = config_map("both");
        both.add_owner(&one, true);
        both.add_owner(&two, false);
        let both = store.insert(both);
        let mut below = config_map("below");
        below.add_owner(&both, true);
        store.insert(below);
        store.delete(&Key::new("ConfigMap", "one"));
        assert!(store.get(&Key::new("ConfigMap", "below")).is_some());
        store.delete(&Key::new("ConfigMap", "two"));
        assert!(store.get(&Key::new("ConfigMap", "both")).is_none());
        assert!(store.get(&Key::new("ConfigMap", "below")).is_none());
    }

    #[test]
    fn generated_names_fit_a_label() {
        let mut store = Store::new(1, 1000);
        let name = store.generate_name(&format!("{}-", "x".repeat(80)));
        assert_eq!(name.len(), 63);
        assert_eq!(store.generate_name("md-").len(), 8);
    }
}
