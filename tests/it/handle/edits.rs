//! Changes that are written on a handle, beside changes that come from elsewhere.

use oneks_sandbox::VmState;
use serde_json::json;

use super::support::{
    Driver, act, alice, cluster, inputs, instantiate, offer, replace, says, state, until_shown, vm, write,
};
use crate::support::life::{Life, ONEADMIN};

/// A cluster of two workers with its handle, at rest.
fn at_rest() -> (Life, u32, u32) {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.begin_here();
    let handle = instantiate(&life, &alice(), template, &inputs("v1.33.7", 2), false);
    until_shown(&mut life, handle, "RUNNING", 600);
    life.pass_time(30);
    let id = cluster(&life, handle).unwrap();
    (life, handle, id)
}

fn spec(life: &Life, id: u32) -> serde_json::Value {
    serde_json::from_str(&life.attribute(id, "SPEC").unwrap()).unwrap()
}

fn workers(life: &Life, id: u32) -> Option<u64> {
    spec(life, id)["node_groups"][0]["user_inputs_values"]["count"].as_u64()
}

fn message(life: &Life, handle: u32) -> String {
    says(life, handle, "ONEKS_MESSAGE").unwrap_or_default()
}

#[test]
fn groups_come_and_go_and_orders_are_carried_out_once() {
    let (mut life, handle, id) = at_rest();
    write(&life, &alice(), handle, &[("ONEKS_GROUP_GPU_A", "1 large")]);
    until_shown(&mut life, handle, "SCALING", 120);
    until_shown(&mut life, handle, "RUNNING", 600);
    assert_eq!(life.status(id).node_groups[1].key, "gpu-a");
    assert_eq!(
        says(&life, handle, "ONEKS_GROUP_GPU_A").as_deref(),
        Some("1 large")
    );
    write(&life, &alice(), handle, &[("ONEKS_GROUP_GPU_A", "delete")]);
    life.pass_time(60);
    until_shown(&mut life, handle, "RUNNING", 600);
    assert_eq!(life.status(id).node_groups.len(), 1);
    assert_eq!(says(&life, handle, "ONEKS_GROUP_GPU_A"), None);
    for (n, action) in [(1, "recover"), (2, "recover"), (3, "rotate-credentials")] {
        write(&life, &alice(), handle, &[("ONEKS_ACTION", action)]);
        life.pass_time(60);
        assert_eq!(says(&life, handle, "ONEKS_ACTION"), None, "{action}");
        let order = if action == "recover" { "RECOVER" } else { "ROTATE" };
        assert_eq!(life.attribute(id, order), Some(format!("handle-{handle}-{n}")));
    }
    assert_eq!(life.status(id).recovered, Some(format!("handle-{handle}-2")));
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn wrong_values_are_answered_with_their_path_and_put_back() {
    let (mut life, handle, id) = at_rest();
    let before = life.attribute(id, "SPEC");
    for (name, value, part, back) in [
        (
            "ONEKS_GROUP_WORKERS",
            "1000",
            "node_groups[0].user_inputs_values.count",
            Some("2 small"),
        ),
        ("ONEKS_GROUP_WORKERS", "2 3", "must be a number", Some("2 small")),
        (
            "ONEKS_GROUP_WORKERS",
            "2 large",
            "node_groups[0].flavour",
            Some("2 small"),
        ),
        (
            "ONEKS_KUBERNETES_VERSION",
            "v1.32.9",
            "kubernetes_version",
            Some("v1.33.7"),
        ),
        ("ONEKS_GROUP_SEED", "1 small", "reserved", None),
        ("ONEKS_ACTION", "explode", "recover or rotate-credentials", None),
    ] {
        write(&life, &alice(), handle, &[(name, value)]);
        life.pass_time(20);
        let said = message(&life, handle);
        assert!(
            said.contains(part) && said.contains(value),
            "{name}={value}: {said}"
        );
        assert_eq!(says(&life, handle, name).as_deref(), back, "{name}");
        assert_eq!(life.attribute(id, "SPEC"), before, "{name}");
        assert_eq!(says(&life, handle, "ERROR"), None, "the cluster is well");
    }
    // A good value beside a wrong one is taken, and the answer goes with the next change.
    let both = [
        ("ONEKS_GROUP_WORKERS", "3"),
        ("ONEKS_KUBERNETES_VERSION", "newest"),
    ];
    write(&life, &alice(), handle, &both);
    life.pass_time(1);
    assert_eq!(workers(&life, id), Some(3));
    until_shown(&mut life, handle, "RUNNING", 600);
    write(&life, &alice(), handle, &[("ONEKS_GROUP_WORKERS", "4")]);
    until_shown(&mut life, handle, "SCALING", 60);
    until_shown(&mut life, handle, "RUNNING", 600);
    assert!(!message(&life, handle).contains("newest"));
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn what_the_hooks_show_cannot_be_changed_for_long() {
    let (mut life, handle, _) = at_rest();
    let before = vm(&life, handle).user_template;
    let lies = [
        ("ONEKS_STATE", "DONE"),
        ("ONEKS_CLUSTER_ID", "77"),
        ("ONEKS_ENDPOINT", "https://192.0.2.250:6443"),
        ("ERROR", "nothing works"),
    ];
    write(&life, &alice(), handle, &lies);
    life.pass_time(5);
    for (name, _) in lies {
        assert_eq!(says(&life, handle, name).as_deref(), before.get(name), "{name}");
    }
}

#[test]
fn changes_from_elsewhere_are_shown_and_not_undone_by_an_old_editor() {
    let (mut life, handle, id) = at_rest();
    // Somebody opens an editor, and others change things meanwhile: one by the document, one on the handle.
    let mut old = vm(&life, handle).user_template;
    let mut wanted = spec(&life, id);
    wanted["node_groups"][0]["user_inputs_values"]["count"] = json!(4);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.pass_time(5);
    assert_eq!(
        says(&life, handle, "ONEKS_GROUP_WORKERS").as_deref(),
        Some("4 small")
    );
    until_shown(&mut life, handle, "RUNNING", 600);
    write(&life, &alice(), handle, &[("ONEKS_GROUP_MORE", "1 small")]);
    until_shown(&mut life, handle, "SCALING", 60);
    until_shown(&mut life, handle, "RUNNING", 600);
    // Now the editor is saved, with all that it had read, and one change of its own.
    old.set("ONEKS_KUBERNETES_VERSION", "v1.34.2");
    replace(&life, &alice(), handle, &old);
    until_shown(&mut life, handle, "UPGRADING", 60);
    until_shown(&mut life, handle, "RUNNING", 3600);
    let now = spec(&life, id);
    assert_eq!(now["kubernetes_version"], "v1.34.2");
    assert_eq!(now["node_groups"][0]["user_inputs_values"]["count"], 4);
    assert_eq!(now["node_groups"][1]["name"], "more");
    assert_eq!(
        says(&life, handle, "ONEKS_GROUP_WORKERS").as_deref(),
        Some("4 small")
    );
    assert_eq!(
        says(&life, handle, "ONEKS_GROUP_MORE").as_deref(),
        Some("1 small")
    );
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn two_who_change_different_things_at_once_lose_nothing_and_the_same_thing_is_told() {
    let (mut life, handle, id) = at_rest();
    // Between two looks of the hooks: both doors, two attributes.
    write(&life, &alice(), handle, &[("ONEKS_GROUP_WORKERS", "3")]);
    write(&life, &alice(), handle, &[("ONEKS_GROUP_MORE", "1")]);
    let mut wanted = spec(&life, id);
    wanted["kubernetes_version"] = json!("v1.34.2");
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.pass_time(5);
    let now = spec(&life, id);
    assert_eq!(now["kubernetes_version"], "v1.34.2");
    assert_eq!(now["node_groups"][0]["user_inputs_values"]["count"], 3);
    assert_eq!(now["node_groups"][1]["name"], "more");
    until_shown(&mut life, handle, "RUNNING", 3600);
    // The same thing by both: the document's counts, and the handle says so.
    write(&life, &alice(), handle, &[("ONEKS_GROUP_WORKERS", "1")]);
    let mut wanted = spec(&life, id);
    wanted["node_groups"][0]["user_inputs_values"]["count"] = json!(2);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.pass_time(5);
    assert_eq!(workers(&life, id), Some(2));
    let said = message(&life, handle);
    assert!(said.contains("elsewhere") && said.contains("\"1\""), "{said}");
    assert_eq!(
        says(&life, handle, "ONEKS_GROUP_WORKERS").as_deref(),
        Some("2 small")
    );
}

#[test]
fn whoever_erases_the_handle_s_attributes_loses_nothing() {
    let (mut life, handle, id) = at_rest();
    let before = vm(&life, handle).user_template;
    let spec_before = life.attribute(id, "SPEC");
    let text = |text: &str| opennebula::template::Template::parse_text(text).unwrap();
    for erased in [
        text("A=\"1\""),
        text("ONEKS_HANDLE=\"YES\""),
        text("ONEKS_GROUP_WORKERS=\"\"\nONEKS_KUBERNETES_VERSION=\"\""),
    ] {
        replace(&life, &alice(), handle, &erased);
        life.pass_time(5);
        for name in [
            "ONEKS_STATE",
            "ONEKS_CLUSTER_ID",
            "ONEKS_GROUP_WORKERS",
            "ONEKS_SHOWN",
            "ONEKS_HANDLE",
        ] {
            assert_eq!(
                says(&life, handle, name).as_deref(),
                before.get(name),
                "{erased:?} {name}"
            );
        }
        assert_eq!(life.attribute(id, "SPEC"), spec_before);
    }
    // The same on a front-end that remembers nothing: the sweep puts it right.
    replace(&life, &alice(), handle, &text("ONEKS_HANDLE=\"YES\""));
    life.sandbox.take_events();
    std::fs::remove_dir_all(life.service.gate.dir()).unwrap();
    life.pass_time(900);
    assert_eq!(
        says(&life, handle, "ONEKS_CLUSTER_ID").as_deref(),
        before.get("ONEKS_CLUSTER_ID")
    );
    assert_eq!(life.sandbox.documents().len(), 1);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_released_or_deployed_handle_is_put_back_to_rest() {
    let (mut life, handle, _) = at_rest();
    act(&life, &alice(), handle, "release");
    life.pass_time(60);
    assert_eq!(state(&life, handle), VmState::Hold);
    assert!(
        message(&life, handle).contains("on hold again"),
        "{}",
        message(&life, handle)
    );
    // An administrator can deploy it all the same.
    life.ask(
        ONEADMIN,
        "one.vm.deploy",
        &[handle.into(), 0.into(), false.into(), (-1).into(), "".into()],
    );
    life.pass_time(120);
    assert_eq!(state(&life, handle), VmState::Undeployed);
    assert!(
        message(&life, handle).contains("never runs"),
        "{}",
        message(&life, handle)
    );
    assert_eq!(says(&life, handle, "ONEKS_STATE").as_deref(), Some("RUNNING"));
    write(&life, &alice(), handle, &[("ONEKS_GROUP_WORKERS", "3")]);
    until_shown(&mut life, handle, "SCALING", 60);
    until_shown(&mut life, handle, "RUNNING", 600);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn what_a_handle_lacks_is_told_in_red_and_making_it_good_makes_the_cluster() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    let wrong = inputs("v1.0.0", 1).replace("\"public\"", "\"nowhere\"");
    let handle = instantiate(&life, &alice(), template, &wrong, false);
    life.pass_time(30);
    let said = message(&life, handle);
    assert!(said.contains("NETWORK_PUBLIC=\"nowhere\""), "{said}");
    assert_eq!(says(&life, handle, "ERROR"), Some(said));
    assert_eq!(state(&life, handle), VmState::Hold);
    assert_eq!(life.sandbox.documents().len(), 0);
    write(
        &life,
        &alice(),
        handle,
        &[("ONEAPP_KUBERNETES_NETWORK_PUBLIC", "public")],
    );
    life.pass_time(5);
    assert!(message(&life, handle).contains("kubernetes_version: v1.0.0 is not offered"));
    // While nothing changes, nothing is written.
    life.begin_here();
    life.pass_time(3600);
    let written = life
        .made
        .iter()
        .flat_map(|m| &m.methods)
        .filter(|m| *m == "one.vm.update");
    assert_eq!(written.count(), 0);
    write(
        &life,
        &alice(),
        handle,
        &[("ONEAPP_KUBERNETES_CLUSTER_VERSION", "v1.34.2")],
    );
    until_shown(&mut life, handle, "RUNNING", 600);
    assert_eq!(says(&life, handle, "ERROR"), None);
    assert_eq!(life.sandbox.documents().len(), 1);
}
