//! One pass: read the document, look, plan, act, write. Whatever fails, the next pass starts from the truth again.

use std::cell::{Cell, OnceCell};

use oneks_core::observed::Observed;
use oneks_core::plan::{Desired, Outcome, Plan, absorb, is_news, plan};
use oneks_core::spec::Spec;
use oneks_core::status::{Entry, Status, Truth, Unusable};
use oneks_core::{Action, names};
use oneks_driver::Owner;
use opennebula::calls::UpdateMode;
use opennebula::error::Error;
use opennebula::objects::{Document, Vm};

use crate::execute::{Executor, failure, status_text};
use crate::fence::{Fence, Standing};
use crate::gate::Hints;
use crate::gone;
use crate::handle::door::Door;
use crate::made_for;
use crate::notes::{BROKEN, Look, Notes};
use crate::observe::Observer;
use crate::owners::Note;
use crate::service::Service;
use crate::sweep;

/// Most rounds of looking and acting in one pass. A life needs a dozen at the most; more would be a circle.
const MAX_ROUNDS: u32 = 200;

/// Condition of a cluster whose owner may not look at its objects; there only while that is so.
const OBSERVED: &str = "Observed";

/// Condition of a cluster whose deletion by force leaves something behind.
const LEFT_BEHIND: &str = "LeftBehind";

/// A pass that could not be finished. Its marks stay, and the sweep tries again.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The gate's files.
    #[error(transparent)]
    Gate(#[from] std::io::Error),
    /// A call.
    #[error("{what}: {source}")]
    Call {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: Error,
    },
    /// Another front-end has written STATUS since this pass read it.
    #[error("cluster {0}: another front-end has taken over; this pass ended, and did no harm")]
    Overtaken(u32),
    /// OpenNebula contradicts itself: it can't read its database at this moment.
    #[error("cluster {0}: OpenNebula says that its document does not exist, and lists it; it is left alone")]
    Hidden(u32),
    /// The plan does not come to an end.
    #[error("cluster {0}: the plan went on for {MAX_ROUNDS} rounds; this is a defect")]
    Endless(u32),
}

pub(crate) fn during(what: impl Into<String>) -> impl FnOnce(Error) -> PassError {
    move |source| PassError::Call {
        what: what.into(),
        source,
    }
}

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At the VMs that are known, and those that events named.
    Known,
    /// At all of the owner's: events may have been lost.
    All,
}

/// One pass over a cluster. `seen` is a VM that was read after the event about it, if that was needed.
///
/// # Errors
/// Only if OpenNebula can't be reached or read, or the gate's files fail; everything else is said in STATUS.
pub fn pass(
    service: &Service,
    notes: &Notes,
    id: u32,
    hints: &Hints,
    depth: Depth,
    seen: Option<&Vm>,
    now: u64,
) -> Result<(), PassError> {
    if notes.knows_end(id, hints) {
        return Ok(());
    }
    let mut document = match service.admin.document_info(id, false) {
        Ok(document) => document,
        Err(e) if e.is_not_found() => return gone::clean(service, notes, id, hints, now),
        Err(e) => return Err(during(format!("cluster {id}: read the document"))(e)),
    };
    if document.kind != names::DOCUMENT_TYPE {
        log::debug!("document {id} is of type {}, not a cluster", document.kind);
        return Ok(());
    }
    let key = format!("{id}-{BROKEN}");
    if document.lock.is_some_and(|lock| lock.forbids_updates()) {
        // Nobody could know what was done.
        if notes.is_new(&key, "locked") {
            log::warn!("cluster {id}: its document is locked; nothing is done until it is unlocked");
        }
        notes.watch(id, Look::Idle, true, None, now);
        return Ok(());
    }
    // An id of old may come back with a database of old.
    if notes.has_ended(id) {
        notes.forget(id);
    }
    let text = document.template.get("STATUS");
    let mut forget_kubeconfig = false;
    let known = service.owners.of(id);
    let said = Status::parse(text, id);
    let made_for = known.as_ref().and_then(|known| known.made_for);
    let fence = said.as_ref().map_or((0, None), |s| (s.rev, s.claim.clone()));
    let mut previous = match said {
        Ok(status) => match known.filter(|known| status.rev < known.rev) {
            Some(known) => {
                let reason = format!("it is of revision {}, the last was {}", status.rev, known.rev);
                rebuilt(id, Some(known), &reason, status.history, now)
            }
            None => status,
        },
        Err(Unusable::Schema(schema)) => {
            notes.watch(id, Look::Idle, false, None, now);
            return write_schema(service, notes, &document, schema, now);
        }
        Err(Unusable::Clone { of }) => {
            log::info!("cluster {id}: a clone of {of}; what it copied of its state is dropped");
            forget_kubeconfig = true;
            Status::new(id)
        }
        Err(Unusable::Rebuild(_)) if text.is_none() && known.is_none() => Status::new(id),
        Err(Unusable::Rebuild(reason)) => rebuilt(id, known, &reason, Vec::new(), now),
    };
    notes.is_well(&key);
    if let Some(made_for) = made_for {
        // Whoever owns the document can write STATUS, but not the note.
        previous.owner = Some(made_for);
    }
    let door = Door::open(service, notes, &mut document, &previous, hints, now)?;
    let work = Work {
        service,
        notes,
        door: &door,
        document: &document,
        hints,
        depth,
        seen,
        now,
        made_for: Cell::new(made_for),
    };
    work.take_note(&previous);
    work.run(&previous, forget_kubeconfig, fence)
}

