//! The main program of every hook: read the event, drop it or act on it, say how it ended.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use oneks_core::names::Names;
use opennebula::endpoint::Environment;
use opennebula::error::Error;
use opennebula::objects::Vm;

use crate::clock;
use crate::config::Config;
use crate::event::{self, Kind, Known, Verdict};
use crate::gate::{Gate, GateFs, Hints, Outcome, VmNote};
use crate::handle::machine::{self, Place};
use crate::handle::note::Handles;
use crate::layout::Layout;
use crate::logging;
use crate::notes::Notes;
use crate::owners::Owners;
use crate::pass::{Depth, PassError, pass};
use crate::service::Service;
use crate::sweep;

/// Most passes that one hook runs for a cluster before it leaves the rest to the next event or the sweep.
const MAX_PASSES: u32 = 8;

/// The arguments can't be understood.
const USAGE: u8 = 64;

/// The pass failed and is worth another try: the marks stay.
const TRY_AGAIN: u8 = 75;

/// Runs the hook for one kind of event. Foreign events end here at once: no configuration, no connection.
pub fn main(kind: Kind) -> ExitCode {
    let known = Known {
        cluster: &is_known,
        handle: &|vm| known_handle(vm).is_some(),
    };
    match event::read_knowing(kind, io::stdin().lock(), known) {
        Verdict::Drop(_) => ExitCode::SUCCESS,
        Verdict::Look { clusters, hints } => {
            let owners = Owners::new(Layout::of(&Environment::process()).locks);
            let clusters = believed(&owners, clusters, &hints);
            if clusters.is_empty() {
                return ExitCode::SUCCESS;
            }
            finish(serve(kind, &clusters, &hints))
        }
        Verdict::LookIfKnown { cluster } if !is_known(cluster) => ExitCode::SUCCESS,
        Verdict::LookIfKnown { cluster } => finish(serve(kind, &[cluster], &Hints::none())),
        Verdict::LookVm { vm } => match known_handle(vm) {
            Some(cluster) => finish(serve(kind, &[cluster], &Hints::handle(vm))),
            None => finish(serve_vm(kind, vm)),
        },
        Verdict::LookIfHandle { vm } => match known_handle(vm) {
            Some(cluster) => finish(serve(kind, &[cluster], &Hints::handle(vm))),
            None => ExitCode::SUCCESS,
        },
        Verdict::LookHandle {
            vm,
            owner,
            cluster,
            place,
        } => {
            let locks = Layout::of(&Environment::process()).locks;
            match way(&locks, vm, owner, cluster, place) {
                Way::Nowhere => ExitCode::SUCCESS,
                Way::Cluster(cluster) => finish(serve(kind, &[cluster], &Hints::handle(vm))),
                Way::Handle => finish(serve_handle(kind, vm)),
            }
        }
    }
}

/// Where the event of a handle leads.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Nowhere,
    /// To the cluster that it stands for.
    Cluster(u32),
    /// To the VM itself, which may ask for a cluster.
    Handle,
}

/// Where the event of a handle leads, by what was noted here: no call is made for one that rests where it belongs, or whose
/// cluster has ended.
fn way(locks: &Path, vm: u32, owner: Option<u32>, claimed: Option<u32>, place: Place) -> Way {
    let note = Handles::new(locks).of(vm);
    let known = note.as_ref().filter(|note| note.agreed).map(|note| note.cluster);
    if let Some(note) = &note
        && !note.agreed
        && claimed.is_none_or(|claimed| claimed == note.cluster)
        && place == Place::Done
    {
        return Way::Nowhere;
    }
    let Some(cluster) = claimed.or(known) else {
        return Way::Handle;
    };
    let at_rest = place == Place::Rests && known == Some(cluster);
    let ended = place == Place::Done && Notes::new(locks).has_ended(cluster);
    if at_rest || ended || place == Place::Moves {
        return Way::Nowhere;
    }
    let hints = Hints {
        owner,
        ..Hints::handle(vm)
    };
    if believed(&Owners::new(locks), vec![cluster], &hints).is_empty() {
        return Way::Nowhere;
    }
    Way::Cluster(cluster)
}

/// Is the document known as a cluster's here? In doubt it is, and a look shows it.
fn is_known(cluster: u32) -> bool {
    gate().knows(cluster).unwrap_or(true)
}

/// The cluster of a VM that is known as a handle here.
fn known_handle(vm: u32) -> Option<u32> {
    Handles::new(Layout::of(&Environment::process()).locks).cluster(vm)
}

