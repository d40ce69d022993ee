//! The handle of a cluster during a pass: what was written on it becomes orders, and what comes of them is shown.
//!
//! The orders are written to the document as its owner, before the plan looks at it; so a pass that dies after that
//! finds them there. What the handle shows is written after STATUS: it is a copy, and made again if it is lost.

mod end;
mod service;
mod show;

use std::cell::RefCell;

use oneks_core::handle::{self, Attributes, Order, Picture, Record, SHOWN, Standing, View};
use oneks_core::spec::Spec;
use oneks_core::status::Status;
use oneks_driver::Owner;
use opennebula::calls::{UpdateMode, VmAction};
use opennebula::client::Client;
use opennebula::objects::{Document, Vm, VmState};
use opennebula::template::Template;

use super::machine::{self, Place};
use super::note::{HandleNote, Handles};
use crate::catalog;
use crate::gate::Hints;
use crate::hook::read_vm;
use crate::notes::Notes;
use crate::pass::{PassError, during};
use crate::service::Service;

/// Attribute of the document that names the VM.
pub const ATTRIBUTE: &str = "HANDLE";

/// Most VMs that are looked at in one pass because an event named them.
const MAX_LOOKS: usize = 4;

/// The handle of the cluster, if it has one.
pub struct Door<'a> {
    service: &'a Service,
    handles: Handles,
    cluster: u32,
    owner: Owner,
    client: Client,
    now: u64,
    inner: RefCell<Option<Inner>>,
}

struct Inner {
    vm: u32,
    note: HandleNote,
    /// Was it read in this pass?
    seen: bool,
    /// There is something to say that does not wait.
    urgent: bool,
    /// SPEC before it was changed here.
    before: Option<String>,
}

