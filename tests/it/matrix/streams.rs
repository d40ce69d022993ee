//! Bad streams: events that are lost, doubled and mixed, a hook manager, a front-end or an oned that is away for a while,
//! calls that fail, hang, or are carried out without an answer, and other processes in the middle of all of it.
//!
//! A whole life goes through it. What failed because its time was over is ordered again by RECOVER, as its user would do;
//! the end is the same, with nothing left, nothing twice and nobody else touched.

use std::fmt;

use oneks_sandbox::{CallFault, Effect, EventFaults, When};

use super::end::{Before, complaints, is_done, overreach};
use super::operation::{Driver, ID, NEW, OLD, Wanted, alice, furnish};
use super::report::{Report, all};
use super::stage::{Dice, Overlap, Stage};

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// 30 % of the events are lost, 30 % doubled, and all mixed within a window of 50.
    Lossy,
    /// The hook manager is down for a while, several times: all events of that time are lost.
    HookManagerDown,
    /// The front-end is away for a while, several times: no event, no sweep, and its locks and marks are gone.
    FrontEndDown,
    /// oned starts anew, several times.
    Restarts,
    /// Calls are refused with this code of oned's.
    Refused(i64),
    /// Connections are refused.
    Unreachable,
    /// Calls are carried out, and the answer does not come.
    NoAnswer,
    /// Calls take long, some longer than a hook may.
    Slow,
    /// Answers take their time, and other processes run meanwhile.
    Overlap,
    /// A little of everything.
    Everything,
}

