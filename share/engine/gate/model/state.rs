//! The file system and the processes, as far as they can tell each other apart.

use crate::gate::{Hints, Kind};

use super::script::{Answer, ID, Op, Role};
use super::steps::Steps;

/// Where the file system lies, as if the code left a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// No look for a mark after unlocking.
    NoSecondLook,
    /// No look whether the mark was renamed while it was written.
    NoMarkCheck,
    /// No look whether the lock file is still the one at the path.
    NoLockCheck,
    /// Left-over hints are not merged into the mark.
    NoMerge,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    pub(super) locked_by: Option<(usize, usize)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // independent facts
pub(super) struct Process {
    /// The answers so far, as a node of the tree of all answers.
    pub(super) node: usize,
    /// The inodes behind its open descriptors.
    pub(super) files: Vec<Option<usize>>,
    pub(super) alive: bool,
    pub(super) in_pass: bool,
    pub(super) unlocked_just_now: bool,
    pub(super) marked: bool,
    pub(super) seen: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) names: [Option<usize>; 3],
    pub(super) processes: Vec<Process>,
    pub(super) kills_left: u32,
    /// Somebody was killed, failed or reached the limit: what is left in the marks is not lost, it waits for the sweep.
    pub(super) excused: bool,
}

impl State {
    /// Numbers the inodes by their first use, so that equal states compare equal, and drops those out of reach.
    pub(super) fn canonical(mut self) -> Self {
        let mut order: Vec<usize> = Vec::new();
        let mut number = |inode: &mut usize| {
            let found = order.iter().position(|known| known == inode);
            *inode = found.unwrap_or_else(|| {
                order.push(*inode);
                order.len() - 1
            });
        };
        self.names.iter_mut().flatten().for_each(&mut number);
        for process in &mut self.processes {
            process.files.iter_mut().flatten().for_each(&mut number);
        }
        self.inodes = order.iter().map(|&old| self.inodes[old].clone()).collect();
        self
    }

    pub(super) fn end(&mut self, process: usize) {
        for inode in &mut self.inodes {
            inode.locked_by = inode.locked_by.filter(|(owner, _)| *owner != process);
        }
        let process = &mut self.processes[process];
        (process.alive, process.in_pass, process.node) = (false, false, 0);
        process.files.clear();
    }

    pub(super) fn content(&self, kind: Kind) -> Option<&[u8]> {
        self.names[kind as usize].map(|inode| self.inodes[inode].content.as_slice())
    }

