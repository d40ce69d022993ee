//! Bad input gets a clear error that names the thing, loses nothing, and no other cluster notices.

use oneks_core::status::Truth;
use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, When};
use serde_json::{Value, json};

use crate::plain_life::spec;
use crate::support::life::Life;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

fn with(pointer: &str, value: Value) -> String {
    let mut spec = spec(1);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    spec.pointer_mut(parent)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .insert(key.to_owned(), value);
    spec.to_string()
}

#[test]
fn a_refused_spec_says_why_makes_nothing_and_can_be_corrected() {
    let mut life = Life::plain();
    let healthy = life.create(&alice(), "healthy", &spec(1));
    life.until_state(healthy, "RUNNING", 600);
    let machines = life.sandbox.live_vms().len();
    let cases = [
        ("no JSON", "{".to_owned(), "InvalidSpec", "not JSON"),
        (
            "unknown field",
            with("/nodes", json!(3)),
            "InvalidSpec",
            "nodes: unknown field",
        ),
        (
            "missing network",
            with("/deployment/networks", json!({"public": {"id": 0}})),
            "InvalidSpec",
            "private",
        ),
        (
            "no such network",
            with("/deployment/networks/private", json!({"id": 99})),
            "PlacementNotPossible",
            "network 99",
        ),
        (
            "no such cluster",
            with("/deployment/cluster", json!({"id": 77})),
            "PlacementNotPossible",
            "cluster 77",
        ),
        (
            "version",
            with("/kubernetes_version", json!("v1.2.3")),
            "InvalidSpec",
            "v1.2.3 is not offered",
        ),
        (
            "name",
            with("/node_groups", json!([{"name": "No_Label", "flavour": "small"}])),
            "InvalidSpec",
            "RFC 1123",
        ),
        (
            "flavour",
            with("/control_plane", json!({"flavour": "gigantic"})),
            "InvalidSpec",
            "gigantic",
        ),
        (
            "driver",
            with("/driver", json!("magic")),
            "DriverUnusable",
            "magic",
        ),
        (
            "limits",
            with(
                "/node_groups",
                json!([{"name": "w", "flavour": "small", "user_inputs_values": {"count": 100_000}}]),
            ),
            "InvalidSpec",
            "count",
        ),
    ];
    for (name, text, reason, what) in cases {
        let id = life.create(&alice(), "bad", &spec(1));
        life.sandbox.take_events();
        life.set(&alice(), id, "SPEC", &text);
        life.until_state(id, "PENDING", 200);
        let status = life.status(id);
        let accepted = status.condition("Accepted").unwrap();
        assert_eq!(
            (accepted.status, accepted.reason.as_str()),
            (Truth::False, reason),
            "{name}: {}",
            accepted.message
        );
        assert!(accepted.message.contains(what), "{name}: {}", accepted.message);
        assert_eq!(life.sandbox.live_vms().len(), machines, "{name}");
        life.set(&alice(), id, "DELETE", "YES");
        life.until_state(id, "GONE", 600);
    }
    assert_eq!(life.state(healthy), "RUNNING");

    let id = life.create(&alice(), "corrected", &spec(1));
    life.sandbox.take_events();
    life.set(&alice(), id, "SPEC", "{");
    life.until_state(id, "PENDING", 200);
    life.set(&alice(), id, "SPEC", &spec(1).to_string());
    life.until_state(id, "RUNNING", 600);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_document_of_nine_megabytes_is_refused_and_costs_nobody_else() {
    let mut life = Life::plain();
    let big = life.create(&alice(), "big", &json!({"description": "x".repeat(9_000_000)}));
    life.until_state(big, "PENDING", 200);
    let accepted = life.status(big).condition("Accepted").unwrap().clone();
    assert!(accepted.message.contains("too many"), "{}", accepted.message);
    let other = life.create(&alice(), "other", &spec(1));
    life.until_state(other, "RUNNING", 600);
}

#[test]
fn other_documents_and_broken_ones_harm_nobody() {
    let mut life = Life::plain();
    for (text, kind) in [
        ("NAME=\"flow\"\nBODY=\"{}\"", 100),
        ("NAME=\"empty\"", 120),
        ("NAME=\"x\"\nSTATUS=\"{\"\nSPEC=\"[]\"", 120),
    ] {
        life.ask(&alice(), "one.document.allocate", &[text.into(), kind.into()]);
    }
    let id = life.create(&alice(), "good", &spec(1));
    life.until_state(id, "RUNNING", 600);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_right_that_is_missing_is_named_before_the_first_object() {
    let mut life = Life::plain();
    let rules = life.ask("oneadmin:opennebula", "one.acl.info", &[]);
    let text = rules.as_str().unwrap().to_owned();
    assert!(text.contains("VROUTER") || !text.is_empty());
    for id in 0..64 {
        // Whatever rules there are: afterwards alice may create nothing.
        life.sandbox.remove_acl(id);
    }
    let id = life.create("oneadmin:opennebula", "hers", &spec(1));
    life.ask(
        "oneadmin:opennebula",
        "one.document.chown",
        &[id.into(), 2.into(), 1.into()],
    );
    life.sandbox.take_events();
    life.sweep();
    let status = life.status(id);
    let accepted = status.condition("Accepted").unwrap();
    assert_eq!(accepted.status, Truth::False);
    assert_eq!(accepted.reason, "RightMissing", "{}", accepted.message);
    assert!(
        accepted.message.contains("VROUTER") && accepted.message.contains("oneacl create"),
        "{}",
        accepted.message
    );
    assert!(life.sandbox.live_vms().is_empty());
}

#[test]
fn calls_that_fail_for_a_while_are_made_good() {
    let refused = |code| Effect::Fail {
        code,
        message: format!("[one.test] made up {code}"),
    };
    for effect in [
        refused(8192),
        refused(512),
        refused(256),
        Effect::RefuseConnection,
        Effect::DropAnswer,
    ] {
        for method in [
            "one.template.allocate",
            "one.vm.allocate",
            "one.document.update",
            "one.vmpool.infoextended",
        ] {
            let mut life = Life::plain();
            life.sandbox.faults(|f| {
                f.calls
                    .push(CallFault::of(method, When::First(2), effect.clone()));
            });
            let id = life.create(&alice(), "demo", &spec(1));
            life.until_state(id, "RUNNING", 3000);
            assert_eq!(
                life.sandbox.live_vms().len(),
                3,
                "{method} {effect:?}\n{}",
                life.report()
            );
        }
    }
}

#[test]
fn an_owner_who_may_not_look_is_told_and_the_condition_passes_with_its_cause() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &spec(1));
    life.until_state(id, "RUNNING", 600);
    let refused = Effect::Fail {
        code: 256,
        message: "[one.test] User couldn't be authenticated".to_owned(),
    };
    life.sandbox.faults(|f| {
        f.calls
            .push(CallFault::of("one.vmpool.infoset", When::Always, refused.clone()));
    });
    life.set(&alice(), id, "RECOVER", "1");
    life.until("the refusal is told", 100, |life| {
        life.status(id).condition("Observed").is_some()
    });
    let since = life.status(id).condition("Observed").unwrap().since;
    life.pass_time(5);
    life.set(&alice(), id, "RECOVER", "2");
    life.pass_time(5);
    assert_eq!(life.status(id).condition("Observed").unwrap().since, since);
    life.sandbox.faults(|f| f.calls.clear());
    life.set(&alice(), id, "RECOVER", "3");
    life.until("the condition is gone", 100, |life| {
        life.status(id).condition("Observed").is_none()
    });
    assert_eq!(life.state(id), "RUNNING");
}
