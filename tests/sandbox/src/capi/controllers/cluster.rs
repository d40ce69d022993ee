//! The Cluster controller.

use serde_json::json;

use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::{CLUSTER_NAME, is_control_plane, is_paused, machines_of};

const FINALIZER: &str = "cluster.cluster.x-k8s.io";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("Cluster") {
        let Some(cluster) = ctx.get(&key) else { continue };
        if is_paused(&cluster, &cluster) {
            continue;
        }
        if cluster.is_deleting() {
            delete(ctx, &key, &cluster);
        } else {
            observe(ctx, &key, &cluster);
        }
    }
}

fn observe(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let infrastructure = referenced(ctx, cluster, "infrastructureRef");
    let control_plane = referenced(ctx, cluster, "controlPlaneRef");
    for child in [&infrastructure, &control_plane].into_iter().flatten() {
        adopt(ctx, cluster, child);
    }
    ctx.modify(key, |cluster| {
        cluster.add_finalizer(FINALIZER);
        if let Some(infrastructure) = &infrastructure {
            take_infrastructure(cluster, infrastructure, now);
        }
        if let Some(control_plane) = &control_plane {
            take_control_plane(cluster, control_plane, now);
        }
        conditions::summarize(cluster, now, &["ControlPlaneReady", "InfrastructureReady"]);
        let endpoint = has_endpoint(cluster);
        let phase = match (
            cluster.flag(&["status", "infrastructureReady"]) && endpoint,
            infrastructure.is_some(),
        ) {
            (true, _) => "Provisioned",
            (false, true) => "Provisioning",
            (false, false) if cluster.at(&["spec", "infrastructureRef"]).is_some() => "Provisioning",
            (false, false) => "Pending",
        };
        cluster.set(&["status", "phase"], phase);
        let generation = cluster.generation();
        cluster.set(&["status", "observedGeneration"], generation);
    });
}

/// Whether the endpoint of the API server is known.
pub(crate) fn has_endpoint(cluster: &Object) -> bool {
    !cluster.text(&["spec", "controlPlaneEndpoint", "host"]).is_empty()
        && cluster
            .number(&["spec", "controlPlaneEndpoint", "port"])
            .unwrap_or_default()
            != 0
}

fn take_infrastructure(cluster: &mut Object, infrastructure: &Object, now: u64) {
    let ready = infrastructure.flag(&["status", "ready"]);
    let fallback = if ready {
        Condition::yes("InfrastructureReady")
    } else {
        Condition::no("InfrastructureReady", "Info", "WaitingForInfrastructure", "")
    };
    conditions::set(
        cluster,
        now,
        &conditions::mirror("InfrastructureReady", infrastructure, fallback),
    );
    if !ready && !cluster.flag(&["status", "infrastructureReady"]) {
        return;
    }
    if !has_endpoint(cluster)
        && let Some(endpoint) = infrastructure.at(&["spec", "controlPlaneEndpoint"])
    {
        cluster.set(&["spec", "controlPlaneEndpoint"], endpoint.clone());
    }
    cluster.set(&["status", "infrastructureReady"], true);
}

fn take_control_plane(cluster: &mut Object, control_plane: &Object, now: u64) {
    let ready = control_plane.flag(&["status", "ready"]);
    let fallback = if ready {
        Condition::yes("ControlPlaneReady")
    } else {
        Condition::no("ControlPlaneReady", "Info", "WaitingForControlPlane", "")
    };
    conditions::set(
        cluster,
        now,
        &conditions::mirror("ControlPlaneReady", control_plane, fallback),
    );
    if !conditions::is_true(cluster, "ControlPlaneInitialized") {
        let condition = if control_plane.flag(&["status", "initialized"]) {
            Condition::yes("ControlPlaneInitialized")
        } else {
            Condition::no(
                "ControlPlaneInitialized",
                "Info",
                "WaitingForControlPlaneProviderInitialized",
                "Waiting for control plane provider to indicate the control plane has been initialized",
            )
        };
        conditions::set(cluster, now, &condition);
    }
    if ready {
        cluster.set(&["status", "controlPlaneReady"], true);
    }
}

fn referenced(ctx: &Ctx<'_>, cluster: &Object, field: &str) -> Option<Object> {
    let (kind, name) = (
        cluster.text(&["spec", field, "kind"]),
        cluster.text(&["spec", field, "name"]),
    );
    ctx.get(&Key::new(kind, name))
}

fn adopt(ctx: &mut Ctx<'_>, cluster: &Object, child: &Object) {
    ctx.modify(&Key::of(child), |child| {
        child.add_owner(cluster, true);
        child.set(&["metadata", "labels", CLUSTER_NAME], cluster.name());
    });
}

/// Workers first, then the control plane, then what is around it.
fn delete(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    ctx.modify(key, |cluster| {
        cluster.set(&["status", "phase"], json!("Deleting"));
    });
    let name = cluster.name().to_owned();
    let mut workers = false;
    for kind in ["MachineDeployment", "MachineSet", "MachineHealthCheck"] {
        for child in ctx.store().keys(kind) {
            let Some(object) = ctx.get(&child) else { continue };
            if object.text(&["spec", "clusterName"]) == name {
                workers |= kind != "MachineHealthCheck";
                if !object.is_deleting() {
                    ctx.store_mut().delete(&child);
                }
            }
        }
    }
    let machines = machines_of(ctx, &name);
    if workers || machines.iter().any(|machine| !is_control_plane(machine)) {
        let now = ctx.now;
        ctx.at(now + 5);
        return;
    }
    for field in ["controlPlaneRef", "infrastructureRef"] {
        if let Some(child) = referenced(ctx, cluster, field) {
            if !child.is_deleting() {
                ctx.store_mut().delete(&Key::of(&child));
            }
            return;
        }
    }
    ctx.modify(key, |cluster| cluster.remove_finalizer(FINALIZER));
}
