//! Orders that come while others are carried out: they are joined, replaced, halted, taken back.

use serde_json::{Value, json};

use crate::lives::base::{self, Base};
use crate::support::scene::{PLAIN, Scene, group, resize};

fn pair() -> Vec<(Scene, Base)> {
    vec![base::capone(), base::dummy()]
}

fn upgraded(spec: &mut Value) {
    spec["kubernetes_version"] = json!("v1.34.2");
}

fn working(scene: &Scene, key: &str, state: &str) -> bool {
    let status = scene.status();
    status.groups().any(|g| g.key == key && g.state.as_str() == state)
}

/// A cluster is what was ordered, wherever it is asked.
fn is(scene: &mut Scene, workers: usize, version: &str) {
    // What ends may take a moment.
    scene.pass_time(30);
    let status = scene.status();
    assert!(
        status.groups().all(|g| g.version.as_deref() == Some(version)),
        "{}",
        scene.life.report()
    );
    assert_eq!(scene.nodes("workers").len(), workers, "{}", scene.life.report());
    assert_eq!(scene.vms("CONTROL_PLANE").len(), 1);
    if scene.guests.is_some() {
        let versions = scene.versions();
        assert_eq!(
            versions.get(&format!("{version}+rke2r1")),
            Some(&(workers + 1)),
            "{versions:?}"
        );
        assert_eq!(versions.len(), 1, "{versions:?}");
    }
}

#[test]
fn a_group_is_scaled_while_the_cluster_is_upgraded() {
    for (mut scene, _base) in pair() {
        for moment in ["control-plane", "workers"] {
            let mut fork = scene.fork();
            fork.order(upgraded);
            fork.until(moment, 3600, |scene| working(scene, moment, "UPGRADING"));
            fork.order(|spec| resize(spec, "workers", 3));
            fork.until_done(4 * 3600);
            is(&mut fork, 3, "v1.34.2");
            fork.end(PLAIN);
        }
        // Both in one order.
        scene.order(|spec| {
            resize(spec, "workers", 2);
            upgraded(spec);
        });
        scene.until_done(4 * 3600);
        is(&mut scene, 2, "v1.34.2");
        scene.end(PLAIN);
    }
}

#[test]
fn the_cluster_is_upgraded_while_a_group_is_scaled() {
    for (mut scene, _base) in pair() {
        scene.order(|spec| resize(spec, "workers", 3));
        scene.until("scaling", 300, |scene| working(scene, "workers", "SCALING"));
        scene.order(upgraded);
        scene.until_done(4 * 3600);
        is(&mut scene, 3, "v1.34.2");
        scene.end(PLAIN);
    }
}

#[test]
fn a_new_target_replaces_the_one_under_way() {
    for (mut scene, _base) in pair() {
        let id = scene.group("workers").id;
        scene.order(|spec| resize(spec, "workers", 6));
        scene.until("some of them", 1800, |scene| scene.nodes("workers").len() >= 2);
        scene.order(|spec| resize(spec, "workers", 2));
        let mut states = Vec::new();
        scene.until("the new target", 3600, |scene| {
            states.push(scene.state());
            scene.state() == "RUNNING"
        });
        is(&mut scene, 2, "v1.33.7");
        states.dedup();
        assert_eq!(states, ["SCALING", "RUNNING"]);
        assert!(scene.most[&id] <= 6);
        // Back before anything has happened.
        let nodes = scene.nodes("workers").len();
        scene.order(|spec| resize(spec, "workers", 5));
        scene.order(|spec| resize(spec, "workers", 2));
        scene.until_done(600);
        scene.pass_time(300);
        assert_eq!(scene.nodes("workers").len(), nodes);
        scene.end(PLAIN);
    }
}

