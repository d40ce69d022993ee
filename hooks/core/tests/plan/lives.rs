//! Whole lives: what users do to a cluster, from creation to deletion.

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::{ClusterState as S, GroupState};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const KINDS: [Kind; 2] = [Kind::Guest, Kind::Plain];
const V33: &str = "v1.33.7";
const V34: &str = "v1.34.2";

#[test]
fn clusters_of_every_shape_are_made_and_removed() {
    for kind in KINDS {
        for control_plane in [1, 3] {
            for groups in 0..4 {
                let names = [("a", 1), ("b", 0), ("web-a", 3)];
                let mut world = World::new(kind, &spec(V33, control_plane, &names[..groups]));
                world.until(S::Running);
                assert_eq!(world.nodes(24000), vec![V33; control_plane as usize]);
                for (n, (_, count)) in (1..).zip(&names[..groups]) {
                    assert_eq!(world.nodes(24000 + n).len(), *count as usize);
                }
                assert!(world.alive(VmKind::Seed).is_empty());
                assert_eq!(world.routers.len(), 1);
                assert_eq!(world.doc().kubeconfig.as_deref(), Some("a kubeconfig"));
                let (writes, looks) = (world.writes, world.looks);
                world.run_for(600);
                assert_eq!(
                    (world.writes, world.looks),
                    (writes, looks),
                    "a cluster at rest costs nothing"
                );
                world.doc().delete = Some("YES".to_owned());
                world.until(S::Done);
                world.run_for(60);
                assert!(world.is_empty());
            }
        }
    }
}

fn running(kind: Kind, control_plane: u32, groups: &[(&str, u32)]) -> World {
    let mut world = World::new(kind, &spec(V33, control_plane, groups));
    world.until(S::Running);
    world
}

fn edit(world: &mut World, version: &str, control_plane: u32, groups: &[(&str, u32)]) {
    world.doc().spec = spec(version, control_plane, groups);
}

/// Deletes the cluster and sees that nothing is left.
fn bury(world: &mut World) {
    world.doc().delete = Some("YES".to_owned());
    world.until(S::Done);
    world.run_for(60);
    assert!(
        world.is_empty(),
        "{:?}",
        world.machines.values().map(|m| &m.vm.name).collect::<Vec<_>>()
    );
}

#[test]
fn groups_grow_shrink_and_go_to_zero() {
    for kind in KINDS {
        let mut world = running(kind, 1, &[("a", 1), ("b", 2)]);
        for (a, b) in [(3, 2), (3, 0), (0, 0), (2, 4), (1, 1)] {
            edit(&mut world, V33, 1, &[("a", a), ("b", b)]);
            world.pass(None);
            // What only ends VMs is done at once where no guest has a say.
            assert!(world.state() == S::Scaling || kind == Kind::Plain);
            world.until(S::Running);
            assert_eq!(
                (world.nodes(24001).len(), world.nodes(24002).len()),
                (a as usize, b as usize)
            );
        }
        bury(&mut world);
    }
}

/// A new size while one is under way takes its place: there is no queue, and nothing fails.
#[test]
fn a_new_size_replaces_the_one_that_is_under_way() {
    for kind in KINDS {
        for (first, second) in [(5, 3), (5, 1), (5, 8), (0, 4), (1, 0)] {
            for after in [0, 20, 50, 90] {
                let mut world = running(kind, 1, &[("a", 2)]);
                edit(&mut world, V33, 1, &[("a", first)]);
                world.run_for(after);
                edit(&mut world, V33, 1, &[("a", second)]);
                world.pass(None);
                let goal = world.status().node_groups[0].goal.clone().unwrap();
                assert_eq!(goal.replicas, second);
                world.until(S::Running);
                assert_eq!(
                    world.nodes(24001).len(),
                    second as usize,
                    "{kind:?} {first} {second} {after}"
                );
                let failed = |e: &oneks_core::status::Entry| e.text.contains("FAILURE");
                assert!(!world.status().history.iter().any(failed));
            }
        }
    }
}

#[test]
fn a_control_plane_is_resized() {
    for kind in KINDS {
        let mut world = running(kind, 1, &[]);
        for count in [3, 5, 3, 1] {
            edit(&mut world, V33, count, &[]);
            world.pass(None);
            world.until(S::Running);
            assert_eq!(world.nodes(24000).len(), count as usize);
        }
        bury(&mut world);
    }
}

#[test]
fn a_control_plane_is_resized_while_it_is_being_made() {
    for kind in KINDS {
        for after in [30, 60, 90, 120, 200] {
            let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
            world.run_for(after);
            edit(&mut world, V33, 3, &[("a", 2)]);
            world.until(S::Running);
            world.run_for(300);
            world.until(S::Running);
            assert_eq!(
                (world.nodes(24000).len(), world.nodes(24001).len()),
                (3, 2),
                "{kind:?} {after}"
            );
            assert_eq!(world.done("-seed"), 2, "allocated and ended once");
        }
    }
}

