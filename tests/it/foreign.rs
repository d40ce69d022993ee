//! Events that are not ours cost no call, and those that are ours survive an OpenNebula that does not answer well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::counter::Counter;
use crate::support::prefix::Prefix;
use crate::support::{recorded, recorded_names};

/// An answer that is none.
const NONSENSE: &str = "<html>not XML-RPC</html>";

/// The hook that is registered for a recorded event, with the literal argument in front of the payload.
fn hook_of(name: &str) -> Option<(&'static str, String)> {
    let event = name.split_once('-')?.1;
    let call = |hook| Some((hook, format!("{event} ")));
    match event {
        "one.document.allocate" | "one.document.update" | "one.document.delete" | "one.document.clone" => {
            call("document")
        }
        "one.vm.update" => call("vm_update"),
        "one.internal.vmmonitor" => call("guest_exec"),
        "one.vrouter.allocate" | "one.vrouter.delete" => call("vrouter"),
        _ if event.starts_with("vm-") => Some(("vm_state", String::new())),
        _ => None,
    }
}

/// The same event as it would be if it were about something else: no tag, no name and no attribute of ours.
fn of_somebody_else(name: &str) -> Vec<u8> {
    let xml = String::from_utf8(STANDARD.decode(recorded(name)).unwrap()).unwrap();
    let xml = ["ONEKS", "oneks", "SPEC", "RECOVER", "ROTATE", "DELETE"]
        .into_iter()
        .fold(xml, |xml, mark| xml.replace(mark, "X"));
    let xml = xml
        .replace("<TYPE>120</TYPE>", "<TYPE>100</TYPE>")
        .replace("<VALUE>120</VALUE>", "<VALUE>100</VALUE>");
    STANDARD.encode(xml).into_bytes()
}

#[test]
fn events_that_are_not_ours_cost_no_call() {
    let endpoint = Counter::answering(NONSENSE);
    let prefix = Prefix::new(&endpoint.endpoint());
    let mut seen = 0;
    for name in recorded_names() {
        let Some((hook, literal)) = hook_of(&name) else {
            continue;
        };
        // Three calls carry ids only and cost one look, whosever the document is.
        if name.ends_with("one.document.clone") {
            continue;
        }
        seen += 1;
        let output = prefix.run(hook, &[literal.as_bytes(), &of_somebody_else(&name)].concat());
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()), "{name}");
    }
    assert!(seen > 60, "{seen}");
    assert_eq!(endpoint.connections(), 0);
    let files = std::fs::read_dir(prefix.root().join("var")).unwrap().count();
    assert_eq!(files, 2, "a foreign event left a file");
}

#[test]
fn an_event_of_ours_reaches_for_opennebula_and_is_kept_for_the_sweep_when_that_fails() {
    let endpoint = Counter::answering(NONSENSE);
    let prefix = Prefix::new(&endpoint.endpoint());
    let output = prefix.run(
        "document",
        &[
            b"one.document.allocate ",
            &recorded("001-one.document.allocate")[..],
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(endpoint.connections() > 0);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("cluster 10") && said.contains("read the document"),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(prefix.root().join("var/oneks/locks"))
        .unwrap()
        .collect();
    assert!(left.len() > 1, "the mark must stay: {left:?}");
}

#[test]
fn a_foreign_event_needs_no_configuration_and_no_credentials() {
    let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
    std::fs::remove_dir_all(prefix.root().join("var")).unwrap();
    std::fs::write(prefix.root().join("etc/oneks.conf"), "nonsense: [").unwrap();
    let vm = STANDARD
        .encode("<VM><ID>1</ID><UID>2</UID><NAME>x</NAME><USER_TEMPLATE><A>b</A></USER_TEMPLATE></VM>");
    assert!(prefix.run("vm_state", vm.as_bytes()).status.success());
}

/// A trust store costs more than everything else that a hook does; it must not come in by the back door.
#[test]
fn hooks_link_no_tls_and_the_command_does() {
    let links = |program: &str| {
        let bytes = std::fs::read(program).unwrap();
        bytes.windows(6).any(|window| window == b"rustls")
    };
    assert!(links(env!("CARGO_BIN_EXE_oneks")));
    for hook in [
        env!("CARGO_BIN_EXE_document"),
        env!("CARGO_BIN_EXE_vm_state"),
        env!("CARGO_BIN_EXE_vm_update"),
        env!("CARGO_BIN_EXE_guest_exec"),
        env!("CARGO_BIN_EXE_vrouter"),
        env!("CARGO_BIN_EXE_sweep"),
    ] {
        assert!(!links(hook), "{hook}");
    }
}

#[test]
fn a_mark_that_cannot_be_made_is_told() {
    let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
    std::fs::write(prefix.root().join("var/oneks/locks"), "no folder").unwrap();
    let input = [
        b"one.document.allocate ",
        &recorded("001-one.document.allocate")[..],
    ]
    .concat();
    let output = prefix.run("document", &input);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("the mark can't be made") && said.contains("locks"),
        "{said}"
    );
}
