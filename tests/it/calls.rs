//! How many calls a life costs: one control-plane node, a group of three, scaled to five, upgraded, deleted.
//!
//! Counted is every call that reaches OpenNebula while a hook or a sweep of ours runs, successful or not. The calls of
//! the user (allocating and updating the document), of the guests, of Cluster API and of the cloud itself are not. No event
//! is lost, the hooks run one after another, the sweep runs every minute. `--nocapture` shows every call and a table.

use std::collections::BTreeMap;
use std::fmt::Write;

use oneks_sandbox::ALICE_PASSWORD;
use serde_json::{Value, json};

use crate::support::life::{Life, Made};
use crate::{capone_life, plain_life};

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// What the server that these hooks replace makes in the same phases.
const SERVER: [usize; 5] = [89, 69, 100, 57, 126];

/// Most calls of a life.
const MOST: usize = 150;

/// The phases of a life, with the calls in each.
struct Measured {
    life: Life,
    phases: Vec<(&'static str, usize)>,
    /// Hooks for events of ours, by phase.
    hooks: Vec<(&'static str, Made)>,
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
        self.hooks.extend(made.into_iter().map(|hook| (name, hook)));
    }

    fn total(&self) -> usize {
        self.phases.iter().map(|(_, calls)| calls).sum()
    }
}

fn measure(life: Life, mut spec: Value) -> Measured {
    let mut measured = Measured {
        life,
        phases: Vec::new(),
        hooks: Vec::new(),
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

/// Looks, and what is written of them; everything else changes something.
fn is_action(method: &str) -> bool {
    let looks = [".info", ".infoset", ".infoextended"];
    method != "one.document.update" && !looks.iter().any(|look| method.ends_with(look))
}

// That is what it is for.
#[allow(clippy::print_stderr)]
fn assert_few(measured: &Measured) {
    let total = measured.total();
    eprintln!("{}", measured.report);
    eprintln!("{:16} {:>6} {:>6}", "phase", "calls", "server");
    for ((phase, calls), server) in measured.phases.iter().zip(SERVER) {
        eprintln!("{phase:16} {calls:6} {server:6}");
    }
    eprintln!("{:16} {total:6} {:6}", "all", SERVER.iter().sum::<usize>());
    assert!(total < MOST, "{total} calls\n{}", measured.report);
    let (mut quiet, mut told) = (0, 0);
    for (phase, hook) in measured.hooks.iter().filter(|(_, hook)| !hook.methods.is_empty()) {
        let made = format!("{phase}: {} {:?}", hook.cause, hook.methods);
        let news = |m: &String| m == "one.document.update" || is_action(m);
        if !hook.methods.iter().any(news) {
            quiet += 1;
            assert!(hook.methods.len() <= 3, "an event without news: {made}");
            continue;
        }
        // Orders have a preflight, and a deletion looks at everything that there may be.
        let order = hook.cause.starts_with("one.document.") || *phase == "delete";
        // Whose virtual machine has reported is not in the event.
        let whose = usize::from(hook.cause == "one.vm.update");
        let looks = hook.methods.iter().filter(|m| !is_action(m)).count();
        if !order {
            told += 1;
            assert!(looks <= 3 + whose, "an event with news: {made}");
        }
    }
    assert!(quiet > 5 && told > 5, "{quiet} without news, {told} with");
}

#[test]
fn a_life_with_cluster_api_takes_few_calls() {
    let (life, _) = capone_life::cloud();
    assert_few(&measure(life, capone_life::spec("standalone", &[])));
}

#[test]
fn a_life_without_guests_takes_few_calls() {
    assert_few(&measure(Life::plain(), plain_life::spec(0)));
}
