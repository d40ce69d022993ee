//! The main program of every hook: read the event, drop it or act on it, say how it ended.

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use opennebula::endpoint::Environment;

use crate::clock;
use crate::config::Config;
use crate::event::{self, Kind, Verdict};
use crate::gate::{Gate, GateFs, Hints, Outcome};
use crate::layout::Layout;
use crate::logging;
use crate::pass::{Depth, pass};
use crate::service::Service;
use crate::sweep;

/// Most passes that one hook runs for a cluster before it leaves the rest to the next event or the sweep.
const MAX_PASSES: u32 = 8;

/// The pass failed and is worth another try: the marks stay.
const TRY_AGAIN: u8 = 75;

/// Runs the hook for one kind of event. Foreign events end here at once: no configuration, no connection.
pub fn main(kind: Kind) -> ExitCode {
    match event::read(kind, io::stdin().lock()) {
        Verdict::Drop(_) => ExitCode::SUCCESS,
        Verdict::Look { clusters, hints } => finish(serve(kind.name(), &clusters, &hints)),
        Verdict::LookVm { vm } => finish(serve(kind.name(), &[], &Hints::vm(vm))),
    }
}

/// Runs the sweep.
pub fn sweep_main() -> ExitCode {
    let run = || -> anyhow::Result<()> {
        let (service, now) = open("sweep")?;
        let report = sweep::sweep(&service, now)?;
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

fn serve(name: &'static str, clusters: &[u32], hints: &Hints) -> anyhow::Result<()> {
    // The mark comes first: if anything below fails, the sweep knows that there is work.
    let gate = Gate::new(Layout::of(&Environment::process()).locks);
    let marked = clusters.iter().try_for_each(|cluster| gate.mark(*cluster, hints));
    // Opening starts the log as well, without which nobody would hear of the mark.
    let opened = open(name);
    marked.context("the mark can't be made")?;
    let (service, now) = opened?;
    if clusters.is_empty() {
        return match resolve(&service, hints)? {
            Some(cluster) => handle(&service, &service.gate, cluster, hints, now),
            None => Ok(()),
        };
    }
    for cluster in clusters {
        run(&service, &service.gate, *cluster, now)?;
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

/// Like [`event`], with another gate than the service's own: one whose file operations are watched, or end.
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
    match event::read(kind, input) {
        Verdict::Drop(_) => Ok(()),
        Verdict::Look { clusters, hints } => clusters
            .iter()
            .try_for_each(|id| handle(service, gate, *id, &hints, now)),
        Verdict::LookVm { vm } => match resolve(service, &Hints::vm(vm))? {
            Some(cluster) => handle(service, gate, cluster, &Hints::vm(vm), now),
            None => Ok(()),
        },
    }
}

/// Marks a cluster and serves its marks, unless another hook does.
fn handle<F: GateFs>(
    service: &Service,
    gate: &Gate<F>,
    cluster: u32,
    hints: &Hints,
    now: u64,
) -> anyhow::Result<()> {
    gate.mark(cluster, hints).context("the mark can't be made")?;
    run(service, gate, cluster, now)
}

/// Serves the marks of a cluster, unless another hook does.
fn run<F: GateFs>(service: &Service, gate: &Gate<F>, cluster: u32, now: u64) -> anyhow::Result<()> {
    if !service
        .acts()
        .context("the front-end's part can't be asked for")?
    {
        // The leader has the same event. Should this one lead before it is served, its sweep finds the mark.
        log::debug!("cluster {cluster}: left to the leader");
        return Ok(());
    }
    let outcome = gate.run(cluster, MAX_PASSES, |hints| {
        pass(service, cluster, hints, Depth::Known, now)
    })?;
    if let Outcome::Ran { passes, .. } = outcome {
        log::debug!("cluster {cluster}: {passes} passes");
    }
    Ok(())
}

/// The cluster of a VM of which only the id is known.
fn resolve(service: &Service, hints: &Hints) -> anyhow::Result<Option<u32>> {
    let Some(vm) = hints.vms.first() else {
        return Ok(None);
    };
    match service.admin.vm_info(*vm, false) {
        Ok(vm) => Ok(vm.oneks_tag().map(|tag| tag.cluster_id)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e).with_context(|| format!("VM {vm} can't be read")),
    }
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
