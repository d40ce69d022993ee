//! The seed VM: made once, watched until it has done its work, and ended then, never earlier.

use crate::action::Action;
use crate::observed::{Kind, Vm};
use crate::plan::context::Context;
use crate::plan::delete;
use crate::plan::work::{fail, wait};
use crate::state::DependencyState;
use crate::status::{LastError, Seed, Status};
use oneks_driver::{Seed as SeedPlan, SeedDone, VmCondition};

pub(super) fn seed_state(status: &Status) -> DependencyState {
    status
        .control_plane
        .seed
        .as_ref()
        .map_or(DependencyState::Pending, |s| s.state)
}

pub(super) fn seed(context: &mut Context<'_>, status: &mut Status, plan: &SeedPlan, router_by_hooks: bool) {
    let now = context.now;
    let found = context
        .vms()
        .into_iter()
        .filter(|vm| vm.name == plan.vm.name && vm.condition != VmCondition::Ending)
        .max_by_key(|vm| vm.id);
    let known = status.control_plane.seed.clone();
    let Some(vm) = found else {
        let creating = known.clone().filter(|s| s.state == DependencyState::Creating);
        if let Some(seed) = creating.filter(|s| was_done(context, status, plan, s, router_by_hooks)) {
            // It was ended because it had done its work, and the status that said so was lost.
            status.control_plane.seed = Some(Seed {
                state: DependencyState::Ready,
                since: now,
                ..seed
            });
            return;
        }
        if !context.needs.is_empty() {
            return;
        }
        match known.as_ref().map(|s| s.state) {
            // It was seen to be done, and is gone since.
            Some(DependencyState::Ready | DependencyState::Gone) => {
                status.control_plane.seed = known.map(|s| Seed {
                    state: DependencyState::Ready,
                    ..s
                });
            }
            _ if !context.all_vms() => {}
            // One that only had to run leaves nothing behind, and is made again; one that reports may have begun.
            Some(DependencyState::Creating) if plan.done != SeedDone::Running => {
                let id = known.as_ref().and_then(|s| s.vm).unwrap_or_default();
                seed_failed(
                    context,
                    status,
                    "SeedGone",
                    format!("the seed VM {id} is gone before it was done"),
                    id,
                );
            }
            _ if !context.all_routers() => {}
            _ if remains(context, router_by_hooks) => {
                // The seed of an earlier attempt is gone; what it has left would stand in the way of the next.
                status.control_plane.teardown = true;
                delete::bootstrap_gone(context, status);
            }
            _ => {
                wait(&mut status.control_plane, "making the seed VM");
                context.act(Action::AllocateVm { vm: plan.vm.clone() });
            }
        }
        return;
    };
    let report = match &plan.done {
        SeedDone::Report { attribute, .. } => vm.reports.get(attribute).cloned(),
        SeedDone::Running => None,
    };
    let same = known
        .as_ref()
        .is_some_and(|s| s.vm == Some(vm.id) && s.report == report);
    let since = if same {
        known.as_ref().map_or(now, |s| s.since)
    } else {
        now
    };
    let was_ready = known.as_ref().is_some_and(|s| s.state == DependencyState::Ready);
    let state = if was_ready {
        DependencyState::Ready
    } else {
        DependencyState::Creating
    };
    if !same && let Some(report) = &report {
        status.note(now, format!("seed VM {} reports {report}", vm.id));
    }
    status.control_plane.seed = Some(Seed {
        state,
        vm: Some(vm.id),
        report: report.clone(),
        since,
    });
    if !was_ready {
        judge_seed(context, status, plan, vm, report.as_ref());
    }
}

/// A seed that is gone: had it done its work? Its last words say so as long as they can be read; after that, what it
/// has left behind does.
pub(super) fn was_done(
    context: &mut Context<'_>,
    status: &Status,
    plan: &SeedPlan,
    seed: &Seed,
    router_by_hooks: bool,
) -> bool {
    let SeedDone::Report {
        attribute, success, ..
    } = &plan.done
    else {
        return context.all_vms() && context.all_routers() && remains(context, router_by_hooks);
    };
    let last = context.observed.vms.iter().find(|vm| Some(vm.id) == seed.vm);
    if let Some(last) = last.filter(|vm| vm.uid == context.desired.owner.uid) {
        return last.reports.get(attribute) == Some(success);
    }
    let want = status
        .control_plane
        .goal
        .as_ref()
        .map_or(0, |g| g.replicas as usize);
    let nodes = &status.control_plane.vms;
    context.all_vms() && nodes.len() == want && nodes.iter().all(|vm| vm.condition == VmCondition::Running)
}

