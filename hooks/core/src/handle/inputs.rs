//! From the inputs of the template to the first SPEC.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::Invalid;
use serde_json::json;

use super::edit::new_group;
use super::{Attributes, DRIVER, GROUP, INPUT, PROTECTION, VERSION, group};
use crate::profile::{Catalog, Family};
use crate::spec::{ControlPlane, Datastores, Deployment, Networks, Reference, Spec};
use crate::status::Status;
use crate::text::shorten;
use crate::version::Version;

/// A network or datastore that the user may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Does it belong to the user?
    pub own: bool,
    /// The OpenNebula clusters that it belongs to.
    pub clusters: Vec<u32>,
}

/// What the inputs may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Networks.
    pub networks: Vec<Named>,
    /// Image datastores; needed only if [`needs_datastores`] says so.
    pub datastores: Vec<Named>,
    /// The networks of the VM's own NICs, in their order: OneFlow gives networks in this way.
    pub nics: Vec<u32>,
}

/// The cluster that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its name, if one was given.
    pub name: Option<String>,
    /// Its SPEC.
    pub spec: Spec,
}

/// Does the datastore's name have to be looked up?
pub fn needs_datastores(attributes: &Attributes) -> bool {
    input(attributes, "STORAGE_IMAGES").is_some_and(|text| text.parse::<u32>().is_err())
}

/// The cluster that the attributes of a new handle ask for.
///
/// # Errors
/// All that is wrong or missing, by attribute.
pub fn asked(
    attributes: &Attributes,
    places: &Places,
    catalog: &Catalog,
    check: &dyn Fn(&Spec) -> Vec<Invalid>,
) -> Result<Asked, Vec<String>> {
    let mut errors = Vec::new();
    let mut network = |field: &str, nic: usize| {
        let given = input(attributes, field);
        let found = match (given, places.nics.get(nic)) {
            (Some(text), _) => find(text, &places.networks, "network"),
            (None, Some(id)) => find(&id.to_string(), &places.networks, "network"),
            (None, None) => Err("is missing: the name or id of a network".to_owned()),
        };
        found
            .map_err(|reason| errors.push(told(field, given, &reason)))
            .ok()
    };
    let (public, private) = (network("NETWORK_PUBLIC", 0), network("NETWORK_PRIVATE", 1));
    let mut fail = |field: &str, reason: &str| errors.push(told(field, input(attributes, field), reason));
    let images = input(attributes, "STORAGE_IMAGES");
    let datastore = match images.map(|text| (text.parse::<u32>(), text)) {
        None => None,
        Some((Ok(id), _)) => Some(Reference { id }),
        Some((Err(_), text)) => match find(text, &places.datastores, "datastore") {
            Ok(found) => Some(Reference { id: found.id }),
            Err(reason) => {
                fail("STORAGE_IMAGES", &reason);
                None
            }
        },
    };
    let cluster = match input(attributes, "NETWORK_CLUSTER").map(str::parse::<u32>) {
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            fail("NETWORK_CLUSTER", "must be the id of an OpenNebula cluster");
            None
        }
        None => public.zip(private).and_then(|(a, b)| {
            let common = a.clusters.iter().filter(|id| b.clusters.contains(id)).min();
            if common.is_none() {
                fail(
                    "NETWORK_PRIVATE",
                    "is in no OpenNebula cluster in which the public network is as well",
                );
            }
            common.copied()
        }),
    };
    let control_plane = control_plane(attributes, catalog).map_err(|e| fail("CONTROLPLANE_FLAVOUR", &e));
    let groups = groups(attributes, catalog).map_err(|e| fail(e.0, &e.1));
    let (Some(public), Some(private), Some(cluster), Ok(control_plane), Ok(node_groups), []) =
        (public, private, cluster, control_plane, groups, &errors[..])
    else {
        return Err(errors);
    };
    let version = input(attributes, "CLUSTER_VERSION").or_else(|| text(attributes, VERSION));
    let protection = input(attributes, "CLUSTER_PROTECTION").or_else(|| text(attributes, PROTECTION));
    let mut spec = Spec {
        description: String::new(),
        kubernetes_version: version.map_or_else(|| newest(catalog, &control_plane), str::to_owned),
        driver: "capone".to_owned(),
        deployment: Deployment {
            cluster: Reference { id: cluster },
            networks: Networks {
                public: Reference { id: public.id },
                private: Reference { id: private.id },
            },
            datastores: Datastores { image: datastore },
        },
        control_plane,
        node_groups,
        paused: false,
        deletion_protection: protection.is_some_and(|text| text.eq_ignore_ascii_case("YES")),
    };
    if let Some(driver) = text(attributes, DRIVER) {
        driver.clone_into(&mut spec.driver);
    }
    let wrong: Vec<String> = check(&spec)
        .into_iter()
        .map(|e| format!("{}: {}", e.path, e.message))
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Asked {
        name: input(attributes, "CLUSTER_NAME").map(|name| shorten(name, 128)),
        spec,
    })
}

