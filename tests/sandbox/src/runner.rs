//! Running hooks and time by turns, in one process and always in the same order.

use crate::events::{Execution, ExecutionRecord};
use crate::sandbox::Sandbox;

/// Runs a hook to its end, at a moment of virtual time.
pub trait HookRunner {
    /// Runs it. What it does to the cloud it does through calls.
    fn run(&mut self, execution: &Execution, now: u64) -> ExecutionRecord;
}

impl<F: FnMut(&Execution, u64) -> ExecutionRecord> HookRunner for F {
    fn run(&mut self, execution: &Execution, now: u64) -> ExecutionRecord {
        self(execution, now)
    }
}

/// Why [`Sandbox::run_until`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// The condition holds.
    Stopped,
    /// The deadline has come; the clock shows it.
    Deadline,
    /// Nothing is going to happen any more. The clock stays.
    Quiet,
}

impl Sandbox {
    /// Runs all hooks that are asked for, one after another, then lets time pass to the next moment at which something
    /// happens, and so on, until `stop` says so. It is asked before each of these steps.
    pub fn run_until(
        &self,
        runner: &mut dyn HookRunner,
        deadline: u64,
        mut stop: impl FnMut(&Self) -> bool,
    ) -> RunEnd {
        loop {
            if stop(self) {
                return RunEnd::Stopped;
            }
            let executions = self.take_events();
            if !executions.is_empty() {
                for execution in executions {
                    let record = runner.run(&execution, self.now());
                    self.record_execution(&execution, record);
                }
                continue;
            }
            match self.next_wake() {
                None => return RunEnd::Quiet,
                Some(wake) if wake > deadline => {
                    self.advance_to(deadline);
                    return RunEnd::Deadline;
                }
                Some(wake) => self.advance_to(wake),
            }
        }
    }
}
