//! What a handle costs: the calls of hooks and sweeps in the same life with and without one.

use serde_json::{Value, json};

use super::support::{Driver, act, alice, cluster, inputs, instantiate, offer, until_shown, write};
use crate::support::life::Life;
use crate::{capone_life, plain_life};

/// Most further calls in a life.
const MOST: usize = 25;

fn calls(life: &mut Life) -> usize {
    let made = std::mem::take(&mut life.made);
    made.iter().map(|m| m.methods.len()).sum()
}

/// A life as `calls.rs` has it: one node, a group of three, five of them, an upgrade, the end.
fn by_document(mut life: Life, mut spec: Value) -> usize {
    spec["node_groups"] = json!([]);
    let id = life.create(&alice(), "demo", &spec);
    life.until_state(id, "RUNNING", 7200);
    let group = json!([{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 3}}]);
    for (path, value, state) in [
        ("/node_groups", group, "SCALING"),
        ("/node_groups/0/user_inputs_values/count", json!(5), "SCALING"),
        ("/kubernetes_version", json!("v1.34.2"), "UPGRADING"),
    ] {
        *spec.pointer_mut(path).unwrap() = value;
        life.set(&alice(), id, "SPEC", &spec.to_string());
        life.until_state(id, state, 120);
        life.until_state(id, "RUNNING", 4 * 3600);
    }
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 1200);
    life.pass_time(120);
    calls(&mut life)
}

// The table is what it is for.
#[allow(clippy::print_stderr)]
fn by_handle(mut life: Life, driver: &Driver) -> usize {
    let template = offer(&life, driver);
    life.begin_here();
    let inputs = inputs("v1.33.7", 0).replace("\"small\"", "\"none\"");
    let vm = instantiate(&life, &alice(), template, &inputs, false);
    until_shown(&mut life, vm, "RUNNING", 7200);
    let id = cluster(&life, vm).unwrap();
    for (name, value, state) in [
        ("ONEKS_GROUP_WORKERS", "3 small", "SCALING"),
        ("ONEKS_GROUP_WORKERS", "5", "SCALING"),
        ("ONEKS_KUBERNETES_VERSION", "v1.34.2", "UPGRADING"),
    ] {
        write(&life, &alice(), vm, &[(name, value)]);
        until_shown(&mut life, vm, state, 120);
        until_shown(&mut life, vm, "RUNNING", 4 * 3600);
    }
    act(&life, &alice(), vm, "terminate-hard");
    life.until_state(id, "GONE", 1200);
    life.pass_time(120);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
    for made in life.made.iter().filter(|made| {
        let about = |m: &String| m == "one.vm.info" || m == "one.vm.update" || m == "one.vm.action";
        made.methods.iter().any(about) || made.cause.contains("HOLD") || made.cause.contains("PENDING")
    }) {
        eprintln!("{} {} {}", made.time, made.cause, made.methods.join(" "));
    }
    calls(&mut life)
}

#[allow(clippy::print_stderr)]
fn compare(name: &str, without: usize, with: usize) {
    let further = with.saturating_sub(without);
    eprintln!("{name}: {without} calls without a handle, {with} with one: {further} further");
    assert!(further <= MOST, "{name}: {without} without, {with} with");
    assert!(further >= 8, "{name}: nothing was counted");
}

#[test]
fn a_life_without_guests_costs_few_further_calls() {
    let without = by_document(Life::plain(), plain_life::spec(0));
    compare("dummy", without, by_handle(Life::plain(), &Driver::Dummy));
}

#[test]
fn a_life_with_cluster_api_costs_few_further_calls() {
    let without = by_document(capone_life::cloud().0, capone_life::spec("standalone", &[]));
    compare(
        "capone",
        without,
        by_handle(capone_life::cloud().0, &Driver::Capone),
    );
}

#[test]
fn at_rest_a_handle_is_not_written_and_costs_no_call_of_its_own() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    let vm = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), true);
    until_shown(&mut life, vm, "RUNNING", 600);
    life.pass_time(1200);
    life.begin_here();
    life.pass_time(6 * 3600);
    let methods: Vec<String> = life.made.iter().flat_map(|m| m.methods.clone()).collect();
    assert!(
        methods.iter().all(|m| m != "one.vm.update" && m != "one.vm.info"),
        "{methods:?}"
    );
    let pools = methods.iter().filter(|m| *m == "one.vmpool.infoextended").count();
    assert!(
        (30..=40).contains(&pools),
        "one comparison in ten minutes: {pools}"
    );
}
