//! What texts can use. The folder of the profiles has a list for administrators.

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Value, context};
use oneks_driver::secret::{ONE_AUTH_BASE64, attachment};
use oneks_driver::{Cluster, DriverError, Group, Taint};
use serde_json::json;

use crate::cloud_config;
use crate::names::Names;
use crate::quote;
use crate::render::Texts;
use crate::settings::{self, Settings};

/// Name of the seed's attachment.
pub const MANIFEST: &str = "manifest";

/// A group with everything that its texts can use.
pub struct Subject {
    /// The profile's settings.
    pub settings: Settings,
    /// Names of its objects.
    pub names: Names,
    texts: Texts,
    context: Value,
}

impl Subject {
    /// Prepares a group.
    ///
    /// # Errors
    /// `BadProfile`.
    pub fn new(cluster: &Cluster, group: &Group) -> Result<Self, DriverError> {
        let settings = Settings::of(group)?;
        let names = Names::new(cluster, group);
        let labels = Labels::of(&settings, group);
        let context = context! {
            cluster => Value::from(Serde(cluster)),
            group => Value::from(Serde(group)),
            inputs => Value::from(Serde(&group.inputs)),
            images => Value::from(Serde(&cluster.images)),
            settings => Value::from(Serde(&settings)),
            names => Value::from(Serde(&names)),
            listener_ports => listener_ports(&settings),
            requirements => requirements(cluster, &settings),
            rke2_version => settings.rke2.version(&group.version),
            node_labels => labels.kubelet,
            machine_labels => labels.machine,
            node_taints => settings.node_taints.iter().chain(&group.taints).map(taint).collect::<Vec<_>>(),
            registries => registries(&settings),
            commands_before => commands_before(&settings)?,
            one_auth_base64 => Value::from_safe_string(ONE_AUTH_BASE64.to_owned()),
            manifest_base64 => Value::from_safe_string(attachment(MANIFEST)),
            cloud_config_base64 => Value::from_safe_string(cloud_config::base64(cluster, &names)),
        };
        Ok(Self {
            texts: Texts::new(settings::origin(group), &group.profile.texts)?,
            settings,
            names,
            context,
        })
    }

    /// Renders one of the profile's texts.
    ///
    /// # Errors
    /// `BadProfile`.
    pub fn render(&self, name: &str) -> Result<String, DriverError> {
        self.texts.render(name, &self.context)
    }
}

fn requirements(cluster: &Cluster, settings: &Settings) -> String {
    let cluster = format!("CLUSTER_ID = {}", cluster.placement.cluster_id);
    match &settings.vm.placement.requirements {
        Some(more) => format!("({cluster}) & ({more})"),
        None => cluster,
    }
}

/// CAPONE numbers the listeners of its backends in this order.
fn listener_ports(settings: &Settings) -> Vec<u16> {
    let mut ports = settings.router.listener_ports.clone();
    ports.sort_unstable();
    ports
}

/// Labels by the way in which they get to the node.
struct Labels {
    /// `key=value`, set by the kubelet.
    kubelet: Vec<String>,
    /// Those that a kubelet may not set; Cluster API copies them from the machine.
    machine: BTreeMap<String, String>,
}

impl Labels {
    fn of(settings: &Settings, group: &Group) -> Self {
        let mut all = settings.node_labels.clone();
        all.extend(group.labels.clone());
        let (machine, kubelet): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(key, _)| copied_from_machine(key));
        Self {
            kubelet: kubelet
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
            machine,
        }
    }
}

/// Does Cluster API copy this label from a machine to its node?
pub fn copied_from_machine(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain == of || domain.strip_suffix(of).is_some_and(|sub| sub.ends_with('.'));
    domain == "node-role.kubernetes.io"
        || within("node-restriction.kubernetes.io")
        || within("node.cluster.x-k8s.io")
}

fn taint(taint: &Taint) -> String {
    format!("{}={}:{}", taint.key, taint.value, taint.effect)
}

fn registries(settings: &Settings) -> Value {
    let registries = &settings.registries;
    let mut all = serde_json::Map::new();
    if !registries.mirrors.is_empty() {
        let mirrors: serde_json::Map<_, _> = registries
            .mirrors
            .iter()
            .map(|(name, endpoints)| (name.clone(), json!({ "endpoint": endpoints })))
            .collect();
        all.insert("mirrors".to_owned(), mirrors.into());
    }
    if !registries.insecure.is_empty() {
        let configs: serde_json::Map<_, _> = registries
            .insecure
            .iter()
            .map(|name| (name.clone(), json!({ "tls": { "insecureSkipVerify": true } })))
            .collect();
        all.insert("configs".to_owned(), configs.into());
    }
    Value::from(Serde(all))
}

/// The installation fails for good if its host has no address yet, and a fresh node's name server may take a while.
fn commands_before(settings: &Settings) -> Result<Vec<String>, DriverError> {
    let mut commands = Vec::new();
    if let Some(host) = settings
        .rke2
        .install_host
        .as_ref()
        .filter(|_| !settings.rke2.air_gapped)
    {
        let host = quote::sh(host).map_err(|e| {
            DriverError::fatal(
                oneks_driver::reason::BAD_PROFILE,
                format!("settings.rke2.install_host: {e}"),
            )
        })?;
        commands.push(format!(
            "n=0; until getent hosts {host} >/dev/null || [ \"$n\" -ge 60 ]; do n=$((n+1)); sleep 5; done"
        ));
    }
    commands.extend(settings.commands.before.iter().cloned());
    Ok(commands)
}

/// A cluster and groups for tests.
#[cfg(test)]
pub mod sample {
    use oneks_driver::{Endpoint, Image, Network, Owner, Placement, Profile, Role};

    use super::{BTreeMap, Cluster, Group, json};

    /// Cluster 24 of the user alice.
    pub fn cluster() -> Cluster {
        let network = |id, name: &str| Network {
            id,
            name: name.to_owned(),
        };
        let image = |id, name: &str| {
            let image = Image {
                id,
                name: format!("oneks-general-{name}"),
                size: 4096,
            };
            (name.to_owned(), image)
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

    /// The control plane, or the node group `workers`, of that cluster.
    pub fn group(role: Role) -> Group {
        let (id, name, key, flavour) = match role {
            Role::ControlPlane => (24_000, "oneks-24", "control-plane", "ha"),
            Role::NodeGroup => (24_001, "oneks-24-workers", "workers", "small"),
        };
        let inputs = json!({"count": 3, "cpu": 2, "vcpu": 2, "memory": 4096, "disk_size": 16384});
        Group {
            id,
            name: name.to_owned(),
            key: key.to_owned(),
            role,
            replicas: 3,
            version: "v1.34.2".to_owned(),
            inputs: inputs
                .as_object()
                .map(|map| map.clone().into_iter().collect())
                .unwrap_or_default(),
            profile: Profile {
                family: "general".to_owned(),
                flavour: flavour.to_owned(),
                settings: json!({"cloud_controller": {"image": "registry.example/ccm:v1"}}),
                texts: BTreeMap::new(),
            },
            labels: BTreeMap::new(),
            taints: Vec::new(),
            vms: Vec::new(),
        }
    }
}
