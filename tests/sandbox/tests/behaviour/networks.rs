//! Addresses: leases, held ones, reservations.

use oneks_sandbox::{Holder, Sandbox};

use crate::support::{
    ADMIN, ALICE, MALLORY, act, ask, cloud, code, element, id, new_vm, number, running_vm, state, text,
};

fn reserve(cloud: &Sandbox, text: &str) -> u32 {
    id(cloud, ALICE, "one.vn.reserve", &[0.into(), text.into()])
}

#[test]
fn a_vm_gets_an_address_and_reads_it_in_its_context() {
    let cloud = cloud();
    let vm = new_vm(
        &cloud,
        "a",
        "NIC=[NETWORK_ID=1]\nNIC=[NETWORK_ID=0]\nCONTEXT=[NETWORK=\"YES\"]",
    );
    let vm = cloud.vm(vm).unwrap();
    assert_eq!(vm.addresses(), ["198.51.100.10", "192.0.2.10"]);
    let context = |key: &str| vm.template.get_in("CONTEXT", key);
    assert_eq!(context("ETH0_IP"), Some("198.51.100.10"));
    assert_eq!(context("ETH1_IP"), Some("192.0.2.10"));
    assert_eq!(context("ETH0_GATEWAY"), Some("198.51.100.1"));
    assert_eq!(context("ETH0_MAC"), Some("02:00:c6:33:64:0a"));
}

#[test]
fn networks_run_out() {
    let cloud = cloud();
    let small = cloud.add_vnet("small", &[0], "203.0.113.1", 1).unwrap();
    let first = new_vm(&cloud, "a", &format!("NIC=[NETWORK_ID={small}]"));
    let template = format!("NAME=\"b\"\nCPU=1\nMEMORY=1\nNIC=[NETWORK_ID={small}]");
    assert_eq!(
        code(&cloud, ALICE, "one.vm.allocate", &[template.as_str().into()]),
        8192
    );
    assert_eq!(cloud.live_vms().len(), 1);
    act(&cloud, "terminate", first);
    id(&cloud, ALICE, "one.vm.allocate", &[template.into()]);
}

#[test]
fn held_addresses_are_nobodys() {
    let cloud = cloud();
    let lease = |address: &str| [1.into(), format!("LEASES=[IP=\"{address}\"]").into()];
    ask(&cloud, ADMIN, "one.vn.hold", &lease("198.51.100.10"));
    assert_eq!(code(&cloud, ADMIN, "one.vn.hold", &lease("198.51.100.10")), 8192);
    assert_eq!(code(&cloud, ADMIN, "one.vn.hold", &lease("203.0.113.7")), 8192);
    assert_eq!(code(&cloud, ALICE, "one.vn.hold", &lease("198.51.100.11")), 512);
    let vm = new_vm(&cloud, "a", "NIC=[NETWORK_ID=1]");
    assert_eq!(cloud.vm(vm).unwrap().addresses(), ["198.51.100.11"]);
    assert_eq!(
        cloud.leases(1),
        [
            ("198.51.100.10".to_owned(), Holder::Held),
            ("198.51.100.11".to_owned(), Holder::Vm(vm))
        ]
    );
    ask(&cloud, ADMIN, "one.vn.release", &lease("198.51.100.10"));
    assert_eq!(cloud.leases(1).len(), 1);
}

#[test]
fn a_reservation_is_a_network_of_its_own() {
    let cloud = cloud();
    let vnet = reserve(&cloud, "NAME=\"mine\"\nSIZE=3");
    assert_eq!(cloud.leases(0).len(), 3);
    let xml = text(&cloud, ALICE, "one.vn.info", &[number(vnet)]);
    assert_eq!(element(&xml, "PARENT_NETWORK_ID").as_deref(), Some("0"));
    assert_eq!(element(&xml, "IP").as_deref(), Some("192.0.2.10"));
    assert_eq!(element(&xml, "SIZE").as_deref(), Some("3"));
    let vm = new_vm(&cloud, "a", &format!("NIC=[NETWORK_ID={vnet}]"));
    assert_eq!(cloud.vm(vm).unwrap().addresses(), ["192.0.2.10"]);
    assert_eq!(
        code(&cloud, ALICE, "one.vn.delete", &[number(vnet)]),
        2048,
        "in use"
    );
    assert_eq!(code(&cloud, MALLORY, "one.vn.delete", &[number(vnet)]), 512);
    // A second piece for the same network.
    reserve(&cloud, &format!("NETWORK_ID={vnet}\nSIZE=2"));
    assert_eq!(cloud.leases(0).len(), 5);
    act(&cloud, "terminate", vm);
    ask(&cloud, ALICE, "one.vn.delete", &[number(vnet)]);
    assert!(cloud.leases(0).is_empty());
}

#[test]
fn reservations_can_be_refused() {
    let cloud = cloud();
    for text in [
        "SIZE=3",
        "NAME=\"x\"",
        "NAME=\"x\"\nSIZE=0",
        "NAME=\"x\"\nSIZE=1000",
    ] {
        let code = code(&cloud, ADMIN, "one.vn.reserve", &[0.into(), text.into()]);
        assert_eq!(code, 2048, "{text}");
    }
    assert!(cloud.leases(0).is_empty());
    // Whoever may use a network may reserve a part of it, within the quota of that network.
    let quota = "NETWORK=[ID=\"0\",LEASES=\"2\"]";
    ask(&cloud, ADMIN, "one.user.quota", &[3.into(), quota.into()]);
    let three = [0.into(), "NAME=\"x\"\nSIZE=3".into()];
    assert_eq!(code(&cloud, MALLORY, "one.vn.reserve", &three), 512);
    assert_eq!(cloud.vnets().len(), 2);
    let two = [0.into(), "NAME=\"x\"\nSIZE=2".into()];
    let vnet = id(&cloud, MALLORY, "one.vn.reserve", &two);
    assert_eq!(cloud.leases(0).len(), 2);
    assert_eq!(
        code(
            &cloud,
            ALICE,
            "one.vn.reserve",
            &[number(vnet), "NAME=\"y\"\nSIZE=1".into()]
        ),
        2048
    );
}

#[test]
fn nics_come_and_go() {
    let cloud = cloud();
    let vm = running_vm(&cloud, "a", "");
    cloud.listen();
    ask(
        &cloud,
        ALICE,
        "one.vm.attachnic",
        &[number(vm), "NIC=[NETWORK_ID=1]".into()],
    );
    assert_eq!(state(&cloud, vm), "HOTPLUG_NIC");
    cloud.advance(5);
    assert_eq!(state(&cloud, vm), "RUNNING");
    assert_eq!(cloud.vm(vm).unwrap().addresses(), ["198.51.100.10"]);
    ask(&cloud, ALICE, "one.vm.detachnic", &[number(vm), 0.into()]);
    cloud.advance(5);
    assert!(cloud.vm(vm).unwrap().addresses().is_empty());
    assert!(cloud.leases(1).is_empty());
    assert_eq!(
        code(&cloud, ALICE, "one.vm.detachnic", &[number(vm), 0.into()]),
        2048
    );
}
