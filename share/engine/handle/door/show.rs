//! What a cluster's handle shows, and when that is written.

use oneks_core::handle::{self, Attributes, Picture, SHOWN, Shown, Standing};
use oneks_core::spec::Spec;
use oneks_core::status::{Status, Truth};
use opennebula::calls::UpdateMode;
use opennebula::error::Error;
use opennebula::objects::Document;
use opennebula::template::Template;

use super::{Door, Inner, spec_of, stand};
use crate::gate::Hints;
use crate::handle::machine::{self, Place};
use crate::hook::read_vm;
use crate::pass::{PassError, during};

/// Why a SPEC that was changed on the handle is put back, if the plan refuses it.
const PUT_BACK: [&str; 4] = [
    "InvalidSpec",
    "VersionNotPossible",
    "NotSupported",
    "ImmutableField",
];

impl Door<'_> {
    /// Shows the cluster's state on its handle, if that shows another.
    ///
    /// # Errors
    /// OpenNebula can't be reached.
    pub fn show(&self, document: &Document, status: &Status) -> Result<(), PassError> {
        let mut guard = self.inner.borrow_mut();
        let Some(inner) = guard.as_mut() else {
            return Ok(());
        };
        let put_back = self.put_back(document, status, inner)?;
        let spec = match &put_back {
            Some(text) => Spec::parse(text).ok().or_else(|| status.accepted.clone()),
            None => spec_of(document, status),
        };
        if !inner.urgent && inner.note.answered_in != status.state.as_str() {
            inner.note.answer = None;
        }
        let mut changes = self.changes(inner, spec.as_ref(), status);
        if !inner.seen && handle::touches(&changes, &inner.note.shown) {
            // Somebody changes SPEC elsewhere. What is being written on the handle at the same time must not be lost.
            changes = match self.look_again(document, spec.as_ref(), status, inner)? {
                Some(changes) => changes,
                None => return Ok(()),
            };
        }
        let slow = handle::is_progress(&changes);
        let paused = handle::pause_ends(inner.note.written, inner.note.slow) > self.now;
        let waits = slow && paused && !inner.urgent && !handle::is_pressing(status);
        if changes.is_empty() || waits {
            self.handles.note(inner.vm, &inner.note);
            return Ok(());
        }
        self.tell_service(status, inner);
        let shown = inner.note.shown.get(SHOWN).cloned();
        let written = machine::write(&self.client, inner.vm, &changes, shown.as_deref());
        match written {
            Ok(()) => {}
            Err(e) if is_refused(&e) => {
                log::info!(
                    "cluster {}: its handle, VM {}, can't be written: {e}",
                    self.cluster,
                    inner.vm
                );
            }
            Err(e) => return Err(during(format!("cluster {}: write its handle", self.cluster))(e)),
        }
        inner.note.slow = if slow {
            inner.note.slow.saturating_add(1)
        } else {
            0
        };
        inner.note.written = self.now.max(1);
        apply(&mut inner.note.shown, changes);
        status.state.as_str().clone_into(&mut inner.note.answered_in);
        self.handles.note(inner.vm, &inner.note);
        Ok(())
    }

    fn changes(&self, inner: &Inner, spec: Option<&Spec>, status: &Status) -> Picture {
        let proof = self.service.handle_proof(self.cluster, inner.vm);
        let shown = Shown {
            vm: inner.vm,
            proof: &proof,
            turn: inner.note.turn,
            answer: inner.note.answer.as_deref(),
        };
        let picture = handle::picture(spec, status, &shown, &inner.note.shown);
        handle::changes(&picture, &inner.note.shown)
    }

    /// The handle as it is, before something is written that users write as well. What they wrote meanwhile is left for
    /// the pass that its mark leads to.
    fn look_again(
        &self,
        document: &Document,
        spec: Option<&Spec>,
        status: &Status,
        inner: &mut Inner,
    ) -> Result<Option<Picture>, PassError> {
        let id = self.cluster;
        let fail = during(format!("cluster {id}: look at its handle, VM {}", inner.vm));
        let Some(vm) = read_vm(self.service, inner.vm).map_err(fail)? else {
            return Ok(None);
        };
        let there = machine::attributes(&vm.user_template);
        let standing = stand(self.service, document, (vm.id, vm.uid), &there, true);
        let at_rest = machine::place(vm.state, vm.lcm_state) == Place::Rests;
        let differs = there != inner.note.shown;
        let by_user =
            |name: &&String| handle::is_users(name) && there.get(*name) != inner.note.shown.get(*name);
        let written = there.keys().any(|name| by_user(&name));
        if !matches!(standing, Standing::Handle(_)) || !at_rest || written {
            let again = Hints::handle(inner.vm);
            self.service.gate.mark(id, &again)?;
            return Ok(None);
        }
        if differs {
            inner.note.shown = there;
        }
        inner.seen = true;
        Ok(Some(self.changes(inner, spec, status)))
    }

    /// A SPEC that was changed on the handle and that the plan refuses is what it was before.
    fn put_back(
        &self,
        document: &Document,
        status: &Status,
        inner: &mut Inner,
    ) -> Result<Option<String>, PassError> {
        let refused = status
            .condition("Accepted")
            .filter(|c| c.status == Truth::False && PUT_BACK.contains(&c.reason.as_str()));
        let (Some(refused), Some(before), Some(_)) = (refused, inner.before.take(), &status.accepted) else {
            return Ok(None);
        };
        let id = document.id;
        let mut order = Template::new();
        order.set("SPEC", before.as_str());
        let Ok(text) = order.to_xml("TEMPLATE") else {
            return Ok(None);
        };
        let written = self.client.document_update(id, &text, UpdateMode::Merge);
        written.map_err(during(format!("cluster {id}: put SPEC back")))?;
        let text = format!(
            "{}; what was written on this virtual machine is put back",
            refused.message
        );
        inner.answer(text, status);
        Ok(Some(before))
    }
}

/// Does the VM not let itself be changed: locked, or gone?
fn is_refused(error: &Error) -> bool {
    error.is_authorization() || error.is_not_found() || error.is_wrong_state()
}

fn apply(shown: &mut Attributes, changes: Picture) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(shown.insert(name, value)),
            None => drop(shown.remove(&name)),
        }
    }
}
