//! What webhooks refuse, kind by kind.

use serde_json::{Map, Value};

use super::error::Cause;
use super::kinds::Kind;
use super::names::label_value_problem;
use super::object::Object;
use super::quantity::{duration, scaled};
use super::selector::Selector;

/// Label with the name of the cluster.
pub(super) const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";

/// What the validating webhooks, and the server for its own kinds, refuse.
pub fn violations(kind: &Kind, object: &Object, old: Option<&Object>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match kind.kind {
        "Cluster" => check_cluster(object, &mut causes),
        "Machine" => {
            check_template(object, &["spec"], &mut causes);
            check_bootstrap(object, &["spec"], &mut causes);
        }
        "MachineSet" | "MachineDeployment" => {
            check_name_as_label(object, &mut causes);
            check_selector(object, &mut causes);
            check_template(object, &["spec", "template", "spec"], &mut causes);
            check_rolling_update(object, &mut causes);
        }
        "MachineHealthCheck" => check_health_check(object, &mut causes),
        "ClusterResourceSet" if Selector::from_object(&object.0["spec"]["clusterSelector"]).is_empty() => {
            causes.push(Cause::invalid(
                "spec.clusterSelector",
                "{}",
                "selector must not be empty",
            ));
        }
        "RKE2ControlPlane" => check_control_plane(object, old, &mut causes),
        _ => {}
    }
    if let Some(old) = old {
        let fixed: &[(&[&str], &str)] = match kind.kind {
            "Machine" | "MachineSet" | "MachineDeployment" | "MachineHealthCheck" => {
                &[(&["spec", "clusterName"], "field is immutable")]
            }
            "ClusterResourceSet" => &[(&["spec", "strategy"], "field is immutable")],
            _ => &[],
        };
        for (path, detail) in fixed {
            if old.at(path) != object.at(path) {
                causes.push(Cause::forbidden(path.join("."), detail));
            }
        }
        if kind.kind == "Secret" && old.text(&["type"]) != object.text(&["type"]) {
            let value = format!("{:?}", object.text(&["type"]));
            causes.push(Cause::invalid("type", &value, "field is immutable"));
        }
    }
    causes
}

fn check_name_as_label(object: &Object, causes: &mut Vec<Cause>) {
    if let Some(problem) = label_value_problem(object.name()) {
        let detail = format!("must be a valid label value: {problem}");
        causes.push(Cause::invalid(
            "metadata.name",
            &format!("{:?}", object.name()),
            &detail,
        ));
    }
}

fn check_cluster(object: &Object, causes: &mut Vec<Cause>) {
    check_name_as_label(object, causes);
    for reference in ["infrastructureRef", "controlPlaneRef"] {
        let namespace = object.text(&["spec", reference, "namespace"]);
        if !namespace.is_empty() && namespace != object.namespace() {
            causes.push(Cause::invalid(
                format!("spec.{reference}.namespace"),
                &format!("{namespace:?}"),
                "must match metadata.namespace",
            ));
        }
    }
}

fn check_bootstrap(object: &Object, path: &[&str], causes: &mut Vec<Cause>) {
    let bootstrap = object.at(path).map(|spec| &spec["bootstrap"]);
    if bootstrap.is_none_or(|part| part["configRef"].is_null() && part["dataSecretName"].is_null()) {
        causes.push(Cause::required(
            format!("{}.bootstrap.data", path.join(".")),
            "expected either spec.bootstrap.dataSecretName or spec.bootstrap.configRef to be populated",
        ));
    }
}

fn check_selector(object: &Object, causes: &mut Vec<Cause>) {
    let selector = Selector::from_object(&object.0["spec"]["selector"]);
    if !selector.matches(&object.map(&["spec", "template", "metadata", "labels"])) {
        let detail = format!("must match spec.selector {:?}", selector.to_string());
        causes.push(Cause::forbidden("spec.template.metadata.labels", &detail));
    }
}

fn check_template(object: &Object, path: &[&str], causes: &mut Vec<Cause>) {
    let version = object.at(path).and_then(|spec| spec["version"].as_str());
    if let Some(version) = version
        && !is_semantic_version(version)
    {
        let field = format!("{}.version", path.join("."));
        causes.push(Cause::invalid(
            field,
            &format!("{version:?}"),
            "must be a valid semantic version",
        ));
    }
}

fn check_rolling_update(object: &Object, causes: &mut Vec<Cause>) {
    let replicas = object.number(&["spec", "replicas"]).unwrap_or(1);
    for field in ["maxSurge", "maxUnavailable"] {
        if let Some(value) = object.at(&["spec", "strategy", "rollingUpdate", field])
            && scaled(value, replicas, true).is_none()
        {
            causes.push(Cause::invalid(
                format!("spec.strategy.rollingUpdate.{field}"),
                &value.to_string(),
                "must be either an int or a percentage: invalid value for IntOrString: invalid type: string is not a \
                 percentage",
            ));
        }
    }
}

