//! What webhooks fill in where the client left something out.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::Object;
use super::rules::CLUSTER_NAME;
use super::selector::Selector;

/// Label with the name of the machine deployment.
pub(super) const DEPLOYMENT_NAME: &str = "cluster.x-k8s.io/deployment-name";

const SET_NAME: &str = "cluster.x-k8s.io/set-name";

/// Fills in what the client left out.
pub fn default(kind: &Kind, object: &mut Object, old: Option<&Object>) {
    match kind.kind {
        "Cluster" => default_cluster(object),
        "Machine" => default_machine(object),
        "MachineSet" => default_machine_set(object),
        "MachineDeployment" => default_machine_deployment(object, old),
        "MachineHealthCheck" => {
            label_with_cluster(object);
            object.default(&["spec", "maxUnhealthy"], "100%");
            object.default(&["spec", "nodeStartupTimeout"], "10m0s");
        }
        "ClusterResourceSet" => object.default(&["spec", "strategy"], "ApplyOnce"),
        "RKE2ControlPlane" => default_control_plane(object),
        "RKE2Config" => object.default(&["spec", "agentConfig", "format"], "cloud-config"),
        "RKE2ConfigTemplate" => {
            object.default(
                &["spec", "template", "spec", "agentConfig", "format"],
                "cloud-config",
            );
        }
        "Secret" => {
            object.default(&["type"], "Opaque");
            fold_string_data(object);
        }
        _ => {}
    }
}

fn label_with_cluster(object: &mut Object) {
    let cluster = object.text(&["spec", "clusterName"]).to_owned();
    object.set(&["metadata", "labels", CLUSTER_NAME], cluster);
}

fn default_cluster(object: &mut Object) {
    let namespace = object.namespace().to_owned();
    for reference in ["infrastructureRef", "controlPlaneRef"] {
        if object.at(&["spec", reference]).is_some() {
            object.default(&["spec", reference, "namespace"], namespace.clone());
        }
    }
    object.default(&["spec", "controlPlaneEndpoint", "host"], "");
    object.default(&["spec", "controlPlaneEndpoint", "port"], 0);
}

fn default_machine(object: &mut Object) {
    label_with_cluster(object);
    default_machine_spec(object, &["spec"]);
}

fn default_machine_set(object: &mut Object) {
    label_with_cluster(object);
    object.default(&["spec", "replicas"], 1);
    object.default(&["spec", "deletePolicy"], "Random");
    let name = object.name().to_owned();
    default_selector(object, SET_NAME, &name);
    default_machine_spec(object, &["spec", "template", "spec"]);
}

fn default_machine_deployment(object: &mut Object, old: Option<&Object>) {
    const MINIMUM: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size";
    const MAXIMUM: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size";
    label_with_cluster(object);
    let bound = |key| object.annotation(key).and_then(|text| text.parse::<i64>().ok());
    let replicas = match (bound(MINIMUM), bound(MAXIMUM)) {
        (Some(low), Some(high)) if low <= high => old
            .and_then(|old| old.number(&["spec", "replicas"]))
            .unwrap_or(low)
            .clamp(low, high),
        _ => 1,
    };
    object.default(&["spec", "replicas"], replicas);
    object.default(&["spec", "minReadySeconds"], 0);
    object.default(&["spec", "revisionHistoryLimit"], 1);
    object.default(&["spec", "progressDeadlineSeconds"], 600);
    object.default(&["spec", "strategy", "type"], "RollingUpdate");
    if object.text(&["spec", "strategy", "type"]) == "RollingUpdate" {
        object.default(&["spec", "strategy", "rollingUpdate", "maxSurge"], 1);
        object.default(&["spec", "strategy", "rollingUpdate", "maxUnavailable"], 0);
    }
    let name = object.name().to_owned();
    default_selector(object, DEPLOYMENT_NAME, &name);
    default_machine_spec(object, &["spec", "template", "spec"]);
}

fn default_selector(object: &mut Object, key: &str, name: &str) {
    if Selector::from_object(&object.0["spec"]["selector"]).is_empty() {
        object.set(&["spec", "selector", "matchLabels", key], name);
        object.set(&["spec", "template", "metadata", "labels", key], name);
    }
    let cluster = object.text(&["spec", "clusterName"]).to_owned();
    object.set(
        &["spec", "selector", "matchLabels", CLUSTER_NAME],
        cluster.clone(),
    );
    object.set(&["spec", "template", "metadata", "labels", CLUSTER_NAME], cluster);
}

fn default_machine_spec(object: &mut Object, path: &[&str]) {
    let namespace = object.namespace().to_owned();
    let below = |rest: &[&'static str]| -> Vec<String> {
        path.iter()
            .copied()
            .chain(rest.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let version = below(&["version"]);
    let version: Vec<&str> = version.iter().map(String::as_str).collect();
    let text = object.text(&version).to_owned();
    if !text.is_empty() && !text.starts_with('v') {
        object.set(&version, format!("v{text}"));
    }
    for reference in [below(&["bootstrap", "configRef"]), below(&["infrastructureRef"])] {
        let mut reference: Vec<&str> = reference.iter().map(String::as_str).collect();
        if object.at(&reference).is_some() {
            reference.push("namespace");
            object.default(&reference, namespace.clone());
        }
    }
}

fn default_control_plane(object: &mut Object) {
    let namespace = object.namespace().to_owned();
    object.default(&["spec", "agentConfig", "format"], "cloud-config");
    let legacy = object
        .at(&["spec", "infrastructureRef"])
        .cloned()
        .unwrap_or_else(|| json!({}));
    if object
        .text(&["spec", "machineTemplate", "infrastructureRef", "name"])
        .is_empty()
    {
        object.set(&["spec", "machineTemplate", "infrastructureRef"], legacy);
    }
    object.default(
        &["spec", "machineTemplate", "infrastructureRef", "namespace"],
        namespace,
    );
    object.default(&["spec", "machineTemplate", "nodeDrainTimeout"], "2m0s");
    object.default(&["spec", "machineTemplate", "nodeVolumeDetachTimeout"], "5m0s");
    object.default(&["spec", "machineTemplate", "nodeDeletionTimeout"], "10s");
    object.default(&["spec", "replicas"], 1);
}

fn fold_string_data(object: &mut Object) {
    use base64::Engine as _;
    let texts = object.map(&["stringData"]);
    object.remove(&["stringData"]);
    for (key, text) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
        object.set(&["data", &key], encoded);
    }
}

impl Object {
    /// Sets a value where there is none.
    fn default(&mut self, path: &[&str], value: impl Into<Value>) {
        if self.at(path).is_none() {
            self.set(path, value);
        }
    }
}
