//! The Machine controller: from references to a node, and back.

use super::super::kube::quantity::{epoch, timestamp};
use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::bootstrap::moment;
use super::conditions::{self, Condition};
use super::{CLUSTER_NAME, cluster_of, is_control_plane, is_paused, machines_of};

/// Finalizer of machines.
pub(crate) const FINALIZER: &str = "machine.cluster.x-k8s.io";
const SUMMARY: [&str; 5] = [
    "InfrastructureReady",
    "BootstrapReady",
    "HealthCheckSucceeded",
    "OwnerRemediated",
    "DrainingSucceeded",
];

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("Machine") {
        let Some(machine) = ctx.get(&key) else { continue };
        let Some(cluster) = cluster_of(ctx, &machine) else {
            continue;
        };
        if is_paused(&cluster, &machine) {
            continue;
        }
        ctx.modify(&key, |machine| {
            machine.set(&["metadata", "labels", CLUSTER_NAME], cluster.name());
            if !machine.is_deleting() {
                machine.add_finalizer(FINALIZER);
            }
        });
        follow_references(ctx, &key);
        find_node(ctx, &key, &cluster);
        if machine.is_deleting() {
            delete(ctx, &key, &cluster);
        }
        let now = ctx.now;
        ctx.modify(&key, |machine| finish(machine, now));
    }
}

/// Bootstrap data and the VM's id, from the objects that the machine refers to.
fn follow_references(ctx: &mut Ctx<'_>, key: &Key) {
    let now = ctx.now;
    let Some(machine) = ctx.get(key) else { return };
    let config = reference(ctx, &machine, &["spec", "bootstrap", "configRef"]);
    let infrastructure = reference(ctx, &machine, &["spec", "infrastructureRef"]);
    for child in [&config, &infrastructure].into_iter().flatten() {
        own(ctx, &machine, child);
    }
    ctx.modify(key, |machine| {
        if let Some(config) = &config {
            let ready = config.flag(&["status", "ready"]);
            if machine.at(&["spec", "bootstrap", "dataSecretName"]).is_none() && ready {
                let name = config.text(&["status", "dataSecretName"]).to_owned();
                machine.set(&["spec", "bootstrap", "dataSecretName"], name);
            }
            let fallback = Condition::no("BootstrapReady", "Info", "WaitingForDataSecret", "");
            let condition = if machine.at(&["spec", "bootstrap", "dataSecretName"]).is_some() {
                machine.set(&["status", "bootstrapReady"], true);
                Condition::yes("BootstrapReady")
            } else {
                conditions::mirror("BootstrapReady", config, fallback)
            };
            conditions::set(machine, now, &condition);
        }
        if let Some(infrastructure) = &infrastructure {
            let ready = infrastructure.flag(&["status", "ready"]);
            let condition = match (ready, machine.is_deleting()) {
                (true, _) => Condition::yes("InfrastructureReady"),
                (false, false) => {
                    Condition::no("InfrastructureReady", "Info", "WaitingForInfrastructure", "")
                }
                (false, true) => Condition::no("InfrastructureReady", "Info", "Deleting", ""),
            };
            conditions::set(machine, now, &condition);
            if ready && let Some(id) = infrastructure.at(&["spec", "providerID"]) {
                machine.set(&["spec", "providerID"], id.clone());
                machine.set(&["status", "infrastructureReady"], true);
                let addresses = infrastructure.list(&["status", "addresses"]).to_vec();
                machine.set(&["status", "addresses"], addresses);
            }
        } else if machine.flag(&["status", "infrastructureReady"]) && !machine.is_deleting() {
            machine.set(&["status", "failureReason"], "InvalidConfiguration");
            machine.set(
                &["status", "failureMessage"],
                "Machine infrastructure resource has been deleted after being ready",
            );
        }
    });
}

fn reference(ctx: &Ctx<'_>, machine: &Object, path: &[&str]) -> Option<Object> {
    let reference = machine.at(path)?;
    ctx.get(&Key::new(
        reference["kind"].as_str()?,
        reference["name"].as_str()?,
    ))
}

