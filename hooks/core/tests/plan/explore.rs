//! Everything that can happen to a small cluster in a few steps, in every order: passes that end and passes that are
//! killed after any action, events that come and events that are lost, a sweep, time, nodes that fail, and a user who
//! changes his mind. From every state that is reached so, the cluster comes to where its document says.
//!
//! That two passes never run at once is the gate's part, which has a search of its own. That nothing is made twice, the
//! model asserts at each call.

use std::collections::{BTreeSet, VecDeque};

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::ClusterState as S;
use serde_json::Value;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A hook's pass; it hears of the VMs that events named.
    Pass,
    /// A pass that is killed after so many actions.
    Killed(usize),
    /// All events since the last pass are lost.
    Lost,
    /// The sweep's pass, which looks at everything.
    Sweep,
    /// Twenty seconds.
    Time,
    /// STATUS is erased.
    Erase,
    /// A node is powered off.
    Stop,
    /// A node is terminated by hand.
    End,
    /// The user wants another size.
    Resize,
    /// The user wants another version.
    Upgrade,
    /// The user asks for another try.
    Recover,
    /// The user wants it gone.
    Delete,
    /// The user deletes the document's order: what was ordered stays ordered.
    TakeBack,
}

const STEPS: [Step; 15] = [
    Step::Pass,
    Step::Killed(0),
    Step::Killed(1),
    Step::Killed(2),
    Step::Lost,
    Step::Sweep,
    Step::Time,
    Step::Erase,
    Step::Stop,
    Step::End,
    Step::Resize,
    Step::Upgrade,
    Step::Recover,
    Step::Delete,
    Step::TakeBack,
];

/// A state with the way that led to it.
#[derive(Clone)]
struct State {
    world: World,
    way: Vec<Step>,
}

impl State {
    /// The state after this step; `None` if it can't happen here, or not again.
    fn after(&self, step: Step) -> Option<Self> {
        let mut next = self.clone();
        let world = &mut next.world;
        world.doc.as_ref()?;
        let seen = |s: Step| self.way.contains(&s);
        match step {
            Step::Pass => drop(world.pass(None)),
            Step::Killed(actions) => {
                // One that isn't reached is a whole pass.
                if world.pass(Some(actions)) {
                    return None;
                }
            }
            Step::Lost if !world.hints.is_empty() => world.hints.clear(),
            Step::Sweep if self.way.last() != Some(&step) => sweep(world),
            Step::Time => world.tick(20),
            Step::Erase if !seen(step) && world.doc().status.is_some() => world.doc().status = None,
            Step::Stop | Step::End if !seen(step) => {
                let node = world.alive(VmKind::Node).first().copied()?;
                if step == Step::Stop {
                    world.stop(node);
                } else {
                    world.end(node);
                }
            }
            Step::Resize if !seen(step) => {
                let (version, size) = wish(world);
                world.doc().spec = spec(&version, 1, &[("a", size + 1)]);
            }
            Step::Upgrade if !seen(step) => {
                let (version, size) = wish(world);
                if version == "v1.34.2" {
                    return None;
                }
                world.doc().spec = spec("v1.34.2", 1, &[("a", size)]);
            }
            Step::Recover if !seen(step) => world.doc().recover = Some("again".to_owned()),
            Step::Delete if !seen(step) => world.doc().delete = Some("YES".to_owned()),
            Step::TakeBack if seen(Step::Delete) && !seen(step) => world.doc().delete = None,
            _ => return None,
        }
        next.way.push(step);
        Some(next)
    }

    /// What tells this state from others: all but times, numbers of writes, and texts for people.
    fn key(&self) -> String {
        let world = &self.world;
        let Some(doc) = &world.doc else {
            return "gone".to_owned();
        };
        let status = doc.status.as_deref().and_then(|s| serde_json::from_str(s).ok());
        let status = status.map(strip);
        let machines: Vec<String> = world
            .machines
            .values()
            .map(|m| {
                let fresh = world.now < m.since + 20;
                format!(
                    "{} {:?} {} {fresh} {:?}",
                    m.vm.name, m.vm.condition, m.version, m.vm.command
                )
            })
            .collect();
        let done: Vec<Step> = STEPS
            .into_iter()
            .filter(|s| self.way.contains(s) && *s != Step::Pass)
            .collect();
        format!(
            "{:?} {:?} {} {status:?} {machines:?} {:?} {:?} {:?} {done:?}",
            doc.recover, doc.delete, doc.spec, world.routers, world.templates, world.hints
        )
    }
}

/// Without what changes with the clock alone.
fn strip(value: Value) -> Value {
    const CLOCK: [&str; 10] = [
        "rev",
        "history",
        "since",
        "at",
        "started",
        "deadline",
        "issued",
        "asked",
        "not_before",
        "again",
    ];
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| !CLOCK.contains(&key.as_str()))
            .map(|(key, value)| (key, strip(value)))
            .collect(),
        Value::Array(list) => list.into_iter().map(strip).collect(),
        other => other,
    }
}

