//! What the driver refuses before the first object is made.

use oneks_driver::{Action, Cluster, Group, Role, Taint, Validation};
use serde_json::json;

use super::ask;
use super::subject::{cluster, group};

fn errors(cluster: &Cluster, group: &Group) -> Vec<(String, String)> {
    let validation: Validation = ask(Action::Validate {
        cluster: Box::new(cluster.clone()),
        group: Box::new(group.clone()),
    })
    .unwrap();
    validation
        .errors
        .into_iter()
        .map(|e| (e.path, e.message))
        .collect()
}

#[test]
fn what_is_installed_is_accepted() {
    for (role, flavour) in [
        (Role::ControlPlane, "standalone"),
        (Role::ControlPlane, "ha"),
        (Role::NodeGroup, "small"),
        (Role::NodeGroup, "medium"),
        (Role::NodeGroup, "large"),
    ] {
        assert_eq!(errors(&cluster(), &group(role, flavour)), [], "{flavour}");
    }
    let mut empty = group(Role::NodeGroup, "small");
    empty.replicas = 0;
    empty
        .labels
        .insert("node-role.kubernetes.io/worker".to_owned(), String::new());
    empty
        .labels
        .insert("node.kubernetes.io/pool".to_owned(), "a".to_owned());
    assert_eq!(errors(&cluster(), &empty), []);
}

type Change = fn(&mut Cluster, &mut Group);

fn refused(role: Role, flavour: &str, cases: &[(Change, &str, &str)]) {
    for (i, (change, path, message)) in cases.iter().enumerate() {
        let (mut cluster, mut group) = (cluster(), group(role, flavour));
        change(&mut cluster, &mut group);
        let errors = errors(&cluster, &group);
        assert!(
            errors.len() == 1 && errors[0].0 == *path && errors[0].1.contains(message),
            "case {i}: {errors:?}, not {path}: {message}"
        );
    }
}

#[test]
fn clusters_that_cannot_work_are_refused_by_path() {
    refused(
        Role::ControlPlane,
        "ha",
        &[
            (
                |c, _| c.placement.public.name = "end\\".to_owned(),
                "deployment.networks.public.id",
                "network 7 must be renamed, because Cluster API finds networks by name",
            ),
            (
                |c, _| c.placement.private.name = " blank".to_owned(),
                "deployment.networks.private.id",
                "OpenNebula trims blanks",
            ),
            (
                |c, _| c.placement.private.name = "a]]>b".to_owned(),
                "deployment.networks.private.id",
                "]]>",
            ),
            (
                |c, _| c.placement.private.name.clear(),
                "deployment.networks.private.id",
                "network 8 has no name",
            ),
            (
                |c, _| c.placement.private.name = "public".to_owned(),
                "deployment.networks.private.id",
                "networks 7 and 8 have the same name",
            ),
            (|c, _| c.xmlrpc.clear(), "deployment", "no address of OpenNebula"),
            (
                |c, _| drop(c.images.remove("seed")),
                "deployment.datastores.image.id",
                "an image for seed is needed, and datastore 1 has none",
            ),
            (
                |c, _| {
                    c.images.remove("router");
                    c.placement.image_datastore = None;
                },
                "deployment.datastores.image.id",
                "an image for router is needed, and no datastore is chosen",
            ),
            (
                |c, _| c.images.get_mut("node").unwrap().size = 20_000,
                "control_plane.user_inputs_values.disk_size",
                "16384 MB is less than the 20000 MB of image 32",
            ),
            (
                |_, g| g.replicas = 2,
                "control_plane.user_inputs_values.count",
                "odd number",
            ),
            (
                |_, g| drop(g.inputs.insert("vcpu".to_owned(), json!(1.5))),
                "control_plane.user_inputs_values.vcpu",
                "whole number of at least 1 is needed, not 1.5",
            ),
            (
                |_, g| drop(g.inputs.remove("memory")),
                "control_plane.user_inputs_values.memory",
                "missing",
            ),
            (
                |_, g| drop(g.inputs.insert("cpu".to_owned(), json!(0))),
                "control_plane.user_inputs_values.cpu",
                "above 0",
            ),
            (
                |_, g| g.version = "v1.9.2".to_owned(),
                "kubernetes_version",
                "v1.9.2+rke2r1",
            ),
        ],
    );
}