/// Runs the sweep. With `--all` it looks at everything, whatever this front-end noted: see [`sweep::sweep_all`].
pub fn sweep_main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sweeps: fn(&Service, u64) -> _ = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => sweep::sweep,
        ["--all"] => sweep::sweep_all,
        _ => return usage(),
    };
    let run = || -> anyhow::Result<()> {
        let (service, now) = open("sweep")?;
        let report = sweeps(&service, now)?;
        sweep::note(service.gate.dir(), now);
        if report.failed.is_empty() {
            return Ok(());
        }
        anyhow::bail!(
            "{} of {} clusters could not be looked at",
            report.failed.len(),
            report.clusters
        )
    };
    finish(run())
}

#[allow(clippy::print_stderr)] // Whoever starts it by hand sees no log.
fn usage() -> ExitCode {
    eprintln!("usage: sweep [--all]");
    ExitCode::from(USAGE)
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(TRY_AGAIN)
        }
    }
}

fn open(name: &'static str) -> anyhow::Result<(Service, u64)> {
    let environment = Environment::process();
    let layout = Layout::of(&environment);
    let level = Config::load(&layout.config).map_or(log::LevelFilter::Info, |c| c.log_level);
    logging::start(level, &layout.log, name);
    let service = Service::open(&environment, &layout)?;
    Ok((service, clock::now(&environment)))
}

/// The gate of the installation that the environment names.
fn gate() -> Gate {
    Gate::new(Layout::of(&Environment::process()).locks)
}

fn serve(kind: Kind, clusters: &[u32], hints: &Hints) -> anyhow::Result<()> {
    // The mark comes first: if anything below fails, the sweep knows that there is work.
    let gate = gate();
    let marked = clusters.iter().try_for_each(|cluster| gate.mark(*cluster, hints));
    // Opening starts the log as well, without which nobody would hear of the mark.
    let opened = open(kind.name());
    marked.context("the mark can't be made")?;
    let (service, now) = opened?;
    for cluster in clusters {
        run(&service, &service.gate, *cluster, None, now)?;
    }
    Ok(())
}

fn serve_vm(kind: Kind, vm: u32) -> anyhow::Result<()> {
    // Until the cluster is known, the note stands for its mark.
    let noted = gate().note_vm(vm);
    let opened = open(kind.name());
    let note = noted.context("the VM can't be noted")?;
    let (service, now) = opened?;
    handle_vm(&service, &service.gate, kind, note, now)
}

fn serve_handle(kind: Kind, vm: u32) -> anyhow::Result<()> {
    let gate = gate();
    // As for clusters: the mark comes first.
    let marked = gate.handles().mark(vm, &Hints::none());
    let opened = open(kind.name());
    marked.context("the mark can't be made")?;
    let (service, now) = opened?;
    run_handle(&service, &service.gate, vm, now)
}

/// Serves the marks of a handle that may have no cluster yet, and then of the cluster that is found.
pub(crate) fn run_handle<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    vm: u32,
    now: u64,
) -> anyhow::Result<()> {
    if !service
        .acts()
        .context("the front-end's part can't be asked for")?
    {
        log::debug!("VM {vm}: left to the leader");
        return Ok(());
    }
    let mut clusters = BTreeSet::new();
    gate.handles().run(vm, MAX_PASSES, |_| {
        clusters.extend(crate::handle::pass(service, gate, vm, now)?);
        Ok::<(), PassError>(())
    })?;
    for cluster in clusters {
        run(service, gate, cluster, None, now)?;
    }
    Ok(())
}

/// What a hook does with an event once it has a service: for whoever runs hooks without processes.
///
/// # Errors
/// The pass failed; its marks stay.
pub fn event(service: &Service, kind: Kind, input: impl io::Read, now: u64) -> anyhow::Result<()> {
    event_through(service, &service.gate, kind, input, now)
}

/// Like [`event()`], with another gate than the service's own: one whose file operations are watched, or end.
///
/// # Errors
/// The pass failed; its marks stay.
pub fn event_through<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    kind: Kind,
    input: impl io::Read,
    now: u64,
) -> anyhow::Result<()> {
    let known = Known {
        cluster: &|id| gate.knows(id).unwrap_or(true),
        handle: &|vm| Handles::new(gate.dir()).cluster(vm).is_some(),
    };
    match event::read_knowing(kind, input, known) {
        Verdict::Drop(_) => Ok(()),
        Verdict::Look { clusters, hints } => believed(&service.owners, clusters, &hints)
            .into_iter()
            .try_for_each(|id| handle(service, gate, id, &hints, None, now)),
        Verdict::LookIfKnown { cluster } if !gate.knows(cluster)? => Ok(()),
        Verdict::LookIfKnown { cluster } => handle(service, gate, cluster, &Hints::none(), None, now),
        Verdict::LookVm { vm } => {
            if let Some(cluster) = Handles::new(gate.dir()).cluster(vm) {
                return handle(service, gate, cluster, &Hints::handle(vm), None, now);
            }
            let note = gate.note_vm(vm).context("the VM can't be noted")?;
            handle_vm(service, gate, kind, note, now)
        }
        Verdict::LookIfHandle { vm } => match Handles::new(gate.dir()).cluster(vm) {
            Some(cluster) => handle(service, gate, cluster, &Hints::handle(vm), None, now),
            None => Ok(()),
        },
        Verdict::LookHandle {
            vm,
            owner,
            cluster,
            place,
        } => match way(gate.dir(), vm, owner, cluster, place) {
            Way::Nowhere => Ok(()),
            Way::Cluster(cluster) => handle(service, gate, cluster, &Hints::handle(vm), None, now),
            Way::Handle => {
                let marked = gate.handles().mark(vm, &Hints::none());
                marked.context("the mark can't be made")?;
                run_handle(service, gate, vm, now)
            }
        },
    }
}

