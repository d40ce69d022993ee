//! Places for clusters: whether one could live there, looked at as the user who asks. Nothing is made.

use bytes::Bytes;
use hyper::StatusCode;
use oneks::orders::images::{Found, Purpose};
use oneks::orders::survey::{Chosen, Item, Survey, Verdict};
use oneks_core::profile::Catalog;
use oneks_core::spec::{DEFAULT_FAMILY, Spec};
use oneks_driver::{Invalid, Role};
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::objects::DatastoreType;
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;

use crate::fault::Fault;
use crate::reply::Reply;
use crate::request::Ask;
use crate::schema::{Field, Kind, optional, required};

/// A place.
pub const PLACE: &[Field] = &[
    required("cluster", Kind::Object(REFERENCE), "OpenNebula cluster"),
    required("networks", Kind::Object(NETWORKS), "Networks"),
    optional(
        "datastores",
        Kind::Object(DATASTORES),
        "Datastores; chosen if none is named",
    ),
];

const REFERENCE: &[Field] = &[required("id", Kind::Id, "Id")];

const NETWORKS: &[Field] = &[
    required("public", Kind::Object(REFERENCE), "Network of the API endpoint"),
    required("private", Kind::Object(REFERENCE), "Network of the nodes"),
];

const DATASTORES: &[Field] = &[optional(
    "image",
    Kind::Object(REFERENCE),
    "Datastore with the images",
)];

/// The driver whose clusters are made of images.
const DRIVER: &str = "capone";

/// Machines that a cluster has beside its nodes: one that builds it, and one of the router.
const BESIDE: u32 = 2;

/// Machines of the smallest cluster.
const FEW: u32 = 3;

/// The place as SPEC has it: only what belongs there.
pub fn place(asked: &Value) -> Value {
    let id = |path: &str| json!({"id": asked.pointer(path)});
    let mut place = json!({
        "cluster": id("/cluster/id"),
        "networks": {"public": id("/networks/public/id"), "private": id("/networks/private/id")},
    });
    if let Some(image) = asked.pointer("/datastores/image/id").filter(|id| !id.is_null()) {
        place["datastores"] = json!({"image": {"id": image}});
    }
    place
}

/// Refuses a place where the cluster can't live, and chooses a datastore if none was named.
///
/// # Errors
/// What is missing, by its path, or which right.
pub fn settle(ask: &Ask, catalog: &Catalog, spec: &Spec, deployment: &mut Value) -> Result<(), Fault> {
    let family = spec.control_plane.family.as_str();
    let wanted = catalog.family(Role::ControlPlane, family).ok();
    let values = wanted.and_then(|f| {
        f.resolve(
            &spec.control_plane.flavour,
            &spec.control_plane.user_inputs_values,
            "",
        )
        .ok()
    });
    let nodes = values.and_then(|v| v.get("count")?.as_u64()).unwrap_or(1);
    let machines = u32::try_from(nodes).unwrap_or(u32::MAX).saturating_add(BESIDE);
    let images = (spec.driver == DRIVER).then(|| of_family(catalog, family));
    let mut chosen = chosen(deployment);
    let mut survey = Survey::new(ask.client.clone());
    look(&mut survey, chosen, machines)?;
    refuse(&survey.items, "deployment.")?;
    if let (None, Some(images)) = (chosen.datastore, &images) {
        let id = datastore(ask, chosen.cluster, images, "deployment.")?;
        chosen.datastore = Some(id);
        deployment["datastores"] = json!({"image": {"id": id}});
    }
    if let Some(id) = chosen.datastore {
        survey.datastore(id, chosen.cluster, images.as_ref())?;
        refuse(&survey.items, "deployment.")?;
    }
    let user = ask.user()?;
    survey.rights(&user)?;
    if let Some(item) = failed(&survey.items) {
        return Err(Fault::forbidden(item.message.clone()));
    }
    survey.quotas(&user, machines);
    match failed(&survey.items) {
        Some(item) => Err(Fault::conflict(item.message.clone())),
        None => Ok(()),
    }
}

/// Could a cluster live in this place?
pub fn validate(ask: &Ask) -> Result<Reply, Fault> {
    let catalog = of_family(&ask.site.catalog(), DEFAULT_FAMILY);
    let mut chosen = chosen(&ask.body);
    let mut survey = Survey::new(ask.client.clone());
    look(&mut survey, chosen, FEW)?;
    refuse(&survey.items, "")?;
    if chosen.datastore.is_none() {
        chosen.datastore = Some(datastore(ask, chosen.cluster, &catalog, "")?);
    }
    if let Some(id) = chosen.datastore {
        survey.datastore(id, chosen.cluster, Some(&catalog))?;
    }
    refuse(&survey.items, "")?;
    Ok(Reply::json(StatusCode::OK, &json!({"valid": true})))
}

/// Can places be checked? They can, by everybody: nothing is made by it.
pub fn status(ask: &Ask) -> Result<Reply, Fault> {
    ask.user()?;
    Ok(Reply::json(StatusCode::OK, &json!({"enabled": true})))
}

/// Refuses a check before its first event.
///
/// # Errors
/// The user is not known, or OpenNebula can't be asked.
pub fn ready(ask: &Ask) -> Result<(), Fault> {
    ask.user().map(drop)
}

