//! The scheduler.

use crate::support::{
    ADMIN, ALICE, act, ask, cloud, code, element, id, new_vm, number, running_vm, state, text,
};

#[test]
fn a_vm_goes_where_it_wants_to() {
    let cloud = cloud();
    let vm = running_vm(&cloud, "a", "SCHED_REQUIREMENTS=\"ID=\\\"3\\\"\"");
    assert_eq!(cloud.vm(vm).unwrap().host(), Some(3));
    let other = cloud.add_cluster("other");
    let host = cloud.add_host("far", other, 8, 8192);
    let vm = running_vm(&cloud, "b", &format!("SCHED_REQUIREMENTS=\"CLUSTER_ID={other}\""));
    assert_eq!(cloud.vm(vm).unwrap().host(), Some(host));
    // A network keeps its VMs in its clusters.
    let vm = new_vm(
        &cloud,
        "c",
        &format!("NIC=[NETWORK_ID=1]\nSCHED_REQUIREMENTS=\"CLUSTER_ID={other}\""),
    );
    cloud.advance(60);
    assert_eq!(state(&cloud, vm), "PENDING");
    let message = cloud
        .vm(vm)
        .unwrap()
        .user_template
        .get("SCHED_MESSAGE")
        .unwrap()
        .to_owned();
    assert!(message.contains("Requirements not met"), "{message}");
}

#[test]
fn a_vm_waits_for_room() {
    let cloud = cloud();
    cloud.faults(|faults| faults.no_capacity = true);
    let vm = new_vm(&cloud, "a", "");
    cloud.advance(300);
    assert_eq!(state(&cloud, vm), "PENDING");
    cloud.faults(|faults| faults.no_capacity = false);
    cloud.advance(120);
    assert_eq!(state(&cloud, vm), "RUNNING");
    assert_eq!(cloud.vm(vm).unwrap().user_template.get("SCHED_MESSAGE"), None);
    let big = new_vm(&cloud, "big", "CPU=1000");
    cloud.advance(60);
    assert_eq!(state(&cloud, big), "PENDING");
    cloud.add_host("big", 0, 2000, 1024);
    cloud.advance(30);
    assert_eq!(state(&cloud, big), "RUNNING");
}

#[test]
fn hosts_have_limits() {
    let cloud = cloud();
    // Four hosts of 64 CPUs take four VMs of 40 and no fifth.
    let vms: Vec<u32> = (0..5)
        .map(|number| new_vm(&cloud, &format!("vm{number}"), "CPU=40"))
        .collect();
    cloud.advance(60);
    let running = vms.iter().filter(|vm| state(&cloud, **vm) == "RUNNING").count();
    assert_eq!(running, 4);
    act(&cloud, "terminate-hard", vms[0]);
    cloud.advance(120);
    assert_eq!(state(&cloud, vms[4]), "RUNNING");
    let host = text(&cloud, ADMIN, "one.host.info", &[0.into()]);
    assert_eq!(element(&host, "CPU_USAGE").as_deref(), Some("4000"));
}

#[test]
fn an_administrator_may_choose() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "");
    assert_eq!(code(&cloud, ALICE, "one.vm.deploy", &[number(vm), 2.into()]), 512);
    ask(&cloud, ADMIN, "one.vm.deploy", &[number(vm), 2.into()]);
    assert_eq!(cloud.vm(vm).unwrap().host(), Some(2));
    cloud.advance(30);
    assert_eq!(state(&cloud, vm), "RUNNING");
    assert_eq!(
        code(&cloud, ADMIN, "one.vm.deploy", &[number(vm), 1.into()]),
        2048
    );
}

#[test]
fn a_group_keeps_its_vms_apart() {
    let cloud = cloud();
    let group = id(
        &cloud,
        ALICE,
        "one.vmgroup.allocate",
        &["NAME=\"g\"\nROLE=[NAME=\"master\",POLICY=\"ANTI_AFFINED\"]".into()],
    );
    let member = format!("VMGROUP=[VMGROUP_ID=\"{group}\",ROLE=\"master\"]");
    let vms: Vec<u32> = (0..5)
        .map(|number| new_vm(&cloud, &format!("m{number}"), &member))
        .collect();
    cloud.advance(60);
    let mut hosts: Vec<u32> = vms
        .iter()
        .filter_map(|vm| cloud.vm(*vm).unwrap().host())
        .collect();
    hosts.sort_unstable();
    assert_eq!(hosts, [0, 1, 2, 3], "one on each host, and one without");
    assert_eq!(code(&cloud, ALICE, "one.vmgroup.delete", &[number(group)]), 2048);
    for vm in &vms[..4] {
        act(&cloud, "terminate-hard", *vm);
    }
    act(&cloud, "terminate-hard", vms[4]);
    cloud.advance(60);
    ask(&cloud, ALICE, "one.vmgroup.delete", &[number(group)]);
}
