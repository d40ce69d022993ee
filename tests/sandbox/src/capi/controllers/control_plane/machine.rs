//! Machines of the control plane: how they are made, and when they are out of date.

use serde_json::{Map, Value, json};

use super::super::super::kube::{Key, Object};
use super::super::super::world::Ctx;
use super::super::{CLONED_FROM, CLUSTER_NAME, CONTROL_PLANE};
use super::{HOOK, REMEDIATING};

/// Fields of the specification that end up in the bootstrap configuration.
const BOOTSTRAP_FIELDS: [&str; 6] = [
    "agentConfig",
    "files",
    "gzipUserData",
    "postRKE2Commands",
    "preRKE2Commands",
    "privateRegistriesConfig",
];

/// Annotation of a machine with the server configuration that it was made with.
const SERVER_CONFIG: &str = "controlplane.cluster.x-k8s.io/rke2-server-configuration";

pub(super) fn add_machine(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let Some(control_plane) = ctx.get(key) else { return };
    let template = control_plane
        .text(&["spec", "machineTemplate", "infrastructureRef", "name"])
        .to_owned();
    let Some(template) = ctx.get(&Key::new("ONEMachineTemplate", &template)) else {
        ctx.log(
            "rke2controlplane",
            &key.name,
            format!("failed to clone infrastructure template: {template} not found"),
        );
        ctx.at(now + 20);
        return;
    };
    let mut labels = Map::new();
    labels.insert(CLUSTER_NAME.into(), json!(cluster.name()));
    labels.insert(CONTROL_PLANE.into(), json!(""));
    labels.insert(
        "cluster.x-k8s.io/control-plane-name".into(),
        json!(control_plane.name()),
    );

    let name = ctx.store_mut().generate_name(&format!("{}-", template.name()));
    let mut infrastructure = Object::new(template.api_version(), "ONEMachine", "default", &name);
    infrastructure.set(
        &["spec"],
        template
            .at(&["spec", "template", "spec"])
            .cloned()
            .unwrap_or_default(),
    );
    infrastructure.set(&["metadata", "annotations", CLONED_FROM], template.name());
    infrastructure.set(&["metadata", "labels"], labels.clone());
    infrastructure.add_owner(&control_plane, false);
    let infrastructure = ctx.store_mut().insert(infrastructure);

    let name = ctx
        .store_mut()
        .generate_name(&format!("{}-", control_plane.name()));
    let mut config = Object::new(
        "bootstrap.cluster.x-k8s.io/v1beta1",
        "RKE2Config",
        "default",
        &name,
    );
    config.set(&["spec"], bootstrap_spec(&control_plane));
    config.set(&["metadata", "labels"], labels.clone());
    config.add_owner(&control_plane, false);
    let config = ctx.store_mut().insert(config);

    let name = ctx
        .store_mut()
        .generate_name(&format!("{}-", control_plane.name()));
    let mut machine = Object::new("cluster.x-k8s.io/v1beta1", "Machine", "default", &name);
    let drain = |field: &str| {
        control_plane
            .at(&["spec", "machineTemplate", field])
            .cloned()
            .unwrap_or_default()
    };
    machine.set(&["metadata", "labels"], labels);
    machine.set(
        &["metadata", "annotations", SERVER_CONFIG],
        server_config(&control_plane),
    );
    machine.set(&["metadata", "annotations", HOOK], "");
    if let Some(remediation) = control_plane.annotation(REMEDIATING) {
        machine.set(
            &[
                "metadata",
                "annotations",
                "controlplane.cluster.x-k8s.io/remediation-for",
            ],
            remediation,
        );
    }
    machine.set(
        &["spec"],
        json!({
            "clusterName": cluster.name(),
            "version": control_plane.text(&["spec", "version"]),
            "bootstrap": {"configRef": config.as_reference()},
            "infrastructureRef": infrastructure.as_reference(),
            "nodeDrainTimeout": drain("nodeDrainTimeout"),
            "nodeVolumeDetachTimeout": drain("nodeVolumeDetachTimeout"),
            "nodeDeletionTimeout": drain("nodeDeletionTimeout"),
        }),
    );
    machine.add_owner(&control_plane, true);
    ctx.store_mut().insert(machine);
    ctx.modify(key, |object| {
        object.remove(&["metadata", "annotations", REMEDIATING]);
    });
    ctx.log("rke2controlplane", &key.name, format!("created machine {name}"));
}

fn bootstrap_spec(control_plane: &Object) -> Value {
    let mut spec = control_plane.map(&["spec"]);
    spec.retain(|field, _| BOOTSTRAP_FIELDS.contains(&field.as_str()));
    Value::Object(spec)
}

fn server_config(control_plane: &Object) -> String {
    Value::Object(control_plane.map(&["spec", "serverConfig"])).to_string()
}

/// Whether a machine is what the control plane asks for now. Edits of a template in place don't count.
pub(super) fn is_current(ctx: &Ctx<'_>, control_plane: &Object, machine: &Object) -> bool {
    if machine.text(&["spec", "version"]) != control_plane.text(&["spec", "version"]) {
        return false;
    }
    if machine
        .annotation(SERVER_CONFIG)
        .is_some_and(|config| config != server_config(control_plane))
    {
        return false;
    }
    let config = ctx.store().get(&Key::new(
        "RKE2Config",
        machine.text(&["spec", "bootstrap", "configRef", "name"]),
    ));
    if config.is_some_and(|config| config.at(&["spec"]) != Some(&bootstrap_spec(control_plane))) {
        return false;
    }
    let infrastructure = ctx.store().get(&Key::new(
        "ONEMachine",
        machine.text(&["spec", "infrastructureRef", "name"]),
    ));
    let wanted = control_plane.text(&["spec", "machineTemplate", "infrastructureRef", "name"]);
    infrastructure
        .and_then(|object| object.annotation(CLONED_FROM))
        .is_none_or(|template| template == wanted)
}