/// Looks at a place, one event for the beginning and the end of each look.
pub fn check(ask: &Ask, events: &Sender<Bytes>) {
    let catalog = of_family(&ask.site.catalog(), DEFAULT_FAMILY);
    let place = chosen(&ask.body);
    let mut survey = Survey::new(ask.client.clone());
    let mut step = |name: &str, look: &mut dyn FnMut(&mut Survey) -> Result<(), Fault>| {
        if !send(events, name, "started", None) {
            return false;
        }
        let before = survey.items.len();
        let result = look(&mut survey);
        let items = survey.items.get(before..).unwrap_or_default();
        let mut said: Vec<String> = items.iter().map(|i| i.message.clone()).collect();
        let good = result.is_ok() && failed(items).is_none();
        if let Err(fault) = result {
            said.push(fault.to_string());
        }
        let state = if good { "success" } else { "failure" };
        send(events, name, state, Some(&said.join("; ")))
    };
    let datastore = |survey: &mut Survey| {
        let id = match place.datastore {
            Some(id) => id,
            None => datastore(ask, place.cluster, &catalog, "")?,
        };
        Ok(survey.datastore(id, place.cluster, Some(&catalog))?)
    };
    let _ = step("OpenNebula", &mut |s| Ok(s.version()?))
        && step("Profiles", &mut |s| {
            s.profiles((!catalog.control_planes.is_empty()).then_some(&catalog));
            Ok(())
        })
        && step("OpenNebula cluster", &mut |s| {
            place.cluster.map_or(Ok(()), |id| Ok(s.cluster(id)?))
        })
        && step("Networks", &mut |s| Ok(s.networks(place, FEW)?))
        && step("Image datastore", &mut |s| datastore(s))
        && step("Rights", &mut |s| Ok(s.rights(&ask.user()?)?))
        && step("Quotas", &mut |s| {
            s.quotas(&ask.user()?, FEW);
            Ok(())
        });
}

/// Sends an event. Is there still somebody who reads it?
fn send(events: &Sender<Bytes>, name: &str, state: &str, context: Option<&str>) -> bool {
    let mut data = json!({"name": name, "state": state});
    if let Some(context) = context.filter(|c| !c.is_empty()) {
        data["context"] = json!(context);
    }
    let event = format!("event: check_cluster\ndata: {data}\n\n");
    events.blocking_send(Bytes::from(event)).is_ok()
}

fn chosen(place: &Value) -> Chosen {
    let id = |path: &str| {
        let id = place.pointer(path).and_then(Value::as_u64);
        id.and_then(|id| u32::try_from(id).ok())
    };
    Chosen {
        cluster: id("/cluster/id"),
        public: id("/networks/public/id"),
        private: id("/networks/private/id"),
        datastore: id("/datastores/image/id"),
    }
}

fn look(survey: &mut Survey, place: Chosen, machines: u32) -> Result<(), Fault> {
    if let Some(id) = place.cluster {
        survey.cluster(id)?;
    }
    Ok(survey.networks(place, machines)?)
}

/// The datastore that has all images of the profiles; the one with the smallest id if there are several.
fn datastore(ask: &Ask, cluster: Option<u32>, catalog: &Catalog, prefix: &str) -> Result<u32, Fault> {
    let purposes = Purpose::of(catalog);
    let stores = ask.client.datastorepool_info()?.items;
    let images = ask
        .client
        .imagepool_info(PoolFilter::All, PoolRange::default())?
        .items;
    let fits = stores
        .iter()
        .filter(|d| {
            d.datastore_type == DatastoreType::Image && cluster.is_none_or(|c| d.clusters.contains(&c))
        })
        .filter(|d| {
            purposes
                .iter()
                .all(|p| matches!(p.find(&images, d.id), Found::Ready(_)))
        })
        .map(|d| d.id)
        .min();
    fits.ok_or_else(|| {
        let names: Vec<String> = purposes.iter().map(|p| format!("{} ({})", p.name, p.marks())).collect();
        Fault::field(
            &format!("{prefix}datastores.image.id"),
            format!(
                "no image datastore there that you may use has all images that are needed: {}; an administrator can \
                 import them with `oneks images import`",
                names.join(", ")
            ),
        )
    })
}

fn of_family(catalog: &Catalog, family: &str) -> Catalog {
    let mut one = catalog.clone();
    one.control_planes.retain(|name, _| name == family);
    one.node_groups.retain(|name, _| name == family);
    one
}

fn failed(items: &[Item]) -> Option<&Item> {
    items.iter().find(|i| i.verdict == Verdict::Failed)
}

/// All that failed, by the paths of the request.
fn refuse(items: &[Item], prefix: &str) -> Result<(), Fault> {
    let errors: Vec<Invalid> = items
        .iter()
        .filter(|i| i.verdict == Verdict::Failed)
        .map(|item| {
            let path = match item.about {
                "cluster" => "cluster.id",
                "public network" => "networks.public.id",
                "private network" => "networks.private.id",
                _ => "datastores.image.id",
            };
            Invalid {
                path: format!("{prefix}{path}"),
                message: item.message.clone(),
            }
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Fault::invalid(errors))
    }
}
