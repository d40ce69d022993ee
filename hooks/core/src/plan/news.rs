//! Does an event tell anything that the status doesn't know? If not, the pass ends before it has looked at anything.
//!
//! What an event says is a hint: it can save a look, never replace one. It is trusted only where it agrees with the
//! status, or where something else will surely be heard of the same: the seed's report, or the guest command that waits
//! for the very nodes that the event is about. Bad tidings are always news.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::VmCondition;

use crate::observed::Kind;
use crate::plan::{Desired, credential_look};
use crate::spec::Spec;
use crate::state::{DependencyState, GroupState};
use crate::status::{Group, Status};

/// What an event said of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// How the VM is.
    pub condition: VmCondition,
    /// What it is, by its tag.
    pub kind: Kind,
    /// Its group, by its tag.
    pub group: Option<u32>,
}

/// What the events since the last pass said, as far as they said it clearly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tidings {
    /// How virtual machines are.
    pub vms: BTreeMap<u32, Told>,
    /// Virtual routers that were made.
    pub made_routers: BTreeSet<u32>,
    /// Virtual routers that were removed.
    pub gone_routers: BTreeSet<u32>,
}

/// Must the cluster be looked at, or does its status know all of this, with nothing else due?
pub fn is_news(desired: &Desired<'_>, status: &Status, tidings: &Tidings, now: u64) -> bool {
    let router = status.control_plane.router.as_ref().and_then(|r| r.id);
    something_due(desired, status, now)
        || tidings.vms.iter().any(|(id, told)| vm_news(status, *id, *told))
        || tidings.made_routers.iter().any(|id| router != Some(*id))
        // While a cluster is deleted, its VMs' ends are what is waited for.
        || status.deletion.is_none() && tidings.gone_routers.iter().any(|id| router == Some(*id))
}

/// Is there anything to do, whatever the event says?
fn something_due(desired: &Desired<'_>, status: &Status, now: u64) -> bool {
    let order = |text: Option<&str>| text.unwrap_or_default().trim().to_ascii_uppercase();
    let delete = match order(desired.delete).as_str() {
        "" | "NO" => false,
        word => status
            .deletion
            .as_ref()
            .is_none_or(|d| word == "FORCE" && !d.force),
    };
    let spec = desired.spec.and_then(|text| Spec::parse(text).ok());
    let over = |deadline: u64| deadline <= now;
    status.rev == 0
        || status.owner != Some(desired.owner.uid)
        || spec.is_none()
        || spec != status.accepted
        || delete
        || desired
            .recover
            .is_some_and(|token| !token.trim().is_empty() && !status.has_recovered(token))
        || desired.rotate.is_some_and(|token| status.wants_rotation(token))
        || credential_look(status).is_some_and(over)
        || status.retry.as_ref().is_some_and(|r| over(r.not_before))
        || status.guest_exec.as_ref().is_some_and(|e| over(e.deadline))
        || status
            .deletion
            .as_ref()
            .is_some_and(|d| !d.failed && over(d.deadline))
        || status
            .groups()
            .filter_map(|g| g.work.as_ref())
            .any(|w| over(w.deadline))
}

fn vm_news(status: &Status, id: u32, told: Told) -> bool {
    if status.guest_exec.as_ref().is_some_and(|e| e.vm == id) {
        // Whatever happened to it, the command may have ended.
        return true;
    }
    if let Some(seed) = status.control_plane.seed.as_ref().filter(|s| s.vm == Some(id)) {
        let at_work = matches!(seed.state, DependencyState::Pending | DependencyState::Creating);
        return if at_work {
            told.condition != VmCondition::Running || !reports(status)
        } else {
            status.deletion.is_some() || status.control_plane.teardown
        };
    }
    let router = status.control_plane.router.iter().flat_map(|r| &r.vms);
    if let Some(vm) = router.into_iter().find(|vm| vm.id == id) {
        return vm.condition != told.condition;
    }
    for group in status.groups() {
        if let Some(vm) = group.vms.iter().find(|vm| vm.id == id) {
            let expected = told.condition == VmCondition::Ending && heard_of_nodes(status, group);
            return vm.condition != told.condition && !expected;
        }
    }
    match (told.condition, told.kind) {
        // Nothing is noted of it any more.
        (VmCondition::Ending, _) => status.deletion.is_some() || status.control_plane.teardown,
        (VmCondition::Running | VmCondition::Starting, Kind::ControlPlane) => {
            !comes_up(status, &status.control_plane)
        }
        (VmCondition::Running | VmCondition::Starting, Kind::Node) => {
            let group = status.node_groups.iter().find(|g| Some(g.id) == told.group);
            !group.is_some_and(|group| comes_up(status, group))
        }
        _ => true,
    }
}

/// Does the seed say by itself how far it is?
fn reports(status: &Status) -> bool {
    status.placed.as_ref().is_some_and(|p| p.capabilities.guest)
}

/// Is a guest command under way whose result tells what became of the group's nodes?
fn heard_of_nodes(status: &Status, group: &Group) -> bool {
    let exec = status.guest_exec.as_ref();
    group.work.is_some() && exec.is_some_and(|e| e.group == group.id && e.probes() && !e.given_up)
}

/// Will the group be looked at for a better reason than a node that begins to run? Each node of an upgrade is noted as it
/// comes.
fn comes_up(status: &Status, group: &Group) -> bool {
    let seed = status.control_plane.seed.as_ref();
    let seed_works = seed.is_some_and(|s| s.state == DependencyState::Creating) && reports(status);
    match group.state {
        GroupState::Bootstrapping => seed_works,
        GroupState::Provisioning | GroupState::Scaling => heard_of_nodes(status, group),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
