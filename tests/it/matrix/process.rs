//! What stands for a hook's process: everything that it does to the world goes through here, and it can be killed
//! before any of it.

use std::fs::File;
use std::io;
use std::panic;
use std::path::Path;
use std::sync::{Arc, Mutex};

use oneks::gate::{Disk, GateFs};
use oneks_sandbox::{CallerDied, Sandbox};
use opennebula::transport::{Transport, TransportError};

/// Something that a process does to the world: a call by its method, or an operation on the gate's files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    Call(String),
    File(&'static str),
}

impl Deed {
    /// Does it make an object?
    pub fn makes(&self) -> bool {
        matches!(self, Self::Call(method) if method.ends_with(".allocate") || method.ends_with(".instantiate"))
    }

    /// Can others see that it was done? A kill before a deed that leaves no trace is the same as a kill after it.
    pub fn leaves_a_trace(&self) -> bool {
        match self {
            Self::Call(method) => {
                !method.ends_with("info") && !method.contains(".info") && method != "one.zone.raftstatus"
            }
            Self::File(operation) => {
                matches!(*operation, "open" | "write" | "rename" | "remove" | "make_dir")
            }
        }
    }
}

/// The processes of one front-end, of which at most one runs at a time.
#[derive(Clone, Default)]
pub struct Process(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    deeds: Vec<Deed>,
    kill_before: Option<usize>,
    /// The hook manager ends a hook that takes longer than this, epoch seconds.
    limit: Option<u64>,
}

impl Process {
    /// A process begins. It is killed before the deed of this number, counted from 0, and when it has taken too long.
    pub fn begin(&self, kill_before: Option<usize>, limit: Option<u64>) {
        *self.0.lock().unwrap() = State {
            deeds: Vec::new(),
            kill_before,
            limit,
        };
    }

    /// What the present or last process did.
    pub fn deeds(&self) -> Vec<Deed> {
        self.0.lock().unwrap().deeds.clone()
    }

    fn does(&self, deed: Deed) {
        let mut state = self.0.lock().unwrap();
        if state.kill_before == Some(state.deeds.len()) {
            drop(state);
            // Nothing of the process runs any more, as after kill -9, but destructors do.
            panic::resume_unwind(Box::new(CallerDied));
        }
        state.deeds.push(deed);
    }

    fn has_taken(&self, now: u64) {
        let late = self.0.lock().unwrap().limit.is_some_and(|limit| now >= limit);
        if late {
            panic::resume_unwind(Box::new(CallerDied));
        }
    }
}

/// The way of these processes to OpenNebula.
pub struct Line {
    pub sandbox: Sandbox,
    pub process: Process,
}

impl Transport for Line {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let method = body.split("<methodName>").nth(1).unwrap_or_default();
        let method = method.split('<').next().unwrap_or_default();
        self.process.does(Deed::Call(method.to_owned()));
        let answer = self.sandbox.post(body);
        self.process.has_taken(self.sandbox.now());
        answer
    }
}

/// The gate's files on disk, as these processes reach them.
#[derive(Clone)]
pub struct Watched(pub Process);

impl Watched {
    fn does(&self, operation: &'static str) {
        self.0.does(Deed::File(operation));
    }
}

impl GateFs for Watched {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        self.does("open");
        Disk.open(path)
    }

    fn write(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.does("write");
        Disk.write(file, path, bytes)
    }

    fn is_at(&self, file: &File, path: &Path) -> io::Result<bool> {
        self.does("is_at");
        Disk.is_at(file, path)
    }

    fn try_lock(&self, file: &File, path: &Path) -> io::Result<bool> {
        self.does("try_lock");
        Disk.try_lock(file, path)
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        self.does("unlock");
        Disk.unlock(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.does("rename");
        Disk.rename(from, to)
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.does("read");
        Disk.read(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.does("remove");
        Disk.remove(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.does("exists");
        Disk.exists(path)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.does("names");
        Disk.names(dir)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.does("make_dir");
        Disk.make_dir(dir)
    }
}
