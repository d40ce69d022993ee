//! STATUS is a cache: at any moment of any operation it is erased, or an older one takes its place, as a backup would bring
//! it. It is built anew from live objects; the end is the same, and nothing is made twice.

use std::fmt;

use opennebula::template::Template;

use super::end::is_done;
use super::operation::{Driver, ID, Operation, Wanted, alice};
use super::report::{Report, all};
use super::stage::Stage;
use super::start::Start;

/// What happens to the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// STATUS is set to nothing.
    Erased,
    /// The same, and the front-end starts anew: what it had noted is lost as well.
    Forgotten,
    /// The whole template is replaced by what users write.
    Replaced,
    /// STATUS is the one of so many changes ago.
    Older(usize),
    /// STATUS is the one from before the operation.
    Oldest,
    /// The whole document is as it was before the operation; that is then what the cluster is to be.
    Backup,
}

impl Loss {
    const ALL: [Self; 7] = [
        Self::Erased,
        Self::Forgotten,
        Self::Replaced,
        Self::Older(1),
        Self::Older(4),
        Self::Oldest,
        Self::Backup,
    ];
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erased => f.write_str("erased"),
            Self::Forgotten => f.write_str("forgotten"),
            Self::Replaced => f.write_str("replaced"),
            Self::Older(n) => write!(f, "older-{n}"),
            Self::Oldest => f.write_str("oldest"),
            Self::Backup => f.write_str("backup"),
        }
    }
}

/// An operation, with what its document was.
struct Life {
    start: Start,
    /// The document before.
    backup: Option<Template>,
}

impl Life {
    fn new(driver: Driver, operation: Operation) -> Self {
        let start = Start::new(driver, operation);
        let backup = template(&start.stage);
        Self { start, backup }
    }

    /// Is there such a case? A cluster that is half deleted does not come back, and one that was never complete has no
    /// backup.
    fn makes_sense(&self, loss: Loss) -> bool {
        let operation = self.start.operation;
        let comes_back =
            self.backup.is_some() && operation.before().is_some() && operation.wanted().is_some();
        loss != Loss::Backup || comes_back
    }

    /// What the cluster is to be in the end after this loss.
    fn wanted(&self, loss: Loss) -> Option<Wanted> {
        match loss {
            Loss::Backup => self.start.operation.before(),
            _ => self.start.operation.wanted(),
        }
    }

    /// Does it to the document, which is there. `None` if there is nothing to do it with.
    fn lose(&self, stage: &Stage, loss: Loss, past: &[String]) -> Option<()> {
        let older = |n: usize| past.len().checked_sub(1 + n).and_then(|at| past.get(at));
        let replace = |template: &Template| {
            let text = template.to_xml("TEMPLATE").unwrap();
            stage.ask(
                &alice(),
                "one.document.update",
                &[ID.into(), text.into(), 0.into()],
            );
        };
        let status = |text: &str| stage.set(&alice(), ID, "STATUS", text);
        match loss {
            Loss::Erased => status(""),
            Loss::Forgotten => {
                status("");
                stage.reboot();
            }
            Loss::Replaced => {
                let mut template = Template::new();
                for name in ["SPEC", "RECOVER", "ROTATE", "DELETE"] {
                    if let Some(text) = stage.attribute(ID, name) {
                        template.set(name, text);
                    }
                }
                replace(&template);
            }
            Loss::Older(n) => status(older(n)?),
            Loss::Oldest => status(past.first()?),
            Loss::Backup => replace(self.backup.as_ref()?),
        }
        Some(())
    }

    /// One case, from the moment at which it happens.
    fn case(&self, moment: &Stage, loss: Loss, past: &[String]) -> Option<Result<(), String>> {
        if !self.makes_sense(loss) {
            return None;
        }
        let wanted = self.wanted(loss);
        let stage = moment.fork();
        self.lose(&stage, loss, past)?;
        // An order that was given before STATUS was lost counts as carried out: nobody knows. Users repeat it.
        if self.start.operation == Operation::Recover {
            let done = |stage: &Stage| is_done(wanted.as_ref(), stage, &self.start.before);
            let failed = |stage: &Stage| stage.state(ID) == "PROVISIONING_FAILURE";
            stage.until(2 * 3600, |stage| done(stage) || failed(stage));
            stage.pass_time(120);
            if failed(&stage) {
                stage.set(&alice(), ID, "RECOVER", "2");
            }
        }
        if (self.start.operation, loss) == (Operation::Upgrade, Loss::Backup) {
            return Some(self.after_an_old_version(&stage, wanted.as_ref()));
        }
        Some(self.start.finish(&stage, wanted.as_ref()))
    }

