//! `MachineHealthCheck`: machines whose nodes are gone, silent or late are handed to their owner for replacement.

use super::super::kube::quantity::{duration, epoch, go_duration, scaled};
use super::super::kube::selector::Selector;
use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::{CLUSTER_NAME, cluster_of, is_control_plane, is_paused};

/// What is found out about a machine.
enum Verdict {
    Healthy,
    /// Would be unhealthy at a time, or can't be judged yet.
    Waits(Option<u64>),
    Unhealthy(&'static str, String),
}

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("MachineHealthCheck") {
        let Some(check) = ctx.get(&key) else { continue };
        let Some(cluster) = cluster_of(ctx, &check) else {
            continue;
        };
        if check.is_deleting() || is_paused(&cluster, &check) {
            continue;
        }
        ctx.modify(&key, |check| check.add_owner(&cluster, false));
        if conditions::is_true(&cluster, "ControlPlaneInitialized") && !ctx.reaches(&cluster) {
            let now = ctx.now;
            ctx.at(now + 20);
            continue;
        }
        examine(ctx, &key, &check, &cluster);
    }
}

fn examine(ctx: &mut Ctx<'_>, key: &Key, check: &Object, cluster: &Object) {
    let now = ctx.now;
    let selector = Selector::from_object(&check.0["spec"]["selector"]);
    let targets: Vec<Object> = ctx
        .store()
        .list("Machine")
        .filter(|machine| {
            machine.label(CLUSTER_NAME) == Some(cluster.name()) && selector.matches(&machine.labels())
        })
        .filter(|machine| {
            ["cluster.x-k8s.io/paused", "cluster.x-k8s.io/skip-remediation"]
                .iter()
                .all(|key| machine.annotation(key).is_none())
        })
        .cloned()
        .collect();
    let (mut healthy, mut unhealthy) = (0_i64, Vec::new());
    for machine in &targets {
        match judge(ctx, check, cluster, machine) {
            Verdict::Healthy => {
                healthy += 1;
                if !machine.is_deleting() {
                    ctx.modify(&Key::of(machine), |machine| {
                        conditions::set(machine, now, &Condition::yes("HealthCheckSucceeded"));
                    });
                }
            }
            Verdict::Waits(Some(time)) => ctx.at(time),
            Verdict::Waits(None) => {}
            Verdict::Unhealthy(reason, message) => unhealthy.push((machine.clone(), reason, message)),
        }
    }
    let expected = i64::try_from(targets.len()).unwrap_or(i64::MAX);
    let limit = check
        .at(&["spec", "maxUnhealthy"])
        .and_then(|value| scaled(value, expected, false))
        .unwrap_or(expected);
    let allowed = expected - healthy <= limit;
    for (machine, reason, message) in &unhealthy {
        ctx.modify(&Key::of(machine), |machine| {
            let condition = Condition::no("HealthCheckSucceeded", "Warning", reason, message.clone());
            conditions::set(machine, now, &condition);
            let open = conditions::get(machine, "OwnerRemediated").is_none()
                || conditions::is_true(machine, "OwnerRemediated");
            if allowed && !machine.is_deleting() && open {
                let condition = Condition::no("OwnerRemediated", "Warning", "WaitingForRemediation", "");
                conditions::set(machine, now, &condition);
            }
        });
    }
    let mut names: Vec<String> = targets.iter().map(|machine| machine.name().to_owned()).collect();
    names.sort();
    let sick = unhealthy.len();
    ctx.modify(key, |check| {
        check.set(&["status", "expectedMachines"], expected);
        check.set(&["status", "currentHealthy"], healthy);
        check.set(&["status", "targets"], names);
        let generation = check.generation();
        check.set(&["status", "observedGeneration"], generation);
        let remaining = if allowed { (limit - (expected - healthy)).max(0) } else { 0 };
        check.set(&["status", "remediationsAllowed"], remaining);
        let condition = if allowed {
            Condition::yes("RemediationAllowed")
        } else {
            let message = format!(
                "Remediation is not allowed, the number of not started or unhealthy machines exceeds maxUnhealthy \
                 (total: {expected}, unhealthy: {sick}, maxUnhealthy: {limit})"
            );
            Condition::no("RemediationAllowed", "Warning", "TooManyUnhealthy", message)
        };
        conditions::set(check, now, &condition);
    });
}

fn judge(ctx: &Ctx<'_>, check: &Object, cluster: &Object, machine: &Object) -> Verdict {
    let now = ctx.now;
    if machine.annotation("cluster.x-k8s.io/remediate-machine").is_some() {
        let message = "Marked for remediation via remediate-machine annotation";
        return Verdict::Unhealthy("HasRemediateMachineAnnotation", message.into());
    }
    let failure = machine.text(&["status", "failureReason"]);
    if !failure.is_empty() {
        return Verdict::Unhealthy("MachineHasFailure", format!("FailureReason: {failure}"));
    }
    let name = machine.text(&["status", "nodeRef", "name"]);
    let workload = ctx.workload_of(cluster.name());
    let node = workload.and_then(|workload| {
        ctx.world.planes[workload]
            .store
            .get(&Key::within("Node", "", name))
    });
    if !name.is_empty() && node.is_none() {
        return Verdict::Unhealthy("NodeNotFound", String::new());
    }
    if !conditions::is_true(cluster, "ControlPlaneInitialized") && !is_control_plane(machine)
        || !conditions::is_true(cluster, "InfrastructureReady")
    {
        return Verdict::Waits(None);
    }
    let Some(node) = node else {
        let limit = duration(check.text(&["spec", "nodeStartupTimeout"])).unwrap_or(600);
        if limit == 0 {
            return Verdict::Waits(None);
        }
        let since = [
            epoch(machine.text(&["metadata", "creationTimestamp"])),
            since(cluster, "ControlPlaneInitialized"),
            since(cluster, "InfrastructureReady"),
            since(machine, "InfrastructureReady"),
        ];
        let since = since.into_iter().flatten().max().unwrap_or(now);
        if now > since + limit {
            return Verdict::Unhealthy(
                "NodeStartupTimeout",
                format!("Node failed to report startup in {}", go_duration(limit)),
            );
        }
        return Verdict::Waits(Some(since + limit + 1));
    };
    let mut next = None;
    for wanted in check.list(&["spec", "unhealthyConditions"]) {
        let found = node
            .list(&["status", "conditions"])
            .iter()
            .find(|entry| entry["type"] == wanted["type"]);
        let Some(found) = found.filter(|entry| entry["status"] == wanted["status"]) else {
            continue;
        };
        let limit = wanted["timeout"].as_str().and_then(duration).unwrap_or(0);
        let since = found["lastTransitionTime"]
            .as_str()
            .and_then(epoch)
            .unwrap_or(now);
        if now > since + limit {
            let (kind, status) = (
                wanted["type"].as_str().unwrap_or_default(),
                wanted["status"].as_str().unwrap_or_default(),
            );
            return Verdict::Unhealthy(
                "UnhealthyNode",
                format!(
                    "Condition {kind} on node is reporting status {status} for more than {}",
                    go_duration(limit)
                ),
            );
        }
        next = Some(next.map_or(since + limit + 1, |next: u64| next.min(since + limit + 1)));
    }
    next.map_or(Verdict::Healthy, |time| Verdict::Waits(Some(time)))
}

/// Since when a condition is true.
fn since(object: &Object, kind: &str) -> Option<u64> {
    let condition = conditions::get(object, kind).filter(|entry| entry["status"] == "True")?;
    epoch(condition["lastTransitionTime"].as_str()?)
}
