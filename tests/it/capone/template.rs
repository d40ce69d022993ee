//! Rendered VM templates, read by the same rules as OpenNebula's.

use oneks_driver::{Group, Role};
use opennebula::template::Template;
use serde_json::json;

use super::subject::{bootstrap, cluster, group, provision};

fn read(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn node(group: &Group) -> Template {
    read(&provision(&cluster(), group).templates[0].text)
}

#[test]
fn every_vm_is_tagged_sized_and_placed() {
    let start = bootstrap(&cluster(), &group(Role::ControlPlane, "ha"));
    let seed = start.seed.unwrap().vm;
    assert_eq!(seed.name, "oneks-24-seed");
    let worker = &provision(&cluster(), &group(Role::NodeGroup, "large")).templates[0];
    for (text, kind, group, sizes, image, network) in [
        (
            &start.templates[0].text,
            "CONTROL_PLANE",
            "24000",
            ["2", "2", "4096"],
            "32",
            Some("8"),
        ),
        (
            &start.templates[1].text,
            "ROUTER",
            "24000",
            ["1", "1", "512"],
            "33",
            None,
        ),
        (&seed.text, "SEED", "24000", ["2", "2", "4096"], "31", Some("7")),
        (
            &worker.text,
            "NODE",
            "24001",
            ["8", "8", "16384"],
            "32",
            Some("8"),
        ),
    ] {
        let template = read(text);
        assert_eq!(template.get_in("ONEKS", "TYPE"), Some(kind));
        assert_eq!(template.get_in("ONEKS", "CLUSTER_ID"), Some("24"), "{kind}");
        assert_eq!(
            template.get_in("ONEKS", "CLUSTER_NAME"),
            Some("oneks-24"),
            "{kind}"
        );
        assert_eq!(template.get_in("ONEKS", "GROUP_ID"), Some(group), "{kind}");
        assert_eq!(
            ["CPU", "VCPU", "MEMORY"].map(|n| template.get(n).unwrap()),
            sizes,
            "{kind}"
        );
        assert_eq!(template.get_in("DISK", "IMAGE_ID"), Some(image), "{kind}");
        assert_eq!(template.get_in("NIC", "NETWORK_ID"), network, "{kind}");
        assert_eq!(template.get_in("CONTEXT", "TOKEN"), Some("YES"), "{kind}");
        assert_eq!(template.get_in("GRAPHICS", "LISTEN"), Some("127.0.0.1"), "{kind}");
        assert_eq!(
            template.get("SCHED_REQUIREMENTS"),
            Some("CLUSTER_ID = 100"),
            "{kind}"
        );
        assert_eq!(template.get("SCHED_RANK"), Some("-RUNNING_VMS"), "{kind}");
        assert_eq!(template.get("NAME"), None, "{kind}");
        assert_eq!(
            template.get_in("CONTEXT", "SSH_PUBLIC_KEY"),
            Some("$USER[SSH_PUBLIC_KEY]")
        );
        let backend = (kind == "CONTROL_PLANE").then_some("YES");
        assert_eq!(template.get_in("CONTEXT", "BACKEND"), backend, "{kind}");
    }
}

#[test]
fn nodes_grow_into_their_disk_and_bear_their_own_name() {
    let template = node(&group(Role::NodeGroup, "medium"));
    assert_eq!(template.get_in("DISK", "SIZE"), Some("32768"));
    assert_eq!(template.get_in("CONTEXT", "GROW_FS"), Some("/"));
    assert_eq!(template.get_in("CONTEXT", "SET_HOSTNAME"), Some("$NAME"));
    assert_eq!(template.get_in("FEATURES", "GUEST_AGENT"), Some("yes"));
}

#[test]
fn the_seed_is_told_its_cluster_and_versions() {
    let seed = bootstrap(&cluster(), &group(Role::ControlPlane, "ha"))
        .seed
        .unwrap();
    let template = read(&seed.vm.text);
    for (name, value) in [
        ("ONEAPP_ONEKS_CLUSTER_NAME", "oneks-24"),
        ("ONEAPP_ONEKS_CLUSTER_SPEC", "@ONEKS:BASE64:ATTACHMENT:manifest@"),
        ("ONEAPP_ONEKS_CAPONE_VERSION", "0.1.7"),
        ("ONEAPP_ONEKS_CLUSTERCTL_VERSION", "1.9.6"),
    ] {
        assert_eq!(template.get_in("CONTEXT", name), Some(value));
    }
    assert_eq!((seed.first_report, seed.total), (300, 3900));
    let single = bootstrap(&cluster(), &group(Role::ControlPlane, "standalone"))
        .seed
        .unwrap();
    assert_eq!(single.total, 2100);
    let mut slow = group(Role::ControlPlane, "standalone");
    slow.profile.settings["dependencies"]["seed_vm"]["creation_timeout"] = json!(9000);
    assert_eq!(bootstrap(&cluster(), &slow).seed.unwrap().total, 9000);
}

#[test]
fn settings_of_the_virtual_machine_are_written_as_opennebula_has_them() {
    let mut group = group(Role::NodeGroup, "small");
    group.inputs.insert("cpu".to_owned(), json!(1.5));
    group.inputs.insert("memory".to_owned(), json!(4096.0));
    group.profile.settings["vm"] = json!({
        "cpu_model": "host-passthrough",
        "pci": [
            {"CLASS": "0302", "DEVICE": "20b5", "VENDOR": "10de"},
            {"SHORT_ADDRESS": "e1:00.0"},
        ],
        "graphics": null,
        "placement": {"requirements": "NAME = \"gpu*\"", "rank": null, "vm_group": {"id": 7, "role": "nodes"}},
    });
    let template = node(&group);
    assert_eq!(template.get("CPU"), Some("1.5"));
    assert_eq!(template.get("MEMORY"), Some("4096"));
    assert_eq!(template.get_in("CPU_MODEL", "MODEL"), Some("host-passthrough"));
    let devices: Vec<_> = template.get_vectors("PCI").collect();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0].len(), 3);
    assert_eq!(devices[1], [("SHORT_ADDRESS".to_owned(), "e1:00.0".to_owned())]);
    assert!(!template.contains("GRAPHICS") && !template.contains("SCHED_RANK"));
    assert_eq!(
        template.get("SCHED_REQUIREMENTS"),
        Some("(CLUSTER_ID = 100) & (NAME = \"gpu*\")")
    );
    assert_eq!(template.get_in("VMGROUP", "VMGROUP_ID"), Some("7"));
    assert_eq!(template.get_in("VMGROUP", "ROLE"), Some("nodes"));
}

