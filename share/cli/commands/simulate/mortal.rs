//! Hooks that end in the middle.

use std::sync::Mutex;
use std::sync::PoisonError;

use oneks_sandbox::{Rng, Sandbox};
use opennebula::transport::{Transport, TransportError};

/// A hook that dies does so at one of this many first calls.
const CALLS: u64 = 8;

/// The way to the cloud in memory of processes that may be killed: from that moment on, nothing of them gets through.
pub struct Mortal {
    sandbox: Sandbox,
    percent: u8,
    fate: Mutex<Fate>,
}

struct Fate {
    rng: Rng,
    /// How many calls are left to the process, and whether the last is carried out; `None` is any number.
    left: Option<(u64, bool)>,
    killed: u64,
    /// Whether it was noticed that it is dead.
    dead: bool,
}

impl Mortal {
    /// So many of a hundred runs end in the middle.
    pub fn new(sandbox: Sandbox, percent: u8, seed: u64) -> Self {
        let fate = Fate {
            rng: Rng::new(seed),
            left: None,
            killed: 0,
            dead: false,
        };
        Self {
            sandbox,
            percent,
            fate: Mutex::new(fate),
        }
    }

    /// What stands for a process runs.
    pub fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        self.fate(|fate| {
            let dies = fate.rng.chance(self.percent);
            let life = (fate.rng.below(CALLS), fate.rng.chance(50));
            fate.left = dies.then_some(life);
        });
        let result = run();
        self.fate(|fate| {
            fate.left = None;
            fate.killed += u64::from(std::mem::take(&mut fate.dead));
        });
        result
    }

    /// How many processes died of it. Those with fewer calls lived.
    pub fn killed(&self) -> u64 {
        self.fate(|fate| fate.killed)
    }

    fn fate<T>(&self, f: impl FnOnce(&mut Fate) -> T) -> T {
        f(&mut self.fate.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transport for Mortal {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let (dies, carried_out) = self.fate(|fate| match &mut fate.left {
            None => (false, true),
            Some((0, carried_out)) => {
                let last = std::mem::take(carried_out);
                fate.dead = true;
                (true, last)
            }
            Some((calls, _)) => {
                *calls -= 1;
                (false, true)
            }
        });
        let answer = if carried_out {
            Some(self.sandbox.post(body))
        } else {
            None
        };
        match answer {
            Some(answer) if !dies => answer,
            _ => Err(TransportError::Unreachable {
                endpoint: "the cloud in memory".to_owned(),
                sent: carried_out,
                source: "the process was killed".into(),
            }),
        }
    }
}
