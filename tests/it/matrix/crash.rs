//! `kill -9` at every step: the process that serves an event, or the sweep, is killed before each call and each
//! operation on the gate's files. Then events go on, or all are lost and only the sweep is left. The end is the same.
//!
//! An operation is brought to its start once. There the cloud is forked before every process, and for every deed of that
//! process once more: the fork's process is killed before the deed, which is the same as after the one before it.

use std::fmt;

use super::end::is_done;
use super::operation::{Driver, Operation};
use super::report::{Report, all};
use super::stage::Stage;
use super::start::Start;

/// What is left of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// They all come.
    Events,
    /// None comes any more.
    Sweeps,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "events",
            Self::Sweeps => "sweeps",
        })
    }
}

/// A case: where the kill is, and what comes before and after it.
#[derive(Clone, Copy)]
struct Case {
    driver: Driver,
    operation: Operation,
    before: Stream,
    process: usize,
    deed: usize,
    after: Stream,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            driver,
            operation,
            before,
            process,
            deed,
            after,
        } = self;
        write!(f, "crash {driver} {operation} {before} {process}.{deed} {after}")
    }
}

impl Start {
    /// The operation is ordered.
    fn ordered_in(&self, stream: Stream) -> Stage {
        let stage = self.stage.fork();
        if stream == Stream::Sweeps {
            stage.lose_all_events();
        }
        self.order(&stage);
        stage
    }

    /// Runs one case from the moment before the process.
    fn case(
        &self,
        moment: &Stage,
        cause: &super::stage::Cause,
        deed: usize,
        after: Stream,
    ) -> (usize, Result<(), String>) {
        let stage = moment.fork();
        let ended = stage.run(cause, Some(deed));
        if !ended.killed {
            return (
                0,
                Err(format!(
                    "the process did not get to deed {deed}: {:?}",
                    ended.deeds
                )),
            );
        }
        if after == Stream::Sweeps {
            stage.lose_all_events();
        }
        let result = self.finish(&stage, self.operation.wanted().as_ref());
        (stage.seen().deaths - moment.seen().deaths, result)
    }

    /// Runs all cases whose process and deed `wanted` chooses, after what it chooses.
    fn explore(
        &self,
        before: Stream,
        report: &mut Report,
        mut wanted: impl FnMut(usize, usize, bool) -> Vec<Stream>,
    ) {
        let stage = self.ordered_in(before);
        let (operation, cleared) = (self.operation, &self.before);
        let goal = operation.wanted();
        let end = stage.sandbox.now() + operation.limit();
        let first = stage.seen().processes;
        while !is_done(goal.as_ref(), &stage, cleared) {
            let Some(cause) = stage.next(end) else {
                panic!("{operation} is not done without any kill\n{}", stage.report())
            };
            let moment = stage.fork();
            let process = stage.seen().processes - first;
            let ended = stage.run(&cause, None);
            for (deed, what) in ended.deeds.iter().enumerate() {
                // A process may be killed as late as after its last deed, which is its end.
                let trace = deed == 0 || ended.deeds[deed - 1].leaves_a_trace();
                for after in wanted(process, deed, trace) {
                    let named = Case {
                        driver: self.driver,
                        operation,
                        before,
                        process,
                        deed,
                        after,
                    };
                    let (deaths, result) = self.case(&moment, &cause, deed, after);
                    report.note(
                        named,
                        deaths,
                        result.map_err(|why| format!("killed before {what:?} of {}: {why}", cause.name())),
                    );
                }
            }
        }
    }
}

/// Every kill, or every so many of those that differ.
fn matrix(driver: Driver, operation: Operation) {
    let start = Start::new(driver, operation);
    let mut report = Report::new(format!("crash {driver} {operation}"));
    let step = match (all(), driver) {
        (true, _) => 1,
        (false, Driver::Dummy) => 11,
        (false, Driver::Capone) => 131,
    };
    let mut count = 0;
    let mut chosen = |trace: bool| {
        count += usize::from(trace);
        all() || trace && count % step == 0
    };
    start.explore(Stream::Events, &mut report, |_, _, trace| {
        if chosen(trace) {
            vec![Stream::Events, Stream::Sweeps]
        } else {
            Vec::new()
        }
    });
    if all() || driver == Driver::Dummy {
        start.explore(Stream::Sweeps, &mut report, |_, _, trace| {
            if chosen(trace) {
                vec![Stream::Sweeps]
            } else {
                Vec::new()
            }
        });
    }
    assert!(report.deaths >= report.cases, "{report}");
    report.end();
}

/// Runs the case with these words again. Whether there is such a case.
pub fn replay(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["crash", driver, operation, before, point, after] = words[..] else {
        return false;
    };
    let stream = |word: &str| {
        if word == "sweeps" {
            Stream::Sweeps
        } else {
            Stream::Events
        }
    };
    let driver = Driver::ALL.into_iter().find(|d| d.to_string() == driver).unwrap();
    let operation = Operation::ALL
        .into_iter()
        .find(|o| o.to_string() == operation)
        .unwrap();
    let (process, deed) = point.split_once('.').unwrap();
    let point = (process.parse().unwrap(), deed.parse().unwrap());
    let mut report = Report::new(words.join(" "));
    let start = Start::new(driver, operation);
    start.explore(stream(before), &mut report, |process, deed, _| {
        if (process, deed) == point {
            vec![stream(after)]
        } else {
            Vec::new()
        }
    });
    assert_eq!(report.cases, 1, "there is no such case");
    report.end();
    true
}

operations! {
    create: Create,
    add_group: AddGroup,
    remove_group: RemoveGroup,
    scale_up: ScaleUp,
    scale_down: ScaleDown,
    upgrade: Upgrade,
    recover: Recover,
    rotate: Rotate,
    delete: Delete,
    delete_force: DeleteForce,
    delete_document: DeleteDocument,
}
