//! The gate over real files: threads, processes, kills at every system call, full and missing directories.
//!
//! All interleavings of a few processes are searched in the library's own tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what a test's helper can't do fails the test

mod burst;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::Duration;

use oneks::gate::{Deleted, Disk, Forgotten, Gate, GateFs, Hints, Outcome};
use tempfile::TempDir;

const ID: u32 = 7;

fn vms<const N: usize>(ids: [u32; N]) -> Hints {
    Hints {
        vms: BTreeSet::from(ids),
        ..Hints::none()
    }
}

/// Runs and collects what finished passes saw.
fn run<F: GateFs>(gate: &Gate<F>, seen: &mut BTreeSet<u32>) -> io::Result<Outcome> {
    gate.run(ID, 100, |hints| {
        seen.extend(&hints.vms);
        Ok(())
    })
}

/// Runs until nothing is pending. A child that another test is just starting may hold a copy of a descriptor whose
/// owner was "killed" here, and with it the lock, until its exec.
fn run_all(gate: &Gate, seen: &mut BTreeSet<u32>) {
    for _ in 0..10_000 {
        run(gate, seen).unwrap();
        if gate.pending().unwrap().is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("still pending");
}

fn files(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Calls `before` and `after` around each file operation.
pub(crate) struct Watched<H>(pub(crate) H);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Open,
    Write,
    IsAt,
    TryLock,
    Unlock,
    Rename,
    Read,
    Remove,
    Exists,
    Names,
    MakeDir,
}

impl<H: Fn(Step, bool)> Watched<H> {
    fn around<T>(&self, step: Step, act: impl FnOnce() -> T) -> T {
        (self.0)(step, false);
        let result = act();
        (self.0)(step, true);
        result
    }
}

impl<H: Fn(Step, bool)> GateFs for Watched<H> {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        self.around(Step::Open, || Disk.open(path))
    }
    fn write(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.around(Step::Write, || Disk.write(file, path, bytes))
    }
    fn is_at(&self, file: &File, path: &Path) -> io::Result<bool> {
        self.around(Step::IsAt, || Disk.is_at(file, path))
    }
    fn try_lock(&self, file: &File, path: &Path) -> io::Result<bool> {
        self.around(Step::TryLock, || Disk.try_lock(file, path))
    }
    fn unlock(&self, file: &File) -> io::Result<()> {
        self.around(Step::Unlock, || Disk.unlock(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.around(Step::Rename, || Disk.rename(from, to))
    }
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.around(Step::Read, || Disk.read(path))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.around(Step::Remove, || Disk.remove(path))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.around(Step::Exists, || Disk.exists(path))
    }
    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.around(Step::Names, || Disk.names(dir))
    }
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.around(Step::MakeDir, || Disk.make_dir(dir))
    }
}

#[test]
fn a_run_serves_the_marks_and_leaves_only_the_lock() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path());
    let mut seen = BTreeSet::new();
    assert_eq!(run(&gate, &mut seen).unwrap(), Outcome::Coalesced);

    gate.mark(ID, &vms([1, 2])).unwrap();
    gate.mark(ID, &Hints::none()).unwrap();
    gate.mark(ID, &vms([2, 3])).unwrap();
    let outcome = run(&gate, &mut seen).unwrap();
    assert_eq!(
        outcome,
        Outcome::Ran {
            passes: 1,
            pending: false
        }
    );
    assert_eq!(seen, BTreeSet::from([1, 2, 3]));
    assert_eq!(files(dir.path()), BTreeSet::from(["7.lock".to_owned()]));
    assert_eq!(run(&gate, &mut seen).unwrap(), Outcome::Coalesced);
}

#[test]
fn a_mark_during_a_pass_means_another_pass_until_the_limit() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path());
    gate.mark(ID, &vms([0])).unwrap();
    let mut seen = Vec::new();
    let outcome = gate.run(ID, 3, |hints| {
        let last = *hints.vms.last().unwrap();
        seen.push(last);
        gate.mark(ID, &vms([last + 1]))?;
        // Another event of the same cluster finds the lock taken and leaves.
        let other: io::Result<Outcome> = gate.run(ID, 3, |_| panic!("two passes at once"));
        assert_eq!(other?, Outcome::Coalesced);
        assert_eq!(gate.forget(ID)?, Forgotten::Busy);
        Ok::<(), io::Error>(())
    });
    assert_eq!(
        outcome.unwrap(),
        Outcome::Ran {
            passes: 3,
            pending: true
        }
    );
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(gate.pending().unwrap(), [ID]);
    let mut seen = BTreeSet::new();
    run(&gate, &mut seen).unwrap();
    assert_eq!(seen, BTreeSet::from([3]));
    assert!(gate.pending().unwrap().is_empty());
}

