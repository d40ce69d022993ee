//! The RKE2 control plane: one machine after another, never more than one too many, never without a majority.

mod machine;
mod members;
mod status;

pub(crate) use members::vm_of;
pub(crate) use status::preflight;

use super::super::kube::store::secret;
use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::{CLUSTER_NAME, DELETE_MACHINE, cluster, is_control_plane, is_paused, machines_of, remediation};
use machine::{add_machine, is_current};

const FINALIZER: &str = "rke2.controlplane.cluster.x-k8s.io";

/// Annotation that holds a machine until its member has left etcd.
pub(crate) const HOOK: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/rke2-cleanup";

/// Annotation of the control plane: a machine is being replaced.
pub(crate) const REMEDIATING: &str = "controlplane.cluster.x-k8s.io/remediation-in-progress";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("RKE2ControlPlane") {
        let Some(control_plane) = ctx.get(&key) else {
            continue;
        };
        let owner = control_plane.owner("Cluster").map(|(name, _)| name.to_owned());
        let Some(cluster) = owner.and_then(|name| ctx.get(&Key::new("Cluster", &name))) else {
            continue;
        };
        if is_paused(&cluster, &control_plane) {
            continue;
        }
        if control_plane.is_deleting() {
            delete(ctx, &key, &cluster);
            continue;
        }
        ctx.modify(&key, |object| object.add_finalizer(FINALIZER));
        step(ctx, &key, &cluster);
        status::update_status(ctx, &key, &cluster);
        let now = ctx.now;
        if ctx
            .store()
            .get(&key)
            .is_some_and(|object| !object.flag(&["status", "ready"]))
        {
            ctx.at(now + 20);
        }
    }
}

/// Machines of the control plane, oldest first.
pub(crate) fn owned_machines(ctx: &Ctx<'_>, cluster: &str) -> Vec<Object> {
    let mut machines: Vec<Object> = machines_of(ctx, cluster)
        .into_iter()
        .filter(is_control_plane)
        .collect();
    machines.sort_by_key(|machine| {
        (
            machine.text(&["metadata", "creationTimestamp"]).to_owned(),
            machine.name().to_owned(),
        )
    });
    machines
}

fn step(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    if !cluster.flag(&["status", "infrastructureReady"]) {
        return;
    }
    ctx.modify(key, |object| {
        conditions::set(object, now, &Condition::yes("CertificatesAvailable"));
    });
    if !cluster::has_endpoint(cluster) {
        return;
    }
    let Some(control_plane) = ctx.get(key) else { return };
    keep_kubeconfig(ctx, cluster, &control_plane);
    let machines = owned_machines(ctx, cluster.name());
    // Without a ready machine the status says so instead.
    let any_ready = machines
        .iter()
        .any(|machine| conditions::is_true(machine, "Ready"));
    if any_ready && let Some(condition) = conditions::aggregate("MachinesReady", machines.iter()) {
        ctx.modify(key, |object| conditions::set(object, now, &condition));
    }
    members::examine_members(ctx, key, cluster, &machines);
    let machines = owned_machines(ctx, cluster.name());
    if members::release_member(ctx, cluster, &machines)
        || remediation::reconcile(ctx, key, cluster, &machines)
    {
        return;
    }
    scale(ctx, key, cluster);
}

fn scale(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let machines = owned_machines(ctx, cluster.name());
    let Some(control_plane) = ctx.get(key) else { return };
    let desired = wanted(&control_plane);
    let count = machines.len();
    let outdated: Vec<Object> = machines
        .iter()
        .filter(|machine| !machine.is_deleting() && !is_current(ctx, &control_plane, machine))
        .cloned()
        .collect();
    if !outdated.is_empty() {
        let message = format!(
            "Rolling {} replicas with outdated spec ({} replicas up to date)",
            outdated.len(),
            count - outdated.len()
        );
        ctx.modify(key, |object| {
            let condition = Condition::no(
                "MachinesSpecUpToDate",
                "Warning",
                "RollingUpdateInProgress",
                message,
            );
            conditions::set(object, now, &condition);
        });
        if !control_plane.flag(&["status", "initialized"]) || !ctx.reaches(cluster) {
            return;
        }
        let surge = control_plane
            .number(&["spec", "rolloutStrategy", "rollingUpdate", "maxSurge"])
            .unwrap_or(1);
        if count < desired + usize::try_from(surge).unwrap_or(0) {
            scale_up(ctx, key, cluster, &machines);
        } else {
            scale_down(ctx, cluster, &machines, &outdated);
        }
        return;
    }
    ctx.modify(key, |object| {
        if conditions::get(object, "MachinesSpecUpToDate").is_some() {
            conditions::set(object, now, &Condition::yes("MachinesSpecUpToDate"));
        }
    });
    match count.cmp(&desired) {
        std::cmp::Ordering::Less if count == 0 => {
            ctx.modify(key, |object| {
                conditions::set(
                    object,
                    now,
                    &Condition::no("Available", "Info", "WaitingForRKE2Server", ""),
                );
            });
            add_machine(ctx, key, cluster);
        }
        std::cmp::Ordering::Less => scale_up(ctx, key, cluster, &machines),
        std::cmp::Ordering::Greater => scale_down(ctx, cluster, &machines, &[]),
        std::cmp::Ordering::Equal => {}
    }
}

