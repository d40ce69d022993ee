//! The moment before an operation is ordered, and what must be true after it.

use std::collections::BTreeMap;

use super::end::{Before, complaints, is_done, made, overreach};
use super::operation::{Driver, ID, Operation, Wanted, alice, furnish};
use super::stage::Stage;

/// An operation that is about to be ordered.
pub struct Start {
    pub driver: Driver,
    pub operation: Operation,
    pub before: Before,
    pub stage: Stage,
    /// How often the undisturbed operation, and the deletion after it, make objects.
    makes: BTreeMap<String, usize>,
}

impl Start {
    /// Brings a cluster to where the operation is ordered, and looks how it goes undisturbed.
    pub fn new(driver: Driver, operation: Operation) -> Self {
        let base = driver.cloud();
        furnish(&base);
        let before = Before::of(&base);
        let stage = operation.prepare(driver, &base);
        let mut start = Self {
            driver,
            operation,
            before,
            stage,
            makes: BTreeMap::new(),
        };
        let undisturbed = start.ordered();
        start.finish(&undisturbed, operation.wanted().as_ref()).unwrap();
        assert_eq!(undisturbed.seen().errors, Vec::<String>::new());
        start.makes = made(&undisturbed.sandbox.calls());
        start
    }

    /// A fork in which the operation is ordered.
    pub fn ordered(&self) -> Stage {
        let stage = self.stage.fork();
        self.order(&stage);
        stage
    }

    /// Orders the operation.
    pub fn order(&self, stage: &Stage) {
        self.operation.order(self.driver, stage);
    }

    /// Goes on to the end of the operation and of the cluster.
    pub fn finish(&self, stage: &Stage, wanted: Option<&Wanted>) -> Result<(), String> {
        let (operation, before) = (self.operation, &self.before);
        let limit = operation.limit();
        if !stage.until(limit, |stage| is_done(wanted, stage, before)) {
            return Err(format!(
                "{operation} is not done within {limit} s; left: {:?}\n{}",
                before.left_over(stage),
                stage.report()
            ));
        }
        // What was lost may come to light a little later.
        stage.pass_time(400);
        if let Some(wanted) = wanted {
            let wrong = complaints(stage, wanted);
            if !wrong.is_empty() {
                return Err(format!(
                    "after {operation}: {}\n{}",
                    wrong.join("; "),
                    stage.report()
                ));
            }
            stage.set(&alice(), ID, "DELETE", "YES");
            if !stage.until(3600, |stage| is_done(None, stage, before)) {
                return Err(format!(
                    "not deleted within 3600 s; left: {:?}\n{}",
                    before.left_over(stage),
                    stage.report()
                ));
            }
            stage.pass_time(120);
        }
        let mut wrong = before.left_over(stage);
        wrong.extend(
            before
                .touched(stage)
                .into_iter()
                .map(|what| format!("touched: {what}")),
        );
        let log = stage.sandbox.calls();
        wrong.extend(
            overreach(&log)
                .into_iter()
                .map(|what| format!("without need: {what}")),
        );
        wrong.extend(stage.seen().twins.iter().map(|what| format!("at once: {what}")));
        for (method, count) in made(&log) {
            let usual = self.makes.get(&method).copied();
            if !self.makes.is_empty() && usual.unwrap_or(0) < count {
                wrong.push(format!("{method} was called {count} times, usual is {usual:?}"));
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n{}", wrong.join("; "), stage.report()))
        }
    }
}
