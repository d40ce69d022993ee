//! Whole lives of clusters by their handles alone.

use oneks_sandbox::VmState;

use super::support::{
    Driver, act, alice, cluster, inputs, instantiate, offer, says, state, until_shown, write,
};
use crate::support::life::Life;

#[test]
fn a_cluster_is_made_watched_changed_and_deleted_by_its_handle() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.begin_here();
    let vm = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), false);
    until_shown(&mut life, vm, "RUNNING", 600);
    let id = cluster(&life, vm).unwrap();
    assert_eq!(state(&life, vm), VmState::Hold);
    assert_eq!(life.attribute(id, "HANDLE"), Some(vm.to_string()));
    let document = life
        .sandbox
        .documents()
        .into_iter()
        .find(|d| d.meta.id == id)
        .unwrap();
    assert_eq!(
        (document.meta.uname.as_str(), document.meta.name.as_str()),
        ("alice", "demo")
    );
    assert_eq!(
        says(&life, vm, "ONEKS_KUBERNETES_VERSION").as_deref(),
        Some("v1.33.7")
    );
    assert_eq!(says(&life, vm, "ONEKS_GROUP_WORKERS").as_deref(), Some("1 small"));
    assert_eq!(
        says(&life, vm, "ONEKS_NODES").as_deref(),
        Some("control-plane 1/1, workers 1/1")
    );
    assert_eq!(says(&life, vm, "ONEKS_ENDPOINT"), life.attribute(id, "ENDPOINT"));
    assert_eq!(says(&life, vm, "ERROR"), None);
    assert_eq!(says(&life, vm, "ONEAPP_KUBERNETES_CLUSTER_NAME"), None);
    assert!(says(&life, vm, "KUBECONFIG").is_none());

    write(&life, &alice(), vm, &[("ONEKS_GROUP_WORKERS", "3")]);
    until_shown(&mut life, vm, "SCALING", 120);
    until_shown(&mut life, vm, "RUNNING", 600);
    assert_eq!(life.status(id).node_groups[0].vms.len(), 3);
    assert_eq!(says(&life, vm, "ONEKS_GROUP_WORKERS").as_deref(), Some("3 small"));

    write(&life, &alice(), vm, &[("ONEKS_KUBERNETES_VERSION", "v1.34.2")]);
    until_shown(&mut life, vm, "UPGRADING", 120);
    until_shown(&mut life, vm, "RUNNING", 3600);
    assert!(
        life.status(id)
            .groups()
            .all(|g| g.version.as_deref() == Some("v1.34.2"))
    );

    act(&life, &alice(), vm, "terminate");
    life.until_state(id, "GONE", 600);
    life.pass_time(900);
    assert_eq!(state(&life, vm), VmState::Done);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}
