//! Clusters and groups that tests ask about, made from the installed profiles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks_core::profile::Catalog;
use oneks_driver::{
    Action, Bootstrap, Cluster, Endpoint, Group, Image, Network, Owner, Placement, Role, Script, Steps,
};
use serde_json::Value;

use super::ask;

/// The texts below a folder, by relative path.
pub fn files(folder: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The profiles that are installed.
pub fn catalog() -> Catalog {
    let (catalog, errors) = Catalog::parse(&files(&root().join("templates/profiles")));
    assert_eq!(errors, []);
    catalog
}

/// Cluster 24 of the user alice.
pub fn cluster() -> Cluster {
    let network = |id, name: &str| Network {
        id,
        name: name.to_owned(),
    };
    let image = |id, purpose: &str| {
        let image = Image {
            id,
            name: format!("oneks-general-{purpose}"),
            size: 4096,
        };
        (purpose.to_owned(), image)
    };
    Cluster {
        id: 24,
        name: "oneks-24".to_owned(),
        display_name: "shop".to_owned(),
        owner: Owner {
            uid: 5,
            name: "alice".to_owned(),
        },
        kubernetes_version: "v1.34.2".to_owned(),
        placement: Placement {
            cluster_id: 100,
            public: network(7, "public"),
            private: network(8, "private"),
            image_datastore: Some(1),
        },
        images: [image(31, "seed"), image(32, "node"), image(33, "router")].into(),
        endpoint: Some(Endpoint {
            host: "192.0.2.10".to_owned(),
            port: 6443,
        }),
        gateway: Some("198.51.100.10".to_owned()),
        xmlrpc: "http://169.254.16.9:2633/RPC2".to_owned(),
        credential: 1,
    }
}

/// A group of the installed family `general` in this flavour.
pub fn group(role: Role, flavour: &str) -> Group {
    let catalog = catalog();
    let family = catalog.family(role, "general").unwrap();
    let mut given = BTreeMap::new();
    if role == Role::NodeGroup {
        given.insert("count".to_owned(), Value::from(2));
    }
    let inputs = family.resolve(flavour, &given, "group").unwrap();
    let (id, name, key) = match role {
        Role::ControlPlane => (24_000, "oneks-24", "control-plane"),
        Role::NodeGroup => (24_001, "oneks-24-workers", "workers"),
    };
    Group {
        id,
        name: name.to_owned(),
        key: key.to_owned(),
        role,
        replicas: u32::try_from(inputs["count"].as_u64().unwrap()).unwrap(),
        version: "v1.34.2".to_owned(),
        inputs,
        profile: family.driver_profile(flavour),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        vms: Vec::new(),
    }
}

/// Asks for `bootstrap`.
pub fn bootstrap(cluster: &Cluster, group: &Group) -> Bootstrap {
    ask(Action::Bootstrap {
        cluster: Box::new(cluster.clone()),
        group: Box::new(group.clone()),
    })
    .unwrap()
}

/// Asks for `provision`.
pub fn provision(cluster: &Cluster, group: &Group) -> Steps {
    ask(Action::Provision {
        cluster: Box::new(cluster.clone()),
        group: Box::new(group.clone()),
    })
    .unwrap()
}

/// Asks for `rotate`.
pub fn rotate(cluster: &Cluster, group: &Group) -> Script {
    ask(Action::Rotate {
        cluster: Box::new(cluster.clone()),
        group: Box::new(group.clone()),
    })
    .unwrap()
}

/// The manifest of a control plane.
pub fn control_plane_manifest(cluster: &Cluster, group: &Group) -> String {
    bootstrap(cluster, group).seed.unwrap().vm.attachments["manifest"].clone()
}

/// The manifest that a node group's script applies.
pub fn node_group_manifest(cluster: &Cluster, group: &Group) -> String {
    applied(&provision(cluster, group).script.unwrap())
}

/// The manifest that stands in a script in base64.
pub fn applied(script: &Script) -> String {
    let mut lines = script.text.lines().skip_while(|line| !line.ends_with("-f -"));
    let encoded = lines.nth(1).unwrap();
    assert_eq!(lines.next(), Some("ONEKS_END"));
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_multiple_with_options(text, options).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The document of that kind and name.
pub fn document<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    documents
        .iter()
        .find(|d| d["kind"] == kind && d["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}
