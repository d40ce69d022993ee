//! Rendered manifests: right in form, complete in their references, and safe against any name.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks_driver::secret::ONE_AUTH_BASE64;
use oneks_driver::{Group, Role, Router, Taint};
use opennebula::template::{Template, vector_value};
use serde_json::{Value, json};

use super::schema::Schemas;
use super::subject::{
    bootstrap, cluster, control_plane_manifest, document, documents, group, node_group_manifest, provision,
    rotate,
};

fn check(text: &str) -> Vec<Value> {
    let schemas = Schemas::load();
    let documents = documents(text);
    for object in &documents {
        assert_eq!(schemas.check(object), Vec::<String>::new(), "{object:#}");
    }
    documents
}

fn kinds(documents: &[Value]) -> Vec<(&str, &str)> {
    documents
        .iter()
        .map(|d| {
            (
                d["kind"].as_str().unwrap(),
                d["metadata"]["name"].as_str().unwrap(),
            )
        })
        .collect()
}

/// What the cloud controller's Secret brings into the cluster.
fn cloud_controller(documents: &[Value]) -> Vec<Value> {
    let secret = document(documents, "Secret", "oneks-24-ccm");
    super::subject::documents(
        secret["stringData"]["cloud-controller-manager.yaml"]
            .as_str()
            .unwrap(),
    )
}

/// The cloud controller's configuration with a credential in its place.
fn cloud_config(object: &Value, credential: &str) -> Value {
    let marked = object["data"]["config.yaml"].as_str().unwrap();
    let text = STANDARD
        .decode(marked.replace(ONE_AUTH_BASE64, &STANDARD.encode(credential)))
        .unwrap();
    documents(std::str::from_utf8(&text).unwrap()).remove(0)
}

/// Name that follows from the sizes of the flavours, which are the same.
const CONTROL_PLANE_MACHINES: &str = "oneks-24-cp-d4460ee8";

#[test]
fn a_control_plane_has_what_cluster_api_needs() {
    for (flavour, replicas) in [("standalone", 1), ("ha", 3)] {
        let documents = check(&control_plane_manifest(
            &cluster(),
            &group(Role::ControlPlane, flavour),
        ));
        assert_eq!(
            kinds(&documents),
            [
                ("Secret", "oneks-24"),
                ("Secret", "oneks-24-ccm"),
                ("ClusterResourceSet", "oneks-24-ccm"),
                ("Cluster", "oneks-24"),
                ("ONECluster", "oneks-24"),
                ("ONEMachineTemplate", CONTROL_PLANE_MACHINES),
                ("RKE2ControlPlane", "oneks-24"),
                ("MachineHealthCheck", "oneks-24-cp"),
            ]
        );
        for object in &documents {
            assert_eq!(object["metadata"]["namespace"], "default");
            assert_eq!(
                object["metadata"]["labels"]["cluster.x-k8s.io/cluster-name"],
                "oneks-24"
            );
        }
        let one = document(&documents, "ONECluster", "oneks-24");
        assert_eq!(one["spec"]["images"], Value::Null);
        assert_eq!(one["spec"]["templates"], Value::Null);
        assert_eq!(one["spec"]["secretName"], "oneks-24");
        let names: Vec<_> = bootstrap(&cluster(), &group(Role::ControlPlane, flavour))
            .templates
            .into_iter()
            .map(|t| t.name)
            .collect();
        assert_eq!(names, ["oneks-24-cp", "oneks-24-router", "oneks-24-lb"]);
        assert_eq!(one["spec"]["virtualRouter"]["templateName"], "oneks-24-router");
        let machine = document(&documents, "ONEMachineTemplate", CONTROL_PLANE_MACHINES);
        assert_eq!(machine["spec"]["template"]["spec"]["templateName"], "oneks-24-cp");
        let plane = &document(&documents, "RKE2ControlPlane", "oneks-24")["spec"];
        assert_eq!(plane["replicas"], replicas);
        assert_eq!(plane["version"], "v1.34.2+rke2r1");
        assert_eq!(
            plane["machineTemplate"]["infrastructureRef"]["name"],
            CONTROL_PLANE_MACHINES
        );
    }
}

