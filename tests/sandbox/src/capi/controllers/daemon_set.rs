//! `DaemonSet`: one pod for every node of the control plane, replaced one after another when the template changes. Pods
//! read their configuration when they start.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use serde_json::json;

use super::super::kube::store::secret_value;
use super::super::kube::{Key, Object, Store};

/// Annotation of a pod with the configuration that it has read.
pub(crate) const STARTED_WITH: &str = "sandbox.oneks/started-with";
/// Label of a pod with the template that it was made from.
const REVISION: &str = "controller-revision-hash";

/// How far the pods of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// Pods that there shall be.
    pub(crate) desired: usize,
    /// Pods of the present template.
    pub(crate) updated: usize,
    /// Pods that are ready.
    pub(crate) available: usize,
}

impl Rollout {
    pub(crate) fn is_done(self) -> bool {
        self.updated >= self.desired && self.available >= self.desired
    }
}

/// Pods of a set.
pub(crate) fn pods<'a>(store: &'a Store, set: &'a Object) -> impl Iterator<Item = &'a Object> + 'a {
    store.list("Pod").filter(|pod| pod.is_owned_by(set.uid()))
}

/// One step: pods come and go with their nodes, and one that is old is replaced while all the others are ready.
/// Whether anything was done.
pub(crate) fn step(store: &mut Store, key: &Key) -> bool {
    let Some(set) = store.get(key).cloned() else {
        return false;
    };
    let config = store
        .get(&Key::within("Secret", set.namespace(), "cloud-config"))
        .and_then(|secret| secret_value(secret, "config.yaml"));
    let Some(config) = config else { return false };
    let nodes = nodes(store);
    let on = |pod: &Object| pod.text(&["spec", "nodeName"]).to_owned();
    let all: Vec<Object> = pods(store, &set).cloned().collect();
    let revision = revision(&set);
    let lost = |pod: &&Object| !nodes.iter().any(|(node, _)| *node == on(pod));
    let lost: Vec<Key> = all.iter().filter(lost).map(Key::of).collect();
    let missing = |node: &&(String, bool)| !all.iter().any(|pod| on(pod) == node.0);
    let missing: Vec<String> = nodes
        .iter()
        .filter(missing)
        .map(|(node, _)| node.clone())
        .collect();
    let is_ready = |pod: &Object| nodes.iter().any(|(node, ready)| *node == on(pod) && *ready);
    let unready = all.iter().filter(|pod| !is_ready(pod)).count();
    let old = all
        .iter()
        .filter(|pod| pod.label(REVISION) != Some(&revision))
        .find(|pod| unready == 0 || !is_ready(pod) && unready == 1)
        .map(Key::of);
    for key in &lost {
        store.delete(key);
    }
    for node in &missing {
        let name = store.generate_name(&format!("{}-", set.name()));
        let mut pod = Object::new("v1", "Pod", set.namespace(), &name);
        pod.set(
            &["metadata", "labels"],
            set.map(&["spec", "template", "metadata", "labels"]),
        );
        pod.set(&["metadata", "labels", REVISION], revision.clone());
        pod.set(&["metadata", "annotations", STARTED_WITH], config.clone());
        pod.set(&["spec"], json!({ "nodeName": node }));
        pod.set(&["status"], json!({ "phase": "Running" }));
        pod.add_owner(&set, true);
        store.insert(pod);
    }
    if lost.is_empty()
        && missing.is_empty()
        && let Some(old) = &old
    {
        // Its node gets another in the next step.
        store.delete(old);
        return true;
    }
    let rollout = progress(store, &set);
    let status = json!({
        "desiredNumberScheduled": rollout.desired, "currentNumberScheduled": rollout.desired,
        "updatedNumberScheduled": rollout.updated, "numberAvailable": rollout.available,
        "observedGeneration": set.generation(),
    });
    store.modify(key, |set| set.set(&["status"], status)) || !lost.is_empty() || !missing.is_empty()
}

/// How far the pods of a set are.
pub(crate) fn progress(store: &Store, set: &Object) -> Rollout {
    let (nodes, revision) = (nodes(store), revision(set));
    let ready = |pod: &&Object| {
        let node = pod.text(&["spec", "nodeName"]);
        nodes.iter().any(|(name, ready)| name == node && *ready)
    };
    Rollout {
        desired: nodes.len(),
        updated: pods(store, set)
            .filter(|pod| pod.label(REVISION) == Some(&revision))
            .count(),
        available: pods(store, set).filter(ready).count(),
    }
}

/// Nodes of the control plane, and whether they are ready.
fn nodes(store: &Store) -> Vec<(String, bool)> {
    let is_ready = |node: &Object| {
        let conditions = node.list(&["status", "conditions"]);
        conditions
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    };
    store
        .list("Node")
        .filter(|node| node.label("node-role.kubernetes.io/control-plane").is_some())
        .map(|node| (node.name().to_owned(), is_ready(node)))
        .collect()
}

fn revision(set: &Object) -> String {
    let template = set.at(&["spec", "template"]).map(ToString::to_string);
    let mut hasher = DefaultHasher::new();
    template.hash(&mut hasher);
    format!("{:010x}", hasher.finish() & 0xff_ffff_ffff)
}
