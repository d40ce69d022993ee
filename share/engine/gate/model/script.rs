//! The real code, run over a script of answers until it asks for one more operation.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;

use crate::gate::{Forgotten, Gate, GateFs, Hints, Kind, Outcome};

pub(super) const ID: u32 = 1;

const MAX_PASSES: u32 = 3;

/// One operation, as a process asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Open(Kind),
    Write(usize, Vec<u8>),
    IsAt(usize, Kind),
    TryLock(usize),
    Unlock(usize),
    Rename(Kind, Kind),
    Read(Kind),
    Remove(Kind),
    Exists(Kind),
    Names,
    Marked,
    PassBegins(BTreeSet<u32>),
    LimitReached,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Done,
    Is(bool),
    Missing,
    Bytes(Option<Vec<u8>>),
    Names(Vec<String>),
}

/// A file system that answers from a script and stops the process at the first question that is not in it.
#[derive(Clone)]
pub(super) struct Script(Rc<RefCell<Tape>>);

pub(super) struct Tape {
    answers: Vec<Answer>,
    next: usize,
    /// Which descriptors are open.
    files: Vec<bool>,
}

/// What a process wants next, and which descriptors it has not closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) op: Op,
    pub(super) files: Vec<bool>,
}

/// An open file, by the number of its descriptor.
pub(super) struct Descriptor {
    number: usize,
    script: Script,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.script.0.borrow_mut().files[self.number] = false;
    }
}

impl Script {
    fn ask(&self, op: Op) -> Answer {
        let mut tape = self.0.borrow_mut();
        let Some(answer) = tape.answers.get(tape.next).cloned() else {
            let files = tape.files.clone();
            drop(tape);
            resume_unwind(Box::new(Asked { op, files }));
        };
        tape.next += 1;
        answer
    }

    fn yes(&self, op: Op) -> bool {
        match self.ask(op) {
            Answer::Is(yes) => yes,
            other => unreachable!("{other:?}"),
        }
    }

    fn done(&self, op: Op) -> io::Result<()> {
        match self.ask(op) {
            Answer::Done => Ok(()),
            Answer::Missing => Err(io::ErrorKind::NotFound.into()),
            other => unreachable!("{other:?}"),
        }
    }
}

pub(super) fn kind(path: &Path) -> Kind {
    Kind::of_file(path.file_name().unwrap().to_str().unwrap())
        .unwrap()
        .1
}

impl GateFs for Script {
    type File = Descriptor;

    fn open(&self, path: &Path) -> io::Result<Descriptor> {
        self.done(Op::Open(kind(path)))?;
        let files = &mut self.0.borrow_mut().files;
        let number = files.iter().position(|open| !open).unwrap_or(files.len());
        files.resize(files.len().max(number + 1), true);
        files[number] = true;
        Ok(Descriptor {
            number,
            script: self.clone(),
        })
    }
    fn write(&self, file: &Descriptor, _path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.done(Op::Write(file.number, bytes.to_vec()))
    }
    fn is_at(&self, file: &Descriptor, path: &Path) -> io::Result<bool> {
        Ok(self.yes(Op::IsAt(file.number, kind(path))))
    }
    fn try_lock(&self, file: &Descriptor, _path: &Path) -> io::Result<bool> {
        Ok(self.yes(Op::TryLock(file.number)))
    }
    fn unlock(&self, file: &Descriptor) -> io::Result<()> {
        self.done(Op::Unlock(file.number))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.done(Op::Rename(kind(from), kind(to)))
    }
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.ask(Op::Read(kind(path))) {
            Answer::Bytes(bytes) => Ok(bytes),
            other => unreachable!("{other:?}"),
        }
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.done(Op::Remove(kind(path)))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.yes(Op::Exists(kind(path))))
    }
    fn names(&self, _dir: &Path) -> io::Result<Vec<String>> {
        match self.ask(Op::Names) {
            Answer::Names(names) => Ok(names),
            other => unreachable!("{other:?}"),
        }
    }
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        unreachable!("the directory is there")
    }
}

/// What a process does from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Marks with its own number as a hint, and runs.
    Hook,
    /// Marks without a hint, and runs.
    PlainHook,
    /// A hook whose passes fail.
    FailingHook,
    /// Runs what is pending.
    Sweep,
    /// Forgets the cluster, and runs if it is marked.
    Cleaner,
}

pub(super) fn behave(role: Role, number: u32, script: &Script) -> io::Result<()> {
    let gate = Gate::with_fs("", script.clone());
    let run = || {
        let outcome = gate.run(ID, MAX_PASSES, |hints| {
            script.done(Op::PassBegins(hints.vms.clone()))?;
            if role == Role::FailingHook {
                return Err(io::Error::other("the pass fails"));
            }
            Ok(())
        })?;
        if let Outcome::Ran { pending: true, .. } = outcome {
            script.done(Op::LimitReached)?;
        }
        Ok(())
    };
    match role {
        Role::Hook | Role::PlainHook | Role::FailingHook => {
            let plain = role == Role::PlainHook;
            gate.mark(ID, &if plain { Hints::none() } else { Hints::vm(number) })?;
            script.done(Op::Marked)?;
            run()
        }
        Role::Sweep if gate.pending()?.is_empty() => Ok(()),
        Role::Cleaner if gate.forget(ID)? != Forgotten::Marked => Ok(()),
        Role::Sweep | Role::Cleaner => run(),
    }
}

/// Runs the real code with these answers until it asks for one more, or ends.
pub(super) fn next_question(role: Role, process: usize, answers: &[Answer]) -> Option<Asked> {
    let script = Script(Rc::new(RefCell::new(Tape {
        answers: answers.to_vec(),
        next: 0,
        files: Vec::new(),
    })));
    let number = u32::try_from(process).unwrap();
    match catch_unwind(AssertUnwindSafe(|| behave(role, number, &script))) {
        Ok(_) => None,
        Err(payload) => match payload.downcast::<Asked>() {
            Ok(asked) => Some(*asked),
            Err(payload) => resume_unwind(payload),
        },
    }
}
