//! What happens on the nodes of a cluster: RKE2 comes up, kubelets report, and the cloud controller of OpenNebula gives
//! nodes their provider id and takes lost ones away.

use serde_json::{Map, Value, json};

use super::super::config::FaultKind;
use super::super::kube::quantity::{epoch, timestamp};
use super::super::kube::store::secret;
use super::super::kube::{Key, Object};
use super::super::world::{Ctx, GuestVm, PlaneId};
use super::daemon_set::{self, STARTED_WITH};
use super::load_balancer;
use crate::states::VmState;

const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
const SHUTDOWN: &str = "node.cloudprovider.kubernetes.io/shutdown";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    let plane = ctx.plane;
    let ids: Vec<u32> = ctx
        .world
        .vms
        .iter()
        .filter(|(_, vm)| vm.node.as_ref().is_some_and(|node| node.plane == plane))
        .map(|(id, _)| *id)
        .collect();
    for id in ids {
        let Some(vm) = ctx.world.vms.get(&id).cloned() else {
            continue;
        };
        if vm.node.as_ref().is_some_and(|node| node.joined.is_some()) {
            report(ctx, &vm);
        } else {
            boot(ctx, &vm);
        }
    }
    if ctx.world.api_is_up(plane) {
        forget_members(ctx);
        if let Some(controller) = CloudController::running(ctx) {
            controller.reconcile(ctx);
        }
    }
}

/// Members of etcd whose nodes were deleted leave.
fn forget_members(ctx: &mut Ctx<'_>) {
    let plane = ctx.plane;
    let Some(workload) = ctx.world.workload(plane) else {
        return;
    };
    let gone: Vec<u32> = workload
        .members
        .iter()
        .copied()
        .filter(|vm| {
            let name = ctx.world.vms.get(vm).map_or("", |vm| vm.facts.name.as_str());
            ctx.store().get(&Key::within("Node", "", name)).is_none()
        })
        .collect();
    if let Some(workload) = ctx.world.workload_mut(plane) {
        workload.members.retain(|vm| !gone.contains(vm));
    }
}

/// A node installs RKE2 and joins, as long as it runs, has a way out, and finds the others.
fn boot(ctx: &mut Ctx<'_>, vm: &GuestVm) {
    let (now, plane, id) = (ctx.now, ctx.plane, vm.facts.id);
    let Some(node) = vm.node.clone() else { return };
    let Some(workload) = ctx.world.workload(plane) else {
        return;
    };
    let first = !workload.initialized;
    let cluster = workload.cluster.clone();
    let can = vm.up_since.is_some()
        && has_way_out(ctx, plane, &cluster)
        && (node.server && first || ctx.world.api_is_up(plane))
        && !ctx.world.has_fault(&vm.facts.name, &FaultKind::NodeNeverJoins);
    let timings = ctx.world.config.timings;
    let start = if first {
        timings.rke2_server_init
    } else {
        timings.rke2_join
    };
    let total = ctx.world.stretched(&vm.facts.name, timings.rke2_install + start);
    let since = node.progress_since.unwrap_or(now);
    if let Some(node) = ctx.world.vms.get_mut(&id).and_then(|vm| vm.node.as_mut()) {
        node.progress_since = can.then_some(since);
    }
    if !can {
        return;
    }
    if now < since + total {
        ctx.at(since + total);
        return;
    }
    if let Some(node) = ctx.world.vms.get_mut(&id).and_then(|vm| vm.node.as_mut()) {
        node.joined = Some(now);
    }
    if node.server {
        if let Some(workload) = ctx.world.workload_mut(plane) {
            workload.members.insert(id);
            workload.initialized = true;
        }
        ctx.store_mut().kubernetes_version.clone_from(&node.version);
        if first {
            let serving = secret(
                "kube-system",
                "rke2-serving",
                "kubernetes.io/tls",
                "tls.crt",
                "made-up",
            );
            ctx.store_mut().insert(serving);
        }
    }
    let name = vm.facts.name.clone();
    if ctx.store().get(&Key::within("Node", "", &name)).is_none() {
        let object = register(vm, &node.version, now);
        ctx.store_mut().insert(object);
    }
    ctx.log("kubelet", &name, "registered the node");
    report(
        ctx,
        &ctx.world.vms.get(&id).cloned().unwrap_or_else(|| vm.clone()),
    );
}

/// Whether nodes reach the Internet: through the router of the cluster, if it has one.
fn has_way_out(ctx: &Ctx<'_>, plane: PlaneId, cluster: &str) -> bool {
    let object = manager(ctx, plane, cluster).and_then(|manager| {
        ctx.world.planes[manager]
            .store
            .get(&Key::new("ONECluster", cluster))
    });
    object.is_none_or(|object| {
        object.at(&["spec", "virtualRouter"]).is_none()
            || ctx
                .world
                .router_is_up(object.text(&["spec", "controlPlaneEndpoint", "host"]))
    })
}

