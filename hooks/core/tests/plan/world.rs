//! A cloud in memory: virtual machines with their states, routers, templates, guests that run scripts, and something
//! like Cluster API in the cluster. Time passes only when a test says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use oneks_core::action::Action;
use oneks_core::names::{CommandToken, Names};
use oneks_core::observed::{
    self, Cloud, CloudCluster, CloudNetwork, Failure, FailureKind, GuestCommand, Progress, Router, Tag,
    Template, Vm,
};
use oneks_core::plan::{FINGERPRINT_ATTRIBUTE, Outcome};
use oneks_driver::{Node, Output, VmCondition};
use serde_json::{Value, json};

use crate::driver::Kind;

pub const ID: u32 = 24;
pub const OWNER: u32 = 3;

/// How the seed VM behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedMood {
    Works,
    Fails,
    Silent,
    Hangs,
    /// It makes the control plane, and never hands it over.
    Keeps,
}

/// What happens to guest commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandMood {
    Works,
    /// They end with an error.
    Fails,
    /// They never end.
    Hangs,
}

/// Calls that fail: those whose summary has this in it, so many times.
#[derive(Debug, Clone)]
pub struct Fault {
    pub what: &'static str,
    pub kind: FailureKind,
    pub left: usize,
}

/// The cluster's document.
#[derive(Debug, Clone, Default)]
pub struct Doc {
    pub spec: String,
    pub recover: Option<String>,
    pub rotate: Option<String>,
    pub delete: Option<String>,
    pub status: Option<String>,
    pub kubeconfig: Option<String>,
    pub owner: u32,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub vm: Vm,
    pub since: u64,
    pub version: String,
    script: Option<Script>,
}

/// A script that runs in a guest.
#[derive(Debug, Clone)]
struct Script {
    /// What is left of it, and the mark in front of each part but the first.
    parts: Vec<String>,
    mark: String,
    /// What it has printed.
    stdout: String,
    begun: u64,
    /// When it ends, or looks again.
    due: u64,
}

/// An object of Cluster API.
#[derive(Debug, Clone)]
struct Object {
    id: u32,
    replicas: u32,
    version: String,
    deleting: bool,
}

#[derive(Debug, Clone)]
pub struct World {
    pub kind: Kind,
    pub now: u64,
    next: u32,
    pub doc: Option<Doc>,
    pub machines: BTreeMap<u32, Machine>,
    pub gone: BTreeMap<u32, Vm>,
    pub routers: Vec<Router>,
    pub templates: Vec<Template>,
    /// The cluster's credentials and when they end.
    pub credentials: BTreeMap<u32, Option<u64>>,
    /// Other login tokens of the owner.
    pub tokens: usize,
    /// How long login tokens live.
    pub lifetime: Option<u64>,
    /// The credential that goes into texts.
    pub filled: u32,
    /// The credential that the cluster's Secrets hold, and since when.
    pub uses: Option<(u32, u64)>,
    objects: BTreeMap<String, Object>,
    manifest: Option<Value>,
    /// Do the nodes themselves hold the cluster's objects?
    owned: bool,
    pub seed: SeedMood,
    pub commands: CommandMood,
    pub frozen: bool,
    pub faults: Vec<Fault>,
    pub log: Vec<String>,
    pub scripts: Vec<String>,
    pub writes: usize,
    pub looks: usize,
    /// VMs whose events the next pass hears of.
    pub hints: BTreeSet<u32>,
    /// How often a cluster at rest is asked; never, unless a test says so.
    pub probe_every: u64,
    /// Nodes whose kubelet has stopped, by VM id.
    pub sick: BTreeSet<u32>,
    /// VMs that never run: part of the name, what becomes of them, state, and what OpenNebula says.
    pub stuck: Option<(&'static str, VmCondition, &'static str, &'static str)>,
    /// Addresses that somebody else has.
    pub taken: BTreeSet<String>,
    /// How many of the next machines that Cluster API deletes it forgets without ending their VMs.
    pub forgets: usize,
    /// VMs that it has forgotten.
    pub forgotten: BTreeSet<u32>,
    /// VMs that the hooks have ended although Cluster API knew them.
    pub wronged: Vec<String>,
    /// Are Cluster API's objects elsewhere, so that nobody here sees them?
    pub hidden: bool,
}

impl World {
    pub fn new(kind: Kind, spec: &str) -> Self {
        Self {
            kind,
            now: 1_000_000,
            next: 100,
            doc: Some(Doc {
                spec: spec.to_owned(),
                owner: OWNER,
                ..Doc::default()
            }),
            machines: BTreeMap::new(),
            gone: BTreeMap::new(),
            routers: Vec::new(),
            templates: Vec::new(),
            credentials: BTreeMap::new(),
            tokens: 0,
            lifetime: None,
            filled: 1,
            uses: None,
            objects: BTreeMap::new(),
            manifest: None,
            owned: false,
            seed: SeedMood::Works,
            commands: CommandMood::Works,
            frozen: false,
            faults: Vec::new(),
            log: Vec::new(),
            scripts: Vec::new(),
            writes: 0,
            looks: 0,
            hints: BTreeSet::new(),
            probe_every: 0,
            sick: BTreeSet::new(),
            stuck: None,
            taken: BTreeSet::new(),
            forgets: 0,
            forgotten: BTreeSet::new(),
            wronged: Vec::new(),
            hidden: false,
        }
    }

