//! One pass at a time per cluster; no event lost; nobody ever waits.
//!
//! Every event *marks* its cluster and then tries to *run*. Whoever gets the lock does the work of all marks, whoever
//! doesn't leaves at once: the holder will see the mark.
//!
//! ```text
//!                    ┌──────────────── a mark is there ────────────────┐
//!                    ▼                                                 │
//! mark ──▶ try lock ─┬─ taken ──▶ Coalesced                            │
//!                    └─ ours ──▶ take ──▶ pass ──▶ drop running ──▶ unlock ──▶ look again ──▶ Ran
//!                                 ▲  mark → running         │
//!                                 └──── a mark is there ────┘
//! ```
//!
//! Files, one set per cluster, in a local directory (`flock` over a network may block):
//!
//! | file | meaning |
//! |---|---|
//! | `<id>.lock` | locked while somebody runs; only [`Gate::forget`] removes it |
//! | `<id>.dirty` | there is work; its lines are the hints of the events |
//! | `<id>.running` | the marks that the present pass serves, or that a killed or failed pass left behind |
//! | `handle-<id>.…` | the same for a virtual machine that asks for a cluster, see [`Gate::handles`] |
//! | `vm-<id>-<process>` | a process is finding out to which cluster this VM belongs |
//!
//! # Guarantees
//! - At most one pass per cluster on this machine.
//! - A pass that begins after the mark was made serves each mark and gets its hints, or the mark is still there for
//!   [`Gate::pending`]. That holds if any process is killed between any two system calls.
//! - A mark may be served twice.
//!
//! # Why each step is there
//! - The mark is renamed *before* anything is read: an event that comes later makes a new mark.
//! - A marker looks whether its file was renamed meanwhile: then its hints may have come too late to be read, and it
//!   marks again.
//! - Hints of a left-over `running` go into the mark before the rename replaces that file.
//! - After unlocking the holder looks again: a marker that failed to get the lock just before relies on it.
//! - Who gets the lock looks whether its file is still the one at the path: `forget` may have removed it meanwhile.

mod fs;
mod hints;
#[cfg(test)]
mod model;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

pub use fs::{Disk, GateFs};
pub use hints::{Deleted, Hints};

/// The locks and marks of all clusters, see the [module](self).
#[derive(Debug, Clone)]
pub struct Gate<F: GateFs = Disk> {
    dir: PathBuf,
    /// How its files' names begin: empty, or for what else than clusters it is.
    prefix: &'static str,
    fs: F,
}

/// What became of [`Gate::run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// This call ran passes.
    Ran {
        /// How many.
        passes: u32,
        /// Marks are left because the limit was reached.
        pending: bool,
    },
    /// Somebody else serves the mark, or has served it.
    Coalesced,
}

/// What became of [`Gate::forget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// The cluster has no files any more.
    Gone,
    /// A pass is running. It, or the next sweep, will find the cluster gone again.
    Busy,
    /// There is a mark: the caller must [`run`](Gate::run), whoever made the mark may rely on that.
    Marked,
}

/// A VM whose cluster some process is finding out. Each process has its own: what one has done says nothing of an event
/// that came to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmNote {
    /// The VM.
    pub vm: u32,
    process: u32,
}

impl VmNote {
    fn name(self) -> String {
        format!("vm-{}-{}", self.vm, self.process)
    }

    fn of_file(name: &str) -> Option<Self> {
        let (vm, process) = name.strip_prefix("vm-")?.split_once('-')?;
        let note = Self {
            vm: vm.parse().ok()?,
            process: process.parse().ok()?,
        };
        (note.name() == name).then_some(note)
    }
}

impl Gate {
    /// The gate whose files lie in `dir`. The directory itself is made when it is missing, its parent is not.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self::with_fs(dir, Disk)
    }
}

impl<F: GateFs> Gate<F> {
    /// A gate whose every file operation goes through `fs`, so that tests can watch, delay or abort it.
    pub fn with_fs(dir: impl Into<PathBuf>, fs: F) -> Self {
        Self {
            dir: dir.into(),
            prefix: "",
            fs,
        }
    }

