//! Events as a real OpenNebula wrote them, forged and damaged ones, and none at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what a test's helper can't do fails the test

mod huge;
mod made;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks::event::{Kind, Known, Reason, Verdict, read, read_knowing};
use proptest::prelude::*;

/// File name without the number → standard input. The recorded hooks had no word in front of the payload.
fn recorded() -> BTreeMap<u32, (String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opennebula-7.5/hooks");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            let (number, event) = name.strip_suffix(".stdin").unwrap().split_once('-').unwrap();
            let mut payload = fs::read(file.path()).unwrap();
            if event.starts_with("vm-") {
                payload = of_cluster(&payload);
            }
            (number.parse().unwrap(), (event.to_owned(), payload))
        })
        .collect()
}

/// The same event with the name that such a VM of ours would have. The recorded ones had the tag and other names.
fn of_cluster(payload: &[u8]) -> Vec<u8> {
    let xml = String::from_utf8(STANDARD.decode(payload).unwrap()).unwrap();
    let tag = xml.split_once("<ONEKS>").map_or("", |(_, tag)| tag);
    let id = tag.split_once("<CLUSTER_ID><![CDATA[");
    let Some((cluster, _)) = id.and_then(|(_, rest)| rest.split_once("]]>")) else {
        return payload.to_vec();
    };
    let (before, rest) = xml.split_once("<NAME>").unwrap();
    let (_, after) = rest.split_once('<').unwrap();
    STANDARD
        .encode(format!("{before}<NAME>oneks-{cluster}-x<{after}"))
        .into_bytes()
}

fn kind_of(event: &str) -> Option<Kind> {
    Some(match event {
        "one.vm.update" => Kind::VmUpdate,
        "one.internal.vmmonitor" => Kind::GuestExec,
        "one.vrouter.allocate" | "one.vrouter.delete" => Kind::Vrouter,
        _ if event.starts_with("one.document.") => Kind::Document,
        _ if event.starts_with("vm-") => Kind::VmState,
        _ => return None,
    })
}

fn stdin(event: &str, payload: &[u8]) -> Vec<u8> {
    let word = if event.starts_with("one.") {
        format!("{event} ")
    } else {
        String::new()
    };
    [word.as_bytes(), payload].concat()
}

fn short(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Drop(reason) => format!("drop: {reason}"),
        Verdict::LookVm { vm } => format!("look at VM {vm}"),
        Verdict::LookIfKnown { cluster } => format!("look at {cluster} if it is known"),
        Verdict::LookIfHandle { vm } => format!("look at VM {vm} if it is a handle"),
        Verdict::LookHandle { vm, cluster, .. } => format!("look at handle {vm} of {cluster:?}"),
        Verdict::Look { clusters, hints } => {
            let mut parts = vec![format!("look at {clusters:?}")];
            parts.extend(hints.vms.iter().map(|vm| format!("VM {vm}")));
            let deleted = hints.deleted.iter();
            parts.extend(deleted.map(|d| format!("deleted {} of {}:{}", d.name, d.uid, d.uname)));
            parts.join(", ")
        }
    }
}

fn verdict(event: &str, xml: &str) -> String {
    let input = stdin(event, STANDARD.encode(xml).as_bytes());
    short(&read(kind_of(event).unwrap(), input.as_slice()))
}