#[test]
fn groups_come_and_go() {
    for kind in KINDS {
        let mut world = running(kind, 1, &[("a", 1)]);
        edit(&mut world, V33, 1, &[("a", 1), ("b", 2)]);
        world.pass(None);
        assert_eq!(world.state(), S::Scaling);
        world.until(S::Running);
        edit(&mut world, V33, 1, &[("b", 2)]);
        world.pass(None);
        world.until(S::Running);
        assert_eq!((world.nodes(24001).len(), world.nodes(24002).len()), (0, 2));
        assert!(world.templates.iter().all(|t| t.name != "oneks-24-a"));
        assert_eq!(world.status().node_groups.len(), 1);
        // The same name again is another group, and waits until the first one is gone.
        edit(&mut world, V33, 1, &[("a", 3), ("b", 2)]);
        world.pass(None);
        world.until(S::Running);
        assert_eq!(world.nodes(24003).len(), 3, "{}", world.status().to_json());
        edit(&mut world, V33, 1, &[("b", 2)]);
        world.pass(None);
        edit(&mut world, V33, 1, &[("a", 1), ("b", 2)]);
        world.pass(None);
        world.until(S::Running);
        assert_eq!((world.nodes(24003).len(), world.nodes(24004).len()), (0, 1));
        bury(&mut world);
    }
}

#[test]
fn a_group_that_was_never_begun_leaves_without_a_script() {
    for kind in KINDS {
        let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
        world.run_for(30);
        assert_eq!(world.status().node_groups[0].state, GroupState::Pending);
        edit(&mut world, V33, 1, &[]);
        world.run_for(20);
        assert!(world.status().node_groups.is_empty());
        world.until(S::Running);
        assert!(
            world
                .scripts
                .iter()
                .all(|s| !s.contains("delete") && !s.contains("apply"))
        );
    }
}

#[test]
fn an_upgrade_goes_from_the_control_plane_to_one_group_after_another() {
    for kind in KINDS {
        let mut world = running(kind, 3, &[("a", 2), ("b", 1)]);
        edit(&mut world, V34, 3, &[("a", 2), ("b", 1)]);
        world.pass(None);
        assert_eq!(world.state(), S::Upgrading);
        let end = world.now + 7200;
        while world.state() != S::Running {
            assert!(world.now < end);
            let new = |w: &World, id| w.nodes(id).iter().filter(|v| *v == V34).count();
            let old = |w: &World, id| w.nodes(id).iter().filter(|v| *v == V33).count();
            if new(&world, 24001) > 0 {
                assert_eq!(old(&world, 24000), 0, "a node is newer than the control plane");
            }
            if new(&world, 24002) > 0 {
                assert_eq!(old(&world, 24001), 0, "two groups are upgraded at once");
            }
            assert_eq!(world.state(), S::Upgrading);
            world.tick(10);
            world.pass(None);
        }
        for id in 24000..24003 {
            assert!(world.nodes(id).iter().all(|v| v == V34));
        }
        assert!(world.status().groups().all(|g| g.version.as_deref() == Some(V34)));
        bury(&mut world);
    }
}

#[test]
fn an_upgrade_is_taken_back_before_its_first_node_and_not_later() {
    let mut world = running(Kind::Guest, 3, &[("a", 1)]);
    world.frozen = true;
    edit(&mut world, V34, 3, &[("a", 1)]);
    world.run_for(120);
    assert_eq!(world.state(), S::Upgrading);
    edit(&mut world, V33, 3, &[("a", 1)]);
    world.run_for(30);
    assert_eq!(
        world.status().control_plane.goal.map(|g| g.version).as_deref(),
        Some(V33)
    );
    world.frozen = false;
    world.until(S::Running);
    world.run_for(600);
    assert!(
        world
            .nodes(24000)
            .iter()
            .chain(&world.nodes(24001))
            .all(|v| v == V33)
    );

    edit(&mut world, V34, 3, &[("a", 1)]);
    while !world.nodes(24000).contains(&V34.to_owned()) {
        world.pass(None);
        world.tick(10);
    }
    edit(&mut world, V33, 3, &[("a", 1)]);
    world.run_for(30);
    let accepted = world.status().condition("Accepted").cloned().unwrap();
    assert!(
        accepted.message.contains("can't be taken back"),
        "{}",
        accepted.message
    );
    world.until(S::Running);
    assert!(
        world
            .nodes(24000)
            .iter()
            .chain(&world.nodes(24001))
            .all(|v| v == V34)
    );
}

