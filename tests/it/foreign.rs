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
        "one.document.allocate" | "one.document.update" | "one.document.delete" | "one.document.clone" => call("document"),
        "one.vm.update" => call("vm_update"),
        "one.internal.vmmonitor" => call("guest_exec"),
        "one.vrouter.allocate" | "one.vrouter.delete" => call("vrouter"),
        _ if event.starts_with("vm-") => Some(("vm_state", String::new())),
        _ => None,
    }
}

fn input(name: &str, literal: &str) -> Vec<u8> {
    [literal.as_bytes(), &recorded(name)].concat()
}

/// Of all recorded events, exactly these are about clusters of ours.
const OURS: [&str; 0] = [];

#[test]
fn recorded_events_that_are_not_ours_cost_no_call() {
    let mut called = Vec::new();
    for name in recorded_names() {
        let Some((hook, literal)) = hook_of(&name) else { continue };
        let endpoint = Counter::answering(NONSENSE);
        let prefix = Prefix::new(&endpoint.endpoint());
        let output = prefix.run(hook, &input(&name, &literal));
        if endpoint.connections() > 0 {
            called.push(name);
            assert_eq!(output.status.code(), Some(75), "an event of ours is tried again by the sweep");
        } else {
            assert!(output.status.success(), "{name}: {output:?}");
            assert!(output.stderr.is_empty(), "{name}: {output:?}");
            let files = std::fs::read_dir(prefix.root().join("var")).unwrap().count();
            assert_eq!(files, 2, "{name}: a foreign event left a file");
        }
    }
    assert_eq!(called, OURS);
}

#[test]
fn a_foreign_event_needs_no_configuration_and_no_credentials() {
    let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
    std::fs::remove_dir_all(prefix.root().join("var")).unwrap();
    std::fs::write(prefix.root().join("etc/oneks.conf"), "nonsense: [").unwrap();
    let vm = STANDARD.encode("<VM><ID>1</ID><UID>2</UID><NAME>x</NAME><USER_TEMPLATE><A>b</A></USER_TEMPLATE></VM>");
    assert!(prefix.run("vm_state", vm.as_bytes()).status.success());
}
