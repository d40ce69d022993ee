//! Structural schemas of custom resources: unknown fields, wrong types and broken limits.

use regex::Regex;
use serde_json::Value;

use super::error::Cause;

/// Fields that the schema doesn't know, by path.
pub fn unknown_fields(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, path, &mut |schema, value, path| {
        if let (Some(known), Some(map)) = (schema["properties"].as_object(), value.as_object())
            && !preserves(schema)
        {
            found.extend(
                map.keys()
                    .filter(|key| !known.contains_key(*key))
                    .map(|key| join(path, key)),
            );
        }
    });
    found
}

/// Removes fields that the schema doesn't know and fields that are `null`.
pub fn prune(schema: &Value, value: &mut Value) {
    if preserves(schema) {
        return;
    }
    match value {
        Value::Object(map) => {
            map.retain(|_, item| !item.is_null());
            if let Some(known) = schema["properties"].as_object() {
                map.retain(|key, _| known.contains_key(key));
            }
            for (key, item) in map {
                prune(child(schema, key), item);
            }
        }
        Value::Array(items) => {
            for item in items {
                prune(&schema["items"], item);
            }
        }
        _ => {}
    }
}

/// Everything in which a value breaks its schema.
pub fn violations(schema: &Value, value: &Value, path: &str) -> Vec<Cause> {
    let mut found = Vec::new();
    walk(schema, value, path, &mut |schema, value, path| {
        check(schema, value, path, &mut found);
    });
    found
}

/// The first value of a wrong type: what it is, the path, and what Go has there.
pub fn wrong_type(schema: &Value, value: &Value, path: &str) -> Option<(&'static str, String, String)> {
    let mut found = None;
    walk(schema, value, path, &mut |schema, value, path| {
        if found.is_none() && !has_type(schema, value) {
            let actual = match json_type(value) {
                "boolean" => "bool",
                "integer" => "number",
                other => other,
            };
            found = Some((actual, path.to_owned(), go_type(schema)));
        }
    });
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Cause>) {
    if !has_type(schema, value) {
        let wanted = schema["type"].as_str().unwrap_or("integer,string");
        let actual = json_type(value);
        found.push(Cause::invalid(
            path,
            &format!("{actual:?}"),
            &format!("{path} in body must be of type {wanted}: {actual:?}"),
        ));
        return;
    }
    if let Some(map) = value.as_object() {
        let required = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for key in required.filter(|key| !map.contains_key(*key)) {
            found.push(Cause::required(join(path, key), ""));
        }
    }
    if let Some(text) = value.as_str() {
        check_text(schema, text, path, found);
    }
    if let (Some(number), Some(minimum)) = (value.as_i64(), schema["minimum"].as_i64())
        && number < minimum
    {
        found.push(Cause::invalid(
            path,
            &number.to_string(),
            &format!("{path} in body should be greater than or equal to {minimum}"),
        ));
    }
    if let (Some(items), Some(limit)) = (value.as_array(), schema["maxItems"].as_u64())
        && items.len() as u64 > limit
    {
        found.push(Cause {
            field: path.into(),
            message: format!("Too many: {}: must have at most {limit} items", items.len()),
        });
    }
}

fn check_text(schema: &Value, text: &str, path: &str, found: &mut Vec<Cause>) {
    let length = text.chars().count() as u64;
    if schema["maxLength"].as_u64().is_some_and(|limit| length > limit) {
        found.push(Cause {
            field: path.into(),
            message: format!("Too long: may not be more than {} bytes", schema["maxLength"]),
        });
    }
    if schema["minLength"].as_u64().is_some_and(|limit| length < limit) {
        let detail = format!(
            "{path} in body should be at least {} chars long",
            schema["minLength"]
        );
        found.push(Cause::invalid(path, &format!("{text:?}"), &detail));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.iter().any(|item| item == text)
    {
        let list: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        found.push(Cause {
            field: path.into(),
            message: format!(
                "Unsupported value: {text:?}: supported values: {}",
                list.join(", ")
            ),
        });
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        let detail = format!("{path} in body should match '{pattern}'");
        found.push(Cause::invalid(path, &format!("{text:?}"), &detail));
    }
}

fn walk(schema: &Value, value: &Value, path: &str, visit: &mut dyn FnMut(&Value, &Value, &str)) {
    if !schema.is_object() {
        return;
    }
    visit(schema, value, path);
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                walk(child(schema, key), item, &join(path, key), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &format!("{path}[{index}]"), visit);
            }
        }
        _ => {}
    }
}

