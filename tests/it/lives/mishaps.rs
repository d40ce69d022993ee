//! Nodes that fail in the middle of an upgrade: it ends all the same with the right nodes of the right version.

use std::collections::BTreeMap;

use oneks_sandbox::VmFaults;
use serde_json::json;

use crate::lives::base;
use crate::support::scene::{PLAIN, Scene, exhaustive, resize};

/// What happens to a node.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Terminated,
    PoweredOff,
    Unknown,
}

/// What is tried: everything if the tests are to be exhaustive.
fn tried(who: &str, mishap: Mishap) -> bool {
    exhaustive()
        || matches!(
            (who, mishap),
            ("old", Mishap::Terminated) | ("new", Mishap::PoweredOff)
        )
}

fn strike(scene: &Scene, vm: u32, mishap: Mishap) {
    match mishap {
        Mishap::Terminated => scene.terminate(vm),
        Mishap::PoweredOff => assert!(scene.life.sandbox.power_off_outside(vm)),
        Mishap::Unknown => assert!(scene.life.sandbox.lose_vm(vm)),
    }
}

/// The upgrade ends. If it stops at the mishap, what is lost is made good by RECOVER, once.
fn ends_well(mut scene: Scene, what: &str) {
    scene.until(&format!("{what}: a rest"), 8 * 3600, |scene| {
        let upgraded = scene
            .status()
            .groups()
            .all(|g| g.version.as_deref() == Some("v1.34.2"));
        scene.state().ends_with("FAILURE") || upgraded && scene.state() == "RUNNING"
    });
    if scene.state() != "RUNNING" {
        let error = scene.status().last_error.unwrap();
        assert!(
            !error.message.is_empty() && error.message.contains("RECOVER"),
            "{what}: {error:?}"
        );
        scene.recover("again");
        scene.until_done(8 * 3600);
    }
    let status = scene.status();
    for group in status.groups() {
        assert_eq!(group.version.as_deref(), Some("v1.34.2"), "{what}: {}", group.key);
        assert_eq!(group.vms.len(), group.want as usize, "{what}: {}", group.key);
    }
    assert_eq!(
        (scene.vms("CONTROL_PLANE").len(), scene.nodes("workers").len()),
        (status.control_plane.want as usize, 2),
        "{what}\n{}",
        scene.life.report()
    );
    if scene.guests.is_some() {
        let wanted = BTreeMap::from([("v1.34.2+rke2r1".to_owned(), 2 + status.control_plane.vms.len())]);
        assert_eq!(scene.versions(), wanted, "{what}\n{}", scene.life.report());
    }
    scene.life.errors.clear();
    scene.end(PLAIN);
}

fn upgrading(scene: &mut Scene) {
    scene.order(|spec| spec["kubernetes_version"] = json!("v1.34.2"));
    scene.until_state("UPGRADING", 300);
}

/// Goes on until a group has one node more than it should.
fn surged(scene: &mut Scene, kind: &str, size: usize) -> (u32, u32) {
    let what = format!("{kind}: one more");
    scene.until(&what, 2 * 3600, |scene| scene.vms(kind).len() > size);
    let vms = scene.vms(kind);
    (vms[0].meta.id, vms[size].meta.id)
}

#[test]
fn a_control_plane_node_in_the_middle_of_its_upgrade() {
    let (mut scene, _base) = base::capone_ha();
    upgrading(&mut scene);
    let (old, new) = surged(&mut scene, "CONTROL_PLANE", 3);
    for (who, vm) in [("old", old), ("new", new)] {
        for mishap in [Mishap::Terminated, Mishap::PoweredOff, Mishap::Unknown] {
            if !tried(who, mishap) {
                continue;
            }
            let mut fork = scene.fork();
            if who == "new" {
                fork.until("it runs", 600, |scene| {
                    let vm = scene.life.sandbox.vm(vm).unwrap();
                    vm.lcm_state == oneks_sandbox::LcmState::Running
                });
            }
            strike(&fork, vm, mishap);
            ends_well(fork, &format!("{who} control-plane node {mishap:?}"));
        }
    }
}

#[test]
fn a_worker_in_the_middle_of_its_upgrade() {
    let (mut scene, _base) = base::capone();
    scene.order(|spec| resize(spec, "workers", 2));
    scene.until_done(3600);
    upgrading(&mut scene);
    let (old, new) = surged(&mut scene, "NODE", 2);
    scene.until("it runs", 600, |scene| {
        let vm = scene.life.sandbox.vm(new).unwrap();
        vm.lcm_state == oneks_sandbox::LcmState::Running
    });
    for (who, vm) in [("old", old), ("new", new)] {
        for mishap in [Mishap::Terminated, Mishap::PoweredOff, Mishap::Unknown] {
            if !tried(who, mishap) {
                continue;
            }
            let fork = scene.fork();
            strike(&fork, vm, mishap);
            ends_well(fork, &format!("{who} worker {mishap:?}"));
        }
    }
}

#[test]
fn a_new_node_that_does_not_boot() {
    let (mut scene, _base) = base::capone();
    scene.order(|spec| resize(spec, "workers", 2));
    scene.until_done(3600);
    upgrading(&mut scene);
    for name in ["oneks-1-workers", "oneks-1-"] {
        let fork = scene.fork();
        fork.life
            .sandbox
            .faults(|f| f.boot = VmFaults::named(name, Some(1)));
        ends_well(fork, &format!("the first {name} does not boot"));
    }
}

#[test]
fn without_guests() {
    let (mut scene, _base) = base::dummy();
    scene.order(|spec| resize(spec, "workers", 2));
    scene.until_done(600);
    upgrading(&mut scene);
    let (old, new) = surged(&mut scene, "NODE", 2);
    scene.until("it runs", 600, |scene| {
        let vm = scene.life.sandbox.vm(new).unwrap();
        vm.lcm_state == oneks_sandbox::LcmState::Running
    });
    for (who, vm) in [("old", old), ("new", new)] {
        for mishap in [Mishap::Terminated, Mishap::PoweredOff, Mishap::Unknown] {
            let fork = scene.fork();
            // It may be replaced in this very moment.
            let there = fork.life.sandbox.vm(vm).unwrap();
            if there.lcm_state == oneks_sandbox::LcmState::Running {
                strike(&fork, vm, mishap);
            }
            ends_well(fork, &format!("{who} worker {mishap:?}"));
        }
    }
}