    pub(super) fn apply(&mut self, me: usize, op: &Op, fault: Fault) -> Result<Answer, String> {
        let after_unlock = std::mem::take(&mut self.processes[me].unlocked_just_now);
        let inode = |state: &Self, file: usize| state.processes[me].files[file].unwrap();
        Ok(match op {
            Op::Open(kind) => {
                let inode = self.names[*kind as usize].unwrap_or(self.inodes.len());
                if inode == self.inodes.len() {
                    self.inodes.push(Inode {
                        content: Vec::new(),
                        locked_by: None,
                    });
                }
                self.names[*kind as usize] = Some(inode);
                let files = &mut self.processes[me].files;
                let number = files.iter().position(Option::is_none).unwrap_or(files.len());
                files.resize(files.len().max(number + 1), None);
                files[number] = Some(inode);
                Answer::Done
            }
            Op::Write(file, bytes) => {
                let inode = inode(self, *file);
                let content = &mut self.inodes[inode].content;
                content.extend_from_slice(bytes);
                // The order of lines and their repetition say nothing.
                *content = Hints::from_lines(content).to_lines();
                Answer::Done
            }
            Op::IsAt(_, Kind::Dirty) if fault == Fault::NoMarkCheck => Answer::Is(true),
            Op::IsAt(_, Kind::Lock) if fault == Fault::NoLockCheck => Answer::Is(true),
            Op::IsAt(file, kind) => Answer::Is(self.names[*kind as usize] == Some(inode(self, *file))),
            Op::TryLock(file) => {
                let inode = inode(self, *file);
                let free = self.inodes[inode].locked_by.is_none();
                if free {
                    self.inodes[inode].locked_by = Some((me, *file));
                }
                Answer::Is(free)
            }
            Op::Unlock(file) => {
                let inode = inode(self, *file);
                assert_eq!(self.inodes[inode].locked_by.take(), Some((me, *file)));
                self.processes[me].unlocked_just_now = true;
                self.processes[me].in_pass = false;
                Answer::Done
            }
            Op::Rename(from, to) => match self.names[*from as usize].take() {
                None => Answer::Missing,
                moved => {
                    self.names[*to as usize] = moved;
                    Answer::Done
                }
            },
            // `take` asks before the rename only; afterwards the file is there and no older.
            Op::Read(Kind::Running) if fault == Fault::NoMerge && self.content(Kind::Dirty).is_some() => {
                Answer::Bytes(None)
            }
            Op::Read(kind) => Answer::Bytes(self.content(*kind).map(<[u8]>::to_vec)),
            Op::Remove(kind) => {
                self.processes[me].in_pass = false;
                self.names[*kind as usize] = None;
                Answer::Done
            }
            Op::Exists(_) if after_unlock && fault == Fault::NoSecondLook => Answer::Is(false),
            Op::Exists(kind) => Answer::Is(self.names[*kind as usize].is_some()),
            Op::Names => Answer::Names(
                [Kind::Lock, Kind::Dirty, Kind::Running]
                    .into_iter()
                    .filter(|kind| self.names[*kind as usize].is_some())
                    .map(|kind| format!("{ID}.{}", kind.suffix()))
                    .collect(),
            ),
            Op::Marked => {
                self.processes[me].marked = true;
                Answer::Done
            }
            Op::PassBegins(hints) => {
                if self.processes.iter().any(|p| p.in_pass) {
                    return Err("two passes at once".to_owned());
                }
                self.processes[me].in_pass = true;
                for (number, process) in (0..).zip(&mut self.processes) {
                    process.seen |= hints.contains(&number);
                }
                Answer::Done
            }
            Op::LimitReached => {
                self.excused = true;
                Answer::Done
            }
        })
    }

    pub(super) fn after(&self, me: usize, op: &Op, fault: Fault, steps: &mut Steps) -> Result<Self, String> {
        let mut next = self.clone();
        let answer = next.apply(me, op, fault)?;
        // A mark without hints is served by every pass that begins after it was made.
        let plain = |process: usize| steps.roles[process] == Role::PlainHook;
        match op {
            Op::Open(Kind::Dirty) if plain(me) => next.processes[me].seen = false,
            Op::PassBegins(_) => {
                for number in (0..next.processes.len()).filter(|&number| plain(number)) {
                    next.processes[number].seen = true;
                }
            }
            _ => {}
        }
        let process = &mut next.processes[me];
        process.node = steps.child(me, process.node, op, answer);
        if let Some(asked) = steps.asked(process.node) {
            for (file, open) in process.files.iter_mut().zip(&asked.files) {
                *file = file.filter(|_| *open);
            }
        }
        Ok(next)
    }

    /// Everybody has ended: was every mark served, or is it still there where it may be?
    pub(super) fn verdict(&self, roles: &[Role]) -> Result<(), String> {
        let left: Vec<&[u8]> = [Kind::Dirty, Kind::Running]
            .into_iter()
            .filter_map(|kind| self.content(kind))
            .collect();
        if !self.excused && !left.is_empty() {
            return Err("a mark is left and nobody is there to serve it".to_owned());
        }
        for (number, (process, role)) in (0..).zip(self.processes.iter().zip(roles)) {
            let hint_left = left.iter().any(|l| Hints::from_lines(l).vms.contains(&number));
            let kept = self.excused && (hint_left || (*role == Role::PlainHook && !left.is_empty()));
            if process.marked && !process.seen && !kept {
                return Err(format!("the mark of process {number} is lost"));
            }
        }
        Ok(())
    }
}
