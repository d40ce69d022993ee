//! Groups of nodes. Their ids are their cluster's times a thousand, and a number.

use hyper::StatusCode;
use oneks::orders::cluster::{Cluster, NodeGroup};
use oneks::orders::edit;
use oneks_core::names::cluster_of_group;
use serde_json::{Map, Value, json};

use crate::body;
use crate::change::{self, Change};
use crate::clusters;
use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::{Ask, number, shown};
use crate::schema::{Field, Kind, optional, required};

/// What a new node group is made from.
pub const NEW: &[Field] = &[
    required(
        "name",
        Kind::Label,
        "Name of the group, part of its machines' names",
    ),
    optional("description", Kind::Text, "What it is for"),
    optional("family", Kind::Text, "Family, general unless another is named"),
    required("flavour", Kind::Text, "Flavour of the family"),
    optional(
        "user_inputs_values",
        Kind::Values,
        "Inputs that differ from the flavour's",
    ),
    optional("labels", Kind::Texts, "Labels of its nodes"),
    optional("taints", Kind::Objects(TAINT), "Taints of its nodes"),
];

const TAINT: &[Field] = &[
    required("key", Kind::Text, "Key"),
    optional("value", Kind::Text, "Value"),
    required("effect", Kind::Text, "NoSchedule, PreferNoSchedule or NoExecute"),
];

/// What can be changed about a node group.
pub const CHANGE: &[Field] = &[
    optional(
        "name",
        Kind::Label,
        "What people call it; its machines keep their names",
    ),
    optional("description", Kind::Text, "What it is for"),
];

/// The size of a group.
pub const SIZE: &[Field] = &[required("target", Kind::Count, "Number of nodes")];

/// The node groups of a cluster.
pub fn of_cluster(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    let catalog = ask.site.catalog();
    let groups: Vec<Value> = body::members(&cluster)
        .iter()
        .filter(|(_, group)| !group.is_control_plane())
        .map(|(id, group)| body::expanded(&cluster, group, *id, &catalog))
        .collect();
    Ok(Reply::json(StatusCode::OK, &json!(groups)).tagged(ask.known.as_deref()))
}

/// A group of a cluster.
pub fn show(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    let reply = reply(ask, &cluster, StatusCode::OK, |id, _| Some(id) == wanted(ask))?;
    Ok(reply.tagged(ask.known.as_deref()))
}

/// A group, by its id alone.
pub fn by_id(ask: &Ask) -> Result<Reply, Fault> {
    let text = ask.places.first().map_or("", String::as_str);
    let absent = || Fault::not_found(format!("there is no group {} that you may see", shown(text)));
    let id = number(text).ok_or_else(absent)?;
    let cluster = match Cluster::fetch(&ask.client, cluster_of_group(id)) {
        Ok(cluster) => cluster,
        Err(oneks::orders::OrderError::NotFound(_)) => return Err(absent()),
        Err(other) => return Err(other.into()),
    };
    let reply = reply(ask, &cluster, StatusCode::OK, |other, _| other == id);
    reply
        .map(|r| r.tagged(ask.known.as_deref()))
        .map_err(|_| absent())
}

/// Adds a node group.
pub fn create(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = ask.cluster()?;
    let mut group = Map::new();
    for field in NEW {
        if let Some(value) = ask.body.get(field.name).filter(|v| !v.is_null()) {
            group.insert(field.name.to_owned(), value.clone());
        }
    }
    for field in ["family", "description"] {
        if group.get(field).and_then(Value::as_str) == Some("") {
            group.remove(field);
        }
    }
    let group = Value::Object(group);
    let name = group["name"].as_str().unwrap_or_default().to_owned();
    change::spec(
        ask,
        cluster,
        Change::new(|cluster, spec| Ok(edit::add_group(cluster, spec, &group)?)).called(within),
    )?;
    let cluster = Cluster::fetch(&ask.client, cluster)?;
    reply(ask, &cluster, StatusCode::CREATED, |_, group| group.key == name)
}

/// Renames a node group, or describes it anew.
pub fn update(ask: &Ask) -> Result<Reply, Fault> {
    let id = ask.cluster()?;
    change::spec(
        ask,
        id,
        Change::new(|cluster, spec| {
            let entry = entry(ask, cluster, spec)?;
            if let Some(name) = ask.body["name"].as_str() {
                entry["display_name"] = json!(name);
            }
            if let Some(text) = ask.body["description"].as_str() {
                entry["description"] = json!(text);
            }
            Ok(())
        })
        .called(within),
    )?;
    after(ask, id, StatusCode::OK)
}

