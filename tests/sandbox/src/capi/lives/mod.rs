//! Whole lives of clusters, driven from outside through the cloud and commands in guests.

mod commands;
mod groups;
mod seeds;
mod servers;

use opennebula::template::Template;

use super::testing::{AUTH, Scene};
use super::{Fault, FaultKind, SeedPhase};
use crate::states::{LcmState, VmState};

pub(super) const PATH: &str =
    "export PATH=\"$PATH:/var/lib/rancher/rke2/bin\" KUBECONFIG=/etc/rancher/rke2/rke2.yaml\n";

/// What a driver renders for the seed: cluster `c`, so many servers.
pub(super) fn manifest(replicas: u32, auth: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Secret
metadata: {{name: c, labels: {{cluster.x-k8s.io/cluster-name: c}}}}
stringData: {{ONE_AUTH: "{auth}", ONE_XMLRPC: "http://169.254.16.9:2633/RPC2"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: c-ccm, labels: {{cluster.x-k8s.io/cluster-name: c}}}}
type: addons.cluster.x-k8s.io/resource-set
stringData:
  ccm.yaml: |
    apiVersion: v1
    kind: Secret
    metadata: {{name: cloud-config, namespace: kube-system}}
    stringData:
      config.yaml: |
        opennebula:
          endpoint: {{ONE_AUTH: "{auth}"}}
          publicNetwork: {{name: public}}
          virtualRouter: {{templateName: router}}
    ---
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {{name: ccm, namespace: kube-system}}
    spec:
      template:
        metadata: {{labels: {{k8s-app: ccm}}}}
        spec:
          containers:
          - command: [/opennebula-cloud-controller-manager, --cluster-name=c]
---
apiVersion: addons.cluster.x-k8s.io/v1beta1
kind: ClusterResourceSet
metadata: {{name: c-crs}}
spec:
  clusterSelector: {{matchLabels: {{cluster.x-k8s.io/cluster-name: c}}}}
  resources: [{{kind: Secret, name: c-ccm}}]
  strategy: Reconcile
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: Cluster
metadata: {{name: c, labels: {{cluster.x-k8s.io/cluster-name: c}}}}
spec:
  controlPlaneEndpoint: {{host: null, port: 6443}}
  controlPlaneRef: {{apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: RKE2ControlPlane, name: c}}
  infrastructureRef: {{apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: ONECluster, name: c}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: ONECluster
metadata: {{name: c}}
spec:
  secretName: c
  publicNetwork: {{name: public}}
  privateNetwork: {{name: private}}
  virtualRouter: {{templateName: router, listenerPorts: [9345, 6443]}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: ONEMachineTemplate
metadata: {{name: c-cp}}
spec: {{template: {{spec: {{templateName: node}}}}}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta1
kind: RKE2ControlPlane
metadata: {{name: c}}
spec:
  replicas: {replicas}
  version: v1.33.7+rke2r1
  registrationMethod: internal-first
  rolloutStrategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 1}}}}
  machineTemplate:
    infrastructureRef:
      {{apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: ONEMachineTemplate, name: c-cp}}
  serverConfig: {{cni: canal, cloudProviderName: external}}
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineHealthCheck
metadata: {{name: c-cp}}
spec:
  clusterName: c
  selector: {{matchLabels: {{cluster.x-k8s.io/control-plane: ""}}}}
  maxUnhealthy: 1
  nodeStartupTimeout: 15m
  unhealthyConditions:
  - {{type: Ready, status: "False", timeout: 5m}}
  - {{type: Ready, status: Unknown, timeout: 5m}}
"#
    )
}

