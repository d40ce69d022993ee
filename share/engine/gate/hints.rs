//! What events knew beside the cluster, kept in the mark until a pass reads it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What the events since the last pass named. A hint may be wrong or doubled; it saves a search, it proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Virtual machines.
    pub vms: BTreeSet<u32>,
    /// The cluster's document as it was when somebody deleted it: the last such event.
    pub deleted: Option<Deleted>,
}

/// A deleted cluster document, as its delete event carried it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Id of the document.
    pub id: u32,
    /// Who owned it: id.
    pub uid: u32,
    /// Who owned it: name.
    pub uname: String,
    /// The name that users gave the cluster.
    pub name: String,
    /// Content of SPEC, if it was there and of sane length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// Content of STATUS, if it was there and of sane length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Shows lengths instead of the texts, which may hold anything.
impl fmt::Debug for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |text: &Option<String>| text.as_ref().map(String::len);
        f.debug_struct("Deleted")
            .field("id", &self.id)
            .field("uid", &self.uid)
            .field("uname", &self.uname)
            .field("name", &self.name)
            .field("spec_bytes", &length(&self.spec))
            .field("status_bytes", &length(&self.status))
            .finish()
    }
}

impl Hints {
    /// Nothing but "look".
    pub fn none() -> Self {
        Self::default()
    }

    /// One virtual machine.
    pub fn vm(id: u32) -> Self {
        Self {
            vms: BTreeSet::from([id]),
            deleted: None,
        }
    }

    /// The lines of a mark: `vm 123`, `deleted {…}`. Empty without hints.
    ///
    /// They begin with a newline too: if an earlier writer was cut off in the middle of a line, ours are still whole.
    pub(super) fn to_lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for vm in &self.vms {
            lines.extend_from_slice(format!("\nvm {vm}").as_bytes());
        }
        if let Some(deleted) = &self.deleted {
            let start = lines.len();
            lines.extend_from_slice(b"\ndeleted ");
            if serde_json::to_writer(&mut lines, deleted).is_err() {
                lines.truncate(start);
            }
        }
        if !lines.is_empty() {
            lines.push(b'\n');
        }
        lines
    }

    /// Reads a mark. Lines that are broken or unknown are passed over.
    pub(super) fn from_lines(bytes: &[u8]) -> Self {
        let mut hints = Self::default();
        for line in bytes.split(|&b| b == b'\n') {
            if let Some(vm) = line.strip_prefix(b"vm ") {
                hints.vms.extend(std::str::from_utf8(vm).ok().and_then(vm_id));
            } else if let Some(json) = line.strip_prefix(b"deleted ")
                && let Ok(deleted) = serde_json::from_slice(json)
            {
                hints.deleted = Some(deleted);
            }
        }
        hints
    }
}

fn vm_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
