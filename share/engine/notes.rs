//! What this front-end remembers between two processes, in files beside the locks. All of it only saves calls: a note that
//! is lost, torn or a day old costs a look.
//!
//! | file | meaning |
//! |---|---|
//! | `<id>.watch` | when to look at the cluster although no event came, and how long the last such pause was |
//! | `<id>.ended` | the cluster was deleted by a pass that found nothing left of it |
//! | `<key>.told` | what was logged of a thing that is broken, and is not logged again while it stays so |
//! | `swept` | when to read all clusters again |
//! | `compared` | when all virtual machines were compared last |
//! | `last-sweep` | when the sweep ended last, for `oneks doctor`; written by [`crate::sweep::note`] |

use std::collections::BTreeSet;
use std::path::PathBuf;

use oneks_driver::VmCondition;

use crate::gate::Hints;

/// Shortest and longest pause between two looks at a cluster that awaits something, seconds.
const PAUSE: (u64, u64) = (60, 240);

/// Key of what was said of a document that can't be worked with.
pub const BROKEN: &str = "document";

/// Key of what was said of a pass that failed.
pub const FAILED: &str = "pass";

/// Key of what was said of things that a document without cluster left behind.
pub const LEFT: &str = "left";

/// The notes, see the [module](self).
#[derive(Debug, Clone)]
pub struct Notes {
    dir: PathBuf,
}

/// When to look at a cluster.
struct Watch {
    due: u64,
    pause: u64,
    written: u64,
}

/// What led to a look at a cluster, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// An event: they come.
    Event,
    /// The sweep, and it found what no event had told.
    Late,
    /// The sweep, and there was nothing new.
    Idle,
}

impl Notes {
    /// The notes in the directory of the locks.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Notes when to look at a cluster again: after a pause if it is `restless`, and at a `certain` time.
    ///
    /// Where events come, the pause is long; where the sweep found what they should have told, it is short.
    pub fn watch(&self, id: u32, look: Look, restless: bool, certain: Option<u64>, now: u64) {
        let last = self.read_watch(id).map_or(PAUSE.0, |watch| watch.pause);
        let pause = match look {
            Look::Event => PAUSE.1,
            Look::Late => PAUSE.0,
            Look::Idle => last.saturating_mul(2).clamp(PAUSE.0, PAUSE.1),
        };
        let after_pause = restless.then(|| now.saturating_add(pause));
        match after_pause.into_iter().chain(certain).min() {
            Some(due) => self.write(&format!("{id}.watch"), &format!("{due} {pause} {now}")),
            None => self.remove(&format!("{id}.watch")),
        }
    }

    /// Is it too early for a look at this cluster?
    pub fn may_wait(&self, id: u32, now: u64) -> bool {
        // A note from the future was written before the clock was turned back.
        self.read_watch(id)
            .is_some_and(|watch| watch.due > now && watch.written <= now)
    }

    /// The clusters that are to be looked at.
    pub fn due(&self, now: u64) -> BTreeSet<u32> {
        let ids = self.watched();
        ids.into_iter().filter(|id| !self.may_wait(*id, now)).collect()
    }

    /// Forgets when to look, and when everything was read: another front-end does it, and this one begins anew should it
    /// lead one day.
    pub fn forget_times(&self) {
        for id in self.watched() {
            self.remove(&format!("{id}.watch"));
        }
        self.remove("swept");
    }

    /// Forgets when everything was read and compared: events were lost, and the next sweep looks at all.
    pub fn begin_anew(&self) {
        self.forget_times();
        self.remove("compared");
    }

    /// Notes that nothing is left of a cluster.
    pub fn end(&self, id: u32) {
        self.remove(&format!("{id}.watch"));
        self.write(&format!("{id}.ended"), "");
    }

    /// Is nothing left of the cluster?
    pub fn has_ended(&self, id: u32) -> bool {
        self.dir.join(format!("{id}.ended")).exists()
    }

    /// Did the cluster end, and do the events tell no more than that its parts are gone?
    pub fn knows_end(&self, id: u32, hints: &Hints) -> bool {
        let tidings = &hints.tidings;
        let ends = hints.deleted.is_some() || hints.say_it_all();
        ends && hints.handles.is_empty()
            && tidings.made_routers.is_empty()
            && hints.vms.len() == tidings.vms.len()
            && tidings
                .vms
                .values()
                .all(|told| told.condition == VmCondition::Ending)
            && self.has_ended(id)
    }

    /// Forgets a cluster: it is gone, or there is a new one with its id.
    pub fn forget(&self, id: u32) {
        self.remove(&format!("{id}.watch"));
        self.remove(&format!("{id}.ended"));
        for what in [BROKEN, FAILED, LEFT] {
            self.is_well(&format!("{id}-{what}"));
        }
    }

    /// Is this something new to say of a thing? Then it is noted as said. `key` begins with the cluster's id where the
    /// thing is a cluster's.
    pub fn is_new(&self, key: &str, text: &str) -> bool {
        let name = format!("{key}.told");
        let new = self.read(&name).is_none_or(|told| told != text.trim());
        if new {
            self.write(&name, text);
        }
        new
    }

    /// Notes that a thing is well again: should it break once more, that is something new.
    pub fn is_well(&self, key: &str) {
        self.remove(&format!("{key}.told"));
    }

