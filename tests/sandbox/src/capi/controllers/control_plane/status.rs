//! What the control plane says of itself, and what machine sets ask of it.

use serde_json::Value;

use super::super::super::kube::{Key, Object};
use super::super::super::world::Ctx;
use super::super::cluster_of;
use super::super::conditions::{self, Condition};
use super::machine::is_current;
use super::{owned_machines, wanted};

pub(super) fn update_status(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let Some(control_plane) = ctx.get(key) else { return };
    let machines = owned_machines(ctx, cluster.name());
    let ready: Vec<&Object> = machines
        .iter()
        .filter(|machine| conditions::is_true(machine, "Ready"))
        .collect();
    let updated = machines
        .iter()
        .filter(|machine| !machine.is_deleting() && is_current(ctx, &control_plane, machine))
        .count();
    let (count, ready_count, desired) = (machines.len(), ready.len(), wanted(&control_plane));
    let kubeconfig = ctx
        .get(&Key::new("Secret", &format!("{}-kubeconfig", cluster.name())))
        .is_some();
    let reached = kubeconfig && ctx.reaches(cluster);
    let initialized = reached
        && ctx
            .workload_of(cluster.name())
            .and_then(|workload| ctx.world.workload(workload))
            .is_some_and(|workload| workload.initialized);
    let addresses: Vec<Value> = ready
        .iter()
        .filter_map(|machine| {
            machine
                .list(&["status", "addresses"])
                .first()
                .map(|address| address["address"].clone())
        })
        .collect();
    let lowest = machines
        .iter()
        .map(|machine| machine.text(&["spec", "version"]).to_owned())
        .min_by_key(|text| numbers(text));
    let resized = match count.cmp(&desired) {
        std::cmp::Ordering::Less => Some(Condition::no(
            "Resized",
            "Warning",
            "ScalingUp",
            format!("Scaling up control plane to {desired} replicas (actual {count})"),
        )),
        std::cmp::Ordering::Greater => Some(Condition::no(
            "Resized",
            "Warning",
            "ScalingDown",
            format!("Scaling down control plane to {desired} replicas (actual {count})"),
        )),
        std::cmp::Ordering::Equal if ready_count == count => Some(Condition::yes("Resized")),
        std::cmp::Ordering::Equal => None,
    };
    ctx.modify(key, |object| {
        object.set(&["status", "replicas"], count);
        object.set(&["status", "updatedReplicas"], updated);
        object.set(
            &["status", "readyReplicas"],
            if kubeconfig { ready_count } else { 0 },
        );
        object.set(
            &["status", "unavailableReplicas"],
            count - if kubeconfig { ready_count } else { 0 },
        );
        if let Some(resized) = &resized {
            conditions::set(object, now, resized);
        }
        if ready_count == 0 {
            object.set(&["status", "initialized"], initialized);
            object.set(&["status", "ready"], false);
            object.remove(&["status", "availableServerIPs"]);
            for kind in ["Available", "MachinesReady"] {
                conditions::set(
                    object,
                    now,
                    &Condition::no(kind, "Info", "WaitingForRKE2Server", ""),
                );
            }
        } else if reached {
            if initialized {
                object.set(&["status", "initialized"], true);
            }
            object.set(&["status", "availableServerIPs"], addresses);
            if ready_count == count {
                object.set(&["status", "ready"], true);
            }
            conditions::set(object, now, &Condition::yes("Available"));
            if let Some(lowest) = lowest {
                object.set(&["status", "version"], lowest);
            }
        }
        conditions::summarize(
            object,
            now,
            &["MachinesReady", "MachinesSpecUpToDate", "Resized", "Available"],
        );
        let generation = object.generation();
        object.set(&["status", "observedGeneration"], generation);
    });
}

/// The numbers in a version, for comparison.
pub(crate) fn numbers(version: &str) -> Vec<u32> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// Whether the control plane of a machine's cluster is at rest, for machine sets that want to grow.
pub(crate) fn preflight(ctx: &Ctx<'_>, object: &Object, version: &str) -> Vec<String> {
    let Some(cluster) = cluster_of(ctx, object) else {
        return Vec::new();
    };
    let name = cluster.text(&["spec", "controlPlaneRef", "name"]).to_owned();
    let Some(control_plane) = ctx.store().get(&Key::new("RKE2ControlPlane", &name)) else {
        return vec![format!("failed to get ControlPlane default/{name}")];
    };
    let wanted = control_plane.text(&["spec", "version"]);
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let current = control_plane.text(&["status", "version"]);
    let failed = |check: &str| format!("({check:?} preflight check failed)");
    if current.is_empty() {
        problems.push(format!(
            "RKE2ControlPlane default/{name} is provisioning {}",
            failed("ControlPlaneIsStable")
        ));
    } else if numbers(current) < numbers(wanted) {
        problems.push(format!(
            "RKE2ControlPlane default/{name} is upgrading {}",
            failed("ControlPlaneIsStable")
        ));
    }
    let minor = |version: &str| numbers(version).get(1).copied().unwrap_or_default();
    if !version.is_empty() {
        if minor(version) > minor(wanted) {
            problems.push(format!(
                "MachineSet version ({version}) and ControlPlane version ({wanted}) do not conform to the kubernetes \
                 version skew policy as MachineSet version is higher than ControlPlane version {}",
                failed("KubernetesVersionSkew")
            ));
        } else if minor(version) + 3 < minor(wanted) {
            problems.push(format!(
                "MachineSet version ({version}) and ControlPlane version ({wanted}) do not conform to the kubernetes \
                 version skew policy as MachineSet version is more than 3 minor versions older than the ControlPlane \
                 version {}",
                failed("KubernetesVersionSkew")
            ));
        }
    }
    problems
}