/// A pass that hears of everything, as the sweep's does.
fn sweep(world: &mut World) {
    let all: Vec<u32> = world.machines.keys().chain(world.gone.keys()).copied().collect();
    world.hints.extend(all);
    world.pass(None);
}

/// From here on nothing strange happens, and only the sweep runs: does the cluster come to where its document says?
fn converges(state: &State) {
    let mut world = state.world.clone();
    let wants_nothing =
        world.doc.as_ref().is_none_or(|d| d.delete.is_some()) || world.status().deletion.is_some();
    let end = world.now + 12 * 3600;
    let (mut recovered, mut warned) = (0, 0);
    // What was stopped by hand is somebody's to start.
    let down: Vec<u32> = world
        .machines
        .iter()
        .filter(|(_, m)| m.vm.condition == oneks_driver::VmCondition::Down)
        .map(|(id, _)| *id)
        .collect();
    for id in down {
        world.resume(id);
    }
    loop {
        sweep(&mut world);
        let state_now = world.state();
        if wants_nothing {
            if world.doc.is_none() {
                assert!(world.is_empty(), "{:?}: something is left", state.way);
                return;
            }
        } else if state_now == S::Running && settled(&world) {
            return;
        }
        warned = if state_now == S::Warning { warned + 1 } else { 0 };
        if state_now.as_str().ends_with("_FAILURE") || warned > 180 {
            // As its owner would. Nodes that nobody replaces by himself are a warning that stays.
            warned = 0;
            recovered += 1;
            world.doc().recover = Some(format!("try {recovered}"));
        }
        assert!(
            world.now < end,
            "{:?}: {state_now} for ever: {}",
            state.way,
            world.status().to_json()
        );
        world.tick(20);
    }
}

/// The version and the size of the group that the document says.
fn wish(world: &World) -> (String, u32) {
    let wanted: Value = serde_json::from_str(&world.doc.as_ref().unwrap().spec).unwrap();
    let size = &wanted["node_groups"][0]["user_inputs_values"]["count"];
    let version = wanted["kubernetes_version"].as_str().unwrap();
    (version.to_owned(), u32::try_from(size.as_u64().unwrap()).unwrap())
}

/// Is what lives what the document says?
fn settled(world: &World) -> bool {
    let (version, size) = wish(world);
    let status = world.status();
    let group = |key: &str| status.groups().find(|g| g.key == key).map_or(0, |g| g.id);
    let (plane, nodes) = (world.nodes(group("control-plane")), world.nodes(group("a")));
    plane == [version.clone()]
        && u32::try_from(nodes.len()) == Ok(size)
        && nodes.iter().all(|v| *v == version)
}

/// Searches breadth first from these states, to this depth and number of states.
fn explore(kind: Kind, start: Vec<World>, depth: usize, most: usize) -> usize {
    let mut known = BTreeSet::new();
    let mut open: VecDeque<State> = VecDeque::new();
    for world in start {
        let state = State {
            world,
            way: Vec::new(),
        };
        known.insert(state.key());
        open.push_back(state);
    }
    let mut checked = 0;
    while let Some(state) = open.pop_front() {
        converges(&state);
        checked += 1;
        if state.way.len() == depth {
            continue;
        }
        for step in STEPS {
            if let Some(next) = state.after(step)
                && known.len() < most
                && known.insert(next.key())
            {
                open.push_back(next);
            }
        }
    }
    assert!(checked > 100, "{kind:?}: only {checked} states");
    checked
}

/// Clusters at several points of their lives.
fn moments(kind: Kind) -> Vec<World> {
    let fresh = World::new(kind, &spec("v1.33.7", 1, &[("a", 1)]));
    let mut running = fresh.clone();
    running.until(S::Running);
    let mut seeded = fresh.clone();
    seeded.pass(None);
    seeded.tick(20);
    let mut scaling = running.clone();
    scaling.doc().spec = spec("v1.33.7", 1, &[("a", 0)]);
    scaling.pass(None);
    let mut upgrading = running.clone();
    upgrading.doc().spec = spec("v1.34.2", 1, &[("a", 1)]);
    for _ in 0..3 {
        upgrading.pass(None);
        upgrading.tick(20);
    }
    vec![fresh, seeded, running, scaling, upgrading]
}

/// How deep, and how many states: more with `ONEKS_TESTS=all`.
#[allow(clippy::disallowed_methods)] // the core reads no environment, its tests may
fn size() -> (usize, usize) {
    if std::env::var("ONEKS_TESTS").is_ok_and(|t| t == "all") {
        (6, 5_000)
    } else {
        (4, 250)
    }
}

#[test]
fn every_way_of_a_plain_cluster_ends_well() {
    let (depth, most) = size();
    let states = explore(Kind::Plain, moments(Kind::Plain), depth, most);
    println!("plain: {states} states, at most {depth} steps");
}

#[test]
fn every_way_of_a_cluster_with_guests_ends_well() {
    let (depth, most) = size();
    let states = explore(Kind::Guest, moments(Kind::Guest), depth, most);
    println!("guests: {states} states, at most {depth} steps");
}