/// Orders for the document.
#[derive(Default)]
struct Orders(Vec<(&'static str, String)>);

impl<'a> Door<'a> {
    /// Takes up what events said of handles, and what the cluster's own handle says. The document is as it will be then.
    ///
    /// # Errors
    /// OpenNebula can't be reached or read.
    pub fn open(
        service: &'a Service,
        notes: &Notes,
        document: &mut Document,
        status: &Status,
        hints: &Hints,
        now: u64,
    ) -> Result<Self, PassError> {
        let owner = Owner {
            uid: document.uid,
            name: document.uname.clone(),
        };
        let door = Self {
            service,
            handles: Handles::new(service.gate.dir()),
            cluster: document.id,
            client: service.owner(&owner, now),
            owner,
            now,
            inner: RefCell::new(None),
        };
        let id = document.id;
        let fail = |vm: u32| during(format!("cluster {id}: look at its handle, VM {vm}"));
        for vm in hints.handles.iter().take(MAX_LOOKS) {
            if let Some(vm) = read_vm(service, *vm).map_err(fail(*vm))? {
                door.meet(notes, document, status, &vm)?;
            } else if named(document) == Some(*vm) {
                door.handles.forget(*vm);
            }
        }
        let Some(vm) = named(document).filter(|_| door.inner.borrow().is_none()) else {
            return Ok(door);
        };
        match door.handles.of(vm) {
            Some(note) if note.cluster == id && note.owner == door.owner => {
                if note.agreed {
                    door.enter(vm, note, false);
                }
            }
            // Another cluster's: this document is a copy.
            Some(note) if note.agreed && note.cluster != id => {}
            _ if hints.handles.contains(&vm) => {}
            _ => match read_vm(service, vm).map_err(fail(vm))? {
                Some(seen) => door.meet(notes, document, status, &seen)?,
                None => door.note_stranger(vm),
            },
        }
        Ok(door)
    }

    fn enter(&self, vm: u32, note: HandleNote, seen: bool) {
        *self.inner.borrow_mut() = Some(Inner {
            vm,
            note,
            seen,
            urgent: false,
            before: None,
        });
    }

    /// The document names a VM that is not its handle. That need not be found out with every pass.
    fn note_stranger(&self, vm: u32) {
        let note = HandleNote::new(self.cluster, self.owner.clone(), false);
        self.handles.note(vm, &note);
    }

    fn meet(
        &self,
        notes: &Notes,
        document: &mut Document,
        status: &Status,
        vm: &Vm,
    ) -> Result<(), PassError> {
        let attributes = machine::attributes(&vm.user_template);
        let known = self
            .handles
            .of(vm.id)
            .filter(|n| n.agreed && n.cluster == self.cluster);
        let standing = stand(
            self.service,
            document,
            (vm.id, vm.uid),
            &attributes,
            known.is_some(),
        );
        let (record, heir) = match standing {
            Standing::Handle(record) => (record, false),
            Standing::Heir(record) => (record, true),
            Standing::Stranger(why) => {
                self.tell_stranger(notes, vm, &attributes, &why);
                return Ok(());
            }
            Standing::Nothing => {
                if named(document) == Some(vm.id) {
                    self.note_stranger(vm.id);
                }
                return Ok(());
            }
        };
        let mut note = known.unwrap_or_else(|| HandleNote::new(self.cluster, self.owner.clone(), true));
        note.turn = record.as_ref().map_or(note.turn, |record| record.turn);
        let place = machine::place(vm.state, vm.lcm_state);
        if place == Place::Done {
            return if heir {
                Ok(())
            } else {
                self.ended(document, status, vm)
            };
        }
        // What it showed when it was seen last, if somebody erased the record.
        let base = record.clone().or_else(|| Record::of(&note.shown));
        note.shown.clone_from(&attributes);
        self.enter(vm.id, note, true);
        let mut orders = Orders::default();
        if heir {
            orders.0.push((ATTRIBUTE, vm.id.to_string()));
        }
        let linked = record.is_some();
        self.read_edits(document, status, &attributes, base.as_ref(), &mut orders);
        self.carry_out(document, &orders)?;
        if let Some(inner) = self.inner.borrow_mut().as_mut() {
            if orders
                .0
                .iter()
                .any(|(name, _)| matches!(*name, "RECOVER" | "ROTATE"))
            {
                inner.note.turn = inner.note.turn.saturating_add(1);
            }
            self.put_to_rest(vm.id, place, linked, inner);
            self.handles.note(vm.id, &inner.note);
        }
        Ok(())
    }

    /// What somebody wrote on the handle.
    fn read_edits(
        &self,
        document: &Document,
        status: &Status,
        attributes: &Attributes,
        base: Option<&Record>,
        orders: &mut Orders,
    ) {
        let mut inner = self.inner.borrow_mut();
        let Some(inner) = inner.as_mut() else { return };
        let Some(spec) = spec_of(document, status) else {
            return;
        };
        // A cluster that was just made has what its handle asked for, in other words.
        if base.is_none() && inner.note.written == 0 && !attributes.contains_key(SHOWN) {
            return;
        }
        let (catalog, _) = catalog::load(&self.service.profiles);
        let check = |spec: &Spec| handle::refusals(&catalog, status, spec);
        let edit = handle::edit(attributes, base, &spec, status, &catalog, &check);
        if let Some(wanted) = edit.spec {
            inner.before = document.template.get("SPEC").map(str::to_owned);
            let value = serde_json::to_value(&wanted).unwrap_or_default();
            orders
                .0
                .push(("SPEC", opennebula::template::json_for_cdata(&value)));
        }
        let turn = inner.note.turn.saturating_add(1);
        let token = format!("handle-{}-{turn}", inner.vm);
        let answer = match edit.order {
            Some(Order::Recover) => {
                orders.0.push(("RECOVER", token));
                Some("ordered: what failed is tried again".to_owned())
            }
            Some(Order::Rotate) => {
                orders.0.push(("ROTATE", token));
                Some("ordered: the credential is replaced".to_owned())
            }
            None => None,
        };
        let answers: Vec<String> = edit.answers.into_iter().chain(answer).collect();
        if answers.is_empty() {
            if inner.before.is_some() {
                inner.note.answer = None;
            }
        } else {
            inner.answer(answers.join("; "), status);
        }
    }

    /// Writes the orders as the owner. The hook that hears of it knows by the first attribute that this pass goes on with
    /// them.
    fn carry_out(&self, document: &mut Document, orders: &Orders) -> Result<(), PassError> {
        if orders.0.is_empty() {
            return Ok(());
        }
        let handle = self.inner.borrow().as_ref().map(|inner| inner.vm.to_string());
        let mut order = Template::new();
        if let Some(handle) = handle.or_else(|| document.template.get(ATTRIBUTE).map(str::to_owned)) {
            order.set(ATTRIBUTE, handle);
        }
        for (name, value) in &orders.0 {
            order.set(name, value.as_str());
        }
        let id = self.cluster;
        let names: Vec<&str> = orders.0.iter().map(|(name, _)| *name).collect();
        let text = match order.to_xml("TEMPLATE") {
            Ok(text) => text,
            Err(e) => {
                log::error!("cluster {id}: what its handle orders can't be written: {e}");
                return Ok(());
            }
        };
        match self.client.document_update(id, &text, UpdateMode::Merge) {
            Ok(()) => {
                log::info!("cluster {id}: its handle orders {}", names.join(", "));
                document.template.merge(&order);
                Ok(())
            }
            Err(e) if e.is_authorization() => {
                log::warn!(
                    "cluster {id}: {} may not order {}: {e}",
                    self.owner.name,
                    names.join(", ")
                );
                Ok(())
            }
            Err(e) => Err(during(format!("cluster {id}: order what its handle says"))(e)),
        }
    }

    /// Nobody is to start it.
    fn put_to_rest(&self, vm: u32, place: Place, linked: bool, inner: &mut Inner) {
        let (action, said) = match place {
            Place::Waits => (VmAction::Hold, "it is on hold again"),
            Place::Runs => (VmAction::UndeployHard, "it is taken from the host again"),
            Place::Rests | Place::Moves | Place::Done => return,
        };
        if let Err(e) = self.client.vm_action(action, vm) {
            // It may have got there by itself.
            log::info!(
                "cluster {}: its handle, VM {vm}, can't be put on hold: {e}",
                self.cluster
            );
            return;
        }
        if linked {
            let text = format!(
                "this virtual machine only stands for cluster {} and never runs; {said}",
                self.cluster
            );
            inner.note.answer = Some(text);
            inner.urgent = true;
            inner.note.answered_in.clear();
        }
    }

    /// Tells a VM that it is not what it says.
    fn tell_stranger(&self, notes: &Notes, vm: &Vm, attributes: &Attributes, why: &str) {
        if matches!(vm.state, VmState::Done)
            || attributes.get(handle::MESSAGE).is_some_and(|told| told == why)
        {
            return;
        }
        if !notes.is_new(&format!("handle-{}", vm.id), why) {
            return;
        }
        let client = self.service.owner(&machine::owner(vm), self.now);
        let changes = Picture::from([(handle::MESSAGE.to_owned(), Some(why.to_owned()))]);
        let shown = attributes.get(SHOWN).map(String::as_str);
        if let Err(e) = machine::write(&client, vm.id, &changes, shown) {
            log::info!("VM {}: {why}; it can't be told: {e}", vm.id);
        }
    }
}

impl Inner {
    fn answer(&mut self, text: String, status: &Status) {
        log::info!("VM {}: {text}", self.vm);
        self.note.answer = Some(text);
        status.state.as_str().clone_into(&mut self.note.answered_in);
        self.urgent = true;
    }
}

/// The VM that the document names.
pub fn named(document: &Document) -> Option<u32> {
    document.template.get(ATTRIBUTE)?.trim().parse().ok()
}

/// What the VM, of this id and owner, is to the cluster.
pub fn stand(
    service: &Service,
    document: &Document,
    (vm, vm_owner): (u32, u32),
    attributes: &Attributes,
    noted: bool,
) -> Standing {
    let handle = named(document);
    let proof = service.handle_proof(document.id, vm);
    let successor = handle.map(|old| service.successor_proof(document.id, old));
    handle::standing(&View {
        vm,
        vm_owner,
        attributes,
        cluster: document.id,
        owner: document.uid,
        handle,
        proof: &proof,
        successor: successor.as_deref().unwrap_or_default(),
        noted,
    })
}

/// SPEC as the document has it, or, where that can't be read, as it was accepted.
pub fn spec_of(document: &Document, status: &Status) -> Option<Spec> {
    let text = document.template.get("SPEC");
    text.and_then(|text| Spec::parse(text).ok())
        .or_else(|| status.accepted.clone())
}
