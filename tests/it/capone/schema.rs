//! A small structural validator for objects of Kubernetes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::subject;

/// Schemas by `apiVersion` and `kind`.
pub struct Schemas(BTreeMap<(String, String), Value>);

impl Schemas {
    /// Those of the fixtures.
    pub fn load() -> Self {
        let files = subject::files(&subject::root().join("tests/fixtures/crds"));
        let schemas = files.into_iter().filter(|(name, _)| name != "README.md");
        Self(
            schemas
                .map(|(name, text)| {
                    let file: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
                    let key = |field: &str| file[field].as_str().unwrap().to_owned();
                    ((key("apiVersion"), key("kind")), file["schema"].clone())
                })
                .collect(),
        )
    }

    /// Everything that is wrong with the object.
    pub fn check(&self, object: &Value) -> Vec<String> {
        let key = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (key("apiVersion"), key("kind"));
        let Some(schema) = self.0.get(&(version.clone(), kind.clone())) else {
            return vec![format!("no schema for {version} {kind}")];
        };
        let mut errors = Vec::new();
        check(schema, object, &kind, &mut errors);
        errors
    }
}

fn check(schema: &Value, value: &Value, path: &str, errors: &mut Vec<String>) {
    let mut wrong = |what: String| errors.push(format!("{path}: {what}"));
    let kind = schema["type"].as_str().unwrap_or("any");
    let fits = match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "int-or-string" => value.is_i64() || value.is_u64() || value.is_string(),
        "any" => true,
        other => panic!("{path}: the fixture has the unknown type {other}"),
    };
    if !fits {
        wrong(format!("{value} is no {kind}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong(format!("{value} is not one of {allowed:?}"));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|min| length < min) {
            wrong("too short".to_owned());
        }
        if schema["maxLength"].as_u64().is_some_and(|max| length > max) {
            wrong("too long".to_owned());
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !matches(pattern, text)
        {
            wrong(format!("{text:?} does not match {pattern}"));
        }
    }
    if let Some(number) = value.as_i64() {
        if schema["minimum"].as_i64().is_some_and(|min| number < min) {
            wrong("too small".to_owned());
        }
        if schema["maximum"].as_i64().is_some_and(|max| number > max) {
            wrong("too large".to_owned());
        }
    }
    if let Some(items) = value.as_array() {
        let length = items.len() as u64;
        if schema["minItems"].as_u64().is_some_and(|min| length < min) {
            wrong("too few items".to_owned());
        }
        if schema["maxItems"].as_u64().is_some_and(|max| length > max) {
            wrong("too many items".to_owned());
        }
        for (i, item) in items.iter().enumerate() {
            check(&schema["items"], item, &format!("{path}[{i}]"), errors);
        }
    }
    if let Some(object) = value.as_object() {
        check_object(schema, object, path, errors);
    }
}

fn check_object(
    schema: &Value,
    object: &serde_json::Map<String, Value>,
    path: &str,
    errors: &mut Vec<String>,
) {
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().unwrap();
        if object.get(name).is_none_or(Value::is_null) {
            errors.push(format!("{path}: {name} is missing"));
        }
    }
    let more = &schema["additionalProperties"];
    // An object of which nothing is said may hold anything; metadata is one.
    let open = schema.get("properties").is_none() && more.is_null();
    for (name, value) in object {
        let inner = format!("{path}.{name}");
        match schema["properties"].get(name) {
            Some(property) => check(property, value, &inner, errors),
            None if more.is_object() => check(more, value, &inner, errors),
            None if open || *more == json!(true) => {}
            None => errors.push(format!("{inner}: unknown field")),
        }
    }
}

/// The few patterns that rendered objects meet, without a library for regular expressions.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        r"(v\d\.\d{2}\.\d+\+rke2r\d)|^$" => {
            text.is_empty()
                || text
                    .strip_prefix('v')
                    .and_then(|t| t.split_once("+rke2r"))
                    .is_some_and(|(version, release)| {
                        let lengths: Vec<_> = version
                            .split('.')
                            .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then_some(part.len()))
                            .collect();
                        matches!(lengths[..], [Some(1), Some(2), Some(1..)])
                            && release.starts_with(|c: char| c.is_ascii_digit())
                    })
        }
        other => panic!("the pattern {other} is not known here"),
    }
}

#[test]
fn the_validator_sees_what_is_wrong() {
    let schemas = Schemas::load();
    let secret = |more: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "any": 1}});
        object
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        object
    };
    let plane = |spec: Value| json!({"apiVersion": "controlplane.cluster.x-k8s.io/v1beta1", "kind": "RKE2ControlPlane", "spec": spec});
    for (object, wanted) in [
        (secret(json!({"data": {"a": "b"}})), None),
        (
            secret(json!({"data": {"a": 1}})),
            Some("Secret.data.a: 1 is no string"),
        ),
        (secret(json!({"dada": {}})), Some("Secret.dada: unknown field")),
        (
            json!({"apiVersion": "v2", "kind": "Secret"}),
            Some("no schema for v2 Secret"),
        ),
        (
            plane(json!({"rolloutStrategy": {}, "version": "v1.34.2+rke2r1"})),
            None,
        ),
        (
            plane(json!({})),
            Some("RKE2ControlPlane.spec: rolloutStrategy is missing"),
        ),
        (
            plane(json!({"rolloutStrategy": {}, "version": "v1.34.2"})),
            Some("RKE2ControlPlane.spec.version: \"v1.34.2\" does not match"),
        ),
        (
            plane(json!({"rolloutStrategy": {}, "serverConfig": {"cni": "flannel"}})),
            Some("RKE2ControlPlane.spec.serverConfig.cni: \"flannel\" is not one of"),
        ),
        (
            plane(json!({"rolloutStrategy": {"rollingUpdate": {"maxSurge": true}}})),
            Some("RKE2ControlPlane.spec.rolloutStrategy.rollingUpdate.maxSurge: true is no int-or-string"),
        ),
        (
            plane(json!({"rolloutStrategy": {}, "files": [{"content": "x"}]})),
            Some("RKE2ControlPlane.spec.files[0]: path is missing"),
        ),
    ] {
        let errors = schemas.check(&object);
        match wanted {
            None => assert_eq!(errors, Vec::<String>::new(), "{object}"),
            Some(start) => assert!(
                errors.iter().any(|e| e.starts_with(start)),
                "{object}: {errors:?}"
            ),
        }
    }
}