/// A status of which nothing is known but what was noted here.
fn rebuilt(id: u32, known: Option<Note>, reason: &str, history: Vec<Entry>, now: u64) -> Status {
    log::warn!("cluster {id}: STATUS is built anew: {reason}");
    let mut status = Status::new(id);
    status.history = history;
    if let Some(known) = known {
        // Without the owner that it was made for, a document that changed hands would be a second cluster.
        (status.rev, status.owner, status.recovered) = (known.rev, known.made_for, known.recovered);
    }
    status.note(now, format!("STATUS was built anew: {reason}"));
    status
}

struct Work<'a> {
    service: &'a Service,
    notes: &'a Notes,
    door: &'a Door<'a>,
    document: &'a Document,
    hints: &'a Hints,
    depth: Depth,
    seen: Option<&'a Vm>,
    now: u64,
    /// For whom the cluster's objects were made, once that is certain.
    made_for: Cell<Option<u32>>,
}

impl Work<'_> {
    /// Notes whose the cluster is, and how far its STATUS was.
    fn take_note(&self, status: &Status) {
        let note = Note {
            owner: Owner {
                uid: self.document.uid,
                name: self.document.uname.clone(),
            },
            rev: status.rev,
            made_for: self.made_for.get(),
            recovered: status.recovered.clone(),
        };
        self.service.owners.note(self.document.id, &note);
    }

    fn run(
        &self,
        previous: &Status,
        forget_kubeconfig: bool,
        (rev, claim): (u64, Option<String>),
    ) -> Result<(), PassError> {
        let (document, id, now) = (self.document, self.document.id, self.now);
        let owner = Owner {
            uid: document.uid,
            name: document.uname.clone(),
        };
        let desired = Desired {
            document: id,
            name: &document.name,
            owner: owner.clone(),
            spec: document.template.get("SPEC"),
            recover: document.template.get("RECOVER"),
            rotate: document.template.get("ROTATE"),
            delete: document.template.get("DELETE"),
        };
        let told = self.depth == Depth::Known && self.hints.say_it_all();
        if told
            && !forget_kubeconfig
            && previous.condition(OBSERVED).is_none()
            && !is_news(&desired, previous, &self.hints.tidings, now)
        {
            return Ok(());
        }
        let spec = desired
            .spec
            .and_then(|text| Spec::parse(text).ok())
            .or_else(|| previous.accepted.clone());
        let client = self.service.owner(&owner, now);
        let watcher = Observer {
            service: self.service,
            cluster: id,
            owner: &owner,
            client: client.clone(),
            spec: spec.as_ref(),
            user: OnceCell::new(),
        };
        let mut observed = self.nothing_seen();
        let mut status = previous.clone();
        status.clear_condition(OBSERVED);
        let mut kubeconfig = None;
        let mut fence = Fence::new(self.service, id, rev, claim);
        let mut previous = previous.clone();
        let seen = self.seen;
        if let Err(error) = self.first_look(&watcher, &previous, spec.as_ref(), seen, &mut observed) {
            return self.could_not_look(&fence, &previous, &status, kubeconfig.as_deref(), error);
        }
        for _ in 0..MAX_ROUNDS {
            let Plan {
                status: next,
                needs,
                actions,
            } = plan(&desired, &status, &observed, now);
            if !needs.is_empty() {
                for need in &needs {
                    if let Err(error) = watcher.look(&mut observed, need) {
                        return self.could_not_look(&fence, &previous, &status, kubeconfig.as_deref(), error);
                    }
                }
                continue;
            }
            if actions.iter().any(Action::creates) && self.made_for.get().is_none() {
                let other = made_for::other(self.service, id, owner.uid);
                let other = other.map_err(during(format!("cluster {id}: look for whom it was made")))?;
                self.made_for.set(other.or(Some(owner.uid)));
                self.take_note(&previous);
                if other.is_some() {
                    (previous.owner, status.owner) = (other, other);
                    continue;
                }
            }
            if actions.iter().any(Action::creates) && !fence.is_claimed() {
                let claimed = fence.claim(&mut previous, forget_kubeconfig);
                match claimed.map_err(during(format!("cluster {id}: claim it")))? {
                    Standing::Ours => {}
                    Standing::Overtaken => return Err(PassError::Overtaken(id)),
                    Standing::Gone => return Ok(()),
                }
                // What an earlier pass made until now is seen from here on.
                status = previous.clone();
                status.clear_condition(OBSERVED);
                observed = self.nothing_seen();
                let look = self.first_look(&watcher, &previous, spec.as_ref(), None, &mut observed);
                if let Err(error) = look {
                    return self.could_not_look(&fence, &previous, &status, kubeconfig.as_deref(), error);
                }
                continue;
            }
            if previous.control_plane.teardown
                && !next.control_plane.teardown
                && actions.iter().any(Action::creates)
            {
                // Whoever finds what is made now must not take it for what was to be torn down.
                let mut clean = previous.clone();
                clean.forget_bootstrap();
                self.write(&fence, &previous, &mut clean, None, forget_kubeconfig)?;
                fence.wrote(&clean);
                (previous, status) = (clean.clone(), clean);
                continue;
            }
            status = next;
            if actions.is_empty() {
                return self.write(
                    &fence,
                    &previous,
                    &mut status,
                    kubeconfig.as_deref(),
                    forget_kubeconfig,
                );
            }
            let serial = status.credential.as_ref().map_or(1, |c| c.serial);
            let executor = Executor {
                service: self.service,
                cluster: id,
                owner: &owner,
                client: &client,
                serial,
            };
            for action in actions {
                if let Action::StoreKubeconfig { text } = &action {
                    kubeconfig = Some(text.expose().to_owned());
                }
                match self.standing(&fence)? {
                    Standing::Ours => {}
                    Standing::Overtaken => return Err(PassError::Overtaken(id)),
                    Standing::Gone => return Ok(()),
                }
                let outcome = executor.execute(&action);
                tell(id, &action, &outcome);
                if action == Action::DeleteDocument && outcome == Outcome::Done {
                    if status.condition(LEFT_BEHIND).is_none() {
                        self.service.owners.end(id, self.now);
                        self.notes.end(id);
                    }
                    self.tell_end(&status);
                    self.door.end();
                    return Ok(());
                }
                absorb(&mut observed, &action, outcome, owner.uid, now);
            }
        }
        Err(PassError::Endless(id))
    }

    fn nothing_seen(&self) -> Observed {
        Observed {
            settings: self.service.config.settings(),
            ..Observed::default()
        }
    }

    /// The VMs, in one call: those that are known, or all of the owner's where the plan would ask for them anyway.
    fn first_look(
        &self,
        watcher: &Observer<'_>,
        previous: &Status,
        spec: Option<&Spec>,
        seen: Option<&Vm>,
        observed: &mut Observed,
    ) -> Result<(), Error> {
        let known = previous.vm_ids();
        if let Some(vm) = seen.filter(|vm| self.is_enough(vm, previous)) {
            watcher.saw(observed, vm);
            return Ok(());
        }
        let deleting = previous.deletion.is_some() || self.document.template.get("DELETE").is_some();
        let begun = previous.accepted.is_some();
        let changed = begun && previous.accepted.as_ref() != spec;
        let stranger = begun && !self.hints.vms.is_subset(&known);
        let many =
            deleting || changed || stranger || begun && self.depth == Depth::All || vms_change(previous);
        if many {
            return watcher.look(observed, &oneks_core::Need::AllVms);
        }
        watcher.vms(observed, known.union(&self.hints.vms).copied().collect())
    }

    /// Is the VM that was read already all that the events were about? One that runs commands may have been given one
    /// since.
    fn is_enough(&self, vm: &Vm, previous: &Status) -> bool {
        let alone =
            self.hints.vms.len() == 1 && self.hints.vms.contains(&vm.id) && self.hints.deleted.is_none();
        let seed = previous.control_plane.seed.as_ref().and_then(|s| s.vm);
        alone && seed == Some(vm.id) && self.document.template.get("DELETE").is_none()
    }

    /// A look that failed: the reason is kept for users, and the pass is repeated by the sweep.
    fn could_not_look(
        &self,
        fence: &Fence<'_>,
        previous: &Status,
        status: &Status,
        kubeconfig: Option<&str>,
        error: Error,
    ) -> Result<(), PassError> {
        let id = self.document.id;
        if !error.is_authorization() && !error.is_authentication() {
            return Err(during(format!("cluster {id}: look"))(error));
        }
        let why = failure(&error);
        let owner = &self.document.uname;
        let mut next = status.clone();
        // The same trouble as before keeps its time.
        next.conditions.extend(previous.condition(OBSERVED).cloned());
        let message = format!(
            "could not look at the cluster's objects as {owner}: {}",
            why.message
        );
        next.set_condition(self.now, OBSERVED, Truth::False, why.kind.reason(), message);
        let told = |status: &Status| status.condition(OBSERVED).map(|c| c.message.clone());
        if told(previous) != told(&next) {
            log::warn!("cluster {id}: the owner {owner} may not look: {}", why.message);
        }
        // What STATUS says was stored before this look is stored with it.
        self.write(fence, previous, &mut next, kubeconfig, false)
    }

    fn standing(&self, fence: &Fence<'_>) -> Result<Standing, PassError> {
        let id = self.document.id;
        fence.look().map_err(during(format!(
            "cluster {id}: look whether it is still this pass's"
        )))
    }

    fn write(
        &self,
        fence: &Fence<'_>,
        previous: &Status,
        status: &mut Status,
        kubeconfig: Option<&str>,
        forget_kubeconfig: bool,
    ) -> Result<(), PassError> {
        let id = self.document.id;
        status.claim = None;
        let same = status.same_as(previous) && kubeconfig.is_none() && !forget_kubeconfig && previous.rev > 0;
        let look = match self.depth {
            Depth::Known => Look::Event,
            Depth::All if same => Look::Idle,
            Depth::All => Look::Late,
        };
        let (restless, certain) = (
            sweep::is_restless(status),
            sweep::certain(status, self.service.config.probe_every, self.now),
        );
        self.notes.watch(id, look, restless, certain, self.now);
        if same {
            return self.door.show(self.document, status);
        }
        match self.standing(fence)? {
            Standing::Ours => {}
            Standing::Overtaken => return Err(PassError::Overtaken(id)),
            Standing::Gone => return Ok(()),
        }
        status.rev = previous.rev.saturating_add(1);
        let text = status_text(status, kubeconfig, forget_kubeconfig);
        match self.service.admin.document_update(id, &text, UpdateMode::Merge) {
            // Deleted meanwhile: its event cleans up.
            Err(e) if e.is_not_found() => return Ok(()),
            result => result.map_err(during(format!("cluster {id}: write STATUS")))?,
        }
        // What could not be written happens again.
        for entry in status
            .history
            .iter()
            .rev()
            .take_while(|e| !previous.history.contains(e))
            .collect::<Vec<_>>()
            .iter()
            .rev()
        {
            log::info!("cluster {id}: {}", entry.text);
        }
        self.take_note(status);
        self.door.show(self.document, status)
    }

    /// With the document go its conditions; what was left behind is told here.
    fn tell_end(&self, status: &Status) {
        let id = self.document.id;
        log::info!("cluster {id}: deleted");
        if let Some(left) = status.condition(LEFT_BEHIND) {
            log::warn!("cluster {id}: left behind: {}", left.message);
        }
    }
}

