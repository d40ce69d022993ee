//! How many calls a life costs: one control-plane node, a group of three, scaled to five, upgraded, deleted.
//!
//! Counted is every call that reaches OpenNebula while a hook or a sweep of ours runs, successful or not. The calls of
//! the user (allocating and updating the document), of the guests, of Cluster API and of the cloud itself are not. No event
//! is lost, the hooks run one after another, the sweep runs every minute.

use std::collections::BTreeMap;
use std::fmt::Write;

use oneks_sandbox::ALICE_PASSWORD;
use serde_json::{Value, json};

use crate::support::life::Life;
use crate::{capone_life, plain_life};

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// The phases of a life, with the calls in each.
struct Measured {
    life: Life,
    phases: Vec<(&'static str, usize)>,
    /// Every hook and sweep that called, and the sums by phase, cause and method.
    report: String,
}

impl Measured {
    fn end_phase(&mut self, name: &'static str) {
        let made = std::mem::take(&mut self.life.made);
        let start = made.first().map_or(0, |m| m.time);
        let mut sums: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut lines = String::new();
        for hook in made.iter().filter(|m| !m.methods.is_empty()) {
            let line = format!(
                "{:6} {:26} {}\n",
                hook.time - start,
                hook.cause,
                hook.methods.join(" ")
            );
            lines.push_str(&line);
            for method in &hook.methods {
                *sums.entry((&hook.cause, method)).or_default() += 1;
            }
        }
        let total = made.iter().map(|m| m.methods.len()).sum();
        writeln!(self.report, "== {name}: {total} calls\n{lines}").unwrap();
        for ((cause, method), count) in sums {
            writeln!(self.report, "{count:6} × {method} by {cause}").unwrap();
        }
        self.phases.push((name, total));
    }

    fn total(&self) -> usize {
        self.phases.iter().map(|(_, calls)| calls).sum()
    }
}

fn measure(life: Life, mut spec: Value) -> Measured {
    let mut measured = Measured {
        life,
        phases: Vec::new(),
        report: String::new(),
    };
    spec["node_groups"] = json!([]);
    let id = measured.life.create(&alice(), "demo", &spec);
    measured.life.until_state(id, "RUNNING", 7200);
    measured.end_phase("create");
    let group = json!([{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 3}}]);
    let changes = [
        ("add three nodes", "/node_groups", group, "SCALING"),
        (
            "scale by two",
            "/node_groups/0/user_inputs_values/count",
            json!(5),
            "SCALING",
        ),
        ("upgrade", "/kubernetes_version", json!("v1.34.2"), "UPGRADING"),
    ];
    for (name, path, value, state) in changes {
        *spec.pointer_mut(path).unwrap() = value;
        let life = &mut measured.life;
        life.set(&alice(), id, "SPEC", &spec.to_string());
        life.until_state(id, state, 120);
        life.until_state(id, "RUNNING", 4 * 3600);
        let nodes: usize = life.status(id).node_groups.iter().map(|g| g.vms.len()).sum();
        assert_eq!(
            nodes,
            if name == "add three nodes" { 3 } else { 5 },
            "{}",
            life.report()
        );
        measured.end_phase(name);
    }
    let life = &mut measured.life;
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 1200);
    // The events of what was deleted last, and a sweep.
    life.pass_time(120);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
    measured.end_phase("delete");
    measured
}

fn assert_below(measured: &Measured, most: usize) {
    let total = measured.total();
    assert!(
        total < most,
        "{total} calls\n{}{:?}",
        measured.report,
        measured.phases
    );
}

#[test]
fn a_life_with_cluster_api_takes_few_calls() {
    let (life, _) = capone_life::cloud();
    let measured = measure(life, capone_life::spec("standalone", &[]));
    assert_below(&measured, 300);
}

#[test]
fn a_life_without_guests_takes_few_calls() {
    assert_below(&measure(Life::plain(), plain_life::spec(0)), 150);
}
