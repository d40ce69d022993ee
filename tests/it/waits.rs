//! Guest commands that wait for nodes: they hold up nothing, and what happens to them is found out, in virtual time.

use oneks_core::status::{GuestExec, Purpose};
use oneks_sandbox::ALICE_PASSWORD;
use oneks_sandbox::capi::{Fault, FaultKind, Handle};
use serde_json::json;

use crate::capone_life::{cloud, spec};
use crate::support::life::Life;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

fn faulty(handle: &Handle, id: u32, kind: FaultKind) {
    handle.break_it(Fault {
        on: format!("oneks-{id}"),
        kind,
        times: None,
    });
}

/// A cluster of which four workers are wanted, where a command waits for three of them. They don't come.
fn waiting(flavour: &str, why: FaultKind) -> (Life, Handle, u32) {
    let (mut life, handle) = cloud();
    let id = life.create(&alice(), "demo", &spec(flavour, &[("workers", 1)]));
    life.until_state(id, "RUNNING", 7200);
    faulty(&handle, id, why);
    order(&life, id, flavour, 4);
    life.until("a command that waits", 120, |life| waits(life, id).is_some());
    life.pass_time(60);
    assert!(waits(&life, id).is_some(), "{}", life.report());
    (life, handle, id)
}

fn order(life: &Life, id: u32, flavour: &str, workers: u32) {
    let wanted = spec(flavour, &[("workers", workers)]);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
}

/// The command that waits for workers.
fn waits(life: &Life, id: u32) -> Option<GuestExec> {
    let exec = life.status(id).guest_exec?;
    (exec.wait > 0 && exec.group == id * 1000 + 1).then_some(exec)
}

/// How many workers Kubernetes was told to have.
fn told(handle: &Handle, id: u32) -> String {
    let words = [
        "get",
        "machinedeployments.v1beta1.cluster.x-k8s.io",
        &format!("oneks-{id}-workers"),
        "--namespace=default",
        "-o",
        "jsonpath={.spec.replicas}",
    ];
    handle.kubectl(&format!("oneks-{id}"), false, &words, b"").stdout
}

/// The cluster comes to rest with so many workers, and goes without a trace.
fn ends_well(mut life: Life, id: u32, workers: usize) {
    life.until("rest", 3600, |life| {
        life.state(id) == "RUNNING" && life.status(id).node_groups[0].vms.len() == workers
    });
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 1200);
    assert_eq!(life.left_over(), Vec::<String>::new());
}

#[test]
fn a_new_target_reaches_kubernetes_at_once() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::CaponeStuck);
    assert_eq!(told(&handle, id), "4");
    order(&life, id, "standalone", 2);
    life.until("the new target", 30, |_| told(&handle, id) == "2");
    assert_eq!(life.status(id).last_error, None, "nobody is to blame");
    handle.heal();
    ends_well(life, id, 2);
}

#[test]
fn a_change_of_another_group_is_not_held_up() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::CaponeStuck);
    let mut wanted = spec("standalone", &[("workers", 4), ("others", 0)]);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.until("the other group is at rest", 120, |life| {
        let groups = life.status(id).node_groups;
        groups
            .iter()
            .any(|g| g.key == "others" && g.state.as_str() == "RUNNING")
    });
    wanted["node_groups"] = json!([wanted["node_groups"][0]]);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    life.until("the other group is gone", 120, |life| {
        life.status(id).node_groups.len() == 1
    });
    assert_eq!(life.state(id), "SCALING");
    handle.heal();
    ends_well(life, id, 4);
}

#[test]
fn deletion_waits_for_no_command() {
    let (mut life, _, id) = waiting("standalone", FaultKind::CaponeStuck);
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 120);
    assert_eq!(life.left_over(), Vec::<String>::new());
}

#[test]
fn a_rotation_waits_for_no_command() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::CaponeStuck);
    life.set(&alice(), id, "ROTATE", "now");
    let mut handed_over = false;
    life.until("the rotation", 240, |life| {
        let status = life.status(id);
        handed_over |= status.guest_exec.is_some_and(|e| e.purpose == Purpose::Rotate);
        handed_over && status.rotation.is_none()
    });
    assert_eq!(life.state(id), "SCALING");
    handle.heal();
    ends_well(life, id, 4);
}

