//! Events that are somebody else's: what a hook adds to the start of a process.

use crate::Effort;
use crate::payload;
use crate::process::{Program, empty, empty_static, median};
use crate::report::{Goal, Report};
use crate::support::counter::Counter;
use crate::support::prefix::Prefix;

const KIB: usize = 1024;

/// Hundreds of runs of each, one after another in turn, so that the machine's other work hits all alike.
pub fn measure(effort: Effort, report: &mut Report) {
    let endpoint = Counter::answering("nobody should ask");
    let prefix = Prefix::new(&endpoint.endpoint());
    let folder = tempfile::tempdir().unwrap();
    let mut programs = vec![
        empty(folder.path()),
        Program::new("/bin/true", "/bin/true"),
        Program::new("vm_state", prefix.hook("vm_state")).with(prefix.environment()),
        Program::new("document", prefix.hook("document")).with(prefix.environment()),
        Program::new("vm_state, pending", prefix.hook("vm_state")).with(prefix.environment()),
    ];
    let measured = programs.len();
    programs.extend(empty_static(folder.path()));
    for (size, bytes, most) in [("8 KiB", 8 * KIB, 1.3), ("1 MiB", 1024 * KIB, 2.0)] {
        let (vm, pending, document) = (
            payload::vm(bytes),
            payload::vm_pending(bytes),
            payload::document(bytes),
        );
        let input = |program: &Program| match program.name {
            "document" => &document,
            "vm_state, pending" => &pending,
            _ => &vm,
        };
        let mut costs: Vec<Vec<_>> = vec![Vec::new(); programs.len()];
        for _ in 0..effort.of(400, 40) {
            for (program, costs) in programs.iter().zip(&mut costs) {
                costs.push(program.run(input(program)));
            }
        }
        let wall: Vec<f64> = costs.iter().map(|c| median(c.iter().map(|c| c.wall))).collect();
        for (n, program) in programs.iter().enumerate().take(measured).skip(2) {
            let name = program.name;
            report.timed(
                format!("{name}, {size}: wall time, of that of an empty program"),
                wall[n] / wall[0],
                "×",
                Goal::Most(most),
            );
            report.timed(
                format!("{name}, {size}: wall time, of that of /bin/true"),
                wall[n] / wall[1],
                "×",
                Goal::None,
            );
            report.timed(format!("{name}, {size}: wall time"), wall[n], "ms", Goal::None);
            report.timed(
                format!("{name}, {size}: processor time"),
                median(costs[n].iter().map(|c| c.cpu)),
                "ms",
                Goal::None,
            );
            if let Some(peak) = program.peak(input(program)) {
                report.counted(
                    format!("{name}, {size}: peak memory"),
                    peak / 1024.0,
                    "MiB",
                    Goal::Most(4.0),
                );
            }
        }
        for n in (0..programs.len()).filter(|n| !(1..measured).contains(n)) {
            report.timed(
                format!("{} beside, {size}: wall time", programs[n].name),
                wall[n],
                "ms",
                Goal::None,
            );
        }
    }
    let calls = u32::try_from(endpoint.connections()).unwrap();
    report.counted("calls to OpenNebula", f64::from(calls), "", Goal::Most(0.0));
}
