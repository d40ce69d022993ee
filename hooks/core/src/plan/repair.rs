//! What RECOVER does about machines: those that somebody stopped are started again, and the driver makes what is
//! missing. A group at rest stays in WARNING meanwhile: nothing is being changed, so nothing can fail.

use oneks_driver::{Action as DriverAction, Steps, VmCondition};

use crate::action::Action;
use crate::observed::Vm;
use crate::plan::context::{Answer, Context};
use crate::plan::converge::carry_out;
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::work::group_mut;
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Group, Status};

/// Seconds after the order in which VMs that stop are started again.
const TIME: u64 = 1800;

/// Notes the order.
pub(super) fn order(group: &mut Group, now: u64) {
    group.repair = now.saturating_add(TIME);
}

/// Starts what was stopped, in every group that RECOVER was ordered for, and ends what has failed and will be replaced.
pub(super) fn machines(context: &mut Context<'_>, status: &mut Status) {
    let now = context.now;
    let vms = context.vms();
    for group in std::iter::once(&mut status.control_plane).chain(&mut status.node_groups) {
        let over = group.repair <= now || group.state == GroupState::Running;
        if group.repair > 0 && over {
            group.repair = 0;
        }
        if group.repair == 0
            || matches!(
                group.state,
                GroupState::Bootstrapping | GroupState::Deprovisioning
            )
        {
            continue;
        }
        let of_router = |id: u32| {
            let router = group.router.as_ref();
            router.is_some_and(|r| r.want.is_some_and(|w| w > 0) && r.vms.iter().any(|vm| vm.id == id))
        };
        let of_group = |id: u32| group.vms.iter().any(|vm| vm.id == id);
        for vm in vms.iter().filter(|vm| of_group(vm.id) || of_router(vm.id)) {
            let vm: &Vm = vm;
            let (id, name) = (vm.id, vm.name.clone());
            // A control-plane node holds a part of the cluster's memory; whether it can be spared is not decided here.
            let replaceable = of_router(id) || !group.is_control_plane();
            match vm.condition {
                VmCondition::Down => context.act(Action::ResumeVm { id, name }),
                VmCondition::Failed if replaceable => context.act(Action::TerminateVm { id, name }),
                _ => {}
            }
        }
    }
}

/// Has the driver make what a group at rest lacks.
pub(super) fn nodes(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) {
    let Some(group) = group_mut(status, id).map(|g| g.clone()) else {
        return;
    };
    if group.repair == 0 || group.state != GroupState::Warning {
        return;
    }
    let Some((goal, cluster)) = group.goal.clone().zip(driver_cluster(context, status, spec)) else {
        return;
    };
    let Ok(Some(asked)) = driver_group(context, &group, &goal, spec) else {
        return;
    };
    let question = DriverAction::Scale {
        cluster: Box::new(cluster),
        group: Box::new(asked),
    };
    if let Answer::Given(steps) = context.ask::<Steps>(&spec.driver, question) {
        carry_out(context, status, id, &steps);
    }
}