    /// The gate of virtual machines that are handles and have no cluster yet: the same for ids of VMs, with files of their
    /// own beside these.
    pub fn handles(&self) -> Gate<&F> {
        Gate {
            dir: self.dir.clone(),
            prefix: "handle-",
            fs: &self.fs,
        }
    }

    /// The directory of its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Marks the cluster: a pass that begins after this returns will serve it and see the hints.
    ///
    /// # Errors
    /// The directory is missing, not writable or full. The mark may have been made without its hints.
    pub fn mark(&self, id: u32, hints: &Hints) -> io::Result<()> {
        let dirty = self.path(id, Kind::Dirty);
        let lines = hints.to_lines();
        loop {
            let file = self.open(&dirty)?;
            // Without hints the file's existence says it all: a pass that renames it begins after now.
            if lines.is_empty() {
                return Ok(());
            }
            self.fs.write(&file, &dirty, &lines)?;
            if self.fs.is_at(&file, &dirty)? {
                return Ok(());
            }
        }
    }

    /// Serves the marks of the cluster with at most `max_passes` passes (at least one), unless somebody else does.
    ///
    /// Without a mark nothing is done. Each pass gets the hints of the marks that it serves. The lock is not given up
    /// between passes.
    ///
    /// # Errors
    /// The first error of a pass: its marks stay, and nothing is tried again before the next event or sweep. Or an
    /// error of the gate's own files.
    pub fn run<E: From<io::Error>>(
        &self,
        id: u32,
        max_passes: u32,
        mut pass: impl FnMut(&Hints) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let mut passes = 0;
        loop {
            let Some(lock) = self.try_lock(id)? else {
                return Ok(Outcome::of(passes, false));
            };
            let served = self.serve(id, max_passes.max(1), &mut passes, &mut pass);
            let unlocked = self.fs.unlock(&lock);
            served?;
            unlocked?;
            if !self.fs.exists(&self.path(id, Kind::Dirty))? {
                return Ok(Outcome::of(passes, false));
            }
            if passes >= max_passes {
                return Ok(Outcome::of(passes, true));
            }
        }
    }

    /// Notes that this process finds out to which cluster a VM belongs, so that the event is not lost with the process.
    ///
    /// # Errors
    /// The directory is missing, not writable or full.
    pub fn note_vm(&self, vm: u32) -> io::Result<VmNote> {
        let note = VmNote {
            vm,
            process: std::process::id(),
        };
        self.open(&self.dir.join(note.name()))?;
        Ok(note)
    }

