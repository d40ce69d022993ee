//! The `MachineDeployment` controller: one machine set per version of the template, rolled over step by step.

use serde_json::{Map, Value, json};

use super::super::kube::quantity::scaled;
use super::super::kube::selector::Selector;
use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::machine_set::REVISION;
use super::{DEPLOYMENT_NAME, cluster_of, is_paused};

const FINALIZER: &str = "cluster.x-k8s.io/machinedeployment";
const UNIQUE: &str = "machine-template-hash";

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("MachineDeployment") {
        let Some(deployment) = ctx.get(&key) else { continue };
        if deployment.is_deleting() {
            delete(ctx, &key, &deployment);
            continue;
        }
        let Some(cluster) = cluster_of(ctx, &deployment) else {
            continue;
        };
        if is_paused(&cluster, &deployment) {
            continue;
        }
        ctx.modify(&key, |object| {
            object.add_finalizer(FINALIZER);
            object.add_owner(&cluster, false);
        });
        if deployment.flag(&["spec", "paused"]) {
            scale_newest(ctx, &deployment);
        } else {
            roll(ctx, &key, &deployment);
        }
        update_status(ctx, &key);
    }
}

fn sets_of(ctx: &Ctx<'_>, deployment: &Object) -> Vec<Object> {
    let mut sets: Vec<Object> = ctx
        .store()
        .list("MachineSet")
        .filter(|set| set.is_owned_by(deployment.uid()))
        .cloned()
        .collect();
    sets.sort_by_key(|set| {
        (
            set.text(&["metadata", "creationTimestamp"]).to_owned(),
            set.name().to_owned(),
        )
    });
    sets
}

fn replicas(object: &Object) -> i64 {
    object.number(&["spec", "replicas"]).unwrap_or_default()
}

fn status(object: &Object, field: &str) -> i64 {
    object.number(&["status", field]).unwrap_or_default()
}

/// The template without what is changed in place.
fn rollout_fields(object: &Object) -> Value {
    let mut spec = object.map(&["spec", "template", "spec"]);
    for field in [
        "clusterName",
        "readinessGates",
        "nodeDrainTimeout",
        "nodeDeletionTimeout",
        "nodeVolumeDetachTimeout",
    ] {
        spec.remove(field);
    }
    let strip = |reference: Option<&mut Value>| {
        if let Some(Value::Object(reference)) = reference {
            reference.remove("namespace");
            let group = reference["apiVersion"]
                .as_str()
                .unwrap_or_default()
                .split('/')
                .next()
                .unwrap_or_default()
                .to_owned();
            reference.insert("apiVersion".into(), json!(group));
        }
    };
    strip(spec.get_mut("infrastructureRef"));
    strip(
        spec.get_mut("bootstrap")
            .and_then(|bootstrap| bootstrap.get_mut("configRef")),
    );
    Value::Object(spec)
}

/// The set of the current template, among all.
fn newest(deployment: &Object, sets: &[Object]) -> Option<usize> {
    let wanted = rollout_fields(deployment);
    let matching = sets
        .iter()
        .enumerate()
        .filter(|(_, set)| rollout_fields(set) == wanted);
    matching
        .max_by_key(|(index, set)| (replicas(set), std::cmp::Reverse(*index)))
        .map(|(index, _)| index)
}

fn roll(ctx: &mut Ctx<'_>, key: &Key, deployment: &Object) {
    let sets = sets_of(ctx, deployment);
    let Some(index) = newest(deployment, &sets) else {
        create_set(ctx, key, deployment, &sets);
        return;
    };
    propagate(ctx, deployment, &sets[index]);
    let current = sets[index].clone();
    let revision = current.annotation(REVISION).unwrap_or_default().to_owned();
    ctx.modify(key, |object| {
        object.set(&["metadata", "annotations", REVISION], revision);
    });
    let wanted = replicas(deployment);
    if deployment.text(&["spec", "strategy", "type"]) == "OnDelete" {
        scale_to(ctx, &current, wanted);
        return;
    }
    match replicas(&current).cmp(&wanted) {
        std::cmp::Ordering::Greater => scale_to(ctx, &current, wanted),
        std::cmp::Ordering::Less => {
            let count = new_replicas(deployment, &sets, replicas(&current));
            scale_to(ctx, &current, count);
        }
        std::cmp::Ordering::Equal => {}
    }
    scale_down_old(ctx, deployment, index);
    clean_up(ctx, deployment);
}

fn surge(deployment: &Object) -> i64 {
    let value = deployment.at(&["spec", "strategy", "rollingUpdate", "maxSurge"]);
    value
        .and_then(|value| scaled(value, replicas(deployment), true))
        .unwrap_or(1)
}

