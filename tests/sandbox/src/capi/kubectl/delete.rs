//! `delete`.

use super::super::kube::kinds::{self, Kind};
use super::super::kube::quantity::duration;
use super::super::kube::{Key, Object, Store};
use super::args::Args;
use super::{Environment, Failure, Output, apply, edit};

/// Seconds that a deletion without a limit is taken to wait for finalizers.
const WAIT: u64 = 120;

/// `kubectl delete`.
pub fn delete(
    store: &mut Store,
    args: &Args,
    environment: &mut Environment<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut doomed: Vec<Object> = Vec::new();
    if !args.values("filename").is_empty() {
        let (documents, unreadable) = apply::documents(store, args, environment)?;
        failures.extend(unreadable.into_iter().map(|failure| failure.0));
        for document in documents {
            find(
                store,
                args,
                document.kind,
                document.object.namespace(),
                document.object.name(),
                &mut doomed,
                &mut failures,
            );
        }
    } else if args.value("selector").is_some() || args.is_set("all") {
        doomed = edit::existing(store, args, &args.words)?;
        if doomed.is_empty() {
            out.stdout.push_str("No resources found\n");
        }
    } else {
        let targets = Args::targets(store, &args.words)?;
        if targets.is_empty() || targets.iter().any(|target| target.name.is_none()) {
            return Err(Failure::usage(
                "resource(s) were provided, but no name was specified",
            ));
        }
        for target in targets {
            let name = target.name.unwrap_or_default();
            find(
                store,
                args,
                target.kind,
                args.namespace(),
                &name,
                &mut doomed,
                &mut failures,
            );
        }
    }
    let waits = args.value("wait").is_none_or(|value| value != "false");
    for object in &doomed {
        let Some(kind) = kinds::named(object.kind()) else {
            continue;
        };
        let key = Key::of(object);
        store.delete(&key);
        let place = if kind.namespaced && says_where(&store.kubernetes_version) {
            format!(" from {} namespace", object.namespace())
        } else {
            String::new()
        };
        out.say(format_args!(
            "{} {:?} deleted{place}",
            kind.singular(),
            object.name()
        ));
        if waits && store.get(&key).is_some() {
            let limit = args
                .value("timeout")
                .and_then(duration)
                .filter(|seconds| *seconds > 0);
            out.seconds += limit.unwrap_or(WAIT);
            if limit.is_some() {
                failures.push(format!(
                    "error: timed out waiting for the condition on {}/{}",
                    kind.plural,
                    object.name()
                ));
            }
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure(failures.join("\n")))
    }
}

fn find(
    store: &Store,
    args: &Args,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    doomed: &mut Vec<Object>,
    failures: &mut Vec<String>,
) {
    match store.find(kind, namespace, name) {
        Ok(object) => doomed.push(object.clone()),
        Err(_) if args.is_set("ignore-not-found") => {}
        Err(error) => failures.push(error.for_kubectl(None)),
    }
}

/// Since 1.34 kubectl says in which namespace the object was.
fn says_where(version: &str) -> bool {
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 34)
}

#[cfg(test)]
mod tests {
    use super::super::testing::kubectl;
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(1, 1000);
        store.insert(Object::new("v1", "ConfigMap", "default", "free"));
        let mut held = Object::new("v1", "ConfigMap", "default", "held");
        held.add_finalizer("f");
        store.insert(held);
        store
    }

    #[test]
    fn deletions() {
        for (line, wanted, seconds, code) in [
            ("delete cm free", "configmap \"free\" deleted\n", 0, 0),
            (
                "delete cm/free cm/held --wait=false",
                "configmap \"free\" deleted\nconfigmap \"held\" deleted\n",
                0,
                0,
            ),
            ("delete cm held", "configmap \"held\" deleted\n", WAIT, 0),
            (
                "delete cm held --timeout=5s",
                "configmap \"held\" deleted\nerror: timed out waiting for the condition on configmaps/held\n",
                5,
                1,
            ),
            (
                "delete cm none",
                "Error from server (NotFound): configmaps \"none\" not found\n",
                0,
                1,
            ),
            ("delete cm none --ignore-not-found", "", 0, 0),
            (
                "delete cm none free --ignore-not-found=true",
                "configmap \"free\" deleted\n",
                0,
                0,
            ),
            (
                "delete cm",
                "error: resource(s) were provided, but no name was specified\n",
                0,
                1,
            ),
            (
                "delete cm --all --wait=false",
                "configmap \"free\" deleted\nconfigmap \"held\" deleted\n",
                0,
                0,
            ),
        ] {
            let output = kubectl(&mut store(), line);
            assert_eq!(format!("{}{}", output.stdout, output.stderr), wanted, "{line}");
            assert_eq!((output.seconds, output.code), (seconds, code), "{line}");
        }
    }

    #[test]
    fn a_newer_kubectl_names_the_namespace() {
        let mut store = store();
        store.kubernetes_version = "v1.34.2+rke2r1".into();
        assert_eq!(
            kubectl(&mut store, "delete cm free").stdout,
            "configmap \"free\" deleted from default namespace\n"
        );
    }
}
