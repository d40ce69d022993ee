//! Events as a real OpenNebula wrote them, forged and damaged ones, and none at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what a test's helper can't do fails the test

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks::event::{Kind, Verdict, read};
use proptest::prelude::*;

/// File name without the number → standard input. The recorded hooks had no word in front of the payload.
fn recorded() -> BTreeMap<u32, (String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opennebula-7.5/hooks");
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            let (number, event) = name.strip_suffix(".stdin").unwrap().split_once('-').unwrap();
            let payload = fs::read(file.path()).unwrap();
            (number.parse().unwrap(), (event.to_owned(), payload))
        })
        .collect()
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
        (30, "drop: not ours"),
        (31, "drop: not ours"),
        (36, "drop: not ours"),
        (41, "drop: not ours"),
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
                Verdict::LookVm { vm } => *vm == 17,
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

/// A call as the hook manager writes it, from input and output parameters.
fn call(result: u32, inputs: &[&str], outputs: &[&str], extra: &str) -> String {
    let list = |kind: &str, values: &[&str]| {
        let parameters = (1..).zip(values).map(|(position, value)| {
            format!(
                "    <PARAMETER>\n      <POSITION>{position}</POSITION>\n      <TYPE>{kind}</TYPE>\n      \
                     <VALUE>{value}</VALUE>\n    </PARAMETER>\n"
            )
        });
        parameters.collect::<Vec<_>>().concat()
    };
    format!(
        "<CALL_INFO>\n  <RESULT>{result}</RESULT>\n  <PARAMETERS>\n{}{}  </PARAMETERS>\n  <EXTRA>{extra}</EXTRA>\n</CALL_INFO>",
        list("IN", inputs),
        list("OUT", outputs)
    )
}

fn update(text: &str) -> String {
    call(1, &["****", "10", text, "1"], &["true", "10", "0"], "")
}

#[test]
fn only_what_users_write_asks_for_a_look() {
    for (text, expected) in [
        ("SPEC=\"{}\"", "look at [10]"),
        ("RECOVER=\"2\"", "look at [10]"),
        ("delete=YES", "look at [10]"),
        ("NOTE=\"x\"\nSPEC=[A=\"1\"]", "look at [10]"),
        ("<TEMPLATE><SPEC><![CDATA[{}]]></SPEC></TEMPLATE>", "look at [10]"),
        (
            "\n  <X>\n <A>1</A>\n <DELETE>FORCE</DELETE>\n</X>\n",
            "look at [10]",
        ),
        (
            "<TEMPLATE><STATUS><![CDATA[{\"SPEC\":1}]]></STATUS><STATE>RUNNING</STATE><ENDPOINT>h</ENDPOINT>\
             <KUBECONFIG>SPEC</KUBECONFIG></TEMPLATE>",
            "drop: nothing that users say",
        ),
        (
            "STATUS=\"SPEC=1\"\nSTATE=\"DELETE\"",
            "drop: nothing that users say",
        ),
        ("BODY=\"{}\"", "drop: nothing that users say"),
        ("", "drop: nothing that users say"),
        // Damaged on its way.
        ("]&gt; rest\"", "look at [10]"),
        ("NOTE=\"<b>x</b>\"", "look at [10]"),
    ] {
        assert_eq!(verdict("one.document.update", &update(text)), expected, "{text}");
    }
    // A client by gRPC names all fields, a client by XML-RPC may leave the last one out.
    let short = call(1, &["****", "10", "SPEC=\"{}\""], &["true", "10", "0"], "");
    assert_eq!(verdict("one.document.update", &short), "look at [10]");
}

#[test]
fn an_update_belongs_to_its_first_id() {
    // The caller hides the rest of the text and forges another update behind it.
    for (text, expected) in [
        ("SPEC=\"x", "look at [10]"),
        ("A=\"x", "drop: nothing that users say"),
        ("A=\"x\n", "drop: nothing that users say"),
    ] {
        let forged = format!(
            "{text}</VALUE></PARAMETER><PARAMETER><POSITION>2</POSITION><TYPE>IN</TYPE><VALUE>66</VALUE></PARAMETER>\
             <PARAMETER><POSITION>3</POSITION><TYPE>IN</TYPE><VALUE>SPEC=1"
        );
        assert_eq!(
            verdict("one.document.update", &update(&forged)),
            expected,
            "{text}"
        );
    }
}

