//! Changing a cluster: SPEC is read, changed and written back.

use oneks_driver::Invalid;
use opennebula::Client;
use opennebula::calls::UpdateMode;
use opennebula::template::{Template, json_for_cdata};
use serde_json::Value;

use super::OrderError;
use super::cluster::Cluster;

/// How often a change is made anew because somebody else changed SPEC meanwhile.
const ATTEMPTS: u32 = 3;

/// What a change led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The SPEC's text as it is stored now.
    pub text: String,
    /// Was anything written?
    pub written: bool,
}

/// A change of a SPEC.
pub trait Edit {
    /// How it fails.
    type Error: From<OrderError>;

    /// Is a SPEC stored that is the same as before? OpenNebula says then whether the user would have had the right.
    const EVEN_IF_SAME: bool = false;

    /// Makes the change on what is there now.
    ///
    /// # Errors
    /// It can't be made.
    fn change(&mut self, cluster: &Cluster, spec: &mut Value) -> Result<(), Self::Error>;

    /// Checks the whole SPEC before it is stored.
    ///
    /// # Errors
    /// It is not good.
    fn check(&mut self, cluster: &Cluster, text: &str) -> Result<(), Self::Error>;

    /// Somebody else was faster; the change is made anew on what he left.
    fn overtaken(&mut self, _: &Cluster) {}
}

/// Applies a change to the cluster's SPEC.
///
/// OpenNebula has no conditional update. Right before writing SPEC is read again, and the change is made on the new one
/// if somebody else was faster, so only writers within the same moment can overwrite each other.
///
/// # Errors
/// The change refuses, the result is no good SPEC, or others never stop changing it.
pub fn spec<E: Edit>(client: &Client, id: u32, edit: &mut E) -> Result<Changed, E::Error> {
    let mut cluster = Cluster::fetch(client, id)?;
    for _ in 0..ATTEMPTS {
        let before = spec_text(&cluster).to_owned();
        if !cluster.spec.is_object() {
            return Err(OrderError::Conflict(format!(
                "{} has no readable SPEC; write one with `oneks update cluster {id} --file FILE`",
                cluster.title()
            ))
            .into());
        }
        let mut value = cluster.spec.clone();
        edit.change(&cluster, &mut value)?;
        let same = value == cluster.spec;
        if same && !E::EVEN_IF_SAME {
            return Ok(Changed {
                text: before,
                written: false,
            });
        }
        let text = if same {
            before.clone()
        } else {
            json_for_cdata(&value)
        };
        if !same {
            edit.check(&cluster, &text)?;
        }
        let now = Cluster::fetch(client, id)?;
        if spec_text(&now) != before {
            edit.overtaken(&now);
            cluster = now;
            continue;
        }
        write(client, id, &[("SPEC", &text)])?;
        return Ok(Changed { text, written: true });
    }
    Err(OrderError::Overtaken(format!(
        "{} is being changed by somebody else all the time; try again",
        cluster.title()
    ))
    .into())
}

/// The SPEC of a cluster as it is stored.
pub fn spec_text(cluster: &Cluster) -> &str {
    cluster.document.template.get("SPEC").unwrap_or_default()
}

/// Writes attributes of a document; all others stay as they are.
///
/// # Errors
/// The text can't be stored, or the call.
pub fn write(client: &Client, id: u32, attributes: &[(&str, &str)]) -> Result<(), OrderError> {
    let mut template = Template::new();
    for (name, text) in attributes {
        template.set(name, *text);
    }
    let text = xml(&template)?;
    Ok(client.document_update(id, &text, UpdateMode::Merge)?)
}

/// A template as it is sent.
///
/// # Errors
/// It holds something that OpenNebula would not store.
pub fn xml(template: &Template) -> Result<String, OrderError> {
    template.to_xml("TEMPLATE").map_err(|e| {
        OrderError::Invalid(vec![Invalid {
            path: String::new(),
            message: e.to_string(),
        }])
    })
}

/// The entry of a node group in SPEC.
///
/// # Errors
/// SPEC has none of this key.
pub fn group_mut<'a>(spec: &'a mut Value, key: &str, of: &Cluster) -> Result<&'a mut Value, OrderError> {
    let groups = spec.get_mut("node_groups").and_then(Value::as_array_mut);
    groups
        .into_iter()
        .flatten()
        .find(|g| g["name"] == key)
        .ok_or_else(|| {
            OrderError::NotFound(format!(
                "the SPEC of {} has no node group {key}; it is being removed",
                of.title()
            ))
        })
}

/// Sets an input of a group's entry in SPEC.
pub fn set_input(group: &mut Value, name: &str, value: Value) {
    if !group["user_inputs_values"].is_object() {
        group["user_inputs_values"] = Value::Object(serde_json::Map::new());
    }
    group["user_inputs_values"][name] = value;
}

/// Takes a node group out of SPEC.
pub fn remove_group(spec: &mut Value, key: &str) {
    if let Some(groups) = spec.get_mut("node_groups").and_then(Value::as_array_mut) {
        groups.retain(|g| g["name"] != key);
    }
}

/// Adds a node group to SPEC.
///
/// # Errors
/// The cluster has one of this name, or one that is still being removed.
pub fn add_group(cluster: &Cluster, spec: &mut Value, group: &Value) -> Result<(), OrderError> {
    let name = group["name"].as_str().unwrap_or_default();
    if cluster.groups().iter().any(|g| g.key == name) {
        return Err(OrderError::Conflict(format!(
            "{} has a node group {name} already",
            cluster.title()
        )));
    }
    match spec.get_mut("node_groups").and_then(Value::as_array_mut) {
        Some(groups) => groups.push(group.clone()),
        None => spec["node_groups"] = Value::Array(vec![group.clone()]),
    }
    Ok(())
}

/// Why a cluster may not be deleted, if it may not.
///
/// # Errors
/// It is protected.
pub fn may_delete(cluster: &Cluster) -> Result<(), OrderError> {
    if cluster.spec["deletion_protection"] != true {
        return Ok(());
    }
    Err(OrderError::Conflict(format!(
        "{} is protected from deletion; `oneks update cluster {} --deletion-protection false` takes that back",
        cluster.title(),
        cluster.id()
    )))
}