#[test]
fn versions_never_go_down_nor_jump() {
    for kind in KINDS {
        let mut world = World::new(kind, &spec("v1.32.9", 1, &[("a", 1)]));
        world.until(S::Running);
        for (version, reason) in [
            (V34, "VersionNotPossible"),
            ("v1.31.0", "InvalidSpec"),
            ("nonsense", "InvalidSpec"),
        ] {
            edit(&mut world, version, 1, &[("a", 1)]);
            world.run_for(60);
            assert_eq!(world.state(), S::Running);
            assert_eq!(world.status().condition("Accepted").unwrap().reason, reason);
        }
        edit(&mut world, "v1.33.1", 1, &[("a", 1)]);
        world.pass(None);
        // On the way, no version that the control plane would have to go back to.
        while world.status().control_plane.version.as_deref() != Some("v1.33.1") {
            world.tick(10);
            world.pass(None);
        }
        edit(&mut world, "v1.32.9", 1, &[("a", 1)]);
        world.pass(None);
        assert_eq!(
            world.status().condition("Accepted").unwrap().reason,
            "VersionNotPossible"
        );
        world.until(S::Running);
        assert_eq!(world.nodes(24001), ["v1.33.1"]);
    }
}

#[test]
fn a_pause_starts_nothing_and_takes_no_time() {
    for kind in KINDS {
        for after in [10, 40, 100, 160] {
            let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
            world.run_for(after);
            let text = world.doc().spec.clone();
            world.doc().spec = text.replace("\"node_groups\"", "\"paused\":true,\"node_groups\"");
            world.pass(None);
            let log = world.log.len();
            world.run_for(6 * 3600);
            let started = world.log[log..]
                .iter()
                .filter(|l| *l != "store the kubeconfig")
                .count();
            assert_eq!(started, 0, "{:?}", &world.log[log..]);
            let writes = world.writes;
            world.run_for(600);
            assert_eq!(world.writes, writes);
            world.doc().spec = text;
            if world.status().control_plane.seed.is_none_or(|s| s.vm.is_none())
                || kind == Kind::Plain
                || after > 60
            {
                world.until(S::Running);
                world.run_for(60);
                assert_eq!(world.state(), S::Running);
            }
        }
    }
}

#[test]
fn a_poweroff_is_a_warning_while_it_lasts() {
    for kind in KINDS {
        let mut world = running(kind, 3, &[("a", 2)]);
        for node in [VmKind::ControlPlane, VmKind::Node, VmKind::Router] {
            let id = world.alive(node)[0];
            world.stop(id);
            world.pass(None);
            assert_eq!(world.state(), S::Warning, "{node:?}");
            let writes = world.writes;
            world.run_for(1200);
            assert!(
                world.writes <= writes + 1,
                "a warning that lasts is not written again and again"
            );
            world.resume(id);
            world.until(S::Running);
            let status = world.status();
            assert!(status.groups().all(|g| g.ready == g.want), "{}", status.to_json());
        }
    }
}

#[test]
fn a_node_that_is_replaced_is_a_warning_and_never_scaling() {
    for node in [VmKind::ControlPlane, VmKind::Node] {
        let mut world = running(Kind::Guest, 3, &[("a", 2)]);
        let id = world.alive(node)[0];
        world.end(id);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..60 {
            world.pass(None);
            seen.insert(world.state());
            world.tick(10);
        }
        assert_eq!(seen, [S::Running, S::Warning].into());
        assert_eq!(world.state(), S::Running);
        assert!(world.status().groups().all(|g| g.vms.len() == g.want as usize));
        bury(&mut world);
    }
}

#[test]
fn a_missing_node_of_a_driver_without_guests_is_made_by_recover() {
    let mut world = running(Kind::Plain, 1, &[("a", 2)]);
    let id = world.alive(VmKind::Node)[0];
    world.end(id);
    world.run_for(300);
    assert_eq!(world.state(), S::Warning);
    world.doc().recover = Some("1".to_owned());
    world.until(S::Running);
    assert_eq!(world.nodes(24001).len(), 2);
}

#[test]
fn a_router_that_the_cluster_makes_and_that_is_gone_is_a_warning() {
    let mut world = running(Kind::Guest, 1, &[]);
    let id = world.routers[0].id;
    world.execute(&oneks_core::Action::DeleteRouter {
        id,
        name: String::new(),
    });
    world.run_for(60);
    assert_eq!(world.state(), S::Warning);
    let ready = world.status().condition("Ready").cloned().unwrap();
    assert_eq!(ready.reason, "RouterGone", "{}", ready.message);
    let writes = world.writes;
    world.run_for(600);
    assert_eq!(world.writes, writes);
    bury(&mut world);
}

