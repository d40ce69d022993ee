//! The only clock: notices lost events, passed deadlines and leftovers.
//!
//! The timer starts it every minute. Most of the time it finds in the [notes](crate::notes) of this front-end that
//! nothing is due, and ends without a call. Every few minutes it reads all documents, in one call, whatever the notes say:
//! that finds what users wrote while no event came. A look at a cluster follows only where a document or a note shows that
//! something is due, or where a mark was left behind. That a cluster at rest lost a VM unnoticed is found by comparing all
//! VMs, less often.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use oneks_core::plan::{credential_look, rotation_waits};
use oneks_core::state::ClusterState;
use oneks_core::status::{Status, Unusable};
use oneks_core::{attribute, names};
use oneks_driver::VmCondition;
use opennebula::calls::{PoolFilter, VmStateFilter};
use opennebula::error::Error;
use opennebula::objects::{Document, VmOutline, VmState};

use crate::convert;
use crate::gate::{Forgotten, Gate, GateFs, Hints};
use crate::handle::note::Handles;
use crate::notes::{BROKEN, FAILED, Notes};
use crate::pass::{Depth, PassError, pass};
use crate::service::Service;

/// Most passes of one cluster in one sweep.
const MAX_PASSES: u32 = 4;

/// Seconds between two times that all documents are read: where the last found what events should have told, and
/// otherwise.
const READ_EVERY: (u64, u64) = (60, 300);

/// Seconds between two comparisons of all virtual machines with what the clusters note.
const COMPARE_EVERY: u64 = 600;

/// File beside the locks with the time of the last sweep, for those who want to know whether it runs.
pub const SWEPT: &str = "last-sweep";

