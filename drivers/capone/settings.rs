//! The settings of a profile, as far as this driver knows them.

use std::collections::BTreeMap;

use oneks_driver::{DriverError, Group, Role, Taint, reason};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Settings of a family. What a profile leaves out has the value that is given here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How images are recognised; the hooks use it.
    pub images: Value,
    /// Options of the dependencies.
    pub dependencies: Dependencies,
    /// The distribution.
    pub rke2: Rke2,
    /// Temporary VM that builds the control plane.
    pub seed: Seed,
    /// Virtual router.
    pub router: Router,
    /// OpenNebula's cloud controller.
    pub cloud_controller: CloudController,
    /// The cluster's own network.
    pub network: Network,
    /// Where container images come from.
    pub registries: Registries,
    /// Commands on each node around the installation.
    pub commands: Commands,
    /// Extra arguments of the kubelet.
    pub kubelet_args: Vec<String>,
    /// Extra arguments of the API server.
    pub api_server_args: Vec<String>,
    /// Labels of every node.
    pub node_labels: BTreeMap<String, String>,
    /// Taints of every node.
    pub node_taints: Vec<Taint>,
    /// Snapshots of etcd.
    pub etcd: Etcd,
    /// When a node is replaced.
    pub health_check: HealthCheck,
    /// How long the end of a node may take.
    pub drain: Drain,
    /// How nodes are replaced.
    pub rollout: Rollout,
    /// Virtual machines.
    pub vm: Vm,
}

impl Settings {
    /// Reads the settings of a group's profile.
    ///
    /// # Errors
    /// `BadProfile` with the path of the setting.
    pub fn of(group: &Group) -> Result<Self, DriverError> {
        if group.profile.settings.is_null() {
            return Ok(Self::default());
        }
        serde_path_to_error::deserialize(&group.profile.settings).map_err(|e| {
            let path = e.path().to_string();
            DriverError::fatal(
                reason::BAD_PROFILE,
                format!("{}, settings.{path}: {}", origin(group), e.into_inner()),
            )
        })
    }
}

/// The profile of a group, as messages name it.
pub fn origin(group: &Group) -> String {
    let role = match group.role {
        Role::ControlPlane => "control plane",
        Role::NodeGroup => "node group",
    };
    format!("profile of the {role} family {:?}", group.profile.family)
}

/// Options of the dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dependencies {
    /// Of the seed VM.
    pub seed_vm: Dependency,
    /// Of the virtual router.
    pub cluster_router: Dependency,
}

/// Options of one dependency.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// Seconds within which it must be ready.
    pub creation_timeout: Option<u64>,
}

/// The distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rke2 {
    /// Release of RKE2 behind the Kubernetes version: `rke2r1` makes `v1.34.2+rke2r1`.
    pub release: String,
    /// Releases that differ, by Kubernetes version.
    pub releases: BTreeMap<String, String>,
    /// Is everything in the node's image? Then nothing is downloaded.
    pub air_gapped: bool,
    /// Host that must have an address before the installation starts.
    pub install_host: Option<String>,
}

impl Default for Rke2 {
    fn default() -> Self {
        Self {
            release: "rke2r1".to_owned(),
            releases: BTreeMap::new(),
            air_gapped: false,
            install_host: Some("get.rke2.io".to_owned()),
        }
    }
}

impl Rke2 {
    /// The distribution's version for a version of Kubernetes.
    pub fn version(&self, kubernetes: &str) -> String {
        let release = self.releases.get(kubernetes).unwrap_or(&self.release);
        format!("{kubernetes}+{release}")
    }
}

/// The seed VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seed {
    /// Versions of its tools, by the name between `ONEAPP_ONEKS_` and `_VERSION`.
    pub versions: BTreeMap<String, String>,
    /// CPU share.
    pub cpu: f64,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MB.
    pub memory: u32,
    /// Disk size in MB; that of the image if not set.
    pub disk_size: Option<u64>,
    /// Seconds within which it must report for the first time.
    pub first_report: u64,
    /// Seconds for the whole build, whatever the number of nodes.
    pub timeout_base: u64,
    /// Seconds more for each node of the control plane; the seed itself waits 900 for each.
    pub timeout_per_node: u64,
}

impl Default for Seed {
    fn default() -> Self {
        Self {
            versions: BTreeMap::new(),
            cpu: 2.0,
            vcpu: 2,
            memory: 4096,
            disk_size: None,
            first_report: 300,
            timeout_base: 1200,
            timeout_per_node: 900,
        }
    }
}

/// The virtual router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Router {
    /// Number of its VMs. With one, the API and the way out stop while it is down.
    pub replicas: u32,
    /// CPU share.
    pub cpu: f64,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory in MB.
    pub memory: u32,
    /// Name servers that it asks; the root servers if there are none.
    pub dns_servers: Vec<String>,
    /// Ports that lead to the control plane. Can't be changed later.
    pub listener_ports: Vec<u16>,
    /// More attributes of its context.
    pub extra_context: BTreeMap<String, String>,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            replicas: 1,
            cpu: 1.0,
            vcpu: 1,
            memory: 512,
            dns_servers: Vec::new(),
            listener_ports: vec![6443, 9345],
            extra_context: BTreeMap::new(),
        }
    }
}

/// OpenNebula's cloud controller.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudController {
    /// Its container image, with a tag or digest that does not move.
    pub image: String,
}