fn child<'a>(schema: &'a Value, key: &str) -> &'a Value {
    let named = &schema["properties"][key];
    if named.is_null() {
        &schema["additionalProperties"]
    } else {
        named
    }
}

fn preserves(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if schema["x-kubernetes-int-or-string"] == true {
        return value.is_i64() || value.is_u64() || value.is_string();
    }
    match schema["type"].as_str() {
        Some("integer") => json_type(value) == "integer",
        Some("number") => value.is_number(),
        Some(wanted) => json_type(value) == wanted,
        None => true,
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_type(schema: &Value) -> String {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), Some(format)) => format.into(),
        (Some("integer"), None) => "int".into(),
        (Some("boolean"), _) => "bool".into(),
        (Some("array"), _) => format!("[]{}", go_type(&schema["items"])),
        (Some("object"), _) => "map[string]interface {}".into(),
        _ => "string".into(),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.into()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {"spec": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 3},
                "count": {"type": "integer", "format": "int32", "minimum": 0},
                "either": {"x-kubernetes-int-or-string": true},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "version": {"type": "string", "pattern": "(v\\d\\.\\d{2}\\.\\d+\\+rke2r\\d)|^$"},
                "many": {"type": "array", "maxItems": 1, "items": {"type": "integer"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}}
            }}}
        })
    }

    #[test]
    fn each_broken_rule_is_named() {
        for (spec, wanted) in [
            (json!({"name": "a"}), vec![]),
            (json!({}), vec!["spec.name: Required value"]),
            (
                json!({"name": ""}),
                vec![r#"spec.name: Invalid value: "": spec.name in body should be at least 1 chars long"#],
            ),
            (
                json!({"name": "abcd"}),
                vec!["spec.name: Too long: may not be more than 3 bytes"],
            ),
            (
                json!({"name": "a", "count": "3"}),
                vec![
                    r#"spec.count: Invalid value: "string": spec.count in body must be of type integer: "string""#,
                ],
            ),
            (
                json!({"name": "a", "count": -1}),
                vec![
                    "spec.count: Invalid value: -1: spec.count in body should be greater than or equal to 0",
                ],
            ),
            (json!({"name": "a", "either": "25%"}), vec![]),
            (json!({"name": "a", "either": 1}), vec![]),
            (
                json!({"name": "a", "mode": "c"}),
                vec![r#"spec.mode: Unsupported value: "c": supported values: "a", "b""#],
            ),
            (
                json!({"name": "a", "version": "1.31.4"}),
                vec![
                    r#"spec.version: Invalid value: "1.31.4": spec.version in body should match '(v\d\.\d{2}\.\d+\+rke2r\d)|^$'"#,
                ],
            ),
            (json!({"name": "a", "version": ""}), vec![]),
            (json!({"name": "a", "version": "v1.33.7+rke2r1"}), vec![]),
            (
                json!({"name": "a", "many": [1, "x"]}),
                vec![
                    "spec.many: Too many: 2: must have at most 1 items",
                    r#"spec.many[1]: Invalid value: "string": spec.many[1] in body must be of type integer: "string""#,
                ],
            ),
        ] {
            let found: Vec<String> = violations(&schema(), &json!({"spec": spec}), "")
                .into_iter()
                .map(|cause| format!("{}: {}", cause.field, cause.message))
                .collect();
            assert_eq!(found, wanted, "{spec}");
        }
    }

    #[test]
    fn unknown_fields_are_found_and_pruned_with_nulls() {
        let mut value = json!({"spec": {"name": "a", "nmae": 1, "free": {"any": null}, "labels": {"x": "y"}, "mode": null}});
        assert_eq!(unknown_fields(&schema(), &value, ""), ["spec.nmae"]);
        prune(&schema(), &mut value);
        assert_eq!(
            value,
            json!({"spec": {"name": "a", "free": {"any": null}, "labels": {"x": "y"}}})
        );
    }

    #[test]
    fn a_wrong_type_is_named_as_go_names_it() {
        let value = json!({"spec": {"name": "a", "count": "3"}});
        assert_eq!(
            wrong_type(&schema(), &value, ""),
            Some(("string", "spec.count".into(), "int32".into()))
        );
        assert_eq!(wrong_type(&schema(), &json!({"spec": {"name": "a"}}), ""), None);
    }
}
