//! Upgrades: one minor at a time, never down, the control plane first, one group after another, one node more at most.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::lives::base;
use crate::support::scene::{PLAIN, Scene, capone_spec, dummy_spec};

/// Orders a version that is refused, sees the reason, and takes it back.
fn refused(scene: &mut Scene, version: &str, why: &str) {
    let before = scene.spec.clone();
    // What ends may take a moment.
    scene.pass_time(30);
    let nodes = scene.life.sandbox.live_vms().len();
    scene.order(|spec| spec["kubernetes_version"] = json!(version));
    scene.until("the refusal", 120, |scene| {
        let accepted = scene.status().condition("Accepted").cloned().unwrap();
        accepted.reason == "VersionNotPossible" && accepted.message.contains(why)
    });
    scene.pass_time(200);
    assert_eq!(scene.state(), "RUNNING", "a refused version changes nothing");
    assert_eq!(scene.life.sandbox.live_vms().len(), nodes);
    scene.order(|spec| *spec = before);
    scene.until_done(120);
}

/// Upgrades, and looks at every event who is upgraded and how many nodes there are.
fn upgrade(scene: &mut Scene, version: &str) {
    let sizes: BTreeMap<u32, usize> = scene.status().groups().map(|g| (g.id, g.want as usize)).collect();
    scene.most.clear();
    scene.order(|spec| spec["kubernetes_version"] = json!(version));
    let began = scene.life.sandbox.now();
    scene.until("the upgrade", 6 * 3600, |scene| {
        let status = scene.status();
        let upgrading = status.groups().filter(|g| g.state.as_str() == "UPGRADING");
        assert!(upgrading.count() <= 1, "{}", scene.life.report());
        scene.state() == "RUNNING" && status.groups().all(|g| g.version.as_deref() == Some(version))
    });
    let status = scene.status();
    let lines = status.history.iter().filter(|entry| entry.at >= began);
    let order: Vec<&str> = lines
        .filter_map(|entry| {
            entry
                .text
                .strip_prefix("group ")?
                .strip_suffix(": RUNNING → UPGRADING")
        })
        .collect();
    // Without guests, one that has no nodes is upgraded in no time.
    let keys: Vec<&str> = status
        .groups()
        .map(|g| g.key.as_str())
        .filter(|key| *key != "empty" || order.contains(key))
        .collect();
    assert_eq!(
        order, keys,
        "the control plane first, then one group after another"
    );
    for (group, size) in sizes {
        let most = scene.most.get(&group).copied().unwrap_or_default();
        assert!(
            size == 0 || most == size + 1,
            "group {group} of {size} had {most} nodes at once"
        );
    }
}

/// Over two minors, with what is refused on the way.
fn two_minors(scene: &mut Scene) {
    scene.until_state("RUNNING", 7200);
    refused(scene, "v1.34.2", "go to v1.33.7 first");
    upgrade(scene, "v1.33.7");
    refused(scene, "v1.32.9", "can't go back");
    upgrade(scene, "v1.34.2");
}

#[test]
fn over_two_minors_one_at_a_time() {
    let spec = capone_spec("v1.32.9", "ha", &[("a", 2), ("b", 1), ("empty", 0)]);
    let mut scene = Scene::new(&spec);
    two_minors(&mut scene);
    assert_eq!(
        scene.versions(),
        BTreeMap::from([("v1.34.2+rke2r1".to_owned(), 6)]),
        "{}",
        scene.life.report()
    );
    scene.end(PLAIN);
}

#[test]
fn over_two_minors_without_guests() {
    let spec = dummy_spec("v1.32.9", "ha", &[("a", 2), ("b", 1), ("empty", 0)]);
    let mut scene = Scene::new(&spec);
    two_minors(&mut scene);
    let versions: BTreeSet<String> = ["CONTROL_PLANE", "NODE"]
        .iter()
        .flat_map(|kind| scene.vms(kind))
        .filter_map(|vm| {
            vm.user_template
                .get("ONEKS_KUBERNETES_VERSION")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(versions, BTreeSet::from(["v1.34.2".to_owned()]));
    scene.end(PLAIN);
}

#[test]
fn a_version_that_nobody_offers_is_refused() {
    let (mut scene, _base) = base::capone();
    let before = scene.spec.clone();
    scene.order(|spec| spec["kubernetes_version"] = json!("v1.34.9"));
    scene.until("the refusal", 120, |scene| {
        let accepted = scene.status().condition("Accepted").cloned().unwrap();
        accepted
            .message
            .contains("v1.34.9 is not offered; choose one of v1.32.9")
    });
    assert_eq!(scene.state(), "RUNNING");
    scene.order(|spec| *spec = before);
    scene.until_done(120);
    scene.end(PLAIN);
}