fn check_health_check(object: &Object, causes: &mut Vec<Cause>) {
    if Selector::from_object(&object.0["spec"]["selector"]).is_empty() {
        causes.push(Cause::required("spec.selector", "selector must not be empty"));
    }
    let labels: Map<String, Value> = object.map(&["spec", "selector", "matchLabels"]);
    if let Some(cluster) = labels.get(CLUSTER_NAME)
        && cluster != object.text(&["spec", "clusterName"])
    {
        causes.push(Cause::invalid(
            "spec.selector",
            "{}",
            "cannot specify a cluster selector other than the one specified by ClusterName",
        ));
    }
    let timeout = object.text(&["spec", "nodeStartupTimeout"]);
    if duration(timeout).is_none_or(|seconds| seconds != 0 && seconds < 30) {
        causes.push(Cause::invalid(
            "spec.nodeStartupTimeout",
            &format!("{timeout:?}"),
            "must be at least 30s",
        ));
    }
    if let Some(value) = object.at(&["spec", "maxUnhealthy"])
        && scaled(value, 0, false).is_none()
    {
        causes.push(Cause::invalid(
            "spec.maxUnhealthy",
            &value.to_string(),
            "must be either an int or a percentage: invalid value for IntOrString: invalid type: string is not a \
             percentage",
        ));
    }
}

fn check_control_plane(object: &Object, old: Option<&Object>, causes: &mut Vec<Cause>) {
    if object.flag(&["spec", "serverConfig", "cniMultusEnable"])
        && object.text(&["spec", "serverConfig", "cni"]).is_empty()
    {
        causes.push(Cause::invalid(
            "spec.serverConfig.cni",
            "\"\"",
            "must be specified when cniMultusEnable is true",
        ));
    }
    let method = object.text(&["spec", "registrationMethod"]);
    if old.is_none() && method == "address" && object.text(&["spec", "registrationAddress"]).is_empty() {
        causes.push(Cause::invalid(
            "spec.registrationAddress",
            "\"\"",
            "registrationAddress must be supplied when using registration method 'address'",
        ));
    }
    if object
        .text(&["spec", "machineTemplate", "infrastructureRef", "name"])
        .is_empty()
    {
        causes.push(Cause::invalid(
            "spec.machineTemplate.infrastructureRef",
            "{}",
            "machineTemplate is required",
        ));
    }
    if object
        .number(&["spec", "replicas"])
        .is_some_and(|replicas| replicas <= 0)
    {
        causes.push(Cause::forbidden(
            "spec.replicas",
            "cannot be less than or equal to 0",
        ));
    }
    if let Some(old) = old {
        let before = old.text(&["spec", "registrationMethod"]);
        if !before.is_empty() && before != method {
            causes.push(Cause::invalid(
                "spec.registrationMethod",
                &format!("{method:?}"),
                "field value is immutable once set",
            ));
        }
    }
}

