//! What came of an action, folded into what was observed, so that the next plan needn't look again.

use oneks_driver::VmCondition;

use crate::action::Action;
use crate::names::CommandToken;
use crate::observed::{Failure, FailureKind, GuestCommand, Kind, Observed, Progress, Tag, Template, Vm};
use crate::plan::health::VERSION_ATTRIBUTE;
use crate::plan::templates::FINGERPRINT_ATTRIBUTE;

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It made an object with this id.
    Created(u32),
    /// It is done.
    Done,
    /// It failed.
    Failed(Failure),
}

/// Folds an outcome into the picture.
pub fn absorb(observed: &mut Observed, action: &Action, outcome: Outcome, owner: u32, now: u64) {
    let created = match outcome {
        Outcome::Failed(failure) => {
            let gone = failure.kind == FailureKind::Gone;
            observed.failures.push((action.clone(), failure));
            if gone {
                look_again(observed, action);
            }
            return;
        }
        Outcome::Created(id) => Some(id),
        Outcome::Done => None,
    };
    match (action, created) {
        // How long it lives is OpenNebula's choice, so the list has to be read again.
        (Action::CreateCredential { serial }, _) => {
            observed.made.insert(*serial);
            observed.credentials = None;
        }
        (Action::CreateTemplate { name, text }, Some(id)) => {
            let template = Template {
                id,
                uid: owner,
                name: name.clone(),
                tag: tag_in(text),
                fingerprint: value_in(text, FINGERPRINT_ATTRIBUTE),
            };
            if let Some(list) = &mut observed.templates {
                list.push(template);
            }
        }
        (Action::UpdateTemplate { id, text, .. }, _) => {
            if let Some(template) = observed.templates.iter_mut().flatten().find(|t| t.id == *id) {
                template.tag = tag_in(text);
                template.fingerprint = value_in(text, FINGERPRINT_ATTRIBUTE);
            }
        }
        (Action::AllocateVm { vm }, Some(id)) => observed.vms.push(Vm {
            id,
            uid: owner,
            name: vm.name.clone(),
            tag: tag_in(&vm.text),
            condition: VmCondition::Starting,
            steady: false,
            state: "PENDING".to_owned(),
            created: now,
            ip: None,
            vrouter: None,
            error: None,
            reports: value_in(&vm.text, VERSION_ATTRIBUTE)
                .map(|version| (VERSION_ATTRIBUTE.to_owned(), version))
                .into_iter()
                .collect(),
            command: None,
        }),
        // Its addresses are OpenNebula's choice, so the list has to be read again.
        (Action::AllocateRouter { .. }, _) => observed.routers = None,
        // Names and ids of the VMs are OpenNebula's choice; they come with events of their own.
        (Action::InstantiateRouter { id, .. }, _) => {
            observed.instantiated.insert(*id);
        }
        (Action::Exec { vm, command, .. }, _) => {
            if let Some(vm) = observed.vms.iter_mut().find(|v| v.id == *vm) {
                vm.steady = false;
                vm.command = Some(GuestCommand {
                    token: CommandToken::of_command(command),
                    progress: Progress::Executing,
                    output: None,
                });
            }
        }
        // That it has ended is seen when the VM runs again, in a moment.
        (Action::CancelExec { vm }, _) => {
            if let Some(vm) = observed.vms.iter_mut().find(|v| v.id == *vm) {
                vm.steady = false;
            }
        }
        // Made, but nobody says what: only a look can tell.
        (Action::CreateTemplate { .. }, None) => observed.templates = None,
        (Action::AllocateVm { .. }, None) => observed.all_vms = false,
        (Action::ResumeVm { id, .. }, _) => {
            if let Some(vm) = observed.vms.iter_mut().find(|v| v.id == *id) {
                vm.condition = VmCondition::Starting;
            }
        }
        (Action::TerminateVm { id, .. }, _) => {
            // One that was not in view counts as looked for from now on, and therefore as gone.
            observed.looked_for.insert(*id);
            if let Some(vm) = observed.vms.iter_mut().find(|v| v.id == *id) {
                vm.condition = VmCondition::Ending;
                vm.steady = false;
            }
        }
        _ => remove(observed, action),
    }
}

/// OpenNebula says that the object is not there. It says the same when it can't read its database for a moment, so the
/// list is read again: a refusal to show it is not mistaken for an end.
fn look_again(observed: &mut Observed, action: &Action) {
    match action {
        Action::DeleteTemplate { .. } | Action::UpdateTemplate { .. } => observed.templates = None,
        Action::TerminateVm { id, .. } | Action::DeleteVm { id, .. } => {
            observed.looked_for.remove(id);
            observed.vms.retain(|vm| vm.id != *id);
            observed.all_vms = false;
        }
        Action::DeleteRouter { .. } => observed.routers = None,
        Action::ReleaseAddress { .. } | Action::DeleteReservation { .. } => observed.reservations = None,
        Action::RevokeCredential { .. } => observed.credentials = None,
        _ => {}
    }
}

/// The object of a removal is gone.
fn remove(observed: &mut Observed, action: &Action) {
    match action {
        Action::RevokeCredential { serial } => {
            if let Some(credentials) = &mut observed.credentials {
                credentials.own.remove(serial);
            }
        }
        Action::DeleteTemplate { id, .. } | Action::UpdateTemplate { id, .. } => {
            if let Some(list) = &mut observed.templates {
                list.retain(|t| t.id != *id);
            }
        }
        Action::ResumeVm { id, .. } | Action::TerminateVm { id, .. } | Action::DeleteVm { id, .. } => {
            observed.looked_for.insert(*id);
            observed.vms.retain(|vm| vm.id != *id);
        }
        Action::DeleteRouter { id, .. } => {
            if let Some(list) = &mut observed.routers {
                list.retain(|r| r.id != *id);
            }
            for vm in observed.vms.iter_mut().filter(|vm| vm.vrouter == Some(*id)) {
                vm.condition = VmCondition::Ending;
            }
        }
        Action::ReleaseAddress { network, address } => {
            if let Some(list) = &mut observed.reservations {
                for reservation in list.iter_mut().filter(|r| r.id == *network) {
                    reservation.held.retain(|a| a != address);
                }
            }
        }
        Action::DeleteReservation { id, .. } => {
            if let Some(list) = &mut observed.reservations {
                list.retain(|r| r.id != *id);
            }
        }
        _ => {}
    }
}

/// The value of `KEY="value"` in a text of ours.
fn value_in(text: &str, key: &str) -> Option<String> {
    let start = text.find(&format!("{key}=\""))? + key.len() + 2;
    let rest = text.get(start..)?;
    Some(rest.split('"').next()?.to_owned())
}

/// The tag in a text of ours.
fn tag_in(text: &str) -> Option<Tag> {
    let start = text.find("ONEKS=[").or_else(|| text.find("ONEKS = ["))?;
    let rest = text.get(start..)?;
    let vector = rest.split(']').next()?.replace(" = ", "=");
    Some(Tag {
        cluster: value_in(&vector, "CLUSTER_ID")?.parse().ok()?,
        group: value_in(&vector, "GROUP_ID").and_then(|g| g.parse().ok()),
        kind: Kind::parse(&value_in(&vector, "TYPE")?),
    })
}
