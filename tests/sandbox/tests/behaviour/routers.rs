//! Virtual routers.

use oneks_sandbox::{Holder, Sandbox, VmState};
use opennebula::xmlrpc::Value;

use crate::support::{
    ALICE, MALLORY, act, ask, cloud, code, element, id, is_done, number, state, states, text,
};

fn template(cloud: &Sandbox) -> u32 {
    let text = "NAME=\"router\"\nCPU=1\nMEMORY=128\nVROUTER=\"YES\"\nCONTEXT=[NETWORK=\"YES\"]";
    id(cloud, ALICE, "one.template.allocate", &[text.into()])
}

fn router(cloud: &Sandbox, name: &str) -> u32 {
    let text = format!(
        "NAME=\"{name}\"\nNIC=[NETWORK_ID=0,FLOATING_IP=\"YES\"]\nNIC=[NETWORK_ID=1,FLOATING_IP=\"YES\"]"
    );
    id(cloud, ALICE, "one.vrouter.allocate", &[text.into()])
}

fn instantiate(router: u32, template: u32, hold: bool) -> [Value; 6] {
    [
        number(router),
        1.into(),
        number(template),
        "".into(),
        hold.into(),
        "".into(),
    ]
}

#[test]
fn a_router_has_addresses_before_it_has_vms() {
    let cloud = cloud();
    let a = router(&cloud, "a");
    assert_eq!(cloud.vrouters()[0].addresses(), ["192.0.2.10", "198.51.100.10"]);
    assert_eq!(cloud.leases(0), [("192.0.2.10".to_owned(), Holder::VRouter(a))]);
    let template = template(&cloud);
    assert_eq!(
        code(
            &cloud,
            ALICE,
            "one.template.instantiate",
            &[number(template), "x".into()]
        ),
        2048,
        "only a router makes VMs of it"
    );
    cloud.listen();
    let answer = ask(
        &cloud,
        ALICE,
        "one.vrouter.instantiate",
        &instantiate(a, template, false),
    );
    assert_eq!(answer, number(a));
    let vm = cloud.live_vms()[0].clone();
    assert_eq!(vm.meta.name, "vr-a-0");
    assert_eq!(vm.template.get("VROUTER_ID"), Some(a.to_string().as_str()));
    assert_eq!(states(&cloud, vm.meta.id), ["HOLD/LCM_INIT", "PENDING/LCM_INIT"]);
    // Each VM has addresses of its own besides the floating ones.
    assert_eq!(vm.addresses(), ["192.0.2.11", "198.51.100.11"]);
    assert_eq!(
        vm.template.get_in("CONTEXT", "ETH0_VROUTER_IP"),
        Some("192.0.2.10")
    );
    cloud.advance(60);
    assert_eq!(state(&cloud, vm.meta.id), "RUNNING");
    let xml = text(&cloud, ALICE, "one.vrouter.info", &[number(a)]);
    assert!(xml.contains(&format!("<VMS><ID>{}</ID></VMS>", vm.meta.id)));
    ask(&cloud, ALICE, "one.vrouter.delete", &[number(a)]);
    cloud.advance(60);
    assert!(is_done(&cloud, vm.meta.id));
    assert!(cloud.leases(0).is_empty() && cloud.leases(1).is_empty() && cloud.vrouters().is_empty());
}

#[test]
fn a_router_s_vms_may_be_held() {
    let cloud = cloud();
    let (a, template) = (router(&cloud, "a"), template(&cloud));
    ask(
        &cloud,
        ALICE,
        "one.vrouter.instantiate",
        &instantiate(a, template, true),
    );
    cloud.advance(60);
    assert_eq!(cloud.live_vms()[0].state, VmState::Hold);
    let vm = cloud.live_vms()[0].meta.id;
    act(&cloud, "release", vm);
    cloud.advance(60);
    assert_eq!(state(&cloud, vm), "RUNNING");
    // Its NICs are the router's.
    let nic = "NIC=[NETWORK_ID=1]";
    assert_eq!(
        code(&cloud, ALICE, "one.vm.attachnic", &[number(vm), nic.into()]),
        2048
    );
    ask(&cloud, ALICE, "one.vrouter.attachnic", &[number(a), nic.into()]);
    cloud.advance(5);
    assert_eq!(cloud.vm(vm).unwrap().addresses().len(), 3);
    // A VM may end alone; the router stays.
    act(&cloud, "terminate-hard", vm);
    cloud.advance(30);
    assert!(is_done(&cloud, vm));
    assert!(cloud.vrouters()[0].vms.is_empty());
}

#[test]
fn a_router_takes_vms_with_it_that_are_still_on_their_way() {
    for seconds in [0, 11, 16, 30] {
        let cloud = cloud();
        let (a, template) = (router(&cloud, "a"), template(&cloud));
        ask(
            &cloud,
            ALICE,
            "one.vrouter.instantiate",
            &instantiate(a, template, false),
        );
        cloud.advance(seconds);
        ask(&cloud, ALICE, "one.vrouter.delete", &[number(a)]);
        cloud.advance(30);
        assert!(cloud.live_vms().is_empty(), "deleted after {seconds} s");
        assert!(cloud.leases(0).is_empty() && cloud.leases(1).is_empty());
    }
}

#[test]
fn a_router_with_a_free_name_and_a_free_address_only() {
    let cloud = cloud();
    router(&cloud, "a");
    let full = cloud.add_vnet("full", &[0], "203.0.113.1", 1).unwrap();
    let text = |name: &str| format!("NAME=\"{name}\"\nNIC=[NETWORK_ID={full},FLOATING_IP=\"YES\"]");
    id(&cloud, ALICE, "one.vrouter.allocate", &[text("b").into()]);
    assert_eq!(
        code(&cloud, ALICE, "one.vrouter.allocate", &[text("c").into()]),
        8192
    );
    assert_eq!(cloud.vrouters().len(), 2);
    assert_eq!(code(&cloud, MALLORY, "one.vrouter.delete", &[0.into()]), 512);
    assert_eq!(code(&cloud, ALICE, "one.vrouter.delete", &[7.into()]), 1024);
}

#[test]
fn routers_keep_what_is_written_on_them() {
    let cloud = cloud();
    let a = router(&cloud, "a");
    ask(
        &cloud,
        ALICE,
        "one.vrouter.update",
        &[number(a), "ONEKS=\"7\"".into(), 1.into()],
    );
    let xml = text(&cloud, ALICE, "one.vrouter.info", &[number(a)]);
    assert_eq!(element(&xml, "ONEKS").as_deref(), Some("7"));
    assert_eq!(cloud.vrouters()[0].addresses().len(), 2, "NICs stay");
    let pool = text(
        &cloud,
        ALICE,
        "one.vrouterpool.info",
        &[-3, -1, -1].map(Value::from),
    );
    assert_eq!(element(&pool, "ONEKS").as_deref(), Some("7"));
    assert!(
        !text(
            &cloud,
            MALLORY,
            "one.vrouterpool.info",
            &[-2, -1, -1].map(Value::from)
        )
        .contains("<VROUTER>")
    );
}
