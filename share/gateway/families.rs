//! Families, flavours and inputs: what the profiles offer.

use hyper::StatusCode;
use oneks_core::profile::{DependencyKind, Family};
use oneks_driver::Role;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::{Ask, shown};

/// All families of control planes.
pub fn clusters(ask: &Ask) -> Result<Reply, Fault> {
    all(ask, Role::ControlPlane)
}

/// All families of node groups.
pub fn nodegroups(ask: &Ask) -> Result<Reply, Fault> {
    all(ask, Role::NodeGroup)
}

/// One family of control planes.
pub fn cluster(ask: &Ask) -> Result<Reply, Fault> {
    one(ask, Role::ControlPlane)
}

/// One family of node groups.
pub fn nodegroup(ask: &Ask) -> Result<Reply, Fault> {
    one(ask, Role::NodeGroup)
}

/// The inputs of a control plane's flavour.
pub fn cluster_inputs(ask: &Ask) -> Result<Reply, Fault> {
    inputs(ask, Role::ControlPlane)
}

/// The inputs of a node group's flavour.
pub fn nodegroup_inputs(ask: &Ask) -> Result<Reply, Fault> {
    inputs(ask, Role::NodeGroup)
}

fn all(ask: &Ask, role: Role) -> Result<Reply, Fault> {
    // Whoever OpenNebula doesn't know sees nothing.
    ask.user()?;
    let catalog = ask.site.catalog();
    let families = match role {
        Role::ControlPlane => &catalog.control_planes,
        Role::NodeGroup => &catalog.node_groups,
    };
    let list: Vec<Value> = families.values().map(shape).collect();
    Ok(Reply::json(StatusCode::OK, &json!(list)).tagged(ask.known.as_deref()))
}

fn one(ask: &Ask, role: Role) -> Result<Reply, Fault> {
    let family = find(ask, role)?;
    Ok(Reply::json(StatusCode::OK, &shape(&family)).tagged(ask.known.as_deref()))
}

fn find(ask: &Ask, role: Role) -> Result<Family, Fault> {
    ask.user()?;
    let name = ask.places.first().map_or("", String::as_str);
    let catalog = ask.site.catalog();
    let family = catalog.family(role, name);
    family.cloned().map_err(|mut e| {
        e.name = shown(name);
        Fault::not_found(e.to_string())
    })
}

fn inputs(ask: &Ask, role: Role) -> Result<Reply, Fault> {
    let family = find(ask, role)?;
    let name = ask.places.get(1).map_or("", String::as_str);
    let Some(flavour) = family.flavours.get(name) else {
        let known: Vec<&str> = family.flavours_in_order().iter().map(|(name, _)| *name).collect();
        return Err(Fault::not_found(format!(
            "family {} has no flavour {}; choose one of {}",
            family.family,
            shown(name),
            known.join(", ")
        )));
    };
    let mut inputs = family.inputs_of(flavour);
    if ask.query.flag("exclude_defaults") {
        inputs.retain(|input| input.default.as_ref().is_none_or(Value::is_null));
    }
    let body = json!({"user_inputs": inputs, "options": {"override_defaults": flavour.override_defaults}});
    Ok(Reply::json(StatusCode::OK, &body).tagged(ask.known.as_deref()))
}

/// A family as the interface shows it: without templates and settings.
fn shape(family: &Family) -> Value {
    let flavours: Vec<Value> = family
        .flavours_in_order()
        .iter()
        .map(|(name, flavour)| {
            json!({
                "name": name,
                "label": flavour.label,
                "description": flavour.description,
                "override_defaults": flavour.override_defaults,
                "defaults": flavour.defaults,
            })
        })
        .collect();
    let dependencies: Vec<Value> = family
        .dependencies
        .iter()
        .map(|d| json!({"type": DependencyKind::name(d.object), "opts": d.options}))
        .collect();
    json!({
        "name": family.name,
        "description": family.description,
        "family": family.family,
        "supported_k8s_versions": family.supported_k8s_versions,
        "user_inputs": family.user_inputs,
        "flavours": flavours,
        "dependencies": dependencies,
    })
}
