//! The control plane: its dependencies first, then its nodes, then like any other group.
//!
//! ```text
//! PENDING ─▶ BOOTSTRAPPING ─▶ PROVISIONING ─▶ RUNNING ⇄ WARNING, SCALING, UPGRADING
//!              │ templates      │ steps, kubeconfig, settled
//!              │ seed, router
//!              ▼
//!            BOOTSTRAPPING_FAILURE ─(RECOVER)─▶ torn down, then BOOTSTRAPPING anew
//! ```

use oneks_driver::{Action as DriverAction, Bootstrap, Nodes, Router as RouterPlan, VmCondition, secret};

use crate::action::Action;
use crate::observed::{Kind, Vm};
use crate::plan::adopt;
use crate::plan::context::{Answer, Context};
use crate::plan::converge::{self, Progress};
use crate::plan::delete;
use crate::plan::health::{group_vm, obstacle};
use crate::plan::node_group::{next_work, retarget, settle};
use crate::plan::observe::{fetch_kubeconfig, probe_subject};
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::rotate::{take, too_short};
use crate::plan::router::{found_router, keep, router};
use crate::plan::seed::{finish_seed, seed, seed_state};
use crate::plan::templates;
use crate::plan::work::{begin, check_deadline, fail, hinder, refuse, time_limit, wait};
use crate::spec::Spec;
use crate::state::{DependencyState, GroupState};
use crate::status::{GroupVm, LastError, Status};

/// Seconds that the rest of a bootstrap gets on top of the seed's own limit.
const BOOTSTRAP_REST: u64 = 900;

/// One step of the control plane.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let id = status.control_plane.id;
    if lives(status) {
        keep(context, status, spec);
    }
    match status.control_plane.state {
        GroupState::Pending => start(context, status, spec),
        GroupState::Bootstrapping => build(context, status, spec),
        GroupState::Provisioning | GroupState::Scaling | GroupState::Upgrading => {
            retarget(context, status, id);
            if !check_deadline(context, status, id) {
                work(context, status, spec);
            }
            finish_seed(context, status);
        }
        GroupState::Running | GroupState::Warning => {
            finish_seed(context, status);
            next_work(context, status, spec, id);
            if !status.kubeconfig {
                fetch_kubeconfig(context, status, spec);
            }
        }
        _ => {}
    }
}

/// Has it ever come as far as having nodes? Then it can't do without its router.
fn lives(status: &Status) -> bool {
    !matches!(
        status.control_plane.state,
        GroupState::Pending
            | GroupState::Bootstrapping
            | GroupState::BootstrappingFailure
            | GroupState::Deprovisioning
            | GroupState::DeprovisioningFailure
            | GroupState::Done
    )
}

fn build(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    if check_deadline(context, status, status.control_plane.id) {
        return;
    }
    bootstrap(context, status, spec);
    // What of it can't run stands in the way of everything else.
    let group = &status.control_plane;
    let mut vms: Vec<GroupVm> = group.router.iter().flat_map(|r| r.vms.clone()).collect();
    let seed = group.seed.as_ref().and_then(|s| s.vm);
    let seed = context.vms().into_iter().filter(|vm| Some(vm.id) == seed);
    vms.extend(seed.map(group_vm));
    if group.state == GroupState::Bootstrapping
        && let Some(trouble) = obstacle(context, &vms, false)
    {
        hinder(context, &mut status.control_plane, trouble);
    }
}

fn work(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let id = status.control_plane.id;
    match converge::step(context, status, spec, id) {
        Progress::Settled => settle(&mut status.control_plane),
        Progress::Carried if !handed_over(context, status) => {}
        Progress::Carried => ascertain(context, status),
        Progress::Working => {}
    }
}

/// Has the control plane what it needs to manage itself? If Kubernetes says that it hasn't, the seed ended too early, and
/// the bootstrap has failed. Where there are workers it was complete once, whatever Kubernetes says now, and nothing of it
/// may be torn down.
fn handed_over(context: &mut Context<'_>, status: &mut Status) -> bool {
    let group = &status.control_plane;
    let probe = group.probe.as_ref();
    let lacks = probe.is_some_and(|p| p.observation.unmanaged && p.of == probe_subject(group));
    if !lacks || group.state != GroupState::Provisioning || status.provisioned {
        return true;
    }
    if !context.all_vms() {
        return false;
    }
    if context.vms().into_iter().any(is_worker) || status.node_groups.iter().any(|g| g.begun) {
        return true;
    }
    let (id, seed) = (group.id, group.seed.as_ref().and_then(|s| s.vm));
    status.control_plane.state = GroupState::Bootstrapping;
    let error = LastError {
        reason: "NotHandedOver".to_owned(),
        message: "the control plane runs, but nothing in it manages it: the seed VM ended before it had handed over; \
                  RECOVER removes it and builds it again"
            .to_owned(),
        object: seed.map(|id| format!("VM {id}")),
        since: context.now,
    };
    fail(context, status, id, error);
    false
}

