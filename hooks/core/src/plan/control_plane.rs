//! The control plane: its dependencies first, then its nodes, then like any other group.
//!
//! ```text
//! PENDING ─▶ BOOTSTRAPPING ─▶ PROVISIONING ─▶ RUNNING ⇄ WARNING, SCALING, UPGRADING
//!              │ templates      │ steps, kubeconfig, settled
//!              │ seed, router
//!              ▼
//!            BOOTSTRAPPING_FAILURE ─(RECOVER)─▶ torn down, then BOOTSTRAPPING anew
//! ```

use oneks_driver::{
    Action as DriverAction, Bootstrap, Endpoint, Nodes, Router as RouterPlan, Seed as SeedPlan, SeedDone,
    VmCondition, secret,
};

use crate::action::Action;
use crate::observed::{Kind, Vm};
use crate::plan::context::{Answer, Context};
use crate::plan::converge::{
    self, Progress, begin, check_deadline, driver_cluster, driver_group, fail, refuse, time_limit, wait,
};
use crate::plan::delete;
use crate::plan::node_group::{next_work, retarget, settle};
use crate::spec::Spec;
use crate::state::{DependencyState, GroupState};
use crate::status::{Credential, LastError, Router, Seed, Status};

/// Port of the Kubernetes API server.
const API_PORT: u16 = 6443;

/// Seconds that the rest of a bootstrap gets on top of the seed's own limit.
const BOOTSTRAP_REST: u64 = 900;

/// One step of the control plane.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let id = status.control_plane.id;
    match status.control_plane.state {
        GroupState::Pending => start(context, status, spec),
        GroupState::Bootstrapping => {
            if !check_deadline(context, status, id) {
                bootstrap(context, status, spec);
            }
        }
        GroupState::Provisioning | GroupState::Scaling | GroupState::Upgrading => {
            finish_seed(context, status);
            retarget(context, status, id);
            if !check_deadline(context, status, id) {
                work(context, status, spec);
            }
        }
        GroupState::Running | GroupState::Warning => {
            finish_seed(context, status);
            next_work(context, status, spec, id);
            if !status.kubeconfig {
                converge::fetch_kubeconfig(context, status, spec);
            }
        }
        _ => {}
    }
}

fn work(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let id = status.control_plane.id;
    match converge::step(context, status, spec, id) {
        Progress::Settled => settle(&mut status.control_plane),
        Progress::Carried => ascertain(context, status),
        Progress::Working => {}
    }
}

/// A control plane that was found running, and is not what SPEC wants, is resized and upgraded, in this order: nobody
/// knows which of the two was under way when the status was lost.
fn ascertain(context: &mut Context<'_>, status: &mut Status) {
    let Some(can) = status.placed.as_ref().map(|p| p.capabilities) else {
        return;
    };
    let group = &mut status.control_plane;
    let asked = !can.guest || group.probe.is_some();
    let (Some(goal), true) = (
        group.goal.clone(),
        asked && group.work.as_ref().is_some_and(|w| w.unsure),
    ) else {
        return;
    };
    let next = match group.state {
        GroupState::Provisioning if can.resize_control_plane => GroupState::Scaling,
        GroupState::Provisioning | GroupState::Scaling if can.upgrade => GroupState::Upgrading,
        _ => return,
    };
    let runs = group.probe.as_ref().and_then(|p| p.observation.version.clone());
    let limit = time_limit(next, &goal, 0);
    let version = goal.version.clone();
    begin(group, context.now, next, goal, limit);
    if let Some(work) = &mut group.work {
        work.unsure = true;
    }
    if let Some(runs) = runs
        && let Err(why) = crate::version::may_upgrade(&runs, &version, &[])
    {
        let id = group.id;
        group.version = Some(runs);
        let error = LastError {
            reason: "VersionNotPossible".to_owned(),
            message: format!("{why}; correct kubernetes_version in SPEC, then RECOVER"),
            object: None,
            since: context.now,
        };
        fail(context, status, id, error);
    }
}

