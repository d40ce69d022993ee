//! A cluster at rest whose virtual machines run: is Kubernetes well? It is asked once in a long while, and again until
//! it is well.

use oneks_core::observed::Kind as VmKind;
use oneks_core::plan::probe_is_due;
use oneks_core::state::{ClusterState as S, GroupState};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{CommandMood, World};

const EVERY: u64 = 1800;

fn running(kind: Kind, groups: &[(&str, u32)]) -> World {
    let mut world = World::new(kind, &spec("v1.33.7", 1, groups));
    world.until(S::Running);
    world.probe_every = EVERY;
    world
}

/// Lets time pass as it does for a cluster that nothing happens to: a pass comes only when the sweep finds one due, or
/// by the event of a command that ended. The number of passes.
fn quiet_time(world: &mut World, seconds: u64) -> usize {
    let (end, mut passes) = (world.now + seconds, 0);
    while world.now < end {
        world.tick(20);
        let status = world.status();
        let busy = status.guest_exec.is_some() || status.state == S::Warning;
        let sweep = world.now % 60 < 20;
        if !world.hints.is_empty() || sweep && (busy || probe_is_due(&status, EVERY, world.now)) {
            world.pass(None);
            passes += 1;
        }
    }
    passes
}

#[test]
fn a_cluster_at_rest_is_asked_once_in_every_interval_and_no_more() {
    let mut world = running(Kind::Routed, &[("a", 2), ("b", 0)]);
    let before = world.done(":probe-");
    let passes = quiet_time(&mut world, 20 * EVERY);
    let asked = world.done(":probe-") - before;
    // The control plane and the one group that has nodes.
    assert!(
        (36..=40).contains(&asked),
        "{asked} questions in twenty intervals"
    );
    assert!(passes <= 4 * 40, "{passes} passes");
    assert_eq!(world.state(), S::Running);
    assert!(
        world.status().history.iter().all(|e| !e.text.contains("WARNING")),
        "a question is no news"
    );
    // Without guests there is nobody to ask.
    let mut world = running(Kind::Plain, &[("a", 2)]);
    assert_eq!(quiet_time(&mut world, 5 * EVERY), 0);
}

#[test]
fn a_node_that_is_not_ready_is_a_warning_until_it_is_well() {
    for node in [VmKind::ControlPlane, VmKind::Node] {
        let mut world = running(Kind::Routed, &[("a", 2)]);
        let id = world.alive(node)[0];
        world.sick.insert(id);
        let start = world.now;
        while world.state() == S::Running {
            assert!(world.now < start + 2 * EVERY, "never noticed");
            quiet_time(&mut world, 60);
        }
        let error = |w: &World| {
            let status = w.status();
            status.groups().find_map(|g| g.error.clone()).unwrap()
        };
        let first = error(&world);
        assert_eq!(world.state(), S::Warning);
        assert_eq!(first.reason, "NodeNotReady");
        assert!(first.message.contains("kubelet stopped"), "{}", first.message);
        assert_eq!(first.object, Some(format!("VM {id}")));
        let ready = world.status().condition("Ready").cloned().unwrap();
        assert!(ready.reason == "NodeNotReady" && ready.message.contains("kubelet stopped"));
        // It is asked again, and not too often.
        let asked = world.done(":probe-");
        quiet_time(&mut world, 7200);
        let again = world.done(":probe-") - asked;
        assert!((20..=60).contains(&again), "asked {again} times in two hours");
        assert_eq!(error(&world), first, "since does not move");
        world.sick.clear();
        quiet_time(&mut world, 600);
        assert_eq!(world.state(), S::Running);
        assert!(
            world
                .status()
                .groups()
                .all(|g| g.state == GroupState::Running && g.ready == g.want)
        );
    }
}

#[test]
fn kubernetes_that_does_not_answer_is_a_warning_after_several_questions() {
    let mut world = running(Kind::Routed, &[("a", 1)]);
    world.commands = CommandMood::Fails;
    let start = world.now;
    while world.state() == S::Running {
        assert!(world.now < start + 2 * EVERY, "never noticed");
        quiet_time(&mut world, 20);
    }
    let status = world.status();
    let error = status.groups().find_map(|g| g.error.clone()).unwrap();
    assert_eq!(error.reason, "ProbeFailed");
    assert!(
        error.message.contains("ended with 1: it went wrong"),
        "{}",
        error.message
    );
    assert!(error.object.unwrap().starts_with("group "));
    let asked = world.done(":probe-");
    quiet_time(&mut world, 7200);
    assert!(world.done(":probe-") - asked <= 60);
    world.commands = CommandMood::Works;
    quiet_time(&mut world, 900);
    assert_eq!(world.state(), S::Running, "{}", world.status().to_json());
}

#[test]
fn one_question_that_fails_is_no_news() {
    let mut world = running(Kind::Routed, &[]);
    world.commands = CommandMood::Fails;
    let before = world.done(":probe-");
    while world.done(":probe-") == before {
        quiet_time(&mut world, 20);
    }
    quiet_time(&mut world, 20);
    world.commands = CommandMood::Works;
    quiet_time(&mut world, 300);
    assert_eq!(world.state(), S::Running);
    assert!(world.status().history.iter().all(|e| !e.text.contains("WARNING")));
    assert_eq!(world.status().control_plane.failed_commands, 0);
}

#[test]
fn a_paused_cluster_is_not_asked() {
    let mut world = running(Kind::Routed, &[("a", 1)]);
    let text = world.doc().spec.clone();
    world.doc().spec = text.replacen('{', "{\"paused\":true,", 1);
    world.pass(None);
    assert_eq!(quiet_time(&mut world, 5 * EVERY), 0);
}