/// The machine becomes the only owner of what was made for it.
fn own(ctx: &mut Ctx<'_>, machine: &Object, child: &Object) {
    if child.is_owned_by(machine.uid()) {
        return;
    }
    ctx.modify(&Key::of(child), |child| {
        let mut owners = child.list(&["metadata", "ownerReferences"]).to_vec();
        owners.retain(|owner| owner["kind"] != "MachineSet" && owner["kind"] != "RKE2ControlPlane");
        child.set(&["metadata", "ownerReferences"], owners);
        child.add_owner(machine, true);
        child.set(
            &["metadata", "labels", CLUSTER_NAME],
            machine.text(&["spec", "clusterName"]),
        );
    });
}

/// The node with the machine's provider id, in the cluster that the machine belongs to.
fn find_node(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let Some(machine) = ctx.get(key) else { return };
    let id = machine.text(&["spec", "providerID"]);
    if id.is_empty() {
        ctx.modify(key, |machine| {
            conditions::set(
                machine,
                now,
                &Condition::no("NodeHealthy", "Info", "WaitingForNodeRef", ""),
            );
        });
        return;
    }
    if !ctx.reaches(cluster) {
        ctx.at(now + 20);
        return;
    }
    let Some(workload) = ctx.workload_of(cluster.name()) else {
        return;
    };
    let node = ctx.world.planes[workload]
        .store
        .list("Node")
        .find(|node| node.text(&["spec", "providerID"]) == id)
        .cloned();
    let Some(node) = node else {
        ctx.modify(key, |machine| {
            let condition = if machine.at(&["status", "nodeRef"]).is_some() {
                Condition::no("NodeHealthy", "Error", "NodeNotFound", "")
            } else {
                let message = "Waiting for a node with matching ProviderID to exist";
                Condition::no("NodeHealthy", "Warning", "NodeProvisioning", message)
            };
            conditions::set(machine, now, &condition);
        });
        return;
    };
    let annotation = machine.name().to_owned();
    ctx.world.planes[workload].store.modify(&Key::of(&node), |node| {
        node.set(
            &["metadata", "annotations", "cluster.x-k8s.io/machine"],
            annotation,
        );
        let mut taints = node.list(&["spec", "taints"]).to_vec();
        taints.retain(|taint| taint["key"] != "node.cluster.x-k8s.io/uninitialized");
        node.set(&["spec", "taints"], taints);
    });
    let ready = node
        .list(&["status", "conditions"])
        .iter()
        .find(|entry| entry["type"] == "Ready");
    let condition = match ready.and_then(|entry| entry["status"].as_str()) {
        _ if machine.is_deleting() => Condition::no("NodeHealthy", "Info", "Deleting", ""),
        Some("False") => Condition::no(
            "NodeHealthy",
            "Warning",
            "NodeConditionsFailed",
            "Node condition Ready is False",
        ),
        Some("Unknown") => Condition::unknown(
            "NodeHealthy",
            "NodeConditionsFailed",
            "Node condition Ready is Unknown",
        ),
        _ => Condition::yes("NodeHealthy"),
    };
    ctx.modify(key, |machine| {
        if machine.at(&["status", "nodeRef"]).is_none() {
            machine.set(
                &["status", "nodeRef"],
                serde_json::json!({"apiVersion": "v1", "kind": "Node", "name": node.name(), "uid": node.uid()}),
            );
        }
        machine.set(&["status", "nodeInfo"], node.at(&["status", "nodeInfo"]).cloned().unwrap_or_default());
        conditions::set(machine, now, &condition);
    });
}

