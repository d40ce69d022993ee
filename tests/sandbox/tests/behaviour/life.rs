//! Lives of VMs, as their states are published.

use oneks_sandbox::{Faults, LcmState, VmFaults};

use crate::support::{
    ADMIN, ALICE, act, ask, cloud, code, id, is_done, new_vm, number, refused, running_vm, state, states,
};

#[test]
fn a_vm_is_placed_copied_booted_and_taken_down() {
    let cloud = cloud();
    cloud.listen();
    let vm = new_vm(&cloud, "a", "NIC=[NETWORK_ID=1]");
    assert_eq!(states(&cloud, vm), ["PENDING/LCM_INIT"]);
    cloud.advance(9);
    assert!(
        states(&cloud, vm).is_empty(),
        "the scheduler has a window of ten seconds"
    );
    cloud.advance(30);
    assert_eq!(
        states(&cloud, vm),
        [
            "ACTIVE/LCM_INIT",
            "ACTIVE/PROLOG",
            "ACTIVE/BOOT",
            "ACTIVE/RUNNING"
        ]
    );
    assert_eq!(cloud.leases(1).len(), 1);
    act(&cloud, "terminate-hard", vm);
    cloud.advance(30);
    assert_eq!(
        states(&cloud, vm),
        ["ACTIVE/SHUTDOWN", "ACTIVE/EPILOG", "DONE/LCM_INIT"]
    );
    assert!(cloud.leases(1).is_empty());
    let vm = cloud.vm(vm).unwrap();
    assert_eq!(vm.history.len(), 1);
    assert!(vm.etime > vm.stime);
}

#[test]
fn what_goes_down_comes_up_again() {
    let cases: [(&str, &[&str], &[&str]); 6] = [
        (
            "poweroff",
            &["ACTIVE/SHUTDOWN_POWEROFF", "POWEROFF/LCM_INIT"],
            &["ACTIVE/BOOT_POWEROFF", "ACTIVE/RUNNING"],
        ),
        (
            "poweroff-hard",
            &["ACTIVE/SHUTDOWN_POWEROFF", "POWEROFF/LCM_INIT"],
            &["ACTIVE/BOOT_POWEROFF", "ACTIVE/RUNNING"],
        ),
        (
            "suspend",
            &["ACTIVE/SAVE_SUSPEND", "SUSPENDED/LCM_INIT"],
            &["ACTIVE/BOOT_SUSPENDED", "ACTIVE/RUNNING"],
        ),
        (
            "stop",
            &["ACTIVE/SAVE_STOP", "ACTIVE/EPILOG_STOP", "STOPPED/LCM_INIT"],
            &[
                "PENDING/LCM_INIT",
                "ACTIVE/LCM_INIT",
                "ACTIVE/PROLOG_RESUME",
                "ACTIVE/BOOT_STOPPED",
                "ACTIVE/RUNNING",
            ],
        ),
        (
            "undeploy",
            &[
                "ACTIVE/SHUTDOWN_UNDEPLOY",
                "ACTIVE/EPILOG_UNDEPLOY",
                "UNDEPLOYED/LCM_INIT",
            ],
            &[
                "PENDING/LCM_INIT",
                "ACTIVE/LCM_INIT",
                "ACTIVE/PROLOG_UNDEPLOY",
                "ACTIVE/BOOT_UNDEPLOY",
                "ACTIVE/RUNNING",
            ],
        ),
        (
            "undeploy-hard",
            &[
                "ACTIVE/SHUTDOWN_UNDEPLOY",
                "ACTIVE/EPILOG_UNDEPLOY",
                "UNDEPLOYED/LCM_INIT",
            ],
            &[
                "PENDING/LCM_INIT",
                "ACTIVE/LCM_INIT",
                "ACTIVE/PROLOG_UNDEPLOY",
                "ACTIVE/BOOT_UNDEPLOY",
                "ACTIVE/RUNNING",
            ],
        ),
    ];
    for (action, down, up) in cases {
        let cloud = cloud();
        let vm = running_vm(&cloud, "a", "");
        cloud.listen();
        act(&cloud, action, vm);
        cloud.advance(30);
        assert_eq!(states(&cloud, vm), down, "{action}");
        act(&cloud, "resume", vm);
        cloud.advance(60);
        assert_eq!(states(&cloud, vm), up, "resume after {action}");
    }
}