fn unavailable(deployment: &Object) -> i64 {
    let value = deployment.at(&["spec", "strategy", "rollingUpdate", "maxUnavailable"]);
    let found = value
        .and_then(|value| scaled(value, replicas(deployment), false))
        .unwrap_or(0);
    // Both zero would stop every rollout.
    if found == 0 && surge(deployment) == 0 {
        1
    } else {
        found.min(replicas(deployment))
    }
}

/// How large the current set may become now: what exists counts, even if it is on its way out.
fn new_replicas(deployment: &Object, sets: &[Object], current: i64) -> i64 {
    if deployment.text(&["spec", "strategy", "type"]) == "OnDelete" {
        return replicas(deployment);
    }
    let total = replicas(deployment) + surge(deployment);
    let existing: i64 = sets
        .iter()
        .map(|set| replicas(set).max(status(set, "replicas")))
        .sum();
    if existing >= total {
        return current;
    }
    current + (total - existing).min(replicas(deployment) - current)
}

fn scale_down_old(ctx: &mut Ctx<'_>, deployment: &Object, index: usize) {
    let sets = sets_of(ctx, deployment);
    let Some(current) = sets.get(index) else { return };
    let old: Vec<&Object> = sets
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != index)
        .map(|(_, set)| set)
        .collect();
    if old.iter().map(|set| replicas(set)).sum::<i64>() == 0 {
        return;
    }
    let minimum = replicas(deployment) - unavailable(deployment);
    let all: i64 = sets.iter().map(replicas).sum();
    let missing = replicas(current) - status(current, "availableReplicas");
    let mut budget = all - minimum - missing;
    if budget <= 0 {
        return;
    }
    // The unhealthy ones first, they don't cost availability.
    let mut sizes: Vec<i64> = old.iter().map(|set| replicas(set)).collect();
    for (set, size) in old.iter().zip(&mut sizes) {
        let sick = (*size - status(set, "availableReplicas")).clamp(0, budget);
        *size -= sick;
        budget -= sick;
    }
    let available: i64 = sets.iter().map(|set| status(set, "availableReplicas")).sum();
    let mut spare = (available - minimum).max(0);
    for size in &mut sizes {
        let less = (*size).min(spare);
        *size -= less;
        spare -= less;
    }
    for (set, size) in old.into_iter().zip(sizes) {
        scale_to(ctx, set, size);
    }
}

fn scale_to(ctx: &mut Ctx<'_>, set: &Object, count: i64) {
    if replicas(set) != count {
        ctx.log(
            "machinedeployment",
            set.name(),
            format!("scaled machine set from {} to {count}", replicas(set)),
        );
        ctx.modify(&Key::of(set), |set| set.set(&["spec", "replicas"], count));
    }
}

