//! The kinds that the simulated API server serves.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

/// One kind of object.
#[derive(Debug)]
pub struct Kind {
    /// `kind`.
    pub kind: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version within the group.
    pub version: &'static str,
    /// Name in URLs.
    pub plural: &'static str,
    /// Abbreviations that kubectl accepts.
    pub short: &'static [&'static str],
    /// Whether objects belong to a namespace.
    pub namespaced: bool,
    /// Whether it came with Cluster API and its providers.
    pub cluster_api: bool,
    /// Whether `kubectl scale` works on it.
    pub scalable: bool,
    /// Names of the mutating and the validating webhook.
    pub webhooks: Option<(&'static str, &'static str)>,
}

impl Kind {
    /// `apiVersion` of objects of this kind.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.into()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, as messages name it.
    pub fn resource(&self) -> String {
        self.qualified(self.plural)
    }

    /// `singular.group`, as kubectl prints it.
    pub fn singular(&self) -> String {
        self.qualified(&self.kind.to_lowercase())
    }

    /// `kind.group`.
    pub fn group_kind(&self) -> String {
        self.qualified(self.kind)
    }

    /// The schema below the object's root, if the kind has one.
    pub fn schema(&self) -> Option<&'static Value> {
        SCHEMAS.get(self.kind)
    }

    fn qualified(&self, name: &str) -> String {
        if self.group.is_empty() {
            name.into()
        } else {
            format!("{name}.{}", self.group)
        }
    }
}

/// The kind of that group, version and name.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .find(|entry| entry.kind == kind && entry.api_version() == api_version)
}

/// The kind of that name; names are unique here.
pub fn named(kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|entry| entry.kind == kind)
}

/// All kinds.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter()
}

/// What kubectl understands by a resource argument: plural, singular or abbreviation, with or without the group and
/// the version.
pub fn by_resource(text: &str) -> Option<&'static Kind> {
    let text = text.to_lowercase();
    let (name, rest) = text.split_once('.').unwrap_or((&text, ""));
    KINDS.iter().find(|kind| {
        let named = name == kind.plural || name == kind.kind.to_lowercase() || kind.short.contains(&name);
        named && (rest.is_empty() || rest == kind.group || rest == format!("{}.{}", kind.version, kind.group))
    })
}

const CAPI: &str = "cluster.x-k8s.io";
const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";
const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
const CONTROL_PLANE: &str = "controlplane.cluster.x-k8s.io";
const ADDONS: &str = "addons.cluster.x-k8s.io";

const fn core(kind: &'static str, plural: &'static str, short: &'static [&'static str]) -> Kind {
    native("", "v1", kind, plural, short)
}

const fn native(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
) -> Kind {
    Kind {
        kind,
        group,
        version,
        plural,
        short,
        namespaced: true,
        cluster_api: false,
        scalable: false,
        webhooks: None,
    }
}

const fn custom(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    webhooks: Option<(&'static str, &'static str)>,
) -> Kind {
    Kind {
        cluster_api: true,
        webhooks,
        ..native(group, "v1beta1", kind, plural, short)
    }
}

const fn global(mut kind: Kind) -> Kind {
    kind.namespaced = false;
    kind
}

const fn scalable(mut kind: Kind) -> Kind {
    kind.scalable = true;
    kind
}

