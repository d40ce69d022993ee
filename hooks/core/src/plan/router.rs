//! The virtual router of the API endpoint: made with the control plane, and made again if it is lost.
//!
//! Certificates and nodes know the router's addresses. So the first router's addresses are OpenNebula's choice, and
//! every later one has the same, or is not made.

use std::collections::BTreeMap;

use oneks_driver::{Bootstrap, Endpoint, Kubeconfig, Router as RouterPlan, TemplateText, VmCondition};

use crate::action::Action;
use crate::observed::{FailureKind, Router as Seen};
use crate::plan::context::Context;
use crate::plan::control_plane;
use crate::plan::health::{Trouble, group_vm, machine_trouble};
use crate::plan::templates;
use crate::plan::work::{refuse, wait};
use crate::spec::Spec;
use crate::state::{DependencyState, GroupState};
use crate::status::{GroupVm, Router, Status};

/// Port of the Kubernetes API server.
const API_PORT: u16 = 6443;

/// Attributes of a VM by which a driver without guests says which addresses its nodes know.
const ENDPOINT_ATTRIBUTE: &str = "ONEKS_ENDPOINT";
const GATEWAY_ATTRIBUTE: &str = "ONEKS_GATEWAY";

/// Sees to it that a control plane that is being made has its router.
pub(super) fn router(context: &mut Context<'_>, status: &mut Status, plan: &Bootstrap, seed_done: bool) {
    let known = status.control_plane.router.clone();
    let complete = known
        .as_ref()
        .is_some_and(|r| r.id.is_some() && !r.vms.is_empty())
        && status.endpoint.is_some();
    if complete {
        return;
    }
    let RouterPlan::Cluster { name, repair_after } = &plan.router else {
        if let Some(missing) = make(context, status, plan) {
            wait(&mut status.control_plane, missing);
        }
        return;
    };
    let seed_works = status
        .control_plane
        .seed
        .as_ref()
        .is_some_and(|s| s.report.is_some());
    // Before the seed has said a word there is no router to look for.
    if !seed_works && !seed_done || !context.all_routers() {
        return;
    }
    let Some(found) = context.observed.router(name, context.desired.owner.uid).cloned() else {
        return;
    };
    found_router(context, status, &found);
    if let Some(router) = &mut status.control_plane.router {
        router.want = Some(0);
    }
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

/// Sees to it that a living cluster has its router. Where something in the cluster makes it, that is left to it.
pub(super) fn keep(context: &mut Context<'_>, status: &mut Status, spec: &Spec) {
    let known = status.control_plane.router.as_ref();
    let there = |r: &Router| r.id.is_some() && r.state != DependencyState::Gone;
    match known.and_then(|r| Some((r, r.want?))) {
        Some((_, 0)) => return,
        Some((router, want)) if there(router) && router.vms.len() >= want as usize => return,
        _ => {}
    }
    let Some(plan) = control_plane::ask(context, status, spec) else {
        return;
    };
    let want = match &plan.router {
        RouterPlan::Cluster { .. } => 0,
        RouterPlan::Hooks { replicas, .. } => *replicas,
    };
    let now = context.now;
    let router = status
        .control_plane
        .router
        .get_or_insert_with(|| Router::gone(now));
    router.want = Some(want);
    if want > 0 && !(there(router) && router.vms.len() >= want as usize) {
        make(context, status, &plan);
    }
}

/// Makes the router, or what is missing of it, where the hooks do that. What is being made, if anything is.
fn make(context: &mut Context<'_>, status: &mut Status, plan: &Bootstrap) -> Option<String> {
    let RouterPlan::Hooks {
        name,
        text,
        template,
        replicas,
    } = &plan.router
    else {
        return None;
    };
    let (vms, routers) = (context.all_vms(), context.all_routers());
    if !vms || !routers {
        return None;
    }
    let Some(found) = context.observed.router(name, context.desired.owner.uid).cloned() else {
        let Some(addresses) = addresses(status) else {
            return Some("looking for the addresses that the cluster's nodes know".to_owned());
        };
        context.act(Action::AllocateRouter {
            name: name.clone(),
            text: text.clone(),
            addresses,
        });
        return Some("making the virtual router".to_owned());
    };
    found_router(context, status, &found);
    if let Some(router) = &mut status.control_plane.router {
        router.want = Some(*replicas);
    }
    // By OpenNebula's own list: what is not in view, or not tagged, counts all the same. Rather one too few than one
    // with every pass.
    let ends = |id: &u32| {
        let vm = context.observed.vms.iter().find(|vm| vm.id == *id);
        vm.is_some_and(|vm| vm.condition == VmCondition::Ending)
    };
    let there = u32::try_from(found.vms.iter().filter(|id| !ends(id)).count()).unwrap_or(u32::MAX);
    let missing = replicas.saturating_sub(there);
    if missing == 0 || context.observed.instantiated.contains(&found.id) {
        return None;
    }
    let id = instantiated_from(context, status, template, plan)?;
    context.act(Action::InstantiateRouter {
        id: found.id,
        name: name.clone(),
        template: id,
        replicas: missing,
    });
    Some("making the VMs of the virtual router".to_owned())
}

/// The VM template of the router's VMs; it is made if it is not there.
fn instantiated_from(
    context: &mut Context<'_>,
    status: &mut Status,
    name: &str,
    plan: &Bootstrap,
) -> Option<u32> {
    let gone = context
        .observed
        .failures
        .iter()
        .any(|(a, f)| matches!(a, Action::InstantiateRouter { .. }) && f.kind == FailureKind::Gone);
    if gone && status.control_plane.state != GroupState::Bootstrapping {
        status.control_plane.templates.remove(name);
    }
    let wanted: Vec<TemplateText> = plan
        .templates
        .iter()
        .filter(|t| t.name == name)
        .cloned()
        .collect();
    let id = status.control_plane.id;
    if wanted.is_empty() {
        let text = format!("the driver names no VM template {name}, which its virtual router needs");
        refuse(context, status, id, "DriverFailed", text);
        return None;
    }
    if !templates::ensure(context, status, id, &wanted) {
        return None;
    }
    // STATUS may be anybody's writing: what is started with the owner's rights is the template that bears name and tag.
    if !context.all_templates() {
        return None;
    }
    let found = context.templates().into_iter().find(|t| t.name == name);
    if found.is_none() {
        status.control_plane.templates.remove(name);
    }
    found.map(|t| t.id)
}

/// Does anything live that knows the router's addresses? Then they can't change any more.
fn is_bound(status: &Status) -> bool {
    use GroupState::{Bootstrapping, BootstrappingFailure, Pending};
    let group = &status.control_plane;
    group.seed.is_some() || !matches!(group.state, Pending | Bootstrapping | BootstrappingFailure)
}

/// The addresses that a new router must have, by network id; empty if it is OpenNebula's choice, `None` if there are
/// some that nobody knows.
fn addresses(status: &Status) -> Option<BTreeMap<u32, String>> {
    if !is_bound(status) {
        return Some(BTreeMap::new());
    }
    let place = &status.placed.as_ref()?.placement;
    let endpoint = status.endpoint.as_ref()?.host.clone();
    let gateway = status.gateway.clone()?;
    Some([(place.public.id, endpoint), (place.private.id, gateway)].into())
}

/// Takes the addresses that a cluster itself says, where they are not known.
pub(super) fn told(status: &mut Status, answer: &Kubeconfig) {
    if status.endpoint.is_none() {
        status.endpoint.clone_from(&answer.endpoint);
    }
    if status.gateway.is_none() {
        status.gateway.clone_from(&answer.gateway);
    }
}

/// Notes the router, as far as it is in view. What is not in view stays as it was noted.
pub(super) fn refresh(context: &mut Context<'_>, status: &mut Status) {
    reported(context, status);
    let owner = context.desired.owner.uid;
    let known = status.control_plane.router.as_ref().and_then(|r| r.id);
    let by_id = |id: u32| {
        context
            .observed
            .routers
            .iter()
            .flatten()
            .find(|r| r.id == id && r.uid == owner)
    };
    // One that was made anew bears the same name.
    let found = known
        .and_then(by_id)
        .or_else(|| context.observed.router(&context.names.router(), owner));
    if let Some(found) = found.cloned() {
        return found_router(context, status, &found);
    }
    let Some(mut router) = status.control_plane.router.clone() else {
        return;
    };
    let Some(id) = router.id else { return };
    if context.observed.routers.is_some() {
        // It is nobody's fault but somebody's deed: gone by hand.
        router.state = DependencyState::Gone;
        router.vms.clear();
        status.control_plane.router = Some(router);
        return;
    }
    let mut vms: Vec<GroupVm> = Vec::new();
    for vm in context.vms() {
        if vm.vrouter == Some(id) && vm.condition != VmCondition::Ending {
            vms.push(group_vm(vm));
        }
    }
    vms.extend(router.vms.iter().filter(|vm| !context.in_view(vm.id)).cloned());
    vms.sort_by_key(|vm| vm.id);
    let runs = vms.iter().any(|vm| vm.condition == VmCondition::Running);
    let was_gone = router.state == DependencyState::Gone;
    router.state = if runs {
        DependencyState::Ready
    } else {
        DependencyState::Creating
    };
    if was_gone && !runs {
        router.state = DependencyState::Gone;
    }
    router.vms = vms;
    status.control_plane.router = Some(router);
}

/// Of a cluster without guests the nodes' VMs say which addresses they know.
fn reported(context: &Context<'_>, status: &mut Status) {
    let guest = status.placed.as_ref().is_none_or(|p| p.capabilities.guest);
    if guest || !is_bound(status) || status.endpoint.is_some() && status.gateway.is_some() {
        return;
    }
    let said = |attribute: &str| context.vms().into_iter().find_map(|vm| vm.reports.get(attribute));
    if status.endpoint.is_none() {
        status.endpoint = said(ENDPOINT_ATTRIBUTE).map(|host| Endpoint {
            host: host.clone(),
            port: API_PORT,
        });
    }
    if status.gateway.is_none() {
        status.gateway = said(GATEWAY_ATTRIBUTE).cloned();
    }
}

/// Notes a router, its VMs' ids come with their own events. The endpoint is its address in the public network, the
/// nodes' gateway the one in the private network.
pub(super) fn found_router(context: &mut Context<'_>, status: &mut Status, found: &Seen) {
    let known = status.control_plane.router.as_ref();
    let want = known.and_then(|r| r.want);
    let since = known
        .filter(|r| r.id == Some(found.id))
        .map_or(context.now, |r| r.since);
    if found.vms.iter().any(|id| !context.in_view(*id)) {
        context.all_vms();
    }
    let vms = context
        .vms()
        .into_iter()
        .filter(|vm| vm.vrouter == Some(found.id) && vm.condition != VmCondition::Ending)
        .map(group_vm)
        .collect::<Vec<_>>();
    let runs = vms.iter().any(|vm| vm.condition == VmCondition::Running);
    let state = if runs {
        DependencyState::Ready
    } else {
        DependencyState::Creating
    };
    let bound = is_bound(status);
    let address = |id: Option<u32>| id.and_then(|id| found.addresses.get(&id));
    let place = status.placed.as_ref().map(|p| &p.placement);
    let public = address(place.map(|p| p.public.id)).cloned();
    let private = address(place.map(|p| p.private.id)).cloned();
    let mut elsewhere = None;
    if let Some(gateway) = private {
        match &status.gateway {
            Some(known) if bound && *known != gateway => elsewhere = Some(gateway),
            _ => status.gateway = Some(gateway),
        }
    }
    if let Some(host) = public {
        match &status.endpoint {
            Some(known) if bound && known.host != host => elsewhere = Some(host),
            _ => {
                status.endpoint = Some(Endpoint { host, port: API_PORT });
            }
        }
    }
    status.control_plane.router = Some(Router {
        state,
        id: Some(found.id),
        vms,
        want,
        elsewhere,
        since,
    });
}

/// What is wrong with the router of a living cluster.
pub(super) fn trouble(context: &mut Context<'_>, status: &Status) -> Option<Trouble> {
    let name = context.names.router();
    let Some(router) = &status.control_plane.router else {
        context.all_routers();
        let text = format!("there is no virtual router {name}; the API endpoint can't be reached");
        return Some(("RouterGone", text, None));
    };
    let text = router.id.map_or(format!("virtual router {name}"), |id| {
        format!("virtual router {id}")
    });
    let object = Some(text.clone());
    let by_hooks = router.want.is_some_and(|want| want > 0);
    let cause = hindrance(status);
    if router.state == DependencyState::Gone {
        context.all_routers();
        let way_out = match (by_hooks, addresses(status)) {
            (true, Some(addresses)) => {
                let addresses: Vec<String> = addresses.into_values().collect();
                format!("it is made again with {}{cause}", addresses.join(" and "))
            }
            (true, None) => format!(
                "the addresses that the cluster's nodes know are looked for; to go on without, make a router {name} \
                 with them"
            ),
            (false, _) => "a router with its name and address must be made again, or the cluster".to_owned(),
        };
        let message = format!("{text} is gone and with it the API endpoint; {way_out}");
        return Some(("RouterGone", message, object));
    }
    if let Some(address) = &router.elsewhere {
        let message = format!(
            "{text} has {address}, which the cluster's certificates and nodes do not know; delete it (onevrouter \
             delete), and it is made again with the right address"
        );
        return Some(("RouterElsewhere", message, object));
    }
    let want = router.want.map_or(1, |want| want.max(1)) as usize;
    if router.vms.len() < want {
        // Deleted, or its VMs only? Or has it others now?
        context.all_routers();
        context.all_vms();
        let message = format!("{text} has {} of {want} VMs{cause}", router.vms.len());
        return Some(("RouterDown", message, object));
    }
    let vm = router
        .vms
        .iter()
        .find_map(|vm| machine_trouble(context, vm, false));
    vm.map(|(_, message, object)| ("RouterDown", format!("{message}; it is of {text}"), object))
}

/// Why the router could not be made, while that is repeated.
fn hindrance(status: &Status) -> String {
    let about_router = |o: &String| o.starts_with("virtual router");
    let error = status
        .last_error
        .as_ref()
        .filter(|e| status.retry.is_some() && e.object.as_ref().is_some_and(about_router));
    let Some(error) = error else {
        return String::new();
    };
    let way_out = if error.reason == FailureKind::NoAddress.reason() {
        "; if it is taken, free it (onevnet show tells who has it)"
    } else {
        ""
    };
    format!("; {}{way_out}; it is tried again by itself", error.message)
}
