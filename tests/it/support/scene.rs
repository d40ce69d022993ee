//! A cluster of alice's among bystanders, watched at every event; and its end in all ways, from any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oneks_core::status::{Group, Status};
use oneks_sandbox::capi::kube::Object;
use oneks_sandbox::capi::{self, Handle};
use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, Guests, Sandbox, Vm, When};
use serde_json::{Value, json};

use super::bystanders::Bystanders;
use super::life::{Life, ONEADMIN};
use super::prefix::SERVER_SECRET;
use super::rights;

/// Number of the cluster's document: the second, and one that is the beginning of other numbers.
const CLUSTER: u32 = 1;

/// Longest time that a deletion takes, virtual seconds.
const DELETION: u64 = 1500;

/// Time after which nothing may have come back, virtual seconds. Longer than any period of a controller or sweep.
const AFTERWARDS: u64 = 200;

/// Alice's session.
pub fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// Are all moments to be visited, in all ways? It takes long, so it has to be asked for: `ONEKS_TESTS=all`.
pub fn exhaustive() -> bool {
    std::env::var("ONEKS_TESTS").is_ok_and(|value| value == "all")
}

/// A cluster and its surroundings.
pub struct Scene {
    /// The cloud and the hooks.
    pub life: Life,
    /// The guests; none with the driver `dummy`.
    pub guests: Option<Handle>,
    /// The cluster.
    pub id: u32,
    /// The last SPEC that was ordered.
    pub spec: Value,
    /// Most VMs of each group at once, by group id.
    pub most: BTreeMap<u32, usize>,
    bystanders: Bystanders,
    explorer: Option<Explorer>,
    profiles: Option<Arc<tempfile::TempDir>>,
}

impl Scene {
    /// A cloud in which alice orders a cluster.
    pub fn new(spec: &Value) -> Self {
        Self::prepared(spec, None, |_| {})
    }

    /// A cloud, prepared like this, with these profiles, in which alice orders a cluster. It has guests if the driver
    /// needs them.
    pub fn prepared(spec: &Value, profiles: Option<tempfile::TempDir>, prepare: impl FnOnce(&Life)) -> Self {
        let config = oneks_sandbox::Config {
            server_secret: SERVER_SECRET.to_owned(),
            ..Default::default()
        };
        let (sandbox, guests) = if spec["driver"] == "capone" {
            let guests = capi::Guests::new(capi::Config {
                shim: Some(env!("CARGO_BIN_EXE_oneks-sandbox").into()),
                ..capi::Config::default()
            });
            let handle = guests.handle();
            (Sandbox::with_guests(config, Box::new(guests)), Some(handle))
        } else {
            (Sandbox::new(config), None)
        };
        let mut life = Life::of(sandbox);
        if let Some(profiles) = &profiles {
            life.service.profiles = vec![profiles.path().to_owned()];
        }
        prepare(&life);
        let bystanders = Bystanders::put(&life, CLUSTER);
        life.pass_time(1);
        life.begin_here();
        let id = life.create(&alice(), "demo", spec);
        assert_eq!(id, CLUSTER);
        Self {
            life,
            guests,
            id,
            spec: spec.clone(),
            most: BTreeMap::new(),
            bystanders,
            explorer: None,
            profiles: profiles.map(Arc::new),
        }
    }

    /// The same scene once more; from now on the two share nothing.
    pub fn fork(&self) -> Self {
        let guests = self.guests.as_ref().map(Handle::fork);
        let handle = guests.as_ref().map(capi::Guests::handle);
        Self {
            life: self
                .life
                .fork(guests.map(|guests| Box::new(guests) as Box<dyn Guests>)),
            guests: handle,
            id: self.id,
            spec: self.spec.clone(),
            most: BTreeMap::new(),
            bystanders: self.bystanders.clone(),
            explorer: None,
            profiles: self.profiles.clone(),
        }
    }

