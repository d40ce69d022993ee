//! What goes wrong in a simulation.

use oneks_sandbox::{CallFault, Effect, Faults, VmFaults, When};

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// So many of a hundred events are lost.
    LoseEvents(u8),
    /// So many of a hundred events come twice.
    DuplicateEvents(u8),
    /// Events come in any order.
    ShuffleEvents,
    /// Machines with this in their name fail to boot so many times.
    Boot(String, u32),
    /// The first so many calls of a method fail.
    Call(String, u32),
    /// So many of a hundred runs of a hook end in the middle.
    KillHooks(u8),
    /// A machine with this in its name is switched off once the cluster runs.
    Poweroff(String),
    /// No host has room.
    NoCapacity,
}

impl Fault {
    /// Reads a fault from the command line.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').unwrap_or((text, ""));
        let percent = || match value.parse() {
            Ok(percent) if percent <= 100 => Ok(percent),
            _ => Err(format!("{kind} needs a number from 0 to 100, as in {kind}=30")),
        };
        let times = || {
            let (name, times) = value.rsplit_once('*').unwrap_or((value, "1"));
            match times.parse() {
                Ok(times) if !name.is_empty() => Ok((name.to_owned(), times)),
                _ => Err(format!("{kind} needs a name, as in {kind}=NAME or {kind}=NAME*3")),
            }
        };
        match (kind, value) {
            ("lose-events", _) => percent().map(Self::LoseEvents),
            ("duplicate-events", _) => percent().map(Self::DuplicateEvents),
            ("shuffle-events", "") => Ok(Self::ShuffleEvents),
            ("kill-hooks", _) => percent().map(Self::KillHooks),
            ("boot", _) => times().map(|(name, times)| Self::Boot(name, times)),
            ("call", _) => times().map(|(name, times)| Self::Call(name, times)),
            ("poweroff", name) if !name.is_empty() => Ok(Self::Poweroff(name.to_owned())),
            ("no-capacity", "") => Ok(Self::NoCapacity),
            _ => Err(
                "expected lose-events=PERCENT, duplicate-events=PERCENT, shuffle-events, kill-hooks=PERCENT, \
                      boot=NAME, call=METHOD, poweroff=NAME or no-capacity"
                    .to_owned(),
            ),
        }
    }

    /// Arranges for it.
    pub fn arrange(&self, faults: &mut Faults) {
        match self {
            Self::LoseEvents(percent) => faults.events.lose = *percent,
            Self::DuplicateEvents(percent) => faults.events.duplicate = *percent,
            Self::ShuffleEvents => faults.events.shuffle = true,
            Self::Boot(name, times) => faults.boot = VmFaults::named(name, Some(*times)),
            Self::Call(method, times) => faults.calls.push(CallFault::of(
                method,
                When::First(u64::from(*times)),
                Effect::Fail {
                    code: 8192,
                    message: format!("[{method}] simulated failure"),
                },
            )),
            Self::NoCapacity => faults.no_capacity = true,
            // Not the cloud's doing.
            Self::Poweroff(_) | Self::KillHooks(_) => {}
        }
    }

    /// How many of a hundred runs of a hook end in the middle.
    pub fn kill_hooks(&self) -> Option<u8> {
        if let Self::KillHooks(percent) = self {
            Some(*percent)
        } else {
            None
        }
    }

    /// The name of the machine that is switched off.
    pub fn poweroff(&self) -> Option<&str> {
        if let Self::Poweroff(name) = self {
            Some(name)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        for (text, wanted) in [
            ("lose-events=30", Some(Fault::LoseEvents(30))),
            ("duplicate-events=100", Some(Fault::DuplicateEvents(100))),
            ("shuffle-events", Some(Fault::ShuffleEvents)),
            ("kill-hooks=20", Some(Fault::KillHooks(20))),
            ("kill-hooks", None),
            ("boot=workers", Some(Fault::Boot("workers".into(), 1))),
            ("boot=seed*3", Some(Fault::Boot("seed".into(), 3))),
            (
                "call=one.vm.allocate*2",
                Some(Fault::Call("one.vm.allocate".into(), 2)),
            ),
            ("poweroff=workers", Some(Fault::Poweroff("workers".into()))),
            ("no-capacity", Some(Fault::NoCapacity)),
            ("lose-events=101", None),
            ("lose-events", None),
            ("boot=", None),
            ("boot=x*many", None),
            ("shuffle-events=1", None),
            ("earthquake", None),
        ] {
            assert_eq!(Fault::parse(text).ok(), wanted, "{text}");
        }
    }
}
