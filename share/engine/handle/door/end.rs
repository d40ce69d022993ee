//! The end of a handle, of its cluster, or of one of them.

use oneks_core::handle::{self, PROTECTION, REPLACES};
use oneks_core::status::Status;
use opennebula::calls::{PoolFilter, VmStateFilter};
use opennebula::objects::{Document, Vm, VmState};

use super::{ATTRIBUTE, Door, Orders, spec_of};
use crate::handle::machine;
use crate::handle::note::HandleNote;
use crate::pass::{PassError, during};

impl Door<'_> {
    /// The handle was terminated: that is an order to delete the cluster, unless it is protected.
    pub(super) fn ended(&self, document: &mut Document, status: &Status, vm: &Vm) -> Result<(), PassError> {
        let ordered = document
            .template
            .get("DELETE")
            .is_some_and(|d| matches!(d.trim().to_ascii_uppercase().as_str(), "YES" | "FORCE"));
        let protected = spec_of(document, status).is_some_and(|spec| spec.deletion_protection);
        if protected && status.deletion.is_none() {
            return self.replace(document, status, vm);
        }
        if !ordered && status.deletion.is_none() {
            log::info!(
                "cluster {}: its handle, VM {}, was terminated",
                self.cluster,
                vm.id
            );
            self.carry_out(document, &Orders(vec![("DELETE", "YES".to_owned())]))?;
        }
        self.note_stranger(vm.id);
        Ok(())
    }

    /// A new handle for a cluster that stays.
    fn replace(&self, document: &mut Document, status: &Status, old: &Vm) -> Result<(), PassError> {
        let id = self.cluster;
        let fail = |what: &str| during(format!("cluster {id}: {what} a new handle"));
        let replaces = format!("{} {}", old.id, self.service.successor_proof(id, old.id));
        let held = VmStateFilter::State(VmState::Hold);
        let made = |vm: &Vm| vm.uid == old.uid && vm.user_template.get(REPLACES) == Some(replaces.as_str());
        let made = self.client.every_vm(PoolFilter::Mine, held, made);
        let made = made.map_err(fail("look for"))?.items.into_iter().next();
        let mut template = machine::template(&old.name);
        template.set(REPLACES, replaces.as_str());
        template.set(handle::CLUSTER_ID, id.to_string());
        let vm = if let Some(vm) = made {
            vm.id
        } else {
            let Ok(text) = template.to_xml("TEMPLATE") else {
                return Ok(());
            };
            match self.client.vm_allocate(&text, true) {
                Ok(vm) => vm,
                Err(e) if e.is_authorization() => {
                    log::warn!("cluster {id}: no new handle for {}: {e}", self.owner.name);
                    self.note_stranger(old.id);
                    return Ok(());
                }
                Err(e) => return Err(fail("make")(e)),
            }
        };
        self.carry_out(document, &Orders(vec![(ATTRIBUTE, vm.to_string())]))?;
        log::info!("cluster {id}: it is protected from deletion; its handle is VM {vm} now");
        self.note_stranger(old.id);
        let mut note = HandleNote::new(id, self.owner.clone(), true);
        note.shown = machine::attributes(&template);
        self.enter(vm, note, true);
        if let Some(inner) = self.inner.borrow_mut().as_mut() {
            let text = format!(
                "VM {} was terminated, but the cluster is protected from deletion: it stays, and this is its handle; set \
                 {PROTECTION}=NO first to delete it",
                old.id
            );
            inner.answer(text, status);
            self.handles.note(vm, &inner.note);
        }
        Ok(())
    }

    /// The cluster is gone, and its handle goes with it.
    pub fn end(&self) {
        if let Some(inner) = self.inner.borrow_mut().take() {
            crate::handle::terminate(self.service, self.cluster, inner.vm, &inner.note.owner, self.now);
        }
    }
}
