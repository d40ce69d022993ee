//! CAPONE's `ONEMachine`: one VM per machine, found by its name.

use opennebula::objects::Vm;
use opennebula::template::Template;
use serde_json::json;

use super::super::config::FaultKind;
use super::super::kube::store::secret_value;
use super::super::kube::{Key, Object};
use super::super::one::{One, OneError, set_in_nth};
use super::super::world::Ctx;
use super::one_cluster::{credential, listener_ports};
use super::{Next, cluster_of, conditions, done, is_control_plane, is_due, is_paused};

const FINALIZER: &str = "onemachine.infrastructure.cluster.x-k8s.io";
const CONTROLLER: &str = "onemachine";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("ONEMachine") {
        let Some(object) = ctx.get(&key) else { continue };
        let owner = object.owner("Machine").map(|(name, _)| name.to_owned());
        let Some(machine) = owner.and_then(|name| ctx.get(&Key::new("Machine", &name))) else {
            continue;
        };
        let Some(cluster) = cluster_of(ctx, &machine) else {
            continue;
        };
        if is_paused(&cluster, &object) || ctx.world.has_fault(cluster.name(), &FaultKind::CaponeStuck) {
            continue;
        }
        let infrastructure = cluster.text(&["spec", "infrastructureRef", "name"]);
        let Some(one_cluster) = ctx.get(&Key::new("ONECluster", infrastructure)) else {
            continue;
        };
        if !is_due(ctx, &object) {
            continue;
        }
        if !object.is_deleting() {
            ctx.modify(&key, |object| object.add_finalizer(FINALIZER));
        }
        let next = match credential(ctx, &one_cluster) {
            Err(message) => Next::Failed(message),
            Ok(auth) if object.is_deleting() => delete(ctx, &key, &machine, &one_cluster, &auth),
            Ok(auth) => step(
                ctx,
                &key,
                &Parts {
                    cluster,
                    one_cluster,
                    machine,
                },
                &auth,
            ),
        };
        done(ctx, CONTROLLER, &key, object.uid(), &next);
    }
}

struct Parts {
    cluster: Object,
    one_cluster: Object,
    machine: Object,
}

fn step(ctx: &mut Ctx<'_>, key: &Key, parts: &Parts, auth: &str) -> Next {
    let router = router_id(ctx, &parts.one_cluster, auth);
    let Some(object) = ctx.get(key) else {
        return Next::Resync;
    };
    if !parts.cluster.flag(&["status", "infrastructureReady"]) {
        return Next::Resync;
    }
    let name = parts.machine.name();
    if object.at(&["spec", "providerID"]).is_some() {
        let mut one = ctx.one(auth);
        return match one.vm_by_name(name).and_then(|id| one.vm(id)) {
            Ok(vm) => {
                let address = address_of(&vm);
                ctx.modify(key, |object| {
                    set_address(object, &address);
                    object.set(&["status", "ready"], true);
                });
                Next::Resync
            }
            Err(error) => Next::Failed(format!("Failed to fetch VM: {error}")),
        };
    }
    let initialized = conditions::is_true(&parts.cluster, "ControlPlaneInitialized");
    let data = parts
        .machine
        .text(&["spec", "bootstrap", "dataSecretName"])
        .to_owned();
    if data.is_empty() {
        let waits_for_others = !is_control_plane(&parts.machine) && !initialized;
        return if waits_for_others {
            Next::Resync
        } else {
            Next::After(5)
        };
    }
    let Some(data) = ctx
        .get(&Key::new("Secret", &data))
        .and_then(|secret| secret_value(&secret, "value"))
    else {
        return Next::Failed(format!("Failed to get data secret: secrets {data:?} not found"));
    };
    let template = object.text(&["spec", "templateName"]).to_owned();
    let is_backend = object.label(super::CONTROL_PLANE).is_some();
    let mut one = ctx.one(auth);
    // Any error of the lookup reads as absent.
    let found = one.vm_by_name(name).and_then(|id| one.vm(id));
    let vm = match found {
        Ok(vm) => Ok(vm),
        Err(_) => create(
            &mut one,
            &parts.one_cluster,
            &template,
            name,
            &data,
            router,
            is_backend,
        ),
    };
    let vm = match vm {
        Ok(vm) => vm,
        Err(error) => return Next::Failed(error.to_string()),
    };
    let address = address_of(&vm);
    ctx.modify(key, |object| {
        set_address(object, &address);
        if initialized {
            object.set(&["spec", "providerID"], format!("one://{}", vm.id));
            object.set(&["status", "ready"], true);
        }
    });
    if initialized { Next::Resync } else { Next::After(5) }
}