#[test]
fn every_recorded_event_has_its_verdict() {
    let expected: BTreeMap<u32, &str> = BTreeMap::from([
        (1, "look at [10]"),
        (2, "drop: nothing that users say"),
        (3, "drop: nothing that users say"),
        (4, "drop: nothing that users say"),
        (5, "drop: a call that this hook is not for"),
        (6, "drop: a call that this hook is not for"),
        (7, "drop: nothing that users say"),
        (25, "look at VM 17"),
        // A command was handed over.
        (28, "drop: the command is still running"),
        (30, "drop: not ours"),
        (31, "drop: not ours"),
        (36, "drop: not ours"),
        (41, "drop: not ours"),
        // The VM of a virtual router, made on hold and released.
        (42, "drop: not running yet"),
        (43, "drop: not running yet"),
        (45, "drop: not ours"),
        (46, "drop: not ours"),
        (50, "drop: not ours"),
        (52, "drop: not ours"),
        (57, "drop: not ours"),
        (58, "drop: not ours"),
        (64, "drop: not ours"),
        (74, "look at [10], deleted demo2 of 2:alice"),
        // Forged: an output of 777 in front of the genuine one.
        (75, "look at [11]"),
        // Forged: the genuine end cut off, an object 777 in its place.
        (76, "look at [11]"),
        (77, "drop: the call failed"),
        (78, "drop: nothing that users say"),
        (79, "look at [12]"),
        (80, "look at [11], deleted evil of 2:alice"),
        (81, "look at [13]"),
        (82, "look at [13], deleted viatoken of 2:alice"),
    ]);
    let of_vm = BTreeMap::from([(17, 7), (18, 7), (19, 10), (20, 10), (21, 10)]);
    let mut looked = 0;
    for (number, (event, payload)) in recorded() {
        let Some(kind) = kind_of(&event) else { continue };
        let got = short(&read(kind, stdin(&event, &payload).as_slice()));
        let wanted = expected.get(&number).map_or_else(
            || {
                let xml = String::from_utf8(STANDARD.decode(&payload).unwrap()).unwrap();
                let vm = xml.split(['>', '<']).nth(4).unwrap().parse::<u32>().unwrap();
                format!("look at [{}], VM {vm}", of_vm[&vm])
            },
            ToString::to_string,
        );
        assert_eq!(got, wanted, "{number:03}-{event}");
        looked += 1;
    }
    assert_eq!(looked, 66, "events that the hooks are for");
}

#[test]
fn what_was_deleted_is_kept_as_it_was() {
    let (event, payload) = &recorded()[&74];
    let Verdict::Look { hints, .. } = read(Kind::Document, stdin(event, payload).as_slice()) else {
        panic!("not looked at");
    };
    let deleted = hints.deleted.unwrap();
    assert_eq!(
        deleted.spec.as_deref(),
        Some("{\"name\": \"demo\", \"kubernetes_version\": \"v1.34.2\", \"note\": \"a & b < c\"}")
    );
    assert_eq!(
        deleted.status.as_deref(),
        Some("{\"state\": \"PROVISIONING\", \"x\": \"\\u00e9 & <b>\"}")
    );
    assert!(
        !format!("{deleted:?}").contains("PROVISIONING"),
        "Debug shows no content"
    );
}

#[test]
fn the_size_of_the_reads_changes_nothing() {
    struct Slow<R>(R);
    impl<R: Read> Read for Slow<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let end = buf.len().min(1);
            self.0.read(&mut buf[..end])
        }
    }
    for (number, (event, payload)) in recorded() {
        let input = stdin(&event, &payload);
        for kind in Kind::ALL {
            let whole = read(kind, input.as_slice());
            assert_eq!(read(kind, Slow(input.as_slice())), whole, "{number:03}-{event}");
        }
    }
}

/// A front-end that knows nothing: one that was just started.
const NOTHING: Known = Known {
    cluster: &|_| false,
    handle: &|_| false,
};

#[test]
fn events_of_clusters_are_read_alike_whatever_is_known() {
    let mut ours = 0;
    for (number, (event, payload)) in recorded() {
        let Some(kind) = kind_of(&event) else { continue };
        let input = stdin(&event, &payload);
        let whole = read(kind, input.as_slice());
        assert_eq!(
            read_knowing(kind, input.as_slice(), NOTHING),
            whole,
            "{number:03}-{event}"
        );
        ours += usize::from(!matches!(whole, Verdict::Drop(_)));
    }
    assert!(ours > 40, "{ours}");
}

