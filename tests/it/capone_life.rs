//! Lives with the driver `capone`, in virtual time: seed, router, control plane, pivot, kubeconfig, node groups.

use oneks_sandbox::capi::{self, Handle};
use oneks_sandbox::{ALICE_PASSWORD, Sandbox};
use serde_json::{Value, json};

use crate::support::life::Life;
use crate::support::prefix::SERVER_SECRET;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A cloud whose virtual machines have guests.
pub fn cloud() -> (Life, Handle) {
    let config = capi::Config {
        shim: Some(env!("CARGO_BIN_EXE_oneks-sandbox").into()),
        ..capi::Config::default()
    };
    let guests = capi::Guests::new(config);
    let handle = guests.handle();
    let config = oneks_sandbox::Config {
        server_secret: SERVER_SECRET.to_owned(),
        ..Default::default()
    };
    (Life::of(Sandbox::with_guests(config, Box::new(guests))), handle)
}

/// A cluster with this control plane and these node groups.
pub fn spec(flavour: &str, groups: &[(&str, u32)]) -> Value {
    let groups: Vec<Value> = groups
        .iter()
        .map(
            |(name, count)| json!({"name": name, "flavour": "small", "user_inputs_values": {"count": count}}),
        )
        .collect();
    json!({
        "kubernetes_version": "v1.33.7",
        "deployment": {
            "cluster": {"id": 0},
            "networks": {"public": {"id": 0}, "private": {"id": 1}},
            "datastores": {"image": {"id": 1}},
        },
        "control_plane": {"flavour": flavour},
        "node_groups": groups,
    })
}

#[test]
fn a_cluster_comes_up_runs_and_leaves_nothing() {
    let (mut life, _guests) = cloud();
    let id = life.create(&alice(), "demo", &spec("standalone", &[]));
    life.until_state(id, "RUNNING", 3600);
    let status = life.status(id);
    assert!(
        status.kubeconfig && status.endpoint.is_some(),
        "{}",
        life.report()
    );
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 600);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}
