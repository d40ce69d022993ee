//! What events should have told of handles, found by comparing all of them with all documents. Both were read anyway.

use std::collections::{BTreeMap, BTreeSet};

use oneks_core::handle::{self, Record, Shown, Standing};
use oneks_core::status::Status;
use opennebula::objects::{Document, VmOutline};

use super::door;
use super::machine::{self, Place};
use super::note::Handles;
use crate::notes::Notes;
use crate::service::Service;

/// What is to be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Clusters, each with the handle that is the reason.
    pub clusters: Vec<(u32, u32)>,
    /// Handles without a cluster.
    pub handles: Vec<u32>,
}

/// Compares handles and documents. `complete`: are `vms` all that there are, or only those that wait or rest?
pub fn compare(service: &Service, documents: &[Document], vms: &[VmOutline], complete: bool) -> Due {
    let mut due = Due::default();
    let notes = Notes::new(service.gate.dir());
    let handles = Handles::new(service.gate.dir());
    let files: BTreeSet<u32> = handles.all().into_iter().collect();
    let there: BTreeSet<u32> = vms.iter().map(|vm| vm.id).collect();
    let by_id: BTreeMap<u32, &Document> = documents.iter().map(|d| (d.id, d)).collect();
    let by_handle: BTreeMap<(u32, u32), u32> = documents
        .iter()
        .rev()
        .filter_map(|d| Some(((d.uid, door::named(d)?), d.id)))
        .collect();
    for vm in vms {
        let attributes = machine::attributes(&vm.user_template);
        let known = files.get(&vm.id).and_then(|vm| handles.cluster(*vm));
        if !handle::is_handle(&attributes) && known.is_none() && !attributes.contains_key(handle::SHOWN) {
            continue;
        }
        let claimed = attributes
            .get(handle::SHOWN)
            .and_then(|text| Record::claimed(text, vm.id));
        let Some(cluster) = claimed.or(known) else {
            match by_handle.get(&(vm.uid, vm.id)) {
                Some(cluster) => due.clusters.push((*cluster, vm.id)),
                None => due.handles.push(vm.id),
            }
            continue;
        };
        let Some(document) = by_id.get(&cluster) else {
            due.clusters.push((cluster, vm.id));
            continue;
        };
        if is_due(service, document, vm, &attributes, known.is_some()) {
            due.clusters.push((cluster, vm.id));
        }
    }
    for document in documents.iter().filter(|_| complete) {
        let gone = |vm: &u32| !there.contains(vm);
        if let Some(vm) = door::named(document).filter(gone)
            && document.template.get("DELETE").is_none()
            && notes.is_new(&format!("{}-handle", document.id), &format!("VM {vm} is gone"))
        {
            due.clusters.push((document.id, vm));
        }
    }
    if complete {
        for vm in files.difference(&there) {
            if handles.cluster(*vm).is_none() {
                handles.forget(*vm);
            }
        }
    }
    due
}

/// Does the handle say something that its cluster does not know, or the other way round?
fn is_due(
    service: &Service,
    document: &Document,
    vm: &VmOutline,
    attributes: &handle::Attributes,
    known: bool,
) -> bool {
    let record = match door::stand(service, document, (vm.id, vm.uid), attributes, known) {
        Standing::Handle(Some(record)) => record,
        Standing::Handle(None) | Standing::Heir(_) => return true,
        Standing::Stranger(why) => {
            let notes = Notes::new(service.gate.dir());
            let told = attributes.get(handle::MESSAGE).is_some_and(|told| *told == why);
            return !told && notes.is_new(&format!("handle-{}-due", vm.id), &why);
        }
        Standing::Nothing => return false,
    };
    if machine::place(vm.state, vm.lcm_state) != Place::Rests {
        return true;
    }
    let Ok(status) = Status::parse(document.template.get("STATUS"), document.id) else {
        return false;
    };
    let proof = service.handle_proof(document.id, vm.id);
    let shown = Shown {
        vm: vm.id,
        proof: &proof,
        turn: record.turn,
        answer: attributes.get(handle::MESSAGE).map(String::as_str),
    };
    let spec = door::spec_of(document, &status);
    let picture = handle::picture(spec.as_ref(), &status, &shown, attributes);
    let changes = handle::changes(&picture, attributes);
    // Progress is shown when there is more of it.
    changes.keys().any(|name| name != handle::NODES)
}
