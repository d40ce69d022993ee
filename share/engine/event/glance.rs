//! How little of an event is enough? The longest of a cloud are those of other people's VMs and of OneFlow's services.
//!
//! First comes what OpenNebula knows of a VM, with its name; far behind that stand the tag, and the record of a handle. Of
//! an update first comes the id of the document.
//!
//! | the event is of | read |
//! |---|---|
//! | a VM that bears no cluster's name, is not known here as a handle, and has left PENDING and HOLD | its beginning |
//! | any other VM | whether a word without which it is not ours occurs at all; if so, it is parsed |
//! | a long update of a document that is not known here as a cluster's | its beginning |
//!
//! The name is certain: a machine of another name is never counted as a cluster's. Handles are on hold when they come. What
//! somebody does to a handle, or writes at length to a cluster, before this front-end knows of it, is found by the sweep.

use std::io::{self, BufReader, Cursor, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks_core::{attribute, names};
use opennebula::objects::VmState;

use super::scan::{self, Found};
use super::stdin;
use super::vm_state::{self, Identity};
use super::xml::Xml;
use super::{Kind, Known, Reason, Verdict, document, parse};
use crate::handle::machine::{self, Place};

/// How much of a VM's event is its beginning: the states end by 600 bytes. A name of 128 bytes, many of them escaped, may push
/// them out; then it is read like any other.
const BEGINNING: u64 = 1024;

/// Shorter events of VMs are parsed at once. Those without payload are among them.
const SHORT: usize = 4 * 1024;

/// Longer updates are long. One of a SPEC with ten node groups has two fifths of it.
const LONG: u64 = 16 * 1024;

/// How much is read at once. More than fits into a pipe is not there, and whoever fills it is woken each time.
const PIECE: usize = 64 * 1024;

/// Reads an event of VMs.
///
/// # Errors
/// Those of the input.
pub(super) fn vm(mut input: impl Read, known: Known) -> io::Result<Verdict> {
    let mut held = Vec::new();
    input.by_ref().take(BEGINNING).read_to_end(&mut held)?;
    let vm = identity(&held);
    if is_settled(&vm, known).unwrap_or(false) {
        return Ok(Verdict::Drop(Reason::NotOurs));
    }
    Ok(
        match scan::look_for(attribute::OURS.as_bytes(), &mut held, &mut input)? {
            Found::Nowhere(length) if length >= SHORT => Verdict::Drop(Reason::NotOurs),
            Found::Nowhere(_) | Found::Kept => whole(Kind::VmState, held, input),
            // Too long for a machine of ours, but who knows.
            Found::Beyond => vm
                .id
                .map_or(Verdict::Drop(Reason::Unreadable), |vm| Verdict::LookVm { vm }),
        },
    )
}

/// Reads an event of documents.
///
/// # Errors
/// Those of the input.
pub(super) fn document(mut input: impl Read, known: Known) -> io::Result<Verdict> {
    let mut held = Vec::new();
    let length = input.by_ref().take(LONG).read_to_end(&mut held)?;
    if length as u64 == LONG
        && let Some((words, payload)) = stdin::split(&held[..])?
        && let Some(id) = document::updated(words.first().map_or("", String::as_str), Xml::new(payload))
        && !(known.cluster)(id)
    {
        return Ok(Verdict::Drop(Reason::NotKnown));
    }
    Ok(whole(Kind::Document, held, input))
}

fn whole(kind: Kind, held: Vec<u8>, input: impl Read) -> Verdict {
    parse(
        kind,
        Cursor::new(held).chain(BufReader::with_capacity(PIECE, input)),
    )
}

/// Nothing, if there is a word in front, or the end of a short event.
fn identity(beginning: &[u8]) -> Identity {
    let payload = beginning.trim_ascii_start();
    let Ok(xml) = STANDARD.decode(&payload[..payload.len() / 4 * 4]) else {
        return Identity::default();
    };
    // The last character may be cut in two.
    let text = std::str::from_utf8(&xml).or_else(|e| std::str::from_utf8(&xml[..e.valid_up_to()]));
    text.map(vm_state::identity).unwrap_or_default()
}

/// Does the beginning show that the VM is nobody's of ours? Nothing where it does not say enough.
fn is_settled(vm: &Identity, known: Known) -> Option<bool> {
    if names::is_of_a_cluster(vm.name.as_deref()?) {
        return Some(false);
    }
    let comes = match machine::place(vm.state?, vm.lcm_state?) {
        Place::Waits => true,
        Place::Rests => vm.state? == VmState::Hold,
        Place::Runs | Place::Moves | Place::Done => false,
    };
    Some(!comes && !(known.handle)(vm.id?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is read of it.
    struct Counted<'a>(&'a [u8], usize);

    impl Read for Counted<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.read(buf)?;
            self.1 += n;
            Ok(n)
        }
    }

    fn event(name: &str, states: &str, filling: usize, user_template: &str) -> String {
        let filling = "<X>y</X>".repeat(filling / 8);
        STANDARD.encode(format!(
            "<VM><ID>17</ID><UID>2</UID><NAME>{name}</NAME><PERMISSIONS><OWNER_U>1</OWNER_U></PERMISSIONS>{states}\
             <TEMPLATE>{filling}</TEMPLATE><USER_TEMPLATE>{user_template}</USER_TEMPLATE></VM>"
        ))
    }

    const RUNS: &str = "<STATE>3</STATE><LCM_STATE>3</LCM_STATE>";
    const BOOTS: &str = "<STATE>3</STATE><LCM_STATE>2</LCM_STATE>";
    const OFF: &str = "<STATE>8</STATE><LCM_STATE>0</LCM_STATE>";
    const PENDING: &str = "<STATE>1</STATE><LCM_STATE>0</LCM_STATE>";
    const HOLD: &str = "<STATE>2</STATE><LCM_STATE>0</LCM_STATE>";
    const DONE: &str = "<STATE>6</STATE><LCM_STATE>0</LCM_STATE>";
    const TAG: &str = "<ONEKS><CLUSTER_ID>7</CLUSTER_ID></ONEKS>";
    const HANDLE: &str = "<ONEKS_HANDLE>YES</ONEKS_HANDLE>";

    #[test]
    fn no_more_is_read_than_settles_it() {
        let beginning = usize::try_from(BEGINNING).unwrap();
        let far = 1024 * 1024;
        let (long, escaped) = ("x".repeat(128), "&lt;".repeat(128));
        for (name, states, filling, user_template, handle, wanted, most) in [
            ("web", RUNS, 8192, "", false, "not ours", beginning),
            (&long, RUNS, 8192, "", false, "not ours", beginning),
            (&escaped, RUNS, 8192, "", false, "not ours", usize::MAX),
            ("web", BOOTS, far, "", false, "not ours", beginning),
            ("web", OFF, far, "", false, "not ours", beginning),
            ("web", DONE, far, TAG, false, "not ours", beginning),
            ("oneks", BOOTS, far, TAG, false, "not ours", beginning),
            ("web", HOLD, 8192, "", false, "not ours", usize::MAX),
            ("web", PENDING, far, "", false, "not ours", usize::MAX),
            ("my cluster", HOLD, 8192, HANDLE, false, "handle", usize::MAX),
            ("my cluster", DONE, 8192, HANDLE, false, "not ours", beginning),
            ("my cluster", DONE, 8192, HANDLE, true, "handle", usize::MAX),
            ("my cluster", RUNS, 8192, HANDLE, true, "handle", usize::MAX),
            ("oneks-7-x", RUNS, 8192, TAG, false, "ours", usize::MAX),
            ("oneks-7-x", OFF, 100, TAG, false, "ours", usize::MAX),
            ("oneks-7-x", RUNS, far, TAG, false, "look", usize::MAX),
            ("oneks-7-x", RUNS, far, "", false, "not ours", usize::MAX),
            ("web", HOLD, far, TAG, false, "look", usize::MAX),
            ("oneks-7-x", "", far, TAG, false, "look", usize::MAX),
        ] {
            let event = event(name, states, filling, user_template);
            let mut input = Counted(event.as_bytes(), 0);
            let known = Known {
                handle: &|vm| handle && vm == 17,
                ..Known::ALL
            };
            let verdict = vm(&mut input, known).unwrap();
            let told = match &verdict {
                Verdict::Drop(Reason::NotOurs) => "not ours",
                Verdict::LookHandle { vm: 17, .. } => "handle",
                Verdict::LookVm { vm: 17 } => "look",
                Verdict::Look { clusters, .. } if clusters == &[7] => "ours",
                other => panic!("{name} {states}: {other:?}"),
            };
            assert_eq!(told, wanted, "{name} {states} {filling} {user_template} {handle}");
            assert!(input.1 <= most, "{name} {states}: {} bytes", input.1);
        }
    }

    #[test]
    fn what_is_damaged_is_not_settled_by_its_beginning() {
        for (xml, reason) in [
            ("", Reason::Empty),
            (
                "<VM><ID>17</ID><NAME>web</NAME><STATE>x</STATE><LCM_STATE>3</LCM_STATE></VM>",
                Reason::NotOurs,
            ),
            (
                "<HOST><ID>17</ID><NAME>web</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE>",
                Reason::Unreadable,
            ),
        ] {
            let coded = STANDARD.encode(xml);
            assert_eq!(
                vm(coded.as_bytes(), Known::ALL).unwrap(),
                Verdict::Drop(reason),
                "{xml}"
            );
        }
    }

    #[test]
    fn a_long_update_of_an_unknown_document_is_not_read() {
        let update = |body: &str| {
            let xml = format!(
                "<CALL_INFO><RESULT>1</RESULT><PARAMETERS><PARAMETER><POSITION>2</POSITION><TYPE>IN</TYPE>\
                 <VALUE>7</VALUE></PARAMETER><PARAMETER><POSITION>3</POSITION><TYPE>IN</TYPE><VALUE>{body}</VALUE>\
                 </PARAMETER><PARAMETER><POSITION>4</POSITION><TYPE>IN</TYPE><VALUE>1</VALUE></PARAMETER></PARAMETERS>\
                 <EXTRA/></CALL_INFO>"
            );
            STANDARD.encode(xml)
        };
        let long = |name: &str| update(&format!("{name}=\"{}\"", "x".repeat(20_000)));
        let short = |name: &str| update(&format!("{name}=\"1\""));
        for (call, payload, known, wanted) in [
            ("update", long("SPEC"), false, "not known here"),
            ("update", long("SPEC"), true, "look"),
            ("update", long("BODY"), true, "nothing that users say"),
            ("update", short("SPEC"), false, "look"),
            ("update", short("BODY"), false, "nothing that users say"),
            ("chown", long("SPEC"), false, "look"),
        ] {
            let event = format!("one.document.{call} {payload}");
            let mut input = Counted(event.as_bytes(), 0);
            let known = Known {
                cluster: &|id| known && id == 7,
                ..Known::ALL
            };
            let verdict = document(&mut input, known).unwrap();
            let told = match &verdict {
                Verdict::Drop(reason) => reason.to_string(),
                Verdict::Look { clusters, .. } if clusters == &[7] => "look".to_owned(),
                other => panic!("{call}: {other:?}"),
            };
            assert_eq!(told, wanted, "{call} of {} bytes, {wanted}", event.len());
            if verdict == Verdict::Drop(Reason::NotKnown) {
                assert!(input.1 as u64 <= LONG, "{}", input.1);
            }
        }
    }
}