/// From PENDING: build it, or, if the status was lost, find out how far it is.
fn start(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let Some(goal) = status.control_plane.target.clone() else {
        return;
    };
    let (vms, routers) = (context.all_vms(), context.all_routers());
    if !vms || !routers {
        return;
    }
    let alive = |kind: Kind| {
        context
            .vms()
            .into_iter()
            .any(|vm| vm.condition != VmCondition::Ending && vm.tag.as_ref().is_some_and(|t| t.kind == kind))
    };
    let group = &mut status.control_plane;
    if alive(Kind::ControlPlane) && !alive(Kind::Seed) && !group.teardown {
        // The seed has done its work and is gone: the nodes live without it, and another seed would build a second
        // control plane beside the first.
        let limit = time_limit(GroupState::Provisioning, &goal, 0);
        begin(group, context.now, GroupState::Provisioning, goal, limit);
        if let Some(work) = &mut group.work {
            work.unsure = true;
        }
        let router = context
            .observed
            .router(&context.names.router(), context.desired.owner.uid)
            .cloned();
        if let Some(router) = router {
            found_router(context, status, &router);
        }
        status.note(context.now, "control plane found running");
        work(context, status, spec);
        return;
    }
    let limit = time_limit(GroupState::Bootstrapping, &goal, 0);
    begin(group, context.now, GroupState::Bootstrapping, goal, limit);
    bootstrap(context, status, spec);
}

fn bootstrap(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    if status.control_plane.teardown {
        if !delete::bootstrap_gone(context, status) {
            return;
        }
        status.control_plane.teardown = false;
        status.control_plane.seed = None;
        status.control_plane.router = None;
        status.endpoint = None;
        status.kubeconfig = false;
    }
    let id = status.control_plane.id;
    let Some(plan) = ask(context, status, spec) else {
        return;
    };
    if let Some(work) = &mut status.control_plane.work {
        let seed = plan.seed.as_ref().map_or(0, |s| s.total);
        work.deadline = work.started.saturating_add(seed).saturating_add(BOOTSTRAP_REST);
    }
    if !credential(context, status, &plan) || !converge::templates(context, status, id, &plan.templates) {
        return;
    }
    if let Some(seed_plan) = &plan.seed {
        seed(
            context,
            status,
            seed_plan,
            matches!(plan.router, RouterPlan::Hooks { .. }),
        );
        if status.control_plane.state != GroupState::Bootstrapping {
            return;
        }
    }
    let seed_done = plan.seed.is_none() || seed_state(status) == DependencyState::Ready;
    router(context, status, &plan, seed_done);
    if !context.needs.is_empty() || !seed_done {
        return;
    }
    let router_ready = status
        .control_plane
        .router
        .as_ref()
        .is_some_and(|r| r.state == DependencyState::Ready);
    if !router_ready || status.endpoint.is_none() {
        wait(&mut status.control_plane, "waiting for the virtual router to run");
        return;
    }
    finish_seed(context, status);
    provision(context, status, spec, plan.nodes);
}

fn provision(context: &mut Context<'_>, status: &mut Status, spec: &Spec, nodes: Nodes) {
    let Some(goal) = status.control_plane.goal.clone() else {
        return;
    };
    let limit = time_limit(GroupState::Provisioning, &goal, 0);
    begin(
        &mut status.control_plane,
        context.now,
        GroupState::Provisioning,
        goal,
        limit,
    );
    if nodes == Nodes::Cluster {
        status.note(context.now, "the control plane owns itself");
    }
    work(context, status, spec);
}

fn ask(context: &mut Context<'_>, status: &mut Status, spec: &Spec) -> Option<Bootstrap> {
    let goal = status.control_plane.goal.clone()?;
    let id = status.control_plane.id;
    let cluster = driver_cluster(context, status, spec)?;
    let mut group = match driver_group(context, &status.control_plane, &goal, spec) {
        Ok(group) => group?,
        Err(message) => {
            refuse(context, status, id, "ProfileUnusable", message);
            return None;
        }
    };
    // What is built first must not depend on what of it is there already, nor on the endpoint that it brings.
    group.vms.clear();
    let cluster = oneks_driver::Cluster {
        endpoint: None,
        ..cluster
    };
    let question = DriverAction::Bootstrap {
        cluster: Box::new(cluster),
        group: Box::new(group),
    };
    match context.ask(&spec.driver, question) {
        Answer::Waiting => None,
        Answer::Given(plan) => Some(plan),
        Answer::Refused(e) => {
            refuse(context, status, id, &e.reason, e.message);
            None
        }
    }
}