/// A paused deployment is scaled, but not rolled.
fn scale_newest(ctx: &mut Ctx<'_>, deployment: &Object) {
    let sets = sets_of(ctx, deployment);
    let active: Vec<&Object> = sets.iter().filter(|set| replicas(set) > 0).collect();
    let only = match active.as_slice() {
        [] => newest(deployment, &sets)
            .map(|index| &sets[index])
            .or(sets.last()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(set) = only {
        scale_to(ctx, set, replicas(deployment));
    }
}

fn create_set(ctx: &mut Ctx<'_>, key: &Key, deployment: &Object, sets: &[Object]) {
    let now = ctx.now;
    for (kind, path) in [
        ("RKE2ConfigTemplate", ["bootstrap", "configRef"].as_slice()),
        ("ONEMachineTemplate", &["infrastructureRef"]),
    ] {
        let mut full = vec!["spec", "template", "spec"];
        full.extend(path);
        full.push("name");
        let name = deployment.text(&full).to_owned();
        if !name.is_empty() && ctx.get(&Key::new(kind, &name)).is_none() {
            ctx.log(
                "machinedeployment",
                &key.name,
                "cannot create a new MachineSet when templates do not exist",
            );
            ctx.at(now + 10);
            return;
        }
    }
    let base = format!("{}-", deployment.name());
    let name = ctx.store_mut().generate_name(&base);
    let suffix = name
        .get(name.len().saturating_sub(5)..)
        .unwrap_or_default()
        .to_owned();
    let unique = format!("{}-{suffix}", hash(&rollout_fields(deployment).to_string()));
    let revision = sets
        .iter()
        .filter_map(|set| set.annotation(REVISION)?.parse::<u64>().ok())
        .max()
        .unwrap_or(0)
        + 1;
    let mut labels: Map<String, Value> = deployment.map(&["spec", "template", "metadata", "labels"]);
    labels.insert(UNIQUE.into(), json!(unique));
    let mut set = Object::new(deployment.api_version(), "MachineSet", "default", &name);
    set.set(
        &["spec"],
        json!({
            "clusterName": deployment.text(&["spec", "clusterName"]),
            "replicas": new_replicas(deployment, sets, 0),
            "selector": deployment.at(&["spec", "selector"]).cloned().unwrap_or_default(),
            "template": deployment.at(&["spec", "template"]).cloned().unwrap_or_default(),
        }),
    );
    set.set(&["spec", "selector", "matchLabels", UNIQUE], unique);
    set.set(&["spec", "template", "metadata", "labels"], labels.clone());
    set.set(&["metadata", "labels"], labels);
    set.set(&["metadata", "labels", DEPLOYMENT_NAME], deployment.name());
    set.set(&["metadata", "annotations", REVISION], revision.to_string());
    set.add_owner(deployment, true);
    let set = ctx.store_mut().insert(set);
    propagate(ctx, deployment, &set);
    ctx.modify(key, |object| {
        object.set(&["metadata", "annotations", REVISION], revision.to_string());
    });
    ctx.log(
        "machinedeployment",
        &key.name,
        format!("created machine set {name}"),
    );
}

/// What is changed in place.
fn propagate(ctx: &mut Ctx<'_>, deployment: &Object, set: &Object) {
    let policy = deployment
        .text(&["spec", "strategy", "rollingUpdate", "deletePolicy"])
        .to_owned();
    ctx.modify(&Key::of(set), |set| {
        let unique = set
            .text(&["spec", "template", "metadata", "labels", UNIQUE])
            .to_owned();
        let mut labels = deployment.map(&["spec", "template", "metadata", "labels"]);
        labels.insert(UNIQUE.into(), json!(unique));
        set.set(&["spec", "template", "metadata", "labels"], labels);
        for field in [
            "nodeDrainTimeout",
            "nodeDeletionTimeout",
            "nodeVolumeDetachTimeout",
        ] {
            if let Some(value) = deployment.at(&["spec", "template", "spec", field]) {
                set.set(&["spec", "template", "spec", field], value.clone());
            }
        }
        if !policy.is_empty() {
            set.set(&["spec", "deletePolicy"], policy);
        }
        for (key, value) in deployment.map(&["metadata", "annotations"]) {
            if key != REVISION && !key.starts_with("kubectl.kubernetes.io/") {
                set.set(&["metadata", "annotations", &key], value);
            }
        }
    });
}

fn clean_up(ctx: &mut Ctx<'_>, deployment: &Object) {
    let sets = sets_of(ctx, deployment);
    let Some(index) = newest(deployment, &sets) else {
        return;
    };
    let wanted = replicas(deployment);
    let total: i64 = sets.iter().map(|set| status(set, "replicas")).sum();
    let settled =
        status(&sets[index], "replicas") == wanted && status(&sets[index], "availableReplicas") == wanted;
    if !settled || total != wanted {
        return;
    }
    let limit = deployment.number(&["spec", "revisionHistoryLimit"]).unwrap_or(1);
    let old: Vec<&Object> = sets
        .iter()
        .enumerate()
        .filter(|(at, set)| *at != index && !set.is_deleting())
        .map(|(_, set)| set)
        .collect();
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    for set in old
        .into_iter()
        .take(surplus)
        .filter(|set| replicas(set) == 0 && status(set, "replicas") == 0)
    {
        ctx.store_mut().delete(&Key::of(set));
    }
}

fn update_status(ctx: &mut Ctx<'_>, key: &Key) {
    let now = ctx.now;
    let Some(deployment) = ctx.get(key) else { return };
    let sets = sets_of(ctx, &deployment);
    let sum = |field: &str| sets.iter().map(|set| status(set, field)).sum::<i64>();
    let total: i64 = sets.iter().map(replicas).sum();
    let current = newest(&deployment, &sets).map(|index| &sets[index]);
    let (ready, available, wanted) = (
        sum("readyReplicas"),
        sum("availableReplicas"),
        replicas(&deployment),
    );
    let mut phase = match ready.cmp(&wanted) {
        std::cmp::Ordering::Equal => "Running",
        std::cmp::Ordering::Less => "ScalingUp",
        std::cmp::Ordering::Greater => deployment.text(&["status", "phase"]),
    };
    if total < available {
        phase = "ScalingDown";
    }
    let phase = phase.to_owned();
    let minimum = wanted - unavailable(&deployment);
    let available_condition = if available >= minimum {
        Condition::yes("Available")
    } else {
        let message =
            format!("Minimum availability requires {minimum} replicas, current {available} available");
        Condition::no("Available", "Warning", "WaitingForAvailableMachines", message)
    };
    let fallback = Condition::no("MachineSetReady", "Info", "WaitingForMachineSet", "");
    let set_condition = match current {
        Some(set) => conditions::mirror("MachineSetReady", set, fallback),
        None => fallback,
    };
    let selector = Selector::from_object(&deployment.0["spec"]["selector"]).to_string();
    let updated = current.map_or(0, |set| status(set, "replicas"));
    let (count, replicas_total) = (sum("replicas"), (total - available).max(0));
    ctx.modify(key, |object| {
        object.set(&["status", "replicas"], count);
        object.set(&["status", "updatedReplicas"], updated);
        object.set(&["status", "readyReplicas"], ready);
        object.set(&["status", "availableReplicas"], available);
        object.set(&["status", "unavailableReplicas"], replicas_total);
        object.set(&["status", "selector"], selector);
        object.set(&["status", "phase"], phase);
        let generation = object.generation();
        object.set(&["status", "observedGeneration"], generation);
        conditions::set(object, now, &available_condition);
        conditions::set(object, now, &set_condition);
        conditions::summarize(object, now, &["Available", "MachineSetReady"]);
    });
}

fn delete(ctx: &mut Ctx<'_>, key: &Key, deployment: &Object) {
    let sets = sets_of(ctx, deployment);
    if sets.is_empty() {
        ctx.modify(key, |object| object.remove_finalizer(FINALIZER));
    }
    for set in sets.iter().filter(|set| !set.is_deleting()) {
        ctx.store_mut().delete(&Key::of(set));
    }
}

/// FNV, for a label that differs with the template.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: i64, surge: Value, unavailable: Value) -> Object {
        let mut object = Object::new("cluster.x-k8s.io/v1beta1", "MachineDeployment", "default", "md");
        object.set(&["spec", "replicas"], replicas);
        object.set(&["spec", "strategy", "type"], "RollingUpdate");
        object.set(&["spec", "strategy", "rollingUpdate", "maxSurge"], surge);
        object.set(
            &["spec", "strategy", "rollingUpdate", "maxUnavailable"],
            unavailable,
        );
        object
    }

    fn set(spec: i64, actual: i64) -> Object {
        let mut object = Object::new("cluster.x-k8s.io/v1beta1", "MachineSet", "default", "ms");
        object.set(&["spec", "replicas"], spec);
        object.set(&["status", "replicas"], actual);
        object
    }

    #[test]
    fn a_set_grows_within_the_surge() {
        for (deployment, sets, current, wanted) in [
            (deployment(3, json!(1), json!(0)), vec![], 0, 3),
            (deployment(3, json!(1), json!(0)), vec![set(3, 3)], 0, 1),
            (
                deployment(3, json!(1), json!(0)),
                vec![set(3, 3), set(1, 1)],
                1,
                1,
            ),
            (
                deployment(3, json!(1), json!(0)),
                vec![set(2, 3), set(1, 1)],
                1,
                1,
            ),
            (
                deployment(3, json!(1), json!(0)),
                vec![set(2, 2), set(1, 1)],
                1,
                2,
            ),
            (deployment(4, json!("50%"), json!(0)), vec![set(4, 4)], 0, 2),
            (deployment(0, json!(1), json!(0)), vec![], 0, 0),
        ] {
            assert_eq!(new_replicas(&deployment, &sets, current), wanted);
        }
    }

    #[test]
    fn a_rollout_never_stands_still() {
        assert_eq!(unavailable(&deployment(3, json!(1), json!(0))), 0);
        assert_eq!(unavailable(&deployment(3, json!(0), json!(0))), 1);
        assert_eq!(unavailable(&deployment(3, json!(1), json!("50%"))), 1);
    }

    #[test]
    fn only_some_fields_make_a_rollout() {
        let mut one = deployment(3, json!(1), json!(0));
        one.0["spec"]["template"]["spec"] = json!({
            "version": "v1", "clusterName": "c", "nodeDrainTimeout": "1m",
            "infrastructureRef": {"apiVersion": "g/v1", "name": "t", "namespace": "default"}
        });
        let mut same = one.clone();
        same.set(&["spec", "template", "spec", "nodeDrainTimeout"], "9m");
        same.set(
            &["spec", "template", "spec", "infrastructureRef", "apiVersion"],
            "g/v2",
        );
        same.set(&["spec", "replicas"], 9);
        assert_eq!(rollout_fields(&one), rollout_fields(&same));
        let mut other = one.clone();
        other.set(&["spec", "template", "spec", "infrastructureRef", "name"], "u");
        assert_ne!(rollout_fields(&one), rollout_fields(&other));
    }
}
