//! The handle of a cluster during a pass: what was written on it becomes orders, and what comes of them is shown.
//!
//! The orders are written to the document as its owner, before the plan looks at it; so a pass that dies after that
//! finds them there. What the handle shows is written after STATUS: it is a copy, and made again if it is lost.

use std::cell::RefCell;

use oneks_core::handle::{
    self, Attributes, GROUP, Order, PROTECTION, Picture, REPLACES, Record, SHOWN, Shown, Standing, VERSION,
    View,
};
use oneks_core::spec::Spec;
use oneks_core::state::ClusterState;
use oneks_core::status::{Status, Truth};
use oneks_driver::Owner;
use opennebula::calls::{PoolFilter, PoolRange, UpdateMode, VmAction, VmStateFilter};
use opennebula::client::Client;
use opennebula::error::Error;
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

/// Document type of OneFlow's services.
const SERVICE_DOCUMENT: u32 = 100;

/// Most VMs that are looked at in one pass because an event named them.
const MAX_LOOKS: usize = 4;

/// Seconds after which progress is shown that is no change of state; doubled each time.
const PAUSE: u64 = 180;

/// Why a SPEC that was changed on the handle is put back, if the plan refuses it.
const PUT_BACK: [&str; 4] = [
    "InvalidSpec",
    "VersionNotPossible",
    "NotSupported",
    "ImmutableField",
];

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
        let standing = stand(self.service, document, vm, &attributes, known.is_some());
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

    /// The handle was terminated: that is an order to delete the cluster, unless it is protected.
    fn ended(&self, document: &mut Document, status: &Status, vm: &Vm) -> Result<(), PassError> {
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
        let pool = self
            .client
            .vmpool_infoextended(PoolFilter::Mine, PoolRange::default(), held)
            .map_err(fail("look for"))?;
        let made = pool
            .items
            .iter()
            .find(|vm| vm.uid == old.uid && vm.user_template.get(REPLACES) == Some(replaces.as_str()));
        let mut template = machine::template(&old.name);
        template.set(REPLACES, replaces);
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
        if !inner.seen && touches(&changes, &inner.note.shown) {
            // Somebody changes SPEC elsewhere. What is being written on the handle at the same time must not be lost.
            changes = match self.look_again(document, spec.as_ref(), status, inner)? {
                Some(changes) => changes,
                None => return Ok(()),
            };
        }
        let slow = changes
            .keys()
            .all(|name| name == handle::NODES || name == handle::MESSAGE);
        let due = inner
            .note
            .written
            .saturating_add(PAUSE << inner.note.slow.min(16));
        if changes.is_empty() || slow && !inner.urgent && !is_pressing(status) && self.now < due {
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

    /// `oneflow show` tells nothing of a service on hold but its name, which is not kept in what OneFlow writes itself.
    fn tell_service(&self, status: &Status, inner: &mut Inner) {
        let id = inner.note.shown.get(handle::SERVICE);
        let Some(id) = id.and_then(|id| id.trim().parse::<u32>().ok()) else {
            return;
        };
        let known = match &inner.note.service {
            Some(name) => name.clone(),
            // Whoever may write the VM may name any document there; the service itself must know the VM.
            None => match self.client.document_info(id, false) {
                Ok(service) if is_service_of(&service, inner.vm) => service.name,
                Ok(_) => return,
                Err(e) => {
                    log::info!("VM {}: its service {id} can't be read: {e}", inner.vm);
                    return;
                }
            },
        };
        let name = handle::service_name(&known, status);
        if known != name
            && let Err(e) = self.client.document_rename(id, &name)
        {
            log::info!("service {id} can't be called {name:?}: {e}");
        }
        inner.note.service = Some(name);
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
        let standing = stand(self.service, document, &vm, &there, true);
        let at_rest = machine::place(vm.state, vm.lcm_state) == Place::Rests;
        let differs = there != inner.note.shown;
        let by_user = |name: &&String| is_users(name) && there.get(*name) != inner.note.shown.get(*name);
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

    /// The cluster is gone, and its handle goes with it.
    pub fn end(&self) {
        if let Some(inner) = self.inner.borrow_mut().take() {
            super::terminate(self.service, self.cluster, inner.vm, &inner.note.owner, self.now);
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

/// Is it the OneFlow service whose only VM is this?
fn is_service_of(document: &Document, vm: u32) -> bool {
    let body = document.template.get("BODY").unwrap_or_default();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let roles = body["roles"].as_array().into_iter().flatten();
    let nodes: Vec<&serde_json::Value> = roles
        .flat_map(|r| r["nodes"].as_array().into_iter().flatten())
        .collect();
    document.kind == SERVICE_DOCUMENT
        && nodes
            .iter()
            .all(|node| node["deploy_id"].as_u64() == Some(u64::from(vm)))
        // OneFlow notes the VM only when it has been made.
        && nodes.len() <= 1
        && body[super::offer::MARK] == super::offer::SERVICE
}

/// The VM that the document names.
pub fn named(document: &Document) -> Option<u32> {
    document.template.get(ATTRIBUTE)?.trim().parse().ok()
}

/// What the VM is to the cluster.
pub fn stand(
    service: &Service,
    document: &Document,
    vm: &Vm,
    attributes: &Attributes,
    noted: bool,
) -> Standing {
    let handle = named(document);
    let proof = service.handle_proof(document.id, vm.id);
    let successor = handle.map(|old| service.successor_proof(document.id, old));
    handle::standing(&View {
        vm: vm.id,
        vm_owner: vm.uid,
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

/// Is it something that users write?
fn is_users(name: &str) -> bool {
    name == VERSION || name == PROTECTION || name == handle::ACTION || name.starts_with(GROUP)
}

/// Would something be overwritten that users write?
fn touches(changes: &Picture, there: &Attributes) -> bool {
    changes
        .keys()
        .any(|name| is_users(name) && there.contains_key(name))
}

/// Is there bad news?
fn is_pressing(status: &Status) -> bool {
    status.state != ClusterState::Warning && status.groups().any(|g| g.error.is_some())
        || status
            .condition("Accepted")
            .is_some_and(|c| c.status == Truth::False)
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