#[test]
fn capone_finds_the_router_that_the_hooks_made() {
    let plane = group(Role::ControlPlane, "ha");
    let objects = check(&control_plane_manifest(&cluster(), &plane));
    let one = &document(&objects, "ONECluster", "oneks-24")["spec"];
    assert_eq!(
        one["controlPlaneEndpoint"],
        json!({"host": "192.0.2.10", "port": 6443})
    );
    assert_eq!(
        one["publicNetwork"],
        json!({"name": "public", "floatingIP": "192.0.2.10"})
    );
    let gateway = "198.51.100.10";
    assert_eq!(
        one["privateNetwork"],
        json!({"name": "private", "floatingIP": gateway, "gateway": gateway, "dns": gateway})
    );
    let mut early = cluster();
    early.endpoint = None;
    early.gateway = None;
    let start = bootstrap(&early, &plane);
    assert_eq!(start.templates, bootstrap(&cluster(), &plane).templates);
    let Router::Hooks {
        name,
        text,
        template,
        replicas,
    } = start.router
    else {
        panic!("the hooks make the router");
    };
    assert_eq!(
        (name.as_str(), template.as_str(), replicas),
        ("oneks-24-cp", "oneks-24-router", 1)
    );
    let read = Template::parse(&text).unwrap();
    let nics: Vec<_> = read
        .get_vectors("NIC")
        .map(|nic| vector_value(nic, "NETWORK_ID"))
        .collect();
    assert_eq!(nics, [Some("7"), Some("8")]);
    // There is no manifest without the router's addresses.
    assert_eq!(start.seed.unwrap().vm.attachments, BTreeMap::new());
}

#[test]
fn the_cloud_controller_is_pinned_and_gets_the_credential() {
    let documents = check(&control_plane_manifest(
        &cluster(),
        &group(Role::ControlPlane, "ha"),
    ));
    let inner = cloud_controller(&documents);
    assert_eq!(
        kinds(&inner),
        [
            ("Secret", "cloud-config"),
            ("ServiceAccount", "opennebula-cloud-controller-manager"),
            ("ClusterRoleBinding", "opennebula-cloud-controller-manager"),
            ("DaemonSet", "cloud-controller-manager"),
        ]
    );
    let pod = &inner[3]["spec"]["template"];
    assert_eq!(
        inner[3]["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"]
    );
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
    assert!(image.rsplit(':').next().unwrap().starts_with('v'), "{image}");
    assert_eq!(pod["spec"]["volumes"][0]["secret"]["secretName"], "cloud-config");
    let config = &cloud_config(&inner[0], "alice:0123")["opennebula"];
    assert_eq!(config["endpoint"]["ONE_AUTH"], "alice:0123");
    assert_eq!(config["endpoint"]["ONE_XMLRPC"], "http://169.254.16.9:2633/RPC2");
    assert_eq!(config["virtualRouter"]["templateName"], "oneks-24-lb");
    let secret = document(&documents, "Secret", "oneks-24");
    assert_eq!(secret["data"]["ONE_AUTH"], ONE_AUTH_BASE64);
    let endpoint = STANDARD
        .decode(secret["data"]["ONE_XMLRPC"].as_str().unwrap())
        .unwrap();
    assert_eq!(endpoint, b"http://169.254.16.9:2633/RPC2");
}

#[test]
fn a_node_group_refers_to_its_own_templates() {
    for flavour in ["small", "medium", "large"] {
        let group = group(Role::NodeGroup, flavour);
        let documents = check(&node_group_manifest(&cluster(), &group));
        let deployment = &document(&documents, "MachineDeployment", "oneks-24-workers")["spec"];
        let spec = &deployment["template"]["spec"];
        for reference in [&spec["infrastructureRef"], &spec["bootstrap"]["configRef"]] {
            let (kind, name) = (
                reference["kind"].as_str().unwrap(),
                reference["name"].as_str().unwrap(),
            );
            assert_eq!(
                document(&documents, kind, name)["apiVersion"],
                reference["apiVersion"]
            );
        }
        assert_eq!(deployment["replicas"], 2);
        assert_eq!(spec["version"], "v1.34.2+rke2r1");
        assert_eq!(
            deployment["selector"]["matchLabels"],
            deployment["template"]["metadata"]["labels"]
        );
        let machine = documents
            .iter()
            .find(|d| d["kind"] == "ONEMachineTemplate")
            .unwrap();
        let steps = provision(&cluster(), &group);
        assert_eq!(steps.templates[0].name, "oneks-24-workers");
        assert_eq!(
            machine["spec"]["template"]["spec"]["templateName"],
            "oneks-24-workers"
        );
        for object in &documents {
            assert_eq!(
                object["metadata"]["labels"]["oneks.opennebula.io/group"],
                "oneks-24-workers"
            );
        }
    }
}

/// Name of the group's templates in Kubernetes, which decides whether its nodes are replaced.
fn machine_template(group: &Group) -> String {
    let documents = documents(&node_group_manifest(&cluster(), group));
    let machine = documents
        .iter()
        .find(|d| d["kind"] == "ONEMachineTemplate")
        .unwrap();
    machine["metadata"]["name"].as_str().unwrap().to_owned()
}