    /// Orders a change of SPEC.
    pub fn order(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.spec);
        self.life.set(&alice(), self.id, "SPEC", &self.spec.to_string());
    }

    /// Orders that what failed is tried again.
    pub fn recover(&mut self, token: &str) {
        self.life.set(&alice(), self.id, "RECOVER", token);
    }

    /// Lets things go on until the condition holds; watches at every event. Fails after `limit` virtual seconds.
    pub fn until(&mut self, what: &str, limit: u64, mut holds: impl FnMut(&Self) -> bool) {
        let end = self.life.sandbox.now() + limit;
        while !holds(self) {
            assert!(
                self.life.sandbox.now() < end,
                "{what}: not within {limit} s\n{}",
                self.report()
            );
            self.life.step(end);
            self.watch();
        }
    }

    /// Lets things go on until the cluster is in this state.
    pub fn until_state(&mut self, state: &str, limit: u64) {
        let what = format!("the cluster in {state}");
        self.until(&what, limit, |scene| scene.state() == state);
    }

    /// Lets things go on until the cluster has taken up the last order and is at rest.
    pub fn until_done(&mut self, limit: u64) {
        let wanted = oneks_core::Spec::parse(&self.spec.to_string()).unwrap();
        self.until("the order is carried out", limit, |scene| {
            scene.state() == "RUNNING" && scene.status().accepted.as_ref() == Some(&wanted)
        });
    }

    /// Lets this many virtual seconds pass, watching.
    pub fn pass_time(&mut self, seconds: u64) {
        let end = self.life.sandbox.now() + seconds;
        while self.life.sandbox.now() < end {
            self.life.step(end);
            self.watch();
        }
    }

    /// Everything that helps to understand a failure.
    fn report(&self) -> String {
        let log = self.guests.as_ref().map(Handle::log).unwrap_or_default();
        let lines: Vec<String> = log
            .iter()
            .rev()
            .take(12)
            .map(|line| format!("{line:?}\n"))
            .collect();
        self.life.report() + &lines.concat()
    }

    /// The cluster's state.
    pub fn state(&self) -> String {
        self.life.state(self.id)
    }

    /// The cluster's status.
    pub fn status(&self) -> Status {
        self.life.status(self.id)
    }

    /// When this was last noted in the history.
    pub fn since(&self, text: &str) -> u64 {
        let status = self.status();
        let found = status.history.iter().rfind(|entry| entry.text == text);
        found
            .unwrap_or_else(|| panic!("no {text:?}\n{}", self.life.report()))
            .at
    }

    /// A node group, by key.
    pub fn group(&self, key: &str) -> Group {
        let groups = self.status().node_groups;
        let found = groups.into_iter().find(|g| g.key == key && !g.removed);
        found.unwrap_or_else(|| panic!("no group {key}\n{}", self.life.report()))
    }

    /// The cluster's VMs that are neither gone nor going, of this type in their tag.
    pub fn vms(&self, kind: &str) -> Vec<Vm> {
        let mut vms = self.all_vms(kind);
        vms.retain(|vm| !is_going(vm));
        vms
    }

    /// The cluster's VMs that are not DONE, of this type in their tag.
    fn all_vms(&self, kind: &str) -> Vec<Vm> {
        let prefix = format!("oneks-{}-", self.id);
        let of = |vm: &Vm| {
            vm.meta.uname == "alice"
                && vm.meta.name.trim_start_matches("vr-").starts_with(&prefix)
                && vm.user_template.get_in("ONEKS", "TYPE") == Some(kind)
        };
        self.life.sandbox.live_vms().into_iter().filter(of).collect()
    }

    /// The VMs of a node group that are neither gone nor going.
    pub fn nodes(&self, key: &str) -> Vec<Vm> {
        let prefix = format!("oneks-{}-{key}-", self.id);
        let mut nodes = self.vms("NODE");
        nodes.retain(|vm| vm.meta.name.starts_with(&prefix));
        nodes
    }

    /// Objects in the cluster's own Kubernetes.
    pub fn objects(&self, kind: &str) -> Vec<Object> {
        let guests = self.guests.as_ref().expect("a cluster with guests");
        guests.objects(&format!("oneks-{}", self.id), false, kind)
    }

    /// The versions that Kubernetes' nodes run, with their number.
    pub fn versions(&self) -> BTreeMap<String, usize> {
        let mut versions = BTreeMap::new();
        for node in self.objects("Node") {
            let version = node.text(&["status", "nodeInfo", "kubeletVersion"]);
            *versions.entry(version.to_owned()).or_default() += 1;
        }
        versions
    }

    /// Ends a VM as a user does who doesn't ask anybody.
    pub fn terminate(&self, vm: u32) {
        let params = ["terminate-hard".into(), vm.into()];
        self.life.ask(ONEADMIN, "one.vm.action", &params);
    }

    /// From now on every `n`-th new moment is forked and the cluster deleted there; all of them if the tests are to
    /// be exhaustive.
    pub fn explore(&mut self, n: usize) {
        self.explorer = Some(Explorer::new(n));
    }

    /// How many deletions were tried since exploring began.
    pub fn explored(&self) -> usize {
        self.explorer.as_ref().map_or(0, |e| e.ends)
    }

    /// Puts bystanders beside what the cloud controller has made.
    pub fn crowd(&mut self) {
        let before = self.life.sandbox.remains();
        self.bystanders.reserve(&self.life, self.id);
        self.life.excuse_networks(&before);
    }

    /// What must hold at every event.
    fn watch(&mut self) {
        let seeds = self.all_vms("SEED").len();
        assert!(seeds <= 1, "{seeds} seeds at once\n{}", self.life.report());
        for kind in ["CONTROL_PLANE", "NODE"] {
            let mut count: BTreeMap<u32, usize> = BTreeMap::new();
            // Cluster API counts machines that go, drivers without it don't.
            let vms = if self.guests.is_some() {
                self.all_vms(kind)
            } else {
                self.vms(kind)
            };
            for vm in vms {
                let group = vm
                    .user_template
                    .get_in("ONEKS", "GROUP_ID")
                    .and_then(|id| id.parse().ok());
                *count.entry(group.unwrap_or_default()).or_default() += 1;
            }
            for (group, n) in count {
                let most = self.most.entry(group).or_default();
                *most = n.max(*most);
            }
        }
        if let Some(mut explorer) = self.explorer.take() {
            explorer.visit(self);
            self.explorer = Some(explorer);
        }
    }

    /// What is going on, in words that are the same for all moments that are alike.
    pub fn moment(&self) -> String {
        let Some(text) = self.life.attribute(self.id, "STATUS") else {
            return "no status".to_owned();
        };
        let Ok(status) = Status::parse(Some(&text), self.id) else {
            return "no status".to_owned();
        };
        let state = self.life.attribute(self.id, "STATE").unwrap_or_default();
        let mut words = vec![state];
        for group in status.groups() {
            let step = group.work.as_ref().map_or("", |w| w.step.as_str());
            words.push(format!("{} {} {step}", group.key, group.state));
            let seed = group.seed.as_ref().and_then(|s| s.report.as_deref());
            words.extend(seed.map(str::to_owned));
        }
        if let Some(exec) = &status.guest_exec {
            words.push(exec.purpose.as_str().to_owned());
        }
        let paused = status.condition("Paused").is_some();
        words.extend(paused.then(|| "paused".to_owned()));
        let mut vms = BTreeMap::new();
        for kind in ["SEED", "ROUTER", "CONTROL_PLANE", "NODE"] {
            for vm in self.all_vms(kind) {
                let state = format!("{kind} {:?} {:?}", vm.state, vm.lcm_state);
                *vms.entry(state).or_insert(0) += 1;
            }
        }
        // Numbers that grow with time are the same moment all the same.
        let text = words.join("; ");
        let text: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        format!("{text}; {vms:?}")
    }

    /// Deletes the cluster in this way. Nothing may be left, nothing come back, nobody else be touched.
    pub fn end(mut self, way: End) {
        self.explorer = None;
        let what = format!("{way:?} at [{}]", self.moment());
        let errors = self.life.errors.len();
        for part in way.lost {
            self.lose(*part);
        }
        if way.slow {
            // Each look is old when it is used: meanwhile controllers go on, and make what was not there.
            let slow = CallFault::any(When::Always, Effect::Delay(3));
            self.life.sandbox.faults(|f| f.calls.push(slow));
        }
        let id = self.id;
        match way.order {
            Order::Yes => self.life.set(&alice(), id, "DELETE", "YES"),
            Order::Force => self.life.set(&alice(), id, "DELETE", "FORCE"),
            Order::Document => drop(self.life.ask(&alice(), "one.document.delete", &[id.into()])),
        }
        self.until(&what, DELETION, |scene| {
            scene.state() == "GONE" && scene.life.left_over().is_empty()
        });
        self.life.sandbox.faults(|f| f.calls.clear());
        self.pass_time(AFTERWARDS);
        assert_eq!(self.life.left_over(), Vec::<String>::new(), "{what}");
        assert_eq!(
            self.life.errors[errors..],
            Vec::<String>::new(),
            "{what}\n{}",
            self.life.report()
        );
        self.harmless(&what);
    }

    /// Nobody else was touched, and no right overstepped.
    pub fn harmless(&self, what: &str) {
        assert_eq!(
            self.bystanders.changes(&self.life.sandbox),
            Vec::<String>::new(),
            "{what}: bystanders"
        );
        assert_eq!(
            rights::trespasses(&self.life, "alice", self.id, &self.bystanders),
            Vec::<String>::new(),
            "{what}: rights"
        );
    }

    /// Removes parts of the cluster as somebody does who knows nothing of it.
    fn lose(&self, part: Part) {
        let terminate = |kind: &str| {
            for vm in self.all_vms(kind) {
                // One that ends already can't be ended once more.
                let params = [vm.meta.id.into(), 3.into()];
                self.life.ask(ONEADMIN, "one.vm.recover", &params);
            }
        };
        match part {
            Part::Seed => terminate("SEED"),
            Part::ControlPlane => terminate("CONTROL_PLANE"),
            Part::Nodes => terminate("NODE"),
            Part::RouterVms => terminate("ROUTER"),
            Part::Routers => {
                for router in self.life.sandbox.vrouters() {
                    if router.meta.uname == "alice" && self.is_of(&router.meta.name) {
                        let params = [router.meta.id.into()];
                        self.life.ask(ONEADMIN, "one.vrouter.delete", &params);
                    }
                }
            }
            Part::Templates => {
                for template in self.life.sandbox.templates() {
                    // The mark is on nobody else's.
                    let made = template.template.get("ONEKS_FINGERPRINT").is_some();
                    if template.meta.uname == "alice" && made {
                        let params = [template.meta.id.into(), false.into()];
                        self.life.ask(ONEADMIN, "one.template.delete", &params);
                    }
                }
            }
            Part::Token => {
                for serial in 1..4 {
                    let token = self.life.service.credential(self.id, serial);
                    if self.life.sandbox.tokens("alice").contains_key(token.expose()) {
                        let params = ["alice".into(), token.expose().into(), 0.into(), (-1).into()];
                        self.life.ask(&alice(), "one.user.login", &params);
                    }
                }
            }
        }
    }

    fn is_of(&self, router: &str) -> bool {
        [format!("oneks-{}-cp", self.id), format!("oneks-{}-lb", self.id)].contains(&router.to_owned())
    }
}

