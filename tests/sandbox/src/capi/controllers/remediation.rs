//! Replacement of unhealthy machines of the control plane.

use super::super::kube::{Key, Object};
use super::super::world::Ctx;
use super::conditions::{self, Condition};
use super::control_plane::{REMEDIATING, vm_of};

/// Deletes a machine that its health check has given up, if the control plane survives that. Returns whether the rest
/// must wait.
pub(crate) fn reconcile(ctx: &mut Ctx<'_>, key: &Key, cluster: &Object, machines: &[Object]) -> bool {
    for machine in machines.iter().filter(|machine| !machine.is_deleting()) {
        if conditions::is_true(machine, "HealthCheckSucceeded")
            && conditions::is_false(machine, "OwnerRemediated")
        {
            ctx.modify(&Key::of(machine), |machine| {
                conditions::remove(machine, "OwnerRemediated");
            });
        }
    }
    let is_sick = |machine: &&Object| {
        conditions::is_false(machine, "HealthCheckSucceeded")
            && conditions::is_false(machine, "OwnerRemediated")
    };
    let sick: Vec<&Object> = machines.iter().filter(is_sick).collect();
    let never_joined = |machine: &&&Object| machine.text(&["status", "nodeRef", "name"]).is_empty();
    let Some(machine) = sick.iter().find(never_joined).or_else(|| sick.first()) else {
        return false;
    };
    if machine.is_deleting() {
        return false;
    }
    let Some(control_plane) = ctx.get(key) else {
        return false;
    };
    if control_plane.annotation(REMEDIATING).is_some() {
        return false;
    }
    let now = ctx.now;
    if control_plane.flag(&["status", "initialized"])
        && let Err((reason, message)) = allowed(ctx, cluster, machines, machine)
    {
        ctx.modify(&Key::of(machine), |machine| {
            conditions::set(
                machine,
                now,
                &Condition::no("OwnerRemediated", "Warning", reason, message),
            );
        });
        return false;
    }
    ctx.log(
        "rke2controlplane",
        machine.name(),
        "remediating unhealthy machine",
    );
    ctx.modify(&Key::of(machine), |machine| {
        conditions::set(
            machine,
            now,
            &Condition::no("OwnerRemediated", "Warning", "RemediationInProgress", ""),
        );
    });
    ctx.store_mut().delete(&Key::of(machine));
    let note = format!("{{\"machine\":{:?},\"retryCount\":0}}", machine.name());
    ctx.modify(key, |object| {
        object.set(&["metadata", "annotations", REMEDIATING], note);
    });
    true
}

fn allowed(
    ctx: &Ctx<'_>,
    cluster: &Object,
    machines: &[Object],
    sick: &Object,
) -> Result<(), (&'static str, &'static str)> {
    if machines.len() <= 1 {
        return Err((
            "RemediationFailed",
            "RKE2ControlPlane can't remediate if current replicas are less or equal to 1",
        ));
    }
    let provisioning = machines.iter().any(|machine| {
        machine.text(&["status", "nodeRef", "name"]).is_empty()
            && !conditions::is_false(machine, "HealthCheckSucceeded")
    });
    if provisioning {
        return Err((
            "WaitingForRemediation",
            "RKE2ControlPlane waiting for control plane Machine provisioning to complete before triggering remediation",
        ));
    }
    if machines.iter().any(Object::is_deleting) {
        return Err((
            "WaitingForRemediation",
            "RKE2ControlPlane waiting for control plane Machine deletion to complete before triggering remediation",
        ));
    }
    let workload = ctx
        .workload_of(cluster.name())
        .and_then(|workload| ctx.world.workload(workload));
    let Some(workload) = workload.filter(|_| ctx.reaches(cluster)) else {
        return Err(("RemediationFailed", "Please check controller logs for errors"));
    };
    let rest: Vec<u32> = workload
        .members
        .iter()
        .copied()
        .filter(|vm| Some(*vm) != vm_of(sick))
        .collect();
    let healthy = rest
        .iter()
        .filter(|vm| {
            machines.iter().any(|machine| {
                vm_of(machine) == Some(**vm) && conditions::is_true(machine, "EtcdMemberHealthy")
            })
        })
        .count();
    if healthy < rest.len() / 2 + 1 {
        return Err((
            "RemediationFailed",
            "RKE2ControlPlane can't remediate this Machine because this could result in etcd loosing quorum",
        ));
    }
    Ok(())
}
