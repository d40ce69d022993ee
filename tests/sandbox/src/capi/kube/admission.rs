//! What the API server does with an object on its way in: decoding, schema, defaults and webhooks.

use serde_json::{Value, json};

use super::error::{ApiError, Cause};
use super::kinds::{self, Kind};
use super::object::Object;
use super::rules;
use super::schema;
use super::store::{FieldValidation, Store};
use super::{defaults, names};

/// The object as it would be stored, and warnings.
///
/// # Errors
/// The first stage that refuses it.
pub fn admit(
    store: &Store,
    mut object: Object,
    old: Option<&Object>,
    mode: FieldValidation,
) -> Result<(Object, Vec<String>), ApiError> {
    let kind = kinds::by_kind(object.api_version(), object.kind())
        .filter(|kind| store.serves(kind))
        .ok_or(ApiError::NoSuchResource)?;
    if kind.namespaced {
        if object.namespace().is_empty() {
            object.set(&["metadata", "namespace"], "default");
        }
    } else {
        object.remove(&["metadata", "namespace"]);
    }
    decode(kind, &object)?;
    let warnings = check_fields(kind, &object, old.is_some(), mode)?;
    if let Some(schema) = effective_schema(kind) {
        prune(&schema, &mut object);
        if let Some((mutating, _)) = kind.webhooks {
            decode_in_webhook(kind, mutating, &schema, &object)?;
        }
        defaults::default(kind, &mut object, old);
        let mut causes = name_causes(kind, &object);
        causes.extend(
            body(&object).flat_map(|(key, value)| schema::violations(&schema["properties"][key], value, key)),
        );
        causes.extend(missing(&schema, &object));
        if causes.is_empty() {
            causes = rules::violations(kind, &object, old);
        }
        refuse(kind, &object, causes)?;
    } else {
        defaults::default(kind, &mut object, old);
        let mut causes = name_causes(kind, &object);
        causes.extend(rules::violations(kind, &object, old));
        refuse(kind, &object, causes)?;
    }
    Ok((object, warnings))
}

/// The schema below the root; a bootstrap configuration has that of its template.
fn effective_schema(kind: &'static Kind) -> Option<Value> {
    if kind.kind == "RKE2Config" {
        let template = kinds::named("RKE2ConfigTemplate")?.schema()?;
        let spec = &template["properties"]["spec"]["properties"]["template"]["properties"]["spec"];
        return Some(json!({ "type": "object", "properties": { "spec": spec } }));
    }
    kind.schema().cloned()
}

fn refuse(kind: &Kind, object: &Object, causes: Vec<Cause>) -> Result<(), ApiError> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::Invalid {
        kind: kind.kind.into(),
        name: object.name().into(),
        causes,
    })
}

/// Fields of the object besides those that all objects have.
fn body(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    let map = object.0.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.as_str(), value))
        .filter(|(key, _)| !matches!(*key, "apiVersion" | "kind" | "metadata" | "status"))
}

fn missing(schema: &Value, object: &Object) -> Vec<Cause> {
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    required
        .filter(|key| object.at(&[key]).is_none())
        .map(|key| Cause::required(key, ""))
        .collect()
}

fn prune(schema: &Value, object: &mut Object) {
    let Some(map) = object.0.as_object_mut() else {
        return;
    };
    map.retain(|key, value| {
        !value.is_null()
            && (matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
                || schema["properties"].get(key).is_some())
    });
    for (key, value) in map {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            schema::prune(&schema["properties"][key], value);
        }
    }
}

