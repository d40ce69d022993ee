//! Requests 201 on: errors, rights, quotas, pools, delegated and expired sessions.

use oneks_sandbox::ObjectKind;
use opennebula::session::ServerCredential;

use crate::cloud;
use crate::fixtures;
use crate::normal::{difference, normal};

const START: u64 = 1_795_353_207;

const TIMES: [(u32, u64); 5] = [
    (217, 1_795_353_207),
    (249, 1_795_353_224),
    (257, 1_795_353_227),
    (259, 1_795_353_228),
    (260, 1_795_353_231),
];

const NOT_COMPARED: [(u32, &str); 4] = [
    (246, "sizes of datastores and drivers of the files datastore"),
    (247, "measurements and devices of the host"),
    (258, "paths and dates of downloaded images"),
    (244, "oneadmin's own tokens"),
];

#[test]
fn answers_are_those_that_were_recorded() {
    let sandbox = cloud::recorded(START);
    cloud::use_addresses(&sandbox, 1, 20);
    cloud::use_addresses(&sandbox, 0, 4);
    cloud::skip(
        &sandbox,
        &[
            (ObjectKind::Document, 23),
            (ObjectKind::Vm, 27),
            (ObjectKind::VRouter, 4),
            (ObjectKind::Template, 14),
        ],
    );
    let server = ServerCredential::parse("serveradmin:server-secret").unwrap();
    let mut wrong = Vec::new();
    for exchange in fixtures::exchanges(201, 299) {
        if let Some((_, time)) = TIMES.iter().find(|(number, _)| *number == exchange.number) {
            sandbox.advance_to(*time);
        }
        let expiry = if exchange.number < 203 {
            sandbox.now() - 1
        } else {
            sandbox.now() + 60
        };
        let session = server.session_for("alice", None, expiry);
        let token = session.expose().rsplit(':').next().unwrap();
        let answer = sandbox.call(&exchange.request.replace("BASE64TOKEN", token));
        // The next request came while this one's command was being handed over.
        if exchange.number != 251 {
            sandbox.advance_to(sandbox.now());
        }
        if NOT_COMPARED.iter().any(|(number, _)| *number == exchange.number) {
            continue;
        }
        let (ours, theirs) = (normal(&plain(&answer)), normal(&plain(&exchange.response)));
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

fn plain(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}
