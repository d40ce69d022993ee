//! The seed appliance: it runs Cluster API until the cluster can run it itself.

use super::config::{FaultKind, SeedPhase};
use super::controllers::{CLUSTER_NAME, conditions, machines_of};
use super::kube::{Key, Object, Store};
use super::kubectl;
use super::world::{Ctx, Home, PlaneId, World};
use crate::guest::{Cloud, VmFacts};

/// Tries of what the appliance tries again.
const TRIES: u32 = 31;
/// Seconds between two tries.
const DELAY: u64 = 10;

/// A seed VM.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    /// Its management cluster, once it has been started. It survives a reboot.
    pub(crate) plane: Option<PlaneId>,
    stage: Stage,
    /// When the appliance does its next step.
    pub(crate) due: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Boot,
    Management,
    Apply {
        tries: u32,
    },
    Wait {
        deadline: u64,
    },
    Kubeconfig,
    Init,
    Move {
        tries: u32,
    },
    Finished,
    /// The script has ended, or will never go on.
    Dead,
}

/// Whether a VM is a seed.
pub(crate) fn is_seed(vm: &VmFacts) -> bool {
    ["ONEAPP_ONEKS_CLUSTER_SPEC", "ONEAPP_ONEKS_CLUSTER_NAME"]
        .iter()
        .any(|key| variable(vm, key).is_some())
}

fn variable<'a>(vm: &'a VmFacts, key: &str) -> Option<&'a str> {
    vm.context(key)
        .or_else(|| vm.user_template.get(key))
        .or_else(|| vm.template.get(key))
}

/// The appliance starts, at every boot anew.
pub(crate) fn boot(world: &mut World, vm: u32, now: u64) {
    let name = world
        .vms
        .get(&vm)
        .map(|vm| vm.facts.name.clone())
        .unwrap_or_default();
    let due = now + world.stretched(&name, world.config.timings.seed_boot);
    let seed = world.seeds.entry(vm).or_insert(Seed {
        plane: None,
        stage: Stage::Boot,
        due: None,
    });
    seed.stage = Stage::Boot;
    seed.due = Some(due);
}

/// The next steps of all seeds whose time has come.
pub(crate) fn advance(world: &mut World, cloud: &mut dyn Cloud) {
    let now = cloud.now();
    let ids: Vec<u32> = world.seeds.keys().copied().collect();
    for id in ids {
        let is_up = world.up_since(id).is_some();
        let due = world.seeds.get(&id).and_then(|seed| seed.due);
        let waits = world
            .seeds
            .get(&id)
            .is_some_and(|seed| matches!(seed.stage, Stage::Wait { .. }));
        if !is_up || !(waits || due.is_some_and(|due| due <= now)) {
            continue;
        }
        let Some(facts) = world.vms.get(&id).map(|vm| vm.facts.clone()) else {
            continue;
        };
        Step {
            world,
            cloud,
            facts: &facts,
            now,
        }
        .run();
    }
}

struct Step<'a> {
    world: &'a mut World,
    cloud: &'a mut dyn Cloud,
    facts: &'a VmFacts,
    now: u64,
}