/// Is there anything that only a seed can have led to?
pub(super) fn remains(context: &Context<'_>, router_by_hooks: bool) -> bool {
    let router = context
        .observed
        .router(&context.names.router(), context.desired.owner.uid);
    let control_plane = |vm: &&Vm| vm.tag.as_ref().is_some_and(|t| t.kind == Kind::ControlPlane);
    router.is_some() && !router_by_hooks || context.vms().iter().any(control_plane)
}

/// Is the seed done, still at work, or has it failed?
pub(super) fn judge_seed(
    context: &mut Context<'_>,
    status: &mut Status,
    plan: &SeedPlan,
    vm: &Vm,
    report: Option<&String>,
) {
    let age = context.now.saturating_sub(vm.created);
    let done = match &plan.done {
        SeedDone::Running => vm.condition == VmCondition::Running,
        SeedDone::Report {
            success,
            failure,
            cause,
            ..
        } => {
            if let Some(report) = report.filter(|r| r.contains(failure.as_str())) {
                let cause = cause.as_ref().and_then(|c| vm.reports.get(c));
                let cause = cause.map_or_else(String::new, |c| format!(" ({c})"));
                let message = format!("the seed VM {} reports {report}{cause}", vm.id);
                return seed_failed(context, status, "SeedFailed", message, vm.id);
            }
            report == Some(success)
        }
    };
    if done {
        if let Some(seed) = &mut status.control_plane.seed {
            seed.state = DependencyState::Ready;
            seed.since = context.now;
        }
        return;
    }
    let wording = report.map_or("has not reported yet", String::as_str);
    if vm.condition == VmCondition::Failed {
        let why = vm.error.as_deref().unwrap_or("OpenNebula gives no cause");
        let message = format!("the seed VM {} is in {}: {why}", vm.id, vm.state);
        return seed_failed(context, status, "VmFailure", message, vm.id);
    }
    if age >= plan.total {
        let message = format!(
            "the seed VM {} was not done within {} s: it {wording}",
            vm.id, plan.total
        );
        return seed_failed(context, status, "SeedTimeout", message, vm.id);
    }
    let must_report = matches!(plan.done, SeedDone::Report { .. });
    // The clock of the first report starts when the VM was created: a VM that no host takes doesn't report either.
    if must_report && report.is_none() && age >= plan.first_report {
        let cause = vm.error.as_deref().map_or_else(
            || format!("is {}; check its network, OneGate, and the image", vm.state),
            |e| format!("is {}: {e}", vm.state),
        );
        let message = format!(
            "the seed VM {} has not reported within {} s; it {cause}",
            vm.id, plan.first_report
        );
        return seed_failed(context, status, "SeedSilent", message, vm.id);
    }
    let step = if must_report {
        format!(
            "waiting for the seed VM {}: it {}",
            vm.id,
            report.map_or_else(|| wording.to_owned(), |r| format!("reports {r}"))
        )
    } else {
        format!("waiting for the seed VM {} to run; it is {}", vm.id, vm.state)
    };
    wait(&mut status.control_plane, step);
}

pub(super) fn seed_failed(
    context: &mut Context<'_>,
    status: &mut Status,
    reason: &str,
    message: String,
    vm: u32,
) {
    if let Some(seed) = &mut status.control_plane.seed {
        seed.state = DependencyState::Failed;
    }
    let error = LastError {
        reason: reason.to_owned(),
        message,
        object: Some(format!("VM {vm}")),
        since: context.now,
    };
    let id = status.control_plane.id;
    fail(context, status, id, error);
}

/// Ends the seed once it has done its work. Never earlier: until then it holds the only copy of the cluster's objects.
pub(super) fn finish_seed(context: &mut Context<'_>, status: &mut Status) {
    let Some(seed) = status
        .control_plane
        .seed
        .clone()
        .filter(|s| s.state == DependencyState::Ready)
    else {
        return;
    };
    if seed.vm.is_some_and(|id| !context.in_view(id)) {
        context.all_vms();
        return;
    }
    let vm = context.vms().into_iter().find(|vm| Some(vm.id) == seed.vm);
    match vm {
        Some(vm) if vm.condition != VmCondition::Ending => {
            context.act(Action::TerminateVm {
                id: vm.id,
                name: vm.name.clone(),
            });
        }
        _ => {
            status.control_plane.seed = Some(Seed {
                state: DependencyState::Gone,
                since: context.now,
                ..seed
            });
        }
    }
}