/// The cluster's own network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// `canal`, `calico`, `cilium` or `none`.
    pub cni: String,
    /// Address ranges of the pods; the distribution's if there are none.
    pub pods: Vec<String>,
    /// Address ranges of the services; the distribution's if there are none.
    pub services: Vec<String>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            cni: "canal".to_owned(),
            pods: Vec::new(),
            services: Vec::new(),
        }
    }
}

/// Where container images come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registries {
    /// Registry of the distribution's own images.
    pub system_default: Option<String>,
    /// Addresses to ask instead, by registry; `*` stands for all.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries whose certificates are not checked.
    pub insecure: Vec<String>,
}

/// Commands on each node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commands {
    /// Before the installation.
    pub before: Vec<String>,
    /// After it.
    pub after: Vec<String>,
}

/// Snapshots of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Etcd {
    /// When, in the form of cron; the distribution's schedule if not set.
    pub snapshot_schedule: Option<String>,
    /// How many are kept.
    pub snapshot_retention: Option<u32>,
}

/// When a node is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Is there a health check at all?
    pub enabled: bool,
    /// Nothing is replaced while more nodes than this number or share are unhealthy.
    pub max_unhealthy: NumberOrShare,
    /// How long a node may take to join.
    pub startup_timeout: String,
    /// How long a node may be unhealthy.
    pub unhealthy_after: String,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            enabled: true,
            max_unhealthy: NumberOrShare::Number(1),
            startup_timeout: "15m".to_owned(),
            unhealthy_after: "5m".to_owned(),
        }
    }
}

/// A number, or a share such as `40%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NumberOrShare {
    /// A number.
    Number(u32),
    /// A share.
    Share(String),
}

/// How long the end of a node may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Until its pods are gone. Without a limit a disruption budget can hold a node for ever.
    pub timeout: String,
    /// Until its volumes are detached.
    pub volume_detach_timeout: String,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            timeout: "10m".to_owned(),
            volume_detach_timeout: "5m".to_owned(),
        }
    }
}

/// How nodes are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollout {
    /// Nodes more than wanted.
    pub max_surge: NumberOrShare,
    /// Nodes less than wanted.
    pub max_unavailable: NumberOrShare,
    /// Which nodes go first when a group shrinks: `Newest`, `Oldest` or `Random`.
    pub delete_policy: String,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: NumberOrShare::Number(1),
            max_unavailable: NumberOrShare::Number(0),
            delete_policy: "Newest".to_owned(),
        }
    }
}

/// Virtual machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vm {
    /// Architecture of the guest.
    pub arch: String,
    /// Hypervisor.
    pub hypervisor: String,
    /// Model of the CPU, such as `host-passthrough`.
    pub cpu_model: Option<String>,
    /// Console; none if not set.
    pub graphics: Option<Graphics>,
    /// PCI devices. OpenNebula lets administrators alone ask for them unless `oned.conf` says otherwise.
    pub pci: Vec<BTreeMap<String, String>>,
    /// Choice of the host.
    pub placement: Placement,
}

impl Default for Vm {
    fn default() -> Self {
        Self {
            arch: "x86_64".to_owned(),
            hypervisor: "kvm".to_owned(),
            cpu_model: None,
            graphics: Some(Graphics::default()),
            pci: Vec::new(),
            placement: Placement::default(),
        }
    }
}

/// Console of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Graphics {
    /// `vnc` or `spice`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Address of the host that it listens at.
    pub listen: String,
}

impl Default for Graphics {
    fn default() -> Self {
        Self {
            kind: "vnc".to_owned(),
            listen: "127.0.0.1".to_owned(),
        }
    }
}

/// Choice of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// `SCHED_RANK`: the host with the highest value is preferred.
    pub rank: Option<String>,
    /// `SCHED_REQUIREMENTS` besides the OpenNebula cluster.
    pub requirements: Option<String>,
    /// Role of a VM group that the nodes take, which spreads them over hosts or keeps them together.
    pub vm_group: Option<VmGroup>,
}

/// A role of a VM group. The cluster's owner must be allowed to use the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmGroup {
    /// Id of the VM group.
    pub id: u32,
    /// Name of the role; its policy (`ANTI_AFFINED`, `AFFINED`) says what it does.
    pub role: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_or_wrong_setting_is_named_by_its_path() {
        for (settings, wanted) in [
            (
                json!({"seed": {"vcpus": 2}}),
                "settings.seed.vcpus: unknown field",
            ),
            (
                json!({"router": {"dns_servers": "1.1.1.1"}}),
                "settings.router.dns_servers: invalid type",
            ),
            (
                json!({"rke2": {"releases": {"v1.34.2": 1.1}}}),
                "settings.rke2.releases.v1.34.2: invalid type",
            ),
        ] {
            let mut group = crate::context::sample::group(Role::ControlPlane);
            group.profile.settings = settings;
            let error = Settings::of(&group).unwrap_err();
            assert!(error.message.contains(wanted), "{error}");
            assert!(
                error
                    .message
                    .contains("profile of the control plane family \"general\""),
                "{error}"
            );
        }
    }

    #[test]
    fn a_version_can_have_a_release_of_its_own() {
        let rke2 = Rke2 {
            releases: BTreeMap::from([("v1.33.7".to_owned(), "rke2r2".to_owned())]),
            ..Rke2::default()
        };
        assert_eq!(rke2.version("v1.34.2"), "v1.34.2+rke2r1");
        assert_eq!(rke2.version("v1.33.7"), "v1.33.7+rke2r2");
    }
}
