//! Node groups: several at once, in several directions, renamed, relabelled, removed.

use std::collections::{BTreeMap, BTreeSet};

use oneks_sandbox::Vm;
use serde_json::{Value, json};

use crate::support::scene::{End, Order, PLAIN, Scene, capone_spec, dummy_spec, group, of, resize};

/// The profiles of the repository, and the family `compute` for node groups beside `general`.
fn two_families() -> tempfile::TempDir {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/profiles");
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::os::unix::fs::symlink(format!("{here}/controlplanes"), at("controlplanes")).unwrap();
    std::fs::create_dir_all(at("nodegroups/compute")).unwrap();
    std::os::unix::fs::symlink(format!("{here}/nodegroups/general"), at("nodegroups/general")).unwrap();
    for file in std::fs::read_dir(format!("{here}/nodegroups/general")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let text = text.replace("family: \"general\"", "family: \"compute\"");
        let to = at("nodegroups/compute").join(file.file_name());
        std::fs::write(to, text).unwrap();
    }
    folder
}

/// Three groups that differ in all that groups can differ in.
fn three_groups(mut spec: Value) -> Value {
    let mut web = group("web", 1);
    web["labels"] = json!({"tier": "web"});
    let mut db = group("db", 1);
    db["flavour"] = json!("medium");
    db["taints"] = json!([{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]);
    let mut batch = group("batch", 2);
    batch["family"] = json!("compute");
    batch["flavour"] = json!("large");
    batch["labels"] = json!({"tier": "batch"});
    spec["node_groups"] = json!([web, db, batch]);
    spec
}

fn counts(scene: &Scene) -> BTreeMap<String, usize> {
    let groups = scene.status().node_groups;
    let keys = groups.into_iter().map(|g| g.key);
    keys.map(|key| (key.clone(), scene.nodes(&key).len())).collect()
}

fn ids(vms: &[Vm]) -> BTreeSet<u32> {
    vms.iter().map(|vm| vm.meta.id).collect()
}

/// What a user does with groups in the course of time; the same with every driver.
fn the_groups_of_a_life(scene: &mut Scene) {
    scene.until_state("RUNNING", 7200);
    assert_eq!(counts(scene), wanted(&[("web", 1), ("db", 1), ("batch", 2)]));
    let cpus = |key: &str| {
        scene.nodes(key)[0]
            .template
            .get("VCPU")
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!([cpus("web"), cpus("db"), cpus("batch")], ["2", "4", "8"]);

    // Two at once in different directions, one of them to nothing and back.
    scene.order(|spec| {
        resize(spec, "web", 3);
        resize(spec, "batch", 0);
    });
    scene.until_done(3600);
    assert_eq!(counts(scene), wanted(&[("web", 3), ("db", 1), ("batch", 0)]));
    let began: BTreeSet<u64> = ["web", "batch"]
        .map(|key| scene.since(&format!("group {key}: RUNNING → SCALING")))
        .into();
    assert_eq!(began.len(), 1, "different groups change side by side");
    let untouched = ids(&scene.nodes("db"));
    scene.order(|spec| {
        resize(spec, "web", 1);
        resize(spec, "batch", 1);
    });
    scene.until_done(3600);
    assert_eq!(counts(scene), wanted(&[("web", 1), ("db", 1), ("batch", 1)]));
    assert_eq!(
        ids(&scene.nodes("db")),
        untouched,
        "a group that nobody changed has the same nodes"
    );

    // A new name for people is no change of anything else.
    let (before, commands) = (ids(&scene.vms("NODE")), scene.status().commands);
    scene.order(|spec| of(spec, "db")["display_name"] = json!("The Databases"));
    let mut states = BTreeSet::new();
    scene.until("the new name is accepted", 120, |scene| {
        states.insert(scene.state());
        let accepted = scene.status().accepted.unwrap();
        accepted.node_groups[1].display_name.as_deref() == Some("The Databases")
    });
    scene.pass_time(300);
    assert_eq!(states, BTreeSet::from(["RUNNING".to_owned()]));
    assert_eq!(
        (ids(&scene.vms("NODE")), scene.status().commands),
        (before, commands)
    );

    // Two come and one goes in one order; the number of the one that goes is not used again.
    let gone = scene.group("db").id;
    scene.order(|spec| {
        let groups = spec["node_groups"].as_array_mut().unwrap();
        groups.retain(|g| g["name"] != "db");
        groups.push(group("edge", 1));
        groups.push(group("db-2", 2));
    });
    scene.until_done(3600);
    assert_eq!(
        counts(scene),
        wanted(&[("web", 1), ("batch", 1), ("edge", 1), ("db-2", 2)])
    );
    assert!(scene.status().node_groups.iter().all(|g| g.id != gone));
    let templates = scene.life.sandbox.templates();
    assert!(templates.iter().all(|t| t.meta.name != "oneks-1-db"));

    // Values beyond the profile's limits change nothing, and what is wrong is said.
    let before = scene.spec.clone();
    scene.order(|spec| resize(spec, "web", 101));
    scene.until("the refusal", 120, |scene| {
        let refused = scene.status().condition("Accepted").cloned().unwrap();
        refused.reason == "InvalidSpec" && refused.message.contains("count")
    });
    assert_eq!(scene.state(), "RUNNING");
    scene.order(|spec| *spec = before);
    scene.until_done(120);
}

fn wanted(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect()
}

#[test]
fn three_groups_of_a_highly_available_cluster() {
    let spec = three_groups(capone_spec("v1.33.7", "ha", &[]));
    let mut scene = Scene::prepared(&spec, Some(two_families()), |_| {});
    the_groups_of_a_life(&mut scene);
    assert_eq!(scene.vms("CONTROL_PLANE").len(), 3);

    // Labels and taints are the nodes' own; to change them makes new nodes.
    let nodes = |scene: &Scene, key: &str| -> Vec<(String, Value)> {
        let prefix = format!("oneks-1-{key}-");
        let all = scene.objects("Node").into_iter();
        all.filter(|n| n.name().starts_with(&prefix))
            .map(|n| {
                let tier = n.label("tier").unwrap_or_default().to_owned();
                (tier, Value::from(n.list(&["spec", "taints"]).to_vec()))
            })
            .collect()
    };
    assert_eq!(nodes(&scene, "web"), [("web".to_owned(), json!([]))]);
    let others = ids(&scene.nodes("batch"));
    scene.order(|spec| {
        of(spec, "web")["labels"] = json!({"tier": "front"});
        of(spec, "web")["taints"] = json!([{"key": "only", "value": "web", "effect": "NoSchedule"}]);
    });
    scene.until_done(3600);
    let taint = json!([{"key": "only", "value": "web", "effect": "NoSchedule"}]);
    assert_eq!(nodes(&scene, "web"), [("front".to_owned(), taint)]);
    assert_eq!(ids(&scene.nodes("batch")), others);
    scene.end(PLAIN);
}

#[test]
fn three_groups_without_guests() {
    let spec = three_groups(dummy_spec("v1.33.7", "ha", &[]));
    let mut scene = Scene::prepared(&spec, Some(two_families()), |_| {});
    the_groups_of_a_life(&mut scene);
    scene.end(End {
        order: Order::Document,
        ..PLAIN
    });
}