static KINDS: &[Kind] = &[
    custom(
        CAPI,
        "Cluster",
        "clusters",
        &["cl"],
        Some((
            "default.cluster.cluster.x-k8s.io",
            "validation.cluster.cluster.x-k8s.io",
        )),
    ),
    custom(
        CAPI,
        "Machine",
        "machines",
        &["ma"],
        Some((
            "default.machine.cluster.x-k8s.io",
            "validation.machine.cluster.x-k8s.io",
        )),
    ),
    scalable(custom(
        CAPI,
        "MachineSet",
        "machinesets",
        &["ms"],
        Some((
            "default.machineset.cluster.x-k8s.io",
            "validation.machineset.cluster.x-k8s.io",
        )),
    )),
    scalable(custom(
        CAPI,
        "MachineDeployment",
        "machinedeployments",
        &["md"],
        Some((
            "default.machinedeployment.cluster.x-k8s.io",
            "validation.machinedeployment.cluster.x-k8s.io",
        )),
    )),
    custom(
        CAPI,
        "MachineHealthCheck",
        "machinehealthchecks",
        &["mhc", "mhcs"],
        Some((
            "default.machinehealthcheck.cluster.x-k8s.io",
            "validation.machinehealthcheck.cluster.x-k8s.io",
        )),
    ),
    custom(
        ADDONS,
        "ClusterResourceSet",
        "clusterresourcesets",
        &[],
        Some((
            "default.clusterresourceset.addons.cluster.x-k8s.io",
            "validation.clusterresourceset.addons.cluster.x-k8s.io",
        )),
    ),
    custom(
        ADDONS,
        "ClusterResourceSetBinding",
        "clusterresourcesetbindings",
        &[],
        None,
    ),
    custom(
        CONTROL_PLANE,
        "RKE2ControlPlane",
        "rke2controlplanes",
        &[],
        Some(("mrke2controlplane.kb.io", "vrke2controlplane.kb.io")),
    ),
    custom(
        BOOTSTRAP,
        "RKE2Config",
        "rke2configs",
        &[],
        Some(("mrke2config.kb.io", "vrke2config.kb.io")),
    ),
    custom(
        BOOTSTRAP,
        "RKE2ConfigTemplate",
        "rke2configtemplates",
        &[],
        Some(("mrke2configtemplate.kb.io", "vrke2configtemplate.kb.io")),
    ),
    custom(INFRASTRUCTURE, "ONECluster", "oneclusters", &[], None),
    custom(INFRASTRUCTURE, "ONEMachine", "onemachines", &[], None),
    custom(
        INFRASTRUCTURE,
        "ONEMachineTemplate",
        "onemachinetemplates",
        &[],
        None,
    ),
    global(core("Namespace", "namespaces", &["ns"])),
    global(core("Node", "nodes", &["no"])),
    core("Secret", "secrets", &[]),
    core("ConfigMap", "configmaps", &["cm"]),
    core("Service", "services", &["svc"]),
    core("ServiceAccount", "serviceaccounts", &["sa"]),
    core("Pod", "pods", &["po"]),
    core("Event", "events", &["ev"]),
    core("PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"]),
    global(core("PersistentVolume", "persistentvolumes", &["pv"])),
    native("apps", "v1", "DaemonSet", "daemonsets", &["ds"]),
    scalable(native("apps", "v1", "Deployment", "deployments", &["deploy"])),
    scalable(native("apps", "v1", "StatefulSet", "statefulsets", &["sts"])),
    native("batch", "v1", "Job", "jobs", &[]),
    native("batch", "v1", "CronJob", "cronjobs", &["cj"]),
    native(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        &["pdb"],
    ),
    native("networking.k8s.io", "v1", "Ingress", "ingresses", &["ing"]),
    native(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        &["netpol"],
    ),
    native("rbac.authorization.k8s.io", "v1", "Role", "roles", &[]),
    native(
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
        &[],
    ),
    global(native(
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
        &[],
    )),
    global(native(
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        &[],
    )),
    global(native(
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        &["sc"],
    )),
];

/// Schemas of the custom resources, cut down to what is checked on the way in.
static SCHEMAS: LazyLock<HashMap<&'static str, Value>> = LazyLock::new(|| {
    let files = [
        ("Cluster", include_str!("../schemas/Cluster.json")),
        (
            "ClusterResourceSet",
            include_str!("../schemas/ClusterResourceSet.json"),
        ),
        ("Machine", include_str!("../schemas/Machine.json")),
        (
            "MachineDeployment",
            include_str!("../schemas/MachineDeployment.json"),
        ),
        (
            "MachineHealthCheck",
            include_str!("../schemas/MachineHealthCheck.json"),
        ),
        ("MachineSet", include_str!("../schemas/MachineSet.json")),
        ("ONECluster", include_str!("../schemas/ONECluster.json")),
        ("ONEMachine", include_str!("../schemas/ONEMachine.json")),
        (
            "ONEMachineTemplate",
            include_str!("../schemas/ONEMachineTemplate.json"),
        ),
        (
            "RKE2ConfigTemplate",
            include_str!("../schemas/RKE2ConfigTemplate.json"),
        ),
        (
            "RKE2ControlPlane",
            include_str!("../schemas/RKE2ControlPlane.json"),
        ),
    ];
    files
        .into_iter()
        .filter_map(|(kind, text)| {
            let mut file: Value = serde_json::from_str(text).ok()?;
            Some((kind, file["schema"].take()))
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_readable() {
        assert_eq!(SCHEMAS.len(), 11);
        for (kind, schema) in SCHEMAS.iter() {
            assert_eq!(schema["type"], "object", "{kind}");
            assert!(named(kind).is_some_and(|kind| kind.cluster_api));
        }
    }

    #[test]
    fn resources_are_found_under_all_their_names() {
        for (text, kind) in [
            ("machinedeployment", Some("MachineDeployment")),
            ("MachineDeployment", Some("MachineDeployment")),
            ("md", Some("MachineDeployment")),
            ("machinedeployments.cluster.x-k8s.io", Some("MachineDeployment")),
            (
                "machinedeployments.v1beta1.cluster.x-k8s.io",
                Some("MachineDeployment"),
            ),
            ("rke2controlplane", Some("RKE2ControlPlane")),
            ("no", Some("Node")),
            ("secrets", Some("Secret")),
            ("machinedeployments.example.com", None),
            ("widgets", None),
        ] {
            assert_eq!(by_resource(text).map(|kind| kind.kind), kind, "{text}");
        }
    }
}