/// Notes that a sweep came to its end.
pub fn note(locks: &Path, now: u64) {
    let write = || std::fs::write(locks.join(SWEPT), now.to_string());
    // Made by the first mark, as a rule; there may have been none since this machine started.
    let make = || DirBuilder::new().mode(0o750).create(locks);
    let result = write().or_else(|_| make().and_then(|()| write()));
    if let Err(e) = result {
        log::warn!("{} can't be written: {e}", locks.join(SWEPT).display());
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Clusters that were read or looked at.
    pub clusters: usize,
    /// Clusters that were looked at.
    pub looked_at: usize,
    /// Passes that failed, with the reason.
    pub failed: Vec<String>,
    /// This front-end is not the one that acts.
    pub not_leader: bool,
}

/// Sweeps over all clusters.
///
/// # Errors
/// The documents can't be read, or the gate's files fail. What goes wrong with one cluster is in the report.
pub fn sweep(service: &Service, now: u64) -> Result<Report, PassError> {
    sweep_through(service, &service.gate, now)
}

/// Sweeps over all clusters, whatever this front-end noted: for one that has just become leader, or whose hook manager
/// has just been started. What is noted is forgotten first; if OpenNebula does not answer yet, the next sweep does the
/// same.
///
/// # Errors
/// The documents can't be read, or the gate's files fail.
pub fn sweep_all(service: &Service, now: u64) -> Result<Report, PassError> {
    Notes::new(service.gate.dir()).begin_anew();
    sweep(service, now)
}

/// Like [`sweep`], with another gate than the service's own: one whose file operations are watched, or end.
///
/// # Errors
/// The documents can't be read, or the gate's files fail.
pub fn sweep_through<F: GateFs>(service: &Service, gate: &Gate<F>, now: u64) -> Result<Report, PassError> {
    let notes = Notes::new(gate.dir());
    let mut due = notes.due(now);
    due.extend(gate.pending()?);
    let mut report = Report::default();
    let read_all = notes.sweep_is_due(now);
    let unknown = gate.notes()?;
    let mut handles: BTreeSet<u32> = gate.handles().pending()?.into_iter().collect();
    if due.is_empty() && unknown.is_empty() && handles.is_empty() && !read_all {
        return Ok(report);
    }
    report.clusters = due.len();
    let mut found = Found::default();
    let known = due.clone();
    if read_all {
        found = read(service, gate, now).map_err(during_sweep)?;
        report.clusters = found.documents.len();
        due.append(&mut found.due);
    }
    let compares = read_all && notes.comparison_is_due(COMPARE_EVERY, now);
    if !due.is_empty() || !unknown.is_empty() || !handles.is_empty() || !found.gone.is_empty() || compares {
        // Asked only when there is something to do: a follower must leave it to the leader.
        if !service.acts().map_err(during_sweep)? {
            report.not_leader = true;
            notes.forget_times();
            return Ok(report);
        }
    }
    if compares {
        let alone = found.documents.is_empty();
        let vms = machines(service, alone).map_err(during_sweep)?;
        due.append(&mut changed(&vms, &found.documents));
        // Where documents can't be read, nobody knows what stands for them.
        if found.complete {
            let found = crate::handle::sweep::compare(service, &found.documents, &vms, !alone);
            for (cluster, vm) in found.clusters {
                gate.mark(cluster, &Hints::handle(vm))?;
                due.insert(cluster);
            }
            handles.extend(found.handles);
        }
        notes.compared(now);
    }
    if read_all {
        let late = due.iter().any(|id| !known.contains(id)) || !found.gone.is_empty();
        let pause = if late { READ_EVERY.0 } else { READ_EVERY.1 };
        notes.swept(now.saturating_add(pause), now);
    }
    for note in unknown {
        match crate::hook::read_vm(service, note.vm) {
            Ok(vm) => {
                if let Some(cluster) = vm.as_ref().and_then(crate::hook::cluster_of) {
                    gate.mark(cluster, &Hints::vm(note.vm))?;
                    due.insert(cluster);
                }
                gate.drop_note(note)?;
            }
            Err(e) => report.failed.push(format!("VM {} can't be read: {e}", note.vm)),
        }
    }
    for vm in handles {
        report.looked_at += 1;
        gate.handles().mark(vm, &Hints::none())?;
        let pass = gate.handles().run(vm, MAX_PASSES, |_| {
            due.extend(crate::handle::pass(service, gate, vm, now)?);
            Ok(())
        });
        match pass {
            Ok(_) => {}
            Err(PassError::Gate(e)) => return Err(PassError::Gate(e)),
            Err(e) => report.failed.push(e.to_string()),
        }
    }
    look_at(service, gate, due, found.gone, now, &mut report)?;
    Ok(report)
}

/// What the documents show.
#[derive(Default)]
struct Found {
    documents: Vec<Document>,
    /// There is none that could not be read.
    complete: bool,
    /// Clusters that are to be looked at.
    due: BTreeSet<u32>,
    /// Clusters that were worked on here and have no document any more: their delete event may have been lost.
    gone: Vec<u32>,
}

fn read<F: GateFs>(service: &Service, gate: &Gate<F>, now: u64) -> Result<Found, Error> {
    let notes = Notes::new(gate.dir());
    let kind = names::DOCUMENT_TYPE;
    let pool = service.admin.every_document(PoolFilter::All, kind)?;
    for (id, reason) in &pool.broken {
        let id = id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        if notes.is_new(&format!("{id}-{BROKEN}"), reason) {
            log::warn!("document {id} can't be read and is passed over: {reason}");
        }
    }
    let due: BTreeSet<u32> = pool
        .items
        .iter()
        .filter(|d| {
            let may_wait = notes.may_wait(d.id, now);
            is_old(service, d) || is_due(d, may_wait, service.config.probe_every, now)
        })
        .map(|d| d.id)
        .collect();
    let there: BTreeSet<u32> = pool.items.iter().map(|d| d.id).collect();
    let broken: BTreeSet<u32> = pool.broken.iter().filter_map(|(id, _)| *id).collect();
    let mut gone = Vec::new();
    // Files that can't be read now can be at the next sweep.
    for id in gate.known().unwrap_or_default() {
        if there.contains(&id) || broken.contains(&id) {
            continue;
        }
        if notes.has_ended(id) && matches!(gate.forget(id), Ok(Forgotten::Gone)) {
            notes.forget(id);
        } else {
            gone.push(id);
        }
    }
    Ok(Found {
        documents: pool.items,
        complete: pool.broken.is_empty(),
        due,
        gone,
    })
}

fn look_at<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    due: BTreeSet<u32>,
    gone: Vec<u32>,
    now: u64,
    report: &mut Report,
) -> Result<(), PassError> {
    for id in due {
        report.looked_at += 1;
        look(service, gate, id, now, report)?;
    }
    for id in gone {
        report.looked_at += 1;
        look(service, gate, id, now, report)?;
        if gate.pending()?.contains(&id) {
            continue;
        }
        // The note goes with the last object. Whoever marks it meanwhile has left, and relies on this sweep.
        if service.owners.of(id).is_none() {
            if gate.forget(id)? == Forgotten::Marked {
                look(service, gate, id, now, report)?;
            } else {
                Notes::new(gate.dir()).forget(id);
            }
        }
    }
    Ok(())
}