#[test]
fn a_vm_ends_from_every_state_that_lasts() {
    for action in ["poweroff", "suspend", "stop", "undeploy"] {
        let cloud = cloud();
        let vm = running_vm(&cloud, "a", "NIC=[NETWORK_ID=1]");
        act(&cloud, action, vm);
        cloud.advance(30);
        cloud.listen();
        act(&cloud, "terminate-hard", vm);
        cloud.advance(30);
        assert_eq!(
            states(&cloud, vm),
            ["ACTIVE/EPILOG", "DONE/LCM_INIT"],
            "after {action}"
        );
        assert!(cloud.leases(1).is_empty());
    }
    let cloud = cloud();
    cloud.listen();
    let pending = new_vm(&cloud, "pending", "");
    let held = id(
        &cloud,
        ALICE,
        "one.vm.allocate",
        &["NAME=\"held\"\nCPU=1\nMEMORY=1".into(), true.into()],
    );
    for (vm, first) in [(pending, "PENDING/LCM_INIT"), (held, "HOLD/LCM_INIT")] {
        act(&cloud, "terminate", vm);
        assert!(is_done(&cloud, vm), "{first}");
    }
    // A second time it is no error.
    act(&cloud, "terminate", held);
}

#[test]
fn a_vm_that_is_being_changed_refuses_to_end() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "");
    cloud.advance(11);
    assert_eq!(state(&cloud, vm), "PROLOG");
    let (code, message) = refused(
        &cloud,
        ALICE,
        "one.vm.action",
        &["terminate-hard".into(), number(vm)],
    );
    assert_eq!(code, 2048);
    assert!(message.contains("wrong state PROLOG"), "{message}");
    // An administrator may tear it down all the same.
    ask(&cloud, ADMIN, "one.vm.recover", &[number(vm), 3.into()]);
    assert!(is_done(&cloud, vm));
    assert_eq!(
        self::code(&cloud, ALICE, "one.vm.recover", &[number(vm), 3.into()]),
        512
    );
}

#[test]
fn what_fails_in_boot_waits_for_somebody() {
    let cloud = cloud();
    cloud.faults(|faults| faults.boot = VmFaults::named("bad", None));
    cloud.listen();
    let vm = new_vm(&cloud, "bad", "");
    cloud.advance(60);
    assert_eq!(states(&cloud, vm).last().unwrap(), "ACTIVE/BOOT_FAILURE");
    let error = cloud
        .vm(vm)
        .unwrap()
        .user_template
        .get("ERROR")
        .unwrap()
        .to_owned();
    assert!(error.contains("DEPLOY"), "{error}");
    // A retry fails again, and works once the reason is gone.
    ask(&cloud, ADMIN, "one.vm.recover", &[number(vm), 2.into()]);
    cloud.advance(60);
    assert_eq!(states(&cloud, vm), ["ACTIVE/BOOT", "ACTIVE/BOOT_FAILURE"]);
    cloud.faults(Faults::clear);
    ask(&cloud, ADMIN, "one.vm.recover", &[number(vm), 2.into()]);
    cloud.advance(60);
    assert_eq!(states(&cloud, vm), ["ACTIVE/BOOT", "ACTIVE/RUNNING"]);
}

#[test]
fn what_failed_can_be_terminated_or_made_again() {
    let cloud = cloud();
    cloud.faults(|faults| faults.prolog = VmFaults::named("bad", Some(2)));
    let (ended, again) = (new_vm(&cloud, "bad-1", ""), new_vm(&cloud, "bad-2", ""));
    cloud.advance(60);
    assert_eq!(state(&cloud, ended), "PROLOG_FAILURE");
    assert_eq!(state(&cloud, again), "PROLOG_FAILURE");
    cloud.listen();
    act(&cloud, "terminate-hard", ended);
    assert_eq!(states(&cloud, ended), ["ACTIVE/CLEANUP_DELETE", "DONE/LCM_INIT"]);
    ask(&cloud, ADMIN, "one.vm.recover", &[number(again), 4.into()]);
    cloud.advance(60);
    assert_eq!(
        states(&cloud, again),
        [
            "ACTIVE/CLEANUP_RESUBMIT",
            "PENDING/LCM_INIT",
            "ACTIVE/LCM_INIT",
            "ACTIVE/PROLOG",
            "ACTIVE/BOOT",
            "ACTIVE/RUNNING"
        ]
    );
}

#[test]
fn success_can_be_declared() {
    let cloud = cloud();
    cloud.faults(|faults| faults.boot = VmFaults::named("bad", None));
    let vm = new_vm(&cloud, "bad", "");
    cloud.advance(60);
    ask(&cloud, ADMIN, "one.vm.recover", &[number(vm), 1.into()]);
    assert_eq!(state(&cloud, vm), "RUNNING");
    let booting = new_vm(&cloud, "slow", "");
    cloud.advance(11);
    ask(&cloud, ADMIN, "one.vm.recover", &[number(booting), 0.into()]);
    assert_eq!(state(&cloud, booting), "PROLOG_FAILURE");
}

