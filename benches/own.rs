//! Events of a cluster of ours: with news, and without.

use oneks_sandbox::{Serve, Server};

use crate::Effort;
use crate::cloud;
use crate::process::{Program, median};
use crate::report::{Goal, Report};
use crate::support::life::Life;
use crate::support::prefix::Prefix;

/// The event of a VM's new state, as `vm_state` gets it.
fn event(life: &Life) -> Vec<u8> {
    let mut events = life.sandbox.take_events();
    events.retain(|event| event.command.ends_with("/vm_state"));
    assert_eq!(events.len(), 1, "one change of state is one event");
    events.remove(0).stdin.unwrap().into_bytes()
}

/// Looks; everything else changes something.
fn is_look(method: &str) -> bool {
    [".info", ".infoset", ".infoextended"]
        .iter()
        .any(|look| method.ends_with(look))
}

/// A worker that is lost and comes back, and the same event once more.
pub fn measure(effort: Effort, report: &mut Report) {
    let life = cloud::with(1, 4, 0);
    let server = Server::start(
        &life.sandbox,
        Serve {
            speed: 0.0,
            ..Serve::default()
        },
    )
    .unwrap();
    let prefix = Prefix::new(&server.endpoint());
    let mut environment = prefix.environment();
    environment.push(("ONEKS_NOW".to_owned(), life.sandbox.now().to_string()));
    let hook = Program::new("vm_state", prefix.hook("vm_state")).with(environment);
    let worker = life
        .sandbox
        .live_vms()
        .into_iter()
        .find(|vm| vm.meta.name.contains("workers"))
        .unwrap()
        .meta
        .id;
    let calls = |input: &[u8]| {
        let before = life.sandbox.call_count();
        let cost = hook.run(input);
        let made = life.sandbox.calls_since(before);
        let looks = made.iter().filter(|call| is_look(&call.method)).count();
        (count(made.len()), count(looks), cost)
    };
    let mut last = Vec::new();
    for (what, happens) in [("a node is lost", true), ("the node is back", false)] {
        assert!(if happens {
            life.sandbox.lose_vm(worker)
        } else {
            life.sandbox.find_vm(worker)
        });
        last = event(&life);
        let (all, looks, _) = calls(&last);
        report.counted(format!("{what}: looks"), looks, "calls", Goal::Most(3.0));
        report.counted(format!("{what}: calls"), all, "calls", Goal::None);
        let id = life.sandbox.documents()[0].meta.id;
        assert_eq!(life.state(id), if happens { "WARNING" } else { "RUNNING" });
    }
    let mut costs = Vec::new();
    let mut most: f64 = 0.0;
    for _ in 0..effort.of(300, 20) {
        let (all, _, cost) = calls(&last);
        most = most.max(all);
        costs.push(cost);
    }
    report.counted("without news: calls", most, "calls", Goal::Most(3.0));
    report.timed(
        "without news: processor time",
        median(costs.iter().map(|c| c.cpu)),
        "ms",
        Goal::Most(4.0),
    );
    report.timed(
        "without news: wall time",
        median(costs.iter().map(|c| c.wall)),
        "ms",
        Goal::None,
    );
    if let Some(peak) = hook.peak(&last) {
        report.counted("without news: peak memory", peak / 1024.0, "MiB", Goal::None);
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}
