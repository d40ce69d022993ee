//! What will happen inside the cloud, by time.

use std::collections::BTreeMap;

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    /// The scheduler looks at what is pending.
    Schedule,
    /// A driver finishes what it does to a VM, unless the VM's serial has moved on.
    Driver { vm: u32, serial: u64 },
    /// A monitoring probe reports finished commands.
    ExecProbe,
    /// The executor of scheduled actions wakes.
    SchedActions,
    /// An image is complete.
    Image { id: u32 },
    /// Nothing in itself: time has to stop here because a caller or a fault waits for it.
    Wake,
}

/// Tasks in order of time, first come first served within a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    tasks: BTreeMap<(u64, u64), Task>,
    serial: u64,
}

impl Agenda {
    pub(crate) fn at(&mut self, time: u64, task: Task) {
        self.serial += 1;
        self.tasks.insert((time, self.serial), task);
    }

    /// Like [`Agenda::at`], but a task that is there already for this or an earlier time is enough; a later one is
    /// replaced.
    pub(crate) fn once_at(&mut self, time: u64, task: Task) {
        match self
            .tasks
            .iter()
            .find(|(_, known)| **known == task)
            .map(|(key, _)| *key)
        {
            Some(key) if key.0 <= time => {}
            Some(key) => {
                self.tasks.remove(&key);
                self.at(time, task);
            }
            None => self.at(time, task),
        }
    }

    pub(crate) fn has(&self, task: &Task) -> bool {
        self.tasks.values().any(|known| known == task)
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.tasks.first_key_value().map(|((time, _), _)| *time)
    }

    /// Removes the first task if it is due at `now`.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Task> {
        let entry = self.tasks.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_come_by_time_then_by_entry() {
        let mut agenda = Agenda::default();
        agenda.at(5, Task::Image { id: 1 });
        agenda.at(3, Task::Wake);
        agenda.at(5, Task::Image { id: 2 });
        assert_eq!(agenda.next(), Some(3));
        assert_eq!(agenda.pop(2), None);
        assert_eq!(agenda.pop(9), Some(Task::Wake));
        assert_eq!(agenda.pop(9), Some(Task::Image { id: 1 }));
        assert_eq!(agenda.pop(9), Some(Task::Image { id: 2 }));
        assert_eq!((agenda.pop(9), agenda.next()), (None, None));
    }

    #[test]
    fn a_single_task_keeps_the_earliest_time() {
        let mut agenda = Agenda::default();
        agenda.once_at(9, Task::Schedule);
        agenda.once_at(4, Task::Schedule);
        agenda.once_at(7, Task::Schedule);
        assert!(agenda.has(&Task::Schedule));
        assert_eq!((agenda.next(), agenda.pop(4)), (Some(4), Some(Task::Schedule)));
        assert!(!agenda.has(&Task::Schedule));
    }
}
