//! The `OpenAPI` document, made from the routes.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::reply::Reply;
use crate::routes::{Form, Parameter, ROUTES, Route, Run, places};
use crate::{schema, shapes};

/// The document as an answer.
pub fn reply() -> Reply {
    Reply::json(StatusCode::OK, &document())
}

/// The document as it stands in the repository.
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// The document.
fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "OneKS",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Kubernetes clusters on OpenNebula. Each request is carried out with the rights of the user \
                            whose name and password or login token it brings.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": shapes::components(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = places(route.path)
        .map(|name| {
            let shape = match name {
                "id" | "group" => json!({"type": "string", "pattern": "^(0|[1-9][0-9]{0,9})$"}),
                _ => json!({"type": "string", "minLength": 1}),
            };
            json!({"name": name, "in": "path", "required": true, "schema": shape})
        })
        .collect();
    parameters.extend(route.query.iter().map(parameter));
    let mut responses = Map::new();
    let (status, form) = route.answer;
    responses.insert(status.to_string(), answer(form));
    let tagged = route.method == "GET" && status == 200 && matches!(form, Form::Json(_));
    if tagged && !matches!(route.run, Run::Open(_)) {
        responses.insert(
            "304".to_owned(),
            json!({"description": "The client has it already (If-None-Match)"}),
        );
    }
    for refusal in refusals(route) {
        let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
        responses.insert(
            refusal.to_string(),
            json!({"description": meaning(refusal), "content": {"application/json": error}}),
        );
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
        "security": if matches!(route.run, Run::Open(_)) { json!([]) } else { json!([{"basic": []}]) },
    });
    if let Some(fields) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schema::schema(fields)}},
        });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let (name, about, shape) = match parameter {
        Parameter::Number(name, most, about) => (
            name,
            about,
            json!({"type": "integer", "minimum": 1, "maximum": most}),
        ),
        Parameter::Flag(name, about) | Parameter::Text(name, about) => {
            (name, about, json!({"type": "string"}))
        }
    };
    let mut described = json!({"name": name, "in": "query", "description": about, "schema": shape});
    if matches!(parameter, Parameter::Flag(..)) {
        described["allowEmptyValue"] = json!(true);
    }
    described
}

fn answer(form: Form) -> Value {
    match form {
        Form::Empty => json!({"description": "Done, or on its way"}),
        // Each event has a form; all of them together have none.
        Form::Text(kind @ "text/event-stream") => json!({"description": "Events", "content": {kind: {}}}),
        Form::Text(kind) => json!({"description": "Text", "content": {kind: {"schema": {"type": "string"}}}}),
        Form::Json(shape) => {
            json!({"description": "Done", "content": {"application/json": {"schema": shape()}}})
        }
    }
}

/// The statuses of refusals, the special ones and those that everything can meet with.
fn refusals(route: &Route) -> Vec<u16> {
    let mut all = route.refusals.to_vec();
    // Query strings and headers can be broken anywhere.
    all.extend([503]);
    if !matches!(route.run, Run::Open(_)) {
        all.extend([401, 403, 502, 504]);
    }
    if route.body.is_some() {
        all.extend([408, 413]);
    }
    if !route.query.is_empty() {
        all.push(400);
    }
    if route.method != "GET" {
        all.push(412);
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "Values are refused; context says which and why",
        401 => "There are no credentials, or OpenNebula does not know them",
        403 => "The user may not do this",
        404 => "There is no such thing that the user may see",
        408 => "The request took too long to come",
        409 => "It can't be done now",
        412 => "Conditional changes are not possible: OpenNebula has none",
        413 => "The request is too large",
        502 => "OpenNebula can't be reached or gave no usable answer",
        503 => "Too much is under way",
        504 => "OpenNebula did not answer in time",
        _ => "Refused",
    }
}
