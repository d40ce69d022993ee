//! Many clients and many clusters. How many requests a second, prints
//!
//!     ONEKS_LOAD=20 cargo test --locked --profile trial --test it gateway::load -- --nocapture
//!
//! for twenty seconds each of one client, of eight with the same credentials, and of eight users.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opennebula::template::Template;
use serde_json::json;

use super::Gateway;
use super::client::{ALICE, ONEADMIN};
use crate::cli::Cloud;

/// Clusters of everybody.
const CLUSTERS: u32 = 100;

/// Clients at once.
const CLIENTS: usize = 8;

/// A cloud of a hundred clusters that all users may see.
fn crowd() -> Cloud {
    let (cloud, id) = Cloud::with_web();
    let (spec, status) = ["SPEC", "STATUS"]
        .map(|a| cloud.life.attribute(id, a).unwrap())
        .into();
    for name in 0..CLUSTERS - 1 {
        let next = u32::try_from(cloud.life.sandbox.documents().len()).unwrap();
        let mut status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["document"] = json!(next);
        let mut template = Template::new();
        template.set("NAME", format!("web{name}"));
        template.set("SPEC", spec.as_str());
        template.set("STATUS", status.to_string());
        template.set("KUBECONFIG", "x".repeat(4000));
        let text = template.to_xml("TEMPLATE").unwrap();
        cloud
            .life
            .ask(ALICE, "one.document.allocate", &[text.into(), 120.into()]);
    }
    let documents = cloud.life.sandbox.documents();
    for document in &documents {
        let bits = [1, 1, 0, 1, 0, 0, 1, 0, 0];
        let parameters: Vec<_> = std::iter::once(document.meta.id.into())
            .chain(bits.map(Into::into))
            .collect();
        cloud.life.ask(ALICE, "one.document.chmod", &parameters);
    }
    for user in 0..CLIENTS {
        let parameters = [format!("user{user}").into(), "pw".into(), "core".into()];
        cloud.life.ask(ONEADMIN, "one.user.allocate", &parameters);
    }
    cloud
}

/// A client that keeps its connection and asks for the list again and again. The times that it took.
fn client(gateway: &Gateway, credentials: &str, go_on: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    let request = format!(
        "GET /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {}\r\n\r\n",
        STANDARD.encode(credentials)
    );
    let mut times = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    while go_on(times.len()) {
        let begin = Instant::now();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer: Vec<u8> = Vec::new();
        let (body, length) = loop {
            let got = stream.read(&mut buffer).unwrap();
            assert!(got > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..got]);
            if let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") {
                let text = std::str::from_utf8(&answer[..head]).unwrap();
                assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                let length = text
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: "))
                    .unwrap();
                break (head + 4, length.parse::<usize>().unwrap());
            }
        };
        while answer.len() < body + length {
            let got = stream.read(&mut buffer).unwrap();
            assert!(got > 0);
            answer.extend_from_slice(&buffer[..got]);
        }
        times.push(begin.elapsed());
        if times.len() == 1 {
            let list: serde_json::Value = serde_json::from_slice(&answer[body..]).unwrap();
            assert_eq!(list.as_array().unwrap().len(), CLUSTERS as usize);
        }
    }
    times
}

/// Clients with these credentials, all at once. The times of all, and how long it took.
fn run(
    gateway: &Gateway,
    credentials: &[String],
    go_on: impl Fn(usize) -> bool + Sync,
) -> (Vec<Duration>, Duration) {
    let begin = Instant::now();
    let times = std::thread::scope(|scope| {
        let clients: Vec<_> = credentials
            .iter()
            .map(|c| scope.spawn(|| client(gateway, c, &go_on)))
            .collect();
        clients.into_iter().flat_map(|c| c.join().unwrap()).collect()
    });
    (times, begin.elapsed())
}

#[test]
fn those_who_ask_for_the_same_list_at_once_cost_one_call_together() {
    let cloud = crowd();
    let gateway = Gateway::beside(&cloud);
    let of_one: Vec<String> = vec![ALICE.to_owned(); CLIENTS];
    let calls_before = cloud.life.sandbox.call_count();
    let (times, _) = run(&gateway, &of_one, |done| done < 5);
    let calls = cloud.life.sandbox.call_count() - calls_before;
    assert_eq!(times.len(), 5 * CLIENTS);
    assert!(
        (5..30).contains(&calls),
        "{calls} calls for {} requests",
        times.len()
    );

    let Some(seconds) = std::env::var("ONEKS_LOAD").ok().and_then(|s| s.parse().ok()) else {
        return;
    };
    let of_many: Vec<String> = (0..CLIENTS).map(|i| format!("user{i}:pw")).collect();
    for (what, credentials) in [
        ("one client", &of_one[..1]),
        ("eight clients of one user", &of_one[..]),
        ("eight users", &of_many[..]),
    ] {
        let end = Instant::now() + Duration::from_secs(seconds);
        let before = cloud.life.sandbox.call_count();
        let (mut times, took) = run(&gateway, credentials, |_| Instant::now() < end);
        let calls = cloud.life.sandbox.call_count() - before;
        times.sort();
        let a_second = |count: usize| f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
        println!(
            "{what}: {:.0} requests/s, {:.0} calls/s; {:.1} ms in the middle, {:.1} ms for 99 of 100",
            a_second(times.len()),
            a_second(calls),
            at(50),
            at(99)
        );
    }
}
