//! Deletion during everything: a life is followed event by event, and at its moments the cluster is deleted.
//!
//! Ordinarily at some of them, each in another way. With `ONEKS_TESTS=all` at every moment that differs in anything
//! that users can see, in every way.

use serde_json::json;

use crate::lives::base;
use crate::support::scene::{PLAIN, Scene, capone_spec, dummy_spec, group, of, resize};

/// What an owner does with a running cluster, one thing after another.
fn operations(scene: &mut Scene) {
    scene.order(|spec| spec["node_groups"].as_array_mut().unwrap().push(group("more", 1)));
    scene.until_done(3600);
    scene.order(|spec| resize(spec, "workers", 3));
    scene.until_done(3600);
    scene.order(|spec| {
        resize(spec, "workers", 0);
        of(spec, "more")["labels"] = json!({"tier": "new"});
    });
    scene.until_done(3600);
    scene.order(|spec| {
        spec["node_groups"]
            .as_array_mut()
            .unwrap()
            .retain(|g| g["name"] != "more");
    });
    scene.until_done(3600);
    scene.order(|spec| {
        resize(spec, "workers", 1);
        spec["kubernetes_version"] = json!("v1.34.2");
    });
    scene.until_done(3 * 3600);
}

/// Operations that are halted in the middle, and what goes wrong by itself.
fn interruptions(scene: &mut Scene) {
    scene.order(|spec| {
        resize(spec, "workers", 2);
        spec["kubernetes_version"] = json!("v1.34.2");
    });
    scene.pass_time(15);
    scene.order(|spec| spec["paused"] = json!(true));
    scene.pass_time(400);
    scene.order(|spec| spec["paused"] = json!(false));
    scene.pass_time(100);
    scene.order(|spec| spec["paused"] = json!(true));
    scene.pass_time(400);
    scene.order(|spec| spec["paused"] = json!(false));
    scene.until_done(3 * 3600);
    let node = scene.nodes("workers")[0].meta.id;
    scene.life.sandbox.power_off_outside(node);
    scene.until_state("WARNING", 300);
    scene.pass_time(100);
    scene.recover("once");
    scene.until_done(3600);
    let router = scene.vms("ROUTER")[0].meta.id;
    scene.life.sandbox.lose_vm(router);
    scene.until_state("WARNING", 900);
    scene.life.sandbox.find_vm(router);
    scene.until_done(3600);
}

fn explored(mut scene: Scene, every: usize, least: usize, life: impl FnOnce(&mut Scene)) {
    scene.explore(every);
    life(&mut scene);
    let explored = scene.explored();
    assert!(explored >= least, "only {explored} deletions were tried");
    scene.end(PLAIN);
}

#[test]
fn while_it_is_created() {
    let spec = capone_spec("v1.33.7", "standalone", &[("workers", 1)]);
    explored(Scene::new(&spec), 2, 8, |scene| {
        scene.until_state("RUNNING", 7200);
    });
}

#[test]
fn while_it_is_created_highly_available() {
    let spec = capone_spec("v1.33.7", "ha", &[]);
    explored(Scene::new(&spec), 5, 3, |scene| {
        scene.until_state("RUNNING", 7200);
    });
}

#[test]
fn while_it_is_created_without_guests() {
    let spec = dummy_spec("v1.33.7", "ha", &[("workers", 2)]);
    explored(Scene::new(&spec), 1, 5, |scene| {
        scene.until_state("RUNNING", 7200);
    });
}

#[test]
fn while_it_is_operated() {
    let (scene, _base) = base::capone();
    explored(scene, 6, 8, operations);
}

#[test]
fn while_it_is_operated_without_guests() {
    let (scene, _base) = base::dummy();
    explored(scene, 2, 5, operations);
}

#[test]
fn while_it_is_interrupted() {
    let (scene, _base) = base::capone();
    explored(scene, 6, 5, interruptions);
}

#[test]
fn while_it_is_interrupted_without_guests() {
    let (scene, _base) = base::dummy();
    explored(scene, 2, 5, interruptions);
}