#[test]
fn a_group_that_is_being_made_can_be_taken_back() {
    for (scene, _base) in pair() {
        for seconds in [0, 1, 30, 200] {
            let mut fork = scene.fork();
            let before = fork.spec.clone();
            fork.order(|spec| spec["node_groups"].as_array_mut().unwrap().push(group("more", 2)));
            fork.pass_time(seconds);
            fork.order(|spec| *spec = before);
            fork.until_done(3600);
            is(&mut fork, 1, "v1.33.7");
            assert_eq!(
                fork.nodes("more").len(),
                0,
                "after {seconds} s\n{}",
                fork.life.report()
            );
            fork.end(PLAIN);
        }
    }
}

#[test]
fn an_upgrade_is_taken_back_before_its_first_node_and_never_after() {
    for (scene, _base) in pair() {
        let mut fork = scene.fork();
        let before = fork.spec.clone();
        fork.order(upgraded);
        fork.until_state("UPGRADING", 300);
        let old = fork.vms("CONTROL_PLANE")[0].meta.id;
        fork.until("the first node", 3600, |scene| {
            scene.vms("CONTROL_PLANE").len() > 1
        });
        fork.order(|spec| *spec = before.clone());
        fork.until("the refusal", 120, |scene| {
            let accepted = scene.status().condition("Accepted").cloned().unwrap();
            accepted.reason == "VersionNotPossible"
        });
        fork.order(upgraded);
        fork.until_done(4 * 3600);
        is(&mut fork, 1, "v1.34.2");
        assert_ne!(fork.vms("CONTROL_PLANE")[0].meta.id, old);
        fork.end(PLAIN);

        // In the same second.
        let mut fork = scene.fork();
        let vms = fork.life.sandbox.live_vms().len();
        fork.order(upgraded);
        fork.order(|spec| *spec = before);
        fork.until_done(3600);
        fork.pass_time(600);
        assert_eq!(fork.life.sandbox.live_vms().len(), vms);
        is(&mut fork, 1, "v1.33.7");
        fork.end(PLAIN);
    }
}

/// Longer than the longest deadline of what is done here, virtual seconds.
const LONG: u64 = 1800 + 1200 * 3;

/// Halts the cluster where it is, for longer than anything may take, and lets it go on.
fn halted(scene: &mut Scene) {
    scene.order(|spec| spec["paused"] = json!(true));
    scene.until("the pause", 120, |scene| {
        scene.status().condition("Paused").is_some()
    });
    // What is under way in the cluster itself goes on; the hooks begin nothing.
    let calls = scene.life.hook_calls().len();
    scene.pass_time(LONG);
    let begins = |method: &str| {
        [
            "one.vm.allocate",
            "one.vm.exec",
            "one.vm.action",
            "one.template.allocate",
        ]
        .contains(&method)
    };
    let begun: Vec<_> = scene
        .life
        .hook_calls()
        .split_off(calls)
        .into_iter()
        .filter(|c| begins(&c.method))
        .collect();
    assert!(begun.len() <= 1, "{begun:?}");
    assert!(!scene.state().ends_with("FAILURE"), "{}", scene.life.report());
    scene.order(|spec| spec["paused"] = json!(false));
}

#[test]
fn a_pause_in_the_middle_of_each() {
    for (scene, _base) in pair() {
        let mut fork = scene.fork();
        fork.order(|spec| resize(spec, "workers", 2));
        fork.until_state("SCALING", 300);
        halted(&mut fork);
        fork.until_done(3600);
        is(&mut fork, 2, "v1.33.7");
        fork.order(upgraded);
        fork.until("the control plane's first node", 3600, |scene| {
            scene.vms("CONTROL_PLANE").len() > 1
        });
        halted(&mut fork);
        fork.until("the workers", 2 * 3600, |scene| {
            working(scene, "workers", "UPGRADING")
        });
        halted(&mut fork);
        fork.until_done(4 * 3600);
        is(&mut fork, 2, "v1.34.2");
        fork.order(|spec| spec["node_groups"] = json!([group("other", 1)]));
        fork.until_state("SCALING", 300);
        halted(&mut fork);
        fork.until_done(4 * 3600);
        assert_eq!((fork.nodes("workers").len(), fork.nodes("other").len()), (0, 1));
        fork.end(PLAIN);
    }
}
