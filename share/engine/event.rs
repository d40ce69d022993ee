//! Reading an event: is it ours, and which cluster does it point at?
//!
//! Most events in a cloud are somebody else's, so a reader stops at the first word that settles it. The payload is
//! read in pieces of bounded length: an event of 12 MB costs time, and no memory in proportion to it.
//!
//! Standard input of a hook is what ARGUMENTS says, joined by blanks: literal words such as the name of the call, then
//! one word of base64. Leaving the rest of it unread is fine: the hook manager takes a closed pipe for "the command
//! doesn't read its input".
//!
//! # What can be believed
//! - State events are well-formed and true when they are made.
//! - API events carry the caller's strings raw. XML that was broken by them has been repaired by the hook manager, which
//!   can lose or shift what stands behind; and whoever may make the call can forge all that stands behind, or cut it
//!   off. Only RESULT and what stands before the first string is certain.
//!
//! Hence: of repeated *input* parameters the first counts, of outputs and EXTRA the last. An id that may be forged costs
//! one look at a document and no more. Where the cluster is certain and the rest is damaged, the verdict is to look.

mod bounded;
mod call;
mod document;
mod glance;
mod guest_exec;
mod names;
mod scan;
mod stdin;
mod vm_state;
mod vm_update;
mod vrouter;
mod xml;

use std::fmt;
use std::io::Read;

use crate::gate::Hints;
use crate::handle::machine::Place;

/// The kinds of hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `one.document.…`
    Document,
    /// A VM's state.
    VmState,
    /// `one.vm.update`
    VmUpdate,
    /// `one.internal.vmmonitor`
    GuestExec,
    /// `one.vrouter.…`
    Vrouter,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Document,
        Self::VmState,
        Self::VmUpdate,
        Self::GuestExec,
        Self::Vrouter,
    ];

    /// The executable's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::VmState => "vm_state",
            Self::VmUpdate => "vm_update",
            Self::GuestExec => "guest_exec",
            Self::Vrouter => "vrouter",
        }
    }
}

/// What an event is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, and why.
    Drop(Reason),
    /// Look at these clusters. More than one only where a forged parameter leaves a doubt.
    Look {
        /// The clusters.
        clusters: Vec<u32>,
        /// What else the event knew.
        hints: Hints,
    },
    /// Look at this document if it is known as a cluster's on this front-end: it was replaced as a whole, and what it was
    /// before the event does not say.
    LookIfKnown {
        /// The document.
        cluster: u32,
    },
    /// Look at the cluster of this VM, which the event does not name.
    LookVm {
        /// The VM.
        vm: u32,
    },
    /// Look at this VM if it is known as a handle on this front-end: what it says was replaced as a whole, and the event
    /// does not say what it was.
    LookIfHandle {
        /// The VM.
        vm: u32,
    },
    /// Look at this handle, and at the cluster that it says to stand for.
    LookHandle {
        /// The VM.
        vm: u32,
        /// Its owner.
        owner: Option<u32>,
        /// The cluster, if it says one.
        cluster: Option<u32>,
        /// Where it is.
        place: Place,
    },
}

/// Why an event is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no payload: the hook's ARGUMENTS don't fit its type, or the hook manager could not read the event.
    Empty,
    /// The payload is no event of this kind, or is damaged before anything certain.
    Unreadable,
    /// The call is none that this hook is for.
    UnknownCall,
    /// The call failed.
    CallFailed,
    /// The object is somebody else's.
    NotOurs,
    /// The document is none that this front-end knows as a cluster's.
    NotKnown,
    /// The call changes nothing that users say.
    NothingAsked,
    /// The hooks wrote it themselves.
    OurOwn,
    /// The command is still running.
    StillExecuting,
    /// The VM was just made.
    NotYetRunning,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no payload",
            Self::Unreadable => "unreadable",
            Self::UnknownCall => "a call that this hook is not for",
            Self::CallFailed => "the call failed",
            Self::NotOurs => "not ours",
            Self::NotKnown => "not known here",
            Self::NothingAsked => "nothing that users say",
            Self::OurOwn => "written by the hooks themselves",
            Self::StillExecuting => "the command is still running",
            Self::NotYetRunning => "not running yet",
        })
    }
}

/// What this front-end knows: of other things less is read.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Is this document a cluster's?
    pub cluster: &'a dyn Fn(u32) -> bool,
    /// Is this VM a handle?
    pub handle: &'a dyn Fn(u32) -> bool,
}

impl Known<'_> {
    /// Everything may be ours.
    pub const ALL: Self = Self {
        cluster: &|_| true,
        handle: &|_| true,
    };
}

/// Reads an event from a hook's standard input, no further than needed, whatever is known.
pub fn read(kind: Kind, input: impl Read) -> Verdict {
    read_knowing(kind, input, Known::ALL)
}

/// Like [`read`], of an event that is most likely about something that is not known here.
pub fn read_knowing(kind: Kind, input: impl Read, known: Known) -> Verdict {
    let verdict = match kind {
        Kind::VmState => glance::vm(input, known),
        Kind::Document => glance::document(input, known),
        Kind::VmUpdate | Kind::GuestExec | Kind::Vrouter => return parse(kind, input),
    };
    verdict.unwrap_or(Verdict::Drop(Reason::Unreadable))
}

fn parse(kind: Kind, input: impl Read) -> Verdict {
    let (words, payload) = match stdin::split(input) {
        Ok(Some(parts)) => parts,
        Ok(None) => return Verdict::Drop(Reason::Empty),
        Err(_) => return Verdict::Drop(Reason::Unreadable),
    };
    let xml = xml::Xml::new(payload);
    match kind {
        Kind::Document => document::look(words.first().map_or("", String::as_str), xml),
        Kind::VmState => vm_state::look(xml),
        Kind::VmUpdate => vm_update::look(xml),
        Kind::GuestExec => guest_exec::look(xml),
        Kind::Vrouter => vrouter::look(words.first().map_or("", String::as_str), xml),
    }
}

/// An id as OpenNebula writes it: decimal, not negative, at most 2³¹−1.
fn id(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|id| i32::try_from(*id).is_ok())
}
