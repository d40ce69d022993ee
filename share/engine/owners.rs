//! Whose clusters there are, remembered beyond the document.
//!
//! A document that was deleted by hand is an order to clean up. Its event carries the document and with it the owner, but
//! events get lost. What the objects themselves say proves nothing: tags and names are copied with a template that is
//! shared. So every pass notes the owner that OpenNebula reports, beside the gate's locks, and nobody else's objects are
//! ever touched.
//!
//! A cluster's controllers may have asked for a virtual machine in the moment in which they were ended. It comes when all
//! else is gone; so the note stays for a while, for those that come late.
//!
//! The note also says how far STATUS was: one that a backup brought back tells of objects that are long gone and not of
//! those that came since, and is built anew like one that was lost.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use oneks_driver::Owner;
use serde::{Deserialize, Serialize};

/// Seconds for which the owner of a cluster that ended is known.
const KEPT: u64 = 24 * 3600;

/// The notes, one file per cluster, in the folder of the locks. Only who holds the gate of a cluster may change its note.
#[derive(Debug, Clone)]
pub struct Owners {
    dir: PathBuf,
}

/// What is noted about a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Who owns its document, or did.
    pub owner: Owner,
    /// The last revision of STATUS that was seen. One that is older was brought back by somebody.
    #[serde(default)]
    pub rev: u64,
    /// User id of the owner for whom its objects were made.
    pub made_for: Option<u32>,
    /// The last RECOVER order that was carried out.
    pub recovered: Option<String>,
}

impl Owners {
    /// The notes in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// What is noted about a cluster. Nothing if it was never looked at here, or the note can't be read.
    pub fn of(&self, cluster: u32) -> Option<Note> {
        let bytes = std::fs::read(self.path(cluster)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Notes whose cluster it is. A note that can't be written costs no more than the cleaning after a lost event.
    pub fn note(&self, cluster: u32, note: &Note) {
        if self.of(cluster).as_ref() == Some(note) {
            return;
        }
        let path = self.path(cluster);
        let fresh = path.with_extension("owner.new");
        let text = serde_json::to_vec(note).unwrap_or_default();
        // In one step: a process that is killed here leaves the old note or the new one.
        let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(e) = written {
            log::warn!("{} can't be written: {e}", path.display());
        }
    }

    /// Whose the cluster was that ended not long ago: what comes late is theirs.
    pub fn late(&self, cluster: u32, now: u64) -> Option<Note> {
        let (ended, note) = ended(&self.late_path(cluster))?;
        (now < ended.saturating_add(KEPT)).then_some(note)
    }

    /// Drops the note: nothing of the cluster is left. It stays for a while for what comes late.
    pub fn end(&self, cluster: u32, now: u64) {
        for path in self.late_paths() {
            let old = |(ended, _): (u64, Note)| ended.saturating_add(KEPT) <= now || ended > now;
            if ended(&path).is_none_or(old) {
                remove(&path);
            }
        }
        if let Some(note) = self.of(cluster) {
            let text = serde_json::to_vec(&(now, note)).unwrap_or_default();
            let path = self.late_path(cluster);
            if let Err(e) = std::fs::write(&path, text) {
                log::warn!("{} can't be written: {e}", path.display());
            }
        }
        remove(&self.path(cluster));
    }

    fn late_paths(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "late"))
            .collect()
    }

    fn path(&self, cluster: u32) -> PathBuf {
        self.dir.join(format!("{cluster}.owner"))
    }

    fn late_path(&self, cluster: u32) -> PathBuf {
        self.dir.join(format!("{cluster}.late"))
    }
}

/// When a cluster ended, and whose it was.
fn ended(path: &Path) -> Option<(u64, Note)> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            log::warn!("{} can't be removed: {e}", path.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(uid: u32, name: &str) -> Note {
        Note {
            owner: Owner {
                uid,
                name: name.to_owned(),
            },
            rev: 3,
            made_for: Some(uid),
            recovered: Some("a".to_owned()),
        }
    }

    #[test]
    fn notes_are_kept_replaced_and_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::new(folder.path());
        assert_eq!(owners.of(7), None);
        owners.note(7, &note(2, "alice"));
        owners.note(7, &note(3, "bob"));
        assert_eq!(owners.of(7), Some(note(3, "bob")));
        assert_eq!(owners.of(70), None);
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1);
        owners.end(7, 1000);
        owners.end(7, 2000);
        assert_eq!(owners.of(7), None);
    }

    #[test]
    fn for_what_comes_late_a_note_stays_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::new(folder.path());
        owners.note(7, &note(2, "alice"));
        assert_eq!(owners.late(7, 0), None, "it has not ended");
        owners.end(7, 1000);
        assert_eq!(owners.late(7, 1000 + KEPT - 1), Some(note(2, "alice")));
        assert_eq!(owners.late(7, 1000 + KEPT), None);
        assert_eq!(owners.late(8, 1000), None);
        owners.end(8, 1000 + KEPT);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_broken_note_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::new(folder.path());
        std::fs::write(folder.path().join("7.owner"), "{").unwrap();
        assert_eq!(owners.of(7), None);
        owners.note(7, &note(2, "alice"));
        assert_eq!(owners.of(7), Some(note(2, "alice")));
        // No folder, no note, no panic.
        Owners::new(folder.path().join("none")).note(7, &note(2, "alice"));
    }
}