impl Trouble {
    const ALL: [Self; 16] = [
        Self::Lossy,
        Self::HookManagerDown,
        Self::FrontEndDown,
        Self::Restarts,
        Self::Refused(256),
        Self::Refused(512),
        Self::Refused(1024),
        Self::Refused(2048),
        Self::Refused(4096),
        Self::Refused(8192),
        Self::Refused(16384),
        Self::Unreachable,
        Self::NoAnswer,
        Self::Slow,
        Self::Overlap,
        Self::Everything,
    ];
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lossy => f.write_str("lossy"),
            Self::HookManagerDown => f.write_str("hook-manager-down"),
            Self::FrontEndDown => f.write_str("front-end-down"),
            Self::Restarts => f.write_str("restarts"),
            Self::Refused(code) => write!(f, "refused-{code}"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::NoAnswer => f.write_str("no-answer"),
            Self::Slow => f.write_str("slow"),
            Self::Overlap => f.write_str("overlap"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
enum Happening {
    EventsStop,
    EventsGoOn,
    FrontEndStops,
    FrontEndGoesOn,
    Restart { seconds: u64 },
}

/// A life in trouble.
struct Life {
    driver: Driver,
    trouble: Trouble,
    dice: Dice,
    before: Before,
    stage: Stage,
    happenings: Vec<(u64, Happening)>,
    recoveries: u32,
}

/// Most RECOVER orders for one step of a life. Each gives the work as much time as it had before.
const RECOVERIES: u32 = 8;

/// Whose calls a code strikes: everybody's. Only that something does not exist is told to the hooks alone, which doubt it:
/// Cluster API's provider believes it, forgets its virtual machine, and nobody ends it any more.
fn to_whom(code: i64, fault: &CallFault) -> Vec<CallFault> {
    if code != 512 {
        return vec![fault.clone()];
    }
    ["oneadmin", "serveradmin"]
        .map(|user| fault.clone().by(user))
        .to_vec()
}

impl Life {
    fn new(driver: Driver, trouble: Trouble, seed: u64, base: &Stage) -> Self {
        let stage = base.fork();
        let before = Before::of(&stage);
        stage.begin_anew();
        Self {
            driver,
            trouble,
            dice: Dice::new(seed),
            before,
            stage,
            happenings: Vec::new(),
            recoveries: 0,
        }
    }

    fn start_trouble(&mut self) {
        let seed = self.dice.below(u64::MAX);
        let lossy = EventFaults {
            lose: 30,
            duplicate: 30,
            shuffle: true,
            window: 50,
            seed,
            ..EventFaults::default()
        };
        let fault = |percent, effect| CallFault::any(When::Chance { percent, seed }, effect);
        let refused = |code| Effect::Fail {
            code,
            message: format!("[one.test] made up, {code}"),
        };
        let overlap = |percent| Overlap {
            percent,
            seconds: 30,
            dice: Dice::new(seed),
        };
        let calls = match self.trouble {
            Trouble::Lossy => {
                self.stage.sandbox.faults(|f| f.events = lossy);
                Vec::new()
            }
            Trouble::Refused(code) => to_whom(code, &fault(10, refused(code))),
            Trouble::Unreachable => vec![fault(25, Effect::RefuseConnection)],
            Trouble::NoAnswer => vec![fault(10, Effect::DropAnswer)],
            Trouble::Slow => vec![fault(2, Effect::Delay(150)), fault(20, Effect::Delay(10))],
            Trouble::Overlap => {
                self.stage.set_overlap(Some(overlap(20)));
                Vec::new()
            }
            Trouble::Everything => {
                self.stage.sandbox.faults(|f| {
                    f.events = EventFaults {
                        lose: 10,
                        duplicate: 10,
                        ..lossy
                    }
                });
                self.stage.set_overlap(Some(overlap(5)));
                let codes = [256, 512, 1024, 2048, 4096, 8192, 16384];
                let more = [
                    Effect::RefuseConnection,
                    Effect::DropAnswer,
                    Effect::DropAnswer,
                    Effect::Delay(5),
                ];
                let effects = codes.into_iter().map(|code| (code, refused(code)));
                let effects = effects.chain(more.map(|effect| (0, effect))).enumerate();
                effects
                    .flat_map(|(n, (code, effect))| {
                        let seed = seed ^ n as u64;
                        to_whom(code, &CallFault::any(When::Chance { percent: 1, seed }, effect))
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        self.stage.sandbox.faults(|f| f.calls = calls);
        let mut time = self.stage.sandbox.now();
        for _ in 0..4 {
            // Most of it in the time in which most happens.
            time += self.dice.below(match self.driver {
                Driver::Dummy => 60,
                Driver::Capone => 400,
            });
            let seconds = 1 + self.dice.below(300);
            let (begins, ends) = match self.trouble {
                Trouble::HookManagerDown => (Happening::EventsStop, Some(Happening::EventsGoOn)),
                Trouble::FrontEndDown => (Happening::FrontEndStops, Some(Happening::FrontEndGoesOn)),
                Trouble::Restarts | Trouble::Everything => {
                    (Happening::Restart { seconds: seconds / 3 }, None)
                }
                _ => break,
            };
            self.happenings.push((time, begins));
            time += seconds;
            self.happenings.extend(ends.map(|ends| (time, ends)));
        }
    }

    fn end_trouble(&mut self) {
        for (_, happening) in std::mem::take(&mut self.happenings) {
            self.happen(happening);
        }
        self.stage.sandbox.faults(oneks_sandbox::Faults::clear);
        self.stage.set_overlap(None);
    }

    fn happen(&self, happening: Happening) {
        let lose = |percent| self.stage.sandbox.faults(|f| f.events.lose = percent);
        match happening {
            Happening::EventsStop => lose(100),
            Happening::EventsGoOn => {
                self.stage.sandbox.take_events();
                lose(0);
            }
            Happening::FrontEndStops => {
                self.stage.reboot();
                self.stage.set_sweeping(false);
                lose(100);
            }
            Happening::FrontEndGoesOn => {
                self.stage.sandbox.take_events();
                lose(0);
                self.stage.set_sweeping(true);
            }
            Happening::Restart { seconds } => self.stage.sandbox.restart(seconds),
        }
    }

    /// Goes on until the cluster is as wanted.
    fn until(&mut self, wanted: Option<&Wanted>) -> Result<(), String> {
        let mut recoveries = 0;
        let end = self.stage.sandbox.now() + 24 * 3600;
        while !is_done(wanted, &self.stage, &self.before) {
            let now = self.stage.sandbox.now();
            if self.happenings.first().is_some_and(|(time, _)| *time <= now) {
                let (_, happening) = self.happenings.remove(0);
                self.happen(happening);
                continue;
            }
            if self.stage.state(ID).ends_with("_FAILURE") && wanted.is_some() {
                recoveries += 1;
                self.recoveries += 1;
                if recoveries > RECOVERIES {
                    return Err(format!(
                        "still failing after {RECOVERIES} RECOVER orders\n{}",
                        self.stage.report()
                    ));
                }
                // oned may be down: users try again too.
                if self.stage.is_up() {
                    self.stage
                        .set(&alice(), ID, "RECOVER", &self.recoveries.to_string());
                }
                self.some_time(120);
                continue;
            }
            if now >= end {
                return Err(format!("not as wanted within a day\n{}", self.stage.report()));
            }
            let until = self.happenings.first().map_or(end, |(time, _)| *time);
            if let Some(process) = self.stage.next(until.min(end)) {
                self.stage.run(&process, None);
            }
        }
        Ok(())
    }

    fn some_time(&self, seconds: u64) {
        self.stage.pass_time(seconds);
    }

    /// One step of the life: the order, the trouble, the end.
    fn step(&mut self, order: impl FnOnce(&Stage), wanted: Option<&Wanted>) -> Result<(), String> {
        order(&self.stage);
        self.start_trouble();
        self.until(wanted)?;
        self.end_trouble();
        // Back-offs and looks in the background.
        self.some_time(1300);
        self.until(wanted)?;
        let Some(wanted) = wanted else { return Ok(()) };
        // A cluster at rest is asked once in a while how it is; that may be now.
        let asked = |stage: &Stage| stage.status(ID).is_none_or(|status| status.guest_exec.is_none());
        self.stage.until(300, asked);
        let wrong = complaints(&self.stage, wanted);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n{}", wrong.join("; "), self.stage.report()))
        }
    }

    fn live(&mut self) -> Result<(), String> {
        let driver = self.driver;
        let mut lives: Vec<Wanted> = vec![
            Wanted {
                version: OLD,
                groups: &[("workers", 1)],
                rotated: false,
            },
            Wanted {
                version: OLD,
                groups: &[("workers", 2), ("more", 1)],
                rotated: false,
            },
            Wanted {
                version: NEW,
                groups: &[("workers", 2), ("more", 1)],
                rotated: false,
            },
            Wanted {
                version: NEW,
                groups: &[("workers", 1)],
                rotated: false,
            },
        ];
        if driver == Driver::Capone && !all() {
            lives.truncate(2);
        }
        let spec = |wanted: &Wanted| driver.spec(wanted.version, wanted.groups);
        let first = lives.remove(0);
        let create = |stage: &Stage| assert_eq!(stage.create(&alice(), "demo", &spec(&first)), ID);
        self.step(create, Some(&first))
            .map_err(|why| format!("create: {why}"))?;
        for wanted in lives {
            let order = |stage: &Stage| stage.set(&alice(), ID, "SPEC", &spec(&wanted).to_string());
            self.step(order, Some(&wanted))
                .map_err(|why| format!("{wanted:?}: {why}"))?;
        }
        let delete = |stage: &Stage| stage.set(&alice(), ID, "DELETE", "YES");
        self.step(delete, None).map_err(|why| format!("delete: {why}"))?;
        let mut wrong = self.before.left_over(&self.stage);
        wrong.extend(self.before.touched(&self.stage));
        wrong.extend(overreach(&self.stage.sandbox.calls()));
        wrong.extend(self.stage.seen().twins);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n{}", wrong.join("; "), self.stage.report()))
        }
    }
}

fn base(driver: Driver) -> Stage {
    let base = driver.cloud();
    furnish(&base);
    base
}

fn lives(driver: Driver, trouble: Trouble) {
    let seeds = match (all(), driver) {
        (true, Driver::Dummy) => 100,
        (true, Driver::Capone) => 12,
        (false, Driver::Dummy) => 2,
        (false, Driver::Capone) => u64::from(matches!(trouble, Trouble::Lossy | Trouble::Everything)),
    };
    // Lives with guests take long: most troubles of theirs are part of the whole only.
    if seeds == 0 {
        return;
    }
    let base = base(driver);
    let mut report = Report::new(format!("streams {driver} {trouble}"));
    for seed in 1..=seeds {
        let mut life = Life::new(driver, trouble, seed, &base);
        let result = life.live();
        let seen = life.stage.seen();
        report.note(format!("streams {driver} {trouble} {seed}"), seen.deaths, result);
        report.recoveries += life.recoveries;
    }
    report.end();
}

/// Runs the case with these words again. Whether there is such a case.
pub fn replay(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["streams", driver, trouble, seed] = words[..] else {
        return false;
    };
    let driver = Driver::ALL.into_iter().find(|d| d.to_string() == driver).unwrap();
    let trouble = Trouble::ALL
        .into_iter()
        .find(|t| t.to_string() == trouble)
        .unwrap();
    let mut life = Life::new(driver, trouble, seed.parse().unwrap(), &base(driver));
    let mut report = Report::new(words.join(" "));
    let result = life.live();
    report.note(words.join(" "), life.stage.seen().deaths, result);
    report.end();
    true
}

#[test]
fn the_same_seed_gives_the_same_calls() {
    let base = base(Driver::Dummy);
    let calls = |seed| {
        let mut life = Life::new(Driver::Dummy, Trouble::Everything, seed, &base);
        life.live().unwrap();
        life.stage.sandbox.calls()
    };
    let first = calls(7);
    assert!(first.len() > 100, "{}", first.len());
    assert!(first == calls(7), "two lives with the same seed differ");
    assert!(first != calls(8), "two lives with different seeds are the same");
}

macro_rules! troubles {
    ($($name:ident: $trouble:expr),* $(,)?) => {
        mod dummy {
            use super::{Driver, Trouble, lives};
            $(#[test] fn $name() { lives(Driver::Dummy, $trouble); })*
        }
        mod capone {
            use super::{Driver, Trouble, lives};
            $(#[test] fn $name() { lives(Driver::Capone, $trouble); })*
        }
    };
}

troubles! {
    lossy: Trouble::Lossy,
    hook_manager_down: Trouble::HookManagerDown,
    front_end_down: Trouble::FrontEndDown,
    restarts: Trouble::Restarts,
    refused_256: Trouble::Refused(256),
    refused_512: Trouble::Refused(512),
    refused_1024: Trouble::Refused(1024),
    refused_2048: Trouble::Refused(2048),
    refused_4096: Trouble::Refused(4096),
    refused_8192: Trouble::Refused(8192),
    refused_16384: Trouble::Refused(16384),
    unreachable: Trouble::Unreachable,
    no_answer: Trouble::NoAnswer,
    slow: Trouble::Slow,
    overlap: Trouble::Overlap,
    everything: Trouble::Everything,
}
