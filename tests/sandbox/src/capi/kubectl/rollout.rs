//! `rollout status` of daemon sets. While it waits their controller works, which nothing else does during a script.

use super::super::controllers::daemon_set::{self, Rollout};
use super::super::kube::quantity::duration;
use super::super::kube::{Key, Store};
use super::args::Args;
use super::{Failure, Output};

/// Seconds until a pod is replaced.
const POD: u64 = 6;

/// `kubectl rollout status`.
pub fn rollout(store: &mut Store, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let Some((verb, words)) = args.words.split_first().filter(|(verb, _)| *verb == "status") else {
        return Err(Failure::usage("only \"kubectl rollout status\" is simulated"));
    };
    debug_assert_eq!(verb, "status");
    // Without a limit it waits for ever.
    let limit = args
        .value("timeout")
        .and_then(duration)
        .filter(|seconds| *seconds > 0);
    for target in Args::targets(store, words)? {
        let name = target.name.clone().unwrap_or_default();
        if target.kind.kind != "DaemonSet" {
            return Err(Failure::usage(format!(
                "{} has no simulated rollout",
                target.kind.plural
            )));
        }
        let set = store.find(target.kind, args.namespace(), &name)?.clone();
        let key = Key::of(&set);
        let mut told = None;
        loop {
            let rollout = daemon_set::progress(store, &set);
            if rollout.is_done() {
                out.say(format_args!("daemon set {name:?} successfully rolled out"));
                break;
            }
            if told != Some(rollout) {
                out.say(waiting(&name, rollout));
                told = Some(rollout);
            }
            let stuck = !daemon_set::step(store, &key);
            out.seconds += POD;
            if let Some(limit) = limit.filter(|limit| stuck || out.seconds > *limit) {
                out.seconds = out.seconds.max(limit);
                return Err(Failure::usage("timed out waiting for the condition"));
            }
            if stuck {
                out.seconds = u64::MAX / 8;
                return Err(Failure::usage("timed out waiting for the condition"));
            }
        }
    }
    Ok(())
}

fn waiting(name: &str, rollout: Rollout) -> String {
    let Rollout {
        desired,
        updated,
        available,
    } = rollout;
    let begin = format!("Waiting for daemon set {name:?} rollout to finish:");
    if updated < desired {
        format!("{begin} {updated} out of {desired} new pods have been updated...")
    } else {
        format!("{begin} {available} of {desired} updated pods are available...")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::kube::Object;
    use super::super::super::kube::store::secret;
    use super::super::testing::kubectl;
    use super::*;

    fn store(ready: [bool; 3]) -> Store {
        let mut store = Store::new(1, 1000);
        store.insert(secret(
            "kube-system",
            "cloud-config",
            "Opaque",
            "config.yaml",
            "old",
        ));
        let mut set = Object::new("apps/v1", "DaemonSet", "kube-system", "ccm");
        set.set(&["metadata", "labels", "k8s-app"], "ccm");
        set.set(&["spec", "template", "metadata", "labels", "k8s-app"], "ccm");
        store.insert(set);
        for (name, ready) in ["a", "b", "c"].into_iter().zip(ready) {
            let mut node = Object::new("v1", "Node", "", name);
            node.set(
                &["metadata", "labels", "node-role.kubernetes.io/control-plane"],
                "true",
            );
            let status = if ready { "True" } else { "Unknown" };
            node.set(
                &["status", "conditions"],
                json!([{"type": "Ready", "status": status}]),
            );
            store.insert(node);
        }
        let key = Key::within("DaemonSet", "kube-system", "ccm");
        while daemon_set::step(&mut store, &key) {}
        store
    }

    fn configurations(store: &Store) -> Vec<String> {
        let pods = store.list("Pod");
        pods.filter_map(|pod| pod.annotation(daemon_set::STARTED_WITH).map(str::to_owned))
            .collect()
    }

    fn change(store: &mut Store) -> Output {
        store.insert(secret(
            "kube-system",
            "cloud-config",
            "Opaque",
            "config.yaml",
            "new",
        ));
        let patch = r#"{"spec":{"template":{"metadata":{"annotations":{"n":"2"}}}}}"#;
        kubectl(
            store,
            &format!("patch daemonset.apps/ccm -n kube-system --type=merge -p '{patch}'"),
        );
        kubectl(
            store,
            "rollout status daemonset.apps/ccm -n kube-system --timeout=180s",
        )
    }

    #[test]
    fn one_pod_after_another_reads_the_new_configuration() {
        let mut store = store([true; 3]);
        assert_eq!(configurations(&store), ["old"; 3]);
        let names = kubectl(
            &mut store,
            "get daemonsets.apps -n kube-system -l k8s-app=ccm -o name",
        );
        assert_eq!(names.stdout, "daemonset.apps/ccm\n");
        let output = change(&mut store);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        assert_eq!(
            output.stdout.lines().collect::<Vec<_>>(),
            [
                "Waiting for daemon set \"ccm\" rollout to finish: 0 out of 3 new pods have been updated...",
                "Waiting for daemon set \"ccm\" rollout to finish: 0 out of 3 new pods have been updated...",
                "Waiting for daemon set \"ccm\" rollout to finish: 1 out of 3 new pods have been updated...",
                "Waiting for daemon set \"ccm\" rollout to finish: 1 out of 3 new pods have been updated...",
                "Waiting for daemon set \"ccm\" rollout to finish: 2 out of 3 new pods have been updated...",
                "Waiting for daemon set \"ccm\" rollout to finish: 2 out of 3 new pods have been updated...",
                "daemon set \"ccm\" successfully rolled out",
            ]
        );
        assert_eq!(configurations(&store), ["new"; 3]);
        let again = change(&mut store);
        assert_eq!((again.code, again.seconds), (0, 0));
    }

    #[test]
    fn a_node_that_is_down_keeps_it_from_ending() {
        let mut store = store([true, false, true]);
        let output = change(&mut store);
        assert_eq!(output.code, 1);
        assert!(output.seconds >= 180, "{}", output.seconds);
        assert_eq!(output.stderr, "error: timed out waiting for the condition\n");
        assert_eq!(
            configurations(&store)
                .iter()
                .filter(|text| *text == "old")
                .count(),
            2
        );
    }
}