    pub fn cloud() -> Cloud {
        let network = |id: u32, name: &str| CloudNetwork {
            id,
            name: name.to_owned(),
        };
        Cloud {
            cluster: Some(CloudCluster {
                hosts: [0].into(),
                datastores: [1].into(),
                networks: [0, 1].into(),
            }),
            networks: vec![network(0, "public"), network(1, "private")],
            images: Vec::new(),
            may_create: ["TEMPLATE", "VM", "VROUTER"].map(str::to_owned).into(),
            xmlrpc: "http://one:2633/RPC2".to_owned(),
        }
    }

    /// How often something was done whose summary has this in it.
    pub fn done(&self, what: &str) -> usize {
        self.log.iter().filter(|l| l.contains(what)).count()
    }

    pub fn alive(&self, kind: observed::Kind) -> Vec<u32> {
        let of = |m: &&Machine| m.vm.tag.as_ref().is_some_and(|t| t.kind == kind);
        self.machines
            .values()
            .filter(of)
            .filter(|m| m.vm.condition != VmCondition::Ending)
            .map(|m| m.vm.id)
            .collect()
    }

    /// The live nodes of a group: name of its objects and version, without ids.
    pub fn nodes(&self, group: u32) -> Vec<String> {
        let of = |m: &&Machine| {
            m.vm.tag.as_ref().is_some_and(|t| {
                t.group == Some(group)
                    && matches!(t.kind, observed::Kind::Node | observed::Kind::ControlPlane)
            })
        };
        let live = self
            .machines
            .values()
            .filter(of)
            .filter(|m| m.vm.condition != VmCondition::Ending);
        live.map(|m| m.version.clone()).collect()
    }

    /// Is nothing left of the cluster?
    pub fn is_empty(&self) -> bool {
        self.doc.is_none()
            && self.machines.is_empty()
            && self.routers.is_empty()
            && self.templates.is_empty()
            && self.credentials.is_empty()
    }

    pub fn stop(&mut self, id: u32) {
        self.set(id, VmCondition::Down, "POWEROFF");
    }

    /// Lets a VM fail as it does when its host has no room for it.
    pub fn fail(&mut self, id: u32) {
        self.set(id, VmCondition::Failed, "ACTIVE/BOOT_FAILURE");
    }

    pub fn resume(&mut self, id: u32) {
        self.set(id, VmCondition::Running, "ACTIVE/RUNNING");
    }

    fn set(&mut self, id: u32, condition: VmCondition, state: &str) {
        let machine = self.machines.get_mut(&id).unwrap();
        machine.vm.condition = condition;
        machine.vm.steady = condition == VmCondition::Running;
        state.clone_into(&mut machine.vm.state);
        if let Some(command) = machine
            .vm
            .command
            .as_mut()
            .filter(|_| condition != VmCondition::Running)
            && command.progress == Progress::Executing
        {
            command.progress = Progress::Failed;
            machine.script = None;
        }
        machine.since = self.now;
        self.hints.insert(id);
    }

    /// Changes a group's size as somebody with kubectl would.
    pub fn shrink(&mut self, name: &str, replicas: u32) {
        self.objects.get_mut(name).unwrap().replicas = replicas;
    }