/// `vMAJOR.MINOR.PATCH` with an optional pre-release and build.
fn is_semantic_version(text: &str) -> bool {
    let Some(text) = text.strip_prefix('v') else {
        return false;
    };
    let (core, _) = text.split_once(['-', '+']).unwrap_or((text, ""));
    let parts: Vec<&str> = core.split('.').collect();
    let number = |part: &&str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part.len() == 1 || !part.starts_with('0'))
    };
    parts.len() == 3 && parts.iter().all(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capi::kube::defaults::DEPLOYMENT_NAME;
    use crate::capi::kube::store::{FieldValidation, Key, Store};

    fn store() -> Store {
        let mut store = Store::new(1, 1000);
        store.cluster_api = true;
        store
    }

    fn control_plane() -> Value {
        json!({
            "apiVersion": "controlplane.cluster.x-k8s.io/v1beta1", "kind": "RKE2ControlPlane",
            "metadata": {"name": "cp", "namespace": "default"},
            "spec": {
                "replicas": 1, "version": "v1.33.7+rke2r1", "registrationMethod": "internal-first",
                "rolloutStrategy": {"type": "RollingUpdate"},
                "machineTemplate": {"infrastructureRef": {"kind": "ONEMachineTemplate", "name": "cp",
                    "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1"}},
                "serverConfig": {"cni": "canal"}
            }
        })
    }

    fn machine_deployment() -> Value {
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "MachineDeployment",
            "metadata": {"name": "md", "namespace": "default"},
            "spec": {
                "clusterName": "c", "replicas": 3, "selector": {"matchLabels": {}},
                "template": {"spec": {
                    "clusterName": "c", "version": "v1.33.7+rke2r1",
                    "bootstrap": {"configRef": {"kind": "RKE2ConfigTemplate", "name": "md",
                        "apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1"}},
                    "infrastructureRef": {"kind": "ONEMachineTemplate", "name": "md",
                        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1"}
                }}
            }
        })
    }

    fn one_cluster() -> Value {
        json!({
            "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "ONECluster",
            "metadata": {"name": "c", "namespace": "default"},
            "spec": {"secretName": "c", "publicNetwork": {"name": "public", "floatingIP": null}}
        })
    }

    fn changed(mut value: Value, pointer: &str, new: Value) -> Object {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let map = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if new == json!("REMOVE") {
            map.remove(key);
        } else {
            map.insert(key.to_owned(), new);
        }
        Object(value)
    }

    fn answer(object: Object) -> String {
        match store().create(object, FieldValidation::Strict) {
            Ok(_) => "created".into(),
            Err(error) => error.for_kubectl(Some("error when creating \"STDIN\"")),
        }
    }

    #[test]
    fn what_is_refused_at_creation() {
        let subdomain = "a lowercase RFC 1123 subdomain must consist of";
        for (object, wanted) in [
            (Object(control_plane()), "created"),
            (Object(machine_deployment()), "created"),
            (Object(one_cluster()), "created"),
            (
                changed(control_plane(), "/spec/version", json!("v1.33.7")),
                r#"The RKE2ControlPlane "cp" is invalid: spec.version: Invalid value: "v1.33.7": spec.version in body should match"#,
            ),
            (
                changed(control_plane(), "/spec/replicas", json!(0)),
                r#"The RKE2ControlPlane "cp" is invalid: spec.replicas: Forbidden: cannot be less than or equal to 0"#,
            ),
            (
                changed(control_plane(), "/spec/rolloutStrategy", json!("REMOVE")),
                r#"The RKE2ControlPlane "cp" is invalid: spec.rolloutStrategy: Required value"#,
            ),
            (
                changed(control_plane(), "/spec/machineTemplate", json!("REMOVE")),
                r#"The RKE2ControlPlane "cp" is invalid: spec.machineTemplate.infrastructureRef: Invalid value: {}: machineTemplate is required"#,
            ),
            (
                changed(control_plane(), "/spec/registrationMethod", json!("somehow")),
                r#"The RKE2ControlPlane "cp" is invalid: spec.registrationMethod: Unsupported value: "somehow": supported values: "internal-first""#,
            ),
            (
                changed(control_plane(), "/spec/registrationMethod", json!("address")),
                r#"The RKE2ControlPlane "cp" is invalid: spec.registrationAddress: Invalid value: "": registrationAddress must be supplied"#,
            ),
            (
                changed(machine_deployment(), "/spec/replicas", json!("3")),
                r#"Error from server (BadRequest): error when creating "STDIN": admission webhook "default.machinedeployment.cluster.x-k8s.io" denied the request: json: cannot unmarshal string into Go struct field MachineDeploymentSpec.spec.replicas of type int32"#,
            ),
            (
                changed(machine_deployment(), "/spec/replica", json!(3)),
                r#"Error from server (BadRequest): error when creating "STDIN": MachineDeployment in version "v1beta1" cannot be handled as a MachineDeployment: strict decoding error: unknown field "spec.replica""#,
            ),
            (
                changed(machine_deployment(), "/spec/clusterName", json!("REMOVE")),
                r#"The MachineDeployment "md" is invalid: spec.clusterName: Required value"#,
            ),
            (
                changed(
                    machine_deployment(),
                    "/spec/template/spec/version",
                    json!("v1.33"),
                ),
                r#"The MachineDeployment "md" is invalid: spec.template.spec.version: Invalid value: "v1.33": must be a valid semantic version"#,
            ),
            (
                changed(machine_deployment(), "/metadata/name", json!("My_Group")),
                &format!(
                    r#"The MachineDeployment "My_Group" is invalid: metadata.name: Invalid value: "My_Group": {subdomain}"#
                ),
            ),
            (
                changed(machine_deployment(), "/metadata/labels", json!({"a": 1})),
                r#"Error from server (BadRequest): error when creating "STDIN": MachineDeployment in version "v1beta1" cannot be handled as a MachineDeployment: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"#,
            ),
            (
                changed(one_cluster(), "/spec/secretName", json!("REMOVE")),
                r#"The ONECluster "c" is invalid: spec.secretName: Required value"#,
            ),
            (
                changed(
                    one_cluster(),
                    "/spec/controlPlaneEndpoint",
                    json!({"host": null, "port": 6443}),
                ),
                r#"The ONECluster "c" is invalid: spec.controlPlaneEndpoint.host: Required value"#,
            ),
            (
                changed(
                    one_cluster(),
                    "/spec/images",
                    json!([{"imageName": "i", "imageContent": "", "imageDatastoreId": 100}]),
                ),
                r#"Error from server (BadRequest): error when creating "STDIN": ONECluster in version "v1beta1" cannot be handled as a ONECluster: strict decoding error: unknown field "spec.images[0].imageDatastoreId""#,
            ),
            (
                changed(one_cluster(), "/metadata/namespace", json!("elsewhere")),
                r#"Error from server (NotFound): error when creating "STDIN": namespaces "elsewhere" not found"#,
            ),
            (
                Object(
                    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"ONE_AUTH": 7}}),
                ),
                r#"Error from server (BadRequest): error when creating "STDIN": Secret in version "v1" cannot be handled as a Secret: json: cannot unmarshal number into Go struct field Secret.stringData of type string"#,
            ),
            (
                Object(
                    json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "MachineHealthCheck",
                    "metadata": {"name": "m"}, "spec": {"clusterName": "c", "selector": {}, "nodeStartupTimeout": "5s"}}),
                ),
                "The MachineHealthCheck \"m\" is invalid: \n* spec.selector: Required value: selector must not be empty\n* spec.nodeStartupTimeout: Invalid value: \"5s\": must be at least 30s",
            ),
        ] {
            let found = answer(object);
            assert!(found.starts_with(wanted), "{found}\n  wanted {wanted}");
        }
    }

    #[test]
    fn what_is_refused_at_a_change() {
        for (base, pointer, new, wanted) in [
            (
                control_plane(),
                "/spec/registrationMethod",
                json!("internal-only-ips"),
                r#"The RKE2ControlPlane "cp" is invalid: spec.registrationMethod: Invalid value: "internal-only-ips": field value is immutable once set"#,
            ),
            (
                machine_deployment(),
                "/spec/clusterName",
                json!("d"),
                r#"The MachineDeployment "md" is invalid: spec.clusterName: Forbidden: field is immutable"#,
            ),
            (
                machine_deployment(),
                "/spec/foo",
                json!("d"),
                r#"The request is invalid: patch: Invalid value: "map[...]": strict decoding error: unknown field "spec.foo""#,
            ),
        ] {
            let mut store = store();
            store
                .create(Object(base.clone()), FieldValidation::Strict)
                .unwrap();
            let error = store
                .update(changed(base, pointer, new), FieldValidation::Strict)
                .unwrap_err();
            assert_eq!(error.for_kubectl(None), wanted);
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let mut store = store();
        store
            .create(Object(machine_deployment()), FieldValidation::Strict)
            .unwrap();
        let stored = store.get(&Key::new("MachineDeployment", "md")).unwrap();
        assert_eq!(stored.label(CLUSTER_NAME), Some("c"));
        assert_eq!(
            stored.number(&["spec", "strategy", "rollingUpdate", "maxSurge"]),
            Some(1)
        );
        assert_eq!(
            stored.text(&["spec", "selector", "matchLabels", DEPLOYMENT_NAME]),
            "md"
        );
        assert_eq!(
            stored.text(&["spec", "template", "metadata", "labels", DEPLOYMENT_NAME]),
            "md"
        );
        assert_eq!(
            stored.text(&["spec", "template", "spec", "infrastructureRef", "namespace"]),
            "default"
        );

        let cluster = json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "metadata": {"name": "c"},
            "spec": {"controlPlaneEndpoint": {"host": null, "port": 6443}}});
        let (cluster, _) = store.create(Object(cluster), FieldValidation::Strict).unwrap();
        assert_eq!(
            cluster.0["spec"]["controlPlaneEndpoint"],
            json!({"host": "", "port": 6443})
        );
    }

    #[test]
    fn a_merge_without_strictness_warns() {
        let mut store = store();
        store
            .create(Object(machine_deployment()), FieldValidation::Strict)
            .unwrap();
        let (changed, warnings) = store
            .update(
                changed(machine_deployment(), "/spec/foo", json!(1)),
                FieldValidation::Warn,
            )
            .unwrap();
        assert!(!changed);
        assert_eq!(warnings, ["unknown field \"spec.foo\""]);
    }

    #[test]
    fn custom_resources_need_their_providers() {
        let mut store = Store::new(1, 1000);
        assert!(
            store
                .create(Object(machine_deployment()), FieldValidation::Strict)
                .is_err()
        );
    }
}