    /// Is it time to read all clusters?
    pub fn sweep_is_due(&self, now: u64) -> bool {
        let times = self.read("swept").and_then(|text| {
            let (next, written) = text.split_once(' ')?;
            Some((next.parse::<u64>().ok()?, written.parse::<u64>().ok()?))
        });
        times.is_none_or(|(next, written)| next <= now || written > now)
    }

    /// Notes that all clusters were read, and when to read them again.
    pub fn swept(&self, next: u64, now: u64) {
        self.write("swept", &format!("{next} {now}"));
    }

    /// Is it so many seconds since all virtual machines were compared?
    pub fn comparison_is_due(&self, every: u64, now: u64) -> bool {
        let last = self.read("compared").and_then(|t| t.parse::<u64>().ok());
        last.is_none_or(|last| now.saturating_sub(last) >= every || last > now)
    }

    /// Notes that all virtual machines were compared.
    pub fn compared(&self, now: u64) {
        self.write("compared", &now.to_string());
    }

    fn read_watch(&self, id: u32) -> Option<Watch> {
        let text = self.read(&format!("{id}.watch"))?;
        let mut numbers = text.split(' ').map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Watch {
            due: next()?,
            pause: next()?,
            written: next()?,
        })
    }

    fn watched(&self) -> BTreeSet<u32> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".watch")?.parse().ok())
            .collect()
    }

    fn read(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.dir.join(name)).ok()?;
        Some(text.trim().to_owned())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        if let Err(e) = std::fs::write(&path, text) {
            log::warn!("{} can't be written: {e}", path.display());
        }
    }

    fn remove(&self, name: &str) {
        let path = self.dir.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                log::warn!("{} can't be removed: {e}", path.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneks_core::observed::Kind;
    use oneks_core::plan::Told;

    fn notes() -> (tempfile::TempDir, Notes) {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path());
        (folder, notes)
    }

    #[test]
    fn pauses_are_long_where_events_come_and_short_where_they_are_lost() {
        let (_folder, notes) = notes();
        let mut now = 1000;
        assert!(!notes.may_wait(7, now), "nothing is noted");
        for (look, pause) in [
            (Look::Event, 240),
            (Look::Late, 60),
            (Look::Idle, 120),
            (Look::Idle, 240),
            (Look::Idle, 240),
            (Look::Late, 60),
            (Look::Event, 240),
            (Look::Idle, 240),
        ] {
            notes.watch(7, look, true, None, now);
            assert!(notes.may_wait(7, now + pause - 1), "{look:?}");
            assert!(!notes.may_wait(7, now + pause), "{look:?}");
            assert_eq!(notes.due(now + pause), BTreeSet::from([7]));
            assert_eq!(notes.due(now), BTreeSet::new());
            now += pause;
        }
    }

    #[test]
    fn what_is_certain_comes_first_and_rest_is_not_watched() {
        let (_folder, notes) = notes();
        notes.watch(7, Look::Event, true, Some(1030), 1000);
        assert_eq!(notes.due(1030), BTreeSet::from([7]));
        notes.watch(7, Look::Event, false, Some(1600), 1000);
        assert!(notes.may_wait(7, 1599) && !notes.may_wait(7, 1600));
        notes.watch(7, Look::Event, false, None, 1000);
        assert_eq!(notes.due(u64::MAX), BTreeSet::new());
        assert!(!notes.may_wait(7, 1000), "without a note nobody has to wait");
    }

    #[test]
    fn a_clock_that_was_turned_or_a_torn_note_leads_to_a_look() {
        let (folder, notes) = notes();
        notes.watch(7, Look::Event, false, Some(2_000_000), 1_000_000);
        assert_eq!(notes.due(1000), BTreeSet::from([7]));
        assert_eq!(notes.due(1_000_000), BTreeSet::new());
        notes.swept(1_000_060, 1_000_000);
        assert!(notes.sweep_is_due(1000) && !notes.sweep_is_due(1_000_059) && notes.sweep_is_due(1_000_060));
        std::fs::write(folder.path().join("7.watch"), "12").unwrap();
        assert_eq!(notes.due(5), BTreeSet::from([7]));
        std::fs::write(folder.path().join("swept"), "").unwrap();
        assert!(notes.sweep_is_due(5));
        notes.forget_times();
        assert!(notes.sweep_is_due(5));
        assert_eq!(notes.due(5), BTreeSet::new());
    }

    #[test]
    fn of_a_cluster_that_ended_only_ends_are_known() {
        let (_folder, notes) = notes();
        let told = |condition| {
            Hints::told(
                1,
                Told {
                    condition,
                    kind: Kind::Node,
                    group: None,
                },
            )
        };
        let gone = told(VmCondition::Ending);
        assert!(!notes.knows_end(7, &gone));
        notes.end(7);
        assert!(notes.knows_end(7, &gone) && !notes.knows_end(8, &gone));
        for other in [
            Hints::none(),
            Hints::vm(1),
            told(VmCondition::Running),
            Hints::router(3, true),
        ] {
            assert!(!notes.knows_end(7, &other), "{other:?}");
        }
        assert!(notes.knows_end(7, &Hints::router(3, false)));
        notes.forget(7);
        assert!(!notes.knows_end(7, &gone));
    }
}