    /// Takes Cluster API's objects out of the cluster; its nodes stay.
    pub fn forget(&mut self) {
        self.objects.clear();
    }

    /// Leaves a VM behind of which nobody knows, a twin of this one in all but name and age.
    pub fn leave_behind(&mut self, twin: u32) {
        let mut machine = self.machines[&twin].clone();
        let id = twin - 50;
        machine.vm.id = id;
        machine.vm.name += "-old";
        machine.vm.command = None;
        self.machines.insert(id, machine);
        self.forgotten.insert(id);
        self.hints.insert(id);
    }

    /// Ends a VM as its owner or a health check would.
    pub fn end(&mut self, id: u32) {
        self.set(id, VmCondition::Ending, "ACTIVE/EPILOG");
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn machine(&mut self, name: &str, tag: Option<Tag>, vrouter: Option<u32>, version: &str) -> u32 {
        let twin = self
            .machines
            .values()
            .any(|m| m.vm.name == name && m.vm.condition != VmCondition::Ending);
        assert!(!twin, "{name} is made a second time");
        let id = self.id();
        let vm = Vm {
            id,
            uid: OWNER,
            name: name.to_owned(),
            tag,
            condition: VmCondition::Starting,
            steady: false,
            state: "PENDING".to_owned(),
            created: self.now,
            ip: None,
            vrouter,
            error: None,
            reports: BTreeMap::new(),
            command: None,
        };
        let machine = Machine {
            vm,
            since: self.now,
            version: version.to_owned(),
            script: None,
        };
        self.machines.insert(id, machine);
        self.hints.insert(id);
        id
    }

    /// One call.
    pub fn execute(&mut self, action: &Action) -> Outcome {
        let summary = action.summary();
        if let Some(fault) = self
            .faults
            .iter_mut()
            .find(|f| f.left > 0 && summary.contains(f.what))
        {
            fault.left -= 1;
            let failure = Failure {
                kind: fault.kind,
                message: "as the test has it".to_owned(),
            };
            return Outcome::Failed(failure);
        }
        self.log.push(summary);
        match action {
            Action::CreateCredential { serial } => {
                let now = self.now;
                self.credentials.retain(|_, ends| ends.is_none_or(|at| now < at));
                // It is so even if the token is there already.
                if self.credentials.len() + self.tokens >= 10 {
                    return failed(FailureKind::Refused);
                }
                let ends = self.lifetime.map(|life| now + life);
                self.credentials.entry(*serial).or_insert(ends);
            }
            Action::RevokeCredential { serial } => {
                if self.doc.as_ref().is_some_and(|d| d.delete.is_none()) {
                    let (uses, since) = self.uses.unwrap();
                    assert!(
                        uses != *serial,
                        "credential {serial} is revoked while the cluster uses it"
                    );
                    assert!(
                        self.now >= since + 50,
                        "calls with credential {serial} may be under way"
                    );
                }
                if self.credentials.remove(serial).is_none() {
                    return failed(FailureKind::Refused);
                }
            }
            Action::CreateTemplate { name, text } => {
                assert!(
                    self.templates.iter().all(|t| t.name != *name),
                    "template {name} is made a second time"
                );
                let id = self.id();
                self.templates.push(template(id, name, text));
                return Outcome::Created(id);
            }
            Action::UpdateTemplate { id, name, text } => {
                let found = self.templates.iter_mut().find(|t| t.id == *id).unwrap();
                *found = template(*id, name, text);
            }
            Action::DeleteTemplate { id, .. } => self.templates.retain(|t| t.id != *id),
            Action::AllocateVm { vm } => {
                let tag = tag(&vm.text);
                if vm.name.ends_with("-seed") {
                    assert!(self.alive(observed::Kind::Seed).is_empty(), "a second seed");
                    let text = &vm.attachments["manifest"];
                    self.manifest = serde_json::from_str(text.split_once(' ').unwrap().1).ok();
                    let said = self.manifest.as_ref().unwrap()["credential"].as_u64();
                    assert_eq!(
                        said,
                        Some(u64::from(self.filled)),
                        "the driver was told another number"
                    );
                    self.hand_over(self.filled);
                }
                let id = self.machine(&vm.name, tag, None, &crate::driver::plain_version(&vm.name));
                let reports = &mut self.machines.get_mut(&id).unwrap().vm.reports;
                for attribute in ["ONEKS_ENDPOINT", "ONEKS_GATEWAY"] {
                    reports.extend(value(&vm.text, attribute).map(|v| (attribute.to_owned(), v)));
                }
                return Outcome::Created(id);
            }
            Action::TerminateVm { id, .. } => {
                if self
                    .machines
                    .get(id)
                    .is_none_or(|m| m.vm.condition == VmCondition::Ending)
                {
                    return failed(FailureKind::Gone);
                }
                self.judge(*id);
                self.end(*id);
            }
            Action::DeleteVm { id, .. } => drop(self.machines.remove(id)),
            Action::ResumeVm { id, .. } => self.set(*id, VmCondition::Starting, "ACTIVE/BOOT_POWEROFF"),
            Action::AllocateRouter { name, addresses, .. } => {
                if addresses.values().any(|a| self.taken.contains(a)) {
                    return failed(FailureKind::NoAddress);
                }
                return Outcome::Created(self.router(name, addresses));
            }
            Action::InstantiateRouter {
                id,
                template,
                replicas,
                ..
            } => {
                if self.templates.iter().all(|t| t.id != *template) {
                    return failed(FailureKind::Gone);
                }
                for _ in 0..*replicas {
                    self.router_vm(*id);
                }
            }
            Action::DeleteRouter { id, .. } => {
                self.routers.retain(|r| r.id != *id);
                let vms: Vec<u32> = self
                    .machines
                    .values()
                    .filter(|m| m.vm.vrouter == Some(*id))
                    .map(|m| m.vm.id)
                    .collect();
                for vm in vms {
                    self.end(vm);
                }
            }
            Action::ReleaseAddress { .. } | Action::DeleteReservation { .. } => {}
            Action::Exec { vm, command, script } => {
                let (mood, now) = (self.commands, self.now);
                let Some(machine) = self.machines.get_mut(vm).filter(|m| m.vm.steady) else {
                    return failed(FailureKind::WrongState);
                };
                let busy = machine
                    .vm
                    .command
                    .as_ref()
                    .is_some_and(|c| c.progress == Progress::Executing);
                assert!(!busy, "VM {vm} runs a command already");
                let (delay, text) = match script.strip_prefix("sleep ").and_then(|s| s.split_once('\n')) {
                    Some((seconds, text)) => (seconds.parse().unwrap(), text),
                    None => (0, script.as_str()),
                };
                let due = if mood == CommandMood::Hangs {
                    u64::MAX
                } else {
                    now + delay + 5
                };
                // Two in one: `( first )`, a line that tells them apart, the second.
                let two = text.strip_prefix("set -e\n(\n").map(|text| {
                    let (first, rest) = text.split_once("\n)\necho\necho '").unwrap();
                    let (mark, second) = rest.split_once("'\n").unwrap();
                    (vec![first.to_owned(), second.to_owned()], mark.to_owned())
                });
                let (parts, mark) = two.unwrap_or((vec![text.to_owned()], String::new()));
                machine.script = Some(Script {
                    parts,
                    mark,
                    stdout: String::new(),
                    begun: now + delay,
                    due,
                });
                machine.vm.command = Some(GuestCommand {
                    token: CommandToken::of_command(command),
                    progress: Progress::Executing,
                    output: None,
                });
            }
            Action::CancelExec { vm } => {
                let machine = self.machines.get_mut(vm).unwrap();
                machine.script = None;
                machine.vm.command.as_mut().unwrap().progress = Progress::Failed;
            }
            Action::StoreKubeconfig { text } => {
                self.doc.as_mut().unwrap().kubeconfig = Some(text.expose().to_owned());
            }
            Action::DeleteDocument => self.doc = None,
        }
        Outcome::Done
    }

    /// In a cluster that lives, nodes are Cluster API's to end, unless it has forgotten them.
    fn judge(&mut self, id: u32) {
        let vm = &self.machines[&id].vm;
        let lives = self.doc.as_ref().is_some_and(|d| d.delete.is_none());
        let is_node = vm.tag.as_ref().is_some_and(|t| t.group.is_some()) && !vm.name.ends_with("-seed");
        let its_own = self.kind != Kind::Plain && self.owned && vm.condition != VmCondition::Failed;
        if lives && is_node && its_own && !self.forgotten.contains(&id) {
            self.wronged.push(vm.name.clone());
        }
    }

    /// The cluster's Secrets get a credential.
    fn hand_over(&mut self, serial: u32) {
        assert!(
            self.is_valid(serial),
            "credential {serial} is handed over and is not valid"
        );
        if self.uses.is_none_or(|(uses, _)| uses != serial) {
            self.uses = Some((serial, self.now));
        }
    }

    pub fn is_valid(&self, serial: u32) -> bool {
        let ends = self.credentials.get(&serial);
        ends.is_some_and(|ends| ends.is_none_or(|at| self.now < at))
    }

    /// Addresses are OpenNebula's choice, and never the same twice, unless they are asked for.
    fn router(&mut self, name: &str, wanted: &BTreeMap<u32, String>) -> u32 {
        assert!(
            self.routers.iter().all(|r| r.name != name),
            "router {name} is made a second time"
        );
        let id = self.id();
        let mut addresses = BTreeMap::from([(0, format!("192.0.2.{id}")), (1, format!("10.0.0.{id}"))]);
        addresses.extend(wanted.clone());
        self.routers.push(Router {
            id,
            uid: OWNER,
            name: name.to_owned(),
            vms: Vec::new(),
            addresses,
        });
        id
    }

    fn router_vm(&mut self, id: u32) {
        let name = self.routers.iter().find(|r| r.id == id).unwrap().name.clone();
        let tag = Tag {
            cluster: ID,
            group: None,
            kind: observed::Kind::Router,
        };
        let free = |n: &u32| {
            self.machines
                .values()
                .all(|m| m.vm.name != format!("vr-{name}-{n}"))
        };
        let number = (0..100).find(free).unwrap();
        let vm = self.machine(&format!("vr-{name}-{number}"), Some(tag), Some(id), "");
        self.routers.iter_mut().find(|r| r.id == id).unwrap().vms.push(vm);
    }

    /// Lets time pass.
    pub fn tick(&mut self, seconds: u64) {
        self.now += seconds;
        let now = self.now;
        let ids: Vec<u32> = self.machines.keys().copied().collect();
        for id in ids {
            let machine = &self.machines[&id];
            let old = now >= machine.since + 20;
            if machine.vm.condition == VmCondition::Starting && old {
                match self.stuck.filter(|(part, ..)| machine.vm.name.contains(part)) {
                    None => self.resume(id),
                    Some((_, condition, state, error)) if machine.vm.error.is_none() => {
                        self.set(id, condition, state);
                        self.machines.get_mut(&id).unwrap().vm.error = Some(error.to_owned());
                    }
                    Some(_) => {}
                }
            } else if machine.vm.condition == VmCondition::Ending && old {
                let mut vm = self.machines.remove(&id).unwrap().vm;
                for router in &mut self.routers {
                    router.vms.retain(|v| *v != id);
                }
                "DONE/LCM_INIT".clone_into(&mut vm.state);
                self.gone.insert(id, vm);
                self.hints.insert(id);
            }
            self.finish_script(id);
        }
        if self.kind != Kind::Plain && !self.frozen {
            self.sow();
            self.reconcile();
        }
    }

    fn finish_script(&mut self, id: u32) {
        let now = self.now;
        let Some(mut script) = self
            .machines
            .get_mut(&id)
            .filter(|m| m.vm.steady && m.script.as_ref().is_some_and(|s| s.due <= now))
            .and_then(|m| m.script.take())
        else {
            return;
        };
        let output = if self.commands == CommandMood::Fails {
            Output {
                return_code: 1,
                stdout: script.stdout,
                stderr: "it went wrong\n".to_owned(),
            }
        } else {
            while let Some(part) = script.parts.first().cloned() {
                let value: Value = serde_json::from_str(&part).unwrap();
                let wait = value["wait"].as_u64().unwrap_or(0);
                if now < script.begun + wait && !self.is_settled(&value) {
                    script.due = now + 10;
                    self.machines.get_mut(&id).unwrap().script = Some(script);
                    return;
                }
                script.stdout += &self.run(&part);
                script.parts.remove(0);
                if !script.parts.is_empty() {
                    let _ = write!(script.stdout, "\n{}\n", script.mark);
                }
            }
            Output {
                return_code: 0,
                stdout: script.stdout,
                stderr: String::new(),
            }
        };
        let command = self.machines.get_mut(&id).unwrap().vm.command.as_mut().unwrap();
        command.progress = Progress::Done;
        command.output = Some(output);
        self.hints.insert(id);
    }

    /// Is what a script waits for there? What does not exist is not waited for.
    fn is_settled(&self, script: &Value) -> bool {
        let Some(object) = script["probe"].as_str().and_then(|name| self.objects.get(name)) else {
            return true;
        };
        let seen: Value = serde_json::from_str(&self.probe(script["probe"].as_str().unwrap(), &[])).unwrap();
        let nodes = seen["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let fit = |n: &&Value| n["ready"] == true && n["version"] == script["version"];
        script["replicas"] == seen["replicas"]
            && script["version"] == seen["version"]
            && nodes.len() == object.replicas as usize
            && nodes.iter().filter(fit).count() == nodes.len()
    }

    fn run(&mut self, text: &str) -> String {
        let value: Value = serde_json::from_str(text).unwrap();
        let name = |key: &str| value[key].as_str().map(str::to_owned);
        let replicas = value["replicas"].as_u64().map(|n| u32::try_from(n).unwrap());
        if value.get("probe").is_none() {
            self.scripts.push(text.to_owned());
        }
        if let Some(serial) = value["rotate"].as_u64() {
            self.hand_over(u32::try_from(serial).unwrap());
        } else if let Some(name) = name("apply") {
            let id = u32::try_from(value["id"].as_u64().unwrap()).unwrap();
            let version = value["version"].as_str().unwrap().to_owned();
            let replicas = replicas.unwrap();
            self.objects.insert(
                name,
                Object {
                    id,
                    replicas,
                    version,
                    deleting: false,
                },
            );
        } else if let Some(name) = name("scale") {
            if let Some(object) = self.objects.get_mut(&name) {
                object.replicas = replicas.unwrap();
            }
        } else if let Some(name) = name("upgrade") {
            if let Some(object) = self.objects.get_mut(&name) {
                value["version"].as_str().unwrap().clone_into(&mut object.version);
            }
        } else if let Some(name) = name("delete") {
            if let Some(object) = self.objects.get_mut(&name) {
                object.deleting = true;
            }
        } else if let Some(name) = name("probe") {
            let vms: Vec<u32> = serde_json::from_value(value["vms"].clone()).unwrap();
            return self.probe(&name, &vms);
        } else {
            let known = self.manifest.as_ref().filter(|_| value["addresses"] == true);
            let address = |key: &str| Some(format!("|{}", known?[key].as_str()?));
            let addresses = ["endpoint", "gateway"].into_iter().filter_map(address);
            return ["a kubeconfig".to_owned()].into_iter().chain(addresses).collect();
        }
        String::new()
    }

    fn probe(&self, name: &str, vms: &[u32]) -> String {
        if !self.owned || self.hidden {
            return "{}".to_owned();
        }
        let forgotten: Vec<u32> = vms
            .iter()
            .copied()
            .filter(|id| self.forgotten.contains(id))
            .collect();
        let Some(object) = self.objects.get(name) else {
            return json!({ "forgotten": forgotten }).to_string();
        };
        let nodes: Vec<Node> = self
            .members(object.id)
            .map(|m| Node {
                name: m.vm.name.clone(),
                vm: Some(m.vm.id),
                ready: m.vm.condition == VmCondition::Running
                    && self.now >= m.since + 15
                    && !self.sick.contains(&m.vm.id),
                version: Some(m.version.clone()),
            })
            .collect();
        json!({
            "replicas": object.replicas, "version": object.version, "nodes": nodes, "forgotten": forgotten
        })
        .to_string()
    }

    fn members(&self, group: u32) -> impl Iterator<Item = &Machine> {
        self.machines
            .values()
            .filter(move |m| m.vm.tag.as_ref().is_some_and(|t| t.group == Some(group)))
            .filter(|m| !m.vm.name.ends_with("-seed") && m.vm.condition != VmCondition::Ending)
            .filter(|m| !self.forgotten.contains(&m.vm.id))
    }

    /// The seed's work: a router, the control plane, and the report that it is done.
    fn sow(&mut self) {
        let seed = self.alive(observed::Kind::Seed).first().copied();
        let Some(seed) = seed.filter(|id| self.machines[id].vm.steady) else {
            return;
        };
        let report = match self.seed {
            SeedMood::Silent => return,
            SeedMood::Fails => "FAILED",
            SeedMood::Hangs => "BOOTSTRAPPING",
            SeedMood::Keeps => {
                self.sow_control_plane();
                "PIVOTING"
            }
            SeedMood::Works => self.sow_control_plane(),
        };
        let reports = &mut self.machines.get_mut(&seed).unwrap().vm.reports;
        if reports
            .insert("ONEKS_STATE".to_owned(), report.to_owned())
            .as_deref()
            != Some(report)
        {
            self.hints.insert(seed);
        }
        if self.seed == SeedMood::Fails {
            let reports = &mut self.machines.get_mut(&seed).unwrap().vm.reports;
            reports.insert("ONEKS_ERROR".to_owned(), "no address left".to_owned());
        }
    }

    fn sow_control_plane(&mut self) -> &'static str {
        let name = Names::new(ID).cluster();
        if self.kind == Kind::Guest && self.routers.is_empty() {
            let id = self.router(&Names::new(ID).router(), &BTreeMap::new());
            self.router_vm(id);
        }
        let manifest = self.manifest.clone().unwrap();
        let replicas = u32::try_from(manifest["replicas"].as_u64().unwrap()).unwrap();
        let object = self.objects.entry(name).or_insert_with(|| Object {
            id: ID * 1000,
            replicas,
            version: manifest["version"].as_str().unwrap().to_owned(),
            deleting: false,
        });
        let (id, wanted) = (object.id, object.replicas as usize);
        let running = self.members(id).filter(|m| m.vm.steady).count();
        if running == wanted && self.seed == SeedMood::Works {
            self.owned = true;
            "READY"
        } else {
            "BOOTSTRAPPING"
        }
    }

    /// Cluster API: one step per object.
    fn reconcile(&mut self) {
        let brains = [observed::Kind::Seed, observed::Kind::ControlPlane]
            .map(|k| self.alive(k))
            .concat();
        if brains.is_empty() || !self.owned && self.alive(observed::Kind::Seed).is_empty() {
            self.objects.clear();
            self.owned = false;
        }
        if !brains.iter().any(|id| self.machines[id].vm.steady) {
            return;
        }
        for (name, object) in self.objects.clone() {
            let members: Vec<Machine> = self.members(object.id).cloned().collect();
            let wanted = if object.deleting {
                0
            } else {
                object.replicas as usize
            };
            let old = members.iter().find(|m| m.version != object.version);
            let steady = members.iter().filter(|m| m.vm.steady).count();
            if members.len() < wanted || members.len() == wanted && old.is_some() && steady == wanted {
                let kind = if object.id == ID * 1000 {
                    observed::Kind::ControlPlane
                } else {
                    observed::Kind::Node
                };
                let tag = Tag {
                    cluster: ID,
                    group: Some(object.id),
                    kind,
                };
                let vm = format!("{name}-x{}", self.next);
                self.machine(&vm, Some(tag), None, &object.version);
            } else if members.len() > wanted && (steady > wanted || object.deleting) {
                let victim = old.or(members.first()).unwrap().vm.id;
                if self.forgets > 0 {
                    self.forgets -= 1;
                    self.forgotten.insert(victim);
                } else {
                    self.end(victim);
                }
            } else if object.deleting && members.is_empty() {
                self.objects.remove(&name);
            }
        }
    }
}

fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure {
        kind,
        message: "as OpenNebula has it".to_owned(),
    })
}

fn value(text: &str, key: &str) -> Option<String> {
    let rest = text.split_once(&format!("{key}=\""))?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

fn tag(text: &str) -> Option<Tag> {
    Some(Tag {
        cluster: value(text, "CLUSTER_ID")?.parse().ok()?,
        group: value(text, "GROUP_ID")?.parse().ok(),
        kind: observed::Kind::parse(&value(text, "TYPE")?),
    })
}

fn template(id: u32, name: &str, text: &str) -> Template {
    let fingerprint = value(text, FINGERPRINT_ATTRIBUTE);
    Template {
        id,
        uid: OWNER,
        name: name.to_owned(),
        tag: tag(text),
        fingerprint,
    }
}
