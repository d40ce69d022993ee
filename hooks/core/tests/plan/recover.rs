//! RECOVER from WARNING: what was stopped is started, what is missing is made, and the cluster never looks as if its
//! owner had changed it.

use std::collections::BTreeSet;

use oneks_core::observed::{FailureKind, Kind as VmKind};
use oneks_core::state::ClusterState as S;
use oneks_driver::VmCondition;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{Fault, World};

const V33: &str = "v1.33.7";
const KINDS: [Kind; 3] = [Kind::Guest, Kind::Routed, Kind::Plain];

fn running(kind: Kind, control_plane: u32) -> World {
    let mut world = World::new(kind, &spec(V33, control_plane, &[("a", 2)]));
    world.until(S::Running);
    world
}

fn recover(world: &mut World) {
    let token = format!("at {}", world.now);
    world.doc().recover = Some(token);
    world.pass(None);
}

/// The states in which the cluster is seen while this much time passes.
fn seen(world: &mut World, seconds: u64) -> BTreeSet<S> {
    let mut states = BTreeSet::new();
    for _ in 0..seconds / 10 {
        world.pass(None);
        states.insert(world.state());
        world.tick(10);
    }
    states
}

#[test]
fn what_was_stopped_is_started() {
    for kind in KINDS {
        for control_plane in [1, 3] {
            for what in [VmKind::ControlPlane, VmKind::Node, VmKind::Router] {
                // A router that the cluster makes is the cluster's own affair.
                if kind == Kind::Guest && what == VmKind::Router {
                    continue;
                }
                let mut world = running(kind, control_plane);
                let (id, machines) = (world.alive(what)[0], world.machines.len());
                world.stop(id);
                world.run_for(900);
                assert_eq!(world.state(), S::Warning);
                assert_eq!(world.done("resume"), 0, "nobody is started without an order");
                recover(&mut world);
                assert_eq!(world.done(&format!("resume VM {id}")), 1);
                let states = seen(&mut world, 600);
                assert_eq!(states, [S::Warning, S::Running].into(), "{kind:?} {what:?}");
                assert_eq!(world.state(), S::Running);
                assert_eq!(world.machines.len(), machines, "{kind:?} {what:?}");
                assert_eq!(world.done("resume"), 1);
                // The order is fulfilled; what is stopped later is another matter.
                world.stop(id);
                world.run_for(300);
                assert_eq!((world.state(), world.done("resume")), (S::Warning, 1));
            }
        }
    }
}

#[test]
fn a_worker_that_failed_is_replaced_and_a_control_plane_node_is_not() {
    for kind in KINDS {
        let mut world = running(kind, 3);
        let (worker, node) = (world.alive(VmKind::Node)[0], world.alive(VmKind::ControlPlane)[0]);
        for id in [worker, node] {
            let vm = &mut world.machines.get_mut(&id).unwrap().vm;
            vm.condition = VmCondition::Failed;
            vm.steady = false;
            vm.state = "ACTIVE/BOOT_FAILURE".to_owned();
            vm.error = Some("no KVM".to_owned());
            world.hints.insert(id);
        }
        world.run_for(60);
        let error = |w: &World, id: u32| {
            let status = w.status();
            status
                .groups()
                .find(|g| g.id == id)
                .unwrap()
                .error
                .clone()
                .unwrap()
        };
        let (first, second) = (error(&world, 24000), error(&world, 24001));
        assert_eq!(
            (first.reason.as_str(), second.reason.as_str()),
            ("VmFailure", "VmFailure")
        );
        assert!(
            first
                .message
                .contains("BOOT_FAILURE: no KVM; an administrator can try again")
        );
        assert!(
            second
                .message
                .contains("BOOT_FAILURE: no KVM; RECOVER replaces it")
        );
        recover(&mut world);
        let states = seen(&mut world, 600);
        assert_eq!(states, [S::Warning].into());
        assert!(!world.machines.contains_key(&worker) && world.machines.contains_key(&node));
        assert_eq!(world.nodes(24001).len(), 2);
        assert_eq!(world.status().node_groups[0].state.as_str(), "RUNNING");
    }
}

#[test]
fn what_somebody_took_from_the_group_is_made_again() {
    let mut world = running(Kind::Routed, 1);
    world.shrink("oneks-24-a", 1);
    world.run_for(900);
    assert_eq!(world.state(), S::Warning);
    assert_eq!(
        world.status().node_groups[0].error.as_ref().unwrap().reason,
        "NodeMissing"
    );
    recover(&mut world);
    assert_eq!(seen(&mut world, 600), [S::Warning, S::Running].into());
    assert_eq!((world.state(), world.nodes(24001).len()), (S::Running, 2));
}

/// What can't be done is told, repeated for a while with growing pauses, and then left alone. It is no failure.
#[test]
fn an_order_that_can_not_be_fulfilled_ends_in_a_warning() {
    for kind in KINDS {
        let mut world = running(kind, 1);
        let id = world.alive(VmKind::Node)[0];
        world.stop(id);
        world.run_for(60);
        let since = world.status().node_groups[0].error.as_ref().unwrap().since;
        world.faults = vec![Fault {
            what: "resume VM",
            kind: FailureKind::Quota,
            left: usize::MAX,
        }];
        recover(&mut world);
        let error = world.status().last_error.unwrap();
        assert_eq!(
            (error.reason.as_str(), error.object),
            ("QuotaExceeded", Some(format!("VM {id}")))
        );
        assert_eq!(seen(&mut world, 3600), [S::Warning].into());
        let tries = usize::MAX - world.faults[0].left;
        assert!((3..=9).contains(&tries), "{tries}");
        world.run_for(3600);
        assert_eq!(usize::MAX - world.faults[0].left, tries);
        assert_eq!(world.status().node_groups[0].error.as_ref().unwrap().since, since);
        let writes = world.writes;
        world.run_for(600);
        assert_eq!(world.writes, writes);
    }
}

#[test]
fn an_order_waits_while_the_cluster_is_paused() {
    for kind in KINDS {
        let mut world = running(kind, 1);
        let id = world.alive(VmKind::Node)[0];
        world.stop(id);
        let text = world.doc().spec.clone();
        world.doc().spec = text.replacen('{', "{\"paused\":true,", 1);
        world.run_for(60);
        recover(&mut world);
        world.run_for(7200);
        assert_eq!(world.done("resume"), 0);
        world.doc().spec = text;
        world.until(S::Running);
        assert_eq!(world.done("resume"), 1);
    }
}