#[test]
fn nodes_are_replaced_for_what_users_choose_and_for_nothing_else() {
    let base = group(Role::NodeGroup, "small");
    let name = machine_template(&base);
    assert!(
        name.starts_with("oneks-24-workers-") && name.len() == "oneks-24-workers-".len() + 8,
        "{name}"
    );
    let changed = |change: &dyn Fn(&mut Group)| {
        let mut group = base.clone();
        change(&mut group);
        machine_template(&group)
    };
    assert_eq!(name, changed(&|g| g.replicas = 7));
    assert_eq!(
        name,
        changed(&|g| drop(g.inputs.insert("count".to_owned(), 7.into())))
    );
    assert_eq!(name, changed(&|g| g.version = "v1.33.7".to_owned()));
    assert_eq!(
        name,
        changed(&|g| g.profile.settings["drain"]["timeout"] = "1h".into())
    );
    assert_ne!(
        name,
        changed(&|g| drop(g.inputs.insert("memory".to_owned(), 8192.into())))
    );
    assert_ne!(
        name,
        changed(&|g| drop(g.labels.insert("a".to_owned(), "b".to_owned())))
    );
    assert_ne!(
        name,
        changed(&|g| g.taints.push(Taint {
            key: "a".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned()
        }))
    );
}

#[test]
fn labels_and_taints_reach_the_node_on_the_way_that_is_open_to_them() {
    let mut group = group(Role::NodeGroup, "small");
    group.labels = BTreeMap::from([
        ("example.org/zone".to_owned(), "a".to_owned()),
        ("node-role.kubernetes.io/worker".to_owned(), "true".to_owned()),
        ("team".to_owned(), String::new()),
    ]);
    group.taints = vec![
        Taint {
            key: "gpu".to_owned(),
            value: "yes".to_owned(),
            effect: "NoSchedule".to_owned(),
        },
        Taint {
            key: "slow".to_owned(),
            value: String::new(),
            effect: "PreferNoSchedule".to_owned(),
        },
    ];
    let documents = check(&node_group_manifest(&cluster(), &group));
    let config = documents
        .iter()
        .find(|d| d["kind"] == "RKE2ConfigTemplate")
        .unwrap();
    let agent = &config["spec"]["template"]["spec"]["agentConfig"];
    assert_eq!(agent["nodeLabels"], json!(["example.org/zone=a", "team="]));
    assert_eq!(
        agent["nodeTaints"],
        json!(["gpu=yes:NoSchedule", "slow=:PreferNoSchedule"])
    );
    let deployment = document(&documents, "MachineDeployment", "oneks-24-workers");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["node-role.kubernetes.io/worker"], "true");
    assert_eq!(labels.as_object().unwrap().len(), 3);
}

/// Names that end a scalar, a line, a document, a block or a mark in some format or other.
const HOSTILE: [&str; 12] = [
    "a: \"b\" #c",
    "it's \"quoted\" \\ and 'more'",
    "two\nlines\n---\nkind: Secret",
    "]]> <![CDATA[",
    "{{ settings }} {% for %} {# #}",
    "@ONEKS:BASE64:ONE_AUTH@ @ONEKS:BASE64:ATTACHMENT:manifest@",
    "$(reboot) `reboot` ${HOME}",
    "yes",
    "0x10",
    "~",
    "\u{85}\u{2028}\u{2029}\u{feff}\u{7f}\u{1b}\ttab",
    "größe 😀",
];

#[test]
fn any_name_of_a_network_reads_back_unchanged() {
    for name in HOSTILE {
        let mut cluster = cluster();
        cluster.placement.public.name = name.to_owned();
        cluster.placement.private.name = format!("{name}2");
        cluster.display_name = name.to_owned();
        cluster.owner.name = name.to_owned();
        let group = group(Role::ControlPlane, "ha");
        let text = control_plane_manifest(&cluster, &group);
        let documents = check(&text);
        assert_eq!(documents.len(), 8, "{name:?}");
        let one = document(&documents, "ONECluster", "oneks-24");
        assert_eq!(one["spec"]["publicNetwork"]["name"], name);
        assert_eq!(one["spec"]["privateNetwork"]["name"], format!("{name}2"));
        let inner = cloud_controller(&documents);
        assert_eq!(inner.len(), 4, "{name:?}");
        let config = cloud_config(&inner[0], "alice:0123");
        assert_eq!(config["opennebula"]["publicNetwork"]["name"], name);
        // The credential's Secret, and the configuration in the cloud controller's.
        assert_eq!(text.matches("@ONEKS:").count(), 2, "{name:?}");
    }
}

