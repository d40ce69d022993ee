//! Clusters and groups as the interface shows them: from SPEC and STATUS into `CLUSTER_BODY` and `GROUP_BODY`.

use oneks::orders::cluster::{Cluster, NodeGroup};
use oneks_core::names::Names;
use oneks_core::profile::Catalog;
use oneks_core::spec;
use oneks_core::state::DependencyState;
use oneks_driver::Role;
use opennebula::objects::{Access, Document};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Document type of groups in the old server; ours are in their cluster's document and only look so.
const GROUP_TYPE: u32 = 121;

/// A cluster. With the profiles its groups are shown in whole.
pub fn cluster(cluster: &Cluster, expand: Option<&Catalog>) -> Value {
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(cluster.name()));
    if let Some(text) = cluster.spec["description"].as_str().filter(|t| !t.is_empty()) {
        body.insert("description".to_owned(), json!(text));
    }
    body.insert("state".to_owned(), json!(cluster.state()));
    body.insert(
        "kubernetes_version".to_owned(),
        cluster
            .spec
            .get("kubernetes_version")
            .cloned()
            .unwrap_or_default(),
    );
    body.insert(
        "deployment".to_owned(),
        cluster
            .spec
            .get("deployment")
            .filter(|d| d.is_object())
            .cloned()
            .unwrap_or_else(|| json!({})),
    );
    let mut groups: Vec<Value> = members(cluster)
        .into_iter()
        .map(|(id, group)| match expand {
            Some(catalog) => expanded(cluster, &group, id, catalog),
            None => reference(cluster, &group, id),
        })
        .collect();
    // The control plane comes first, and there is always one.
    body.insert("control_plane".to_owned(), groups.remove(0));
    body.insert("node_groups".to_owned(), Value::Array(groups));
    body.insert("registration_time".to_owned(), json!(cluster.created()));
    body.insert("historic".to_owned(), Value::Array(history(cluster, None)));
    let error = cluster.error();
    if !error.is_empty() {
        body.insert("error".to_owned(), json!(error));
    }
    document(
        &cluster.document,
        cluster.id(),
        cluster.name(),
        cluster.document.kind,
        "CLUSTER_BODY",
        body,
    )
}

/// A group as if it were a document of its own, with its cluster's rights.
pub fn group(cluster: &Cluster, group: &NodeGroup<'_>, id: u32, catalog: &Catalog) -> Value {
    let mut body = details(cluster, group, catalog);
    if let Some(text) = group.text("description").filter(|t| !t.is_empty()) {
        body.insert("description".to_owned(), json!(text));
    }
    let name = name(cluster, group);
    document(&cluster.document, id, &name, GROUP_TYPE, "GROUP_BODY", body)
}

/// The groups with their ids, the control plane first.
pub fn members(cluster: &Cluster) -> Vec<(u32, NodeGroup<'_>)> {
    cluster.group_ids().into_iter().zip(cluster.groups()).collect()
}

/// A group as it stands in its cluster's body when that was asked for in whole.
pub fn expanded(cluster: &Cluster, group: &NodeGroup<'_>, id: u32, catalog: &Catalog) -> Value {
    let mut body = details(cluster, group, catalog);
    body.insert("id".to_owned(), json!(id));
    let description = group.text("description").filter(|t| !t.is_empty());
    body.insert("description".to_owned(), json!(description));
    Value::Object(body)
}

fn reference(cluster: &Cluster, group: &NodeGroup<'_>, id: u32) -> Value {
    json!({
        "id": id,
        "uuid": uuid(cluster, group),
        "type": kind(group),
        "flavour": group.text("flavour"),
        "family": family(group),
    })
}

fn details(cluster: &Cluster, group: &NodeGroup<'_>, catalog: &Catalog) -> Map<String, Value> {
    let vms: Vec<u32> = group.status.iter().flat_map(|s| &s.vms).map(|vm| vm.id).collect();
    let mut body = Map::new();
    for (field, value) in [
        ("uuid", json!(uuid(cluster, group))),
        ("name", json!(name(cluster, group))),
        ("cluster_id", json!(cluster.id())),
        ("family", json!(family(group))),
        ("flavour", json!(group.text("flavour"))),
        ("type", json!(kind(group))),
        ("state", json!(group.state())),
        ("vms", json!(vms)),
        ("dependencies", Value::Array(dependencies(group))),
        ("user_inputs_values", Value::Object(inputs(group, catalog))),
        ("historic", Value::Array(history(cluster, Some(group.key)))),
        ("registration_time", json!(begun(cluster, group))),
    ] {
        body.insert(field.to_owned(), value);
    }
    if group.is_control_plane() && !cluster.endpoint().is_empty() {
        body.insert("endpoint".to_owned(), json!(cluster.endpoint()));
    }
    if !group.error().is_empty() {
        body.insert("error".to_owned(), json!(group.error()));
    }
    body
}

fn uuid(cluster: &Cluster, group: &NodeGroup<'_>) -> String {
    match group.status {
        Some(status) => status.uuid.clone(),
        None => Names::new(cluster.id()).group(group.key),
    }
}

/// The control plane has no name of its own.
fn name(cluster: &Cluster, group: &NodeGroup<'_>) -> String {
    if group.is_control_plane() {
        uuid(cluster, group)
    } else {
        group.name().to_owned()
    }
}

