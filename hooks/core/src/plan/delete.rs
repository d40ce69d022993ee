//! Deletion: in the order in which nothing comes back, and until nothing is left.
//!
//! Control-plane VMs and the seed go first and together, because what runs in them would make the rest again. Then
//! workers, virtual routers, reservations, VM templates, the credential; then a look for stragglers; then the document.

use oneks_driver::VmCondition;

use crate::action::Action;
use crate::names::Names;
use crate::observed::{FailureKind, Kind, Need, Observed, Vm};
use crate::plan::context::Context;
use crate::plan::recover;
use crate::state::GroupState;
use crate::status::{Deletion, LastError, Status, Truth};

/// Seconds after which a deletion counts as failed. It goes on all the same, with each event and sweep.
const LIMIT: u64 = 1800;

/// Looks at DELETE.
pub(super) fn order(context: &mut Context<'_>, status: &mut Status) {
    let text = context
        .desired
        .delete
        .unwrap_or_default()
        .trim()
        .to_ascii_uppercase();
    let force = match text.as_str() {
        "YES" => false,
        "FORCE" => true,
        "" | "NO" => {
            status.clear_condition("DeletionProtected");
            return;
        }
        _ => {
            let message = "DELETE must be YES or FORCE".to_owned();
            status.set_condition(
                context.now,
                "DeletionProtected",
                Truth::True,
                "UnknownOrder",
                message,
            );
            return;
        }
    };
    if let Some(deletion) = &mut status.deletion {
        deletion.force |= force;
        return;
    }
    // The document's own words count, not those that were accepted before: protection is there from the first moment.
    let current = context
        .desired
        .spec
        .and_then(|s| crate::spec::Spec::parse(s).ok());
    let protected = current
        .as_ref()
        .or(status.accepted.as_ref())
        .is_some_and(|s| s.deletion_protection);
    if protected {
        let message = "DELETE is refused: SPEC has deletion_protection; set it to false first";
        if status.condition("DeletionProtected").is_none() {
            status.note(context.now, message);
        }
        status.set_condition(
            context.now,
            "DeletionProtected",
            Truth::True,
            "DeletionProtected",
            message,
        );
        return;
    }
    status.clear_condition("DeletionProtected");
    let word = if force {
        "deletion ordered by force"
    } else {
        "deletion ordered"
    };
    status.note(context.now, word);
    context.attempt_now(status);
    status.deletion = Some(Deletion {
        force,
        started: context.now,
        deadline: context.now.saturating_add(LIMIT),
        failed: false,
    });
}

/// One step of an ordered deletion.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status) {
    let now = context.now;
    if recover::ordered(context, status)
        && let Some(deletion) = &mut status.deletion
    {
        deletion.failed = false;
        deletion.deadline = now.saturating_add(LIMIT);
    }
    let Some(deletion) = status.deletion.clone() else {
        return;
    };
    status.guest_exec = None;
    crate::plan::health::refresh(context, status);
    for group in std::iter::once(&mut status.control_plane).chain(&mut status.node_groups) {
        group.state = GroupState::Deprovisioning;
        group.work = None;
        group.error = None;
    }
    if now >= deletion.deadline && !deletion.failed {
        let cause = status
            .operation
            .as_ref()
            .map_or_else(String::new, |o| format!(": {}", o.step));
        let error = LastError {
            reason: "DeadlineExceeded".to_owned(),
            message: format!("the cluster was not deleted within {} minutes{cause}", LIMIT / 60),
            object: None,
            since: now,
        };
        context.blame(error);
        if let Some(deletion) = &mut status.deletion {
            deletion.failed = true;
        }
    }
    let part = Teardown {
        cluster: context.desired.document,
        owner: context.desired.owner.uid,
        force: deletion.force,
    };
    let step = teardown(&part, context.observed, &mut context.needs, &mut context.actions);
    context.actions.retain(|a| context.observed.failure(a).is_none());
    if !context.needs.is_empty() {
        return;
    }
    let stuck = left_behind(context, &deletion);
    let Some(step) = step.filter(|_| stuck.is_none()) else {
        if let Some(list) = stuck {
            let message = format!("could not be removed and is left to an administrator: {list}");
            status.note(now, format!("the cluster {message}"));
            status.set_condition(now, "LeftBehind", Truth::True, "NotRemoved", message);
        }
        context.act(Action::DeleteDocument);
        set_step(status, "nothing is left; deleting the document".to_owned(), now);
        return;
    };
    set_step(status, step, now);
}

