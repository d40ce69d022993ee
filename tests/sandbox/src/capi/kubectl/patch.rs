//! `patch`.

use serde_json::Value;

use super::super::kube::kinds::Kind;
use super::super::kube::{FieldValidation, Key, Object, Store};
use super::apply::{merge, print};
use super::args::Args;
use super::{Failure, Output};

/// `kubectl patch`.
pub fn patch(store: &mut Store, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let targets = Args::targets(store, &args.words)?;
    if targets.is_empty() {
        return Err(Failure::usage(
            "You must specify one or more resources by argument or filename.",
        ));
    }
    let text = match (args.value("patch"), args.value("patch-file")) {
        (Some(text), _) => text.to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|_| {
            Failure::usage(format!(
                "unable to read patch file: open {file}: no such file or directory"
            ))
        })?,
        (None, None) => {
            return Err(Failure::usage(
                "must specify --patch or --patch-file containing the contents of the patch",
            ));
        }
    };
    let changes: Value = serde_saphyr::from_str(&text)
        .map_err(|error| Failure::usage(format!("unable to parse {text:?}: yaml: {error}")))?;
    for target in targets {
        let Some(name) = &target.name else {
            return Err(Failure::usage(
                "resource(s) were provided, but no name was specified",
            ));
        };
        let live = store.find(target.kind, args.namespace(), name)?.clone();
        let mut patched = live.clone();
        match args.value("type").unwrap_or("strategic") {
            "json" => operations(&mut patched.0, &changes).map_err(|()| rejected())?,
            "strategic" if target.kind.cluster_api => return Err(unsupported()),
            "merge" | "strategic" => merge(&mut patched.0, &changes),
            other => {
                return Err(Failure::usage(format!(
                    "--type must be one of [json merge strategic], not {other:?}"
                )));
            }
        }
        let differs = store_patched(store, args, target.kind, &live, patched, out)?;
        print(
            out,
            &live,
            if differs { "patched" } else { "patched (no change)" },
        );
    }
    Ok(())
}

fn store_patched(
    store: &mut Store,
    args: &Args,
    kind: &Kind,
    live: &Object,
    mut patched: Object,
    out: &mut Output,
) -> Result<bool, Failure> {
    let key = Key::of(live);
    match args.value("subresource") {
        Some("status") => {
            let status = patched.at(&["status"]).cloned().unwrap_or_default();
            return Ok(store.modify(&key, |object| object.set(&["status"], status)));
        }
        Some("scale") if kind.scalable => {
            let replicas = patched.number(&["spec", "replicas"]).unwrap_or_default();
            return Ok(store.modify(&key, |object| object.set(&["spec", "replicas"], replicas)));
        }
        Some(_) => return Err(super::ApiError::NoSuchResource.into()),
        None => {}
    }
    // The server ignores a change of what names the object.
    for field in ["name", "namespace"] {
        if let Some(value) = live.at(&["metadata", field]) {
            patched.set(&["metadata", field], value.clone());
        }
    }
    let (changed, warnings) = store.update(patched, FieldValidation::Warn)?;
    for warning in warnings {
        out.complain(format_args!("Warning: {warning}"));
    }
    Ok(changed)
}

/// JSON patch (RFC 6902).
fn operations(target: &mut Value, list: &Value) -> Result<(), ()> {
    for operation in list.as_array().ok_or(())? {
        let path = operation["path"].as_str().ok_or(())?;
        let value = || operation.get("value").cloned().ok_or(());
        match operation["op"].as_str() {
            Some("add") => add(target, path, value()?)?,
            Some("replace") => *target.pointer_mut(path).ok_or(())? = value()?,
            Some("remove") => {
                remove(target, path)?;
            }
            Some("test") if target.pointer(path) == operation.get("value") => {}
            Some("move") => {
                let moved = remove(target, operation["from"].as_str().ok_or(())?)?;
                add(target, path, moved)?;
            }
            Some("copy") => {
                let copied = target
                    .pointer(operation["from"].as_str().ok_or(())?)
                    .cloned()
                    .ok_or(())?;
                add(target, path, copied)?;
            }
            _ => return Err(()),
        }
    }
    Ok(())
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), ()> {
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent).ok_or(())? {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index: usize = key.parse().map_err(|_| ())?;
            if index > items.len() {
                return Err(());
            }
            items.insert(index, value);
        }
        _ => return Err(()),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, ()> {
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent).ok_or(())? {
        Value::Object(map) => map.remove(&key).ok_or(()),
        Value::Array(items) => {
            let index: usize = key.parse().map_err(|_| ())?;
            if index < items.len() {
                Ok(items.remove(index))
            } else {
                Err(())
            }
        }
        _ => Err(()),
    }
}