fn router_id(ctx: &mut Ctx<'_>, one_cluster: &Object, auth: &str) -> Option<u32> {
    one_cluster.at(&["spec", "virtualRouter"])?;
    let mut one = ctx.one(auth);
    let id = one.vrouter_by_name(&format!("{}-cp", one_cluster.name())).ok()?;
    one.vrouter(id).ok().map(|router| router.id)
}

fn create(
    one: &mut One<'_>,
    one_cluster: &Object,
    template_name: &str,
    name: &str,
    user_data: &str,
    router: Option<u32>,
    is_backend: bool,
) -> Result<Vm, OneError> {
    use base64::Engine as _;
    let failed = |what: &str, error: OneError| OneError::Malformed(format!("{what}: {error}"));
    let id = one
        .template_by_name(template_name)
        .map_err(|error| failed("Failed to find VM template", error))?;
    let mut template = one
        .template(id)
        .map_err(|error| failed("Failed to fetch VM template", error))?
        .template;
    template.set("NAME", name);
    let network = if one_cluster.at(&["spec", "privateNetwork"]).is_some() {
        "privateNetwork"
    } else {
        "publicNetwork"
    };
    if one_cluster.at(&["spec", network]).is_some() {
        set_in_nth(
            &mut template,
            "NIC",
            0,
            "NETWORK",
            one_cluster.text(&["spec", network, "name"]),
        );
        for (key, field) in [("GATEWAY", "gateway"), ("DNS", "dns")] {
            let value = one_cluster.text(&["spec", network, field]);
            if !value.is_empty() {
                set_in_nth(&mut template, "NIC", 0, key, value);
            }
        }
    }
    if template.get_vector("CONTEXT").is_none() {
        return Err(OneError::Malformed(
            "Failed to get context vector: Template GetVector: key CONTEXT not found".into(),
        ));
    }
    let backend = is_backend && one_cluster.at(&["spec", "virtualRouter"]).is_some();
    if backend {
        template.set_in("CONTEXT", "BACKEND", "YES");
    }
    template.set_in("CONTEXT", "USER_DATA_ENCODING", "base64");
    let encoded = base64::engine::general_purpose::STANDARD.encode(user_data);
    template.set_in("CONTEXT", "USER_DATA", encoded);
    let id = one
        .create_vm(&template)
        .map_err(|error| failed("Failed to create VM", error))?;
    let vm = one.vm(id).map_err(|error| failed("Failed to create VM", error))?;
    if backend {
        let mut update = Template::new();
        for (index, port) in listener_ports(one_cluster).into_iter().enumerate() {
            let mut set =
                |key: &str, value: String| update.set(&format!("ONEGATE_HAPROXY_LB{index}_{key}"), value);
            if let Some(router) = router {
                set("ID", router.to_string());
            }
            set("IP", "<ETH0_EP0>".into());
            set("PORT", port.to_string());
            set("SERVER_HOST", address_of(&vm));
            set("SERVER_PORT", port.to_string());
        }
        one.update_vm(id, &update)
            .map_err(|error| failed("Failed to update VM", error))?;
    }
    Ok(vm)
}

fn address_of(vm: &Vm) -> String {
    vm.template
        .get_in("CONTEXT", "ETH0_IP")
        .unwrap_or_default()
        .to_owned()
}

fn set_address(object: &mut Object, address: &str) {
    object.set(
        &["status", "addresses"],
        json!([{"type": "ExternalIP", "address": address}, {"type": "InternalIP", "address": address}]),
    );
}

fn delete(ctx: &mut Ctx<'_>, key: &Key, machine: &Object, one_cluster: &Object, auth: &str) -> Next {
    router_id(ctx, one_cluster, auth);
    let blind = ctx.world.has_fault(one_cluster.name(), &FaultKind::CaponeBlind);
    let mut one = ctx.one(auth);
    // A lookup that fails drops the finalizer too: the VM is left behind.
    if !blind
        && let Ok(vm) = one.vm_by_name(machine.name()).and_then(|id| one.vm(id))
        && let Err(error) = one.terminate_vm(vm.id)
    {
        return Next::Failed(format!(
            "failed to delete ONEMachine: Failed to delete VM: {error}"
        ));
    }
    ctx.modify(key, |object| object.remove_finalizer(FINALIZER));
    Next::Resync
}