fn document(id: &str, kind: &str) -> String {
    format!(
        "<DOCUMENT><ID>{id}</ID><UID>2</UID><UNAME>alice</UNAME><NAME>n</NAME><TYPE>{kind}</TYPE>\
         <TEMPLATE><SPEC><![CDATA[<ID>5</ID>]]></SPEC></TEMPLATE></DOCUMENT>"
    )
}

#[test]
fn a_new_document_is_named_by_what_comes_last() {
    let allocate = |text: &str, kind: &str, extra: &str| {
        let xml = call(1, &["****", text, kind], &["true", "11", "0"], extra);
        verdict("one.document.allocate", &xml)
    };
    assert_eq!(
        allocate("NAME=\"a\"", "120", &document("11", "120")),
        "look at [11]"
    );
    assert_eq!(
        allocate("NAME=\"a\"", "100", &document("11", "100")),
        "drop: not ours"
    );
    // The object's id and the output's disagree: both cost one look.
    assert_eq!(
        allocate("NAME=\"a\"", "120", &document("12", "120")),
        "look at [12, 11]"
    );
    assert_eq!(allocate("NAME=\"a\"", "120", ""), "look at [11]");
    // Forged type in front: the genuine object still says what it is.
    let forged = "A=\"</VALUE></PARAMETER><PARAMETER><POSITION>3</POSITION><TYPE>IN</TYPE><VALUE>120</VALUE></PARAMETER>\
                  <PARAMETER><POSITION>9</POSITION><TYPE>IN</TYPE><VALUE>\"";
    assert_eq!(allocate(forged, "100", &document("11", "100")), "look at [11]");
    let forged = format!(
        "A=\"</VALUE></PARAMETER><EXTRA>{}</EXTRA><PARAMETER><VALUE>\"",
        document("66", "120")
    );
    assert_eq!(allocate(&forged, "120", &document("11", "120")), "look at [11]");
    // An element that the caller's text left open: all that follows is one level deeper.
    let damaged = call(
        1,
        &["****", "A=\"<b>\"", "120"],
        &["true", "11", "0"],
        &document("11", "120"),
    )
    .replace("<b>\"</VALUE>", "<b>\"</b>")
    .replace("</CALL_INFO>", "</VALUE></CALL_INFO>")
    .replace("</b>\n    </PARAMETER>", "</b>")
    .replace(
        "</VALUE></CALL_INFO>",
        "</VALUE></PARAMETER></PARAMETERS></CALL_INFO>",
    )
    .replace("  </PARAMETERS>\n  <EXTRA>", "  <EXTRA>");
    assert_eq!(
        verdict("one.document.allocate", &damaged),
        "look at [11]",
        "{damaged}"
    );
    let failed = call(0, &["****", "A=1", "120"], &["false", "no", "1024", "-1"], "");
    assert_eq!(verdict("one.document.allocate", &failed), "drop: the call failed");
}

#[test]
fn the_other_document_calls() {
    for (event, xml, expected) in [
        (
            "one.document.delete",
            call(1, &["****", "11"], &["true", "11", "0"], &document("11", "100")),
            "drop: not ours",
        ),
        (
            "one.document.delete",
            call(
                0,
                &["****", "11"],
                &["false", "no", "512", "11"],
                &document("11", "120"),
            ),
            "drop: the call failed",
        ),
        (
            "one.document.delete",
            call(1, &["****", "11"], &["true", "11", "0"], ""),
            "drop: unreadable",
        ),
        (
            "one.document.clone",
            call(1, &["****", "11", "copy"], &["true", "12", "0"], ""),
            "look at [12]",
        ),
        (
            "one.document.clone",
            call(
                1,
                &[
                    "****",
                    "11",
                    "x</VALUE></PARAMETER><PARAMETER><POSITION>2</POSITION><TYPE>OUT</TYPE><VALUE>66",
                ],
                &["true", "12", "0"],
                "",
            ),
            "look at [12]",
        ),
        (
            "one.document.chown",
            call(1, &["****", "11", "3", "-1"], &["true", "11", "0"], ""),
            "look at [11]",
        ),
        (
            "one.document.rename",
            call(1, &["****", "11", "x"], &["true", "11", "0"], ""),
            "look at [11]",
        ),
        (
            "one.document.rename",
            call(1, &["****", "-1", "x"], &["true", "11", "0"], ""),
            "drop: unreadable",
        ),
        (
            "one.document.chmod",
            call(1, &["****", "11"], &["true", "11", "0"], ""),
            "drop: a call that this hook is not for",
        ),
    ] {
        assert_eq!(verdict(event, &xml), expected, "{event} {xml}");
    }
}

