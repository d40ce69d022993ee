//! The software inside all VMs, as the sandbox sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::{Config, Fault};
use super::controllers::{self, bootstrap};
use super::kube::{Object, Store};
use super::kubectl::{self, Environment, Output};
use super::world::{Ctx, GuestVm, Home, LogLine, Node, World, is_up};
use super::{exec, seed};
use crate::guest::{Cloud, Started, VmFacts};
use crate::states::VmState;

/// Turns of the clock after which what is due at once is left for later.
const TURNS: usize = 20;

/// What lives inside the VMs: seeds, the nodes of Kubernetes clusters, and the controllers on them.
pub struct Guests {
    world: Arc<Mutex<World>>,
}

/// A view of the guests from outside, for tests and the demo. Stays valid while the sandbox owns the guests.
#[derive(Clone)]
pub struct Handle {
    world: Arc<Mutex<World>>,
}

impl Guests {
    /// Guests without any VM.
    pub fn new(config: Config) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(config))),
        }
    }

    /// A view that can be kept.
    pub fn handle(&self) -> Handle {
        Handle {
            world: Arc::clone(&self.world),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl crate::guest::Guests for Guests {
    fn vm_changed(&mut self, facts: &VmFacts, cloud: &mut dyn Cloud) {
        let now = cloud.now();
        let mut world = self.world();
        let up = is_up(facts);
        let vm = world
            .vms
            .entry(facts.id)
            .or_insert_with(|| GuestVm::new(facts.clone()));
        vm.facts = facts.clone();
        let was_up = vm.up_since.is_some();
        let booted = up && (!was_up || facts.has_booted() && facts.prev_state == VmState::Poweroff);
        if booted {
            vm.up_since = Some(now);
            vm.down_since = None;
        } else if !up && was_up {
            vm.up_since = None;
            vm.down_since = Some(now);
        }
        let stopped = was_up && !up;
        let unknown = vm.node.is_none();
        if stopped {
            world.commands.remove(&facts.id);
        }
        let mut matters = booted || stopped;
        if unknown
            && let Some(node) = recognise(&world, facts)
            && let Some(vm) = world.vms.get_mut(&facts.id)
        {
            vm.node = Some(node);
            matters = true;
        }
        if booted && seed::is_seed(facts) {
            seed::boot(&mut world, facts.id, now);
        }
        if facts.state == VmState::Done {
            world.seeds.remove(&facts.id);
            if world.vms.get(&facts.id).is_some_and(|vm| vm.node.is_none()) {
                world.vms.remove(&facts.id);
            }
        }
        if matters {
            world.wake_all(now);
        }
    }

    fn exec(&mut self, vm: &VmFacts, command: &str, stdin: &[u8], cloud: &mut dyn Cloud) -> Started {
        let now = cloud.now();
        exec::start(&mut self.world(), vm, command, stdin, now)
    }

    fn cancelled(&mut self, vm_id: u32) {
        self.world().commands.remove(&vm_id);
    }

    fn tick(&mut self, cloud: &mut dyn Cloud) {
        let now = cloud.now();
        let mut world = self.world();
        world.reads.clear();
        for _ in 0..TURNS {
            let ended = exec::go_on(&mut world, now);
            let mut worked = !ended.is_empty();
            for (vm, result) in ended {
                cloud.command_ended(vm, result);
            }
            for plane in 0..world.planes.len() {
                if world.planes[plane].wake.is_some_and(|wake| wake <= now) {
                    world.planes[plane].wake = None;
                    let mut ctx = Ctx::new(&mut world, plane, cloud);
                    controllers::reconcile(&mut ctx);
                    let next = ctx.wake;
                    if let Some(next) = next {
                        world.wake(plane, next.max(now + 1));
                    }
                    worked = true;
                }
            }
            seed::advance(&mut world, cloud);
            let more = world
                .planes
                .iter()
                .any(|plane| plane.wake.is_some_and(|wake| wake <= now))
                || world
                    .seeds
                    .values()
                    .any(|seed| seed.due.is_some_and(|due| due <= now));
            if !worked && !more {
                return;
            }
        }
    }

    fn next_wake(&self) -> Option<u64> {
        let world = self.world();
        let planes = world.planes.iter().filter_map(|plane| plane.wake);
        let seeds = world
            .seeds
            .iter()
            .filter(|(id, _)| world.up_since(**id).is_some())
            .filter_map(|(_, seed)| seed.due);
        let commands = world.commands.values().map(|command| command.due);
        planes.chain(seeds).chain(commands).min()
    }
}

/// What user data makes of a VM.
fn recognise(world: &World, facts: &VmFacts) -> Option<Node> {
    use base64::Engine as _;
    let data = facts.context("USER_DATA")?;
    let data = if facts.context("USER_DATA_ENCODING") == Some("base64") {
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).ok()?).ok()?
    } else {
        data.to_owned()
    };
    let boot = bootstrap::read(&data)?;
    let plane = world
        .planes
        .iter()
        .position(|plane| matches!(&plane.home, Home::Nodes(workload) if workload.token == boot.token))?;
    Some(Node {
        plane,
        server: boot.server,
        version: boot.version,
        labels: boot.labels,
        taints: boot.taints,
        external_cloud: boot.external_cloud,
        progress_since: None,
        joined: None,
    })
}

