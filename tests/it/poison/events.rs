//! Standard input as the hook manager never wrote it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks::event::Kind;

use super::random::Random;
use crate::support::{recorded, recorded_names};

/// The calls that each hook is registered for.
const CALLS: [(Kind, &str); 10] = [
    (Kind::Document, "one.document.allocate"),
    (Kind::Document, "one.document.update"),
    (Kind::Document, "one.document.delete"),
    (Kind::Document, "one.document.clone"),
    (Kind::Document, "one.document.chown"),
    (Kind::Document, "one.document.rename"),
    (Kind::VmUpdate, "one.vm.update"),
    (Kind::GuestExec, "one.internal.vmmonitor"),
    (Kind::Vrouter, "one.vrouter.allocate"),
    (Kind::Vrouter, "one.vrouter.delete"),
];

/// Broken input for some hook. `nobody` is the id of nothing that there is.
pub fn event(random: &mut Random, names: &[String], nobody: u32) -> (Kind, Vec<u8>) {
    let name = random.of(names);
    let xml = String::from_utf8(STANDARD.decode(recorded(&name)).unwrap()).unwrap();
    let known = name.split_once('-').map_or("", |(_, event)| event);
    let (mut kind, mut call) = CALLS
        .into_iter()
        .find(|(_, call)| *call == known)
        .unwrap_or((Kind::VmState, ""));
    // Every number is the id of nothing, so that what is left of an event points at nobody.
    let xml = numbers(&xml, nobody).replace("alice", "mallory");
    let mut input = match random.below(6) {
        // Cut off, or with a piece missing.
        0 => {
            let end = random.below(xml.len());
            STANDARD.encode(&xml.as_bytes()[..end]).into_bytes()
        }
        1 => STANDARD.encode(random.damage(&xml)).into_bytes(),
        // No base64.
        2 => {
            let mut text = STANDARD.encode(&xml).into_bytes();
            for _ in 0..=random.below(5) {
                let at = random.below(text.len());
                text[at] = random.of(b"!\0\xff =\n-");
            }
            text
        }
        3 => xml.replace("IN</TYPE>", "SIDEWAYS</TYPE>").into_bytes(),
        // Another hook's.
        4 => {
            (kind, call) = random.of(&CALLS);
            STANDARD.encode(&xml).into_bytes()
        }
        // Parameters without end, and none that anybody knows.
        _ => {
            let more =
                "<PARAMETER><POSITION>99999999999</POSITION><TYPE>IN</TYPE><VALUE>x</VALUE></PARAMETER>";
            let more = more.repeat(1 + random.below(500));
            STANDARD
                .encode(xml.replacen("<PARAMETERS>", &format!("<PARAMETERS>{more}"), 1))
                .into_bytes()
        }
    };
    if random.below(8) == 0 {
        call = random.of(&[
            "",
            "one.document",
            "one.vm.allocate",
            "ONE.DOCUMENT.UPDATE",
            "\u{e9}",
        ]);
    }
    let mut bytes = call.as_bytes().to_vec();
    bytes.push(b' ');
    bytes.append(&mut input);
    (kind, bytes)
}

/// Names of the recorded events that a hook is registered for.
pub fn names() -> Vec<String> {
    let ours = |name: &String| {
        let event = name.split_once('-').map_or("", |(_, event)| event);
        event.starts_with("vm-") || CALLS.iter().any(|(_, call)| *call == event)
    };
    recorded_names().into_iter().filter(ours).collect()
}

/// The text with another number in the place of each that may be an id.
fn numbers(xml: &str, number: u32) -> String {
    let mut out = String::new();
    let mut rest = xml;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(at);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        out.push_str(before);
        let short = &digits[..end];
        // Positions, results, and the type of our documents stay.
        if short.len() <= 1 && number_stays(before) || short == "120" {
            out.push_str(short);
        } else {
            out.push_str(&number.to_string());
        }
        rest = &digits[end..];
    }
    out.push_str(rest);
    out
}

fn number_stays(before: &str) -> bool {
    before.ends_with("<POSITION>") || before.ends_with("<RESULT>")
}