#[test]
fn profiles_that_cannot_work_are_refused_with_setting_or_text() {
    refused(
        Role::ControlPlane,
        "ha",
        &[
            (
                |_, g| g.profile.settings["seed"]["vcpus"] = json!(2),
                "control_plane.family",
                "settings.seed.vcpus: unknown field",
            ),
            (
                |_, g| g.profile.settings["cloud_controller"]["image"] = json!("ghcr.io/x/ccm:latest"),
                "control_plane.family",
                "settings.cloud_controller.image: \"ghcr.io/x/ccm:latest\" needs a tag other than latest",
            ),
            (
                |_, g| g.profile.settings["cloud_controller"]["image"] = json!("registry:5000/ccm"),
                "control_plane.family",
                "needs a tag other than latest",
            ),
            (
                |_, g| g.profile.settings["drain"]["timeout"] = json!("5"),
                "control_plane.family",
                "settings.drain.timeout: \"5\" is no duration",
            ),
            (
                |_, g| g.profile.settings["health_check"]["max_unhealthy"] = json!("many"),
                "control_plane.family",
                "settings.health_check.max_unhealthy",
            ),
            (
                |_, g| g.profile.settings["network"]["cni"] = json!("flannel"),
                "control_plane.family",
                "settings.network.cni",
            ),
            (
                |_, g| g.profile.settings["router"]["listener_ports"] = json!([9345]),
                "control_plane.family",
                "6443",
            ),
            (
                |_, g| g.profile.settings["router"]["dns_servers"] = json!(["a\nb"]),
                "control_plane.family",
                "router.j2:",
            ),
            (
                |c, g| {
                    c.endpoint = None;
                    c.gateway = None;
                    let text = "---\n{{ cluster.colour }}\n".to_owned();
                    g.profile.texts.insert("manifest.yaml.j2".to_owned(), text);
                },
                "control_plane.family",
                "manifest.yaml.j2:2: ",
            ),
            (
                |_, g| drop(g.profile.texts.remove("seed.j2")),
                "control_plane.family",
                "lacks the text seed.j2",
            ),
            (
                |_, g| {
                    g.profile
                        .texts
                        .insert("seed.j2".to_owned(), "{{ nothing }}".to_owned());
                },
                "control_plane.family",
                "seed.j2:1: `nothing` is undefined",
            ),
        ],
    );
}

#[test]
fn node_groups_that_cannot_work_are_refused_by_path() {
    refused(
        Role::NodeGroup,
        "small",
        &[
            (
                |_, g| drop(g.labels.insert("kubernetes.io/role".to_owned(), String::new())),
                "node_groups[workers].labels",
                "a kubelet may not set it",
            ),
            (
                |_, g| drop(g.labels.insert("a".to_owned(), "b,c=d".to_owned())),
                "node_groups[workers].labels",
                "characters that Kubernetes refuses",
            ),
            (
                |_, g| {
                    g.taints.push(Taint {
                        key: "a".to_owned(),
                        value: String::new(),
                        effect: "Never".to_owned(),
                    });
                },
                "node_groups[workers].taints[0].effect",
                "NoSchedule",
            ),
            (
                |_, g| g.name = format!("oneks-24-{}", "x".repeat(43)),
                "node_groups[workers].name",
                "too long",
            ),
            (
                |_, g| g.profile.settings["rollout"]["delete_policy"] = json!("Best"),
                "node_groups[workers].family",
                "settings.rollout.delete_policy",
            ),
            (
                |_, g| g.profile.settings["vm"]["pci"] = json!([{"class": "0302"}]),
                "node_groups[workers].family",
                "capitals, digits and _",
            ),
        ],
    );
}
