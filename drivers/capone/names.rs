//! Names of a cluster's objects, in OpenNebula and in Kubernetes.
//!
//! Objects of different kinds may share a name; within a kind no two do. `oneks-<id>-cp` is the virtual router (CAPONE
//! looks for it under that name), the VM template of the control plane and its health check.

use oneks_driver::{Cluster, Group, Role};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The names that texts and scripts use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// Secret with the cluster's credential.
    pub credentials: String,
    /// Secret and `ClusterResourceSet` of the cloud controller.
    pub cloud_controller: String,
    /// Virtual router.
    pub router: String,
    /// VM template of its VMs.
    pub router_template: String,
    /// VM template of the router for Services of type `LoadBalancer`.
    pub load_balancer_template: String,
    /// Seed VM.
    pub seed: String,
    /// VM template of the group's nodes.
    pub vm_template: String,
    /// `ONEMachineTemplate` of the group, and `RKE2ConfigTemplate` of a node group. A change of what the user chose for
    /// the nodes changes the name.
    pub machine_template: String,
}

impl Names {
    /// The names for this cluster and group.
    pub fn new(cluster: &Cluster, group: &Group) -> Self {
        let router = format!("{}-cp", cluster.name);
        let vm_template = match group.role {
            Role::ControlPlane => router.clone(),
            Role::NodeGroup => group.name.clone(),
        };
        let machine_template = format!("{vm_template}-{}", configuration(group));
        Self {
            credentials: cluster.name.clone(),
            cloud_controller: format!("{}-ccm", cluster.name),
            router,
            router_template: format!("{}-router", cluster.name),
            load_balancer_template: format!("{}-lb", cluster.name),
            seed: format!("{}-seed", cluster.name),
            vm_template,
            machine_template,
        }
    }
}

/// Eight digits that stand for what the user chose for the group's nodes.
///
/// Cluster API replaces nodes when the *name* of a template changes, never for its content. The number of nodes and the
/// version are left out because changing them is not a reason, and the administrator's settings because editing a
/// profile must not restart everybody's nodes.
fn configuration(group: &Group) -> String {
    let inputs: serde_json::Map<String, Value> = group
        .inputs
        .iter()
        .filter(|(name, _)| *name != "count")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let chosen = json!({ "inputs": inputs, "labels": group.labels, "taints": group.taints });
    let digest = Sha256::digest(chosen.to_string());
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| digest[i]);
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}
