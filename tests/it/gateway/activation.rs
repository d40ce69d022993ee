//! Started at the first connection, ending by itself, losing nobody.

use std::net::TcpListener;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{self, ALICE, Gateway, start};
use crate::cli::Cloud;

/// What systemd does: whenever nobody serves a socket on which something waits, it starts a process.
fn keep_serving(cloud: &Cloud, socket: &TcpListener, stop: &AtomicBool, starts: &AtomicUsize) {
    let mut process: Option<Child> = None;
    while !stop.load(Ordering::SeqCst) {
        let ended = match &mut process {
            Some(child) => child.try_wait().unwrap().is_some(),
            None => true,
        };
        if ended && waits(socket) {
            process = Some(start(cloud, socket, &["--idle", "0.03"]));
            starts.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if let Some(mut child) = process {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Is a connection waiting on the socket?
fn waits(socket: &TcpListener) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut files = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut files, PollTimeout::ZERO).unwrap() > 0
}

#[test]
fn it_ends_when_nobody_asks_and_no_connection_is_lost_by_that() {
    let cloud = Cloud::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, starts) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| keep_serving(&cloud, &socket, &stop, &starts));
        for round in 0..60_u64 {
            // Some come while it serves, some as it ends, some when it has ended.
            std::thread::sleep(Duration::from_millis(round % 30 * 2));
            let answer = client::ask(address, "GET", "/healthz", "", None, &[]);
            assert_eq!(answer.status, 200, "round {round}: {answer:?}");
        }
        stop.store(true, Ordering::SeqCst);
    });
    let starts = starts.load(Ordering::SeqCst);
    assert!((2..=60).contains(&starts), "started {starts} times");
}

#[test]
fn it_does_not_end_while_a_client_is_connected() {
    let cloud = Cloud::new();
    let mut gateway = Gateway::with(&cloud, &["--idle", "0.2"]);
    let connection = std::net::TcpStream::connect(gateway.address).unwrap();
    // It serves somebody else, so it has begun.
    assert_eq!(gateway.ask("GET", "/api/v1/clusters", ALICE, None).status, 200);
    std::thread::sleep(Duration::from_millis(600));
    assert!(gateway.process.try_wait().unwrap().is_none());
    drop(connection);
    let status = gateway.process.wait().unwrap();
    assert!(status.success());
}

#[test]
fn without_a_socket_it_says_how_it_is_started() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_oneks-gateway"))
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--listen"), "{said}");
}
