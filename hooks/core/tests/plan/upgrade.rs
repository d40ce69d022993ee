//! The order of an upgrade, whatever happens meanwhile: the control plane first, then group after group, one node more
//! than wanted, and no node back to the old version.

use oneks_core::state::ClusterState as S;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const KINDS: [Kind; 3] = [Kind::Guest, Kind::Routed, Kind::Plain];
const V33: &str = "v1.33.7";
const V34: &str = "v1.34.2";
const GROUPS: [(&str, u32); 2] = [("a", 2), ("b", 2)];
const IDS: [u32; 3] = [24000, 24001, 24002];

/// Watches an upgrade.
struct Watch {
    /// Nodes of the new version, by group, when last seen.
    new: [usize; 3],
    what: String,
}

impl Watch {
    fn new(what: String) -> Self {
        Self { new: [0; 3], what }
    }

    fn look(&mut self, world: &World) {
        let what = &self.what;
        let count = |id: u32, version: &str| world.nodes(id).iter().filter(|v| *v == version).count();
        let new = IDS.map(|id| count(id, V34));
        let old = IDS.map(|id| count(id, V33));
        for n in 1..3 {
            assert!(new[n] == 0 || old[n - 1] == 0, "{what}: {new:?} of {old:?}");
        }
        for (n, most) in [4, 3, 3].into_iter().enumerate() {
            assert!(
                new[n] >= self.new[n],
                "{what}: a node went back: {new:?} after {:?}",
                self.new
            );
            // The model's driver without guests makes a group's new nodes at once.
            assert!(
                world.kind == Kind::Plain || new[n] + old[n] <= most,
                "{what}: {new:?} {old:?}"
            );
        }
        self.new = new;
    }
}

fn upgrading(kind: Kind) -> World {
    let mut world = World::new(kind, &spec(V33, 3, &GROUPS));
    world.until(S::Running);
    world.doc().spec = spec(V34, 3, &GROUPS);
    world.pass(None);
    world
}

/// Goes on to the end, watched.
fn end(world: &mut World, watch: &mut Watch) {
    let end = world.now + 4 * 3600;
    while world.state() != S::Running || IDS.iter().any(|id| world.nodes(*id).iter().any(|v| v != V34)) {
        assert!(
            world.now < end,
            "{}: never: {}",
            watch.what,
            world.status().to_json()
        );
        world.tick(10);
        watch.look(world);
        world.pass(None);
    }
    assert!(world.status().groups().all(|g| g.version.as_deref() == Some(V34)));
}

#[test]
fn the_order_is_kept_when_the_status_is_lost_at_any_time() {
    for kind in KINDS {
        let mut world = upgrading(kind);
        let mut watch = Watch::new(format!("{kind:?}"));
        let mut at = 0;
        while world.state() != S::Running {
            at += 1;
            let mut lost = world.clone();
            let mut what = Watch::new(format!("{kind:?} lost at {at}"));
            lost.doc().status = None;
            lost.pass(None);
            end(&mut lost, &mut what);
            world.tick(10);
            watch.look(&world);
            world.pass(None);
        }
        assert!(at > if kind == Kind::Plain { 5 } else { 20 }, "{at} moments");
    }
}

/// What STATUS says of single nodes is what they are; a new one says nothing until Kubernetes was asked.
#[test]
fn the_ledger_says_what_every_node_runs_and_both_versions_are_shown() {
    for kind in KINDS {
        let mut world = upgrading(kind);
        let mut seen = [false; 2];
        while world.state() != S::Running {
            let status = world.status();
            for group in status.groups() {
                for vm in &group.vms {
                    let runs = world.machines.get(&vm.id).map(|m| m.version.clone());
                    assert!(
                        vm.version.is_none() || runs.is_none() || vm.version == runs,
                        "{kind:?} {vm:?}"
                    );
                    let old = group.version.as_deref() == Some(V33) && group.settled.contains(&vm.id);
                    assert!(!old || vm.version.as_deref() == Some(V33), "{kind:?} {vm:?}");
                }
                let wanted = group.target.as_ref().map(|t| t.version.as_str());
                assert_eq!(wanted, Some(V34));
                let goal = group.goal.as_ref().map(|g| g.version.as_str());
                match group.version.as_deref() {
                    Some(V33) => seen[usize::from(goal == Some(V34))] = true,
                    version => assert_eq!(version, Some(V34)),
                }
            }
            world.tick(10);
            world.pass(None);
        }
        // Groups that wait, and such as are under way.
        assert!(seen[1] && (seen[0] || kind == Kind::Plain));
        let status = world.status();
        let all = status.groups().flat_map(|g| &g.vms);
        assert!(all.into_iter().all(|vm| vm.version.as_deref() == Some(V34)));
    }
}

