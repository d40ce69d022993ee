//! Members of etcd: whether they are healthy, and how they leave.

use super::super::super::kube::{Key, Object};
use super::super::super::world::Ctx;
use super::super::conditions::{self, Condition};
use super::HOOK;

/// Health of agents and members of etcd, as seen through the endpoint.
pub(super) fn examine_members(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object, machines: &[Object]) {
    let now = ctx.now;
    let initialized = ctx
        .store()
        .get(key)
        .is_some_and(|object| object.flag(&["status", "initialized"]));
    if !machines
        .iter()
        .any(|machine| conditions::is_true(machine, "Ready"))
        || !initialized
        || !ctx.reaches(cluster)
    {
        return;
    }
    let Some(workload) = ctx.workload_of(cluster.name()) else {
        return;
    };
    let mut all_healthy = true;
    for machine in machines {
        let node = machine.text(&["status", "nodeRef", "name"]);
        if node.is_empty() {
            all_healthy = false;
            continue;
        }
        let node = ctx.world.planes[workload]
            .store
            .get(&Key::within("Node", "", node));
        let unreachable = node.is_some_and(|node| {
            node.list(&["spec", "taints"])
                .iter()
                .any(|taint| taint["key"] == "node.kubernetes.io/unreachable")
        });
        let vm = vm_of(machine);
        let is_member = ctx
            .world
            .workload(workload)
            .is_some_and(|workload| vm.is_some_and(|vm| workload.members.contains(&vm)));
        let both =
            |condition: &dyn Fn(&str) -> Condition| ["AgentHealthy", "EtcdMemberHealthy"].map(condition);
        let found = if machine.is_deleting() {
            both(&|kind| Condition::no(kind, "Info", "Deleting", ""))
        } else if node.is_none() {
            both(&|kind| Condition::no(kind, "Error", "PodFailed", "Missing node"))
        } else if unreachable {
            both(&|kind| Condition::unknown(kind, "PodInspectionFailed", "Node is unreachable"))
        } else if is_member {
            both(&|kind| Condition::yes(kind))
        } else {
            [
                Condition::yes("AgentHealthy"),
                Condition::no(
                    "EtcdMemberHealthy",
                    "Error",
                    "EtcdMemberUnhealthy",
                    "Missing etcd member",
                ),
            ]
        };
        all_healthy &= is_member && !unreachable;
        ctx.modify(&Key::of(machine), |machine| {
            for condition in &found {
                conditions::set(machine, now, condition);
            }
        });
    }
    ctx.modify(key, |object| {
        for kind in ["ControlPlaneComponentsHealthy", "EtcdClusterHealthyCondition"] {
            let condition = if all_healthy {
                Condition::yes(kind)
            } else {
                Condition::no(kind, "Error", "ControlPlaneComponentsUnhealthy", "")
            };
            conditions::set(object, now, &condition);
        }
    });
}

/// The id of the VM behind a machine.
pub(crate) fn vm_of(machine: &Object) -> Option<u32> {
    machine
        .text(&["spec", "providerID"])
        .strip_prefix("one://")?
        .parse()
        .ok()
}

/// Takes the member of a machine that is being deleted out of etcd. Returns whether the rest must wait.
pub(super) fn release_member(ctx: &mut Ctx<'_>, cluster: &Object, machines: &[Object]) -> bool {
    let now = ctx.now;
    if !machines.iter().any(Object::is_deleting) {
        return false;
    }
    ctx.at(now + 30);
    let mut waiting: Vec<&Object> = machines
        .iter()
        .filter(|machine| machine.is_deleting() && machine.annotation(HOOK).is_some())
        .filter(|machine| conditions::is_false(machine, "PreTerminateDeleteHookSucceeded"))
        .collect();
    waiting.sort_by_key(|machine| machine.text(&["metadata", "deletionTimestamp"]).to_owned());
    let Some(machine) = waiting.first() else {
        return true;
    };
    if machines.len() > 1 {
        if !ctx.reaches(cluster) {
            ctx.log(
                "rke2controlplane",
                machine.name(),
                "failed to create client to workload cluster",
            );
            return true;
        }
        if let (Some(workload), Some(vm)) = (ctx.workload_of(cluster.name()), vm_of(machine))
            && let Some(workload) = ctx.world.workload_mut(workload)
        {
            workload.members.remove(&vm);
        }
    }
    ctx.modify(&Key::of(machine), |machine| {
        machine.remove(&["metadata", "annotations", HOOK]);
    });
    true
}