/// A cut-off event may be dropped or doubted, but never points elsewhere.
#[test]
fn a_truncated_event_points_nowhere_else() {
    let mut events = recorded();
    // They are alike; one of them at every byte is enough.
    events.retain(|number, (event, _)| !event.starts_with("vm-") || *number == 28);
    events.retain(|number, (event, _)| event != "one.internal.vmmonitor" || *number == 30);
    for (number, (event, payload)) in events {
        let Some(kind) = kind_of(&event) else { continue };
        let input = stdin(&event, &payload);
        let whole = short(&read(kind, input.as_slice()));
        for end in 0..input.len() {
            let cut = read(kind, &input[..end]);
            let allowed = match &cut {
                Verdict::Drop(_) => true,
                Verdict::LookVm { vm } | Verdict::LookIfHandle { vm } => *vm == 17,
                Verdict::LookHandle { .. } => false,
                Verdict::LookIfKnown { cluster } => {
                    event == "one.document.update" && [10, 11].contains(cluster)
                }
                // An update with a certain id and an unknown rest is looked at.
                Verdict::Look { clusters, .. } => clusters.iter().all(|id| match event.as_str() {
                    "one.document.update" => *id == 10 || *id == 11,
                    // Its forged output is all that is left without the end.
                    "one.document.allocate" if number == 75 => *id == 11 || *id == 777,
                    _ => whole.contains(&format!("[{id}]")),
                }),
            };
            assert!(
                allowed,
                "{number:03}-{event} cut at {end}: {cut:?}, whole: {whole}"
            );
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..2000), coded in any::<bool>()) {
        let payload = if coded { STANDARD.encode(&bytes).into_bytes() } else { bytes };
        for kind in Kind::ALL {
            for event in ["one.document.allocate", "one.document.update", "one.document.delete", "x"] {
                read(kind, stdin(event, &payload).as_slice());
            }
        }
    }

    /// Pieces of events in any order: whatever is looked at stands in the event.
    #[test]
    fn shuffled_events_are_harmless(pieces in prop::collection::vec(prop::sample::select(vec![
        "<CALL_INFO>", "</CALL_INFO>", "<RESULT>1</RESULT>", "<PARAMETERS>", "</PARAMETERS>", "<PARAMETER>",
        "</PARAMETER>", "<POSITION>1</POSITION>", "<POSITION>2</POSITION>", "<POSITION>3</POSITION>",
        "<TYPE>IN</TYPE>", "<TYPE>OUT</TYPE>", "<TYPE>120</TYPE>", "<VALUE>", "</VALUE>", "<EXTRA>", "</EXTRA>",
        "<DOCUMENT>", "</DOCUMENT>", "<VROUTER>", "</VROUTER>", "<VM>", "</VM>", "<ID>31</ID>", "<UID>31</UID>",
        "<UNAME>u</UNAME>", "<NAME>oneks-31-cp</NAME>", "<TEMPLATE>", "</TEMPLATE>", "<USER_TEMPLATE>",
        "</USER_TEMPLATE>", "<ONEKS_HANDLE>", "</ONEKS_HANDLE>", "<ONEKS_SHOWN>", "</ONEKS_SHOWN>",
        "{&quot;vm&quot;:31,&quot;cluster&quot;:120}", "ONEKS_SHOWN=1", "<ONEKS>", "</ONEKS>", "<CLUSTER_ID>31</CLUSTER_ID>", "<VM_ID>31</VM_ID>",
        "COMMAND=/bin/sh -s oneks:31:p:1", "STATUS=DONE", "SPEC=\"x\"", "SPEC=\"", "<SPEC>", "</SPEC>", "31", "120",
        "<![CDATA[", "]]>", "<!--", "-->", "&amp;", "&", "<", ">", "<b/>", " ", "\n",
    ]), 0..60)) {
        let payload = STANDARD.encode(format!("<CALL_INFO><RESULT>1</RESULT>{}", pieces.concat()));
        for kind in Kind::ALL {
            for event in ["one.document.allocate", "one.document.update", "one.document.delete", "one.document.clone"] {
                let input = stdin(event, payload.as_bytes());
                let whole = read(kind, input.as_slice());
                let unknown = read_knowing(kind, input.as_slice(), NOTHING);
                let dropped = matches!(unknown, Verdict::Drop(Reason::NotOurs | Reason::NotKnown));
                prop_assert!(unknown == whole || dropped, "{unknown:?}, {whole:?}");
                match whole {
                    Verdict::Drop(_) => {}
                    Verdict::LookVm { vm: id }
                    | Verdict::LookIfHandle { vm: id }
                    | Verdict::LookIfKnown { cluster: id } => {
                        prop_assert!(id == 31 || id == 120);
                    }
                    Verdict::LookHandle { vm, cluster, .. } => {
                        prop_assert!([Some(vm), cluster].iter().flatten().all(|id| [31, 120].contains(id)));
                    }
                    Verdict::Look { clusters, .. } => {
                        prop_assert!(clusters.iter().all(|id| [31, 120].contains(id)), "{clusters:?}");
                    }
                }
            }
        }
    }
}