impl Step<'_> {
    fn run(&mut self) {
        let timings = self.world.config.timings;
        let Some(seed) = self.world.seeds.get(&self.facts.id).cloned() else {
            return;
        };
        match seed.stage {
            Stage::Boot => {
                if self.world.has_fault(&self.facts.name, &FaultKind::SeedSilent) {
                    return self.go(Stage::Dead, None);
                }
                if variable(self.facts, "ONEAPP_ONEKS_CLUSTER_SPEC").is_none_or(|spec| spec.trim().is_empty())
                {
                    self.report("BOOTSTRAP_FAILURE");
                    return self.go(Stage::Dead, None);
                }
                self.begin(SeedPhase::Management, Stage::Management, timings.seed_management);
            }
            Stage::Management => {
                if seed.plane.is_none() {
                    let plane = self.world.add_plane(Home::Seed(self.facts.id), self.cloud);
                    self.world.planes[plane].store.cluster_api = true;
                    self.world.planes[plane].store.kubernetes_version = "v1.32.0".into();
                    if let Some(seed) = self.world.seeds.get_mut(&self.facts.id) {
                        seed.plane = Some(plane);
                    }
                }
                self.begin(SeedPhase::ControlPlane, Stage::Apply { tries: 0 }, 3);
            }
            Stage::Apply { tries } => self.apply(seed.plane, tries),
            Stage::Wait { deadline } => self.wait(seed.plane, deadline),
            Stage::Kubeconfig => {
                let name = format!("{}-kubeconfig", self.cluster());
                if self
                    .store(seed.plane)
                    .is_none_or(|store| store.get(&Key::new("Secret", &name)).is_none())
                {
                    return self.fail(SeedPhase::Pivoting, "failed to retrieve the kubeconfig", None);
                }
                self.after(Stage::Init, timings.seed_init);
            }
            Stage::Init => match self.reachable(seed.plane) {
                Some(workload) => {
                    self.world.planes[workload].store.cluster_api = true;
                    self.after(Stage::Move { tries: 0 }, timings.seed_move);
                }
                None => self.fail(
                    SeedPhase::Pivoting,
                    "failed to initialize Cluster API on the cluster",
                    None,
                ),
            },
            Stage::Move { tries } => self.pivot(seed.plane, tries),
            Stage::Finished | Stage::Dead => self.go(seed.stage, None),
        }
    }

    fn cluster(&self) -> String {
        variable(self.facts, "ONEAPP_ONEKS_CLUSTER_NAME")
            .unwrap_or_default()
            .to_owned()
    }

    fn store(&self, plane: Option<PlaneId>) -> Option<&Store> {
        plane.map(|plane| &self.world.planes[plane].store)
    }

    fn go(&mut self, stage: Stage, due: Option<u64>) {
        if let Some(seed) = self.world.seeds.get_mut(&self.facts.id) {
            seed.stage = stage;
            seed.due = due;
        }
    }

    fn after(&mut self, stage: Stage, seconds: u64) {
        let due = self.now + self.world.stretched(&self.facts.name, seconds);
        self.go(stage, Some(due));
    }

    /// Reports the start of a phase and does what faults say about it.
    fn begin(&mut self, phase: SeedPhase, next: Stage, seconds: u64) {
        if !self.report(phase.state()) {
            // The script's handler tries once more to report, then it ends.
            self.report(phase.failure());
            return self.go(Stage::Dead, None);
        }
        let name = self.facts.name.clone();
        if self.world.has_fault(&name, &FaultKind::SeedHangs { phase }) {
            return self.go(Stage::Dead, None);
        }
        let cause = self.world.faults.take(&name, |kind| match kind {
            FaultKind::SeedFails { phase: at, cause } if *at == phase => Some(cause.clone()),
            _ => None,
        });
        if let Some(cause) = cause {
            return self.fail(phase, "told to fail", cause);
        }
        self.after(next, seconds);
    }

    fn fail(&mut self, phase: SeedPhase, why: &str, cause: Option<String>) {
        self.world.log(self.now, "seed", &self.facts.name, why);
        if let Some(cause) = cause {
            self.put(&format!("ONEKS_ERROR_CODE={cause}"));
        }
        self.report(phase.failure());
        self.go(Stage::Dead, None);
    }

    fn report(&mut self, state: &str) -> bool {
        self.world
            .log(self.now, "seed", &self.facts.name, format!("ONEKS_STATE={state}"));
        self.put(&format!("ONEKS_STATE={state}"))
    }

    fn put(&mut self, text: &str) -> bool {
        if self.world.has_fault(&self.facts.name, &FaultKind::OneGateDown) {
            return false;
        }
        let result = self.cloud.onegate_put(self.facts.id, text);
        if let Err(error) = &result {
            self.world
                .log(self.now, "seed", &self.facts.name, format!("OneGate: {error}"));
        }
        result.is_ok()
    }

    fn apply(&mut self, plane: Option<PlaneId>, tries: u32) {
        use base64::Engine as _;
        let Some(plane) = plane else { return };
        let spec: String = variable(self.facts, "ONEAPP_ONEKS_CLUSTER_SPEC")
            .unwrap_or_default()
            .chars()
            .filter(|character| !character.is_whitespace())
            .collect();
        let manifest = base64::engine::general_purpose::STANDARD
            .decode(spec)
            .unwrap_or_default();
        self.world.planes[plane].store.now = self.now;
        let mut stdin = manifest.as_slice();
        let mut environment = kubectl::Environment {
            kubeconfig: Some("kind: Config\n"),
            reachable: true,
            stdin: &mut stdin,
        };
        let arguments = ["apply", "-f", "-"].map(str::to_owned);
        let output = kubectl::run(&mut self.world.planes[plane].store, &arguments, &mut environment);
        self.world.wake(plane, self.now);
        if output.code != 0 {
            self.world.log(
                self.now,
                "seed",
                &self.facts.name,
                format!("kubectl apply: {}", output.stderr.trim()),
            );
            if tries + 1 >= TRIES {
                return self.fail(SeedPhase::ControlPlane, "failed to deploy the cluster", None);
            }
            return self.go(Stage::Apply { tries: tries + 1 }, Some(self.now + DELAY));
        }
        let name = self.cluster();
        let store = &self.world.planes[plane].store;
        let replicas = store
            .get(&Key::new("RKE2ControlPlane", &name))
            .and_then(|object| object.number(&["spec", "replicas"]));
        let known = store.get(&Key::new("Cluster", &name)).is_some();
        match replicas
            .and_then(|replicas| u64::try_from(replicas).ok())
            .filter(|_| known)
        {
            Some(replicas) => {
                let deadline = self.now + replicas * 15 * 60;
                self.go(Stage::Wait { deadline }, Some(deadline));
            }
            None => self.fail(
                SeedPhase::ControlPlane,
                "no Cluster and RKE2ControlPlane of that name",
                None,
            ),
        }
    }

    fn wait(&mut self, plane: Option<PlaneId>, deadline: u64) {
        let name = self.cluster();
        let cluster = self
            .store(plane)
            .and_then(|store| store.get(&Key::new("Cluster", &name)));
        if cluster.is_some_and(|cluster| conditions::is_true(cluster, "ControlPlaneReady")) {
            self.begin(SeedPhase::Pivoting, Stage::Kubeconfig, 3);
        } else if self.now >= deadline {
            self.fail(
                SeedPhase::ControlPlane,
                "timed out waiting for ControlPlaneReady",
                None,
            );
        }
    }

    /// The cluster that is built, if the seed reaches it through its endpoint.
    fn reachable(&mut self, plane: Option<PlaneId>) -> Option<PlaneId> {
        let plane = plane?;
        let name = self.cluster();
        let cluster = self.world.planes[plane]
            .store
            .get(&Key::new("Cluster", &name))
            .cloned()?;
        let workload = *self.world.planes[plane].clusters.get(&name)?;
        let ctx = Ctx::new(self.world, plane, self.cloud);
        ctx.reaches(&cluster).then_some(workload)
    }

    fn pivot(&mut self, plane: Option<PlaneId>, tries: u32) {
        let Some(source) = plane else { return };
        let problem = match self.reachable(plane) {
            None => "the cluster can't be reached".to_owned(),
            Some(workload) => {
                if let Some(problem) = self.obstacle(source) {
                    problem
                } else {
                    self.move_objects(source, workload);
                    self.report("RUNNING");
                    return self.go(Stage::Finished, None);
                }
            }
        };
        let name = self.facts.name.clone();
        self.world
            .log(self.now, "seed", &name, format!("clusterctl move: {problem}"));
        if tries + 1 >= TRIES {
            return self.fail(SeedPhase::Pivoting, "failed to move the objects", None);
        }
        self.go(Stage::Move { tries: tries + 1 }, Some(self.now + DELAY));
    }

    /// What keeps `clusterctl move` from starting.
    fn obstacle(&mut self, source: PlaneId) -> Option<String> {
        let name = self.cluster();
        let ctx = Ctx::new(self.world, source, self.cloud);
        let cluster = ctx.get(&Key::new("Cluster", &name))?;
        if !cluster.flag(&["status", "infrastructureReady"]) {
            return Some(
                "cannot start the move operation while cluster infrastructure is still provisioning".into(),
            );
        }
        if !conditions::is_true(&cluster, "ControlPlaneInitialized")
            || !cluster.flag(&["status", "controlPlaneReady"])
        {
            return Some(
                "cannot start the move operation while the control plane is not yet initialized".into(),
            );
        }
        let machines = machines_of(&ctx, &name);
        let waiting = machines
            .iter()
            .find(|machine| machine.at(&["status", "nodeRef"]).is_none())?;
        Some(format!(
            "cannot start the move operation while Machine {} is still provisioning the node",
            waiting.name()
        ))
    }

    /// Objects get new UIDs and lose their status; owners follow.
    fn move_objects(&mut self, source: PlaneId, target: PlaneId) {
        let name = self.cluster();
        let keys: Vec<Key> = self.world.planes[source]
            .store
            .iter()
            .filter(|object| is_moved(object, &name))
            .map(Key::of)
            .collect();
        let mut objects = self.world.planes[source].store.take(&keys);
        let old: Vec<String> = objects.iter().map(|object| object.uid().to_owned()).collect();
        let store = &mut self.world.planes[target].store;
        store.now = self.now;
        for object in &mut objects {
            object.remove(&["status"]);
            *object = store.insert(object.clone());
        }
        let new: Vec<String> = objects.iter().map(|object| object.uid().to_owned()).collect();
        for object in &objects {
            store.modify(&Key::of(object), |object| {
                let mut owners = object.list(&["metadata", "ownerReferences"]).to_vec();
                for owner in &mut owners {
                    let index = old.iter().position(|uid| owner["uid"] == uid.as_str());
                    if let Some(index) = index {
                        owner["uid"] = new[index].clone().into();
                    }
                }
                if !owners.is_empty() {
                    object.set(&["metadata", "ownerReferences"], owners);
                }
            });
        }
        self.world.planes[source].clusters.remove(&name);
        self.world.planes[target].clusters.insert(name, target);
        self.world.wake(target, self.now);
        self.world.log(
            self.now,
            "seed",
            &self.facts.name,
            format!("moved {} objects", objects.len()),
        );
    }
}

/// Everything of Cluster API, and Secrets and `ConfigMaps` that belong to the cluster.
fn is_moved(object: &Object, cluster: &str) -> bool {
    if object.namespace() != "default" {
        return false;
    }
    let is_custom = super::kube::kinds::named(object.kind()).is_some_and(|kind| kind.cluster_api);
    let belongs = matches!(object.kind(), "Secret" | "ConfigMap")
        && (object.label(CLUSTER_NAME) == Some(cluster)
            || object.name().starts_with(&format!("{cluster}-"))
            || !object.list(&["metadata", "ownerReferences"]).is_empty());
    is_custom || belongs
}
