//! CAPONE's `ONECluster`: images, templates, the router, the endpoint.

use opennebula::template::Template;

use super::super::config::FaultKind;
use super::super::kube::store::secret_value;
use super::super::kube::{Key, Object};
use super::super::one::{OneError, set_in_nth};
use super::super::world::Ctx;
use super::{Next, done, is_due, is_paused};

const FINALIZER: &str = "onecluster.infrastructure.cluster.x-k8s.io";
const CONTROLLER: &str = "onecluster";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("ONECluster") {
        let Some(object) = ctx.get(&key) else { continue };
        let owner = object.owner("Cluster").map(|(name, _)| name.to_owned());
        let Some(cluster) = owner.and_then(|name| ctx.get(&Key::new("Cluster", &name))) else {
            continue;
        };
        if is_paused(&cluster, &object) || ctx.world.has_fault(cluster.name(), &FaultKind::CaponeStuck) {
            continue;
        }
        if !is_due(ctx, &object) {
            continue;
        }
        let next = step(ctx, &key, &object);
        done(ctx, CONTROLLER, &key, object.uid(), &next);
    }
}

/// The credential, and the Secret's owner on the way.
pub(crate) fn credential(ctx: &mut Ctx<'_>, object: &Object) -> Result<String, String> {
    let name = object.text(&["spec", "secretName"]).to_owned();
    let key = Key::new("Secret", &name);
    let secret = ctx
        .get(&key)
        .ok_or_else(|| format!("Failed to get secret: secrets {name:?} not found"))?;
    ctx.modify(&key, |secret| secret.add_owner(object, false));
    Ok(secret_value(&secret, "ONE_AUTH").unwrap_or_default())
}

fn step(ctx: &mut Ctx<'_>, key: &Key, object: &Object) -> Next {
    let has_router = object.at(&["spec", "virtualRouter"]).is_some();
    let external = has_router
        || !object.list(&["spec", "images"]).is_empty()
        || !object.list(&["spec", "templates"]).is_empty();
    let auth = if external {
        match credential(ctx, object) {
            Ok(auth) => auth,
            Err(message) => return Next::Failed(message),
        }
    } else {
        String::new()
    };
    if object.is_deleting() {
        return match delete(ctx, object, &auth, has_router) {
            Ok(()) => {
                ctx.modify(key, |object| object.remove_finalizer(FINALIZER));
                Next::Resync
            }
            Err(error) => Next::Failed(error.to_string()),
        };
    }
    ctx.modify(key, |object| object.add_finalizer(FINALIZER));
    match create_images(ctx, object, &auth) {
        Ok(true) => {}
        Ok(false) => return Next::After(5),
        Err(error) => return Next::Failed(format!("failed to create images: {error}")),
    }
    if let Err(error) = create_templates(ctx, object, &auth) {
        return Next::Failed(format!("failed to create templates: {error}"));
    }
    if has_router {
        let name = format!("{}-cp", object.name());
        let mut one = ctx.one(&auth);
        if one.vrouter_by_name(&name).is_err() {
            match create_router(ctx, object, &auth, &name) {
                Ok(addresses) => ctx.modify(key, |object| take_addresses(object, &addresses)),
                Err(error) => return Next::Failed(format!("failed to create VR: {error}")),
            };
        }
    }
    let Some(object) = ctx.get(key) else {
        return Next::Resync;
    };
    if object.text(&["spec", "controlPlaneEndpoint", "host"]).is_empty() {
        return Next::Failed("Spec.ControlPlaneEndpoint.Host must not be empty".into());
    }
    ctx.modify(key, |object| {
        if object
            .number(&["spec", "controlPlaneEndpoint", "port"])
            .unwrap_or_default()
            == 0
        {
            object.set(&["spec", "controlPlaneEndpoint", "port"], 6443);
        }
        object.set(&["status", "ready"], true);
    });
    Next::Resync
}

