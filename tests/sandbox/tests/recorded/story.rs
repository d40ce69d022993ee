//! Requests 001 to 129: a cluster document, VMs, a command in a guest, a router, failures, hooks, hostile values.

use oneks_sandbox::{ObjectKind, Sandbox, VmFaults};
use opennebula::session::ServerCredential;
use opennebula::xmlrpc::{self, Response};

use crate::cloud::{self, START};
use crate::fixtures::{self, Exchange};
use crate::normal::{difference, normal};

/// When the requests were sent, as far as the answers show: a number, and the epoch second that it must not precede.
const TIMES: [(u32, u64); 13] = [
    (50, 1_795_351_911),
    (57, 1_795_351_912),
    (60, 1_795_351_912),
    (61, 1_795_351_917),
    (63, 1_795_351_921),
    (64, 1_795_351_924),
    (66, 1_795_351_928),
    (72, 1_795_351_931),
    (80, 1_795_351_946),
    (97, 1_795_351_957),
    (100, 1_795_351_957),
    (102, 1_795_351_960),
    (122, 1_795_352_008),
];

/// Answers that show something which the sandbox doesn't imitate.
const NOT_COMPARED: [(u32, &str); 2] = [
    (9, "an update had put a NAME into a template"),
    (8, "paths and dates of downloaded images"),
];

/// Performs the story. Each exchange with our answer.
fn tell(sandbox: &Sandbox) -> Vec<(Exchange, String)> {
    let server = ServerCredential::parse("serveradmin:server-secret").unwrap();
    let mut told = Vec::new();
    let mut token = String::new();
    for exchange in fixtures::exchanges(1, 129) {
        if let Some((_, time)) = TIMES.iter().find(|(number, _)| *number == exchange.number) {
            sandbox.advance_to(*time);
        }
        let session = server.session_for("alice", None, sandbox.now() + 60);
        let request = exchange
            .request
            .replace("serveradmin:alice:BASE64TOKEN", session.expose())
            .replace(
                "84e7030c1b02843857b20b8f4728782a3497cad116239c9180c90a480f93725a",
                &token,
            );
        let answer = sandbox.call(&request);
        // Drivers and triggers that take no time.
        sandbox.advance_to(sandbox.now());
        if exchange.number == 123 {
            let Ok(Response::Success { value }) = xmlrpc::decode_response(&answer) else {
                panic!("no token: {answer}")
            };
            value.as_str().unwrap().clone_into(&mut token);
        }
        let answer = if token.is_empty() {
            answer
        } else {
            answer.replace(
                &token,
                "84e7030c1b02843857b20b8f4728782a3497cad116239c9180c90a480f93725a",
            )
        };
        told.push((exchange, answer));
    }
    told
}

fn prepared() -> Sandbox {
    let sandbox = cloud::recorded(START);
    // Addresses that had been taken and freed before.
    cloud::use_addresses(&sandbox, 1, 12);
    cloud::use_addresses(&sandbox, 0, 2);
    cloud::register_hooks(&sandbox);
    cloud::skip(
        &sandbox,
        &[
            (ObjectKind::Document, 10),
            (ObjectKind::Vm, 17),
            (ObjectKind::VRouter, 2),
            (ObjectKind::Template, 9),
            (ObjectKind::Hook, 59),
        ],
    );
    sandbox.faults(|faults| faults.boot = VmFaults::named("bootfail", Some(1)));
    sandbox.take_events();
    sandbox
}

#[test]
fn answers_are_those_that_were_recorded() {
    let sandbox = prepared();
    let mut wrong = Vec::new();
    for (exchange, answer) in tell(&sandbox) {
        if NOT_COMPARED.iter().any(|(number, _)| *number == exchange.number) {
            continue;
        }
        let (ours, theirs) = (
            normal(&unescaped(&answer)),
            normal(&unescaped(&exchange.response)),
        );
        if ours != theirs {
            wrong.push(format!("{}\n{}", exchange.name, difference(&ours, &theirs)));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn hooks_read_what_was_recorded() {
    let sandbox = prepared();
    tell(&sandbox);
    let mut ours: Vec<(String, String)> = sandbox
        .take_events()
        .iter()
        .map(|execution| (execution.hook_name.clone(), execution.payload().unwrap()))
        .collect();
    let mut wrong = Vec::new();
    for (name, theirs) in fixtures::hook_inputs() {
        let event = &name[4..];
        // The dummy probe reports again and again, and nobody can say when.
        if event == "one.internal.vmmonitor" && ours.iter().all(|(ours, _)| ours != event) {
            continue;
        }
        let theirs = normal(&theirs);
        let same = ours
            .iter()
            .position(|(ours, payload)| ours == event && normal(payload) == theirs);
        if let Some(same) = same {
            ours.remove(same);
            continue;
        }
        match ours
            .iter()
            .find(|(ours, payload)| ours == event && subject(payload) == subject(&theirs))
        {
            Some((_, payload)) => wrong.push(format!("{name}\n{}", difference(&normal(payload), &theirs))),
            None => wrong.push(format!("{name}: missing")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    let left: Vec<_> = ours
        .iter()
        .map(|(name, _)| name)
        .filter(|name| *name != "one.internal.vmmonitor")
        .collect();
    assert!(left.is_empty(), "nobody else got {left:?}");
}

/// What a payload is about: the object's id.
fn subject(payload: &str) -> Option<&str> {
    let start = payload.find("<ID>")? + 4;
    payload[start..].split('<').next()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x0d;", "\r")
        .replace("&amp;", "&")
}