/// The clusters whose VM the event may be about: those that are noted as somebody else's drop out, without a call. State
/// events tell the truth about a VM's owner; a note that is out of date is put right by the next look at its document.
fn believed(owners: &Owners, mut clusters: Vec<u32>, hints: &Hints) -> Vec<u32> {
    if let Some(uid) = hints.owner {
        clusters.retain(|id| owners.of(*id).is_none_or(|note| note.owner.uid == uid));
    }
    clusters
}

/// Marks a cluster and serves its marks, unless another hook does.
fn handle<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    cluster: u32,
    hints: &Hints,
    vm: Option<&Vm>,
    now: u64,
) -> anyhow::Result<()> {
    gate.mark(cluster, hints).context("the mark can't be made")?;
    run(service, gate, cluster, vm, now)
}

/// Finds the cluster of a VM of which only the id is known, and handles it.
fn handle_vm<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    kind: Kind,
    note: VmNote,
    now: u64,
) -> anyhow::Result<()> {
    let vm = read_vm(service, note.vm).with_context(|| format!("VM {} can't be read", note.vm))?;
    let cluster = vm.as_ref().and_then(cluster_of);
    if cluster.is_none() && vm.as_ref().is_some_and(is_handle) {
        let marked = gate.handles().mark(note.vm, &Hints::none());
        marked.context("the mark can't be made")?;
        gate.drop_note(note)?;
        return run_handle(service, gate, note.vm, now);
    }
    let heard = cluster.filter(|_| kind != Kind::VmUpdate || vm.as_ref().is_some_and(may_report));
    if let Some(cluster) = heard {
        gate.mark(cluster, &Hints::vm(note.vm))
            .context("the mark can't be made")?;
    }
    // Not before the mark, and before a pass that may take its time.
    gate.drop_note(note)?;
    match heard {
        Some(cluster) => run(service, gate, cluster, vm.as_ref(), now),
        None => Ok(()),
    }
}

/// Does the VM say that it is a handle?
pub(crate) fn is_handle(vm: &Vm) -> bool {
    oneks_core::handle::is_handle(&machine::attributes(&vm.user_template))
}

/// Does anybody listen to what such a VM says of itself? How nodes are Kubernetes says, and how routers are their state.
fn may_report(vm: &Vm) -> bool {
    use oneks_core::observed::Kind;
    let kind = vm.oneks_tag().map_or(Kind::Other, |tag| Kind::parse(&tag.kind));
    matches!(kind, Kind::Seed | Kind::Other)
}

/// Serves the marks of a cluster, unless another hook does. The first pass has the VM, read after the event.
fn run<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    cluster: u32,
    mut vm: Option<&Vm>,
    now: u64,
) -> anyhow::Result<()> {
    if !service
        .acts()
        .context("the front-end's part can't be asked for")?
    {
        // The leader has the same event. Should this one lead before it is served, its sweep finds the mark.
        log::debug!("cluster {cluster}: left to the leader");
        return Ok(());
    }
    let notes = Notes::new(gate.dir());
    let outcome = gate.run(cluster, MAX_PASSES, |hints| {
        pass(service, &notes, cluster, hints, Depth::Known, vm.take(), now)
    })?;
    if let Outcome::Ran { passes, pending } = outcome {
        log::debug!("cluster {cluster}: {passes} passes");
        if pending {
            log::info!(
                "cluster {cluster}: events still came after {passes} passes; the next event or sweep goes on"
            );
        }
    }
    Ok(())
}

/// A VM of which only the id is known, if it is there.
pub(crate) fn read_vm(service: &Service, vm: u32) -> Result<Option<Vm>, Error> {
    match service.admin.vm_info(vm, false) {
        Ok(vm) => Ok(Some(vm)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The cluster of a VM, if its tag and its name agree about it.
pub(crate) fn cluster_of(vm: &Vm) -> Option<u32> {
    let cluster = vm.oneks_tag()?.cluster_id;
    Names::new(cluster).owns(&vm.name).then_some(cluster)
}

/// An error with all its causes, once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