/// Is it being ended?
fn is_going(vm: &Vm) -> bool {
    use oneks_sandbox::LcmState as L;
    matches!(vm.lcm_state, L::Shutdown | L::Epilog | L::CleanupDelete)
}

/// A kind of a cluster's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The seed VM.
    Seed,
    /// VMs of the control plane.
    ControlPlane,
    /// VMs of node groups.
    Nodes,
    /// VMs of the virtual routers.
    RouterVms,
    /// The virtual routers.
    Routers,
    /// The VM templates.
    Templates,
    /// The credential.
    Token,
}

impl Part {
    /// All of them, one by one.
    pub const ALL: [Self; 7] = [
        Self::Seed,
        Self::ControlPlane,
        Self::Nodes,
        Self::RouterVms,
        Self::Routers,
        Self::Templates,
        Self::Token,
    ];
}

/// How a deletion is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `DELETE=YES`.
    Yes,
    /// `DELETE=FORCE`.
    Force,
    /// `one.document.delete`.
    Document,
}

/// A way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The order.
    pub order: Order,
    /// What is removed by hand just before.
    pub lost: &'static [Part],
    /// Does every call of the hooks take its time, so that controllers go on meanwhile?
    pub slow: bool,
}

/// Simply.
pub const PLAIN: End = End {
    order: Order::Yes,
    lost: &[],
    slow: false,
};