/// Whether all images are there and ready.
fn create_images(ctx: &mut Ctx<'_>, object: &Object, auth: &str) -> Result<bool, OneError> {
    let mut ready = true;
    for image in object.list(&["spec", "images"]) {
        let (name, content) = (image["imageName"].as_str(), image["imageContent"].as_str());
        let (Some(name), Some(content)) = (name, content) else {
            continue;
        };
        let mut one = ctx.one(auth);
        match one.image_by_name(name) {
            // This version knows no other datastore than the first.
            Err(OneError::NotFound) => drop(one.create_image(&format!("NAME = \"{name}\"\n{content}"), 1)?),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let state = one
            .image_by_name(name)
            .and_then(|id| one.image(id))
            .map(|image| image.state.is_usable());
        ready &= state.unwrap_or(false);
    }
    Ok(ready)
}

fn create_templates(ctx: &mut Ctx<'_>, object: &Object, auth: &str) -> Result<(), OneError> {
    for template in object.list(&["spec", "templates"]) {
        let (name, content) = (
            template["templateName"].as_str(),
            template["templateContent"].as_str(),
        );
        let (Some(name), Some(content)) = (name, content) else {
            continue;
        };
        let mark = format!("{name}-{}", object.uid());
        let mut one = ctx.one(auth);
        match one.template_by_name(name) {
            Ok(id) => {
                let existing = one.template(id)?;
                if existing.template.get("CLUSTER_UID") == Some(&mark) {
                    continue;
                }
                one.delete_template(id)?;
            }
            Err(OneError::NotFound) => {}
            Err(error) => return Err(error),
        }
        one.create_template(&format!("NAME = \"{name}\"\nCLUSTER_UID = \"{mark}\"\n{content}"))?;
    }
    Ok(())
}

/// Allocates the router, then its VMs. If the second fails, the first stays: the next pass takes it for complete.
fn create_router(
    ctx: &mut Ctx<'_>,
    object: &Object,
    auth: &str,
    name: &str,
) -> Result<Vec<String>, OneError> {
    let mut one = ctx.one(auth);
    let template = one.template_by_name(object.text(&["spec", "virtualRouter", "templateName"]))?;
    let mut extra = one.template(template)?.template;
    let mut router = Template::new();
    router.set("NAME", name);
    let mut index = 0;
    for (network, only_by_default) in [("publicNetwork", true), ("privateNetwork", false)] {
        if object.at(&["spec", network]).is_none() {
            continue;
        }
        let only = object
            .at(&["spec", network, "floatingOnly"])
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(only_by_default);
        set_in_nth(
            &mut router,
            "NIC",
            index,
            "NETWORK",
            object.text(&["spec", network, "name"]),
        );
        set_in_nth(&mut router, "NIC", index, "FLOATING_IP", "YES");
        set_in_nth(
            &mut router,
            "NIC",
            index,
            "FLOATING_ONLY",
            if only { "YES" } else { "NO" },
        );
        let address = object.text(&["spec", network, "floatingIP"]);
        if address.parse::<std::net::IpAddr>().is_ok() {
            set_in_nth(&mut router, "NIC", index, "IP", address);
        }
        index += 1;
    }
    let id = one.create_vrouter(&router)?;
    let created = one.vrouter(id)?;
    let addresses = created
        .nics()
        .into_iter()
        .filter_map(|nic| nic.vrouter_ip)
        .map(|address| address.to_string())
        .collect();
    if extra.get_vector("CONTEXT").is_none() {
        return Err(OneError::Malformed(
            "Failed to get context vector: Template GetVector: key CONTEXT not found".into(),
        ));
    }
    extra.set_in("CONTEXT", "ONEAPP_VNF_HAPROXY_ENABLED", "YES");
    extra.set_in("CONTEXT", "ONEAPP_VNF_HAPROXY_ONEGATE_ENABLED", "YES");
    for (index, port) in listener_ports(object).into_iter().enumerate() {
        extra.set_in(
            "CONTEXT",
            &format!("ONEAPP_VNF_HAPROXY_LB{index}_IP"),
            "<ETH0_EP0>",
        );
        extra.set_in(
            "CONTEXT",
            &format!("ONEAPP_VNF_HAPROXY_LB{index}_PORT"),
            port.to_string(),
        );
    }
    for (key, value) in object.map(&["spec", "virtualRouter", "extraContext"]) {
        extra.set_in("CONTEXT", &key, value.as_str().unwrap_or_default());
    }
    let replicas = object.number(&["spec", "virtualRouter", "replicas"]).unwrap_or(1);
    one.instantiate_vrouter(id, replicas, template, &extra)?;
    Ok(addresses)
}

/// Ports of the load balancer, in order.
pub(crate) fn listener_ports(object: &Object) -> Vec<i64> {
    let mut ports: Vec<i64> = object
        .list(&["spec", "virtualRouter", "listenerPorts"])
        .iter()
        .filter_map(serde_json::Value::as_i64)
        .collect();
    ports.sort_unstable();
    if ports.is_empty() { vec![6443] } else { ports }
}

fn take_addresses(object: &mut Object, addresses: &[String]) {
    if object.text(&["spec", "controlPlaneEndpoint", "host"]).is_empty()
        && let Some(first) = addresses.first()
    {
        object.set(&["spec", "controlPlaneEndpoint", "host"], first.clone());
        object.set(&["spec", "controlPlaneEndpoint", "port"], 6443);
    }
    if object.at(&["spec", "privateNetwork"]).is_none() {
        return;
    }
    let index = usize::from(object.at(&["spec", "publicNetwork"]).is_some());
    for field in ["floatingIP", "gateway", "dns"] {
        let floating = object.text(&["spec", "privateNetwork", "floatingIP"]).to_owned();
        let value = if floating.is_empty() {
            addresses.get(index).cloned().unwrap_or_default()
        } else {
            floating
        };
        if object.at(&["spec", "privateNetwork", field]).is_none() {
            object.set(&["spec", "privateNetwork", field], value);
        }
    }
}

fn delete(ctx: &mut Ctx<'_>, object: &Object, auth: &str, has_router: bool) -> Result<(), OneError> {
    if !has_router {
        return Ok(());
    }
    let name = object.name();
    let mut one = ctx.one(auth);
    // A lookup that fails for another reason reads as absent: the router is left behind.
    if let Ok(id) = one.vrouter_by_name(&format!("{name}-cp")) {
        one.delete_vrouter(id)?;
    }
    match one.vrouter_by_name(&format!("{name}-lb")) {
        Ok(id) => one.delete_vrouter(id)?,
        Err(OneError::NotFound) => {}
        Err(error) => return Err(error),
    }
    match one.vnet_by_name(&format!("{name}-vr")) {
        Ok(id) => one.delete_vnet(id)?,
        Err(OneError::NotFound) => {}
        Err(error) => return Err(error),
    }
    match one.vnet_by_name(&format!("{name}-lb")) {
        Ok(id) => {
            for range in one.vnet(id)?.address_ranges {
                if let Some(address) = range.ip {
                    one.release_lease(id, &address.to_string())?;
                }
            }
            one.delete_vnet(id)
        }
        Err(OneError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}
