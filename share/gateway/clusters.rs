//! One cluster: show it, make it, change what is wanted.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use oneks::orders::cluster::Cluster;
use oneks::orders::edit;
use oneks::orders::kubeconfig;
use oneks::orders::validate;
use oneks_core::names::DOCUMENT_TYPE;
use oneks_core::state::ClusterState;
use oneks_driver::Invalid;
use opennebula::template::{Template, json_for_cdata};
use serde_json::{Map, Value, json};

use crate::body;
use crate::change::{self, Change};
use crate::deployment;
use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::Ask;
use crate::schema::{Field, Kind, optional, required};

/// What a new cluster is made from.
pub const NEW: &[Field] = &[
    required("name", Kind::Label, "Name of the cluster"),
    optional("description", Kind::Text, "What it is for"),
    required(
        "kubernetes_version",
        Kind::Text,
        "One of those that the family offers",
    ),
    required("deployment", Kind::Object(deployment::PLACE), "Where it lives"),
    required("spec", Kind::Object(CONTROL_PLANE), "The control plane"),
    optional("driver", Kind::Text, "Driver, capone unless another is named"),
    optional(
        "deletion_protection",
        Kind::Bool,
        "Refuse to delete the cluster until this is taken back",
    ),
];

const CONTROL_PLANE: &[Field] = &[
    optional("name", Kind::Text, "Not used"),
    optional("description", Kind::Text, "Not used"),
    optional("family", Kind::Text, "Family, general unless another is named"),
    required("flavour", Kind::Text, "Flavour of the family"),
    optional(
        "user_inputs_values",
        Kind::Values,
        "Inputs that differ from the flavour's",
    ),
];

/// What can be changed about a cluster.
pub const CHANGE: &[Field] = &[
    optional("name", Kind::Label, "Its new name"),
    optional("description", Kind::Text, "What it is for"),
];

/// The version to upgrade to.
pub const VERSION: &[Field] = &[required(
    "kubernetes_version",
    Kind::Text,
    "A later one of those that the family offers",
)];

/// Shows a cluster.
pub fn show(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    let catalog = ask.query.flag("expand").then(|| ask.site.catalog());
    let body = body::cluster(&cluster, catalog.as_ref());
    Ok(Reply::json(StatusCode::OK, &body).tagged(ask.known.as_deref()))
}

/// Makes a cluster.
pub fn create(ask: &Ask) -> Result<Reply, Fault> {
    let catalog = ask.site.catalog();
    let mut spec = Map::new();
    for field in [
        "description",
        "kubernetes_version",
        "driver",
        "deletion_protection",
    ] {
        if let Some(value) = ask.body.get(field).filter(|v| !v.is_null()) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    spec.insert(
        "deployment".to_owned(),
        deployment::place(&ask.body["deployment"]),
    );
    let mut control_plane = Map::new();
    for field in ["family", "flavour", "user_inputs_values"] {
        let given = ask.body["spec"].get(field);
        // A form that was left empty names no family.
        let none = |v: &&Value| v.is_null() || field == "family" && v.as_str() == Some("");
        if let Some(value) = given.filter(|v| !none(v)) {
            control_plane.insert(field.to_owned(), value.clone());
        }
    }
    spec.insert("control_plane".to_owned(), Value::Object(control_plane));
    spec.insert("node_groups".to_owned(), json!([]));
    let mut spec = Value::Object(spec);
    let checked = validate::check(Some(&catalog), &json_for_cdata(&spec), None);
    let checked = checked.map_err(|errors| Fault::invalid(as_asked(errors)))?;
    deployment::settle(ask, &catalog, &checked, &mut spec["deployment"])?;

    let mut template = Template::new();
    template.set("NAME", ask.body["name"].as_str().unwrap_or_default());
    template.set("SPEC", json_for_cdata(&spec));
    let id = ask
        .client
        .document_allocate(&edit::xml(&template)?, DOCUMENT_TYPE)?;
    let cluster = Cluster::fetch(&ask.client, id)?;
    Ok(Reply::json(StatusCode::CREATED, &body::cluster(&cluster, None)))
}

/// Renames a cluster, or describes it anew.
pub fn update(ask: &Ask) -> Result<Reply, Fault> {
    let id = ask.cluster()?;
    let (name, description) = (ask.body["name"].as_str(), ask.body["description"].as_str());
    if description.is_some() || name.is_none() {
        change::spec(
            ask,
            id,
            Change::new(|_, spec| {
                if let Some(text) = description {
                    spec["description"] = json!(text);
                }
                Ok(())
            }),
        )?;
    }
    if let Some(name) = name {
        change::possible(&Cluster::fetch(&ask.client, id)?)?;
        ask.client.document_rename(id, name)?;
    }
    shown(ask, id, StatusCode::OK)
}

/// Orders another version.
pub fn upgrade(ask: &Ask) -> Result<Reply, Fault> {
    let id = ask.cluster()?;
    change::spec(
        ask,
        id,
        Change::new(|_, spec| {
            spec["kubernetes_version"] = ask.body["kubernetes_version"].clone();
            Ok(())
        }),
    )?;
    shown(ask, id, StatusCode::OK)
}

/// Orders another attempt at what failed.
pub fn recover(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    change::unlocked(&cluster)?;
    let status = cluster.status.as_ref();
    let rotating = status.and_then(|s| s.rotation.as_ref()).is_some_and(|r| r.failed);
    let failed = |state: &str| state.ends_with("_FAILURE") || state == ClusterState::Warning.as_str();
    let groups = cluster.groups();
    if !failed(&cluster.state()) && !rotating && !groups.iter().any(|g| failed(g.state())) {
        return Err(Fault::conflict(format!(
            "{} is {}: nothing has failed that could be tried again",
            cluster.title(),
            cluster.state()
        )));
    }
    order_recovery(ask, cluster.id())
}

/// Writes the order to try again.
pub fn order_recovery(ask: &Ask, id: u32) -> Result<Reply, Fault> {
    // Any text that was not there before is an order.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let token = format!("{}-{:09}", now.as_secs(), now.subsec_nanos());
    edit::write(&ask.client, id, &[("RECOVER", &token)])?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Orders the end of a cluster.
pub fn delete(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, ask.cluster()?)?;
    change::unlocked(&cluster)?;
    edit::may_delete(&cluster)?;
    let order = if ask.query.flag("force") { "FORCE" } else { "YES" };
    edit::write(&ask.client, cluster.id(), &[("DELETE", order)])?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// The kubeconfig.
pub fn kubeconfig(ask: &Ask) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch_decrypted(&ask.client, ask.cluster()?)?;
    let text = kubeconfig::of(&cluster)?;
    Ok(Reply::json(StatusCode::OK, &json!({"kubeconfig": text})))
}

/// The cluster as it is after a change.
fn shown(ask: &Ask, id: u32, status: StatusCode) -> Result<Reply, Fault> {
    let cluster = Cluster::fetch(&ask.client, id)?;
    Ok(Reply::json(status, &body::cluster(&cluster, None)))
}

/// The paths of a SPEC as the body of the request has them.
fn as_asked(errors: Vec<Invalid>) -> Vec<Invalid> {
    let path = |path: String| match path.strip_prefix("control_plane") {
        Some(rest) => format!("spec{rest}"),
        None => path,
    };
    errors
        .into_iter()
        .map(|e| Invalid {
            path: path(e.path),
            message: e.message,
        })
        .collect()
}
