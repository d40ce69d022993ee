//! Everything that lives inside VMs: the Kubernetes clusters, the nodes, and what their controllers remember.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::{Config, FaultKind, Faults};
use super::exec::Running;
use super::kube::{Key, Object, Store};
use super::one::{One, Reads};
use super::programs::Programs;
use super::seed::Seed;
use crate::guest::{Cloud, VmFacts};
use crate::states::{LcmState, VmState};

/// A Kubernetes cluster of the simulation.
pub(crate) type PlaneId = usize;

/// Everything inside the VMs.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) faults: Faults,
    /// By their ids. A cluster that is gone stays, its VMs don't run.
    pub(crate) planes: Vec<Plane>,
    pub(crate) vms: BTreeMap<u32, GuestVm>,
    pub(crate) seeds: BTreeMap<u32, Seed>,
    /// Commands that sleep, by VM.
    pub(crate) commands: BTreeMap<u32, Running>,
    pub(crate) log: Vec<LogLine>,
    pub(crate) reads: Reads,
    /// Laid out for the first command.
    pub(crate) programs: Option<Arc<Programs>>,
}

/// A line of a controller's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When, in virtual seconds.
    pub time: u64,
    /// Who, such as `onemachine` or `seed`.
    pub controller: &'static str,
    /// Name of the object.
    pub object: String,
    /// What.
    pub message: String,
}

/// One Kubernetes cluster.
#[derive(Clone)]
pub(crate) struct Plane {
    pub(crate) store: Store,
    pub(crate) home: Home,
    /// When its controllers have something to do.
    pub(crate) wake: Option<u64>,
    /// What the controllers of objects outside the cluster remember, by UID.
    pub(crate) external: BTreeMap<String, External>,
    /// The clusters that are managed from here, by name.
    pub(crate) clusters: BTreeMap<String, PlaneId>,
}

/// Where a Kubernetes cluster lives.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    /// In a container of the seed VM.
    Seed(u32),
    /// On nodes of its own.
    Nodes(Workload),
}

/// A cluster on nodes of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workload {
    /// Name of the Cluster object.
    pub(crate) cluster: String,
    /// Secret with which nodes join.
    pub(crate) token: String,
    /// VMs that are members of etcd.
    pub(crate) members: BTreeSet<u32>,
    /// What `/etc/rancher/rke2/rke2.yaml` says.
    pub(crate) kubeconfig: String,
    /// Whether a first server has come up.
    pub(crate) initialized: bool,
}

/// What a controller remembers of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct External {
    /// Next reconciliation.
    pub(crate) due: u64,
    /// Errors in a row.
    pub(crate) failures: u32,
    /// Version of the object at the last reconciliation.
    pub(crate) seen: String,
}

/// A VM as its inside knows it.
#[derive(Clone, Debug)]
pub(crate) struct GuestVm {
    pub(crate) facts: VmFacts,
    /// Since when it runs without a break.
    pub(crate) up_since: Option<u64>,
    /// Since when it does not run.
    pub(crate) down_since: Option<u64>,
    pub(crate) node: Option<Node>,
}

/// What a VM does for a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) plane: PlaneId,
    pub(crate) server: bool,
    pub(crate) version: String,
    pub(crate) labels: Vec<String>,
    pub(crate) taints: Vec<String>,
    /// Whether the kubelet leaves the node to an external cloud controller.
    pub(crate) external_cloud: bool,
    /// Since when nothing keeps the node from installing and joining.
    pub(crate) progress_since: Option<u64>,
    /// Whether it has joined.
    pub(crate) joined: Option<u64>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            faults: Faults::default(),
            planes: Vec::new(),
            vms: BTreeMap::new(),
            seeds: BTreeMap::new(),
            commands: BTreeMap::new(),
            log: Vec::new(),
            reads: Reads::default(),
            programs: None,
        }
    }

    pub(crate) fn log(
        &mut self,
        time: u64,
        controller: &'static str,
        object: &str,
        message: impl Into<String>,
    ) {
        let message = message.into();
        log::debug!(target: "sandbox::capi", "{controller} {object}: {message}");
        self.log.push(LogLine {
            time,
            controller,
            object: object.into(),
            message,
        });
    }

    /// Makes a cluster.
    pub(crate) fn add_plane(&mut self, home: Home, cloud: &mut dyn Cloud) -> PlaneId {
        let store = Store::new(cloud.random(), cloud.now());
        self.planes.push(Plane {
            store,
            home,
            wake: None,
            external: BTreeMap::new(),
            clusters: BTreeMap::new(),
        });
        self.planes.len() - 1
    }

    /// Has the controllers of a cluster look again at a time.
    pub(crate) fn wake(&mut self, plane: PlaneId, time: u64) {
        let wake = &mut self.planes[plane].wake;
        *wake = Some(wake.map_or(time, |wake| wake.min(time)));
    }

    /// Has all controllers look again at a time.
    pub(crate) fn wake_all(&mut self, time: u64) {
        for plane in &mut self.planes {
            plane.wake = Some(plane.wake.map_or(time, |wake| wake.min(time)));
        }
    }

    /// The cluster on nodes that a plane is.
    pub(crate) fn workload(&self, plane: PlaneId) -> Option<&Workload> {
        match &self.planes[plane].home {
            Home::Nodes(workload) => Some(workload),
            Home::Seed(_) => None,
        }
    }

    pub(crate) fn workload_mut(&mut self, plane: PlaneId) -> Option<&mut Workload> {
        match &mut self.planes[plane].home {
            Home::Nodes(workload) => Some(workload),
            Home::Seed(_) => None,
        }
    }

    /// Whether a VM runs, and since when.
    pub(crate) fn up_since(&self, vm: u32) -> Option<u64> {
        self.vms.get(&vm)?.up_since
    }

    /// Whether the API server of a cluster answers on its nodes: most members of etcd are up.
    pub(crate) fn api_is_up(&self, plane: PlaneId) -> bool {
        match &self.planes[plane].home {
            Home::Seed(vm) => self.up_since(*vm).is_some(),
            Home::Nodes(workload) => {
                let up = workload
                    .members
                    .iter()
                    .filter(|vm| self.up_since(**vm).is_some())
                    .count();
                up > 0 && up * 2 > workload.members.len()
            }
        }
    }

    /// Whether controllers of a cluster work: its API server answers, and it is the one that manages.
    pub(crate) fn controllers_work(&self, plane: PlaneId) -> bool {
        self.planes[plane].store.cluster_api && self.api_is_up(plane)
    }

    /// Whether a VM of a virtual router that holds an address runs.
    pub(crate) fn router_is_up(&self, address: &str) -> bool {
        self.vms.values().any(|vm| {
            vm.up_since.is_some()
                && vm.facts.template.get_vectors("NIC").any(|nic| {
                    ["VROUTER_IP", "VROUTER_IP6_GLOBAL", "VROUTER_IP6_ULA"]
                        .iter()
                        .any(|key| opennebula::template::vector_value(nic, key) == Some(address))
                })
        })
    }

    /// Whether a name's durations are stretched.
    pub(crate) fn stretched(&self, name: &str, seconds: u64) -> u64 {
        seconds.saturating_mul(self.faults.factor(name))
    }

    pub(crate) fn has_fault(&self, name: &str, kind: &FaultKind) -> bool {
        self.faults.has(name, kind)
    }
}