impl End {
    /// All ways.
    pub fn all() -> Vec<Self> {
        const LOST: [&[Part]; 9] = [
            &[],
            &[Part::Seed],
            &[Part::ControlPlane],
            &[Part::Nodes],
            &[Part::RouterVms],
            &[Part::Routers],
            &[Part::Templates],
            &[Part::Token],
            &Part::ALL,
        ];
        let mut ways = Vec::new();
        for (n, lost) in LOST.into_iter().enumerate() {
            for (m, order) in [Order::Yes, Order::Force, Order::Document]
                .into_iter()
                .enumerate()
            {
                let slow = false;
                ways.push((n + 3 * m, End { order, lost, slow }));
                if lost.is_empty() {
                    let slow = true;
                    ways.push((n + 3 * m + 1, End { order, lost, slow }));
                }
            }
        }
        // Neighbours differ in everything, for those who take only some.
        ways.sort_by_key(|(n, _)| *n % 9);
        ways.into_iter().map(|(_, way)| way).collect()
    }
}

/// Forks a scene at its moments and ends the forks.
struct Explorer {
    seen: BTreeSet<String>,
    every: usize,
    ways: Vec<End>,
    ends: usize,
}

impl Explorer {
    fn new(every: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            every,
            ways: End::all(),
            ends: 0,
        }
    }

    fn visit(&mut self, scene: &Scene) {
        if !self.seen.insert(scene.moment()) {
            return;
        }
        if exhaustive() {
            self.ends += self.ways.len();
            for way in &self.ways {
                scene.fork().end(*way);
            }
        } else if self.seen.len().is_multiple_of(self.every) {
            let way = self.ways[self.ends * 5 % self.ways.len()];
            self.ends += 1;
            scene.fork().end(way);
        }
    }
}

