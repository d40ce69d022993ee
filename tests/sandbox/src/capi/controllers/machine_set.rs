//! The `MachineSet` controller: as many machines as wanted, all alike.

use serde_json::{Map, Value, json};

use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::control_plane::preflight;
use super::{CLONED_FROM, DELETE_MACHINE, DEPLOYMENT_NAME, SET_NAME, cluster_of, is_paused, machine};

const FINALIZER: &str = "machineset.cluster.x-k8s.io";
/// Annotation with the revision of a machine set.
pub(crate) const REVISION: &str = "machinedeployment.clusters.x-k8s.io/revision";
const SKIP_PREFLIGHT: &str = "machineset.cluster.x-k8s.io/skip-preflight-checks";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("MachineSet") {
        let Some(set) = ctx.get(&key) else { continue };
        let Some(cluster) = cluster_of(ctx, &set) else {
            continue;
        };
        if is_paused(&cluster, &set) {
            continue;
        }
        if set.is_deleting() {
            let machines = machines_of_set(ctx, &set);
            if machines.is_empty() {
                ctx.modify(&key, |set| set.remove_finalizer(FINALIZER));
            }
            for machine in machines.iter().filter(|machine| !machine.is_deleting()) {
                ctx.store_mut().delete(&Key::of(machine));
            }
            continue;
        }
        ctx.modify(&key, |set| set.add_finalizer(FINALIZER));
        remediate(ctx, &set);
        sync_replicas(ctx, &key, &set);
        update_status(ctx, &key, &cluster);
    }
}

/// Machines of a set, by name.
pub(crate) fn machines_of_set(ctx: &Ctx<'_>, set: &Object) -> Vec<Object> {
    ctx.store()
        .list("Machine")
        .filter(|machine| machine.is_owned_by(set.uid()))
        .cloned()
        .collect()
}

/// Deletes machines that their health check has given up.
fn remediate(ctx: &mut Ctx<'_>, set: &Object) {
    let now = ctx.now;
    let mut sick = Vec::new();
    for machine in machines_of_set(ctx, set)
        .into_iter()
        .filter(|machine| !machine.is_deleting())
    {
        if conditions::is_true(&machine, "HealthCheckSucceeded")
            && conditions::is_false(&machine, "OwnerRemediated")
        {
            ctx.modify(&Key::of(&machine), |machine| {
                conditions::remove(machine, "OwnerRemediated");
            });
        } else if conditions::is_false(&machine, "HealthCheckSucceeded")
            && conditions::is_false(&machine, "OwnerRemediated")
        {
            sick.push(machine);
        }
    }
    if sick.is_empty() {
        return;
    }
    let deployment = ctx.get(&Key::new(
        "MachineDeployment",
        set.label(DEPLOYMENT_NAME).unwrap_or_default(),
    ));
    if deployment.is_some_and(|deployment| deployment.annotation(REVISION) != set.annotation(REVISION)) {
        return;
    }
    let problems = checks(ctx, set);
    for machine in sick {
        let condition = if problems.is_empty() {
            Condition::yes("OwnerRemediated")
        } else {
            Condition::no(
                "OwnerRemediated",
                "Warning",
                "WaitingForRemediation",
                problems.join("; "),
            )
        };
        ctx.modify(&Key::of(&machine), |machine| {
            conditions::set(machine, now, &condition);
        });
        if problems.is_empty() {
            ctx.log(
                "machineset",
                machine.name(),
                "deleting machine (remediating unhealthy machine)",
            );
            ctx.store_mut().delete(&Key::of(&machine));
        } else {
            ctx.at(now + 15);
        }
    }
}

fn checks(ctx: &Ctx<'_>, set: &Object) -> Vec<String> {
    let skipped: Vec<&str> = set
        .annotation(SKIP_PREFLIGHT)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .collect();
    let mut problems = preflight(ctx, set, set.text(&["spec", "template", "spec", "version"]));
    problems.retain(|problem| {
        !skipped.contains(&"All")
            && !skipped
                .iter()
                .any(|check| !check.is_empty() && problem.contains(&format!("{check:?}")))
    });
    problems
}

