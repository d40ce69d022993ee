//! Whatever clients and OpenNebula do, others notice nothing of it, and answers are clear.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Gateway;
use super::client::{self, ALICE, MALLORY};
use crate::cli::Cloud;

#[test]
fn clients_that_hang_keep_nobody_out() {
    let cloud = Cloud::new();
    let gateway = Gateway::with(&cloud, &["--connections", "8", "--read-timeout", "30"]);
    // Each has said something and never goes on.
    let hanging: Vec<TcpStream> = (0..40)
        .map(|i| {
            let mut stream = TcpStream::connect(gateway.address).unwrap();
            let part = ["", "GET /api", "GET /healthz HTTP/1.1\r\nHost: x\r\n"][i % 3];
            stream.write_all(part.as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(gateway.get("/api/v1/clusters").with(200), serde_json::json!([]));
    }
    drop(hanging);
}

#[test]
fn who_sends_too_slowly_is_told_and_let_go() {
    let cloud = Cloud::new();
    let gateway = Gateway::with(&cloud, &["--read-timeout", "0.3"]);
    // A head that does not end: the connection does.
    let said = gateway.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    // A body that does not come.
    let head = format!(
        "POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {}\r\nContent-Length: 100\r\n\r\n{{",
        STANDARD.encode(ALICE)
    );
    client::read(&gateway.raw(head.as_bytes())).refused(408);
}

#[test]
fn what_is_too_large_is_refused() {
    let cloud = Cloud::new();
    let gateway = Gateway::beside(&cloud);
    let large = serde_json::json!({"name": "x".repeat(300_000)});
    gateway.post("/api/v1/clusters", &large).refused(413);
    let credentials = STANDARD.encode(ALICE);
    let endless = format!(
        "POST /api/v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\nTransfer-Encoding: \
         chunked\r\n\r\n{}",
        "10000\r\n".to_owned() + &"x".repeat(0x10000) + "\r\n"
    );
    let endless = endless.clone() + &("10000\r\n".to_owned() + &"x".repeat(0x10000) + "\r\n").repeat(8);
    client::read(&gateway.raw(endless.as_bytes())).refused(413);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    assert!(gateway.raw(long.as_bytes()).starts_with("HTTP/1.1 4"));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    assert!(gateway.raw(many.as_bytes()).starts_with("HTTP/1.1 4"));
    for garbage in [
        "\r\n\r\n\r\n",
        "\0\0\0\0",
        "GET\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let said = gateway.raw(garbage.as_bytes());
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{garbage:?}: {said}"
        );
    }
    assert_eq!(gateway.get("/healthz").status, 200);
}

#[test]
fn a_dead_oned_is_told_of() {
    let cloud = Cloud::new();
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Gateway::with(&cloud, &["--endpoint", &format!("http://{dead}/RPC2")]);
    for path in [
        "/api/v1/clusters",
        "/api/v1/clusters/24",
        "/api/v1/clusters/families",
        "/metrics",
    ] {
        let said = gateway.get(path).refused(502);
        assert!(said.contains("can't be reached"), "{said}");
    }
    assert_eq!(gateway.get("/healthz").status, 200);
}

#[test]
fn an_oned_that_talks_nonsense_is_told_of() {
    let cloud = Cloud::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let gateway = Gateway::with(&cloud, &["--endpoint", &format!("http://{address}/RPC2")]);
    let said = gateway.get("/api/v1/clusters").refused(502);
    assert!(said.contains("no usable answer"), "{said}");
}

#[test]
fn a_slow_oned_holds_up_nobody_else() {
    let cloud = Cloud::new();
    // It takes calls and never answers those of alice. Everything else goes to the sandbox.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let sandbox = cloud.life.sandbox.clone();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let (mut stream, sandbox) = (stream.unwrap(), sandbox.clone());
            std::thread::spawn(move || {
                use opennebula::transport::Transport;
                let mut text = String::new();
                let mut piece = vec![0; 65536];
                while !text.contains("</methodCall>") {
                    let length = stream.read(&mut piece).unwrap();
                    if length == 0 {
                        return;
                    }
                    text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
                }
                if text.contains("alice:") {
                    std::thread::sleep(Duration::from_secs(60));
                }
                let body = text.split_once("\r\n\r\n").unwrap().1;
                let answer = sandbox.post(body).unwrap();
                let length = answer.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let _ = stream.write_all((head + &answer).as_bytes());
            });
        }
    });
    let endpoint = format!("http://{address}/RPC2");
    let gateway = Gateway::with(&cloud, &["--endpoint", &endpoint, "--request-timeout", "2"]);
    std::thread::scope(|scope| {
        let slow: Vec<_> = (0..20)
            .map(|i| {
                let path = ["/api/v1/clusters", "/api/v1/clusters/7", "/api/v1/groups"][i % 3];
                let gateway = &gateway;
                scope.spawn(move || gateway.get(path))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let begin = Instant::now();
        assert_eq!(gateway.get("/healthz").status, 200);
        assert_eq!(
            gateway.ask("GET", "/api/v1/clusters", MALLORY, None).with(200),
            serde_json::json!([])
        );
        // Alice's requests are still under way.
        assert!(slow.iter().all(|s| !s.is_finished()), "{:?}", begin.elapsed());
        for answer in slow {
            let said = answer.join().unwrap().refused(504);
            assert!(said.contains("in time"), "{said}");
        }
    });
}