fn during_sweep(source: Error) -> PassError {
    PassError::Call {
        what: "sweep: read the clusters".to_owned(),
        source,
    }
}

fn look<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    id: u32,
    now: u64,
    report: &mut Report,
) -> Result<(), PassError> {
    let notes = Notes::new(gate.dir());
    gate.mark(id, &Hints::none())?;
    let result = gate.run(id, MAX_PASSES, |hints| {
        pass(service, &notes, id, hints, Depth::All, None, now)
    });
    let key = format!("{id}-{FAILED}");
    match result {
        Ok(_) => {
            notes.is_well(&key);
            Ok(())
        }
        Err(PassError::Gate(e)) => Err(PassError::Gate(e)),
        Err(e) => {
            let text = crate::hook::chain(&e);
            if notes.is_new(&key, &text) {
                log::error!("{text}");
            }
            report.failed.push(e.to_string());
            Ok(())
        }
    }
}

/// Is its STATUS older than one that was seen here?
fn is_old(service: &Service, document: &Document) -> bool {
    if document.lock.is_some_and(|lock| lock.forbids_updates()) {
        return false;
    }
    let known = service.owners.of(document.id).map_or(0, |note| note.rev);
    let status = Status::parse(document.template.get("STATUS"), document.id);
    status.is_ok_and(|status| status.rev < known)
}

/// Does the document itself show that a look is due? What was looked at before `may_wait` for its time.
fn is_due(document: &Document, may_wait: bool, probe_every: u64, now: u64) -> bool {
    if document.lock.is_some_and(|lock| lock.forbids_updates()) {
        return !may_wait;
    }
    let template = &document.template;
    let status = match Status::parse(template.get("STATUS"), document.id) {
        Ok(status) => status,
        Err(Unusable::Schema(_)) => return !may_wait && !crate::pass::says_unknown_schema(document),
        Err(_) => return true,
    };
    let spec_known = match template.get("SPEC").map(oneks_core::Spec::parse) {
        Some(Ok(spec)) => status.accepted.as_ref() == Some(&spec),
        _ => false,
    };
    let refused = status.refused.as_ref();
    let text = template.get("SPEC").unwrap_or_default();
    let waits = refused.is_some_and(|r| {
        (may_wait || r.again > now) && r.fingerprint == oneks_core::fingerprint::of_text(text)
    });
    let recover = template.get("RECOVER").is_some_and(|t| !status.has_recovered(t));
    let rotate = status.placed.is_some() && template.get("ROTATE").is_some_and(|t| status.wants_rotation(t));
    let credential = credential_look(&status).is_some_and(|at| at <= now);
    let delete = template
        .get("DELETE")
        .is_some_and(|d| matches!(d.trim().to_ascii_uppercase().as_str(), "YES" | "FORCE"));
    let protected = status
        .condition("DeletionProtected")
        .is_some_and(|c| c.reason == "DeletionProtected");
    let retry = status.retry.as_ref().is_some_and(|r| r.not_before <= now);
    let resting = oneks_core::plan::probe_is_due(&status, probe_every, now);
    let ordered = !(spec_known || waits) || recover || rotate || delete && !protected;
    ordered || !may_wait && (retry || resting || credential || is_restless(&status))
}

