//! The preflight: are cluster, networks, datastore, images and rights there?

use crate::observed::Cloud;
use crate::plan::accept::invalid;
use crate::profile::Catalog;
use crate::spec::Spec;
use oneks_driver::{Image, Invalid, Network, Placement};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of objects that are created as the owner in every life.
const CREATED: [&str; 3] = ["TEMPLATE", "VM", "VROUTER"];

pub(super) type Place = (Placement, BTreeMap<String, Image>);

/// The preflight: are cluster, networks, datastore, images and rights there?
pub(super) fn place(
    spec: &Spec,
    cloud: &Cloud,
    catalog: &Catalog,
    lives: bool,
) -> Result<Place, (&'static str, Vec<Invalid>)> {
    let mut errors = Vec::new();
    let wanted = &spec.deployment;
    let Some(cluster) = &cloud.cluster else {
        let message = format!("there is no OpenNebula cluster {}", wanted.cluster.id);
        return Err((
            "PlacementNotPossible",
            vec![invalid("deployment.cluster.id", message)],
        ));
    };
    let mut network = |path: &str, id: u32| -> Option<Network> {
        let Some(found) = cloud.networks.iter().find(|n| n.id == id) else {
            errors.push(invalid(
                path,
                format!("there is no network {id} that the owner may use (USE right)"),
            ));
            return None;
        };
        if !cluster.networks.contains(&id) {
            let message = format!(
                "network {id} ({}) is not in OpenNebula cluster {}",
                found.name, wanted.cluster.id
            );
            errors.push(invalid(path, message));
        }
        if cloud.networks.iter().filter(|n| n.name == found.name).count() > 1 {
            let message = format!(
                "there are several networks {:?}; the cluster finds its own by name",
                found.name
            );
            errors.push(invalid(path, message));
        }
        Some(Network {
            id,
            name: found.name.clone(),
        })
    };
    let public = network("deployment.networks.public.id", wanted.networks.public.id);
    let private = network("deployment.networks.private.id", wanted.networks.private.id);
    let datastore = wanted.datastores.image.map(|d| d.id);
    if let Some(id) = datastore.filter(|id| !cluster.datastores.contains(id)) {
        let message = format!(
            "datastore {id} is not in OpenNebula cluster {}",
            wanted.cluster.id
        );
        errors.push(invalid("deployment.datastores.image.id", message));
    }
    let missing: BTreeSet<&str> = CREATED
        .into_iter()
        .filter(|kind| !cloud.may_create.contains(*kind))
        .collect();
    if !missing.is_empty() && !lives {
        let kinds: Vec<&str> = missing.into_iter().collect();
        let message = format!(
            "the owner may not create {}; an administrator can grant it: oneacl create \"@<group id> {}/* CREATE *\"",
            kinds.join(", "),
            kinds.join("+")
        );
        return Err(("RightMissing", vec![invalid("", message)]));
    }
    let (Some(public), Some(private), true) = (public, private, errors.is_empty()) else {
        return Err(("PlacementNotPossible", errors));
    };
    let placement = Placement {
        cluster_id: wanted.cluster.id,
        public,
        private,
        image_datastore: datastore,
    };
    Ok((placement, images(spec, cloud, catalog, datastore)))
}

/// The images of the chosen datastore by purpose. Which of them are needed is the driver's to say.
pub(super) fn images(
    spec: &Spec,
    cloud: &Cloud,
    catalog: &Catalog,
    datastore: Option<u32>,
) -> BTreeMap<String, Image> {
    let mut found = BTreeMap::new();
    for choice in spec.choices() {
        let Ok(family) = catalog.family(choice.role, choice.family) else {
            continue;
        };
        for (purpose, marks) in &family.images {
            let candidate = marks.iter().find_map(|mark| {
                cloud
                    .images
                    .iter()
                    .filter(|i| i.ready && Some(i.datastore) == datastore)
                    .filter(|i| i.attributes.get(&mark.attribute) == Some(&mark.value))
                    .max_by_key(|i| i.id)
            });
            if let Some(image) = candidate {
                let image = Image {
                    id: image.id,
                    name: image.name.clone(),
                    size: image.size,
                };
                found.entry(purpose.clone()).or_insert(image);
            }
        }
    }
    found
}