#[test]
fn a_router_balances_the_api_and_without_name_servers_asks_the_root_servers() {
    let mut plane = group(Role::ControlPlane, "ha");
    let router = |plane: &Group| read(&bootstrap(&cluster(), plane).templates[1].text);
    let template = router(&plane);
    assert_eq!(
        template.get_in("CONTEXT", "ONEAPP_VNF_DNS_NAMESERVERS"),
        Some("1.1.1.1,8.8.8.8")
    );
    assert_eq!(template.get("VROUTER"), Some("YES"));
    for (name, value) in [
        ("HAPROXY_ENABLED", "YES"),
        ("HAPROXY_ONEGATE_ENABLED", "YES"),
        ("HAPROXY_LB0_IP", "<ETH0_EP0>"),
        ("HAPROXY_LB0_PORT", "6443"),
        ("HAPROXY_LB1_IP", "<ETH0_EP0>"),
        ("HAPROXY_LB1_PORT", "9345"),
    ] {
        assert_eq!(
            template.get_in("CONTEXT", &format!("ONEAPP_VNF_{name}")),
            Some(value)
        );
    }
    let services = read(&bootstrap(&cluster(), &plane).templates[2].text);
    assert_eq!(services.get("VROUTER"), Some("YES"));
    let context = services.get_vector("CONTEXT").unwrap();
    assert!(context.iter().all(|(name, _)| !name.contains("HAPROXY")));
    plane.profile.settings["router"]["listener_ports"] = json!([9345, 6443]);
    plane.profile.settings["router"]["extra_context"] = json!({"ONEAPP_VNF_X": "y"});
    let other = router(&plane);
    assert_eq!(
        other.get_in("CONTEXT", "ONEAPP_VNF_HAPROXY_LB0_PORT"),
        Some("6443")
    );
    assert_eq!(other.get_in("CONTEXT", "ONEAPP_VNF_X"), Some("y"));
    plane.profile.settings["router"]["dns_servers"] = json!([]);
    let template = router(&plane);
    assert_eq!(template.get_in("CONTEXT", "ONEAPP_VNF_DNS_NAMESERVERS"), None);
    assert_eq!(
        template.get_in("CONTEXT", "ONEAPP_VNF_DNS_USE_ROOTSERVERS"),
        Some("YES")
    );
}