#[test]
fn a_pause_between_two_groups_lasts_until_it_is_taken_back() {
    for kind in [Kind::Guest, Kind::Routed] {
        let mut world = upgrading(kind);
        let mut watch = Watch::new(format!("{kind:?} paused"));
        while world.nodes(24000).iter().any(|v| v == V33) {
            world.tick(10);
            watch.look(&world);
            world.pass(None);
        }
        let text = world.doc().spec.clone();
        world.doc().spec = text.replacen('{', "{\"paused\":true,", 1);
        world.run_for(12 * 3600);
        assert!(world.nodes(24002).iter().all(|v| v == V33), "nothing is begun");
        world.doc().spec = text;
        end(&mut world, &mut watch);
        assert!(
            world.status().history.iter().all(|e| !e.text.contains("FAILURE")),
            "a pause takes no time from the work"
        );
    }
}

#[test]
fn a_failure_stops_there_and_recover_goes_on_there() {
    for kind in [Kind::Guest, Kind::Routed] {
        let mut world = upgrading(kind);
        let mut watch = Watch::new(format!("{kind:?} failed"));
        while !world.nodes(24001).iter().any(|v| v == V34) {
            world.tick(10);
            watch.look(&world);
            world.pass(None);
        }
        world.frozen = true;
        world.until(S::UpgradingFailure);
        let error = world.status().node_groups[0].error.clone().unwrap();
        assert!(
            error.reason == "DeadlineExceeded" && error.message.contains("group a was not done"),
            "{error:?}"
        );
        let kept: Vec<u32> = world.machines.keys().copied().collect();
        world.frozen = false;
        world.run_for(7200);
        assert!(
            world.nodes(24002).iter().all(|v| v == V33),
            "the next group is not begun"
        );
        assert_eq!(world.state(), S::UpgradingFailure);
        world.doc().recover = Some("1".to_owned());
        end(&mut world, &mut watch);
        let control_plane = world.alive(oneks_core::observed::Kind::ControlPlane);
        assert!(
            control_plane.iter().all(|id| kept.contains(id)),
            "what was done stays done"
        );
    }
}

#[test]
fn a_node_that_is_lost_in_mid_upgrade_is_replaced_and_the_rest_goes_on() {
    for kind in [Kind::Guest, Kind::Routed] {
        for (n, after) in [40, 90, 140, 190, 240].into_iter().enumerate() {
            let mut world = upgrading(kind);
            world.run_for(after);
            assert_eq!(world.state(), S::Upgrading);
            let nodes = world.alive(oneks_core::observed::Kind::ControlPlane);
            let lost = nodes[(n + 1) % nodes.len()];
            world.end(lost);
            let end = world.now + 4 * 3600;
            while world.state() != S::Running {
                assert!(world.now < end, "{}", world.status().to_json());
                assert!(!world.state().as_str().ends_with("_FAILURE"));
                world.tick(10);
                world.pass(None);
            }
            for (id, size) in IDS.into_iter().zip([3, 2, 2]) {
                assert_eq!(world.nodes(id), vec![V34; size], "{kind:?} {after}");
            }
        }
    }
}

/// Another size during an upgrade waits until the group has been upgraded, and is not forgotten.
#[test]
fn another_size_during_an_upgrade_comes_after_it() {
    for kind in KINDS {
        for after in [10, 90, 200, 320] {
            let mut world = upgrading(kind);
            world.run_for(after);
            world.doc().spec = spec(V34, 5, &[("a", 3), ("b", 0)]);
            world.pass(None);
            world.until(S::Running);
            world.run_for(300);
            world.until(S::Running);
            for (id, size) in IDS.into_iter().zip([5, 3, 0]) {
                assert_eq!(world.nodes(id), vec![V34; size], "{kind:?} {after}");
            }
        }
    }
}
