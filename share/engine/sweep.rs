//! The only clock: notices lost events, passed deadlines and leftovers.
//!
//! When all is quiet it costs one call: the documents, all at once. A look at a cluster follows only where the
//! document itself shows that something is due, where a mark was left behind, or where work is under way whose events
//! may have been lost. That a cluster at rest lost a VM unnoticed is found by comparing all VMs, less often.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use oneks_core::names;
use oneks_core::state::ClusterState;
use oneks_core::status::Status;
use oneks_driver::VmCondition;
use opennebula::calls::{PoolFilter, PoolRange, VmStateFilter};
use opennebula::error::Error;
use opennebula::objects::Document;

use crate::convert;
use crate::gate::{Forgotten, Gate, GateFs, Hints};
use crate::pass::{Depth, PassError, pass};
use crate::service::Service;

/// Most passes of one cluster in one sweep.
const MAX_PASSES: u32 = 4;

/// Seconds between two comparisons of all virtual machines with what the clusters note.
const COMPARE_EVERY: u64 = 600;

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Clusters there are.
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

/// Like [`sweep`], with another gate than the service's own: one whose file operations are watched, or end.
///
/// # Errors
/// The documents can't be read, or the gate's files fail.
pub fn sweep_through<F: GateFs>(service: &Service, gate: &Gate<F>, now: u64) -> Result<Report, PassError> {
    let fail = |source: Error| PassError::Call {
        what: "sweep: read the clusters".to_owned(),
        source,
    };
    let kind = names::DOCUMENT_TYPE;
    let pool = service
        .admin
        .documentpool_info(PoolFilter::All, PoolRange::default(), kind)
        .map_err(fail)?;
    for (id, reason) in &pool.broken {
        let id = id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        log::warn!("document {id} can't be read and is passed over: {reason}");
    }
    let mut due: BTreeSet<u32> = pool
        .items
        .iter()
        .filter(|d| is_due(d, now, service.config.probe_every))
        .map(|d| d.id)
        .collect();
    due.extend(gate.pending()?);
    let there: BTreeSet<u32> = pool.items.iter().map(|d| d.id).collect();
    let broken: BTreeSet<u32> = pool.broken.iter().filter_map(|(id, _)| *id).collect();
    // A cluster that was worked on here and has no document any more: its delete event may have been lost.
    let gone: Vec<u32> = gate
        .known()?
        .into_iter()
        .filter(|id| !there.contains(id) && !broken.contains(id))
        .collect();
    let notes = gate.notes()?;
    let compare = Comparison::of(gate.dir());
    let comparing = !there.is_empty() && compare.is_due(now);
    let mut report = Report {
        clusters: there.len(),
        ..Report::default()
    };
    if due.is_empty() && gone.is_empty() && notes.is_empty() && !comparing {
        return Ok(report);
    }
    // Asked only when there is something to do: a follower must leave it to the leader.
    if !service.acts().map_err(fail)? {
        report.not_leader = true;
        return Ok(report);
    }
    if comparing {
        due.extend(changed(service, &pool.items).map_err(fail)?);
        compare.done(now);
    }
    for note in notes {
        match crate::hook::cluster_of(service, note.vm) {
            Ok(cluster) => {
                if let Some(cluster) = cluster {
                    gate.mark(cluster, &Hints::vm(note.vm))?;
                    due.insert(cluster);
                }
                gate.drop_note(note)?;
            }
            Err(e) => report.failed.push(format!("VM {} can't be read: {e}", note.vm)),
        }
    }
    for id in due {
        report.looked_at += 1;
        look(service, gate, id, now, &mut report)?;
    }
    for id in gone {
        report.looked_at += 1;
        look(service, gate, id, now, &mut report)?;
        if gate.pending()?.contains(&id) {
            continue;
        }
        // The note goes with the last object. Whoever marks it meanwhile has left, and relies on this sweep.
        if service.owners.of(id).is_none() && gate.forget(id)? == Forgotten::Marked {
            look(service, gate, id, now, &mut report)?;
        }
    }
    Ok(report)
}