/// What the server's own decoder refuses before any schema is looked at.
fn decode(kind: &Kind, object: &Object) -> Result<(), ApiError> {
    let bad = |detail: String| {
        Err(ApiError::BadRequest(format!(
            "{} in version {:?} cannot be handled as a {}: {detail}",
            kind.kind, kind.version, kind.kind
        )))
    };
    for field in ["labels", "annotations"] {
        for value in object.map(&["metadata", field]).values() {
            if let Some(actual) = not_text(value) {
                return bad(format!(
                    "json: cannot unmarshal {actual} into Go struct field ObjectMeta.metadata.{field} of type string"
                ));
            }
        }
    }
    if kind.kind == "Secret" || kind.kind == "ConfigMap" {
        for field in ["data", "stringData"] {
            for value in object.map(&[field]).values() {
                if let Some(actual) = not_text(value) {
                    return bad(format!(
                        "json: cannot unmarshal {actual} into Go struct field {}.{field} of type string",
                        kind.kind
                    ));
                }
            }
        }
    }
    if kind.kind == "Secret" {
        use base64::Engine as _;
        for value in object.map(&["data"]).values() {
            let text = value.as_str().unwrap_or_default();
            if base64::engine::general_purpose::STANDARD.decode(text).is_err() {
                return bad("illegal base64 data at input byte 0".into());
            }
        }
    }
    Ok(())
}

fn not_text(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(_) | Value::Null => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(_) => Some("number"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    }
}

fn check_fields(
    kind: &'static Kind,
    object: &Object,
    is_update: bool,
    mode: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let mut unknown = Vec::new();
    if let Some(schema) = effective_schema(kind) {
        for (key, value) in body(object) {
            match schema["properties"].get(key) {
                Some(schema) => unknown.extend(schema::unknown_fields(schema, value, key)),
                None => unknown.push(key.to_owned()),
            }
        }
    } else if let Some(known) = native_fields(kind.kind) {
        unknown.extend(
            body(object)
                .map(|(key, _)| key.to_owned())
                .filter(|key| !known.contains(&key.as_str())),
        );
    }
    let metadata = object.map(&["metadata"]);
    unknown.extend(
        metadata
            .keys()
            .filter(|key| !METADATA.contains(&key.as_str()))
            .map(|key| format!("metadata.{key}")),
    );
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = unknown
        .iter()
        .map(|field| format!("unknown field {field:?}"))
        .collect();
    if mode == FieldValidation::Warn {
        return Ok(list);
    }
    let detail = format!("strict decoding error: {}", list.join(", "));
    if is_update {
        return Err(ApiError::invalid(
            "",
            "",
            Cause::invalid("patch", "\"map[...]\"", &detail),
        ));
    }
    Err(ApiError::BadRequest(format!(
        "{} in version {:?} cannot be handled as a {}: {detail}",
        kind.kind, kind.version, kind.kind
    )))
}

/// A mutating webhook decodes the object before the schema is checked: a wrong type fails there.
fn decode_in_webhook(kind: &Kind, webhook: &str, schema: &Value, object: &Object) -> Result<(), ApiError> {
    for (key, value) in body(object) {
        if let Some((actual, path, wanted)) = schema::wrong_type(&schema["properties"][key], value, key) {
            return Err(ApiError::BadRequest(format!(
                "admission webhook {webhook:?} denied the request: json: cannot unmarshal {actual} into Go struct \
                 field {}Spec.{path} of type {wanted}",
                kind.kind
            )));
        }
    }
    Ok(())
}

fn name_causes(kind: &Kind, object: &Object) -> Vec<Cause> {
    let name = object.name();
    let mut causes = Vec::new();
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if kind.kind == "Namespace" && !names::is_dns_label(name) {
        causes.push(Cause::invalid(
            "metadata.name",
            &format!("{name:?}"),
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
             end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ));
    } else if !names::is_dns_subdomain(name) {
        causes.push(Cause::invalid(
            "metadata.name",
            &format!("{name:?}"),
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ));
    }
    for (key, value) in object.labels() {
        let value = value.as_str().unwrap_or_default();
        if let Some(detail) = names::label_value_problem(value) {
            causes.push(Cause::invalid("metadata.labels", &format!("{value:?}"), detail));
        }
        if !names::is_qualified_name(&key) {
            causes.push(Cause::invalid(
                "metadata.labels",
                &format!("{key:?}"),
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                 '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ));
        }
    }
    causes
}

fn native_fields(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Secret" => &["data", "immutable", "stringData", "type"],
        "ConfigMap" => &["binaryData", "data", "immutable"],
        "Namespace" | "Node" | "Service" | "Pod" | "DaemonSet" | "Deployment" | "StatefulSet" => &["spec"],
        "ClusterRoleBinding" | "RoleBinding" => &["roleRef", "subjects"],
        _ => return None,
    })
}

const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
