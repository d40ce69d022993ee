//! Limits of users and groups.

use oneks_sandbox::Sandbox;
use opennebula::xmlrpc::Value;

use crate::support::{
    ADMIN, ALICE, act, ask, cloud, code, element, id, new_vm, number, refused, running_vm, state, text,
};

fn limit(cloud: &Sandbox, quota: &str) {
    ask(cloud, ADMIN, "one.user.quota", &[2.into(), quota.into()]);
}

fn used(cloud: &Sandbox, name: &str) -> Option<String> {
    let user = text(cloud, ALICE, "one.user.info", &[Value::from(-1)]);
    element(&user, &format!("{name}_USED"))
}

#[test]
fn vms_are_limited_and_give_back() {
    let cloud = cloud();
    limit(&cloud, "VM=[VMS=\"2\",CPU=\"3\",MEMORY=\"1000\"]");
    let first = new_vm(&cloud, "a", "");
    new_vm(&cloud, "b", "");
    assert_eq!(used(&cloud, "VMS").as_deref(), Some("2"));
    let template = "NAME=\"c\"\nCPU=1\nMEMORY=1";
    let (code, message) = refused(&cloud, ALICE, "one.vm.allocate", &[template.into()]);
    assert_eq!(code, 512);
    assert!(
        message.contains("exceeds allowed limit") || message.contains("limit of 2 reached"),
        "{message}"
    );
    act(&cloud, "terminate", first);
    let next = id(&cloud, ALICE, "one.vm.allocate", &[template.into()]);
    assert_eq!(next, 2, "a refused VM has no id");
    let template = "NAME=\"d\"\nCPU=9\nMEMORY=1";
    act(&cloud, "terminate", next);
    assert_eq!(
        self::code(&cloud, ALICE, "one.vm.allocate", &[template.into()]),
        512
    );
    // Nobody limits another.
    id(&cloud, ADMIN, "one.vm.allocate", &[template.into()]);
}

#[test]
fn running_vms_are_limited_apart() {
    let cloud = cloud();
    limit(&cloud, "VM=[RUNNING_VMS=\"1\"]");
    let first = running_vm(&cloud, "a", "");
    assert_eq!(
        code(
            &cloud,
            ALICE,
            "one.vm.allocate",
            &["NAME=\"b\"\nCPU=1\nMEMORY=1".into()]
        ),
        512
    );
    act(&cloud, "poweroff", first);
    cloud.advance(30);
    assert_eq!(used(&cloud, "RUNNING_VMS").as_deref(), Some("0"));
    let second = new_vm(&cloud, "b", "");
    assert_eq!(
        code(&cloud, ALICE, "one.vm.action", &["resume".into(), number(first)]),
        2048
    );
    act(&cloud, "terminate", second);
    act(&cloud, "resume", first);
    cloud.advance(30);
    assert_eq!(state(&cloud, first), "RUNNING");
}

#[test]
fn addresses_are_limited() {
    let cloud = cloud();
    limit(&cloud, "NETWORK=[ID=\"1\",LEASES=\"1\"]");
    let vm = new_vm(&cloud, "a", "NIC=[NETWORK_ID=1]");
    let more = "NAME=\"b\"\nCPU=1\nMEMORY=1\nNIC=[NETWORK_ID=1]";
    assert_eq!(code(&cloud, ALICE, "one.vm.allocate", &[more.into()]), 512);
    assert_eq!(cloud.leases(1).len(), 1);
    let router = "NAME=\"r\"\nNIC=[NETWORK_ID=1,FLOATING_IP=\"YES\"]";
    assert_eq!(code(&cloud, ALICE, "one.vrouter.allocate", &[router.into()]), 512);
    assert!(cloud.vrouters().is_empty());
    act(&cloud, "terminate", vm);
    id(&cloud, ALICE, "one.vrouter.allocate", &[router.into()]);
    assert_eq!(used(&cloud, "LEASES").as_deref(), Some("1"));
    ask(&cloud, ALICE, "one.vrouter.delete", &[0.into()]);
    assert!(cloud.leases(1).is_empty());
    id(&cloud, ALICE, "one.vm.allocate", &[more.into()]);
}

#[test]
fn groups_have_limits_too() {
    let cloud = cloud();
    ask(
        &cloud,
        ADMIN,
        "one.group.quota",
        &[1.into(), "VM=[VMS=\"1\"]".into()],
    );
    new_vm(&cloud, "a", "");
    let more = "NAME=\"b\"\nCPU=1\nMEMORY=1";
    let (code, message) = refused(&cloud, ALICE, "one.vm.allocate", &[more.into()]);
    assert_eq!(code, 512);
    assert!(message.contains("group"), "{message}");
    assert_eq!(
        used(&cloud, "VMS").as_deref(),
        Some("1"),
        "the user's share was given back"
    );
    // The user may not raise his own.
    assert_eq!(
        self::code(
            &cloud,
            ALICE,
            "one.user.quota",
            &[2.into(), "VM=[VMS=\"9\"]".into()]
        ),
        512
    );
}