/// Is there a group whose VMs come and go? Where the plan makes them itself, it looks at all before; where Kubernetes does,
/// nobody has told their ids when a probe has waited for them.
fn vms_change(status: &Status) -> bool {
    let by_hooks = status.placed.as_ref().is_some_and(|p| !p.capabilities.guest);
    let probed = status.guest_exec.as_ref().filter(|e| e.probes()).map(|e| e.group);
    let mut working = status.groups().filter(|g| g.work.is_some());
    working.any(|g| by_hooks || probed == Some(g.id))
}

/// One line per action that was taken.
pub(crate) fn tell(id: u32, action: &Action, outcome: &Outcome) {
    match outcome {
        Outcome::Created(new) => log::info!("cluster {id}: {} → {new}", action.summary()),
        Outcome::Done => log::info!("cluster {id}: {}", action.summary()),
        Outcome::Failed(why) => log::warn!("cluster {id}: {}: {}", action.summary(), why.message),
    }
}

/// Does a STATUS of a later version say already that it is one?
pub(crate) fn says_unknown_schema(document: &Document) -> bool {
    let status = document.template.get("STATUS").unwrap_or_default();
    let status: serde_json::Value = serde_json::from_str(status).unwrap_or_default();
    let conditions = status.get("conditions").and_then(serde_json::Value::as_array);
    let ours = |c: &serde_json::Value| c.get("type").is_some_and(|t| t == "UnknownSchema");
    conditions.is_some_and(|conditions| conditions.iter().any(ours))
}

