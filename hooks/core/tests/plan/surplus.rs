//! Virtual machines that Cluster API has forgotten, and nodes too many where there is no Cluster API.

use std::collections::BTreeSet;

use oneks_core::state::{ClusterState as S, GroupState};
use oneks_driver::VmCondition;
use proptest::prelude::*;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{CommandMood, Machine, World};

const V33: &str = "v1.33.7";
const V34: &str = "v1.34.2";

fn running(control_plane: u32, groups: &[(&str, u32)]) -> World {
    let mut world = World::new(Kind::Routed, &spec(V33, control_plane, groups));
    world.until(S::Running);
    world
}

fn live(world: &World, group: u32) -> BTreeSet<u32> {
    let of = |m: &&Machine| {
        m.vm.tag.as_ref().unwrap().group == Some(group) && m.vm.condition != VmCondition::Ending
    };
    world
        .machines
        .values()
        .filter(of)
        .map(|m| m.vm.id)
        .filter(|id| !world.machines[id].vm.name.ends_with("-seed"))
        .collect()
}

fn told(world: &World, part: &str) -> bool {
    world
        .status()
        .history
        .iter()
        .any(|entry| entry.text.contains(part))
}

/// What the hooks have ended themselves.
fn ended(world: &World) -> usize {
    world.done("terminate VM")
}

#[test]
fn a_node_that_is_forgotten_at_scaling_down_is_ended_after_a_while() {
    let mut world = running(1, &[("a", 3)]);
    let before = ended(&world);
    world.forgets = 1;
    world.doc().spec = spec(V33, 1, &[("a", 2)]);
    world.until(S::Warning);
    let began = world.now;
    let forgotten = *world.forgotten.first().unwrap();
    world.run_for(320);
    let error = world.status().node_groups[0].error.clone().unwrap();
    assert_eq!(error.reason, "NodeForgotten");
    assert_eq!(error.object, Some(format!("VM {forgotten}")));
    let ready = world.status().condition("Ready").unwrap().message.clone();
    assert!(
        ready.contains("has neither machine nor node in Kubernetes"),
        "{ready}"
    );
    assert_eq!(ended(&world), before, "one answer is not enough");
    world.until(S::Running);
    assert!(world.now - began >= 600, "{}", world.now - began);
    assert!(!live(&world, 24001).contains(&forgotten));
    assert!(told(&world, &format!("VM {forgotten} (")));
    assert_eq!((ended(&world), live(&world, 24001).len()), (before + 1, 2));
}

#[test]
fn nodes_of_a_removed_group_that_are_forgotten_are_ended() {
    let mut world = running(1, &[("a", 3), ("b", 1)]);
    let before = ended(&world);
    world.forgets = 2;
    world.doc().spec = spec(V33, 1, &[("b", 1)]);
    world.run_for(400);
    let group = &world.status().node_groups[0];
    assert_eq!(group.state, GroupState::Deprovisioning);
    let step = &group.work.as_ref().unwrap().step;
    assert!(
        step.contains("has neither machine nor node in Kubernetes"),
        "{step}"
    );
    world.until(S::Running);
    assert_eq!(ended(&world), before + 2);
    assert!(live(&world, 24001).is_empty());
    assert!(!told(&world, "FAILURE"), "{:?}", world.status().history);
}

#[test]
fn a_control_plane_node_that_is_forgotten_at_an_upgrade_is_ended() {
    let mut world = running(3, &[("a", 1)]);
    world.forgets = 1;
    world.doc().spec = spec(V34, 3, &[("a", 1)]);
    world.pass(None);
    world.until(S::Running);
    assert_eq!(world.nodes(24000), vec![V34; 3]);
    assert_eq!(world.nodes(24001), vec![V34; 1]);
    assert_eq!(world.forgotten.len(), 1);
}

/// It may be the only one that still knows what is.
#[test]
fn the_newest_of_the_control_plane_is_never_ended() {
    let mut world = running(3, &[]);
    let before = ended(&world);
    let newest = *live(&world, 24000).last().unwrap();
    world.forgotten.insert(newest);
    world.shrink("oneks-24", 3);
    // Another takes its place, and is taken for the one that was forgotten by whoever is asked.
    world.run_for(60);
    let other = *live(&world, 24000).last().unwrap();
    assert!(other > newest);
    world.forgotten = [other].into();
    world.run_for(2 * 3600);
    assert_eq!(world.state(), S::Warning);
    assert_eq!(ended(&world), before);
    let error = world.status().control_plane.error.clone().unwrap();
    assert!(
        error.message.contains("onevm terminate --hard"),
        "{}",
        error.message
    );
}

