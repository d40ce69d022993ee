//! The RKE2 control plane: one machine after another, never more than one too many, never without a majority.

use serde_json::{Map, Value, json};

use super::super::kube::store::secret;
use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::{
    CLONED_FROM, CLUSTER_NAME, CONTROL_PLANE, DELETE_MACHINE, cluster, cluster_of, is_control_plane,
    is_paused, machines_of, remediation,
};

const FINALIZER: &str = "rke2.controlplane.cluster.x-k8s.io";
/// Annotation of a machine with the server configuration that it was made with.
const SERVER_CONFIG: &str = "controlplane.cluster.x-k8s.io/rke2-server-configuration";
/// Annotation that holds a machine until its member has left etcd.
pub(crate) const HOOK: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/rke2-cleanup";
/// Annotation of the control plane: a machine is being replaced.
pub(crate) const REMEDIATING: &str = "controlplane.cluster.x-k8s.io/remediation-in-progress";

/// Fields of the specification that end up in the bootstrap configuration.
const BOOTSTRAP_FIELDS: [&str; 6] = [
    "agentConfig",
    "files",
    "gzipUserData",
    "postRKE2Commands",
    "preRKE2Commands",
    "privateRegistriesConfig",
];

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
        update_status(ctx, &key, &cluster);
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
    examine_members(ctx, key, cluster, &machines);
    let machines = owned_machines(ctx, cluster.name());
    if release_member(ctx, cluster, &machines) || remediation::reconcile(ctx, key, cluster, &machines) {
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

fn add_machine(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let Some(control_plane) = ctx.get(key) else { return };
    let template = control_plane
        .text(&["spec", "machineTemplate", "infrastructureRef", "name"])
        .to_owned();
    let Some(template) = ctx.get(&Key::new("ONEMachineTemplate", &template)) else {
        ctx.log(
            "rke2controlplane",
            &key.name,
            format!("failed to clone infrastructure template: {template} not found"),
        );
        ctx.at(now + 20);
        return;
    };
    let mut labels = Map::new();
    labels.insert(CLUSTER_NAME.into(), json!(cluster.name()));
    labels.insert(CONTROL_PLANE.into(), json!(""));
    labels.insert(
        "cluster.x-k8s.io/control-plane-name".into(),
        json!(control_plane.name()),
    );

    let name = ctx.store_mut().generate_name(&format!("{}-", template.name()));
    let mut infrastructure = Object::new(template.api_version(), "ONEMachine", "default", &name);
    infrastructure.set(
        &["spec"],
        template
            .at(&["spec", "template", "spec"])
            .cloned()
            .unwrap_or_default(),
    );
    infrastructure.set(&["metadata", "annotations", CLONED_FROM], template.name());
    infrastructure.set(&["metadata", "labels"], labels.clone());
    infrastructure.add_owner(&control_plane, false);
    let infrastructure = ctx.store_mut().insert(infrastructure);

    let name = ctx
        .store_mut()
        .generate_name(&format!("{}-", control_plane.name()));
    let mut config = Object::new(
        "bootstrap.cluster.x-k8s.io/v1beta1",
        "RKE2Config",
        "default",
        &name,
    );
    config.set(&["spec"], bootstrap_spec(&control_plane));
    config.set(&["metadata", "labels"], labels.clone());
    config.add_owner(&control_plane, false);
    let config = ctx.store_mut().insert(config);

    let name = ctx
        .store_mut()
        .generate_name(&format!("{}-", control_plane.name()));
    let mut machine = Object::new("cluster.x-k8s.io/v1beta1", "Machine", "default", &name);
    let drain = |field: &str| {
        control_plane
            .at(&["spec", "machineTemplate", field])
            .cloned()
            .unwrap_or_default()
    };
    machine.set(&["metadata", "labels"], labels);
    machine.set(
        &["metadata", "annotations", SERVER_CONFIG],
        server_config(&control_plane),
    );
    machine.set(&["metadata", "annotations", HOOK], "");
    if let Some(remediation) = control_plane.annotation(REMEDIATING) {
        machine.set(
            &[
                "metadata",
                "annotations",
                "controlplane.cluster.x-k8s.io/remediation-for",
            ],
            remediation,
        );
    }
    machine.set(
        &["spec"],
        json!({
            "clusterName": cluster.name(),
            "version": control_plane.text(&["spec", "version"]),
            "bootstrap": {"configRef": config.as_reference()},
            "infrastructureRef": infrastructure.as_reference(),
            "nodeDrainTimeout": drain("nodeDrainTimeout"),
            "nodeVolumeDetachTimeout": drain("nodeVolumeDetachTimeout"),
            "nodeDeletionTimeout": drain("nodeDeletionTimeout"),
        }),
    );
    machine.add_owner(&control_plane, true);
    ctx.store_mut().insert(machine);
    ctx.modify(key, |object| {
        object.remove(&["metadata", "annotations", REMEDIATING]);
    });
    ctx.log("rke2controlplane", &key.name, format!("created machine {name}"));
}

fn bootstrap_spec(control_plane: &Object) -> Value {
    let mut spec = control_plane.map(&["spec"]);
    spec.retain(|field, _| BOOTSTRAP_FIELDS.contains(&field.as_str()));
    Value::Object(spec)
}

fn server_config(control_plane: &Object) -> String {
    Value::Object(control_plane.map(&["spec", "serverConfig"])).to_string()
}

/// Whether a machine is what the control plane asks for now. Edits of a template in place don't count.
fn is_current(ctx: &Ctx<'_>, control_plane: &Object, machine: &Object) -> bool {
    if machine.text(&["spec", "version"]) != control_plane.text(&["spec", "version"]) {
        return false;
    }
    if machine
        .annotation(SERVER_CONFIG)
        .is_some_and(|config| config != server_config(control_plane))
    {
        return false;
    }
    let config = ctx.store().get(&Key::new(
        "RKE2Config",
        machine.text(&["spec", "bootstrap", "configRef", "name"]),
    ));
    if config.is_some_and(|config| config.at(&["spec"]) != Some(&bootstrap_spec(control_plane))) {
        return false;
    }
    let infrastructure = ctx.store().get(&Key::new(
        "ONEMachine",
        machine.text(&["spec", "infrastructureRef", "name"]),
    ));
    let wanted = control_plane.text(&["spec", "machineTemplate", "infrastructureRef", "name"]);
    infrastructure
        .and_then(|object| object.annotation(CLONED_FROM))
        .is_none_or(|template| template == wanted)
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

/// Health of agents and members of etcd, as seen through the endpoint.
fn examine_members(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object, machines: &[Object]) {
    let now = ctx.now;
    let initialized = ctx
        .store()
        .get(key)
        .is_some_and(|object| object.flag(&["status", "initialized"]));
    if !machines
        .iter()
        .any(|machine| conditions::is_true(machine, "Ready"))
        || !initialized
        || !ctx.reaches(cluster)
    {
        return;
    }
    let Some(workload) = ctx.workload_of(cluster.name()) else {
        return;
    };
    let mut all_healthy = true;
    for machine in machines {
        let node = machine.text(&["status", "nodeRef", "name"]);
        if node.is_empty() {
            all_healthy = false;
            continue;
        }
        let node = ctx.world.planes[workload]
            .store
            .get(&Key::within("Node", "", node));
        let unreachable = node.is_some_and(|node| {
            node.list(&["spec", "taints"])
                .iter()
                .any(|taint| taint["key"] == "node.kubernetes.io/unreachable")
        });
        let vm = vm_of(machine);
        let is_member = ctx
            .world
            .workload(workload)
            .is_some_and(|workload| vm.is_some_and(|vm| workload.members.contains(&vm)));
        let both =
            |condition: &dyn Fn(&str) -> Condition| ["AgentHealthy", "EtcdMemberHealthy"].map(condition);
        let found = if machine.is_deleting() {
            both(&|kind| Condition::no(kind, "Info", "Deleting", ""))
        } else if node.is_none() {
            both(&|kind| Condition::no(kind, "Error", "PodFailed", "Missing node"))
        } else if unreachable {
            both(&|kind| Condition::unknown(kind, "PodInspectionFailed", "Node is unreachable"))
        } else if is_member {
            both(&|kind| Condition::yes(kind))
        } else {
            [
                Condition::yes("AgentHealthy"),
                Condition::no(
                    "EtcdMemberHealthy",
                    "Error",
                    "EtcdMemberUnhealthy",
                    "Missing etcd member",
                ),
            ]
        };
        all_healthy &= is_member && !unreachable;
        ctx.modify(&Key::of(machine), |machine| {
            for condition in &found {
                conditions::set(machine, now, condition);
            }
        });
    }
    ctx.modify(key, |object| {
        for kind in ["ControlPlaneComponentsHealthy", "EtcdClusterHealthyCondition"] {
            let condition = if all_healthy {
                Condition::yes(kind)
            } else {
                Condition::no(kind, "Error", "ControlPlaneComponentsUnhealthy", "")
            };
            conditions::set(object, now, &condition);
        }
    });
}

/// The id of the VM behind a machine.
pub(crate) fn vm_of(machine: &Object) -> Option<u32> {
    machine
        .text(&["spec", "providerID"])
        .strip_prefix("one://")?
        .parse()
        .ok()
}

/// Takes the member of a machine that is being deleted out of etcd. Returns whether the rest must wait.
fn release_member(ctx: &mut Ctx<'_>, cluster: &Object, machines: &[Object]) -> bool {
    let now = ctx.now;
    if !machines.iter().any(Object::is_deleting) {
        return false;
    }
    ctx.at(now + 30);
    let mut waiting: Vec<&Object> = machines
        .iter()
        .filter(|machine| machine.is_deleting() && machine.annotation(HOOK).is_some())
        .filter(|machine| conditions::is_false(machine, "PreTerminateDeleteHookSucceeded"))
        .collect();
    waiting.sort_by_key(|machine| machine.text(&["metadata", "deletionTimestamp"]).to_owned());
    let Some(machine) = waiting.first() else {
        return true;
    };
    if machines.len() > 1 {
        if !ctx.reaches(cluster) {
            ctx.log(
                "rke2controlplane",
                machine.name(),
                "failed to create client to workload cluster",
            );
            return true;
        }
        if let (Some(workload), Some(vm)) = (ctx.workload_of(cluster.name()), vm_of(machine))
            && let Some(workload) = ctx.world.workload_mut(workload)
        {
            workload.members.remove(&vm);
        }
    }
    ctx.modify(&Key::of(machine), |machine| {
        machine.remove(&["metadata", "annotations", HOOK]);
    });
    true
}

fn update_status(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
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