/// The cluster from which a cluster is managed.
fn manager(ctx: &Ctx<'_>, plane: PlaneId, cluster: &str) -> Option<PlaneId> {
    let manages = |candidate: &PlaneId| {
        let candidate = &ctx.world.planes[*candidate];
        candidate.clusters.get(cluster) == Some(&plane)
            && candidate.store.get(&Key::new("Cluster", cluster)).is_some()
    };
    (0..ctx.world.planes.len()).find(manages)
}

fn register(vm: &GuestVm, version: &str, now: u64) -> Object {
    let name = &vm.facts.name;
    let mut node = Object::new("v1", "Node", "", name);
    let Some(guest) = &vm.node else { return node };
    let mut labels = Map::new();
    for (key, value) in [
        ("kubernetes.io/hostname", name.as_str()),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/os", "linux"),
        ("node.kubernetes.io/instance-type", "rke2"),
    ] {
        labels.insert(key.into(), json!(value));
    }
    if guest.server {
        for role in ["control-plane", "etcd", "master"] {
            labels.insert(format!("node-role.kubernetes.io/{role}"), json!("true"));
        }
    }
    for label in &guest.labels {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(key.into(), json!(value));
    }
    let mut taints: Vec<Value> = guest.taints.iter().map(|taint| read_taint(taint)).collect();
    if guest.external_cloud {
        taints.push(json!({"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}));
    } else {
        node.set(&["spec", "providerID"], format!("rke2://{name}"));
    }
    taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
    node.set(&["metadata", "labels"], labels);
    node.set(&["spec", "taints"], taints);
    node.set(
        &["status"],
        json!({
            "addresses": [{"type": "InternalIP", "address": vm.address()}, {"type": "Hostname", "address": name}],
            "conditions": [condition("False", "KubeletNotReady", "container runtime network not ready", now)],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://2.0.5-k3s1",
                "kernelVersion": "5.15.0", "kubeProxyVersion": version, "kubeletVersion": version, "machineID": "",
                "operatingSystem": "linux", "osImage": "Ubuntu 22.04 LTS",
                "systemUUID": vm.facts.template.get_in("OS", "UUID").unwrap_or_default(),
            },
        }),
    );
    node
}

fn read_taint(text: &str) -> Value {
    let (body, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
    let (key, value) = body.split_once('=').unwrap_or((body, ""));
    json!({"key": key, "value": value, "effect": effect})
}

fn condition(status: &str, reason: &str, message: &str, now: u64) -> Value {
    json!({
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": timestamp(now), "lastTransitionTime": timestamp(now),
    })
}

/// The Ready condition: the kubelet's report, or its absence as the cluster notices it.
fn report(ctx: &mut Ctx<'_>, vm: &GuestVm) {
    let now = ctx.now;
    if !ctx.world.api_is_up(ctx.plane) {
        return;
    }
    let timings = ctx.world.config.timings;
    let joined = vm.node.as_ref().and_then(|node| node.joined).unwrap_or(now);
    let key = Key::within("Node", "", &vm.facts.name);
    let Some(node) = ctx.get(&key) else { return };
    let (status, reason, message) = if let Some(up) = vm.up_since {
        let ready = joined + ctx.world.stretched(&vm.facts.name, timings.node_ready);
        let back = if up > joined { up + timings.node_restart } else { 0 };
        let time = ready.max(back);
        if now < time {
            ctx.at(time);
            return;
        }
        ("True", "KubeletReady", "kubelet is posting ready status")
    } else {
        let time = vm.down_since.unwrap_or(now) + timings.node_grace;
        if now < time {
            ctx.at(time);
            return;
        }
        (
            "Unknown",
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
        )
    };
    let current = node
        .list(&["status", "conditions"])
        .iter()
        .find(|entry| entry["type"] == "Ready");
    if current.is_some_and(|entry| entry["status"] == status) {
        return;
    }
    ctx.log("kubelet", &vm.facts.name, format!("Ready is {status}"));
    ctx.modify(&key, |node| {
        node.set(
            &["status", "conditions"],
            json!([condition(status, reason, message, now)]),
        );
        let mut taints = node.list(&["spec", "taints"]).to_vec();
        taints.retain(|taint| taint["key"] != UNREACHABLE && taint["key"] != "node.kubernetes.io/not-ready");
        if status == "Unknown" {
            taints.push(json!({"key": UNREACHABLE, "effect": "NoSchedule"}));
            taints.push(json!({"key": UNREACHABLE, "effect": "NoExecute"}));
        }
        node.set(&["spec", "taints"], taints);
    });
}

/// The cloud controller of OpenNebula, while it runs.
pub(crate) struct CloudController {
    pub(crate) auth: String,
    pub(crate) cluster: String,
    pub(crate) config: Value,
}

impl CloudController {
    /// It runs as soon as its `DaemonSet` and its configuration are in the cluster, on nodes of the control plane. Its
    /// pods read the configuration when they start: a change of the Secret needs new pods.
    fn running(ctx: &mut Ctx<'_>) -> Option<Self> {
        let arguments = |set: &Object| -> Vec<String> {
            let containers = set.list(&["spec", "template", "spec", "containers"]).iter();
            let lists = containers.flat_map(|container| [&container["command"], &container["args"]]);
            lists
                .filter_map(Value::as_array)
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        let is_controller = |words: &[String]| {
            words
                .iter()
                .any(|word| word.ends_with("opennebula-cloud-controller-manager"))
        };
        let set = ctx
            .store()
            .list("DaemonSet")
            .find(|set| is_controller(&arguments(set)))
            .cloned()?;
        let cluster = arguments(&set)
            .iter()
            .find_map(|word| word.strip_prefix("--cluster-name=").map(str::to_owned))?;
        while daemon_set::step(ctx.store_mut(), &Key::of(&set)) {}
        let config = daemon_set::pods(ctx.store(), &set)
            .filter_map(|pod| pod.annotation(STARTED_WITH))
            .find(|text| !text.is_empty())?;
        let config: Value = serde_saphyr::from_str(config).ok()?;
        let auth = config["opennebula"]["endpoint"]["ONE_AUTH"].as_str()?.to_owned();
        Some(Self {
            auth,
            cluster,
            config: config["opennebula"].clone(),
        })
    }

    fn reconcile(&self, ctx: &mut Ctx<'_>) {
        let (now, wait) = (ctx.now, ctx.world.config.timings.cloud_controller);
        let mut visible: Option<Result<Vec<u32>, String>> = None;
        for key in ctx.store().keys("Node") {
            let Some(node) = ctx.get(&key) else { continue };
            let Some((id, vm)) = ctx.world.vms.iter().find(|(_, vm)| vm.facts.name == key.name) else {
                continue;
            };
            let (id, state, address) = (*id, vm.facts.state, vm.address());
            let has = |name: &str| {
                node.list(&["spec", "taints"])
                    .iter()
                    .any(|taint| taint["key"] == name)
            };
            let created = epoch(node.text(&["metadata", "creationTimestamp"])).unwrap_or(now);
            let is_new = has(UNINITIALIZED);
            let is_lost = has(UNREACHABLE) && !(has(SHUTDOWN) && state != VmState::Done);
            let is_back = has(SHUTDOWN) && !has(UNREACHABLE);
            if is_new && now < created + wait {
                ctx.at(created + wait);
                continue;
            }
            if is_back {
                ctx.modify(&key, |node| drop_taint(node, SHUTDOWN));
            }
            if !is_new && !is_lost {
                continue;
            }
            let visible = visible
                .get_or_insert_with(|| ctx.one(&self.auth).vm_ids().map_err(|error| error.to_string()));
            let ids = match visible {
                Ok(ids) => ids.clone(),
                Err(error) => {
                    let message = error.clone();
                    ctx.log("cloud-controller", &key.name, message);
                    ctx.at(now + 30);
                    continue;
                }
            };
            let exists = ids.contains(&id);
            if is_new && exists {
                ctx.modify(&key, |node| {
                    node.set(&["spec", "providerID"], format!("one://{id}"));
                    drop_taint(node, UNINITIALIZED);
                    node.set(
                        &["status", "addresses"],
                        json!([{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": key.name}]),
                    );
                });
            } else if is_lost && !exists {
                ctx.log(
                    "cloud-controller",
                    &key.name,
                    "deleting node because it does not exist in the cloud provider",
                );
                ctx.store_mut().delete(&key);
            } else if is_lost && matches!(state, VmState::Poweroff | VmState::Undeployed) {
                ctx.modify(&key, |node| {
                    let mut taints = node.list(&["spec", "taints"]).to_vec();
                    taints.push(json!({"key": SHUTDOWN, "effect": "NoSchedule"}));
                    node.set(&["spec", "taints"], taints);
                });
            }
        }
        load_balancer::reconcile(ctx, self);
    }
}

fn drop_taint(node: &mut Object, key: &str) {
    let mut taints = node.list(&["spec", "taints"]).to_vec();
    taints.retain(|taint| taint["key"] != key);
    node.set(&["spec", "taints"], taints);
}
