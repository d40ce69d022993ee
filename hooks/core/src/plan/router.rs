//! The virtual router of the API endpoint.

use crate::action::Action;
use crate::plan::context::Context;
use crate::plan::converge::{refuse, wait};
use crate::state::DependencyState;
use crate::status::{Router, Status};
use oneks_driver::{Bootstrap, Endpoint, Router as RouterPlan, VmCondition};

/// Port of the Kubernetes API server.
const API_PORT: u16 = 6443;

pub(super) fn router(context: &mut Context<'_>, status: &mut Status, plan: &Bootstrap, seed_done: bool) {
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
    if !context.all_routers() {
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

/// Notes a router, its VMs' ids come with their own events. The endpoint is its address in the public network, the
/// nodes' gateway the one in the private network.
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
    let private = status.placed.as_ref().map(|p| p.placement.private.id);
    if let Some(gateway) = private.and_then(|id| found.addresses.get(&id)) {
        status.gateway = Some(gateway.clone());
    }
    let public = status.placed.as_ref().map(|p| p.placement.public.id);
    if let Some(host) = public.and_then(|id| found.addresses.get(&id)) {
        status.endpoint = Some(Endpoint {
            host: host.clone(),
            port: API_PORT,
        });
    }
}