/// Drain, hooks, VM, bootstrap data, node.
fn delete(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let Some(machine) = ctx.get(key) else { return };
    let hooks = |prefix: &str| {
        machine
            .map(&["metadata", "annotations"])
            .keys()
            .any(|key| key.starts_with(prefix))
    };
    let with_node = node_goes_too(ctx, cluster, &machine);
    if with_node {
        if hooks("pre-drain.delete.hook.machine.cluster.x-k8s.io") {
            ctx.modify(key, |machine| {
                let condition =
                    Condition::no("PreDrainDeleteHookSucceeded", "Info", "WaitingExternalHook", "");
                conditions::set(machine, now, &condition);
            });
            return;
        }
        if !drained(ctx, key, cluster, &machine) {
            return;
        }
    }
    if hooks("pre-terminate.delete.hook.machine.cluster.x-k8s.io") {
        ctx.modify(key, |machine| {
            let condition = Condition::no(
                "PreTerminateDeleteHookSucceeded",
                "Info",
                "WaitingExternalHook",
                "",
            );
            conditions::set(machine, now, &condition);
        });
        return;
    }
    ctx.modify(key, |machine| {
        conditions::set(machine, now, &Condition::yes("PreTerminateDeleteHookSucceeded"));
    });
    for path in [
        &["spec", "infrastructureRef"][..],
        &["spec", "bootstrap", "configRef"],
    ] {
        if let Some(child) = reference(ctx, &machine, path) {
            if !child.is_deleting() {
                ctx.store_mut().delete(&Key::of(&child));
            }
            if ctx.get(&Key::of(&child)).is_some() {
                return;
            }
        }
    }
    if with_node
        && ctx.reaches(cluster)
        && let Some(workload) = ctx.workload_of(cluster.name())
    {
        let node = Key::within("Node", "", machine.text(&["status", "nodeRef", "name"]));
        ctx.world.planes[workload].store.delete(&node);
    }
    ctx.modify(key, |machine| machine.remove_finalizer(FINALIZER));
}

/// Whether the node is drained and deleted: not that of the last machine of a control plane, nor in a dying cluster.
fn node_goes_too(ctx: &Ctx<'_>, cluster: &Object, machine: &Object) -> bool {
    if machine.at(&["status", "nodeRef"]).is_none() || cluster.is_deleting() {
        return false;
    }
    let others = machines_of(ctx, cluster.name())
        .iter()
        .filter(|other| is_control_plane(other) && !other.is_deleting())
        .count();
    others > 0
}

fn drained(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object, machine: &Object) -> bool {
    let now = ctx.now;
    if conditions::is_true(machine, "DrainingSucceeded") {
        return true;
    }
    let started = epoch(machine.text(&["status", "deletion", "nodeDrainStartTime"]));
    let Some(started) = started else {
        ctx.modify(key, |machine| {
            machine.set(&["status", "deletion", "nodeDrainStartTime"], timestamp(now));
            let condition = Condition::no(
                "DrainingSucceeded",
                "Info",
                "Draining",
                "Draining the node before deletion",
            );
            conditions::set(machine, now, &condition);
        });
        let drain = ctx
            .world
            .stretched(cluster.name(), ctx.world.config.timings.drain);
        ctx.at(now + drain);
        return drain == 0;
    };
    let end = started
        + ctx
            .world
            .stretched(cluster.name(), ctx.world.config.timings.drain);
    if now < end || !ctx.reaches(cluster) {
        ctx.at(end.max(now + 20));
        if now < end {
            ctx.at(end);
        }
        return false;
    }
    if let Some(workload) = ctx.workload_of(cluster.name()) {
        let node = Key::within("Node", "", machine.text(&["status", "nodeRef", "name"]));
        ctx.world.planes[workload]
            .store
            .modify(&node, |node| node.set(&["spec", "unschedulable"], true));
    }
    ctx.modify(key, |machine| {
        conditions::set(machine, now, &Condition::yes("DrainingSucceeded"));
    });
    true
}

fn finish(machine: &mut Object, now: u64) {
    conditions::summarize(machine, now, &SUMMARY);
    let phase = if machine.is_deleting() {
        "Deleting"
    } else if machine.at(&["status", "failureReason"]).is_some() {
        "Failed"
    } else if machine.at(&["status", "nodeRef"]).is_some() && machine.flag(&["status", "infrastructureReady"])
    {
        "Running"
    } else if machine.at(&["spec", "providerID"]).is_some() {
        "Provisioned"
    } else if machine.flag(&["status", "bootstrapReady"]) {
        "Provisioning"
    } else {
        "Pending"
    };
    if machine.text(&["status", "phase"]) != phase {
        machine.set(&["status", "phase"], phase);
        machine.set(&["status", "lastUpdated"], moment(now));
    }
    let generation = machine.generation();
    machine.set(&["status", "observedGeneration"], generation);
}
