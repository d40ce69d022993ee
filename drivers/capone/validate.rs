//! Can a group be realised? Everything that is wrong is found before the first object is made.

use oneks_driver::{Cluster, Endpoint, Group, Invalid, Role, Validation};
use serde_json::Value;

use crate::context::copied_from_machine;
use crate::quote;
use crate::settings::{NumberOrShare, Settings};
use crate::{bootstrap, rotate, steps};

/// Longest name of a machine: it becomes a host name.
const MACHINE_NAME: usize = 63;

/// Answers `validate`. A group's own paths begin with `control_plane` or `node_groups[<name>]`.
pub fn validate(cluster: &Cluster, group: &Group) -> Validation {
    let mut check = Check {
        group,
        errors: Vec::new(),
    };
    check.cluster(cluster);
    check.images(cluster);
    check.inputs();
    check.names();
    check.labels();
    match Settings::of(group) {
        Ok(settings) => check.settings(&settings),
        Err(error) => check.own("family", error.message),
    }
    if check.errors.is_empty() {
        check.texts(cluster);
    }
    check.errors.sort();
    check.errors.dedup();
    Validation { errors: check.errors }
}

struct Check<'a> {
    group: &'a Group,
    errors: Vec<Invalid>,
}

impl Check<'_> {
    fn at(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Invalid {
            path: path.into(),
            message: message.into(),
        });
    }

    fn own(&mut self, field: &str, message: impl Into<String>) {
        let path = match self.group.role {
            Role::ControlPlane => format!("control_plane.{field}"),
            Role::NodeGroup => format!("node_groups[{}].{field}", self.group.key),
        };
        self.at(path, message);
    }

    /// CAPONE finds networks by name, and writes the name into a template.
    fn cluster(&mut self, cluster: &Cluster) {
        let placement = &cluster.placement;
        for (which, network) in [("public", &placement.public), ("private", &placement.private)] {
            let path = format!("deployment.networks.{which}.id");
            if network.name.is_empty() {
                self.at(
                    &path,
                    format!(
                        "network {} has no name, and Cluster API finds networks by name",
                        network.id
                    ),
                );
            } else if let Err(error) = quote::one(&network.name) {
                self.at(
                    &path,
                    format!(
                        "network {} must be renamed, because Cluster API finds networks by name: {error}",
                        network.id
                    ),
                );
            }
        }
        if placement.public.id != placement.private.id && placement.public.name == placement.private.name {
            self.at(
                "deployment.networks.private.id",
                format!(
                    "networks {} and {} have the same name, and Cluster API finds networks by name; rename one",
                    placement.public.id, placement.private.id
                ),
            );
        }
        if !cluster.xmlrpc.starts_with("http://") && !cluster.xmlrpc.starts_with("https://") {
            self.at(
                "deployment",
                format!(
                    "{:?} is no address of OpenNebula for the cluster's VMs",
                    cluster.xmlrpc
                ),
            );
        }
    }

    fn images(&mut self, cluster: &Cluster) {
        let needed: &[&str] = match self.group.role {
            Role::ControlPlane => &["node", "router", "seed"],
            Role::NodeGroup => &["node"],
        };
        for purpose in needed {
            if !cluster.images.contains_key(*purpose) {
                let store = cluster.placement.image_datastore.map_or_else(
                    || "no datastore is chosen".to_owned(),
                    |id| format!("datastore {id} has none"),
                );
                self.at(
                    "deployment.datastores.image.id",
                    format!(
                        "an image for {purpose} is needed, and {store}; see settings.images of the profile"
                    ),
                );
            }
        }
        let size = self.group.inputs.get("disk_size").and_then(Value::as_u64);
        if let (Some(size), Some(image)) = (size, cluster.images.get("node"))
            && size < image.size
        {
            self.own(
                "user_inputs_values.disk_size",
                format!(
                    "{size} MB is less than the {} MB of image {} ({})",
                    image.size, image.id, image.name
                ),
            );
        }
    }

    fn inputs(&mut self) {
        for name in ["vcpu", "memory", "disk_size"] {
            let given = self.group.inputs.get(name);
            if given.is_none_or(|v| v.as_f64().is_none_or(|n| n < 1.0 || n.fract() != 0.0)) {
                let said = given.map_or_else(|| "missing".to_owned(), |v| format!("not {v}"));
                self.own(
                    &format!("user_inputs_values.{name}"),
                    format!("a whole number of at least 1 is needed, {said}"),
                );
            }
        }
        let cpu = self.group.inputs.get("cpu");
        if cpu.is_none_or(|v| v.as_f64().is_none_or(|n| n <= 0.0)) {
            let said = cpu.map_or_else(|| "missing".to_owned(), |v| format!("not {v}"));
            self.own(
                "user_inputs_values.cpu",
                format!("a number above 0 is needed, {said}"),
            );
        }
        if self.group.role == Role::ControlPlane && self.group.replicas.is_multiple_of(2) {
            self.own(
                "user_inputs_values.count",
                format!("etcd needs an odd number of nodes, not {}", self.group.replicas),
            );
        }
    }

    fn names(&mut self) {
        // `<group>-<template>-<machine>`: two suffixes of five letters and their hyphens.
        if self.group.name.len() + 12 > MACHINE_NAME {
            self.own(
                "name",
                "it is too long: the names of its nodes would exceed 63 characters",
            );
        }
    }

    fn labels(&mut self) {
        for key in self.group.labels.keys() {
            if !kubelet_may_set(key) && !copied_from_machine(key) {
                self.own(
                    "labels",
                    format!(
                        "{key:?} belongs to Kubernetes and a kubelet may not set it; use a domain of your own"
                    ),
                );
            }
        }
        for (i, taint) in self.group.taints.iter().enumerate() {
            if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str()) {
                self.own(
                    &format!("taints[{i}].effect"),
                    format!(
                        "{:?} must be NoSchedule, PreferNoSchedule or NoExecute",
                        taint.effect
                    ),
                );
            }
        }
        let values = self
            .group
            .labels
            .iter()
            .map(|(key, value)| ("labels", key, value));
        let taints = self.group.taints.iter().map(|t| ("taints", &t.key, &t.value));
        let wrong: Vec<_> = values
            .chain(taints)
            .filter(|(_, key, value)| key.is_empty() || !plain_word(key, "/") || !plain_word(value, ""))
            .map(|(field, key, value)| {
                (
                    field,
                    format!("{key:?} with {value:?} has characters that Kubernetes refuses"),
                )
            })
            .collect();
        for (field, message) in wrong {
            self.own(field, message);
        }
    }

    fn settings(&mut self, settings: &Settings) {
        let version = settings.rke2.version(&self.group.version);
        if !is_rke2_version(&version) {
            self.at(
                "kubernetes_version",
                format!("{version:?} is no version of RKE2 such as v1.34.2+rke2r1"),
            );
        }
        let mut wrong: Vec<(&str, String)> = Vec::new();
        let durations = [
            (
                "health_check.startup_timeout",
                &settings.health_check.startup_timeout,
            ),
            (
                "health_check.unhealthy_after",
                &settings.health_check.unhealthy_after,
            ),
            ("drain.timeout", &settings.drain.timeout),
            (
                "drain.volume_detach_timeout",
                &settings.drain.volume_detach_timeout,
            ),
        ];
        for (name, value) in durations {
            if !is_duration(value) {
                wrong.push((name, format!("{value:?} is no duration such as 5m or 1h30m")));
            }
        }
        let counts = [
            ("health_check.max_unhealthy", &settings.health_check.max_unhealthy),
            ("rollout.max_surge", &settings.rollout.max_surge),
            ("rollout.max_unavailable", &settings.rollout.max_unavailable),
        ];
        for (name, value) in counts {
            if let NumberOrShare::Share(share) = value
                && share.strip_suffix('%').is_none_or(|n| n.parse::<u32>().is_err())
            {
                wrong.push((
                    name,
                    format!("{share:?} is neither a number nor a share such as 40%"),
                ));
            }
        }
        if self.group.role == Role::ControlPlane {
            let image = &settings.cloud_controller.image;
            if !is_pinned(image) {
                wrong.push((
                    "cloud_controller.image",
                    format!(
                        "{image:?} needs a tag other than latest, or a digest: it must not change by itself"
                    ),
                ));
            }
            let cni = &settings.network.cni;
            if !["canal", "calico", "cilium", "none"].contains(&cni.as_str()) {
                wrong.push((
                    "network.cni",
                    format!("{cni:?} must be canal, calico, cilium or none"),
                ));
            }
            if settings.router.replicas == 0 {
                wrong.push(("router.replicas", "there must be a router".to_owned()));
            }
            if !settings.router.listener_ports.contains(&6443) {
                wrong.push((
                    "router.listener_ports",
                    "6443, the API server's port, must be one of them".to_owned(),
                ));
            }
        }
        if !["Newest", "Oldest", "Random"].contains(&settings.rollout.delete_policy.as_str()) {
            wrong.push((
                "rollout.delete_policy",
                format!(
                    "{:?} must be Newest, Oldest or Random",
                    settings.rollout.delete_policy
                ),
            ));
        }
        for (name, message) in wrong {
            let origin = crate::settings::origin(self.group);
            self.own("family", format!("{origin}, settings.{name}: {message}"));
        }
    }

    /// Everything is rendered once, so that a broken text is known now.
    fn texts(&mut self, cluster: &Cluster) {
        // Any addresses will do: without them there is no manifest.
        let mut cluster = cluster.clone();
        cluster.endpoint.get_or_insert_with(|| Endpoint {
            host: "192.0.2.1".to_owned(),
            port: 6443,
        });
        cluster.gateway.get_or_insert_with(|| "192.0.2.2".to_owned());
        let rendered = match self.group.role {
            Role::ControlPlane => bootstrap::bootstrap(&cluster, self.group)
                .map(drop)
                .and_then(|()| rotate::script(&cluster, self.group).map(drop)),
            Role::NodeGroup => steps::provision(&cluster, self.group).map(drop),
        };
        if let Err(error) = rendered {
            self.own("family", error.message);
        }
    }
}