/// A SPEC for the driver `capone`.
pub fn capone_spec(version: &str, control_plane: &str, groups: &[(&str, u32)]) -> Value {
    spec("capone", version, control_plane, groups)
}

/// A SPEC for the driver `dummy`.
pub fn dummy_spec(version: &str, control_plane: &str, groups: &[(&str, u32)]) -> Value {
    spec("dummy", version, control_plane, groups)
}

fn spec(driver: &str, version: &str, control_plane: &str, groups: &[(&str, u32)]) -> Value {
    let groups: Vec<Value> = groups.iter().map(|(name, count)| group(name, *count)).collect();
    json!({
        "kubernetes_version": version,
        "driver": driver,
        "deployment": {
            "cluster": {"id": 0},
            "networks": {"public": {"id": 0}, "private": {"id": 1}},
            "datastores": {"image": {"id": 1}},
        },
        "control_plane": {"flavour": control_plane},
        "node_groups": groups,
    })
}

/// A node group of a SPEC.
pub fn group(name: &str, count: u32) -> Value {
    json!({"name": name, "flavour": "small", "user_inputs_values": {"count": count}})
}

/// Changes the wanted number of nodes of a group.
pub fn resize(spec: &mut Value, key: &str, count: u32) {
    of(spec, key)["user_inputs_values"]["count"] = json!(count);
}

/// A node group of a SPEC, by key.
pub fn of<'a>(spec: &'a mut Value, key: &str) -> &'a mut Value {
    let groups = spec["node_groups"].as_array_mut().unwrap();
    groups.iter_mut().find(|g| g["name"] == key).unwrap()
}