#[test]
fn a_vm_is_ours_by_its_tag_alone() {
    let vm = |template: &str, user_template: &str| {
        format!(
            "<VM><ID>17</ID><UID>2</UID><NAME>oneks-7-abcde</NAME><STATE>3</STATE><TEMPLATE>{template}</TEMPLATE>\
             <USER_TEMPLATE>{user_template}</USER_TEMPLATE><HISTORY_RECORDS><HISTORY><VM><ID>5</ID></VM></HISTORY>\
             </HISTORY_RECORDS></VM>"
        )
    };
    let tag = |id: &str| format!("<ONEKS><TYPE>NODE</TYPE><CLUSTER_ID><![CDATA[{id}]]></CLUSTER_ID></ONEKS>");
    for (template, user_template, expected) in [
        (String::new(), tag("7"), "look at [7], VM 17"),
        (tag("8"), tag("7"), "look at [7], VM 17"),
        (
            String::new(),
            format!("{}{}{}", tag("7"), tag("8"), tag("7")),
            "look at [7, 8], VM 17",
        ),
        (tag("8"), String::new(), "drop: not ours"),
        (String::new(), tag("-1"), "drop: not ours"),
        (String::new(), tag("x"), "drop: not ours"),
        (String::new(), tag(""), "drop: not ours"),
        (String::new(), tag("4294967295"), "drop: not ours"),
        (
            String::new(),
            "<ONEKS>7</ONEKS><CLUSTER_ID>7</CLUSTER_ID>".to_owned(),
            "drop: not ours",
        ),
        (
            String::new(),
            "<ONEKS_STATE>RUNNING</ONEKS_STATE>".to_owned(),
            "drop: not ours",
        ),
    ] {
        let xml = vm(&template, &user_template);
        assert_eq!(verdict("vm-ACTIVE-RUNNING", &xml), expected, "{xml}");
    }
    assert_eq!(verdict("vm-DONE", "<VM><ID>17</ID></VM>"), "drop: not ours");
    assert_eq!(verdict("vm-DONE", "<HOST><ID>17</ID></HOST>"), "drop: unreadable");
}

#[test]
fn a_guest_reports_by_name() {
    let report = |text: &str| {
        let xml = call(1, &["****", "17", text, "1"], &["true", "17", "0"], "");
        verdict("one.vm.update", &xml)
    };
    for (text, expected) in [
        ("ONEKS_STATE=\"RUNNING\"", "look at VM 17"),
        ("ONEKS=[CLUSTER_ID=\"7\"]", "look at VM 17"),
        ("READY=\"YES\"", "look at VM 17"),
        ("<T><ready>YES</ready></T>", "look at VM 17"),
        ("READY_NOT=\"ONEKS\"", "drop: nothing that users say"),
        ("ERROR=\"READY=YES\"", "drop: nothing that users say"),
        ("PROGRESS=\"5 <b>\"</b>", "look at VM 17"),
    ] {
        assert_eq!(report(text), expected, "{text}");
    }
}

#[test]
fn a_guest_command_is_ours_by_its_token() {
    let done = |command: &str, status: &str, rest: &[&str], extra: &str| {
        let inputs = [&[command, "PID=5", "RETURN_CODE=0", status], rest].concat();
        verdict("one.internal.vmmonitor", &call(1, &inputs, &[], extra))
    };
    let ours = "COMMAND=/bin/sh -s oneks:24:probe-24001:7";
    let vm = "\n    <VM_ID>17</VM_ID>\n  ";
    assert_eq!(done(ours, "STATUS=DONE", &[], vm), "look at [24], VM 17");
    assert_eq!(
        done(ours, "STATUS=ERROR", &["STDOUT="], vm),
        "look at [24], VM 17"
    );
    assert_eq!(
        done(ours, "STATUS=EXECUTING", &[], vm),
        "drop: the command is still running"
    );
    assert_eq!(done("COMMAND=/bin/sh", "STATUS=DONE", &[], vm), "drop: not ours");
    assert_eq!(
        done("COMMAND=/bin/sh -s x", "STATUS=DONE", &[], vm),
        "drop: not ours"
    );
    assert_eq!(done("STDIN=x", "STATUS=DONE", &[ours], vm), "drop: not ours");
    assert_eq!(
        done("COMMAND=/bin/sh -s oneks:2", "STATUS=DONE", &[], vm),
        "look at VM 17"
    );
    assert_eq!(done(ours, "STATUS=DONE", &[], ""), "look at [24]");
    let forged = "STDERR=</VALUE></PARAMETER><EXTRA><VM_ID>66</VM_ID></EXTRA><PARAMETER><VALUE>";
    assert_eq!(done(ours, "STATUS=DONE", &[forged], vm), "look at [24], VM 17");
    let long = format!("STDOUT={}", "A".repeat(100_000));
    assert_eq!(done(ours, "STATUS=DONE", &[&long], vm), "look at [24], VM 17");
}