/// A STATUS of a later version: nothing is done, and nothing is written but the condition that says so.
fn write_schema(
    service: &Service,
    notes: &Notes,
    document: &Document,
    schema: u64,
    now: u64,
) -> Result<(), PassError> {
    let id = document.id;
    let said = format!("STATUS has schema {schema}; a later version of this software wrote it");
    if notes.is_new(&format!("{id}-{BROKEN}"), &said) {
        log::warn!("cluster {id}: {said}");
    }
    let text = document.template.get("STATUS").unwrap_or_default();
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(text) else {
        return Ok(());
    };
    let Some(conditions) = value
        .get_mut("conditions")
        .and_then(serde_json::Value::as_array_mut)
    else {
        return Ok(());
    };
    if says_unknown_schema(document) {
        return Ok(());
    }
    conditions.push(serde_json::json!({
        "type": "UnknownSchema",
        "status": "True",
        "reason": "UnknownSchema",
        "message": format!("STATUS has schema {schema}, which this version does not know; upgrade it on this front-end"),
        "since": now,
    }));
    let mut template = opennebula::template::Template::new();
    template.set("STATUS", opennebula::template::json_for_cdata(&value));
    let Ok(text) = template.to_xml("TEMPLATE") else {
        return Ok(());
    };
    let result = service.admin.document_update(id, &text, UpdateMode::Merge);
    result.map_err(during(format!("cluster {id}: write STATUS")))
}