fn kind(group: &NodeGroup<'_>) -> &'static str {
    if group.is_control_plane() {
        "ControlPlane"
    } else {
        "NodeGroup"
    }
}

fn family<'a>(group: &NodeGroup<'a>) -> &'a str {
    let spec = group.spec.and_then(|s| s.get("family")).and_then(Value::as_str);
    spec.unwrap_or(spec::DEFAULT_FAMILY)
}

/// The values of all inputs: those of SPEC, and those that its flavour and family preset.
fn inputs(group: &NodeGroup<'_>, catalog: &Catalog) -> Map<String, Value> {
    let role = if group.is_control_plane() {
        Role::ControlPlane
    } else {
        Role::NodeGroup
    };
    let given = group
        .spec
        .and_then(|s| s["user_inputs_values"].as_object())
        .cloned();
    let given = given.unwrap_or_default();
    let values: BTreeMap<String, Value> = given.clone().into_iter().collect();
    let family = catalog.family(role, family(group)).ok();
    let resolved = family.and_then(|f| f.resolve(group.text("flavour")?, &values, "").ok());
    // What the profile does not allow any more is shown as it was asked for.
    resolved.map_or(given, |values| values.into_iter().collect())
}

fn dependencies(group: &NodeGroup<'_>) -> Vec<Value> {
    let Some(status) = group.status else {
        return Vec::new();
    };
    let mut list = Vec::new();
    if let Some(seed) = status.seed.as_ref().filter(|s| s.state != DependencyState::Gone)
        && let Some(vm) = seed.vm
    {
        list.push(json!({
            "name": "SeedVm", "type": "MANAGED", "id": vm, "ready": seed.state == DependencyState::Ready,
            "opts": {"destroy_on_ready": true},
        }));
    }
    if let Some(router) = status
        .router
        .as_ref()
        .filter(|r| r.state != DependencyState::Gone)
        && let Some(id) = router.id
    {
        list.push(json!({
            "name": "ClusterRouter", "type": "EXTERNAL", "id": id, "ready": router.state == DependencyState::Ready,
            "opts": {"destroy_on_ready": false},
        }));
    }
    list
}

/// What happened to a group, or to the cluster as a whole; oldest first.
fn history(cluster: &Cluster, group: Option<&str>) -> Vec<Value> {
    let entries = cluster.status.iter().flat_map(|s| &s.history);
    entries
        .filter_map(|entry| {
            let (about, text) = about(&entry.text);
            (about == group).then(|| event(entry.at, text))
        })
        .collect()
}

/// The group that a line of history is about, if it is about one, and the rest of the line.
fn about(line: &str) -> (Option<&str>, &str) {
    match line.strip_prefix("group ").and_then(|rest| rest.split_once(": ")) {
        Some((key, text)) => (Some(key), text),
        None => (None, line.strip_prefix("cluster: ").unwrap_or(line)),
    }
}

fn event(at: u64, text: &str) -> Value {
    let (states, cause) = text.split_once(": ").unwrap_or((text, ""));
    match states.split_once(" → ") {
        Some((from, to)) if is_state(from) && is_state(to) => {
            let cause = if cause.is_empty() {
                String::new()
            } else {
                format!(": {cause}")
            };
            json!({
                "action": "State changed",
                "description": format!("State changed from {from} to {to}{cause}"),
                "time": at,
            })
        }
        _ => json!({"action": "Note", "description": text, "time": at}),
    }
}

fn is_state(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// When a group was first heard of, as far as that is known.
fn begun(cluster: &Cluster, group: &NodeGroup<'_>) -> Option<u64> {
    let entries = cluster.status.iter().flat_map(|s| &s.history);
    let first = entries.into_iter().find(|e| about(&e.text).0 == Some(group.key));
    first.map(|e| e.at).or_else(|| cluster.created())
}

/// A document in OpenNebula's own form, with its body.
fn document(of: &Document, id: u32, name: &str, kind: u32, tag: &str, body: Map<String, Value>) -> Value {
    let bit = |on: bool| if on { "1" } else { "0" };
    let mut permissions = Map::new();
    let all = &of.permissions;
    for (who, access) in [("OWNER", all.owner), ("GROUP", all.group), ("OTHER", all.other)] {
        let Access { r#use, manage, admin } = access;
        for (letter, on) in [("U", r#use), ("M", manage), ("A", admin)] {
            permissions.insert(format!("{who}_{letter}"), json!(bit(on)));
        }
    }
    let mut template = Map::new();
    template.insert(tag.to_owned(), Value::Object(body));
    json!({"DOCUMENT": {
        "ID": id.to_string(),
        "UID": of.uid.to_string(),
        "GID": of.gid.to_string(),
        "UNAME": of.uname,
        "GNAME": of.gname,
        "NAME": name,
        "TYPE": kind.to_string(),
        "PERMISSIONS": permissions,
        "TEMPLATE": template,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_history_become_events() {
        for (line, group, action, description) in [
            (
                "cluster: PENDING → PROVISIONING",
                None,
                "State changed",
                "State changed from PENDING to PROVISIONING",
            ),
            (
                "group workers: RUNNING → WARNING: VM 4: is off",
                Some("workers"),
                "State changed",
                "State changed from RUNNING to WARNING: VM 4: is off",
            ),
            ("SPEC accepted", None, "Note", "SPEC accepted"),
            ("a → b", None, "Note", "a → b"),
        ] {
            let (key, text) = about(line);
            assert_eq!(key, group);
            assert_eq!(
                event(7, text),
                json!({"action": action, "description": description, "time": 7})
            );
        }
    }
}
