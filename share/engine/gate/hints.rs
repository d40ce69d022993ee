//! What events knew beside the cluster, kept in the mark until a pass reads it.

use std::collections::BTreeSet;
use std::fmt;

use oneks_core::observed::Kind;
use oneks_core::plan::{Tidings, Told};
use oneks_driver::VmCondition;
use serde::{Deserialize, Serialize};

/// What the events since the last pass named. A hint may be wrong or doubled; it saves a search, it proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Virtual machines.
    pub vms: BTreeSet<u32>,
    /// Handles of clusters.
    pub handles: BTreeSet<u32>,
    /// What was said of them and of virtual routers. Nothing of a VM of which different things were said.
    pub tidings: Tidings,
    /// Who owns the VM that a state event is about. Not kept in a mark: it only says whether to make one.
    pub owner: Option<u32>,
    /// The cluster's document as it was when somebody deleted it: the last such event.
    pub deleted: Option<Box<Deleted>>,
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
            ..Self::default()
        }
    }

    /// The handle of a cluster.
    pub fn handle(vm: u32) -> Self {
        Self {
            handles: BTreeSet::from([vm]),
            ..Self::default()
        }
    }

    /// One virtual machine, and how it is.
    pub fn told(id: u32, told: Told) -> Self {
        let mut hints = Self::vm(id);
        hints.tidings.vms.insert(id, told);
        hints
    }

    /// One virtual router, that was made or removed.
    pub fn router(id: u32, made: bool) -> Self {
        let mut hints = Self::default();
        let tidings = &mut hints.tidings;
        let routers = if made {
            &mut tidings.made_routers
        } else {
            &mut tidings.gone_routers
        };
        routers.insert(id);
        hints
    }

    /// Do the tidings say all that the events had to say?
    pub fn say_it_all(&self) -> bool {
        let tidings = &self.tidings;
        let any =
            !self.vms.is_empty() || !tidings.made_routers.is_empty() || !tidings.gone_routers.is_empty();
        any && self.deleted.is_none()
            && self.handles.is_empty()
            && self.vms.iter().all(|id| tidings.vms.contains_key(id))
    }

    /// The lines of a mark: `vm 123`, `vm 123 running NODE 24001`, `handle 42`, `router 5 made`, `deleted {…}`. Empty without hints.
    ///
    /// They begin with a newline too: if an earlier writer was cut off in the middle of a line, ours are still whole.
    pub(super) fn to_lines(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for vm in &self.vms {
            let told = self.tidings.vms.get(vm).map(told_text).unwrap_or_default();
            lines.extend_from_slice(format!("\nvm {vm}{told}").as_bytes());
        }
        for vm in &self.handles {
            lines.extend_from_slice(format!("\nhandle {vm}").as_bytes());
        }
        for (routers, what) in [
            (&self.tidings.made_routers, "made"),
            (&self.tidings.gone_routers, "gone"),
        ] {
            for router in routers {
                lines.extend_from_slice(format!("\nrouter {router} {what}").as_bytes());
            }
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
                hints.read_vm(std::str::from_utf8(vm).unwrap_or_default());
            } else if let Some(router) = line.strip_prefix(b"router ") {
                let text = std::str::from_utf8(router).unwrap_or_default();
                match text.split_once(' ').map(|(id, what)| (object_id(id), what)) {
                    Some((Some(id), "made")) => hints.tidings.made_routers.insert(id),
                    Some((Some(id), "gone")) => hints.tidings.gone_routers.insert(id),
                    _ => false,
                };
            } else if let Some(vm) = line.strip_prefix(b"handle ") {
                hints
                    .handles
                    .extend(object_id(std::str::from_utf8(vm).unwrap_or_default()));
            } else if let Some(json) = line.strip_prefix(b"deleted ")
                && let Ok(deleted) = serde_json::from_slice(json)
            {
                hints.deleted = Some(Box::new(deleted));
            }
        }
        hints
    }

    fn read_vm(&mut self, line: &str) {
        let (id, rest) = match line.split_once(' ') {
            Some((id, rest)) => (id, told(rest)),
            None => (line, None),
        };
        let Some(id) = object_id(id) else { return };
        let first = self.vms.insert(id);
        match rest {
            Some(told) if first || self.tidings.vms.get(&id) == Some(&told) => {
                self.tidings.vms.insert(id, told);
            }
            // Which of them is the last nobody knows.
            _ => {
                self.tidings.vms.remove(&id);
            }
        }
    }
}

const CONDITIONS: [(&str, VmCondition); 5] = [
    ("starting", VmCondition::Starting),
    ("running", VmCondition::Running),
    ("down", VmCondition::Down),
    ("failed", VmCondition::Failed),
    ("ending", VmCondition::Ending),
];

/// ` running NODE 24001`
fn told_text(told: &Told) -> String {
    let condition = CONDITIONS.iter().find(|(_, c)| *c == told.condition);
    let word = condition.map_or("", |(word, _)| word);
    let group = told.group.map_or_else(String::new, |id| format!(" {id}"));
    format!(" {word} {}{group}", told.kind.as_str())
}

fn told(text: &str) -> Option<Told> {
    let mut words = text.split(' ');
    let (word, kind) = (words.next()?, words.next()?);
    let (_, condition) = CONDITIONS.iter().find(|(w, _)| *w == word)?;
    let group = match words.next() {
        Some(id) => Some(object_id(id)?),
        None => None,
    };
    words.next().is_none().then_some(Told {
        condition: *condition,
        kind: Kind::parse(kind),
        group,
    })
}

fn object_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: Told = Told {
        condition: VmCondition::Running,
        kind: Kind::Node,
        group: Some(24_001),
    };

    #[test]
    fn what_was_told_reads_back() {
        for told in [
            RUNNING,
            Told {
                condition: VmCondition::Ending,
                kind: Kind::Router,
                group: None,
            },
        ] {
            let hints = Hints::told(7, told);
            assert_eq!(Hints::from_lines(&hints.to_lines()), hints);
            assert!(hints.say_it_all());
        }
        for made in [true, false] {
            let hints = Hints::router(5, made);
            assert_eq!(Hints::from_lines(&hints.to_lines()), hints);
            assert!(hints.say_it_all());
        }
    }

    #[test]
    fn of_what_contradicts_itself_only_the_vm_is_left() {
        let (running, plain) = (Hints::told(7, RUNNING).to_lines(), Hints::vm(7).to_lines());
        let down = Told {
            condition: VmCondition::Down,
            ..RUNNING
        };
        let down = Hints::told(7, down).to_lines();
        let read = |marks: &[&[u8]]| Hints::from_lines(&marks.concat());
        assert_eq!(read(&[&running, &running]), Hints::told(7, RUNNING));
        for marks in [[&running, &down], [&running, &plain], [&plain, &running]] {
            let hints = read(&[marks[0], marks[1]]);
            assert_eq!(hints, Hints::vm(7), "{marks:?}");
            assert!(!hints.say_it_all());
        }
        // Once contradicted, it stays so.
        assert_eq!(read(&[&running, &down, &down]), Hints::vm(7));
        assert_eq!(read(&[b"\nvm 7 flying NODE\n"]), Hints::vm(7));
        assert!(!Hints::none().say_it_all());
    }
}
