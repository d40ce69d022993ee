//! A second tenant who means harm. Mallory has a cluster of his own beside alice's, may do what every user may, and forges
//! whatever he can write. Nothing of alice's changes, and nothing is done with her rights.

mod forged;
mod handed;
mod names;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks_sandbox::{ALICE_PASSWORD, Document, MALLORY_PASSWORD, VRouter, Vm, VmState, VmTemplate, Vnet};
use opennebula::xmlrpc::Value;

use super::end::overreach;
use super::operation::{Driver, OLD, alice};
use super::stage::Stage;

/// User ids.
const ALICE: u32 = 2;
const MALLORY: u32 = 3;

fn mallory() -> String {
    format!("mallory:{MALLORY_PASSWORD}")
}

/// Everything that a user has.
#[derive(Clone, PartialEq)]
struct Belongings {
    documents: Vec<Document>,
    vms: Vec<Vm>,
    routers: Vec<VRouter>,
    templates: Vec<VmTemplate>,
    networks: Vec<Vnet>,
    tokens: Vec<String>,
}

impl Belongings {
    fn of(stage: &Stage, uid: u32, name: &str) -> Self {
        let sandbox = &stage.sandbox;
        let documents = sandbox.documents().into_iter();
        let vms = sandbox.vms().into_iter().map(|mut vm| {
            // Requests have numbers at random.
            for record in &mut vm.history {
                record.by = record.by.map(|(user, group, _)| (user, group, 0));
            }
            vm
        });
        let routers = sandbox.vrouters().into_iter();
        let templates = sandbox.templates().into_iter();
        let networks = sandbox.vnets().into_iter();
        Self {
            documents: documents.filter(|o| o.meta.uid == uid).collect(),
            vms: vms.filter(|o| o.meta.uid == uid).collect(),
            routers: routers.filter(|o| o.meta.uid == uid).collect(),
            templates: templates.filter(|o| o.meta.uid == uid).collect(),
            networks: networks.filter(|o| o.meta.uid == uid).collect(),
            tokens: sandbox.tokens(name).into_keys().collect(),
        }
    }
}

/// Two tenants with a cluster each.
struct Scene {
    driver: Driver,
    stage: Stage,
    /// Alice's cluster.
    hers: u32,
    /// Mallory's.
    his: u32,
    /// A VM of alice's that belongs to no cluster.
    private: u32,
}

impl Scene {
    fn new(driver: Driver) -> Self {
        let stage = driver.cloud();
        let spec = driver.spec(OLD, &[("workers", 1)]);
        let hers = stage.create(&alice(), "hers", &spec);
        let his = stage.create(&mallory(), "his", &spec);
        let text = "NAME=\"private\"\nCPU=\"0.1\"\nMEMORY=\"64\"";
        let private = new(&stage, &alice(), "one.vm.allocate", &[text.into(), false.into()]);
        for text in [
            "NAME=\"shop\"\nCPU=\"1\"\nMEMORY=\"64\"",
            "NAME=\"oneks-0-mine\"\nCPU=\"1\"\nMEMORY=\"64\"",
        ] {
            stage.ask(&alice(), "one.template.allocate", &[text.into()]);
        }
        stage.ask(
            &alice(),
            "one.document.allocate",
            &["NAME=\"flow\"\nBODY=\"{}\"".into(), 100.into()],
        );
        let ready = |stage: &Stage| [hers, his].iter().all(|id| stage.state(*id) == "RUNNING");
        assert!(stage.until(7200, ready), "{}", stage.report());
        // What is done once in a while, so that all is at rest.
        stage.pass_time(1500);
        Self {
            driver,
            stage,
            hers,
            his,
            private,
        }
    }

    /// Mallory does something, and time goes by: everything of alice's is as if he had done nothing, and nobody acts in her
    /// name.
    fn attack(&self, what: &str, deed: impl FnOnce(&Stage)) -> Stage {
        let (stage, quiet) = (self.stage.fork(), self.stage.fork());
        for stage in [&stage, &quiet] {
            stage.begin_anew();
        }
        deed(&stage);
        stage.pass_time(2500);
        quiet.pass_time(stage.sandbox.now() - quiet.sandbox.now());
        let without = Belongings::of(&quiet, ALICE, "alice");
        let with = Belongings::of(&stage, ALICE, "alice");
        let changes = changes(&without, &with);
        assert_eq!(changes, Vec::<String>::new(), "{what}\n{}", stage.report());
        let in_her_name = |stage: &Stage| -> Vec<String> {
            let calls = stage.sandbox.calls().calls.into_iter();
            let calls = calls.filter(|c| c.user == "alice" && !reads(&c.method));
            calls.map(|c| c.method).collect()
        };
        assert_eq!(in_her_name(&quiet), in_her_name(&stage), "{what}");
        let log = stage.sandbox.calls();
        let overreach = overreach(&log)
            .into_iter()
            .filter(|what| !what.contains("\"mallory\""));
        assert_eq!(overreach.collect::<Vec<_>>(), Vec::<String>::new(), "{what}");
        let shown = secrets_that_he_reads(&stage);
        assert_eq!(shown, Vec::<String>::new(), "{what}");
        self.goes_on(&stage.fork(), what);
        stage
    }