/// What is wrong with a SPEC by the rules of the hooks, as far as the cloud need not be asked.
pub fn refusals(catalog: &Catalog, status: &Status, spec: &Spec) -> Vec<Invalid> {
    crate::plan::refusals(catalog, status, spec)
}

fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    let text = attributes.get(name).map(|text| text.trim());
    text.filter(|text| !text.is_empty())
}

fn input<'a>(attributes: &'a Attributes, field: &str) -> Option<&'a str> {
    text(attributes, &format!("{INPUT}{field}"))
}

fn told(field: &str, given: Option<&str>, reason: &str) -> String {
    match given {
        Some(given) => format!("{INPUT}{field}={:?}: {reason}", shorten(given, 80)),
        None => format!("{INPUT}{field} {reason}"),
    }
}

/// An object by id or name; of several of a name, the user's own.
fn find<'a>(text: &str, all: &'a [Named], what: &str) -> Result<&'a Named, String> {
    let by_id = text.parse::<u32>().ok();
    if let Some(found) = all.iter().find(|o| Some(o.id) == by_id) {
        return Ok(found);
    }
    let named: Vec<&Named> = all.iter().filter(|o| o.name == text).collect();
    let own: Vec<&Named> = named.iter().copied().filter(|o| o.own).collect();
    match (&named[..], &own[..]) {
        ([one], _) | (_, [one]) => Ok(one),
        ([], _) => Err(format!("there is no {what} of this name or id that you may use")),
        _ => {
            let ids: Vec<String> = named.iter().map(|o| o.id.to_string()).collect();
            Err(format!(
                "several are called so; name it by its id, one of {}",
                ids.join(", ")
            ))
        }
    }
}

fn usual(families: &BTreeMap<String, Family>) -> Option<&Family> {
    families.get("general").or_else(|| families.values().next())
}

fn control_plane(attributes: &Attributes, catalog: &Catalog) -> Result<ControlPlane, String> {
    let families = &catalog.control_planes;
    let given = input(attributes, "CONTROLPLANE_FLAVOUR").map(group::choice);
    let (family, flavour) = match given {
        Some((family, flavour)) => (family, Some(flavour)),
        None => (None, None),
    };
    let family = family.or_else(|| usual(families).map(|f| f.family.clone()));
    let family = family.ok_or("there are no profiles of control planes")?;
    let first = families
        .get(&family)
        .and_then(|f| f.flavours_in_order().first().map(|(name, _)| (*name).to_owned()));
    Ok(ControlPlane {
        flavour: flavour
            .or(first)
            .ok_or_else(|| format!("there is no family {family:?} with a flavour"))?,
        family,
        user_inputs_values: BTreeMap::new(),
    })
}

/// The first group, from its inputs; and those that are written as attributes.
fn groups(
    attributes: &Attributes,
    catalog: &Catalog,
) -> Result<Vec<crate::spec::NodeGroup>, (&'static str, String)> {
    let mut groups = Vec::new();
    let mut names = BTreeSet::new();
    let flavour = input(attributes, "NODES_FLAVOUR").filter(|text| !text.eq_ignore_ascii_case("none"));
    let count = input(attributes, "NODES_COUNT");
    if flavour.is_some() || count.is_some_and(|n| n != "0") {
        let (family, flavour) = flavour.map_or((None, None), |text| {
            let (family, flavour) = group::choice(text);
            (family, Some(flavour))
        });
        let name = input(attributes, "NODES_NAME").unwrap_or("workers").to_owned();
        let mut group = new_group(name, family, flavour, catalog).map_err(|e| ("NODES_FLAVOUR", e))?;
        let count = count.map_or(Ok(1), str::parse::<u64>);
        let count = count.map_err(|_| ("NODES_COUNT", "must be a number".to_owned()))?;
        group.user_inputs_values.insert("count".to_owned(), json!(count));
        names.insert(group.name.clone());
        groups.push(group);
    }
    for (attribute, value) in attributes.iter().filter(|(name, _)| name.starts_with(GROUP)) {
        let Some(name) = group::name(attribute).filter(|name| names.insert(name.clone())) else {
            continue;
        };
        let wish = group::parse(value).map_err(|e| ("NODES_FLAVOUR", format!("({attribute}) {e}")))?;
        if let group::Wish::Be {
            count,
            family,
            flavour,
        } = wish
        {
            let mut group = new_group(name, family, flavour, catalog).map_err(|e| ("NODES_FLAVOUR", e))?;
            if let Some(count) = count {
                group.user_inputs_values.insert("count".to_owned(), json!(count));
            }
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The newest version that the control plane's family offers.
fn newest(catalog: &Catalog, control_plane: &ControlPlane) -> String {
    let family = catalog.control_planes.get(&control_plane.family);
    let offered = family.map_or(&[][..], |f| f.supported_k8s_versions.as_slice());
    let newest = offered.iter().max_by_key(|version| Version::parse(version));
    newest.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