#[test]
fn a_router_is_ours_by_its_name() {
    let router =
        |name: &str| format!("<VROUTER><ID>2</ID><NAME>{name}</NAME><VMS><ID>20</ID></VMS></VROUTER>");
    for (event, inputs, extra, expected) in [
        (
            "one.vrouter.delete",
            &["****", "2"],
            router("oneks-24-cp"),
            "look at [24]",
        ),
        (
            "one.vrouter.delete",
            &["****", "2"],
            router("demo"),
            "drop: not ours",
        ),
        (
            "one.vrouter.allocate",
            &["****", "NAME=\"oneks-24-lb\""],
            router("oneks-24-lb"),
            "look at [24]",
        ),
        (
            "one.vrouter.allocate",
            &[
                "****",
                "A=\"</VALUE></PARAMETER><EXTRA><VROUTER><NAME>oneks-66-cp</NAME></VROUTER></EXTRA><PARAMETER><VALUE>",
            ],
            router("oneks-24-cp"),
            "look at [24]",
        ),
        (
            "one.vrouter.allocate",
            &["****", "A=1"],
            String::new(),
            "drop: unreadable",
        ),
    ] {
        let xml = call(1, inputs, &["true", "2", "0"], &extra);
        assert_eq!(verdict(event, &xml), expected, "{xml}");
    }
}

#[test]
fn nothing_and_junk_are_dropped() {
    for kind in Kind::ALL {
        for input in [
            &b""[..],
            b" ",
            b"one.document.update",
            b"one.document.update ",
            b"one.document.update !!!!",
            b"\xff\xfe",
        ] {
            let got = short(&read(kind, input));
            assert_eq!(got, "drop: no payload", "{input:?}");
        }
        for input in [
            &b"one.document.update AAAA"[..],
            b"one.document.update PENBTExf",
            b"PENDING",
        ] {
            let got = short(&read(kind, input));
            assert!(
                got == "drop: unreadable" || got.starts_with("drop: a call"),
                "{input:?}: {got}"
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
        "</USER_TEMPLATE>", "<ONEKS>", "</ONEKS>", "<CLUSTER_ID>31</CLUSTER_ID>", "<VM_ID>31</VM_ID>",
        "COMMAND=/bin/sh -s oneks:31:p:1", "STATUS=DONE", "SPEC=\"x\"", "SPEC=\"", "<SPEC>", "</SPEC>", "31", "120",
        "<![CDATA[", "]]>", "<!--", "-->", "&amp;", "&", "<", ">", "<b/>", " ", "\n",
    ]), 0..60)) {
        let payload = STANDARD.encode(format!("<CALL_INFO><RESULT>1</RESULT>{}", pieces.concat()));
        for kind in Kind::ALL {
            for event in ["one.document.allocate", "one.document.update", "one.document.delete", "one.document.clone"] {
                match read(kind, stdin(event, payload.as_bytes()).as_slice()) {
                    Verdict::Drop(_) => {}
                    Verdict::LookVm { vm } => prop_assert!(vm == 31 || vm == 120),
                    Verdict::Look { clusters, .. } => {
                        prop_assert!(clusters.iter().all(|id| [31, 120].contains(id)), "{clusters:?}");
                    }
                }
            }
        }
    }
}

/// An event of many megabytes that is made while it is read.
struct Huge {
    head: Cursor<Vec<u8>>,
    unit: Vec<u8>,
    left: usize,
    at: usize,
    tail: Cursor<Vec<u8>>,
}

impl Huge {
    fn new(event: &str, head: &str, unit: &str, bytes: usize, tail: &str) -> Self {
        // Whole groups of three bytes, so that the base64 of the parts is the base64 of the whole.
        let head = format!("{head:width$}", width = head.len().next_multiple_of(3));
        let unit = unit.repeat(3 * 1000);
        Self {
            head: Cursor::new(stdin(event, STANDARD.encode(head).as_bytes())),
            left: bytes / unit.len(),
            unit: STANDARD.encode(unit).into_bytes(),
            at: 0,
            tail: Cursor::new(STANDARD.encode(tail).into_bytes()),
        }
    }
}

