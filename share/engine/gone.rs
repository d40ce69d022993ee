//! A cluster whose document is gone: that is an order to clean up.
//!
//! Whose objects they are is known from the document that the delete event carried, or from what an earlier pass noted
//! while the document was there. Everything is done as that user. Objects of other users that carry the cluster's tag and
//! name, such as those made from a template that was shared, are not touched; `oneks audit` lists them.

use std::cell::OnceCell;

use oneks_core::observed::Observed;
use oneks_core::plan::{Outcome, Teardown, absorb, teardown};
use oneks_driver::Owner;
use opennebula::calls::PoolFilter;
use opennebula::error::Error;

use crate::execute::Executor;
use crate::gate::Hints;
use crate::handle;
use crate::notes::{LEFT, Look, Notes};
use crate::observe::Observer;
use crate::owners::Note;
use crate::pass::{PassError, tell};
use crate::service::Service;

/// Most rounds of looking and removing for one owner.
const MAX_ROUNDS: u32 = 50;

/// Removes what a cluster without document left, as far as it can be removed now.
///
/// # Errors
/// OpenNebula can't be reached or read.
pub fn clean(service: &Service, notes: &Notes, id: u32, hints: &Hints, now: u64) -> Result<(), PassError> {
    let fail = |source: Error| PassError::Call {
        what: format!("cluster {id}: clean up"),
        source,
    };
    match note(hints) {
        Some(note) => service.owners.note(id, &note),
        None if !is_gone(service, id).map_err(fail)? => {
            return Err(PassError::Hidden(id));
        }
        None => {}
    }
    if service.owners.of(id).is_none()
        && let Some(note) = service.owners.late(id, now)
    {
        // The end is not the end.
        notes.forget(id);
        service.owners.note(id, &note);
    }
    let Some(Note { owner, .. }) = service.owners.of(id) else {
        log::debug!("cluster {id}: its document is gone, and whose it was is not known");
        handle::without_document(service, id, hints, None, now).map_err(fail)?;
        notes.forget(id);
        return Ok(());
    };
    let left = remove(service, id, &owner, now).map_err(fail)?;
    handle::without_document(service, id, hints, left.as_deref(), now).map_err(fail)?;
    match &left {
        Some(step) if notes.is_new(&format!("{id}-{LEFT}"), step) => {
            log::info!("cluster {id}: its document is gone; {step}");
        }
        Some(_) => {}
        None => service.owners.end(id, now),
    }
    notes.watch(id, Look::Late, left.is_some(), None, now);
    Ok(())
}

/// Is there really no such document? oned answers the same when it can't read its database at that moment; a list of all
/// documents it then refuses.
fn is_gone(service: &Service, id: u32) -> Result<bool, Error> {
    let kind = oneks_core::names::DOCUMENT_TYPE;
    let pool = service.admin.every_document(PoolFilter::All, kind)?;
    // One whose id can't be read may be this one.
    let hidden = pool
        .broken
        .iter()
        .any(|(broken, _)| broken.is_none_or(|broken| broken == id));
    Ok(!hidden && pool.items.iter().all(|document| document.id != id))
}

/// Whose cluster it was, as the delete event says.
fn note(hints: &Hints) -> Option<Note> {
    let deleted = hints.deleted.as_ref()?;
    let owner = Owner {
        uid: deleted.uid,
        name: deleted.uname.clone(),
    };
    Some(Note {
        owner,
        rev: 0,
        made_for: None,
        recovered: None,
    })
}

/// Removes what one owner has. Returns what is still waited for.
fn remove(service: &Service, id: u32, owner: &Owner, now: u64) -> Result<Option<String>, Error> {
    let client = service.owner(owner, now);
    let watcher = Observer {
        service,
        cluster: id,
        owner,
        client: client.clone(),
        spec: None,
        user: OnceCell::new(),
    };
    let executor = Executor {
        service,
        cluster: id,
        owner,
        client: &client,
        // What is removed has no text to put a credential in.
        serial: 1,
    };
    let part = Teardown {
        cluster: id,
        owner: owner.uid,
        force: false,
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
