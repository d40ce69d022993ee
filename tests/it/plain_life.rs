//! Lives with the driver `dummy`, in virtual time.

use oneks_sandbox::ALICE_PASSWORD;
use serde_json::{Value, json};

use crate::support::life::Life;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A small cluster with a group of this many workers.
pub fn spec(workers: u32) -> Value {
    json!({
        "kubernetes_version": "v1.33.7",
        "driver": "dummy",
        "deployment": {"cluster": {"id": 0}, "networks": {"public": {"id": 0}, "private": {"id": 1}}},
        "control_plane": {"flavour": "standalone"},
        "node_groups": [{"name": "workers", "flavour": "small", "user_inputs_values": {"count": workers}}],
    })
}

#[test]
fn a_cluster_comes_up_runs_and_leaves_nothing() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &spec(2));
    life.until_state(id, "RUNNING", 600);
    let status = life.status(id);
    assert!(
        status.endpoint.is_some() && status.kubeconfig,
        "{}",
        life.report()
    );
    assert!(life.attribute(id, "KUBECONFIG").is_some());
    assert_eq!(life.sandbox.live_vms().len(), 4, "{}", life.report());
    assert!(
        life.sandbox.vms().iter().all(|vm| vm.meta.uname == "alice"),
        "every VM belongs to the cluster's owner"
    );
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 600);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}
