//! What a test lets go wrong.

use std::collections::BTreeSet;

use crate::events::Execution;
use crate::rng::Rng;

/// Faults of a sandbox. Nothing goes wrong by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Faults of calls. The first that fits a call decides.
    pub calls: Vec<CallFault>,
    /// What happens to events on their way to the hook manager.
    pub events: EventFaults,
    /// VMs that fail in BOOT.
    pub boot: VmFaults,
    /// VMs that fail in PROLOG.
    pub prolog: VmFaults,
    /// VMs whose guests ignore a shutdown by ACPI; after a while they fall back to RUNNING.
    pub ignore_acpi: VmFaults,
    /// No host has room for any VM.
    pub no_capacity: bool,
    /// The front-end that answers is one of several, and only follows.
    pub follower: bool,
}

/// Some VMs, some of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmFaults {
    /// By id.
    pub ids: BTreeSet<u32>,
    /// By a part of the name.
    pub names: Vec<String>,
    /// How often at most; `None` is always.
    pub times: Option<u32>,
}

/// A fault of some calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFault {
    /// Method, or all of them.
    pub method: Option<String>,
    /// Name of the user in the session (of a delegated session, the server's), or all of them.
    pub user: Option<String>,
    /// Which of the calls that fit.
    pub when: When,
    /// What happens to them.
    pub effect: Effect,
    seen: u64,
}

/// Which calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All.
    Always,
    /// Only this one, counted from 1.
    Nth(u64),
    /// This one and all later ones.
    From(u64),
    /// The first so many.
    First(u64),
    /// So many of 100, chosen by a seed.
    Chance {
        /// How many of 100.
        percent: u8,
        /// Seed of the choice.
        seed: u64,
    },
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is refused and does nothing.
    Fail {
        /// oned's code.
        code: i64,
        /// Whole text of the reply.
        message: String,
    },
    /// Virtual seconds pass before the answer.
    Delay(u64),
    /// It does nothing, and there is no answer.
    RefuseConnection,
    /// It is done, but the answer is lost.
    DropAnswer,
    /// The caller dies before the call.
    DieBefore,
    /// The call is done and the caller dies without having seen the answer.
    DieAfter,
}

/// Why a caller gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nobody answers at all.
    #[error("connection refused")]
    Refused,
    /// The answer doesn't come.
    #[error("timed out")]
    TimedOut,
    /// The caller itself is to end here.
    #[error("the caller dies")]
    CallerDies,
}

/// What happens to events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFaults {
    /// How many of 100 are lost.
    pub lose: u8,
    /// How many of 100 come twice.
    pub duplicate: u8,
    /// Whether their order is lost.
    pub shuffle: bool,
    /// How many events are waited for before any of them comes. Zero or one: none.
    pub window: usize,
    /// How many seconds they are waited for at most.
    pub patience: u64,
    /// Seed of the choice.
    pub seed: u64,
}

impl Default for EventFaults {
    fn default() -> Self {
        Self {
            lose: 0,
            duplicate: 0,
            shuffle: false,
            window: 0,
            patience: 20,
            seed: 1,
        }
    }
}

impl CallFault {
    /// A fault of the calls of one method.
    pub fn of(method: &str, when: When, effect: Effect) -> Self {
        Self {
            method: Some(method.into()),
            user: None,
            when,
            effect,
            seen: 0,
        }
    }

    /// A fault of calls of any method.
    pub fn any(when: When, effect: Effect) -> Self {
        Self {
            method: None,
            user: None,
            when,
            effect,
            seen: 0,
        }
    }

    /// The same, for one user only.
    #[must_use]
    pub fn by(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }

    /// How many calls have fitted so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

impl VmFaults {
    /// VMs whose name holds this text, so many times.
    pub fn named(part: &str, times: Option<u32>) -> Self {
        Self {
            ids: BTreeSet::new(),
            names: vec![part.into()],
            times,
        }
    }

    /// One VM, always.
    pub fn vm(id: u32) -> Self {
        Self {
            ids: BTreeSet::from([id]),
            ..Self::default()
        }
    }

    fn applies(&self, id: u32, name: &str) -> bool {
        self.times != Some(0) && (self.ids.contains(&id) || self.names.iter().any(|part| name.contains(part)))
    }