    /// Her cluster still follows its SPEC, and goes without a trace.
    fn goes_on(&self, stage: &Stage, what: &str) {
        let hers = self.hers;
        let counts = |stage: &Stage| {
            stage
                .status(hers)
                .map(|s| s.node_groups.iter().map(|g| g.vms.len()).sum())
        };
        let spec = self.driver.spec(OLD, &[("workers", 2)]);
        stage.set(&alice(), hers, "SPEC", &spec.to_string());
        let grown = |stage: &Stage| stage.state(hers) == "RUNNING" && counts(stage) == Some(2_usize);
        assert!(stage.until(3600, grown), "{what}\n{}", stage.report());
        stage.set(&alice(), hers, "DELETE", "YES");
        assert!(
            stage.until(3600, |s| s.state(hers) == "GONE"),
            "{what}\n{}",
            stage.report()
        );
        stage.pass_time(120);
        let left = Belongings::of(stage, ALICE, "alice");
        let alive = left.vms.iter().filter(|vm| vm.state != VmState::Done);
        let alive: Vec<u32> = alive.map(|vm| vm.meta.id).collect();
        assert_eq!(alive, [self.private], "{what}");
        let templates: Vec<&str> = left.templates.iter().map(|t| t.meta.name.as_str()).collect();
        assert_eq!(templates, ["shop", "oneks-0-mine"], "{what}");
        assert!(left.routers.is_empty() && left.tokens.is_empty(), "{what}");
    }
}

/// Secrets of alice's in what OpenNebula shows to mallory. Not her kubeconfig: whom she lets read the document may have it.
fn secrets_that_he_reads(stage: &Stage) -> Vec<String> {
    let all = || vec![Value::from(-2), (-1).into(), (-1).into()];
    let more = |value: i32| [all(), vec![value.into()]].concat();
    let mut text = String::new();
    let mut pools = vec![
        ("one.vmpool.infoextended", more(-2)),
        ("one.templatepool.info", all()),
        ("one.vrouterpool.info", all()),
        ("one.vnpool.info", all()),
        ("one.imagepool.info", all()),
        ("one.user.info", vec![(-1).into()]),
    ];
    for kind in [100, 120] {
        pools.push(("one.documentpool.info", more(kind)));
    }
    for (method, params) in pools {
        text += stage.ask(&mallory(), method, &params).as_str().unwrap();
    }
    let mut secrets: Vec<String> = stage.sandbox.tokens("alice").into_keys().collect();
    secrets.push(ALICE_PASSWORD.to_owned());
    let encoded = |secret: &String| STANDARD.encode(format!("alice:{secret}"));
    let shown = |secret: &String| text.contains(secret.as_str()) || text.contains(&encoded(secret)[8..]);
    secrets.into_iter().filter(shown).collect()
}

/// What is not as it was.
fn changes(before: &Belongings, after: &Belongings) -> Vec<String> {
    let mut changes = Vec::new();
    for document in &before.documents {
        let now = after.documents.iter().find(|d| d.meta.id == document.meta.id);
        match now {
            None => changes.push(format!("document {} is gone", document.meta.id)),
            Some(now) if now != document => {
                let names = now.template.names().chain(document.template.names());
                let other = |name: &&str| now.template.get(name) != document.template.get(name);
                let text = |name: &str| (document.template.get(name), now.template.get(name));
                let values: BTreeMap<&str, _> = names.filter(other).map(|name| (name, text(name))).collect();
                changes.push(format!("document {} changed: {values:#?}", document.meta.id));
            }
            Some(_) => {}
        }
    }
    for (vm, now) in before.vms.iter().zip(&after.vms).filter(|(vm, now)| vm != now) {
        let (was, is) = (format!("{vm:#?}"), format!("{now:#?}"));
        let lines = was.lines().zip(is.lines()).filter(|(was, is)| was != is);
        let lines: Vec<_> = lines.take(10).collect();
        changes.push(format!("VM {} changed: {lines:?}", vm.meta.id));
    }
    let mut differ = |same: bool, what: &str| {
        if !same {
            changes.push(format!("{what} changed"));
        }
    };
    differ(
        before.documents.len() == after.documents.len(),
        "the number of documents",
    );
    differ(before.vms == after.vms, "VMs");
    differ(before.routers == after.routers, "virtual routers");
    differ(before.templates == after.templates, "templates");
    differ(before.networks == after.networks, "networks");
    differ(before.tokens == after.tokens, "login tokens");
    changes
}

fn reads(method: &str) -> bool {
    method.contains("info")
}

/// A call that makes an object. Its id.
fn new(stage: &Stage, session: &str, method: &str, params: &[Value]) -> u32 {
    u32::try_from(stage.ask(session, method, params).as_int().unwrap()).unwrap()
}

/// A call that may be refused: what a forger tries.
fn attempt(stage: &Stage, session: &str, method: &str, params: &[Value]) {
    let faults = stage.sandbox.faults(|f| std::mem::take(&mut f.calls));
    drop(stage.sandbox.ask(session, method, params));
    stage.sandbox.faults(|f| f.calls = faults);
}

/// A tag of ours.
fn tag(cluster: u32, group: u32, kind: &str) -> String {
    format!(
        "ONEKS=[CLUSTER_ID=\"{cluster}\",GROUP_ID=\"{group}\",TYPE=\"{kind}\",CLUSTER_NAME=\"oneks-{cluster}\"]"
    )
}

/// A small VM of mallory's.
fn his_vm(stage: &Stage, name: &str, more: &str) -> u32 {
    let text = format!("NAME=\"{name}\"\nCPU=\"0.1\"\nMEMORY=\"64\"\nCONTEXT=[TOKEN=\"YES\"]\n{more}");
    new(stage, &mallory(), "one.vm.allocate", &[text.into(), false.into()])
}