fn sync_replicas(ctx: &mut Ctx<'_>, key: &Key, set: &Object) {
    let now = ctx.now;
    let machines = machines_of_set(ctx, set);
    let wanted = usize::try_from(set.number(&["spec", "replicas"]).unwrap_or_default()).unwrap_or(0);
    if machines.len() < wanted {
        if set
            .annotation("cluster.x-k8s.io/disable-machine-create")
            .is_some()
        {
            return;
        }
        let problems = checks(ctx, set);
        if !problems.is_empty() {
            let message = problems.join("; ");
            ctx.log("machineset", &key.name, format!("scale up on hold: {message}"));
            ctx.modify(key, |set| {
                conditions::set(
                    set,
                    now,
                    &Condition::no("MachinesCreated", "Error", "PreflightCheckFailed", message),
                );
            });
            ctx.at(now + 15);
            return;
        }
        for _ in machines.len()..wanted {
            if let Err((reason, message)) = add_machine(ctx, set) {
                ctx.log("machineset", &key.name, message.clone());
                ctx.modify(key, |set| {
                    conditions::set(
                        set,
                        now,
                        &Condition::no("MachinesCreated", "Error", reason, message),
                    );
                });
                ctx.at(now + 15);
                return;
            }
        }
    } else if machines.len() > wanted {
        let policy = set.text(&["spec", "deletePolicy"]);
        for machine in victims(&machines, machines.len() - wanted, policy) {
            if !machine.is_deleting() {
                ctx.log("machineset", machine.name(), "deleting machine (scale down)");
                ctx.store_mut().delete(&Key::of(machine));
            }
        }
    }
}

/// The machines that go first: those on their way out, the annotated, the unhealthy, then by the policy.
fn victims<'a>(machines: &'a [Object], count: usize, policy: &str) -> Vec<&'a Object> {
    let rank = |machine: &Object| match () {
        () if machine.is_deleting() => 0,
        () if machine.annotation(DELETE_MACHINE).is_some() => 1,
        () if !is_healthy(machine) => 2,
        () => 3,
    };
    let created = |machine: &Object| machine.text(&["metadata", "creationTimestamp"]).to_owned();
    let mut sorted: Vec<&Object> = machines.iter().collect();
    sorted.sort_by(|left, right| {
        let by_age = match policy {
            "Oldest" => created(left).cmp(&created(right)),
            "Newest" => created(right).cmp(&created(left)),
            _ => std::cmp::Ordering::Equal,
        };
        rank(left)
            .cmp(&rank(right))
            .then(by_age)
            .then_with(|| left.name().cmp(right.name()))
    });
    sorted.truncate(count);
    sorted
}

fn is_healthy(machine: &Object) -> bool {
    machine.at(&["status", "nodeRef"]).is_some()
        && machine.at(&["status", "failureReason"]).is_none()
        && !conditions::is_false(machine, "NodeHealthy")
        && !conditions::is_false(machine, "HealthCheckSucceeded")
}

fn add_machine(ctx: &mut Ctx<'_>, set: &Object) -> Result<(), (&'static str, String)> {
    let spec = |path: &[&str]| {
        let mut full = vec!["spec", "template", "spec"];
        full.extend(path);
        set.text(&full).to_owned()
    };
    let config_name = spec(&["bootstrap", "configRef", "name"]);
    let config = ctx.get(&Key::new("RKE2ConfigTemplate", &config_name)).ok_or_else(|| {
        let text = format!("failed to clone bootstrap configuration from RKE2ConfigTemplate default/{config_name}: not found");
        ("BootstrapTemplateCloningFailed", text)
    })?;
    let template_name = spec(&["infrastructureRef", "name"]);
    let template = ctx.get(&Key::new("ONEMachineTemplate", &template_name)).ok_or_else(|| {
        let text =
            format!("failed to clone infrastructure machine from ONEMachineTemplate default/{template_name}: not found");
        ("InfrastructureTemplateCloningFailed", text)
    })?;
    let name = ctx.store_mut().generate_name(&format!("{}-", set.name()));
    let mut labels: Map<String, Value> = set.map(&["spec", "template", "metadata", "labels"]);
    labels.insert(SET_NAME.into(), json!(set.name()));
    if let Some(deployment) = set.label(DEPLOYMENT_NAME) {
        labels.insert(DEPLOYMENT_NAME.into(), json!(deployment));
    }
    let annotations = set.map(&["spec", "template", "metadata", "annotations"]);
    let clone = |template: &Object, kind: &str| {
        let mut object = Object::new(template.api_version(), kind, "default", &name);
        object.set(
            &["spec"],
            template
                .at(&["spec", "template", "spec"])
                .cloned()
                .unwrap_or_else(|| json!({})),
        );
        object.set(&["metadata", "labels"], labels.clone());
        object.set(&["metadata", "annotations"], annotations.clone());
        object.set(&["metadata", "annotations", CLONED_FROM], template.name());
        object.add_owner(set, false);
        object
    };
    let config = ctx.store_mut().insert(clone(&config, "RKE2Config"));
    let infrastructure = ctx.store_mut().insert(clone(&template, "ONEMachine"));

    let mut object = Object::new("cluster.x-k8s.io/v1beta1", "Machine", "default", &name);
    object.set(
        &["spec"],
        set.at(&["spec", "template", "spec"]).cloned().unwrap_or_default(),
    );
    object.set(
        &["spec", "bootstrap"],
        json!({ "configRef": config.as_reference() }),
    );
    object.set(&["spec", "infrastructureRef"], infrastructure.as_reference());
    object.set(&["metadata", "labels"], labels);
    object.set(&["metadata", "annotations"], annotations);
    object.add_finalizer(machine::FINALIZER);
    object.add_owner(set, true);
    ctx.store_mut().insert(object);
    ctx.log("machineset", set.name(), format!("created machine {name}"));
    Ok(())
}