/// What does not come is a failure in its time, with Kubernetes' own words, and RECOVER begins at once.
#[test]
fn a_wait_in_vain_ends_in_its_time_with_the_cause() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::NodeNeverJoins);
    let group = |life: &Life| life.status(id).node_groups[0].clone();
    let work = group(&life).work.unwrap();
    life.until("Kubernetes' words", 400, |life| {
        group(life)
            .work
            .is_some_and(|w| w.step.contains("has no node yet"))
    });
    life.until_state(id, "SCALING_FAILURE", 3600);
    assert!(
        life.sandbox.now() <= work.deadline + 60,
        "{} s late",
        life.sandbox.now() - work.deadline
    );
    let error = group(&life).error.unwrap();
    assert_eq!(error.reason, "DeadlineExceeded");
    assert!(error.message.contains("has no node yet"), "{}", error.message);

    handle.heal();
    let before = life.status(id).commands;
    life.set(&alice(), id, "RECOVER", "1");
    life.until("a command", 60, |life| life.status(id).commands > before);
    for vm in life.status(id).node_groups[0]
        .vms
        .iter()
        .filter(|vm| vm.ready != Some(true))
    {
        // What never joined is replaced, as a health check would do.
        life.ask(
            &alice(),
            "one.vm.action",
            &["terminate-hard".into(), vm.id.into()],
        );
    }
    ends_well(life, id, 4);
}

/// RECOVER in the middle of a wait, for another group that has failed.
#[test]
fn recover_waits_for_no_command() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::CaponeStuck);
    life.until_state(id, "SCALING_FAILURE", 3600);
    life.set(&alice(), id, "RECOVER", "1");
    life.until("a command that waits", 120, |life| waits(life, id).is_some());
    let first = waits(&life, id).unwrap();
    life.until_state(id, "SCALING_FAILURE", 3600);
    life.set(&alice(), id, "RECOVER", "2");
    life.until("another command", 60, |life| {
        waits(life, id).is_some_and(|exec| exec.token != first.token)
    });
    handle.heal();
    ends_well(life, id, 4);
}

#[test]
fn a_node_that_is_lost_under_the_command_is_no_error() {
    for action in ["poweroff-hard", "terminate-hard"] {
        let (mut life, handle, id) = waiting("ha", FaultKind::CaponeStuck);
        let exec = waits(&life, id).unwrap();
        let vm = exec.vm;
        assert_eq!(exec.purpose, Purpose::Apply);
        let commands = life.status(id).commands;
        life.ask(&alice(), "one.vm.action", &[action.into(), vm.into()]);
        // Nobody knows whether it has done what it should.
        life.until("another node does it again", 120, |life| {
            let status = life.status(id);
            status.commands > commands && status.guest_exec.is_none_or(|e| e.vm != vm)
        });
        let error = life.status(id).last_error;
        assert!(
            error
                .as_ref()
                .is_none_or(|e| !e.reason.starts_with("GuestCommand")),
            "{error:?}"
        );
        if action == "poweroff-hard" {
            life.ask(&alice(), "one.vm.action", &["resume".into(), vm.into()]);
        }
        handle.heal();
        ends_well(life, id, 4);
    }
}

#[test]
fn a_result_that_nobody_hears_of_is_found() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::CaponeStuck);
    life.sandbox.faults(|f| f.events.lose = 100);
    handle.heal();
    life.until_state(id, "RUNNING", 900);
    life.sandbox.faults(|f| f.events.lose = 0);
    ends_well(life, id, 4);
}

#[test]
fn a_wait_survives_a_restart_of_opennebula() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::CaponeStuck);
    life.sandbox.restart(120);
    life.pass_time(150);
    life.errors.clear();
    handle.heal();
    life.until_state(id, "RUNNING", 900);
    ends_well(life, id, 4);
}

/// A guest agent that tells no end: the command is cancelled in its time, the cause told, and the next one works.
#[test]
fn a_command_that_never_ends_is_cancelled_and_told() {
    let (mut life, handle, id) = waiting("standalone", FaultKind::AgentMissing);
    let exec = waits(&life, id).unwrap();
    life.until("the end of its time", 3600, |life| {
        life.status(id).guest_exec.is_none_or(|e| e.token != exec.token)
    });
    assert!(life.sandbox.now() <= exec.deadline + 60);
    let error = life.status(id).last_error.unwrap();
    assert_eq!(error.reason, "GuestCommandLost", "{error:?}");
    assert_eq!(life.sandbox.calls().count("one.vm.cancelexec"), 1);
    handle.heal();
    ends_well(life, id, 4);
}