    fn strikes(&mut self, id: u32, name: &str) -> bool {
        let applies = self.applies(id, name);
        if let (true, Some(times)) = (applies, &mut self.times) {
            *times -= 1;
        }
        applies
    }
}

/// What the sandbox has to do with a call.
pub(crate) enum Verdict {
    Pass,
    Refuse { code: i64, message: String },
    Delay(u64),
    BreakBefore(Broken),
    BreakAfter(Broken),
}

impl Faults {
    /// Removes all faults.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn judge(&mut self, method: &str, user: &str) -> Verdict {
        for fault in &mut self.calls {
            let fits = fault.method.as_deref().is_none_or(|wanted| wanted == method)
                && fault.user.as_deref().is_none_or(|wanted| wanted == user);
            if !fits {
                continue;
            }
            fault.seen += 1;
            let strikes = match fault.when {
                When::Always => true,
                When::Nth(number) => fault.seen == number,
                When::From(number) => fault.seen >= number,
                When::First(number) => fault.seen <= number,
                When::Chance { percent, seed } => Rng::new(seed ^ fault.seen << 32).chance(percent),
            };
            if !strikes {
                continue;
            }
            return match &fault.effect {
                Effect::Fail { code, message } => Verdict::Refuse {
                    code: *code,
                    message: message.clone(),
                },
                Effect::Delay(seconds) => Verdict::Delay(*seconds),
                Effect::RefuseConnection => Verdict::BreakBefore(Broken::Refused),
                Effect::DropAnswer => Verdict::BreakAfter(Broken::TimedOut),
                Effect::DieBefore => Verdict::BreakBefore(Broken::CallerDies),
                Effect::DieAfter => Verdict::BreakAfter(Broken::CallerDies),
            };
        }
        Verdict::Pass
    }

    /// Whether these executions have to wait for more, and until when.
    pub(crate) fn holds(&self, executions: &[Execution], now: u64) -> Option<u64> {
        let end = executions.first()?.published + self.events.patience;
        (executions.len() < self.events.window && now < end).then_some(end)
    }

    /// Loses, doubles and shuffles executions.
    pub(crate) fn disturb(&mut self, executions: Vec<Execution>) -> Vec<Execution> {
        let EventFaults {
            lose,
            duplicate,
            shuffle,
            seed,
            ..
        } = self.events;
        if lose == 0 && duplicate == 0 && !shuffle {
            return executions;
        }
        let mut rng = Rng::new(seed);
        let mut disturbed = Vec::new();
        for execution in executions {
            if rng.chance(lose) {
                continue;
            }
            if rng.chance(duplicate) {
                disturbed.push(execution.clone());
            }
            disturbed.push(execution);
        }
        if shuffle {
            for index in (1..disturbed.len()).rev() {
                let other = usize::try_from(rng.below(index as u64 + 1)).unwrap_or(0);
                disturbed.swap(index, other);
            }
        }
        self.events.seed = rng.next();
        disturbed
    }

    pub(crate) fn boot_fails(&mut self, id: u32, name: &str) -> bool {
        self.boot.strikes(id, name)
    }

    pub(crate) fn prolog_fails(&mut self, id: u32, name: &str) -> bool {
        self.prolog.strikes(id, name)
    }

    pub(crate) fn ignores_acpi(&self, id: u32, name: &str) -> bool {
        self.ignore_acpi.applies(id, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(fault: CallFault, calls: &[(&str, &str)]) -> Vec<bool> {
        let mut faults = Faults {
            calls: vec![fault],
            ..Faults::default()
        };
        calls
            .iter()
            .map(|(method, user)| !matches!(faults.judge(method, user), Verdict::Pass))
            .collect()
    }

    #[test]
    fn faults_strike_the_calls_that_fit() {
        let calls = [("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")];
        let fault = |when| CallFault::of("a", when, Effect::DropAnswer);
        assert_eq!(struck(fault(When::Always), &calls), [true, false, true, true]);
        assert_eq!(struck(fault(When::Nth(2)), &calls), [false, false, true, false]);
        assert_eq!(struck(fault(When::From(2)), &calls), [false, false, true, true]);
        assert_eq!(struck(fault(When::First(1)), &calls), [true, false, false, false]);
        assert_eq!(
            struck(fault(When::Nth(2)).by("x"), &calls),
            [false, false, false, true]
        );
        assert_eq!(
            struck(CallFault::any(When::Nth(2), Effect::DieBefore), &calls),
            [false, true, false, false]
        );
    }

    #[test]
    fn vm_faults_can_end() {
        let mut faults = Faults {
            boot: VmFaults::named("worker", Some(1)),
            ..Faults::default()
        };
        assert!(!faults.boot_fails(1, "seed"));
        assert!(faults.boot_fails(2, "oneks-1-worker-a"));
        assert!(!faults.boot_fails(3, "oneks-1-worker-b"));
        faults.boot = VmFaults::vm(7);
        assert!(faults.boot_fails(7, "") && faults.boot_fails(7, ""));
    }
}