type Doubt = fn(&mut World, u32);

/// Nothing is ended as long as there is any reason for doubt; afterwards it is.
#[test]
fn in_doubt_nothing_is_ended() {
    let doubts: [(&str, Doubt, Doubt); 6] = [
        (
            "a node is not ready",
            |world, node| world.sick.extend([node]),
            |world, _| world.sick.clear(),
        ),
        (
            "a node is powered off",
            |world, node| world.stop(node),
            |world, node| world.resume(node),
        ),
        (
            "Kubernetes does not answer",
            |world, _| world.commands = CommandMood::Fails,
            |world, _| world.commands = CommandMood::Works,
        ),
        (
            "Cluster API has gone elsewhere",
            |world, _| world.hidden = true,
            |world, _| world.hidden = false,
        ),
        (
            "somebody else has changed the size",
            |world, _| world.shrink("oneks-24-a", 1),
            |world, _| world.shrink("oneks-24-a", 2),
        ),
        (
            "it is paused",
            |world, _| {
                let spec = world.doc().spec.replacen('{', "{\"paused\":true,", 1);
                world.doc().spec = spec;
            },
            |world, _| {
                let spec = world.doc().spec.replacen("\"paused\":true,", "", 1);
                world.doc().spec = spec;
            },
        ),
    ];
    for (what, begin, end) in doubts {
        let mut world = running(1, &[("a", 3)]);
        world.forgets = 1;
        world.doc().spec = spec(V33, 1, &[("a", 2)]);
        world.until(S::Warning);
        let before = ended(&world);
        let node = *live(&world, 24001).difference(&world.forgotten).next().unwrap();
        // After the first answer, which spoke against it.
        world.run_for(400);
        begin(&mut world, node);
        world.run_for(5400);
        assert_eq!(ended(&world), before, "{what}");
        end(&mut world, node);
        world.run_for(60);
        assert_eq!(ended(&world), before, "{what}: it has only just passed");
        world.run_for(2400);
        assert_eq!(ended(&world), before + 1, "{what}");
        assert_eq!(world.state(), S::Running, "{what}");
    }
}

/// Even where all is known: who pauses a cluster looks at it.
#[test]
fn while_it_is_paused_nothing_is_ended() {
    for paused in [true, false] {
        let mut world = running(1, &[("a", 2)]);
        world.run_for(600);
        world.forgets = 1;
        world.doc().spec = spec(V33, 1, &[("a", 1)]);
        world.until(S::Warning);
        world.run_for(400);
        let before = ended(&world);
        let mut status = world.status();
        let now = world.now;
        let vms = status.node_groups[0].vms.iter_mut();
        for forgotten in vms.filter_map(|vm| vm.forgotten.as_mut()) {
            forgotten.again = now;
            forgotten.since = now - 600;
        }
        world.doc().status = Some(status.to_json());
        if paused {
            world.doc().spec = world.doc().spec.replacen('{', "{\"paused\":true,", 1);
        }
        world.pass(None);
        assert_eq!(ended(&world) - before, usize::from(!paused));
    }
}

/// What is only forgotten for a moment is none of it: an answer between speaks for it.
#[test]
fn an_answer_that_knows_it_begins_the_time_anew() {
    let mut world = running(1, &[("a", 2)]);
    let before = ended(&world);
    world.doc().spec = spec(V33, 1, &[("a", 1)]);
    world.forgets = 1;
    world.until(S::Warning);
    world.run_for(400);
    let forgotten = std::mem::take(&mut world.forgotten);
    world.shrink("oneks-24-a", 2);
    world.run_for(700);
    assert_eq!(ended(&world), before);
    world.shrink("oneks-24-a", 1);
    world.forgotten = forgotten;
    world.run_for(500);
    assert_eq!(ended(&world), before);
}