impl Read for Huge {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.head.read(buf)?;
        if n > 0 || buf.is_empty() {
            return Ok(n);
        }
        if self.left == 0 {
            return self.tail.read(buf);
        }
        let n = buf.len().min(self.unit.len() - self.at);
        buf[..n].copy_from_slice(&self.unit[self.at..self.at + n]);
        self.at += n;
        if self.at == self.unit.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(n)
    }
}

const MB: usize = 1024 * 1024;

fn memory(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// In a process of its own, so that other tests don't count.
#[test]
fn a_huge_event_needs_little_memory() {
    if std::env::var_os("EVENT_TEST_MEMORY").is_none() {
        let test = "event::a_huge_event_needs_little_memory";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", test, "--test-threads=1"])
            .env("EVENT_TEST_MEMORY", "1");
        let output = child.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        return;
    }
    let update = "<CALL_INFO><RESULT>1</RESULT><PARAMETERS><PARAMETER><POSITION>2</POSITION><TYPE>IN</TYPE>\
                  <VALUE>10</VALUE></PARAMETER><PARAMETER><POSITION>3</POSITION><TYPE>IN</TYPE><VALUE>";
    let end = "</VALUE></PARAMETER></PARAMETERS><EXTRA/></CALL_INFO>";
    let vm = "<VM><ID>17</ID><TEMPLATE><CONTEXT><X><![CDATA[";
    let vm_end = "]]></X></CONTEXT></TEMPLATE><USER_TEMPLATE><ONEKS><CLUSTER_ID>7</CLUSTER_ID></ONEKS></USER_TEMPLATE>";
    let cdata = format!("{update}<TEMPLATE><BODY><![CDATA[");
    let cdata_end = format!("]]></BODY></TEMPLATE>{end}");
    let plain = format!("{update}BODY=\"");
    let plain_end = format!("\"{end}");
    let events = [
        (
            "one.document.update",
            cdata.as_str(),
            "SPEC=é ",
            cdata_end.as_str(),
            "drop: nothing that users say",
        ),
        (
            "one.document.update",
            &plain,
            "DELETE=é ",
            &plain_end,
            "drop: nothing that users say",
        ),
        (
            "one.document.update",
            &plain,
            "x&#xE9;",
            &format!("\"\nSPEC=1{end}"),
            "look at [10]",
        ),
        ("one.document.update", update, "<a>", "", "look at [10]"),
        (
            "one.document.update",
            update,
            "<a/>",
            end,
            "drop: nothing that users say",
        ),
        (
            "one.document.update",
            &format!("{update}<"),
            "a=\"",
            "",
            "look at [10]",
        ),
        (
            "one.document.update",
            &format!("{update}<!--"),
            "abc",
            "",
            "look at [10]",
        ),
        ("one.document.update", update, "N", end, "look at [10]"),
        (
            "one.document.allocate",
            "<CALL_INFO><RESULT>1</RESULT><EXTRA><DOCUMENT><ID>5</ID><UID>",
            "1",
            "",
            "drop: unreadable",
        ),
        (
            "one.document.delete",
            "<CALL_INFO><RESULT>1</RESULT><EXTRA><DOCUMENT><ID>5</ID><UNAME>",
            "1",
            "",
            "drop: unreadable",
        ),
        ("vm-ACTIVE-RUNNING", vm, "x] ", vm_end, "look at [7], VM 17"),
        (
            "one.vm.update",
            &plain,
            "ONEKS=",
            &plain_end,
            "drop: nothing that users say",
        ),
    ];
    let read_all = |size: usize, count: usize| {
        for (event, head, unit, tail, expected) in &events[..count] {
            let got = short(&read(
                kind_of(event).unwrap(),
                Huge::new(event, head, unit, size, tail),
            ));
            assert_eq!(got, *expected, "{event} {head} {unit}");
        }
    };
    // Once before, so that the program itself is in memory.
    read_all(MB / 8, events.len());
    let before = memory("VmHWM");
    read_all(MB, events.len());
    read_all(12 * MB, 2);
    let used = memory("VmHWM") - before;
    assert!(used < MB / 2, "{used} bytes");
}