fn update_status(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object) {
    let now = ctx.now;
    let Some(set) = ctx.get(key) else { return };
    let machines = machines_of_set(ctx, &set);
    let wanted = set.number(&["spec", "replicas"]).unwrap_or_default();
    let reached = ctx.reaches(cluster);
    let ready = if reached {
        machines
            .iter()
            .filter(|machine| node_is_ready(ctx, cluster, machine))
            .count()
    } else {
        usize::try_from(set.number(&["status", "readyReplicas"]).unwrap_or_default()).unwrap_or(0)
    };
    let count = machines.len();
    let aggregate = conditions::aggregate("MachinesReady", machines.iter());
    ctx.modify(key, |set| {
        set.set(&["status", "replicas"], count);
        set.set(&["status", "fullyLabeledReplicas"], count);
        set.set(&["status", "readyReplicas"], ready);
        set.set(&["status", "availableReplicas"], ready);
        let generation = set.generation();
        set.set(&["status", "observedGeneration"], generation);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let resized = match count.cmp(&wanted) {
            std::cmp::Ordering::Less => Some(Condition::no(
                "Resized",
                "Warning",
                "ScalingUp",
                format!("Scaling up MachineSet to {wanted} replicas (actual {count})"),
            )),
            std::cmp::Ordering::Greater => Some(Condition::no(
                "Resized",
                "Warning",
                "ScalingDown",
                format!("Scaling down MachineSet to {wanted} replicas (actual {count})"),
            )),
            std::cmp::Ordering::Equal => {
                (i64::try_from(ready) == Ok(count)).then(|| Condition::yes("Resized"))
            }
        };
        if let Some(resized) = resized {
            conditions::set(set, now, &resized);
        }
        if count >= wanted {
            conditions::set(set, now, &Condition::yes("MachinesCreated"));
        }
        if let Some(aggregate) = &aggregate {
            conditions::set(set, now, aggregate);
        } else {
            conditions::set(set, now, &Condition::yes("MachinesReady"));
        }
        conditions::summarize(set, now, &["MachinesCreated", "Resized", "MachinesReady"]);
    });
    if i64::try_from(ready) != Ok(wanted) {
        ctx.at(now + 15);
    }
}

/// Whether the node of a machine is ready now.
pub(crate) fn node_is_ready(ctx: &Ctx<'_>, cluster: &Object, machine: &Object) -> bool {
    let name = machine.text(&["status", "nodeRef", "name"]);
    let Some(workload) = ctx.workload_of(cluster.name()) else {
        return false;
    };
    let node = ctx.world.planes[workload]
        .store
        .get(&Key::within("Node", "", name));
    !name.is_empty()
        && node.is_some_and(|node| {
            let all = node.list(&["status", "conditions"]);
            all.iter()
                .any(|entry| entry["type"] == "Ready" && entry["status"] == "True")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, created: &str) -> Object {
        let mut machine = Object::new("cluster.x-k8s.io/v1beta1", "Machine", "default", name);
        machine.set(&["metadata", "creationTimestamp"], created);
        machine.set(&["status", "nodeRef", "name"], name);
        machine
    }

    #[test]
    fn who_goes_first() {
        let (a, b) = (
            machine("a", "2026-01-01T00:00:01Z"),
            machine("b", "2026-01-01T00:00:02Z"),
        );
        let mut annotated = machine("c", "2026-01-01T00:00:03Z");
        annotated.set(&["metadata", "annotations", DELETE_MACHINE], "");
        let mut leaving = machine("d", "2026-01-01T00:00:04Z");
        leaving.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:01:00Z");
        let mut sick = machine("e", "2026-01-01T00:00:05Z");
        sick.remove(&["status", "nodeRef"]);
        for (machines, policy, wanted) in [
            (vec![a.clone(), b.clone()], "Random", "a"),
            (vec![a.clone(), b.clone()], "Oldest", "a"),
            (vec![a.clone(), b.clone()], "Newest", "b"),
            (vec![a.clone(), sick.clone()], "Random", "e"),
            (vec![a.clone(), sick.clone(), annotated.clone()], "Oldest", "c"),
            (vec![a, b, annotated, leaving, sick], "Newest", "d"),
        ] {
            let found: Vec<&str> = victims(&machines, 1, policy)
                .into_iter()
                .map(Object::name)
                .collect();
            assert_eq!(found, [wanted], "{policy}");
        }
    }
}
