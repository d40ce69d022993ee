//! The shapes of answers, as `OpenAPI` has them. Fields that are not told of may be there as well.

use serde_json::{Value, json};

/// A shape that the document defines once.
fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn list(of: &Value) -> Value {
    json!({"type": "array", "items": of})
}

/// A cluster.
pub fn cluster() -> Value {
    named("Cluster")
}

/// Clusters.
pub fn clusters() -> Value {
    list(&named("Cluster"))
}

/// A group as if it were a document.
pub fn group() -> Value {
    named("Group")
}

/// Groups as if they were documents.
pub fn groups() -> Value {
    list(&named("Group"))
}

/// Groups of one cluster.
pub fn expanded() -> Value {
    list(&named("GroupOfCluster"))
}

/// A family.
pub fn family() -> Value {
    named("Family")
}

/// Families.
pub fn families() -> Value {
    list(&named("Family"))
}

/// Any object.
pub fn object() -> Value {
    json!({"type": "object"})
}

/// Is the gateway there?
pub fn health() -> Value {
    with(&json!({"status": {"const": "ok"}}))
}

/// Can a cluster live there?
pub fn valid() -> Value {
    with(&json!({"valid": {"const": true}}))
}

/// Can places be checked?
pub fn enabled() -> Value {
    with(&json!({"enabled": {"type": "boolean"}}))
}

/// A kubeconfig.
pub fn kubeconfig() -> Value {
    with(&json!({"kubeconfig": {"type": "string"}}))
}

/// Inputs of a flavour.
pub fn inputs() -> Value {
    with(&json!({
        "user_inputs": list(&named("Input")),
        "options": with(&json!({"override_defaults": {"type": "boolean"}})),
    }))
}

/// Lines of a log.
pub fn logs() -> Value {
    let number = json!({"type": "integer", "minimum": 0});
    json!({
        "type": "object",
        "required": ["meta", "lines"],
        "properties": {
            "meta": {
                "type": "object",
                "required": ["total_lines"],
                "properties": {
                    "mode": {"const": "all"}, "page": number, "per_page": number, "total_pages": number,
                    "total_lines": number,
                },
            },
            "lines": list(&with(&json!({
                "level": {"enum": ["debug", "info", "warn", "error"]},
                "text": {"type": "string"},
            }))),
        },
    })
}

/// Everything that is defined once, by name.
pub fn components() -> Value {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    let number = json!({"type": "integer", "minimum": 0});
    let time = json!({"type": ["integer", "null"], "minimum": 0, "description": "Seconds since the epoch"});
    let values = json!({"type": "object"});
    let event = with(&json!({"action": text, "description": text, "time": number}));
    let details = json!({
        "uuid": text, "name": text, "cluster_id": number, "family": text, "flavour": maybe,
        "type": {"enum": ["ControlPlane", "NodeGroup"]}, "state": text, "vms": list(&number),
        "dependencies": list(&with(&json!({
            "name": text, "type": text, "id": number, "ready": {"type": "boolean"}, "opts": values,
        }))),
        "user_inputs_values": values, "historic": list(&event), "registration_time": time,
    });
    let group_body = also(
        with(&details),
        &json!({"endpoint": text, "description": text, "error": text}),
    );
    let mut of_cluster = details;
    of_cluster["id"] = number.clone();
    of_cluster["description"] = maybe.clone();
    let of_cluster = also(with(&of_cluster), &json!({"endpoint": text, "error": text}));
    let member = json!({
        "type": "object",
        "required": ["id", "uuid", "type", "flavour", "family"],
        "properties": {"id": number, "uuid": text, "type": text, "flavour": maybe, "family": text},
        "description": "In whole if that was asked for",
    });
    let cluster_body = also(
        with(&json!({
            "name": text, "state": text, "kubernetes_version": maybe, "deployment": values,
            "control_plane": member, "node_groups": list(&member), "registration_time": time,
            "historic": list(&event),
        })),
        &json!({"description": text, "error": text}),
    );
    json!({
        "Cluster": document("120", "CLUSTER_BODY", &cluster_body),
        "Group": document("121", "GROUP_BODY", &group_body),
        "GroupOfCluster": of_cluster,
        "Input": also(
            with(&json!({"name": text, "description": text, "type": text, "mandatory": {"type": "boolean"}})),
            &json!({"default": {}, "match": values}),
        ),
        "Family": with(&json!({
            "name": text, "description": text, "family": text, "supported_k8s_versions": list(&text),
            "user_inputs": list(&named("Input")),
            "flavours": list(&with(&json!({
                "name": text, "label": text, "description": text, "override_defaults": {"type": "boolean"},
                "defaults": values,
            }))),
            "dependencies": list(&with(&json!({"type": text, "opts": values}))),
        })),
        "Error": also(
            with(&json!({"err_code": {"type": "integer"}, "message": text})),
            &json!({"context": {"type": "object", "description": "Texts by path, where values are refused"}}),
        ),
    })
}

/// A document as OpenNebula shows it.
fn document(kind: &str, tag: &str, body: &Value) -> Value {
    let text = json!({"type": "string"});
    let id = json!({"type": "string", "pattern": "^[0-9]+$"});
    let mut bits = json!({});
    for who in ["OWNER", "GROUP", "OTHER"] {
        for right in ["U", "M", "A"] {
            bits[format!("{who}_{right}")] = json!({"enum": ["0", "1"]});
        }
    }
    let mut template = json!({});
    template[tag] = body.clone();
    with(&json!({"DOCUMENT": with(&json!({
        "ID": id, "UID": id, "GID": id, "UNAME": text, "GNAME": text, "NAME": text, "TYPE": {"const": kind},
        "PERMISSIONS": with(&bits), "TEMPLATE": with(&template),
    }))}))
}

/// An object that has all of these.
fn with(properties: &Value) -> Value {
    let names: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(|p| p.keys())
        .collect();
    json!({"type": "object", "required": names, "properties": properties})
}

/// An object that may have these as well.
fn also(mut object: Value, more: &Value) -> Value {
    for (name, shape) in more.as_object().into_iter().flatten() {
        object["properties"][name] = shape.clone();
    }
    object
}
