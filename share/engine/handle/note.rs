//! What this front-end noted of handles, in files beside the locks: whose cluster they stand for, and what they show. It saves
//! a look at the virtual machine with every change of its cluster; a note that is lost costs that look.

use std::path::{Path, PathBuf};

use oneks_core::handle::Attributes;
use oneks_driver::Owner;
use serde::{Deserialize, Serialize};

/// The notes, `<vm>.handle` each, in the folder of the locks. Only who holds the gate of the cluster may change one.
#[derive(Debug, Clone)]
pub struct Handles {
    dir: PathBuf,
}

/// What is noted of a handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandleNote {
    /// The cluster.
    pub cluster: u32,
    /// Who owns both.
    pub owner: Owner,
    /// Were the two seen to belong together? Otherwise the document names a VM that is not its handle.
    pub agreed: bool,
    /// How many orders were taken from it.
    #[serde(default)]
    pub turn: u32,
    /// What it shows.
    #[serde(default)]
    pub shown: Attributes,
    /// When it was written last, seconds since the epoch.
    #[serde(default)]
    pub written: u64,
    /// What its OneFlow service was called last.
    #[serde(default)]
    pub service: Option<String>,
    /// How often progress was written since the cluster's state changed.
    #[serde(default)]
    pub slow: u32,
    /// What is answered to the last change, until something else is to be told.
    #[serde(default)]
    pub answer: Option<String>,
    /// The state of the cluster when that was answered.
    #[serde(default)]
    pub answered_in: String,
}

impl HandleNote {
    /// A note of a handle of which nothing is known but whose it is.
    pub fn new(cluster: u32, owner: Owner, agreed: bool) -> Self {
        Self {
            cluster,
            owner,
            agreed,
            turn: 0,
            shown: Attributes::new(),
            written: 0,
            service: None,
            slow: 0,
            answer: None,
            answered_in: String::new(),
        }
    }
}

impl Handles {
    /// The notes in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// What is noted of a VM. Nothing if it is no handle, was never looked at here, or the note can't be read.
    pub fn of(&self, vm: u32) -> Option<HandleNote> {
        read(&self.path(vm))
    }

    /// The cluster that a VM was seen to be the handle of.
    pub fn cluster(&self, vm: u32) -> Option<u32> {
        self.of(vm).filter(|note| note.agreed).map(|note| note.cluster)
    }

    /// The handle that a cluster was seen to have.
    pub fn of_cluster(&self, cluster: u32) -> Option<(u32, HandleNote)> {
        let mut all = self.all().into_iter().filter_map(|vm| Some((vm, self.of(vm)?)));
        all.find(|(_, note)| note.agreed && note.cluster == cluster)
    }

    /// All VMs that are noted.
    pub fn all(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".handle")?.parse().ok())
            .collect()
    }

    /// Notes a handle.
    pub fn note(&self, vm: u32, note: &HandleNote) {
        let path = self.path(vm);
        if read(&path).as_ref() == Some(note) {
            return;
        }
        let fresh = path.with_extension("handle.new");
        let text = serde_json::to_vec(note).unwrap_or_default();
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(e) = written {
            log::warn!("{} can't be written: {e}", path.display());
        }
    }

    /// Forgets a handle.
    pub fn forget(&self, vm: u32) {
        // Without it there is a look more.
        let _ = std::fs::remove_file(self.path(vm));
    }

    fn path(&self, vm: u32) -> PathBuf {
        self.dir.join(format!("{vm}.handle"))
    }
}

fn read(path: &Path) -> Option<HandleNote> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
