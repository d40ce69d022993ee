//! `config view`, `version`, `api-resources` and raw paths.

use serde_json::{Value, json};

use super::super::kube::kinds::{self, Kind};
use super::super::kube::{ApiError, Store};
use super::args::Args;
use super::output::{Format, indented, yaml};
use super::{Environment, Failure, Output};

/// `kubectl config`.
pub fn config(args: &Args, environment: &Environment<'_>, out: &mut Output) -> Result<(), Failure> {
    let empty =
        "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\ncurrent-context: \"\"\nusers: []\n";
    let text = environment.kubeconfig.unwrap_or(empty);
    let mut value: Value = serde_saphyr::from_str(text).unwrap_or_default();
    match args.words.first().map(String::as_str) {
        Some("view") => {
            if !args.is_set("raw") {
                redact(&mut value);
            }
            match Format::parse(args.value("output").unwrap_or("yaml"))? {
                Format::Json => out.stdout.push_str(&indented(&value)),
                Format::JsonPath(template) => out
                    .stdout
                    .push_str(&template.render(&value).map_err(Failure::usage)?),
                _ => out.stdout.push_str(&yaml(&value)),
            }
            Ok(())
        }
        Some("current-context") => {
            out.stdout
                .push_str(value["current-context"].as_str().unwrap_or_default());
            out.stdout.push('\n');
            Ok(())
        }
        _ => Err(Failure::usage("unknown command for \"kubectl config\"")),
    }
}

/// `kubectl version`.
pub fn version(store: Option<&Store>, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let version = store.map_or("", |store| store.kubernetes_version.as_str());
    let version = if version.is_empty() {
        "v1.33.7+rke2r1"
    } else {
        version
    };
    let (minor, plain) = (
        version.split('.').nth(1).unwrap_or_default(),
        version.split('+').next().unwrap_or_default(),
    );
    let part =
        |git: &str| json!({"major": "1", "minor": minor, "gitVersion": git, "platform": "linux/amd64"});
    match args.value("output") {
        Some("json" | "yaml") => {
            let mut value = json!({"clientVersion": part(plain), "kustomizeVersion": "v5.6.0"});
            if store.is_some() {
                value["serverVersion"] = part(version);
            }
            let text = if args.value("output") == Some("json") {
                indented(&value)
            } else {
                yaml(&value)
            };
            out.stdout.push_str(&text);
        }
        Some(other) => {
            return Err(Failure::usage(format!(
                "--output must be 'yaml' or 'json', not {other:?}"
            )));
        }
        None => {
            out.say(format_args!("Client Version: {plain}\nKustomize Version: v5.6.0"));
            if store.is_some() {
                out.say(format_args!("Server Version: {version}"));
            }
        }
    }
    Ok(())
}

/// `kubectl api-resources`.
pub fn api_resources(store: &Store, args: &Args, out: &mut Output) {
    let names_only = args.value("output") == Some("name");
    for kind in kinds::all().filter(|kind| store.serves(kind)) {
        let line = if names_only {
            kind.resource()
        } else {
            format!(
                "{:<34}{:<12}{:<45}{:<13}{}",
                kind.plural,
                kind.short.join(","),
                kind.api_version(),
                kind.namespaced,
                kind.kind
            )
        };
        out.stdout.push_str(line.trim_end());
        out.stdout.push('\n');
    }
}

/// `kubectl get --raw`.
pub fn raw(store: &Store, path: &str, out: &mut Output) -> Result<(), Failure> {
    match path.split('?').next().unwrap_or_default() {
        "/readyz" | "/livez" | "/healthz" => out.stdout.push_str("ok"),
        "/version" => {
            let version = &store.kubernetes_version;
            out.stdout
                .push_str(&json!({"major": "1", "gitVersion": version}).to_string());
        }
        path => {
            let known = kinds::all()
                .any(|kind: &Kind| store.serves(kind) && path == format!("/apis/{}", kind.api_version()));
            if !known {
                return Err(ApiError::NoSuchResource.into());
            }
            out.stdout.push_str("{\"kind\":\"APIResourceList\"}");
        }
    }
    Ok(())
}

fn redact(value: &mut Value) {
    for cluster in value["clusters"].as_array_mut().into_iter().flatten() {
        if let Some(data) = cluster["cluster"].get_mut("certificate-authority-data") {
            *data = json!("DATA+OMITTED");
        }
    }
    for user in value["users"].as_array_mut().into_iter().flatten() {
        for key in ["client-certificate-data", "client-key-data"] {
            if let Some(data) = user["user"].get_mut(key) {
                *data = json!("DATA+OMITTED");
            }
        }
        if let Some(token) = user["user"].get_mut("token") {
            *token = json!("REDACTED");
        }
    }
}