impl Handle {
    /// Puts a fault in force.
    pub fn break_it(&self, fault: Fault) {
        self.world().faults.0.push(fault);
    }

    /// Guests in the same state, which share nothing with these: for a [fork](crate::Sandbox::fork) of their sandbox.
    pub fn fork(&self) -> Guests {
        Guests {
            world: Arc::new(Mutex::new(self.world().clone())),
        }
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.world().faults.0.clear();
    }

    /// What the controllers have logged.
    pub fn log(&self) -> Vec<LogLine> {
        self.world().log.clone()
    }

    /// Runs kubectl in a cluster, by the name of its Cluster object: the cluster on nodes, or the seed that still
    /// manages it if `in_seed`.
    pub fn kubectl(&self, cluster: &str, in_seed: bool, arguments: &[&str], mut stdin: &[u8]) -> Output {
        let mut world = self.world();
        let found = find(&world, cluster, in_seed);
        let mut nothing = Store::new(0, 0);
        let reachable = found.is_some_and(|plane| world.api_is_up(plane));
        let store = match found {
            Some(plane) => {
                let now = world.planes[plane].store.now;
                world.wake(plane, now);
                &mut world.planes[plane].store
            }
            None => &mut nothing,
        };
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let mut environment = Environment {
            kubeconfig: Some("kind: Config\n"),
            reachable,
            stdin: &mut stdin,
        };
        kubectl::run(store, &arguments, &mut environment)
    }

    /// Objects of a kind in the cluster that a Cluster object stands for, by name.
    pub fn objects(&self, cluster: &str, in_seed: bool, kind: &str) -> Vec<Object> {
        let world = self.world();
        let Some(plane) = find(&world, cluster, in_seed) else {
            return Vec::new();
        };
        world.planes[plane].store.list(kind).cloned().collect()
    }

    /// Makes a Service of type `LoadBalancer` in a cluster. Its cloud controller then builds the router `<cluster>-lb`
    /// and its reservations.
    pub fn expose(&self, cluster: &str, service: &str) -> Output {
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": service, "namespace": "default"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]},
        });
        self.kubectl(
            cluster,
            false,
            &["apply", "-f", "-"],
            manifest.to_string().as_bytes(),
        )
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(world: &World, cluster: &str, in_seed: bool) -> Option<usize> {
    world.planes.iter().rposition(|plane| match &plane.home {
        Home::Nodes(workload) => !in_seed && workload.cluster == cluster,
        Home::Seed(_) => in_seed && plane.clusters.contains_key(cluster),
    })
}
