//! Scripts that wait in a guest: one command tells the end of a change, and none stands in the way of the next.

use oneks_core::state::ClusterState as S;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const V33: &str = "v1.33.7";
const V34: &str = "v1.34.2";

/// A cluster at rest, with an empty log.
fn running(control_plane: u32, groups: &[(&str, u32)]) -> World {
    let mut world = World::new(Kind::Guest, &spec(V33, control_plane, groups));
    world.until(S::Running);
    world.log.clear();
    world.scripts.clear();
    world
}

/// How often a command of this purpose was started for a group.
fn commands(world: &World, purpose: &str, group: u32) -> usize {
    let token = format!(":{purpose}-{group}-");
    world.log.iter().filter(|line| line.contains(&token)).count()
}

#[test]
fn a_change_takes_one_command() {
    let mut world = running(1, &[("a", 1)]);
    world.doc().spec = spec(V33, 1, &[("a", 4)]);
    world.until(S::Scaling).until(S::Running);
    assert_eq!(
        (commands(&world, "apply", 24001), commands(&world, "probe", 24001)),
        (1, 0)
    );
    assert_eq!(world.nodes(24001).len(), 4);
    assert_eq!(world.done("cancel the command"), 0);
}

#[test]
fn a_new_target_does_not_wait_for_the_old_one() {
    for others in [false, true] {
        let mut world = running(1, &[("a", 1), ("b", 1)]);
        world.frozen = true;
        world.doc().spec = spec(V33, 1, &[("a", 4), ("b", 1)]);
        world.run_for(100);
        assert_eq!(world.state(), S::Scaling);
        assert!(
            world.status().guest_exec.is_some(),
            "a command waits for nodes that don't come"
        );
        let (groups, group): (&[(&str, u32)], _) = if others {
            (&[("a", 4), ("b", 3)], 24002)
        } else {
            (&[("a", 2), ("b", 1)], 24001)
        };
        let before = commands(&world, "apply", group);
        world.doc().spec = spec(V33, 1, groups);
        world.run_for(40);
        assert_eq!(commands(&world, "apply", group), before + 1, "{group}");
        assert_eq!(world.done("cancel the command"), 1);
        assert_eq!(world.status().last_error, None, "nobody is to blame");
        world.frozen = false;
        world.until(S::Running);
        assert_eq!(world.nodes(24001).len(), groups[0].1 as usize);
        assert_eq!(world.nodes(24002).len(), groups[1].1 as usize);
    }
}

/// A command that may still be changing something is not cut off in the middle of it.
#[test]
fn a_command_that_has_just_begun_gets_its_time() {
    let mut world = running(1, &[("a", 1)]);
    world.frozen = true;
    world.doc().spec = spec(V33, 1, &[("a", 4)]);
    world.run_for(10);
    world.doc().spec = spec(V33, 1, &[("a", 2)]);
    world.pass(None);
    assert_eq!(world.done("cancel the command"), 0);
    let exec = world.status().guest_exec.unwrap();
    assert!(exec.given_up && exec.deadline <= exec.issued + 30, "{exec:?}");
    world.run_for(60);
    assert_eq!(
        (world.done("cancel the command"), commands(&world, "apply", 24001)),
        (1, 2)
    );
    assert_eq!(world.status().last_error, None);
    world.frozen = false;
    world.until(S::Running);
    assert_eq!(world.nodes(24001).len(), 2);
}

#[test]
fn groups_that_change_side_by_side_take_turns() {
    let mut world = running(1, &[("a", 1), ("b", 1), ("c", 1)]);
    world.doc().spec = spec(V33, 1, &[("a", 3), ("b", 0), ("c", 2)]);
    world.until(S::Scaling).until(S::Running);
    for (group, nodes) in [(24001, 3), (24002, 0), (24003, 2)] {
        assert_eq!(commands(&world, "apply", group), 1, "{group}");
        assert_eq!(world.nodes(group).len(), nodes);
    }
    assert_eq!(world.done("cancel the command"), 0);
}

/// The node on which a command waits is replaced by the very upgrade that it waits for.
#[test]
fn a_wait_that_goes_with_its_node_is_no_error() {
    for control_plane in [1, 3] {
        let mut world = running(control_plane, &[("a", 2)]);
        world.doc().spec = spec(V34, control_plane, &[("a", 2)]);
        world.until(S::Upgrading).until(S::Running);
        assert_eq!(world.status().last_error, None);
        assert_eq!(world.nodes(24000), vec![V34; control_plane as usize]);
        assert_eq!(world.nodes(24001), [V34; 2]);
    }
}

/// Which nodes there are is what the probe finds out: those that came while it waited are settled with the rest.
#[test]
fn nodes_that_come_meanwhile_are_not_asked_for_again() {
    let mut world = running(1, &[("a", 2)]);
    world.doc().spec = spec(V33, 1, &[("a", 3)]);
    world.until(S::Running);
    world.log.clear();
    world.run_for(300);
    assert_eq!(world.log, Vec::<String>::new());
    // One that is replaced later is.
    let id = *world
        .machines
        .iter()
        .find(|(_, m)| m.vm.name.contains("-a-"))
        .unwrap()
        .0;
    world.end(id);
    world.until(S::Warning).until(S::Running);
    assert!(commands(&world, "probe", 24001) >= 1);
}
