//! Events of our own making: forged, damaged, of every kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks::event::{Kind, Verdict, read};

use super::{recorded, short, stdin, verdict};

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
        ("ROTATE=\"2\"", "look at [10]"),
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
    // What replaces the whole text takes away what it does not name; 0 is what it is when nothing is said.
    for (text, last, expected) in [
        ("BODY=\"{}\"", &["0"][..], "look at 10 if it is known"),
        ("BODY=\"{}\"", &[], "look at 10 if it is known"),
        ("<T><NOTE>x</NOTE></T>", &["x"], "look at 10 if it is known"),
        ("BODY=\"{}\"", &["1"], "drop: nothing that users say"),
        ("SPEC=\"{}\"", &["0"], "look at [10]"),
    ] {
        let xml = call(
            1,
            &[&["****", "10", text], last].concat(),
            &["true", "10", "0"],
            "",
        );
        assert_eq!(verdict("one.document.update", &xml), expected, "{text} {last:?}");
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
            "look at 11 if it is known",
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

/// What an event says of a state is old only if nothing can have happened; what it tells of a VM is how it is.
#[test]
fn a_state_is_dropped_only_if_it_tells_nothing() {
    let (_, payload) = &recorded()[&28];
    let xml = String::from_utf8(STANDARD.decode(payload).unwrap()).unwrap();
    let event = |now: (u32, u32), before: (u32, u32), status: &str, kind: &str| {
        let xml = [
            ("<STATE>3<", format!("<STATE>{}<", now.0)),
            ("<LCM_STATE>3<", format!("<LCM_STATE>{}<", now.1)),
            ("<PREV_STATE>3<", format!("<PREV_STATE>{}<", before.0)),
            ("<PREV_LCM_STATE>17<", format!("<PREV_LCM_STATE>{}<", before.1)),
            ("[EXECUTING]", format!("[{status}]")),
            ("[NodeGroup]", format!("[{kind}]")),
        ]
        .into_iter()
        .fold(xml.clone(), |xml, (from, to)| {
            assert_eq!(xml.matches(from).count(), 1, "{from}");
            xml.replace(from, &to)
        });
        let input = stdin("vm-x", STANDARD.encode(xml).as_bytes());
        match read(Kind::VmState, input.as_slice()) {
            Verdict::Look { hints, .. } => match hints.tidings.vms.get(&17) {
                Some(told) => format!("{:?} {:?} {:?}", told.condition, told.kind, told.group),
                None => "look".to_owned(),
            },
            other => short(&other),
        }
    };
    let (running, hotplug) = ((3, 3), (3, 17));
    for (now, before, status, expected) in [
        // A command was handed over, nothing else.
        (
            running,
            hotplug,
            "EXECUTING",
            "drop: the command is still running",
        ),
        // It could not be, or was cancelled, or ended before; or the VM was changed otherwise.
        (running, hotplug, "ERROR", "look"),
        (running, hotplug, "CANCELLED", "look"),
        (running, hotplug, "DONE", "look"),
        (running, (3, 25), "EXECUTING", "look"),
        // The VM boots, or comes back; a command of before the crash may still be noted.
        (running, (3, 2), "EXECUTING", "Running Node Some(3)"),
        (running, (3, 20), "EXECUTING", "Running Node Some(3)"),
        (running, (3, 16), "EXECUTING", "Running Node Some(3)"),
        ((8, 0), running, "EXECUTING", "Down Node Some(3)"),
        ((3, 16), running, "EXECUTING", "Down Node Some(3)"),
        ((3, 36), (3, 2), "EXECUTING", "Failed Node Some(3)"),
        ((6, 0), (3, 11), "EXECUTING", "Ending Node Some(3)"),
        // It was made, held, released.
        ((1, 0), (1, 0), "", "drop: not running yet"),
        ((2, 0), (2, 0), "", "drop: not running yet"),
        ((1, 0), (2, 0), "", "drop: not running yet"),
        // It ran before.
        ((1, 0), running, "", "Starting Node Some(3)"),
        ((1, 0), (3, 36), "", "Starting Node Some(3)"),
        ((1, 0), (9, 0), "", "Starting Node Some(3)"),
    ] {
        assert_eq!(
            event(now, before, status, "NODE"),
            expected,
            "{now:?} {before:?} {status}"
        );
    }
    // A VM of a kind that this version does not know is looked at.
    assert_eq!(event((1, 0), (1, 0), "", "NodeGroup"), "Starting Other Some(3)");
}

#[test]
fn a_vm_is_ours_if_its_tag_and_its_name_agree() {
    let named = |name: &str, template: &str, user_template: &str| {
        format!(
            "<VM><ID>17</ID><UID>2</UID><NAME>{name}</NAME><STATE>3</STATE><TEMPLATE>{template}</TEMPLATE>\
             <USER_TEMPLATE>{user_template}</USER_TEMPLATE><HISTORY_RECORDS><HISTORY><VM><ID>5</ID></VM></HISTORY>\
             </HISTORY_RECORDS></VM>"
        )
    };
    let vm =
        |template: &str, user_template: &str| named("<![CDATA[oneks-7-abcde]]>", template, user_template);
    let tag = |id: &str| format!("<ONEKS><TYPE>NODE</TYPE><CLUSTER_ID><![CDATA[{id}]]></CLUSTER_ID></ONEKS>");
    for (template, user_template, expected) in [
        (String::new(), tag("7"), "look at [7], VM 17"),
        (tag("8"), tag("7"), "look at [7], VM 17"),
        (
            String::new(),
            format!("{}{}{}", tag("7"), tag("8"), tag("7")),
            "look at [7], VM 17",
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
    for (name, expected) in [
        ("oneks-7", "look at [7], VM 17"),
        ("vr-oneks-7-cp-0", "look at [7], VM 17"),
        ("oneks-70-x", "drop: not ours"),
        ("xoneks-7-x", "drop: not ours"),
        ("", "drop: not ours"),
    ] {
        let xml = named(name, "", &tag("7"));
        assert_eq!(verdict("vm-ACTIVE-RUNNING", &xml), expected, "{xml}");
    }
    let nameless = vm("", &tag("7")).replace("NAME", "NOME");
    assert_eq!(verdict("vm-DONE", &nameless), "drop: not ours");
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
