//! The sweep over clouds of growing size.

use oneks_sandbox::{CallRecord, Serve, Server};

use crate::Effort;
use crate::cloud;
use crate::process::{Cost, Program, median};
use crate::report::{Goal, Report};
use crate::support::life::Life;

/// VMs of a cluster beside its router.
const VMS: usize = 9;

/// Later than anything that a sweep puts off, seconds.
const LATER: u64 = 24 * 3600;

/// When all is quiet, beside ten thousand VMs of others: the sweep of nearly every minute, and the one now and then that
/// reads all clusters and compares all VMs.
pub fn measure(effort: Effort, report: &mut Report) {
    let sizes = if effort.quick {
        [20, 40, 80]
    } else {
        [1000, 5000, 10_000]
    };
    let mut figures = Vec::new();
    for (n, clusters) in sizes.into_iter().enumerate() {
        let foreign = effort.of(10_000, 100);
        let life = cloud::of_copies(clusters, VMS, foreign);
        let serve = Serve {
            speed: 0.0,
            ..Serve::default()
        };
        let server = Server::start(&life.sandbox, serve).unwrap();
        let front_end = FrontEnd {
            life: &life,
            endpoint: server.endpoint(),
        };
        let (_, found) = front_end.sweep();
        let reads = |call: &CallRecord| call.method.contains("pool.info");
        assert!(found.iter().all(reads), "copies are no clusters: {found:?}");
        let (_, quiet) = front_end.sweep();
        let mut costs = Vec::new();
        let mut whole = Vec::new();
        for _ in 0..effort.of(3, 1) {
            life.sandbox.advance(LATER);
            let (cost, calls) = front_end.sweep();
            costs.push(cost);
            whole = calls;
        }
        let bytes: usize = whole.iter().map(|call| call.bytes).sum();
        let wall = median(costs.iter().map(|cost| cost.wall)) / 1000.0;
        let cpu = median(costs.iter().map(|cost| cost.cpu)) / 1000.0;
        let first = |goal| if n == 0 { goal } else { Goal::None };
        let name = format!("{clusters} clusters");
        // A page holds so many less those that it shares with the one before.
        let pages = number(clusters / 1900 + (clusters * (VMS + 1) + foreign) / 3900 + 2);
        report.counted(
            format!("{name}, quiet: calls"),
            number(quiet.len()),
            "",
            Goal::Most(1.0),
        );
        report.counted(
            format!("{name}, everything: calls"),
            number(whole.len()),
            "",
            Goal::Most(pages),
        );
        report.timed(
            format!("{name}, everything: wall time, that of the cloud included"),
            wall,
            "s",
            first(Goal::Most(3.0)),
        );
        report.timed(
            format!("{name}, everything: processor time of the sweep"),
            cpu,
            "s",
            Goal::None,
        );
        life.sandbox.advance(LATER);
        if let Some(peak) = front_end.program().peak(b"") {
            report.counted(
                format!("{name}, everything: peak memory"),
                peak / 1024.0,
                "MiB",
                first(Goal::Most(300.0)),
            );
        }
        report.counted(
            format!("{name}, everything: requests and answers"),
            number(bytes / 1024) / 1024.0,
            "MiB",
            Goal::None,
        );
        figures.push((clusters, cpu));
        report.print_new();
        front_end.breaks_and_heals();
    }
    let per_cluster = |(clusters, seconds): (usize, f64)| seconds / number(clusters);
    let growth = per_cluster(figures[2]) / per_cluster(figures[0]);
    report.timed(
        "processor time for each cluster, in the largest cloud, of that in the smallest",
        growth,
        "×",
        Goal::Most(1.2),
    );
    plot(&figures);
}

/// The front-end of a cloud, on which nothing but the sweep runs.
struct FrontEnd<'a> {
    life: &'a Life,
    endpoint: String,
}

impl FrontEnd<'_> {
    fn program(&self) -> Program {
        let root = self.life.service.gate.dir().ancestors().nth(3).unwrap();
        let environment = vec![
            ("HOME".to_owned(), root.join("var").display().to_string()),
            ("ONE_LOCATION".to_owned(), root.display().to_string()),
            ("ONE_XMLRPC".to_owned(), self.endpoint.clone()),
            ("ONEKS_NOW".to_owned(), self.life.sandbox.now().to_string()),
        ];
        Program::new("sweep", root.join("lib/oneks/hooks/sweep")).with(environment)
    }

    fn sweep(&self) -> (Cost, Vec<CallRecord>) {
        let before = self.life.sandbox.call_count();
        let cost = self.program().run(b"");
        (cost, self.life.sandbox.calls_since(before))
    }

    /// A node of one cluster goes, and no event tells. The sweep has to find out, and to make another when it is told to:
    /// what was measured is clusters and not their pictures.
    fn breaks_and_heals(&self) {
        let sandbox = &self.life.sandbox;
        let documents = sandbox.documents();
        let meta = &documents[documents.len() / 2].meta;
        let (id, session) = (meta.id, format!("{}:pw", meta.uname));
        let names = oneks_core::names::Names::new(id);
        let nodes = || -> Vec<u32> {
            let vms = sandbox.live_vms();
            let nodes = vms.iter().filter(|vm| names.owns(&vm.meta.name));
            nodes.filter(|vm| vm.is_running()).map(|vm| vm.meta.id).collect()
        };
        let before = nodes();
        assert_eq!(before.len(), VMS + 1, "of cluster {id}");
        let node = before[VMS];
        self.life
            .ask(&session, "one.vm.action", &["terminate-hard".into(), node.into()]);
        for (order, state) in [(None, "WARNING"), (Some("again"), "RUNNING")] {
            if let Some(order) = order {
                self.life.set(&session, id, "RECOVER", order);
            }
            let is_there = || {
                sandbox.advance(LATER);
                sandbox.take_events();
                self.sweep();
                self.life.state(id) == state
            };
            assert!(
                (0..10).any(|_| is_there()),
                "cluster {id} does not get to {state}"
            );
        }
        let after = nodes();
        assert!(after.len() == before.len() && !after.contains(&node), "{after:?}");
    }
}

/// Processor time over the number of clusters, for a look at its shape.
fn plot(figures: &[(usize, f64)]) {
    let most = figures
        .iter()
        .map(|(_, seconds)| *seconds)
        .fold(f64::MIN_POSITIVE, f64::max);
    eprintln!("processor time of a sweep that reads everything");
    for (clusters, seconds) in figures {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and 60
        let length = (seconds / most * 60.0).round() as usize;
        eprintln!("{clusters:>6} clusters  {} {seconds:.2} s", "█".repeat(length));
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