#[test]
fn any_value_of_a_group_reads_back_unchanged() {
    for value in HOSTILE {
        let mut group = group(Role::NodeGroup, "small");
        group.labels = BTreeMap::from([(value.to_owned(), value.to_owned())]);
        group.taints = vec![Taint {
            key: value.to_owned(),
            value: value.to_owned(),
            effect: value.to_owned(),
        }];
        group.profile.settings["kubelet_args"] = json!([value]);
        group.profile.settings["commands"] = json!({"before": [value], "after": [value]});
        group.profile.settings["registries"] = json!({"mirrors": {value: [value]}});
        let text = node_group_manifest(&cluster(), &group);
        assert!(!text.contains("@ONEKS:"), "{value:?}");
        let documents = check(&text);
        assert_eq!(documents.len(), 4, "{value:?}");
        let config = documents
            .iter()
            .find(|d| d["kind"] == "RKE2ConfigTemplate")
            .unwrap();
        let spec = &config["spec"]["template"]["spec"];
        assert_eq!(spec["agentConfig"]["nodeLabels"][0], format!("{value}={value}"));
        assert_eq!(
            spec["agentConfig"]["nodeTaints"][0],
            format!("{value}={value}:{value}")
        );
        assert_eq!(spec["agentConfig"]["kubelet"]["extraArgs"][1], value);
        assert_eq!(spec["preRKE2Commands"][1], value);
        assert_eq!(spec["postRKE2Commands"][0], value);
        assert_eq!(
            spec["privateRegistriesConfig"]["mirrors"][value]["endpoint"][0],
            value
        );
    }
}

/// Everything that is rendered for a cluster with these settings.
fn all_texts(settings: &Value) -> Vec<String> {
    let merge = |group: &mut Group| {
        let own = group.profile.settings.as_object_mut().unwrap();
        for (section, values) in settings.as_object().unwrap() {
            match own.get_mut(section).and_then(Value::as_object_mut) {
                Some(existing) => existing.extend(values.as_object().unwrap().clone()),
                None => drop(own.insert(section.clone(), values.clone())),
            }
        }
    };
    let mut plane = group(Role::ControlPlane, "ha");
    merge(&mut plane);
    let mut workers = group(Role::NodeGroup, "small");
    merge(&mut workers);
    let start = bootstrap(&cluster(), &plane);
    let seed = start.seed.unwrap().vm;
    let steps = provision(&cluster(), &workers);
    let mut texts: Vec<String> = start.templates.into_iter().map(|t| t.text).collect();
    texts.push(seed.text);
    texts.extend(seed.attachments.into_values());
    texts.extend(steps.templates.into_iter().map(|t| t.text));
    texts.push(node_group_manifest(&cluster(), &workers));
    texts.push(steps.script.unwrap().text);
    texts.push(rotate(&cluster(), &plane).text);
    // Configuration of the cloud controller.
    let decoded: Vec<String> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.trim().strip_prefix("config.yaml: \""))
        .map(|encoded| encoded.split('@').next().unwrap())
        .map(|encoded| String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap())
        .collect();
    assert_eq!(decoded.len(), 3);
    texts.extend(decoded);
    texts
}

#[test]
fn with_local_images_and_mirrors_no_public_host_is_named() {
    const PUBLIC: [&str; 9] = [
        "rke2.io",
        "ghcr.io",
        "docker.io",
        "quay.io",
        "github",
        "k8s.gcr",
        "1.1.1.1",
        "8.8.8.8",
        "cloudfront",
    ];
    let open = all_texts(&json!({})).concat();
    assert!(open.contains("get.rke2.io") && open.contains("ghcr.io") && open.contains("8.8.8.8"));
    let closed = all_texts(&json!({
        "rke2": {"air_gapped": true},
        "cloud_controller": {"image": "registry.example:5000/ccm:v0.1.0"},
        "router": {"dns_servers": ["10.0.0.53"]},
        "registries": {"system_default": "registry.example:5000", "mirrors": {"*": ["https://registry.example:5000"]}},
    }));
    for text in closed {
        for host in PUBLIC {
            assert!(!text.contains(host), "{host} in\n{text}");
        }
    }
}

#[test]
fn the_credential_is_only_ever_a_mark_where_it_belongs() {
    let plane = group(Role::ControlPlane, "ha");
    let start = bootstrap(&cluster(), &plane);
    let seed = start.seed.unwrap().vm;
    assert_eq!(seed.attachments["manifest"].matches(ONE_AUTH_BASE64).count(), 2);
    assert_eq!(seed.text.matches("@ONEKS:").count(), 1);
    assert!(
        seed.text
            .contains("ONEAPP_ONEKS_CLUSTER_SPEC = \"@ONEKS:BASE64:ATTACHMENT:manifest@\"")
    );
    for template in start.templates {
        assert!(!template.text.contains("@ONEKS:"));
    }
    assert_eq!(
        rotate(&cluster(), &plane).text.matches(ONE_AUTH_BASE64).count(),
        4
    );
}