/// Labels in Kubernetes' own domains that the kubelet takes from its command line; with any other it does not start.
fn kubelet_may_set(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else {
        return true;
    };
    let within = |of: &str| domain == of || domain.strip_suffix(of).is_some_and(|sub| sub.ends_with('.'));
    if !within("kubernetes.io") && !within("k8s.io") {
        return true;
    }
    within("kubelet.kubernetes.io")
        || within("node.kubernetes.io")
        || [
            "kubernetes.io/arch",
            "kubernetes.io/hostname",
            "kubernetes.io/os",
            "topology.kubernetes.io/region",
            "topology.kubernetes.io/zone",
        ]
        .contains(&key)
}

fn plain_word(text: &str, more: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c) || more.contains(c))
}

/// The form that `RKE2ControlPlane` takes: one digit, two digits, any, one digit.
fn is_rke2_version(text: &str) -> bool {
    let Some((version, release)) = text.strip_prefix('v').and_then(|t| t.split_once("+rke2r")) else {
        return false;
    };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<_> = version.split('.').collect();
    matches!(parts[..], [major, minor, patch]
        if digits(major) && major.len() == 1 && digits(minor) && minor.len() == 2 && digits(patch))
        && digits(release)
}

/// A duration as Kubernetes writes it: `90s`, `5m`, `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[digits..].chars().next();
        if digits == 0 || digits > 9 || !matches!(unit, Some('h' | 'm' | 's')) {
            return false;
        }
        rest = &rest[digits + 1..];
    }
    !text.is_empty()
}

/// Has the container image a digest, or a tag that does not move?
fn is_pinned(image: &str) -> bool {
    if image.contains("@sha256:") {
        return true;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':')
        .is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}
