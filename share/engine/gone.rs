//! A cluster whose document is gone: that is an order to clean up.
//!
//! Whose objects they are is known from the document that the delete event carried, or from the objects themselves.
//! Every removal is made as the owner of what is removed, so a forged tag costs its forger's objects only.

use std::collections::BTreeMap;

use oneks_core::names::Names;
use oneks_core::observed::Observed;
use oneks_core::plan::{Outcome, Teardown, absorb, teardown};
use oneks_core::status::Status;
use oneks_driver::Owner;
use opennebula::calls::{PoolFilter, PoolRange, VmStateFilter};
use opennebula::error::Error;
use opennebula::objects::Vm;

use crate::execute::Executor;
use crate::gate::Hints;
use crate::observe::Observer;
use crate::pass::{PassError, tell};
use crate::service::Service;

/// Most rounds of looking and removing for one owner.
const MAX_ROUNDS: u32 = 50;

/// Removes what a cluster without document left, as far as it can be removed now.
///
/// # Errors
/// OpenNebula can't be reached or read.
pub fn clean(service: &Service, id: u32, hints: &Hints, now: u64) -> Result<(), PassError> {
    let fail = |source: Error| PassError::Call {
        what: format!("cluster {id}: clean up"),
        source,
    };
    let owners = owners(service, id, hints).map_err(fail)?;
    for (owner, serial) in owners {
        let left = remove(service, id, &owner, serial, now).map_err(fail)?;
        if let Some(step) = left {
            log::info!("cluster {id}: its document is gone; {step}");
        }
    }
    Ok(())
}

/// Who may own what is left, with the number of the credential.
fn owners(service: &Service, id: u32, hints: &Hints) -> Result<Vec<(Owner, u32)>, Error> {
    let mut found: BTreeMap<u32, (Owner, u32)> = BTreeMap::new();
    if let Some(deleted) = &hints.deleted {
        let status = Status::parse(deleted.status.as_deref(), id).ok();
        let serial = status.and_then(|s| s.credential).map_or(1, |c| c.serial);
        let owner = Owner {
            uid: deleted.uid,
            name: deleted.uname.clone(),
        };
        found.insert(owner.uid, (owner, serial));
        return Ok(found.into_values().collect());
    }
    let admin = &service.admin;
    let vms = if hints.vms.is_empty() {
        admin.vmpool_infoextended(PoolFilter::All, PoolRange::default(), VmStateFilter::NotDone)?
    } else {
        let ids: Vec<u32> = hints.vms.iter().copied().collect();
        admin.vmpool_infoset(&ids, true)?
    };
    let names = Names::new(id);
    let ours = |vm: &&Vm| vm.oneks_tag().is_some_and(|t| t.cluster_id == id) && names.owns(&vm.name);
    for vm in vms.items.iter().filter(ours) {
        found.entry(vm.uid).or_insert_with(|| {
            (
                Owner {
                    uid: vm.uid,
                    name: vm.uname.clone(),
                },
                1,
            )
        });
    }
    if hints.vms.is_empty() {
        let range = PoolRange::default();
        for template in admin.templatepool_info(PoolFilter::All, range)?.items {
            if names.owns(&template.name) && template.oneks_tag().is_some_and(|t| t.cluster_id == id) {
                let owner = Owner {
                    uid: template.uid,
                    name: template.uname.clone(),
                };
                found.entry(template.uid).or_insert((owner, 1));
            }
        }
        for router in admin.vrouterpool_info(PoolFilter::All, range)?.items {
            if router.name == names.router() || router.name == names.load_balancer() {
                let owner = Owner {
                    uid: router.uid,
                    name: router.uname.clone(),
                };
                found.entry(router.uid).or_insert((owner, 1));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Removes what one owner has. Returns what is still waited for.
fn remove(service: &Service, id: u32, owner: &Owner, serial: u32, now: u64) -> Result<Option<String>, Error> {
    let client = service.owner(owner, now);
    let watcher = Observer {
        service,
        cluster: id,
        owner,
        client: client.clone(),
        spec: None,
        serial,
    };
    let executor = Executor {
        service,
        cluster: id,
        owner,
        client: &client,
        serial,
    };
    let part = Teardown {
        cluster: id,
        owner: owner.uid,
        force: false,
        credential: Some(serial),
    };
    let mut observed = Observed::default();
    for _ in 0..MAX_ROUNDS {
        let (mut needs, mut actions) = (Vec::new(), Vec::new());
        let Some(step) = teardown(&part, &observed, &mut needs, &mut actions) else {
            return Ok(None);
        };
        if !needs.is_empty() {
            for need in &needs {
                watcher.look(&mut observed, need)?;
            }
            continue;
        }
        actions.retain(|a| observed.failure(a).is_none());
        if actions.is_empty() {
            return Ok(Some(step));
        }
        for action in actions {
            let outcome: Outcome = executor.execute(&action);
            tell(id, &action, &outcome);
            absorb(&mut observed, &action, outcome, owner.uid, now);
        }
    }
    Ok(Some("too many rounds; the next sweep goes on".to_owned()))
}

/// Is nothing left that carries the cluster's name and tag?
///
/// # Errors
/// OpenNebula can't be reached or read.
pub fn nothing_left(service: &Service, id: u32) -> Result<bool, Error> {
    owners(service, id, &Hints::none()).map(|owners| owners.is_empty())
}