fn look<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    id: u32,
    now: u64,
    report: &mut Report,
) -> Result<(), PassError> {
    gate.mark(id, &Hints::none())?;
    let result = gate.run(id, MAX_PASSES, |hints| pass(service, id, hints, Depth::All, now));
    match result {
        Ok(_) => Ok(()),
        Err(PassError::Gate(e)) => Err(PassError::Gate(e)),
        Err(e) => {
            log::error!("{}", crate::hook::chain(&e));
            report.failed.push(e.to_string());
            Ok(())
        }
    }
}

/// Does the document itself show that a look is due?
fn is_due(document: &Document, now: u64, probe_every: u64) -> bool {
    let template = &document.template;
    let Ok(status) = Status::parse(template.get("STATUS"), document.id) else {
        return true;
    };
    let spec_known = match template.get("SPEC").map(oneks_core::Spec::parse) {
        Some(Ok(spec)) => status.accepted.as_ref() == Some(&spec),
        _ => false,
    };
    let refused = status.refused.as_ref();
    let text = template.get("SPEC").unwrap_or_default();
    let waits =
        refused.is_some_and(|r| r.again > now && r.fingerprint == oneks_core::fingerprint::of_text(text));
    let recover = template.get("RECOVER").is_some_and(|t| !status.has_recovered(t));
    let delete = template
        .get("DELETE")
        .is_some_and(|d| matches!(d.trim().to_ascii_uppercase().as_str(), "YES" | "FORCE"));
    let protected = status.condition("DeletionProtected").is_some();
    let retry = status.retry.as_ref().is_some_and(|r| r.not_before <= now);
    let working = status
        .groups()
        .any(|g| g.state.is_working() || g.state == oneks_core::state::GroupState::Warning)
        || status.guest_exec.is_some()
        || !matches!(status.state, ClusterState::Running | ClusterState::Pending)
            && !is_failure(status.state);
    let resting = oneks_core::plan::probe_is_due(&status, probe_every, now);
    !(spec_known || waits) || recover || delete && !protected || retry || working || resting
}

fn is_failure(state: ClusterState) -> bool {
    state.as_str().ends_with("_FAILURE") && state != ClusterState::DeprovisioningFailure
}

/// The clusters whose noted VMs are not those that there are.
fn changed(service: &Service, documents: &[Document]) -> Result<BTreeSet<u32>, Error> {
    let pool =
        service
            .admin
            .vmpool_infoextended(PoolFilter::All, PoolRange::default(), VmStateFilter::NotDone)?;
    let mut there: BTreeMap<u32, BTreeMap<u32, VmCondition>> = BTreeMap::new();
    for vm in &pool.items {
        if let Some(tag) = vm.oneks_tag()
            && names::Names::new(tag.cluster_id).owns(&vm.name)
        {
            let condition = convert::condition(vm.state, vm.lcm_state);
            there.entry(tag.cluster_id).or_default().insert(vm.id, condition);
        }
    }
    let mut changed = BTreeSet::new();
    for document in documents {
        let Ok(status) = Status::parse(document.template.get("STATUS"), document.id) else {
            continue;
        };
        let router = status.control_plane.router.iter().flat_map(|r| &r.vms);
        let noted: BTreeMap<u32, VmCondition> = status
            .groups()
            .flat_map(|g| &g.vms)
            .chain(router)
            .map(|vm| (vm.id, vm.condition))
            .collect();
        if there.remove(&document.id).unwrap_or_default() != noted {
            changed.insert(document.id);
        }
    }
    Ok(changed)
}

/// When all VMs were compared last: the time in a file beside the locks.
struct Comparison {
    path: PathBuf,
}

impl Comparison {
    fn of(dir: &Path) -> Self {
        Self {
            path: dir.join("compared"),
        }
    }

    fn is_due(&self, now: u64) -> bool {
        let last = std::fs::read_to_string(&self.path)
            .ok()
            .and_then(|t| t.trim().parse::<u64>().ok());
        last.is_none_or(|last| now.saturating_sub(last) >= COMPARE_EVERY || last > now)
    }

    fn done(&self, now: u64) {
        if let Err(e) = std::fs::write(&self.path, now.to_string()) {
            log::warn!("{} can't be written: {e}", self.path.display());
        }
    }
}