/// Does the cluster await something that an event should tell?
pub(crate) fn is_restless(status: &Status) -> bool {
    status
        .groups()
        .any(|g| g.state.is_working() || g.state == oneks_core::state::GroupState::Warning)
        || status.guest_exec.is_some()
        || rotation_waits(status)
        || !matches!(status.state, ClusterState::Running | ClusterState::Pending) && !is_failure(status.state)
}

/// When something is due that no event will tell, seconds since the epoch.
pub(crate) fn certain(status: &Status, probe_every: u64, now: u64) -> Option<u64> {
    let works = status.groups().filter_map(|g| g.work.as_ref());
    let deletion = status.deletion.iter().filter(|d| !d.failed);
    works
        .map(|w| w.deadline)
        .chain(status.retry.iter().map(|r| r.not_before))
        .chain(status.refused.iter().map(|r| r.again))
        .chain(status.guest_exec.iter().map(|e| e.deadline))
        .chain(deletion.map(|d| d.deadline))
        .chain(credential_look(status))
        .chain(oneks_core::plan::next_probe(status, probe_every, now + 1))
        .filter(|time| *time > now)
        .min()
}

fn is_failure(state: ClusterState) -> bool {
    state.as_str().ends_with("_FAILURE") && state != ClusterState::DeprovisioningFailure
}

/// All machines that say anything of clusters, or are known as handles; without a cluster, those that may ask for one.
fn machines(service: &Service, waiting: bool) -> Result<Vec<VmOutline>, Error> {
    let handles: BTreeSet<u32> = Handles::new(service.gate.dir()).all().into_iter().collect();
    // Of a large cloud nearly all machines are somebody else's: they are not kept.
    let ours = |vm: &VmOutline| handles.contains(&vm.id) || vm.user_template.names().any(attribute::is_ours);
    let states = if waiting {
        vec![
            VmStateFilter::State(VmState::Pending),
            VmStateFilter::State(VmState::Hold),
        ]
    } else {
        vec![VmStateFilter::NotDone]
    };
    let mut vms = Vec::new();
    for state in states {
        let pool = service.admin.every_vm_outline(PoolFilter::All, state, ours)?;
        vms.extend(pool.items);
    }
    Ok(vms)
}

/// The clusters at rest whose noted VMs are not those that there are. Others are watched.
fn changed(vms: &[VmOutline], documents: &[Document]) -> BTreeSet<u32> {
    // By cluster and owner: a VM of somebody else says nothing, whatever it is called.
    let mut there: BTreeMap<(u32, u32), BTreeMap<u32, VmCondition>> = BTreeMap::new();
    for vm in vms {
        if let Some(tag) = vm.oneks_tag()
            && names::Names::new(tag.cluster_id).owns(&vm.name)
        {
            let condition = convert::condition(vm.state, vm.lcm_state);
            let vms = there.entry((tag.cluster_id, vm.uid)).or_default();
            vms.insert(vm.id, condition);
        }
    }
    let mut changed = BTreeSet::new();
    for document in documents {
        let Ok(status) = Status::parse(document.template.get("STATUS"), document.id) else {
            continue;
        };
        if is_restless(&status) {
            continue;
        }
        let router = status.control_plane.router.iter().flat_map(|r| &r.vms);
        let noted: BTreeMap<u32, VmCondition> = status
            .groups()
            .flat_map(|g| &g.vms)
            .chain(router)
            .map(|vm| (vm.id, vm.condition))
            .collect();
        // Other users' VMs with the cluster's tag and name are none of its business.
        if there.remove(&(document.id, document.uid)).unwrap_or_default() != noted {
            changed.insert(document.id);
        }
    }
    changed
}