impl GuestVm {
    pub(crate) fn new(facts: VmFacts) -> Self {
        Self {
            facts,
            up_since: None,
            down_since: None,
            node: None,
        }
    }

    /// First address, on the first network interface.
    pub(crate) fn address(&self) -> String {
        self.facts
            .context("ETH0_IP")
            .or_else(|| self.facts.template.get_in("NIC", "IP"))
            .unwrap_or_default()
            .to_owned()
    }
}

/// Whether the software in a VM runs in that state.
pub(crate) fn is_up(facts: &VmFacts) -> bool {
    facts.state == VmState::Active
        && (facts.lcm_state.is_hotplug()
            || matches!(
                facts.lcm_state,
                LcmState::Running
                    | LcmState::Migrate
                    | LcmState::Shutdown
                    | LcmState::ShutdownPoweroff
                    | LcmState::ShutdownUndeploy
                    | LcmState::DiskSnapshot
                    | LcmState::DiskSnapshotDelete
                    | LcmState::DiskResize
                    | LcmState::Backup
            ))
}

/// The work of one controller loop.
pub(crate) struct Ctx<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) plane: PlaneId,
    pub(crate) cloud: &'a mut dyn Cloud,
    pub(crate) now: u64,
    /// When to look again.
    pub(crate) wake: Option<u64>,
}

impl<'a> Ctx<'a> {
    pub(crate) fn new(world: &'a mut World, plane: PlaneId, cloud: &'a mut dyn Cloud) -> Self {
        let now = cloud.now();
        Self {
            world,
            plane,
            cloud,
            now,
            wake: None,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.world.planes[self.plane].store
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store {
        &mut self.world.planes[self.plane].store
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Object> {
        self.store().get(key).cloned()
    }

    pub(crate) fn modify(&mut self, key: &Key, change: impl FnOnce(&mut Object)) -> bool {
        self.store_mut().modify(key, change)
    }

    /// OpenNebula, with a credential.
    pub(crate) fn one<'b>(&'b mut self, auth: &'b str) -> One<'b> {
        One {
            cloud: &mut *self.cloud,
            auth,
            reads: &mut self.world.reads,
        }
    }

    /// Looks again at a time.
    pub(crate) fn at(&mut self, time: u64) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }

    pub(crate) fn log(&mut self, controller: &'static str, object: &str, message: impl Into<String>) {
        self.world.log(self.now, controller, object, message);
    }

    /// The cluster that a Cluster object of this plane stands for.
    pub(crate) fn workload_of(&self, cluster: &str) -> Option<PlaneId> {
        self.world.planes[self.plane].clusters.get(cluster).copied()
    }

    /// Whether the controllers here reach the API server of a managed cluster, through its endpoint.
    pub(crate) fn reaches(&self, cluster: &Object) -> bool {
        let Some(workload) = self.workload_of(cluster.name()) else {
            return false;
        };
        if !self.world.api_is_up(workload) {
            return false;
        }
        let host = cluster.text(&["spec", "controlPlaneEndpoint", "host"]);
        let one_cluster = self.store().get(&Key::new(
            "ONECluster",
            cluster.text(&["spec", "infrastructureRef", "name"]),
        ));
        if one_cluster.is_none_or(|object| object.at(&["spec", "virtualRouter"]).is_none()) {
            return !host.is_empty();
        }
        self.world.router_is_up(host) && self.has_backend(workload)
    }

    /// Whether the router has a running control plane VM among its backends.
    fn has_backend(&self, workload: PlaneId) -> bool {
        let refresh = self.world.config.timings.router_refresh;
        self.world.workload(workload).is_some_and(|workload| {
            workload
                .members
                .iter()
                .filter_map(|vm| self.world.vms.get(vm))
                .any(|vm| {
                    let listed = vm
                        .facts
                        .user_template
                        .names()
                        .any(|name| name.starts_with("ONEGATE_HAPROXY_LB"));
                    listed && vm.up_since.is_some_and(|since| self.now >= since + refresh)
                })
        })
    }
}
