//! Small changes: `scale`, `annotate`, `label`, `taint`, `cordon`.

use serde_json::{Value, json};

use super::super::kube::{ApiError, FieldValidation, Key, Object, Store};
use super::apply::print;
use super::args::{Args, Target};
use super::{Failure, Output};

/// What `annotate` and `label` change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `metadata.annotations`.
    Annotations,
    /// `metadata.labels`.
    Labels,
}

/// `kubectl scale`.
pub fn scale(store: &mut Store, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let replicas = args
        .value("replicas")
        .ok_or_else(|| Failure("error: required flag(s) \"replicas\" not set".into()))?;
    let replicas: i64 = replicas.parse().map_err(|_| {
        Failure(format!(
            "error: invalid argument {replicas:?} for \"--replicas\" flag: strconv.ParseInt: parsing {replicas:?}: \
             invalid syntax\nSee 'kubectl scale --help' for usage."
        ))
    })?;
    if replicas < 0 {
        return Err(Failure::usage(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    }
    for target in Args::targets(store, &args.words)? {
        let name = target.name.clone().unwrap_or_default();
        let live = store.find(target.kind, args.namespace(), &name)?.clone();
        if !target.kind.scalable {
            return Err(ApiError::NoSuchResource.into());
        }
        if let Some(expected) = args.value("current-replicas")
            && expected.parse() != Ok(live.number(&["spec", "replicas"]).unwrap_or_default())
        {
            return Err(Failure::usage(format!(
                "Expected replicas to be {expected}, was {}",
                live.number(&["spec", "replicas"]).unwrap_or_default()
            )));
        }
        store.modify(&Key::of(&live), |object| {
            object.set(&["spec", "replicas"], replicas);
        });
        print(out, &live, "scaled");
    }
    Ok(())
}

/// `kubectl annotate` and `kubectl label`.
pub fn mark(store: &mut Store, args: &Args, marks: Marks, out: &mut Output) -> Result<(), Failure> {
    let is_change = |word: &String| word.contains('=') || (word.ends_with('-') && word.len() > 1);
    let first = args
        .words
        .iter()
        .skip(1)
        .position(is_change)
        .map_or(args.words.len(), |index| index + 1);
    let (resources, changes) = args.words.split_at(first);
    if changes.is_empty() {
        return Err(Failure::usage(format!(
            "at least one {} update is required",
            if marks == Marks::Labels {
                "label"
            } else {
                "annotation"
            }
        )));
    }
    let field = if marks == Marks::Labels {
        "labels"
    } else {
        "annotations"
    };
    for target in existing(store, args, resources)? {
        let live = target;
        let mut edited = live.clone();
        for change in changes {
            if let Some((key, value)) = change.split_once('=') {
                let current = edited
                    .at(&["metadata", field, key])
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                if let Some(current) = current
                    && current != value
                    && !args.is_set("overwrite")
                {
                    return Err(Failure::usage(match marks {
                        Marks::Labels => {
                            format!("'{key}' already has a value ({current}), and --overwrite is false")
                        }
                        Marks::Annotations => format!(
                            "--overwrite is false but found the following declared annotation(s): '{key}' already has \
                             a value ({current})"
                        ),
                    }));
                }
                edited.set(&["metadata", field, key], value);
            } else {
                edited.remove(&["metadata", field, change.trim_end_matches('-')]);
            }
        }
        let same = edited == live;
        if !same {
            store.update(edited, FieldValidation::Warn)?;
        }
        print(
            out,
            &live,
            match (marks, same) {
                (Marks::Annotations, _) => "annotated",
                (Marks::Labels, false) => "labeled",
                (Marks::Labels, true) => "not labeled",
            },
        );
    }
    Ok(())
}

/// `kubectl taint nodes`.
pub fn taint(store: &mut Store, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let first = args
        .words
        .iter()
        .position(|word| word.contains([':', '=']) || word.ends_with('-'));
    let (resources, changes) = args.words.split_at(first.unwrap_or(args.words.len()));
    for live in existing(store, args, resources)? {
        let mut taints = live.list(&["spec", "taints"]).to_vec();
        for change in changes {
            let (body, removes) = change
                .strip_suffix('-')
                .map_or((change.as_str(), false), |body| (body, true));
            let (label, effect) = body.split_once(':').unwrap_or((body, ""));
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            taints.retain(|taint| taint["key"] != key || (!effect.is_empty() && taint["effect"] != effect));
            if !removes {
                let mut taint = json!({"key": key, "effect": effect});
                if !value.is_empty() {
                    taint["value"] = json!(value);
                }
                taints.push(taint);
            }
        }
        store.modify(&Key::of(&live), |node| node.set(&["spec", "taints"], taints));
        print(out, &live, "modified");
    }
    Ok(())
}

/// `kubectl cordon` and `kubectl uncordon`.
pub fn cordon(store: &mut Store, args: &Args, on: bool, out: &mut Output) -> Result<(), Failure> {
    for name in &args.words {
        let name = name.trim_start_matches("node/").trim_start_matches("nodes/");
        let key = Key::within("Node", "", name);
        let Some(live) = store.get(&key).cloned() else {
            return Err(ApiError::NotFound {
                resource: "nodes".into(),
                name: name.into(),
            }
            .into());
        };
        store.modify(&key, |node| {
            if on {
                node.set(&["spec", "unschedulable"], true);
            } else {
                node.remove(&["spec", "unschedulable"]);
            }
        });
        print(out, &live, if on { "cordoned" } else { "uncordoned" });
    }
    Ok(())
}

/// The objects that words and a selector name.
pub fn existing(store: &Store, args: &Args, words: &[String]) -> Result<Vec<Object>, Failure> {
    let selector = args.selector()?;
    let mut found = Vec::new();
    for Target { kind, name } in Args::targets(store, words)? {
        match name {
            Some(name) => found.push(store.find(kind, args.namespace(), &name)?.clone()),
            None if selector.is_some() || args.is_set("all") => {
                found.extend(
                    store
                        .list(kind.kind)
                        .filter(|object| !kind.namespaced || object.namespace() == args.namespace())
                        .filter(|object| {
                            selector
                                .as_ref()
                                .is_none_or(|selector| selector.matches(&object.labels()))
                        })
                        .cloned(),
                );
            }
            None => {
                return Err(Failure::usage(
                    "resource(s) were provided, but no name was specified",
                ));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::kubectl;
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(1, 1000);
        store.cluster_api = true;
        store.insert(Object::new("v1", "Node", "", "n1"));
        let mut control_plane = Object::new(
            "controlplane.cluster.x-k8s.io/v1beta1",
            "RKE2ControlPlane",
            "default",
            "c",
        );
        control_plane.set(&["spec", "replicas"], 1);
        store.insert(control_plane);
        let mut set = Object::new("cluster.x-k8s.io/v1beta1", "MachineSet", "default", "ms");
        set.set(&["spec", "replicas"], 1);
        store.insert(set);
        store
    }

    #[test]
    fn what_can_be_scaled() {
        for (line, wanted) in [
            (
                "scale machineset ms --replicas=3",
                "machineset.cluster.x-k8s.io/ms scaled\n",
            ),
            (
                "scale ms/ms --replicas=0",
                "machineset.cluster.x-k8s.io/ms scaled\n",
            ),
            (
                "scale ms/ms --current-replicas=2 --replicas=0",
                "error: Expected replicas to be 2, was 1\n",
            ),
            (
                "scale rke2controlplane c --replicas=3",
                "Error from server (NotFound): the server could not find the requested resource\n",
            ),
            (
                "scale ms none --replicas=3",
                "Error from server (NotFound): machinesets.cluster.x-k8s.io \"none\" not found\n",
            ),
            ("scale ms ms", "error: required flag(s) \"replicas\" not set\n"),
        ] {
            let output = kubectl(&mut store(), line);
            assert_eq!(format!("{}{}", output.stdout, output.stderr), wanted, "{line}");
        }
    }

    #[test]
    fn marks_taints_and_cordons() {
        let mut store = store();
        for (line, wanted) in [
            ("label node n1 a=1", "node/n1 labeled\n"),
            ("label node n1 a=1", "node/n1 not labeled\n"),
            (
                "label node n1 a=2",
                "error: 'a' already has a value (1), and --overwrite is false\n",
            ),
            ("label node n1 a=2 --overwrite", "node/n1 labeled\n"),
            ("label node n1 a-", "node/n1 labeled\n"),
            ("annotate node/n1 x.io/y=", "node/n1 annotated\n"),
            ("annotate node -l a=none x.io/y=1", ""),
            (
                "annotate node n1",
                "error: at least one annotation update is required\n",
            ),
            ("taint nodes n1 k=v:NoSchedule", "node/n1 modified\n"),
            ("cordon n1", "node/n1 cordoned\n"),
        ] {
            let output = kubectl(&mut store, line);
            assert_eq!(format!("{}{}", output.stdout, output.stderr), wanted, "{line}");
        }
        let node = store.get(&Key::within("Node", "", "n1")).unwrap();
        assert_eq!(
            node.0["spec"],
            json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}], "unschedulable": true})
        );
        assert_eq!((node.label("a"), node.annotation("x.io/y")), (None, Some("")));
    }
}
