//! Services of type `LoadBalancer`: the cloud controller's router `<cluster>-lb` and its two reservations.

use opennebula::template::Template;
use serde_json::{Value, json};

use super::super::kube::Key;
use super::super::one::{One, OneError, set_in_nth};
use super::super::world::Ctx;
use super::nodes::CloudController;
use super::{Next, done, is_due};

pub(crate) fn reconcile(ctx: &mut Ctx<'_>, controller: &CloudController) {
    for key in ctx.store().keys("Service") {
        let Some(service) = ctx.get(&key) else { continue };
        if service.text(&["spec", "type"]) != "LoadBalancer"
            || service.at(&["status", "loadBalancer"]).is_some()
        {
            continue;
        }
        if !is_due(ctx, &service) {
            continue;
        }
        let result = ensure(&mut ctx.one(&controller.auth), controller);
        let next = match result {
            Ok(address) => {
                ctx.modify(&key, |service| {
                    service.set(&["status", "loadBalancer"], json!({"ingress": [{"ip": address}]}));
                });
                Next::Resync
            }
            Err(error) => Next::Failed(format!("failed to ensure load balancer: {error}")),
        };
        let key = Key::of(&service);
        done(ctx, "service-lb-controller", &key, service.uid(), &next);
    }
}

/// The address of the load balancer, whose parts are made as far as they are missing.
fn ensure(one: &mut One<'_>, controller: &CloudController) -> Result<String, OneError> {
    let cluster = &controller.cluster;
    let text = |path: &str| {
        controller
            .config
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (public, private) = (text("/publicNetwork/name"), text("/privateNetwork/name"));
    let primary = if public.is_empty() { &private } else { &public };
    let parent = one.vnet_by_name(primary)?;
    let replicas = controller
        .config
        .pointer("/virtualRouter/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);

    let own = format!("{cluster}-vr");
    if let Err(error) = one.vnet_by_name(&own) {
        missing(error)?;
        one.reserve(parent, &reservation(&own, replicas, 1))?;
    }
    let shared = format!("{cluster}-lb");
    let shared_id = match one.vnet_by_name(&shared) {
        Ok(id) => id,
        Err(error) => {
            missing(error)?;
            let id = one.reserve(parent, &reservation(&shared, 1, 0))?;
            let address = first_address(one, id)?;
            one.hold_lease(id, &address)?;
            id
        }
    };
    let address = first_address(one, shared_id)?;

    let router = match one.vrouter_by_name(&shared) {
        Ok(id) => id,
        Err(error) => {
            missing(error)?;
            let mut template = Template::new();
            template.set("NAME", shared.as_str());
            let mut index = 0;
            if !public.is_empty() {
                set_in_nth(&mut template, "NIC", index, "NETWORK", &own);
                index += 1;
            }
            if !private.is_empty() {
                set_in_nth(&mut template, "NIC", index, "NETWORK", &private);
                set_in_nth(&mut template, "NIC", index, "FLOATING_IP", "YES");
                set_in_nth(&mut template, "NIC", index, "FLOATING_ONLY", "NO");
            }
            one.create_vrouter(&template)?
        }
    };
    if one.vrouter(router)?.vms.is_empty() {
        let template = one.template_by_name(&text("/virtualRouter/templateName"))?;
        let mut extra = one.template(template)?.template;
        extra.set_in("CONTEXT", "ONEAPP_VNF_HAPROXY_ENABLED", "YES");
        one.instantiate_vrouter(router, replicas, template, &extra)?;
    }
    Ok(address)
}

fn missing(error: OneError) -> Result<(), OneError> {
    if error == OneError::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn first_address(one: &mut One<'_>, id: u32) -> Result<String, OneError> {
    let network = one.vnet(id)?;
    let address = network.address_ranges.iter().rev().find_map(|range| range.ip);
    address
        .map(|address| address.to_string())
        .ok_or_else(|| OneError::Malformed(format!("the reservation {} has no address", network.name)))
}

fn reservation(name: &str, size: i64, range: i64) -> Template {
    let mut template = Template::new();
    template.set("NAME", name);
    template.set("SIZE", size.to_string());
    template.set("AR_ID", range.to_string());
    template
}