#[test]
fn a_guest_that_ignores_acpi_is_running_again_after_a_while() {
    let cloud = cloud();
    cloud.faults(|faults| faults.ignore_acpi = VmFaults::named("deaf", None));
    let vm = running_vm(&cloud, "deaf", "");
    cloud.listen();
    act(&cloud, "terminate", vm);
    cloud.advance(60);
    assert_eq!(states(&cloud, vm), ["ACTIVE/SHUTDOWN"]);
    cloud.advance(300);
    assert_eq!(states(&cloud, vm), ["ACTIVE/RUNNING"]);
    act(&cloud, "terminate", vm);
    // The hard way may be taken while the soft one is on.
    act(&cloud, "terminate-hard", vm);
    cloud.advance(30);
    assert!(is_done(&cloud, vm));
}

#[test]
fn monitoring_finds_out_what_happened_elsewhere() {
    let cloud = cloud();
    let vm = running_vm(&cloud, "a", "");
    cloud.listen();
    assert!(cloud.power_off_outside(vm));
    assert_eq!(
        states(&cloud, vm),
        ["ACTIVE/SHUTDOWN_POWEROFF", "POWEROFF/LCM_INIT"]
    );
    assert!(!cloud.power_off_outside(vm), "it is off");
    act(&cloud, "resume", vm);
    cloud.advance(10);
    cloud.take_published();
    assert!(cloud.lose_vm(vm));
    assert_eq!(cloud.vm(vm).unwrap().lcm_state, LcmState::Unknown);
    assert!(cloud.find_vm(vm));
    assert_eq!(states(&cloud, vm), ["ACTIVE/UNKNOWN", "ACTIVE/RUNNING"]);
}

#[test]
fn held_vms_wait_for_a_release() {
    let cloud = cloud();
    cloud.listen();
    let vm = id(
        &cloud,
        ALICE,
        "one.vm.allocate",
        &["NAME=\"held\"\nCPU=1\nMEMORY=1".into(), true.into()],
    );
    cloud.advance(600);
    assert_eq!(states(&cloud, vm), ["HOLD/LCM_INIT"]);
    act(&cloud, "release", vm);
    assert_eq!(states(&cloud, vm), ["PENDING/LCM_INIT"]);
    act(&cloud, "hold", vm);
    assert_eq!(states(&cloud, vm), ["HOLD/LCM_INIT"]);
    act(&cloud, "release", vm);
    cloud.advance(30);
    assert_eq!(state(&cloud, vm), "RUNNING");
    assert_eq!(
        code(&cloud, ALICE, "one.vm.action", &["release".into(), number(vm)]),
        2048
    );
    assert_eq!(
        code(&cloud, ALICE, "one.vm.action", &["dance".into(), number(vm)]),
        2048
    );
}

#[test]
fn scheduled_actions_come_in_time() {
    let cloud = cloud();
    let vm = running_vm(&cloud, "a", "");
    let at = |seconds: u64, action: &str| {
        let time = cloud.now() + seconds;
        format!("SCHED_ACTION=[ACTION=\"{action}\",TIME=\"{time}\"]")
    };
    let first = id(
        &cloud,
        ALICE,
        "one.vm.schedadd",
        &[number(vm), at(100, "poweroff").into()],
    );
    let second = id(
        &cloud,
        ALICE,
        "one.vm.schedadd",
        &[number(vm), at(200, "resume").into()],
    );
    let third = id(
        &cloud,
        ALICE,
        "one.vm.schedadd",
        &[number(vm), at(300, "terminate").into()],
    );
    assert_eq!((first, second, third), (0, 1, 2));
    ask(
        &cloud,
        ALICE,
        "one.vm.schedupdate",
        &[number(vm), number(second), at(250, "resume").into()],
    );
    ask(&cloud, ALICE, "one.vm.scheddelete", &[number(vm), number(third)]);
    assert_eq!(
        code(&cloud, ALICE, "one.vm.scheddelete", &[number(vm), number(third)]),
        2048
    );
    cloud.advance(95);
    assert_eq!(state(&cloud, vm), "RUNNING");
    cloud.advance(40);
    assert_eq!(state(&cloud, vm), "POWEROFF");
    cloud.advance(90);
    assert_eq!(state(&cloud, vm), "POWEROFF", "the second was put off");
    cloud.advance(60);
    assert_eq!(state(&cloud, vm), "RUNNING");
    cloud.advance(300);
    assert_eq!(state(&cloud, vm), "RUNNING", "the third is gone");
    // An action that is due at allocation, from a template.
    let time = cloud.now() + 60;
    let vm = running_vm(
        &cloud,
        "b",
        &format!("SCHED_ACTION=[ACTION=\"terminate-hard\",TIME=\"{time}\"]"),
    );
    cloud.advance(120);
    assert!(is_done(&cloud, vm));
}