#[test]
fn a_failing_pass_keeps_its_hints() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path());
    let deleted = Deleted {
        id: ID,
        uid: 2,
        uname: "alice\n\"'".to_owned(),
        name: "demo".to_owned(),
        spec: Some("{\"a\":\"]]\\u003e\n\"}".to_owned()),
        status: None,
    };
    let hints = Hints {
        vms: BTreeSet::from([1]),
        deleted: Some(Box::new(deleted)),
        ..Hints::none()
    };
    gate.mark(ID, &hints).unwrap();
    for _ in 0..3 {
        let failed = gate.run(ID, 5, |got| {
            assert_eq!(got.deleted, hints.deleted);
            Err(io::Error::other("oned is away"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "oned is away");
        assert_eq!(gate.pending().unwrap(), [ID]);
    }
    gate.mark(ID, &vms([2])).unwrap();
    gate.run(ID, 5, |got| {
        assert_eq!(got.vms, BTreeSet::from([1, 2]));
        assert_eq!(got.deleted, hints.deleted);
        Ok::<(), io::Error>(())
    })
    .unwrap();
    assert!(gate.pending().unwrap().is_empty());
}

#[test]
fn broken_lines_and_foreign_files_are_passed_over() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path());
    for name in [
        "x.dirty",
        "7",
        "07.dirty",
        "+7.lock",
        "7.dirty.old",
        "4294967296.lock",
    ] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    assert!(gate.pending().unwrap().is_empty());
    assert!(gate.known().unwrap().is_empty());
    fs::write(
        dir.path().join("7.dirty"),
        b"vm 1\nvm\nvm x\nvm -3\nvm 99999999999\n\xff\xfe\ndeleted {\nvm 2\nlater thing\nvm 3",
    )
    .unwrap();
    gate.mark(ID, &vms([4])).unwrap();
    let mut seen = BTreeSet::new();
    run(&gate, &mut seen).unwrap();
    assert_eq!(seen, BTreeSet::from([1, 2, 3, 4]));
}

#[test]
fn a_cluster_that_is_gone_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path());
    gate.mark(ID, &Hints::none()).unwrap();
    assert_eq!(gate.forget(ID).unwrap(), Forgotten::Marked);
    run(&gate, &mut BTreeSet::new()).unwrap();
    assert_eq!(gate.known().unwrap(), [ID]);
    assert_eq!(gate.forget(ID).unwrap(), Forgotten::Gone);
    assert!(files(dir.path()).is_empty());
}

/// Killed before and after each file operation: nothing that was marked is lost.
#[test]
fn a_kill_at_any_operation_loses_nothing() {
    struct Kill;
    let mut operations = 0;
    for kill_at in 0.. {
        let dir = TempDir::new().unwrap();
        let gate = Gate::new(dir.path());
        gate.mark(ID, &vms([1])).unwrap();
        let failed: io::Result<_> = gate.run(ID, 1, |_| Err(io::Error::other("leaves `running`")));
        assert!(failed.is_err());
        gate.mark(ID, &vms([2])).unwrap();

        let step = Cell::new(0);
        let watched = Gate::with_fs(
            dir.path(),
            Watched(|_, _| {
                if step.get() == kill_at {
                    resume_unwind(Box::new(Kill));
                }
                step.set(step.get() + 1);
            }),
        );
        let mut seen = BTreeSet::new();
        let mut must_see = BTreeSet::from([1, 2]);
        let end = catch_unwind(AssertUnwindSafe(|| {
            watched.mark(ID, &vms([3])).unwrap();
            must_see.insert(3);
            run(&watched, &mut seen).unwrap();
        }));
        let marks_left = !gate.pending().unwrap().is_empty();
        assert!(marks_left || seen.is_superset(&must_see), "killed at {kill_at}");
        run_all(&gate, &mut seen);
        assert!(seen.is_superset(&must_see), "killed at {kill_at}: {seen:?}");
        if end.is_ok() {
            operations = kill_at;
            break;
        }
    }
    assert!(operations > 20, "only {operations} steps were tried");
}

/// What the second look is for: a mark that comes after the last look under the lock.
#[test]
fn a_mark_between_the_last_look_and_the_unlock_is_served() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path());
    let late = Cell::new(false);
    let slow = Gate::with_fs(
        dir.path(),
        Watched(|step, after: bool| {
            if step == Step::Unlock && !after && !late.replace(true) {
                gate.mark(ID, &vms([2])).unwrap();
                let other: io::Result<_> = gate.run(ID, 9, |_| panic!("two passes at once"));
                assert_eq!(other.unwrap(), Outcome::Coalesced);
            }
        }),
    );
    gate.mark(ID, &vms([1])).unwrap();
    let mut seen = BTreeSet::new();
    assert_eq!(
        run(&slow, &mut seen).unwrap(),
        Outcome::Ran {
            passes: 2,
            pending: false
        }
    );
    assert_eq!(seen, BTreeSet::from([1, 2]));
}

#[test]
fn a_missing_directory_is_made_but_not_its_parent() {
    let dir = TempDir::new().unwrap();
    let gate = Gate::new(dir.path().join("oneks"));
    assert!(gate.pending().unwrap().is_empty());
    assert!(gate.known().unwrap().is_empty());
    gate.mark(ID, &vms([1])).unwrap();
    assert_eq!(gate.pending().unwrap(), [ID]);

    let lost = dir.path().join("no/such/oneks");
    let gate = Gate::new(&lost);
    for error in [
        gate.mark(ID, &Hints::none()).unwrap_err(),
        run(&gate, &mut BTreeSet::new()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains(lost.to_str().unwrap()), "{error}");
    }
}

#[test]
fn what_is_no_directory_or_full_is_named() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Gate::new(&file).mark(ID, &Hints::none()).unwrap_err();
    assert!(error.to_string().contains("file/7.dirty"), "{error}");

    std::os::unix::fs::symlink("/dev/full", dir.path().join("7.dirty")).unwrap();
    let gate = Gate::new(dir.path());
    let error = gate.mark(ID, &vms([1])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(
        error.to_string().contains("7.dirty") && error.to_string().contains("make room"),
        "{error}"
    );
}