fn is_worker(vm: &Vm) -> bool {
    vm.tag.as_ref().is_some_and(|t| t.kind == Kind::Node)
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
    let runs = adopt::versions(group).map(|(lowest, _)| lowest.to_string());
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
        // Where the virtual machines say that they are of two versions, an upgrade is under way; to look at their number
        // first could undo a part of it.
        let mixed = adopt::versions(group).is_some_and(|(lowest, highest)| lowest != highest);
        let state = if mixed {
            GroupState::Upgrading
        } else {
            GroupState::Provisioning
        };
        let limit = time_limit(state, &goal, 0);
        begin(group, context.now, state, goal, limit);
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
    // A seed that is there already was told another SPEC, perhaps; what comes of it is looked at more closely.
    let unsure = alive(Kind::Seed) && !group.teardown;
    let limit = time_limit(GroupState::Bootstrapping, &goal, 0);
    begin(group, context.now, GroupState::Bootstrapping, goal, limit);
    if let Some(work) = &mut group.work {
        work.unsure = unsure;
    }
    bootstrap(context, status, spec);
}

fn bootstrap(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    if status.control_plane.teardown {
        if !delete::bootstrap_gone(context, status) {
            return;
        }
        status.forget_bootstrap();
    }
    let id = status.control_plane.id;
    let Some(plan) = ask(context, status, spec) else {
        return;
    };
    if let Some(work) = &mut status.control_plane.work {
        let seed = plan.seed.as_ref().map_or(0, |s| s.total);
        work.deadline = work.started.saturating_add(seed).saturating_add(BOOTSTRAP_REST);
    }
    if !credential(context, status, &plan) || !templates::ensure(context, status, id, &plan.templates) {
        return;
    }
    let by_hooks = matches!(plan.router, RouterPlan::Hooks { .. });
    if by_hooks {
        // The seed's texts name the router's addresses, so the router comes first.
        router(context, status, &plan, false);
        if !context.needs.is_empty() {
            return;
        }
        if status.endpoint.is_none() || status.gateway.is_none() {
            wait(
                &mut status.control_plane,
                "waiting for the addresses of the virtual router",
            );
            return;
        }
    }
    // What was asked before the addresses were known says nothing about the seed.
    let Some(plan) = ask(context, status, spec) else {
        return;
    };
    if let Some(seed_plan) = &plan.seed {
        seed(context, status, seed_plan, by_hooks);
        if status.control_plane.state != GroupState::Bootstrapping {
            return;
        }
    }
    let seed_done = plan.seed.is_none() || seed_state(status) == DependencyState::Ready;
    if !by_hooks {
        router(context, status, &plan, seed_done);
    }
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
    // The nodes first, the seed's end after: whoever finds nodes knows that there was a seed.
    provision(context, status, spec, plan.nodes);
    finish_seed(context, status);
}

fn provision(context: &mut Context<'_>, status: &mut Status, spec: &Spec, nodes: Nodes) {
    let Some(goal) = status.control_plane.goal.clone() else {
        return;
    };
    let limit = time_limit(GroupState::Provisioning, &goal, 0);
    let group = &mut status.control_plane;
    let unsure = group.work.as_ref().is_some_and(|w| w.unsure);
    begin(group, context.now, GroupState::Provisioning, goal, limit);
    if let Some(work) = &mut group.work {
        work.unsure = unsure;
    }
    if nodes == Nodes::Cluster {
        status.note(context.now, "the control plane owns itself");
    }
    work(context, status, spec);
}

/// What the driver would build the control plane from, and with which router.
pub(super) fn ask(context: &mut Context<'_>, status: &mut Status, spec: &Spec) -> Option<Bootstrap> {
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
    // What is built first must not depend on what of it is there already.
    group.vms.clear();
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
    let newest = || valid.newest(context.now).map_or(1, |(serial, _)| serial);
    let serial = status.credential.as_ref().map_or_else(newest, |c| c.serial);
    if valid.valid(context.now).contains(&serial) {
        let expires = valid.own.get(&serial).copied().flatten();
        take(status, context.now, serial, expires);
        return true;
    }
    if let Some(error) = too_short(context) {
        wait(&mut status.control_plane, error.message.clone());
        context.blame(error);
        return false;
    }
    context.act(Action::CreateCredential { serial });
    wait(&mut status.control_plane, "making the cluster's credential");
    false
}