    /// The SPEC that a backup brought back asks for the version from before the upgrade. Where the upgrade has begun that
    /// is refused, as it always is; users correct it.
    fn after_an_old_version(&self, stage: &Stage, wanted: Option<&Wanted>) -> Result<(), String> {
        let refused = |stage: &Stage| {
            let status = stage.status(ID);
            let error = status.as_ref().and_then(|s| s.last_error.as_ref());
            error.is_some_and(|e| e.reason == "VersionNotPossible")
        };
        let done = |stage: &Stage| is_done(wanted, stage, &self.start.before);
        stage.pass_time(60);
        stage.until(3600, |stage| refused(stage) || done(stage));
        stage.pass_time(600);
        if !refused(stage) {
            return self.start.finish(stage, wanted);
        }
        let wanted = self.start.operation.wanted();
        self.start.order(stage);
        stage.pass_time(60);
        stage.set(&alice(), ID, "RECOVER", "after the backup");
        self.start.finish(stage, wanted.as_ref())
    }

    /// Runs the cases that `wanted` chooses: before which process, and what is lost.
    fn explore(&self, report: &mut Report, wanted: impl Fn(usize, Loss) -> bool) {
        let Start {
            driver,
            operation,
            before,
            ..
        } = &self.start;
        let stage = self.start.ordered();
        let goal = operation.wanted();
        let end = stage.sandbox.now() + operation.limit();
        let mut past: Vec<String> = self.start.stage.attribute(ID, "STATUS").into_iter().collect();
        let mut process = 0;
        while !is_done(goal.as_ref(), &stage, before) {
            let Some(next) = stage.next(end) else {
                panic!("{operation} is not done\n{}", stage.report())
            };
            // Whatever is about to run has not begun; its event is on its way.
            if stage.state(ID) != "GONE" {
                let moment = stage.fork();
                moment.put_back(&next);
                for loss in Loss::ALL {
                    if wanted(process, loss)
                        && let Some(result) = self.case(&moment, loss, &past)
                    {
                        let name = format!("rebuild {driver} {operation} {process} {loss}");
                        report.note(name, 0, result);
                    }
                }
            }
            stage.run(&next, None);
            process += 1;
            if let Some(status) = stage.attribute(ID, "STATUS")
                && past.last() != Some(&status)
            {
                past.push(status);
            }
        }
    }
}

fn template(stage: &Stage) -> Option<Template> {
    let documents = stage.sandbox.documents();
    documents
        .into_iter()
        .find(|d| d.meta.id == ID)
        .map(|d| d.template)
}

fn matrix(driver: Driver, operation: Operation) {
    let life = Life::new(driver, operation);
    let mut report = Report::new(format!("rebuild {driver} {operation}"));
    let step = match driver {
        Driver::Dummy => 5,
        Driver::Capone => 37,
    };
    life.explore(&mut report, |process, loss| {
        let shift = Loss::ALL
            .iter()
            .position(|known| *known == loss)
            .unwrap_or_default();
        all() || (process + 3 * shift) % step == 0
    });
    report.end();
}

/// Runs the case with these words again. Whether there is such a case.
pub fn replay(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["rebuild", driver, operation, at, what] = words[..] else {
        return false;
    };
    let driver = Driver::ALL.into_iter().find(|d| d.to_string() == driver).unwrap();
    let operation = Operation::ALL
        .into_iter()
        .find(|o| o.to_string() == operation)
        .unwrap();
    let at: usize = at.parse().unwrap();
    let mut report = Report::new(words.join(" "));
    Life::new(driver, operation).explore(&mut report, |process, loss| {
        process == at && loss.to_string() == what
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
}