#[test]
fn what_is_too_many_without_guests_goes_after_a_while_and_not_before() {
    let mut world = World::new(Kind::Plain, &spec(V33, 1, &[("a", 2)]));
    world.until(S::Running);
    let backup = world.doc().clone();
    world.doc().spec = spec(V33, 1, &[("a", 4)]);
    world.run_for(300);
    world.until(S::Running);
    // A backup is brought back on a front-end that has forgotten everything.
    *world.doc() = backup;
    world.hints = live(&world, 24001);
    world.until(S::Warning);
    let before = ended(&world);
    world.run_for(500);
    let error = world.status().node_groups[0].error.clone().unwrap();
    assert_eq!(error.reason, "NodeSurplus");
    assert!(error.message.contains("after 10 minutes"), "{}", error.message);
    assert_eq!(ended(&world), before);
    world.until(S::Running);
    assert_eq!((ended(&world), live(&world, 24001).len()), (before + 2, 2));
    assert!(told(&world, "is removed: 2 nodes are wanted"));
}

/// What happens to a cluster.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Time(u16),
    Scale(u8),
    Upgrade,
    Remove,
    Forget,
    Sick(u8),
    Well,
    End(u8),
    Stop(u8),
    EraseStatus,
    CommandsFail(bool),
    Freeze(bool),
    Recover,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (10..1500_u16).prop_map(Turn::Time),
        2 => (0..4_u8).prop_map(Turn::Scale),
        1 => Just(Turn::Upgrade),
        1 => Just(Turn::Remove),
        3 => Just(Turn::Forget),
        1 => any::<u8>().prop_map(Turn::Sick),
        1 => Just(Turn::Well),
        1 => any::<u8>().prop_map(Turn::End),
        1 => any::<u8>().prop_map(Turn::Stop),
        1 => Just(Turn::EraseStatus),
        1 => any::<bool>().prop_map(Turn::CommandsFail),
        1 => any::<bool>().prop_map(Turn::Freeze),
        1 => Just(Turn::Recover),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: what Cluster API knows is never ended by the hooks, and what it has forgotten is in the end.
    #[test]
    fn only_what_is_forgotten_is_ended(turns in prop::collection::vec(turn(), 1..12)) {
        let mut world = running(3, &[("a", 2), ("b", 1)]);
        let (mut version, mut count, mut removed, mut orders) = (V33, 2, false, 0);
        for turn in turns {
            let nodes: Vec<u32> = live(&world, 24001).into_iter().chain(live(&world, 24000)).collect();
            let pick = |n: u8| nodes[usize::from(n) % nodes.len()];
            match turn {
                Turn::Time(seconds) => drop(world.run_for(u64::from(seconds))),
                Turn::Scale(n) => count = u32::from(n),
                Turn::Upgrade => version = V34,
                Turn::Remove => removed = !removed,
                Turn::Forget => world.forgets = 1,
                Turn::Sick(n) => world.sick.extend([pick(n)]),
                Turn::Well => world.sick.clear(),
                Turn::End(n) => world.end(pick(n)),
                Turn::Stop(n) => world.stop(pick(n)),
                Turn::EraseStatus => world.doc().status = None,
                Turn::CommandsFail(fail) => {
                    world.commands = if fail { CommandMood::Fails } else { CommandMood::Works };
                }
                Turn::Freeze(frozen) => world.frozen = frozen,
                Turn::Recover => {
                    orders += 1;
                    world.doc().recover = Some(format!("order {orders}"));
                }
            }
            let mut groups = vec![("b", 1)];
            if !removed {
                groups.push(("a", count));
            }
            world.doc().spec = spec(version, 3, &groups);
            world.run_for(20);
        }
        prop_assert!(world.wronged.is_empty(), "{:?}", world.wronged);
        world.commands = CommandMood::Works;
        world.frozen = false;
        world.sick.clear();
        for round in 0..4 {
            let down = |m: &&Machine| m.vm.condition == VmCondition::Down && !world.forgotten.contains(&m.vm.id);
            let down: Vec<u32> = world.machines.values().filter(down).map(|m| m.vm.id).collect();
            for id in down {
                world.resume(id);
            }
            world.doc().recover = Some(format!("last order {round}"));
            for _ in 0..40 {
                world.tick(60);
                world.pass(None);
            }
        }
        prop_assert!(world.wronged.is_empty(), "{:?}", world.wronged);
        let newest = live(&world, 24000).last().copied();
        let left: Vec<u32> = world.machines.keys().copied().filter(|id| world.forgotten.contains(id)).collect();
        prop_assert!(left.iter().all(|id| Some(*id) == newest), "{left:?} {}", world.status().to_json());
    }
}