fn wanted(control_plane: &Object) -> usize {
    usize::try_from(control_plane.number(&["spec", "replicas"]).unwrap_or(1)).unwrap_or(0)
}

fn scale_up(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object, machines: &[Object]) {
    if is_stable(ctx, cluster, machines, None) {
        add_machine(ctx, key, cluster);
    }
}

fn scale_down(ctx: &mut Ctx<'_>, cluster: &Object, machines: &[Object], outdated: &[Object]) {
    let annotated = |machines: &[Object]| -> Vec<Object> {
        machines
            .iter()
            .filter(|machine| machine.annotation(DELETE_MACHINE).is_some())
            .cloned()
            .collect()
    };
    let unready: Vec<Object> = machines
        .iter()
        .filter(|machine| !conditions::is_true(machine, "Ready"))
        .cloned()
        .collect();
    let candidates = [
        annotated(outdated),
        annotated(machines),
        outdated.to_vec(),
        unready,
        machines.to_vec(),
    ];
    let victim = candidates
        .into_iter()
        .find(|list| !list.is_empty())
        .and_then(|list| list.into_iter().next());
    let Some(victim) = victim else { return };
    if !is_stable(ctx, cluster, machines, Some(victim.name())) || !ctx.reaches(cluster) {
        return;
    }
    ctx.log("rke2controlplane", victim.name(), "deleting the machine");
    ctx.store_mut().delete(&Key::of(&victim));
}

/// Whether the control plane may grow or shrink: no machine is on its way out, and all are healthy.
fn is_stable(ctx: &mut Ctx<'_>, cluster: &Object, machines: &[Object], except: Option<&str>) -> bool {
    let now = ctx.now;
    if machines.iter().any(Object::is_deleting) {
        ctx.at(now + 30);
        return false;
    }
    let sick = machines
        .iter()
        .filter(|machine| Some(machine.name()) != except)
        .find(|machine| {
            ["AgentHealthy", "EtcdMemberHealthy"]
                .iter()
                .any(|kind| !conditions::is_true(machine, kind))
        });
    if let Some(machine) = sick {
        let name = machine.name().to_owned();
        ctx.log(
            "rke2controlplane",
            cluster.name(),
            format!("waiting for machine {name} to pass preflight checks"),
        );
        ctx.at(now + 15);
        return false;
    }
    true
}

fn keep_kubeconfig(ctx: &mut Ctx<'_>, cluster: &Object, control_plane: &Object) {
    let name = format!("{}-kubeconfig", cluster.name());
    if ctx.get(&Key::new("Secret", &name)).is_some() {
        return;
    }
    let host = cluster.text(&["spec", "controlPlaneEndpoint", "host"]);
    let port = cluster
        .number(&["spec", "controlPlaneEndpoint", "port"])
        .unwrap_or(6443);
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {0}\n  cluster:\n    server: https://{host}:{port}\n",
        cluster.name()
    );
    let mut object = secret("default", &name, "cluster.x-k8s.io/secret", "value", &text);
    object.set(&["metadata", "labels", CLUSTER_NAME], cluster.name());
    object.add_owner(control_plane, true);
    ctx.store_mut().insert(object);
}

/// All machines at once, when no worker is left.
fn delete(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let all = machines_of(ctx, cluster.name());
    let owned = owned_machines(ctx, cluster.name());
    if owned.is_empty() {
        ctx.modify(key, |object| object.remove_finalizer(FINALIZER));
        return;
    }
    ctx.at(now + 30);
    if all.len() != owned.len() {
        return;
    }
    for machine in owned {
        ctx.modify(&Key::of(&machine), |machine| {
            machine.remove(&["metadata", "annotations", HOOK]);
        });
        if !machine.is_deleting() {
            ctx.store_mut().delete(&Key::of(&machine));
        }
    }
}
