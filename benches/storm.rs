//! Ten thousand events of a hundred clusters: the hosts fail, and come back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use oneks_sandbox::{CallLog, HookManager, HookProcesses, Serve, Server};

use crate::Effort;
use crate::cloud;
use crate::report::{Goal, Report};
use crate::support::life::Life;

/// VMs of each cluster: its nodes, and its router's.
const VMS: usize = 50;

/// Every host of the cloud fails, and when that has been dealt with, all of them come back. Then the same VMs flap: lost
/// and found before anybody could look.
pub fn measure(effort: Effort, report: &mut Report) {
    let clusters = effort.of(100, 10);
    let mut life = cloud::with(clusters, VMS - 1, 0);
    let serve = Serve {
        connections: 15,
        ..Serve::default()
    };
    let server = Server::start(&life.sandbox, serve).unwrap();
    // Where the life has its installation: its notes are those of the hooks that run now.
    let root = life.service.gate.dir().ancestors().nth(3).unwrap().to_owned();
    let log = root.join("costs");
    weigh(&root.join("lib/oneks/hooks/vm_state"), &log);
    let processes = HookProcesses::new("/nowhere")
        .with("HOME", root.join("var").display().to_string())
        .with("ONE_LOCATION", root.display().to_string())
        .with("ONE_XMLRPC", server.endpoint());
    life.sandbox.take_events();
    life.sandbox.reset_calls();
    let manager = HookManager::start(life.sandbox.clone(), processes);
    let vms: Vec<u32> = life.sandbox.live_vms().iter().map(|vm| vm.meta.id).collect();
    assert_eq!(vms.len(), clusters * VMS);
    let start = Instant::now();
    assert!(vms.iter().all(|vm| life.sandbox.lose_vm(*vm)));
    wait(&log, vms.len());
    assert!(vms.iter().all(|vm| life.sandbox.find_vm(*vm)));
    let costs = wait(&log, vms.len() * 2);
    let took = start.elapsed().as_secs_f64();
    let events = number(costs.len());
    let calls = life.sandbox.calls();
    let slowest = costs.iter().map(|c| c.seconds).fold(0.0, f64::max);
    let peaks: Vec<f64> = costs.iter().map(|c| c.mib).collect();
    let tenth = peaks.len() / 10;
    let most = |peaks: &[f64]| peaks.iter().copied().fold(0.0, f64::max);
    let growth = most(&peaks[peaks.len() - tenth..]) / most(&peaks[..tenth]);
    report.timed(
        "passes that look at a cluster, of events",
        looks(&calls) / events,
        "×",
        Goal::Most(0.1),
    );
    report.timed(
        "passes that end with the document, of events",
        number(calls.count("one.document.info")) / events,
        "×",
        Goal::None,
    );
    report.timed("calls, of events", number(calls.len()) / events, "×", Goal::None);
    report.timed("slowest hook", slowest, "s", Goal::Most(1.0));
    report.timed(
        "peak memory of the last tenth of hooks, of that of the first",
        growth,
        "×",
        Goal::Most(1.1),
    );
    report.timed("peak memory of any hook", most(&peaks), "MiB", Goal::None);
    report.timed("events", events / took, "/s", Goal::None);
    let wrong = settle(&mut life);
    report.counted(
        "clusters that are not right at the end",
        wrong,
        "",
        Goal::Most(0.0),
    );
    life.sandbox.reset_calls();
    for vm in &vms {
        assert!(life.sandbox.lose_vm(*vm) && life.sandbox.find_vm(*vm));
    }
    wait(&log, vms.len() * 4);
    drop(manager);
    let flaps = number(vms.len() * 2);
    report.timed(
        "flapping: passes that look at a cluster, of events",
        looks(&life.sandbox.calls()) / flaps,
        "×",
        Goal::None,
    );
    let wrong = settle(&mut life);
    report.counted(
        "flapping: clusters that are not right at the end",
        wrong,
        "",
        Goal::Most(0.0),
    );
}

fn looks(calls: &CallLog) -> f64 {
    number(calls.count("one.vmpool.infoset"))
}

/// Waits until so many hooks have ended. What each took.
fn wait(log: &Path, hooks: usize) -> Vec<Cost> {
    let start = Instant::now();
    loop {
        let costs = read(log);
        if costs.len() >= hooks {
            return costs;
        }
        assert!(
            start.elapsed() < Duration::from_secs(900),
            "{} of {hooks} hooks ended",
            costs.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// After a sweep or two every cluster must run. How many do not?
fn settle(life: &mut Life) -> f64 {
    life.pass_time(200);
    number(life.sandbox.documents().len() - cloud::running(life))
}

/// What one hook took.
struct Cost {
    mib: f64,
    seconds: f64,
}

/// Puts GNU time before a hook, which notes what each run takes.
fn weigh(hook: &Path, log: &Path) {
    let real = std::fs::read_link(hook).unwrap();
    std::fs::remove_file(hook).unwrap();
    let text = format!(
        "#!/bin/sh\nexec /usr/bin/time -q -a -o {} -f '%M %e' {}\n",
        log.display(),
        real.display()
    );
    std::fs::write(hook, text).unwrap();
    std::fs::set_permissions(hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn read(log: &Path) -> Vec<Cost> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let cost = |line: &str| {
        let (kib, seconds) = line.split_once(' ')?;
        Some(Cost {
            mib: kib.parse::<f64>().ok()? / 1024.0,
            seconds: seconds.parse().ok()?,
        })
    };
    text.lines().filter_map(cost).collect()
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}