    /// Drops a note: the VM's cluster is marked, or it has none.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn drop_note(&self, note: VmNote) -> io::Result<()> {
        self.fs.remove(&self.dir.join(note.name()))
    }

    /// The notes that there are: of processes at work, and of those that were killed or failed.
    ///
    /// # Errors
    /// The directory can't be read. A missing one has none.
    pub fn notes(&self) -> io::Result<Vec<VmNote>> {
        let names = self.names()?;
        let notes: BTreeSet<VmNote> = names.iter().filter_map(|name| VmNote::of_file(name)).collect();
        Ok(notes.into_iter().collect())
    }

    /// The clusters with marks, or with what a killed or failed pass left: for the sweep, which runs them.
    ///
    /// A cluster whose pass is under way is among them.
    ///
    /// # Errors
    /// The directory can't be read. A missing one has no marks.
    pub fn pending(&self) -> io::Result<Vec<u32>> {
        self.ids(|kind| kind != Kind::Lock)
    }

    /// The clusters that have a lock file: all that were looked at since the start of this machine.
    ///
    /// # Errors
    /// The directory can't be read. A missing one has none.
    pub fn known(&self) -> io::Result<Vec<u32>> {
        self.ids(|kind| kind == Kind::Lock)
    }

    /// Was this cluster looked at since the start of this machine, and not forgotten since?
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn knows(&self, id: u32) -> io::Result<bool> {
        self.fs.exists(&self.path(id, Kind::Lock))
    }

    /// Removes the files of a cluster that is gone, unless there is work or somebody is at it.
    ///
    /// Must not be called from within a pass of the same cluster: it would find itself busy.
    ///
    /// # Errors
    /// The gate's files can't be used.
    pub fn forget(&self, id: u32) -> io::Result<Forgotten> {
        let Some(lock) = self.try_lock(id)? else {
            return Ok(Forgotten::Busy);
        };
        let forgotten = self.forget_locked(id);
        self.fs.unlock(&lock)?;
        // Somebody may have marked after the look under the lock, and have left because of the lock.
        if forgotten? && !self.fs.exists(&self.path(id, Kind::Dirty))? {
            Ok(Forgotten::Gone)
        } else {
            Ok(Forgotten::Marked)
        }
    }

    fn forget_locked(&self, id: u32) -> io::Result<bool> {
        for kind in [Kind::Dirty, Kind::Running] {
            if self.fs.exists(&self.path(id, kind))? {
                return Ok(false);
            }
        }
        self.fs.remove(&self.path(id, Kind::Lock))?;
        Ok(true)
    }

    fn serve<E: From<io::Error>>(
        &self,
        id: u32,
        max_passes: u32,
        passes: &mut u32,
        pass: &mut impl FnMut(&Hints) -> Result<(), E>,
    ) -> Result<(), E> {
        while *passes < max_passes {
            let Some(hints) = self.take(id)? else { break };
            *passes += 1;
            // A failing pass leaves `running`, which counts as a mark.
            pass(&hints)?;
            self.fs.remove(&self.path(id, Kind::Running))?;
        }
        Ok(())
    }

    /// Turns the mark into `running` and reads its hints. Only under the lock.
    fn take(&self, id: u32) -> io::Result<Option<Hints>> {
        let (dirty, running) = (self.path(id, Kind::Dirty), self.path(id, Kind::Running));
        if let Some(left) = self.fs.read(&running)? {
            self.mark(id, &Hints::from_lines(&left))?;
        }
        match self.fs.rename(&dirty, &running) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed?,
        }
        let lines = self.fs.read(&running)?.unwrap_or_default();
        Ok(Some(Hints::from_lines(&lines)))
    }

    fn try_lock(&self, id: u32) -> io::Result<Option<F::File>> {
        let path = self.path(id, Kind::Lock);
        loop {
            let lock = self.open(&path)?;
            if !self.fs.try_lock(&lock, &path)? {
                return Ok(None);
            }
            if self.fs.is_at(&lock, &path)? {
                return Ok(Some(lock));
            }
            self.fs.unlock(&lock)?;
        }
    }

    /// Opens a file of the gate. The directory lies in memory on most systems, so it is made anew after a restart.
    fn open(&self, path: &Path) -> io::Result<F::File> {
        match self.fs.open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.fs.make_dir(&self.dir)?;
                self.fs.open(path)
            }
            opened => opened,
        }
    }

    fn path(&self, id: u32, kind: Kind) -> PathBuf {
        self.dir.join(format!("{}{id}.{}", self.prefix, kind.suffix()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        match self.fs.names(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names,
        }
    }

    fn ids(&self, wanted: impl Fn(Kind) -> bool) -> io::Result<Vec<u32>> {
        let names = self.names()?;
        let ids: BTreeSet<u32> = names
            .iter()
            .filter_map(|name| Kind::of_file(name.strip_prefix(self.prefix)?))
            .filter_map(|(id, kind)| wanted(kind).then_some(id))
            .collect();
        Ok(ids.into_iter().collect())
    }
}

impl Outcome {
    fn of(passes: u32, pending: bool) -> Self {
        if passes == 0 {
            Self::Coalesced
        } else {
            Self::Ran { passes, pending }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Lock,
    Dirty,
    Running,
}

impl Kind {
    fn suffix(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Dirty => "dirty",
            Self::Running => "running",
        }
    }

    fn of_file(name: &str) -> Option<(u32, Self)> {
        let (id, suffix) = name.split_once('.')?;
        let kind = [Self::Lock, Self::Dirty, Self::Running]
            .into_iter()
            .find(|kind| kind.suffix() == suffix)?;
        // `007.lock` and `+7.lock` are nobody's.
        id.parse()
            .ok()
            .filter(|n: &u32| n.to_string() == id)
            .map(|n| (n, kind))
    }
}