#[test]
fn a_refused_spec_leaves_the_cluster_as_it_is() {
    for kind in KINDS {
        let mut world = running(kind, 1, &[("a", 1)]);
        let good = world.doc().spec.clone();
        let (log, nodes) = (world.log.len(), world.nodes(24001));
        for bad in [
            "",
            "{",
            "[]",
            &good.replace("\"public\":{\"id\":0}", "\"public\":{\"id\":9}"),
            &good.replace("small", "huge"),
            &spec(V33, 2, &[("a", 1)]),
            &spec(V33, 1, &[("a", 101)]),
            &spec(V33, 1, &[("cp", 1)]),
            &good.replacen('{', "{\"driver\":\"other\",", 1),
        ] {
            assert_ne!(bad, good);
            bad.clone_into(&mut world.doc().spec);
            world.run_for(1200);
            assert_eq!(world.state(), S::Running, "{bad}");
            let accepted = world.status().condition("Accepted").cloned().unwrap();
            assert_eq!(accepted.status, oneks_core::status::Truth::False);
            assert!(accepted.message.contains("the cluster stays as it is"));
            let status = world.status();
            let kept = status
                .accepted
                .as_ref()
                .map(|a| &a.node_groups[0].user_inputs_values);
            assert_eq!(kept.unwrap()["count"], 1, "nothing of it is stored as accepted");
            assert!(status.groups().all(|g| g.target == g.goal), "{bad}");
        }
        assert_eq!((world.log.len(), world.nodes(24001)), (log, nodes));
        world.doc().spec = good;
        world.run_for(60);
        assert_eq!(world.status().condition("Accepted").unwrap().reason, "Accepted");
        assert_eq!(world.log.len(), log);
    }
}

#[test]
fn deletion_protection_holds_and_force_does_not_break_it() {
    let protect = |on: bool| spec(V33, 1, &[]).replacen('{', &format!("{{\"deletion_protection\":{on},"), 1);
    let mut world = World::new(Kind::Plain, &protect(true));
    world.until(S::Running);
    for word in ["YES", "FORCE", "yes", "perhaps"] {
        world.doc().delete = Some(word.to_owned());
        world.run_for(120);
        assert_eq!(world.state(), S::Running, "{word}");
        assert!(world.status().condition("DeletionProtected").is_some());
    }
    world.doc().delete = Some("YES".to_owned());
    world.doc().spec = protect(false);
    world.until(S::Done);
    world.run_for(60);
    assert!(world.is_empty());
}

#[test]
fn a_cluster_is_deleted_at_any_moment_of_its_life() {
    for kind in KINDS {
        for force in ["YES", "FORCE"] {
            for moment in 0..40 {
                let mut world = World::new(kind, &spec(V33, 3, &[("a", 1), ("b", 1)]));
                world.run_for(moment * 20);
                if moment > 25 {
                    edit(&mut world, V34, 1, &[("a", 3)]);
                    world.run_for((moment - 25) * 20);
                }
                world.doc().delete = Some(force.to_owned());
                world.until(S::Done);
                world.run_for(60);
                assert!(world.is_empty(), "{kind:?} {force} {moment}");
            }
        }
    }
}

#[test]
fn another_owner_gets_no_second_cluster() {
    for kind in KINDS {
        let mut world = running(kind, 1, &[("a", 1)]);
        let log = world.log.len();
        world.doc().owner = 9;
        world.run_for(600);
        assert_eq!(world.log.len(), log);
        assert!(world.status().condition("OwnerChanged").is_some());
        let writes = world.writes;
        world.run_for(600);
        assert_eq!(world.writes, writes);
        world.doc().owner = crate::world::OWNER;
        world.run_for(60);
        assert!(world.status().condition("OwnerChanged").is_none());
        bury(&mut world);
    }
}

#[test]
fn a_clone_is_a_cluster_of_its_own() {
    let mut world = running(Kind::Plain, 1, &[]);
    let status = world.doc().status.clone().unwrap();
    let mut clone = World::new(Kind::Plain, &spec(V33, 1, &[]));
    clone.doc().status = Some(status.replace("\"document\":24", "\"document\":23"));
    assert_eq!(clone.status(), oneks_core::Status::new(24));
    clone.until(S::Running);
    assert_eq!(clone.done("allocate VM oneks-24-seed"), 1);
}

#[test]
fn recover_without_a_failure_does_nothing() {
    for kind in KINDS {
        let mut world = running(kind, 1, &[("a", 1)]);
        let log = world.log.len();
        for token in ["1", "2", "2"] {
            world.doc().recover = Some(token.to_owned());
            world.run_for(60);
            assert_eq!((world.state(), world.log.len()), (S::Running, log));
        }
        let lines = world
            .status()
            .history
            .iter()
            .filter(|e| e.text.contains("RECOVER"))
            .count();
        assert!(lines <= 2);
    }
}
