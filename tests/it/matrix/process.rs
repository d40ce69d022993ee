//! What stands for a hook's process: everything that it does to the world goes through here, and it can be killed
//! before any of it.

use std::fs::File;
use std::io;
use std::panic;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

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

/// The processes of one front-end. One that waits for an answer may see others come and go.
#[derive(Clone, Default)]
pub struct Processes(Arc<Mutex<Vec<Life>>>);

/// A process that runs.
#[derive(Default)]
struct Life {
    deeds: Vec<Deed>,
    kill_before: Option<usize>,
    limit: Option<u64>,
}

impl Processes {
    /// A process begins. It is killed before the deed of this number, counted from 0, and, as the hook manager does with
    /// a hook that takes too long, at its first answer after the limit, epoch seconds.
    pub fn begin(&self, kill_before: Option<usize>, limit: Option<u64>) {
        self.0.lock().unwrap().push(Life {
            deeds: Vec::new(),
            kill_before,
            limit,
        });
    }

    /// The process that began last ends. What it did.
    pub fn end(&self) -> Vec<Deed> {
        self.0.lock().unwrap().pop().unwrap_or_default().deeds
    }

    /// How many processes run.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn does(&self, deed: Deed) {
        let mut lives = self.0.lock().unwrap();
        let Some(life) = lives.last_mut() else { return };
        if life.kill_before == Some(life.deeds.len()) {
            drop(lives);
            // Nothing of the process runs any more, as after kill -9, but destructors do.
            panic::resume_unwind(Box::new(CallerDied));
        }
        life.deeds.push(deed);
    }

    fn has_taken(&self, now: u64) {
        let lives = self.0.lock().unwrap();
        let late = lives
            .last()
            .and_then(|life| life.limit)
            .is_some_and(|limit| now >= limit);
        drop(lives);
        if late {
            panic::resume_unwind(Box::new(CallerDied));
        }
    }
}

/// What happens while an answer is on its way.
pub type Meanwhile = Box<dyn Fn() + Send + Sync>;

/// The way of these processes to OpenNebula.
#[derive(Clone)]
pub struct Line {
    pub sandbox: Sandbox,
    pub processes: Processes,
    pub meanwhile: Arc<OnceLock<Meanwhile>>,
}

impl Transport for Line {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let method = body.split("<methodName>").nth(1).unwrap_or_default();
        let method = method.split('<').next().unwrap_or_default();
        self.processes.does(Deed::Call(method.to_owned()));
        let answer = self.sandbox.post(body);
        if let Some(meanwhile) = self.meanwhile.get() {
            meanwhile();
        }
        self.processes.has_taken(self.sandbox.now());
        answer
    }
}

/// The gate's files on disk, as these processes reach them.
#[derive(Clone)]
pub struct Watched(pub Processes);

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