/// What a deletion by force leaves behind: all that is left is what can't be removed. What may pass is waited for until
/// the deadline.
fn left_behind(context: &Context<'_>, deletion: &Deletion) -> Option<String> {
    let failures: Vec<_> = context
        .observed
        .failures
        .iter()
        .filter(|(a, _)| !matches!(a, Action::DeleteDocument))
        .collect();
    let for_good = failures.iter().all(|(_, f)| {
        matches!(
            f.kind,
            FailureKind::NotAllowed | FailureKind::Refused | FailureKind::NoAddress
        )
    });
    let over = deletion.failed || for_good;
    if !deletion.force || !context.actions.is_empty() || failures.is_empty() || !over {
        return None;
    }
    let mut list: Vec<String> = failures
        .iter()
        .map(|(action, f)| format!("{}: {}", action.summary(), f.message))
        .collect();
    let more = list.len().saturating_sub(20);
    list.truncate(20);
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    Some(list.join("; "))
}

fn set_step(status: &mut Status, step: String, now: u64) {
    let deletion = status.deletion.as_ref();
    status.operation = Some(crate::status::Operation {
        kind: "delete".to_owned(),
        started: deletion.map_or(now, |d| d.started),
        deadline: deletion.map_or(now, |d| d.deadline),
        step,
    });
}

/// Whose objects are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teardown {
    /// The cluster, whose document may be gone already.
    pub cluster: u32,
    /// User id of the objects' owner.
    pub owner: u32,
    /// Use the means of last resort.
    pub force: bool,
}

/// What is to be removed next, and what is waited for; `None` once nothing is left.
pub fn teardown(
    part: &Teardown,
    observed: &Observed,
    needs: &mut Vec<Need>,
    actions: &mut Vec<Action>,
) -> Option<String> {
    // Each kind of object is looked at when its turn comes: while VMs end, nobody needs the list of templates.
    let mut unknown = |looks: &[(bool, Need)]| {
        for (known, need) in looks {
            if !known && !needs.contains(need) {
                needs.push(need.clone());
            }
        }
        (!needs.is_empty()).then(|| "looking for the cluster's objects".to_owned())
    };
    if let Some(step) = unknown(&[(observed.all_vms, Need::AllVms)]) {
        return Some(step);
    }
    let names = Names::new(part.cluster);
    // By force, what can't be removed doesn't keep the rest.
    let stuck = |vm: &Vm| {
        let (id, name) = (vm.id, vm.name.clone());
        let delete = Action::DeleteVm {
            id,
            name: name.clone(),
        };
        let failed = observed
            .failure(&delete)
            .or_else(|| observed.failure(&Action::TerminateVm { id, name }));
        part.force && failed.is_some()
    };
    let alive: Vec<&Vm> = observed
        .cluster_vms(part.cluster, part.owner)
        .into_iter()
        .filter(|vm| !is_gone(vm) && !stuck(vm))
        .collect();
    let kind = |vm: &Vm| vm.tag.as_ref().map_or(Kind::Other, |t| t.kind);
    let brains: Vec<&Vm> = alive
        .iter()
        .copied()
        .filter(|vm| matches!(kind(vm), Kind::ControlPlane | Kind::Seed))
        .collect();
    if !brains.is_empty() {
        end_all(&brains, part.force, actions);
        return Some(waiting("control-plane and seed VMs", &brains));
    }
    if let Some(step) = unknown(&[(observed.routers.is_some(), Need::Routers)]) {
        return Some(step);
    }
    let others: Vec<&Vm> = alive.iter().copied().filter(|vm| vm.vrouter.is_none()).collect();
    end_all(&others, part.force, actions);
    let router_names = [names.router(), names.load_balancer()];
    let mut routers = Vec::new();
    for router in observed.routers.iter().flatten() {
        if router.uid == part.owner && router_names.contains(&router.name) {
            let action = Action::DeleteRouter {
                id: router.id,
                name: router.name.clone(),
            };
            if !part.force || observed.failure(&action).is_none() {
                routers.push(router.id);
            }
            actions.push(action);
        }
    }
    if !alive.is_empty() || !routers.is_empty() {
        // A router takes its VMs along; one whose router is gone already is ended by hand.
        let orphans: Vec<&Vm> = alive
            .iter()
            .copied()
            .filter(|vm| vm.vrouter.is_some_and(|id| !routers.contains(&id)))
            .collect();
        end_all(&orphans, part.force, actions);
        return Some(if alive.is_empty() {
            "removing the virtual routers".to_owned()
        } else {
            waiting("VMs", &alive)
        });
    }
    if let Some(step) = unknown(&[
        (observed.templates.is_some(), Need::Templates),
        (observed.reservations.is_some(), Need::Reservations),
        (observed.credentials.is_some(), Need::Credentials),
    ]) {
        return Some(step);
    }
    let before = actions.iter().filter(|a| observed.failure(a).is_none()).count();
    let reserved = names.reservations();
    for reservation in observed.reservations.iter().flatten() {
        if reservation.uid == part.owner && reserved.contains(&reservation.name) {
            for address in &reservation.held {
                actions.push(Action::ReleaseAddress {
                    network: reservation.id,
                    address: address.clone(),
                });
            }
            actions.push(Action::DeleteReservation {
                id: reservation.id,
                name: reservation.name.clone(),
            });
        }
    }
    for template in observed.templates.iter().flatten() {
        // The owner may have templates of their own whose names begin like ours.
        let tagged = template.tag.as_ref().is_some_and(|t| t.cluster == part.cluster);
        let made = tagged || template.fingerprint.is_some();
        if made && template.uid == part.owner && names.owns(&template.name) {
            actions.push(Action::DeleteTemplate {
                id: template.id,
                name: template.name.clone(),
            });
        }
    }
    for serial in observed.credentials.iter().flat_map(|c| c.own.keys()) {
        actions.push(Action::RevokeCredential { serial: *serial });
    }
    let left = actions.len() > before
        || observed
            .cluster_vms(part.cluster, part.owner)
            .into_iter()
            .any(|v| !is_gone(v));
    left.then(|| "removing templates, reservations and the credential".to_owned())
}