pub(super) fn group(replicas: u32, version: &str) -> String {
    format!(
        r"apiVersion: bootstrap.cluster.x-k8s.io/v1beta1
kind: RKE2ConfigTemplate
metadata: {{name: c-a}}
spec: {{template: {{spec: {{agentConfig: {{kubelet: {{extraArgs: [--cloud-provider=external]}}, nodeLabels: [pool=a]}}}}}}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: ONEMachineTemplate
metadata: {{name: c-a}}
spec: {{template: {{spec: {{templateName: node}}}}}}
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineDeployment
metadata: {{name: c-a}}
spec:
  clusterName: c
  replicas: {replicas}
  selector: {{matchLabels: {{}}}}
  template:
    spec:
      clusterName: c
      version: {version}
      bootstrap: {{configRef: {{apiVersion: bootstrap.cluster.x-k8s.io/v1beta1, kind: RKE2ConfigTemplate, name: c-a}}}}
      infrastructureRef:
        {{apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: ONEMachineTemplate, name: c-a}}
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineHealthCheck
metadata: {{name: c-a}}
spec:
  clusterName: c
  selector: {{matchLabels: {{cluster.x-k8s.io/deployment-name: c-a}}}}
  maxUnhealthy: 100%
  nodeStartupTimeout: 15m
  unhealthyConditions:
  - {{type: Ready, status: 'False', timeout: 5m}}
  - {{type: Ready, status: Unknown, timeout: 5m}}
"
    )
}

fn seed(scene: &mut Scene, manifest: &str) -> u32 {
    use base64::Engine as _;
    let mut template = Template::new();
    template.set_in("CONTEXT", "TOKEN", "YES");
    template.set_in("CONTEXT", "ONEAPP_ONEKS_CLUSTER_NAME", "c");
    let encoded = base64::engine::general_purpose::STANDARD.encode(manifest);
    template.set_in("CONTEXT", "ONEAPP_ONEKS_CLUSTER_SPEC", encoded);
    scene.fake.start("c-seed", template)
}

fn reports(scene: &Scene) -> Vec<String> {
    let reports = scene
        .fake
        .calls
        .iter()
        .filter_map(|(_, call)| call.strip_prefix("onegate ONEKS_STATE="));
    reports.map(str::to_owned).collect()
}

fn state(scene: &Scene) -> String {
    reports(scene).pop().unwrap_or_default()
}

/// A cluster that has pivoted; its seed is gone. Returns the id of a VM of its control plane.
fn running(replicas: u32) -> (Scene, u32) {
    let mut scene = Scene::new();
    let id = seed(&mut scene, &manifest(replicas, AUTH));
    scene.until(4000, "the cluster runs", |scene| state(scene) == "RUNNING");
    scene.fake.terminate(id);
    scene.pass(60);
    let server = servers(&scene)[0];
    (scene, server)
}

/// Ids of the VMs of the control plane, oldest first.
fn servers(scene: &Scene) -> Vec<u32> {
    let alive = scene
        .fake
        .vms
        .values()
        .filter(|vm| vm.facts.state != VmState::Done);
    alive
        .filter(|vm| vm.facts.name.starts_with("c-") && vm.facts.context("BACKEND") == Some("YES"))
        .map(|vm| vm.facts.id)
        .collect()
}

fn workers(scene: &Scene) -> Vec<String> {
    scene.fake.alive("c-a-")
}

fn status(scene: &Scene, kind: &str, name: &str, field: &str) -> String {
    let objects = scene.handle.objects("c", false, kind);
    let object = objects.iter().find(|object| object.name() == name);
    object
        .and_then(|object| object.at(&["status", field]))
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn settled(scene: &Scene, count: usize) -> bool {
    let text = count.to_string();
    workers(scene).len() == count
        && ["replicas", "updatedReplicas", "readyReplicas"]
            .iter()
            .all(|field| status(scene, "MachineDeployment", "c-a", field) == text)
}

fn apply(scene: &mut Scene, server: u32, manifest: &str) {
    let result = scene.script(
        server,
        &format!("{PATH}kubectl apply -f - <<'END'\n{manifest}END\n"),
    );
    let (out, err) = (
        String::from_utf8_lossy(&result.stdout),
        String::from_utf8_lossy(&result.stderr),
    );
    assert_eq!(result.return_code, 0, "{out}{err}");
}