/// Sees to it that the cluster has its credential, if any text needs one.
fn credential(context: &mut Context<'_>, status: &mut Status, plan: &Bootstrap) -> bool {
    let texts = plan
        .seed
        .iter()
        .flat_map(|s| s.vm.attachments.values().chain([&s.vm.text]));
    if !texts.into_iter().any(|t| t.contains(secret::ONE_AUTH_BASE64)) {
        return true;
    }
    if status.credential.is_some() && seed_state(status) != DependencyState::Pending {
        return true;
    }
    let Some(valid) = &context.observed.credentials else {
        context.need(crate::observed::Need::Credentials);
        return false;
    };
    let newest = || valid.iter().copied().max().unwrap_or(1);
    let serial = status.credential.as_ref().map_or_else(newest, |c| c.serial);
    if valid.contains(&serial) {
        let issued = status.credential.as_ref().map_or(context.now, |c| c.issued);
        status.credential = Some(Credential { serial, issued });
        return true;
    }
    context.act(Action::CreateCredential { serial });
    wait(&mut status.control_plane, "making the cluster's credential");
    false
}

fn seed_state(status: &Status) -> DependencyState {
    status
        .control_plane
        .seed
        .as_ref()
        .map_or(DependencyState::Pending, |s| s.state)
}

fn seed(context: &mut Context<'_>, status: &mut Status, plan: &SeedPlan, router_comes_after: bool) {
    let now = context.now;
    let found = context
        .vms()
        .into_iter()
        .filter(|vm| vm.name == plan.vm.name && vm.condition != VmCondition::Ending)
        .max_by_key(|vm| vm.id);
    let known = status.control_plane.seed.clone();
    let Some(vm) = found else {
        let creating = known.clone().filter(|s| s.state == DependencyState::Creating);
        if let Some(seed) = creating.filter(|s| was_done(context, status, plan, s)) {
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
            Some(DependencyState::Creating) => {
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
            // A router that the hooks make only when the seed is done says that it was.
            _ if router_comes_after && remains(context) => {
                status.control_plane.seed = Some(Seed {
                    state: DependencyState::Ready,
                    vm: None,
                    report: None,
                    since: now,
                });
            }
            _ if remains(context) => {
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
        judge_seed(context, status, plan, vm, report);
    }
}

/// A seed that is gone: had it done its work? Its last words say so as long as they can be read; after that, what it
/// has left behind does.
fn was_done(context: &mut Context<'_>, status: &Status, plan: &SeedPlan, seed: &Seed) -> bool {
    let SeedDone::Report {
        attribute, success, ..
    } = &plan.done
    else {
        return context.all_routers() && remains(context);
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
fn remains(context: &Context<'_>) -> bool {
    let router = context
        .observed
        .router(&context.names.router(), context.desired.owner.uid);
    let control_plane = |vm: &&Vm| vm.tag.as_ref().is_some_and(|t| t.kind == Kind::ControlPlane);
    router.is_some() || context.vms().iter().any(control_plane)
}

/// Is the seed done, still at work, or has it failed?
fn judge_seed(
    context: &mut Context<'_>,
    status: &mut Status,
    plan: &SeedPlan,
    vm: &Vm,
    report: Option<String>,
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
            if let Some(report) = report.as_ref().filter(|r| r.contains(failure.as_str())) {
                let cause = cause.as_ref().and_then(|c| vm.reports.get(c));
                let cause = cause.map_or_else(String::new, |c| format!(" ({c})"));
                let message = format!("the seed VM {} reports {report}{cause}", vm.id);
                return seed_failed(context, status, "SeedFailed", message, vm.id);
            }
            report.as_ref() == Some(success)
        }
    };
    if done {
        if let Some(seed) = &mut status.control_plane.seed {
            seed.state = DependencyState::Ready;
            seed.since = context.now;
        }
        return;
    }
    let wording = report.as_deref().unwrap_or("has not reported yet");
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
            report
                .as_ref()
                .map_or_else(|| wording.to_owned(), |r| format!("reports {r}"))
        )
    } else {
        format!("waiting for the seed VM {} to run; it is {}", vm.id, vm.state)
    };
    wait(&mut status.control_plane, step);
}

fn seed_failed(context: &mut Context<'_>, status: &mut Status, reason: &str, message: String, vm: u32) {
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
fn finish_seed(context: &mut Context<'_>, status: &mut Status) {
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

fn router(context: &mut Context<'_>, status: &mut Status, plan: &Bootstrap, seed_done: bool) {
    let name = plan.router.name();
    let known = status.control_plane.router.clone();
    let complete = known
        .as_ref()
        .is_some_and(|r| r.id.is_some() && !r.vms.is_empty())
        && status.endpoint.is_some();
    if complete {
        return;
    }
    let seed_works = status
        .control_plane
        .seed
        .as_ref()
        .is_some_and(|s| s.report.is_some());
    let ours = matches!(plan.router, RouterPlan::Hooks { .. });
    // Before the seed has said a word there is no router to look for, unless the hooks make it.
    if !ours && !seed_works && !seed_done {
        return;
    }
    if ours && !seed_done || !context.all_routers() {
        return;
    }
    let found = context.observed.router(name, context.desired.owner.uid).cloned();
    if let Some(found) = &found {
        found_router(context, status, found);
    }
    match (&plan.router, found) {
        (RouterPlan::Cluster { repair_after, .. }, Some(found)) => {
            let age = context.now.saturating_sub(known.map_or(context.now, |r| r.since));
            if found.vms.is_empty() && age >= *repair_after {
                // Its maker fills in the endpoint only when it creates the router; one without VMs stays so for ever.
                status.note(
                    context.now,
                    format!("virtual router {} has no VMs and is made anew", found.id),
                );
                status.control_plane.router = None;
                context.act(Action::DeleteRouter {
                    id: found.id,
                    name: found.name,
                });
            }
        }
        (RouterPlan::Hooks { name, text, .. }, None) => {
            wait(&mut status.control_plane, "making the virtual router");
            context.act(Action::AllocateRouter {
                name: name.clone(),
                text: text.clone(),
            });
        }
        (
            RouterPlan::Hooks {
                name,
                template,
                replicas,
                ..
            },
            Some(found),
        ) if found.vms.is_empty() => {
            let Some(template) = status.control_plane.templates.get(template).map(|t| t.id) else {
                let text =
                    format!("the driver names no VM template {template}, which its virtual router needs");
                refuse(context, status, status.control_plane.id, "DriverFailed", text);
                return;
            };
            wait(&mut status.control_plane, "making the VMs of the virtual router");
            context.act(Action::InstantiateRouter {
                id: found.id,
                name: name.clone(),
                template,
                replicas: *replicas,
            });
        }
        _ => {}
    }
}

/// Notes a router, its VMs' ids come with their own events; the endpoint is its address in the public network.
pub(super) fn found_router(context: &mut Context<'_>, status: &mut Status, found: &crate::observed::Router) {
    let since = status
        .control_plane
        .router
        .as_ref()
        .filter(|r| r.id == Some(found.id))
        .map_or(context.now, |r| r.since);
    if found.vms.iter().any(|id| !context.in_view(*id)) {
        context.all_vms();
    }
    let vms = context
        .vms()
        .into_iter()
        .filter(|vm| vm.vrouter == Some(found.id) && vm.condition != VmCondition::Ending)
        .map(super::health::group_vm)
        .collect::<Vec<_>>();
    let runs = vms.iter().any(|vm| vm.condition == VmCondition::Running);
    let state = if runs {
        DependencyState::Ready
    } else {
        DependencyState::Creating
    };
    status.control_plane.router = Some(Router {
        state,
        id: Some(found.id),
        vms,
        since,
    });
    let public = status.placed.as_ref().map(|p| p.placement.public.id);
    if let Some(host) = public.and_then(|id| found.addresses.get(&id)) {
        status.endpoint = Some(Endpoint {
            host: host.clone(),
            port: API_PORT,
        });
    }
}
