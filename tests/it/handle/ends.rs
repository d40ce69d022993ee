//! The end of a cluster and the end of its handle, whichever comes first; and how both survive lost events.

use oneks_sandbox::VmState;

use super::support::{
    Driver, act, alice, cluster, inputs, instantiate, offer, says, state, until_shown, vm, write,
};
use crate::support::life::Life;

fn at_rest(more: &str) -> (Life, u32, u32) {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.begin_here();
    let inputs = inputs("v1.33.7", 1) + more;
    let handle = instantiate(&life, &alice(), template, &inputs, false);
    until_shown(&mut life, handle, "RUNNING", 600);
    let id = cluster(&life, handle).unwrap();
    (life, handle, id)
}

fn nothing_is_left(life: &mut Life, handle: u32) {
    life.pass_time(900);
    assert_eq!(state(life, handle), VmState::Done);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_cluster_that_is_deleted_takes_its_handle_along() {
    for document in [false, true] {
        let (mut life, handle, id) = at_rest("");
        if document {
            life.ask(&alice(), "one.document.delete", &[id.into()]);
        } else {
            life.set(&alice(), id, "DELETE", "YES");
        }
        until_shown(&mut life, handle, "DEPROVISIONING", 60);
        life.until("the handle is gone", 600, |life| {
            state(life, handle) == VmState::Done
        });
        assert_eq!(life.state(id), "GONE");
        assert!(life.sandbox.live_vms().is_empty(), "{}", life.report());
        nothing_is_left(&mut life, handle);
    }
}

#[test]
fn a_handle_that_goes_in_the_making_takes_the_cluster_along() {
    for seconds in [0, 1, 3, 10, 30] {
        let mut life = Life::plain();
        let template = offer(&life, &Driver::Dummy);
        life.begin_here();
        let handle = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), false);
        life.pass_time(seconds);
        act(&life, &alice(), handle, "terminate");
        life.pass_time(60);
        nothing_is_left(&mut life, handle);
        assert!(life.sandbox.documents().is_empty(), "after {seconds} s");
    }
}

#[test]
fn a_protected_cluster_stays_and_gets_a_new_handle() {
    let (mut life, handle, id) = at_rest("ONEAPP_KUBERNETES_CLUSTER_PROTECTION=\"YES\"\n");
    assert_eq!(
        says(&life, handle, "ONEKS_DELETION_PROTECTION").as_deref(),
        Some("YES")
    );
    let mut last = handle;
    for _ in 0..2 {
        act(&life, &alice(), last, "terminate");
        life.pass_time(60);
        assert_eq!(life.state(id), "RUNNING");
        let next: u32 = life.attribute(id, "HANDLE").unwrap().parse().unwrap();
        assert_ne!(next, last);
        assert_eq!(state(&life, next), VmState::Hold);
        assert_eq!(cluster(&life, next), Some(id));
        assert_eq!(vm(&life, next).meta.uname, "alice");
        assert_eq!(
            says(&life, next, "ONEKS_GROUP_WORKERS").as_deref(),
            Some("1 small")
        );
        assert!(
            says(&life, next, "ONEKS_MESSAGE").unwrap().contains("protected"),
            "{}",
            life.report()
        );
        last = next;
    }
    assert_eq!(life.sandbox.documents().len(), 1);
    write(&life, &alice(), last, &[("ONEKS_GROUP_WORKERS", "2")]);
    until_shown(&mut life, last, "SCALING", 60);
    until_shown(&mut life, last, "RUNNING", 600);
    write(&life, &alice(), last, &[("ONEKS_DELETION_PROTECTION", "NO")]);
    life.pass_time(5);
    act(&life, &alice(), last, "terminate");
    life.until_state(id, "GONE", 600);
    nothing_is_left(&mut life, last);
}

#[test]
fn with_all_events_lost_the_sweep_alone_leads_through_a_life() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.begin_here();
    life.sandbox.faults(|f| f.events.lose = 100);
    let handle = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), false);
    until_shown(&mut life, handle, "RUNNING", 4 * 3600);
    let id = cluster(&life, handle).unwrap();
    assert_eq!(state(&life, handle), VmState::Hold);
    write(&life, &alice(), handle, &[("ONEKS_GROUP_WORKERS", "2")]);
    life.until("two workers", 4 * 3600, |life| {
        says(life, handle, "ONEKS_STATE").as_deref() == Some("RUNNING")
            && says(life, handle, "ONEKS_GROUP_WORKERS").as_deref() == Some("2 small")
            && life.status(id).node_groups[0].vms.len() == 2
    });
    act(&life, &alice(), handle, "release");
    life.until("on hold again", 3600, |life| state(life, handle) == VmState::Hold);
    act(&life, &alice(), handle, "terminate");
    life.until_state(id, "GONE", 4 * 3600);
    nothing_is_left(&mut life, handle);
    // The other way round: the cluster goes first.
    let handle = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), true);
    until_shown(&mut life, handle, "RUNNING", 4 * 3600);
    let id = cluster(&life, handle).unwrap();
    life.ask(&alice(), "one.document.delete", &[id.into()]);
    life.until("the handle is gone", 4 * 3600, |life| {
        state(life, handle) == VmState::Done
    });
    nothing_is_left(&mut life, handle);
}

#[test]
fn a_failure_is_red_with_its_cause_and_recover_makes_it_well() {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.sandbox
        .faults(|f| f.boot = oneks_sandbox::VmFaults::named("oneks-0-seed", Some(1)));
    let handle = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), false);
    until_shown(&mut life, handle, "PROVISIONING_FAILURE", 2 * 3600);
    let error = says(&life, handle, "ERROR").unwrap();
    assert!(error.starts_with("control-plane: "), "{error}");
    assert_eq!(says(&life, handle, "ONEKS_MESSAGE"), Some(error));
    write(&life, &alice(), handle, &[("ONEKS_ACTION", "recover")]);
    until_shown(&mut life, handle, "RUNNING", 3600);
    assert_eq!(says(&life, handle, "ERROR"), None);
    assert_eq!(says(&life, handle, "ONEKS_ACTION"), None);
    act(&life, &alice(), handle, "terminate");
    life.until_state(cluster(&life, handle).unwrap(), "GONE", 600);
}