fn split(path: &str) -> Result<(&str, String), ()> {
    let (parent, key) = path.rsplit_once('/').ok_or(())?;
    Ok((parent, key.replace("~1", "/").replace("~0", "~")))
}

fn rejected() -> Failure {
    Failure("The request is invalid: the server rejected our request due to an error in our request".into())
}

fn unsupported() -> Failure {
    Failure(
        "Error from server (UnsupportedMediaType): the body of the request was in an unknown format - accepted media \
         types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, \
         application/apply-patch+cbor"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::kubectl;
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(1, 1000);
        store.cluster_api = true;
        let mut group = Object::new("cluster.x-k8s.io/v1beta1", "MachineDeployment", "default", "md");
        group.0["spec"] = serde_json::json!({
            "clusterName": "c", "replicas": 3, "selector": {"matchLabels": {}},
            "template": {"spec": {"clusterName": "c", "version": "v1.33.7+rke2r1",
                "bootstrap": {"dataSecretName": "x"}, "infrastructureRef": {"name": "x"}}}
        });
        store.create(group, FieldValidation::Strict).unwrap();
        store
    }

    #[test]
    fn every_way_to_patch() {
        for (line, out, err, replicas) in [
            (
                "patch md md --type merge -p '{\"spec\":{\"replicas\":5}}'",
                "machinedeployment.cluster.x-k8s.io/md patched\n",
                "",
                5,
            ),
            (
                "patch md md --type=merge -p '{\"spec\":{\"replicas\":3}}'",
                "machinedeployment.cluster.x-k8s.io/md patched (no change)\n",
                "",
                3,
            ),
            (
                "patch md md --type json -p '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":4}]'",
                "machinedeployment.cluster.x-k8s.io/md patched\n",
                "",
                4,
            ),
            (
                "patch md md --type json -p '[{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":9}]'",
                "",
                "The request is invalid: the server rejected our request due to an error in our request\n",
                3,
            ),
            (
                "patch md md --type merge -p '{\"spec\":{\"frobs\":5}}'",
                "machinedeployment.cluster.x-k8s.io/md patched (no change)\n",
                "Warning: unknown field \"spec.frobs\"\n",
                3,
            ),
            (
                "patch md none --type merge -p '{}'",
                "",
                "Error from server (NotFound): machinedeployments.cluster.x-k8s.io \"none\" not found\n",
                3,
            ),
            (
                "patch md md --type merge -p '{\"spec\":{\"clusterName\":\"d\"}}'",
                "",
                "The MachineDeployment \"md\" is invalid: spec.clusterName: Forbidden: field is immutable\n",
                3,
            ),
        ] {
            let mut store = store();
            let output = kubectl(&mut store, line);
            assert_eq!(
                (output.stdout.as_str(), output.stderr.as_str()),
                (out, err),
                "{line}"
            );
            let stored = store.get(&Key::new("MachineDeployment", "md")).unwrap();
            assert_eq!(stored.number(&["spec", "replicas"]), Some(replicas), "{line}");
        }
    }

    #[test]
    fn custom_resources_know_no_strategic_patch() {
        let output = kubectl(&mut store(), "patch md md -p '{\"spec\":{\"replicas\":5}}'");
        assert!(
            output
                .stderr
                .starts_with("Error from server (UnsupportedMediaType)"),
            "{}",
            output.stderr
        );
    }
}
