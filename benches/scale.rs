//! The sweep over clouds of growing size.

use oneks_sandbox::{Serve, Server};

use crate::Effort;
use crate::cloud;
use crate::process::Program;
use crate::report::{Goal, Report};

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
        let life = cloud::with(clusters, VMS, foreign);
        let serve = Serve {
            speed: 0.0,
            ..Serve::default()
        };
        let server = Server::start(&life.sandbox, serve).unwrap();
        let root = life.service.gate.dir().ancestors().nth(3).unwrap().to_owned();
        let sweep = |at: u64| {
            let environment = vec![
                ("HOME".to_owned(), root.join("var").display().to_string()),
                ("ONE_LOCATION".to_owned(), root.display().to_string()),
                ("ONE_XMLRPC".to_owned(), server.endpoint()),
                ("ONEKS_NOW".to_owned(), at.to_string()),
            ];
            Program::new("sweep", root.join("lib/oneks/hooks/sweep")).with(environment)
        };
        let calls = |at: u64| {
            let before = life.sandbox.call_count();
            let cost = sweep(at).run(b"");
            (cost, life.sandbox.calls_since(before))
        };
        let now = life.sandbox.now();
        calls(now);
        let (_, quiet) = calls(now);
        let (cost, whole) = calls(now + LATER);
        let bytes: usize = whole.iter().map(|call| call.bytes).sum();
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
            cost.wall.as_secs_f64(),
            "s",
            first(Goal::Most(3.0)),
        );
        report.timed(
            format!("{name}, everything: processor time of the sweep"),
            cost.cpu.as_secs_f64(),
            "s",
            Goal::None,
        );
        if let Some(peak) = sweep(now + 2 * LATER).peak(b"") {
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
        figures.push((clusters, cost.cpu.as_secs_f64()));
        report.print_new();
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
