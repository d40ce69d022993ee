//! Lives with the driver `capone`, in virtual time: seed, router, control plane, pivot, kubeconfig, node groups.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks_core::status::Purpose;
use oneks_sandbox::capi::{self, Handle};
use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, Sandbox, When};
use serde_json::{Value, json};

use crate::support::life::Life;
use crate::support::prefix::SERVER_SECRET;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A cloud whose virtual machines have guests.
pub fn cloud() -> (Life, Handle) {
    cloud_of(oneks_sandbox::Config::default())
}

/// The same with these settings.
pub fn cloud_of(config: oneks_sandbox::Config) -> (Life, Handle) {
    let settings = config;
    let config = capi::Config {
        shim: Some(env!("CARGO_BIN_EXE_oneks-sandbox").into()),
        ..capi::Config::default()
    };
    let guests = capi::Guests::new(config);
    let handle = guests.handle();
    let config = oneks_sandbox::Config {
        server_secret: SERVER_SECRET.to_owned(),
        ..settings
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
    let (mut life, _) = cloud();
    let id = life.create(&alice(), "demo", &spec("standalone", &[]));
    life.until_state(id, "RUNNING", 3600);
    let status = life.status(id);
    assert!(
        status.kubeconfig && status.endpoint.is_some(),
        "{}",
        life.report()
    );
    no_credential_is_shown(&life, id);
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 600);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_cluster_with_three_control_plane_nodes_is_scaled_and_upgraded() {
    let (mut life, _) = cloud();
    let mut wanted = spec("ha", &[("workers", 1)]);
    let id = life.create(&alice(), "demo", &wanted);
    life.until_state(id, "RUNNING", 7200);
    assert_eq!(life.status(id).control_plane.vms.len(), 3, "{}", life.report());

    wanted["node_groups"][0]["user_inputs_values"]["count"] = json!(3);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.until_state(id, "SCALING", 120);
    life.until_state(id, "RUNNING", 3600);
    assert_eq!(life.status(id).node_groups[0].vms.len(), 3, "{}", life.report());

    wanted["kubernetes_version"] = json!("v1.34.2");
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.until_state(id, "UPGRADING", 120);
    let mut most = 0;
    life.until("cluster upgraded", 4 * 3600, |life| {
        most = most.max(life.sandbox.live_vms().len());
        life.state(id) == "RUNNING"
    });
    let status = life.status(id);
    assert!(
        status.groups().all(|g| g.version.as_deref() == Some("v1.34.2")),
        "{}",
        life.report()
    );
    // Six nodes, one router, and never more than one node beyond.
    assert_eq!(most, 8, "a rolling upgrade surges by one");

    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 1200);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

/// The cluster's credential is in the seed's context and in Kubernetes' secrets, where it must be, and nowhere else.
fn no_credential_is_shown(life: &Life, id: u32) {
    let token = life.service.credential(id, 1);
    let token = token.expose();
    assert!(
        life.sandbox.tokens("alice").contains_key(token),
        "the cluster has another credential"
    );
    let encoded = STANDARD.encode(format!("alice:{token}"));
    for attribute in ["SPEC", "STATUS", "STATE", "ENDPOINT", "KUBECONFIG"] {
        let text = life.attribute(id, attribute).unwrap();
        assert!(
            !text.contains(token) && !text.contains(&encoded),
            "{attribute} shows the credential"
        );
    }
    let templates = life.sandbox.templates();
    assert!(
        templates
            .iter()
            .all(|t| !format!("{:?}", t.template.to_text()).contains(token))
    );
    assert!(
        life.errors.iter().all(|e| !e.contains(token)),
        "an error shows the credential"
    );
}

/// OpenNebula refuses one call, whichever it is, when the kubeconfig has come: it is not taken for stored.
#[test]
fn a_kubeconfig_is_stored_whatever_call_is_refused_meanwhile() {
    let (mut life, guests) = cloud();
    let id = life.create(&alice(), "demo", &spec("standalone", &[("workers", 1)]));
    life.until("the kubeconfig is asked for", 3600, |life| {
        let written = life.attribute(id, "STATUS").is_some();
        let exec = written.then(|| life.status(id).guest_exec).flatten();
        exec.is_some_and(|exec| exec.purpose == Purpose::Kubeconfig)
    });
    for n in 1..=6 {
        let mut life = life.fork(Some(Box::new(guests.fork())));
        let refused = Effect::Fail {
            code: 256,
            message: "[one.test] made up".to_owned(),
        };
        life.sandbox
            .faults(|f| f.calls = vec![CallFault::any(When::Nth(n), refused)]);
        life.until_state(id, "RUNNING", 3600);
        let kept = life.attribute(id, "KUBECONFIG").unwrap_or_default();
        assert!(!kept.is_empty(), "call {n}\n{}", life.report());
    }
}