/// Orders another number of nodes.
pub fn scale(ask: &Ask) -> Result<Reply, Fault> {
    let id = ask.cluster()?;
    change::spec(
        ask,
        id,
        Change::new(|cluster, spec| {
            if find(ask, cluster)?.1.is_control_plane() {
                edit::set_input(&mut spec["control_plane"], "count", ask.body["target"].clone());
            } else {
                edit::set_input(entry(ask, cluster, spec)?, "count", ask.body["target"].clone());
            }
            Ok(())
        })
        .called(size),
    )?;
    after(ask, id, StatusCode::CREATED)
}

/// Orders another attempt at what failed.
pub fn recover(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    change::unlocked(&cluster)?;
    let (id, group) = find(ask, &cluster)?;
    if !group.state().ends_with("_FAILURE") && group.state() != "WARNING" {
        return Err(Fault::conflict(format!(
            "group {id} of {} is {}: nothing has failed that could be tried again",
            cluster.title(),
            group.state()
        )));
    }
    clusters::order_recovery(ask, cluster.id())
}

/// Orders the end of a node group.
pub fn delete(ask: &Ask) -> Result<Reply, Fault> {
    change::spec(
        ask,
        ask.cluster()?,
        Change::new(|cluster, spec| {
            let (_, group) = find(ask, cluster)?;
            if group.is_control_plane() {
                return Err(Fault::conflict(format!(
                    "the control plane of {} goes with the cluster only",
                    cluster.title()
                )));
            }
            edit::remove_group(spec, group.key);
            Ok(())
        }),
    )?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// The id in the path.
fn wanted(ask: &Ask) -> Option<u32> {
    number(ask.places.get(1)?)
}

/// The group that the path names.
fn find<'a>(ask: &Ask, cluster: &'a Cluster) -> Result<(u32, NodeGroup<'a>), Fault> {
    let wanted = wanted(ask);
    let found = body::members(cluster)
        .into_iter()
        .find(|(id, _)| Some(*id) == wanted);
    found.ok_or_else(|| absent(ask, cluster))
}

fn absent(ask: &Ask, cluster: &Cluster) -> Fault {
    let text = ask.places.get(1).map_or("", String::as_str);
    Fault::not_found(format!("{} has no group {}", cluster.title(), shown(text)))
}

/// The entry in SPEC of the group that the path names.
fn entry<'a>(ask: &Ask, cluster: &Cluster, spec: &'a mut Value) -> Result<&'a mut Value, Fault> {
    let (_, group) = find(ask, cluster)?;
    if group.is_control_plane() {
        return Err(Fault::conflict(format!(
            "the control plane of {} has no name or description of its own",
            cluster.title()
        )));
    }
    if group.spec.is_none() {
        return Err(Fault::conflict(format!(
            "node group {} of {} is being removed",
            group.key,
            cluster.title()
        )));
    }
    Ok(edit::group_mut(spec, group.key, cluster)?)
}

/// The group after a change.
fn after(ask: &Ask, id: u32, status: StatusCode) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, id)?;
    reply(ask, &cluster, status, |id, _| Some(id) == wanted(ask))
}

fn reply(
    ask: &Ask,
    cluster: &Cluster,
    status: StatusCode,
    is: impl Fn(u32, &NodeGroup<'_>) -> bool,
) -> Result<Reply, Fault> {
    let members = body::members(cluster);
    let found = members.iter().find(|(id, group)| is(*id, group));
    let (id, group) = found.ok_or_else(|| absent(ask, cluster))?;
    let body = body::group(cluster, group, *id, &ask.site.catalog());
    Ok(Reply::json(status, &body))
}

/// The path of something in a group's entry as the request's body has it.
fn within(path: &str) -> String {
    let inner = path
        .strip_prefix("node_groups[")
        .and_then(|rest| rest.split_once("]."));
    let inner = inner
        .map(|(_, inner)| inner)
        .or_else(|| path.strip_prefix("control_plane."));
    inner.unwrap_or(path).to_owned()
}

/// The same where only the size is asked for.
fn size(path: &str) -> String {
    let path = within(path);
    if path == "user_inputs_values.count" {
        "target".to_owned()
    } else {
        path
    }
}