/// DONE, and therefore no longer there.
fn is_gone(vm: &Vm) -> bool {
    vm.state.starts_with("DONE")
}

fn end_all(vms: &[&Vm], force: bool, actions: &mut Vec<Action>) {
    for vm in vms {
        let (id, name) = (vm.id, vm.name.clone());
        match vm.condition {
            VmCondition::Ending if !force => {}
            VmCondition::Ending => actions.push(Action::DeleteVm { id, name }),
            _ => actions.push(Action::TerminateVm { id, name }),
        }
    }
}

fn waiting(what: &str, vms: &[&Vm]) -> String {
    let list: Vec<String> = vms
        .iter()
        .take(5)
        .map(|vm| format!("{} ({})", vm.id, vm.state))
        .collect();
    let more = vms.len().saturating_sub(5);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("waiting for {what} to end: {}{more}", list.join(", "))
}

/// Removes what a failed bootstrap left, but neither templates nor credential. True once it is gone.
pub(super) fn bootstrap_gone(context: &mut Context<'_>, status: &mut Status) -> bool {
    let (vms, routers) = (context.all_vms(), context.all_routers());
    if !vms || !routers {
        return false;
    }
    let alive: Vec<&Vm> = context.vms().into_iter().filter(|vm| !is_gone(vm)).collect();
    let brains: Vec<&Vm> = alive
        .iter()
        .copied()
        .filter(|vm| {
            vm.tag
                .as_ref()
                .is_some_and(|t| matches!(t.kind, Kind::ControlPlane | Kind::Seed))
        })
        .collect();
    let mut actions = Vec::new();
    let step = if brains.is_empty() {
        let names = [context.names.router(), context.names.load_balancer()];
        let owner = context.desired.owner.uid;
        for router in context.observed.routers.iter().flatten() {
            if router.uid == owner && names.contains(&router.name) {
                actions.push(Action::DeleteRouter {
                    id: router.id,
                    name: router.name.clone(),
                });
            }
        }
        let single: Vec<&Vm> = alive.iter().copied().filter(|vm| vm.vrouter.is_none()).collect();
        end_all(&single, false, &mut actions);
        waiting("what the failed attempt left", &alive)
    } else {
        end_all(&brains, false, &mut actions);
        waiting("the VMs of the failed attempt", &brains)
    };
    let clean = alive.is_empty() && actions.is_empty();
    for action in actions {
        context.act(action);
    }
    crate::plan::work::wait(&mut status.control_plane, step);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{Credentials, Tag, Template};

    #[test]
    fn of_templates_only_those_that_were_made_for_the_cluster_go() {
        let template = |id: u32, uid: u32, name: &str, cluster: Option<u32>, print: Option<&str>| Template {
            id,
            uid,
            name: name.to_owned(),
            tag: cluster.map(|cluster| Tag {
                cluster,
                group: None,
                kind: Kind::Node,
            }),
            fingerprint: print.map(str::to_owned),
        };
        let observed = Observed {
            all_vms: true,
            routers: Some(Vec::new()),
            reservations: Some(Vec::new()),
            credentials: Some(Credentials::default()),
            templates: Some(vec![
                template(1, 2, "oneks-1-workers", Some(1), Some("a")),
                template(2, 2, "oneks-1-router", None, Some("a")),
                template(3, 2, "oneks-1-cp", Some(1), None),
                template(4, 2, "oneks-1-mine", None, None),
                template(5, 2, "oneks-11-workers", Some(11), Some("a")),
                template(6, 2, "web", Some(1), Some("a")),
                template(7, 3, "oneks-1-workers", Some(1), Some("a")),
            ]),
            ..Observed::default()
        };
        let part = Teardown {
            cluster: 1,
            owner: 2,
            force: false,
        };
        let (mut needs, mut actions) = (Vec::new(), Vec::new());
        teardown(&part, &observed, &mut needs, &mut actions);
        let ids: Vec<u32> = actions
            .iter()
            .filter_map(|a| match a {
                Action::DeleteTemplate { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        assert_eq!((ids, needs), (vec![1, 2, 3], vec![]));
    }
}
