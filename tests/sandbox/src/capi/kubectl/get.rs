//! `get`.

use serde_json::json;

use super::super::kube::selector::Selector;
use super::super::kube::{Object, Store};
use super::args::Args;
use super::output::{self, Format};
use super::{Failure, Output, info};

/// `kubectl get`.
pub fn get(store: &Store, args: &Args, out: &mut Output) -> Result<(), Failure> {
    if let Some(path) = args.value("raw") {
        return info::raw(store, path, out);
    }
    let format = Format::parse(args.value("output").unwrap_or_default())?;
    let targets = Args::targets(store, &args.words)?;
    if targets.is_empty() {
        return Err(Failure::usage("Required resource not specified."));
    }
    let selector = args.selector()?;
    let everywhere = args.is_set("all-namespaces");
    let mut objects: Vec<&Object> = Vec::new();
    let mut failures = Vec::new();
    let single = targets.len() == 1 && targets[0].name.is_some();
    for target in &targets {
        if let Some(name) = &target.name {
            if everywhere {
                return Err(Failure::usage(
                    "a resource cannot be retrieved by name across all namespaces",
                ));
            }
            match store.find(target.kind, args.namespace(), name) {
                Ok(object) => objects.push(object),
                Err(_) if args.is_set("ignore-not-found") => {}
                Err(error) => failures.push(error.for_kubectl(None)),
            }
        } else {
            let all = Selector::default();
            let selector = selector.as_ref().unwrap_or(&all);
            objects.extend(store.list(target.kind.kind).filter(|object| {
                (everywhere || !target.kind.namespaced || object.namespace() == args.namespace())
                    && selector.matches(&object.labels())
                    && matches_fields(object, args.value("field-selector"))
            }));
        }
    }
    if let Some(path) = args.value("sort-by") {
        output::sort(&mut objects, path)?;
    }
    if objects.is_empty() && single {
        // Nothing is printed for one object that is not there.
    } else if objects.is_empty() && format.is_for_people() {
        if failures.is_empty() && !args.is_set("ignore-not-found") {
            let place = if everywhere || !targets[0].kind.namespaced {
                String::new()
            } else {
                format!(" in {} namespace", args.namespace())
            };
            out.complain(format_args!(
                "No resources found{place}{}",
                if place.is_empty() { "" } else { "." }
            ));
        }
    } else if single {
        output::print_one(&format, objects[0], args, store.now, out)?;
    } else {
        let list = json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": objects.iter().map(|object| object.0.clone()).collect::<Vec<_>>(),
            "metadata": {"resourceVersion": ""},
        });
        output::print_list(&format, &Object(list), &objects, args, store.now, out)?;
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure(failures.join("\n")))
    }
}

fn matches_fields(object: &Object, selector: Option<&str>) -> bool {
    selector
        .unwrap_or_default()
        .split(',')
        .filter(|part| !part.is_empty())
        .all(|part| {
            let (path, wanted, equal) = match part.split_once("!=") {
                Some((path, wanted)) => (path, wanted, false),
                None => part
                    .split_once('=')
                    .map_or((part, "", true), |(path, wanted)| (path, wanted, true)),
            };
            let keys: Vec<&str> = path.split('.').collect();
            (object.text(&keys) == wanted.trim_start_matches('=')) == equal
        })
}

#[cfg(test)]
mod tests {
    use super::super::testing::kubectl;
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(1, 1000);
        store.cluster_api = true;
        for (name, set) in [("m-1", "a"), ("m-2", "b")] {
            let mut machine = Object::new("cluster.x-k8s.io/v1beta1", "Machine", "default", name);
            machine.set(&["metadata", "labels", "set"], set);
            machine.set(&["spec", "providerID"], format!("one://{name}"));
            machine.set(&["status", "phase"], "Running");
            store.insert(machine);
        }
        store
    }

    #[test]
    fn names_lists_and_columns() {
        let mut store = store();
        for (line, wanted) in [
            (
                "get machines -o name",
                "machine.cluster.x-k8s.io/m-1\nmachine.cluster.x-k8s.io/m-2\n",
            ),
            ("get machines -l set=b -o name", "machine.cluster.x-k8s.io/m-2\n"),
            ("get machine m-1 -o name", "machine.cluster.x-k8s.io/m-1\n"),
            ("get machine m-1 -o jsonpath='{.spec.providerID}'", "one://m-1"),
            ("get machines -o jsonpath='{.items[*].metadata.name}'", "m-1 m-2"),
            (
                "get machines -o jsonpath='{range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}'",
                "m-1\tRunning\nm-2\tRunning\n",
            ),
            (
                "get machines -o custom-columns=N:.metadata.name,P:.status.phase,X:.status.none --no-headers",
                "m-1   Running   <none>\nm-2   Running   <none>\n",
            ),
            ("get machine none --ignore-not-found -o json", ""),
            ("get nodes -o name", ""),
        ] {
            let output = kubectl(&mut store, line);
            assert_eq!(
                (output.stdout.as_str(), output.code),
                (wanted, 0),
                "{line}: {}",
                output.stderr
            );
        }
    }

    #[test]
    fn json_is_a_list_or_the_object() {
        let mut store = store();
        let list: serde_json::Value =
            serde_json::from_str(&kubectl(&mut store, "get machines -o json").stdout).unwrap();
        assert_eq!(
            (&list["kind"], list["items"].as_array().unwrap().len()),
            (&json!("List"), 2)
        );
        let one: serde_json::Value =
            serde_json::from_str(&kubectl(&mut store, "get ma m-2 -o json").stdout).unwrap();
        assert_eq!(one["metadata"]["name"], "m-2");
        let none: serde_json::Value =
            serde_json::from_str(&kubectl(&mut store, "get nodes -o json").stdout).unwrap();
        assert_eq!(none["items"], json!([]));
    }

    #[test]
    fn what_is_not_there() {
        let mut store = store();
        for (line, wanted, code) in [
            (
                "get machine none",
                "Error from server (NotFound): machines.cluster.x-k8s.io \"none\" not found\n",
                1,
            ),
            ("get nodes", "No resources found\n", 0),
            ("get md", "No resources found in default namespace.\n", 0),
            ("get md -A", "No resources found\n", 0),
        ] {
            let output = kubectl(&mut store, line);
            assert_eq!((output.stderr.as_str(), output.code), (wanted, code), "{line}");
        }
    }
}
