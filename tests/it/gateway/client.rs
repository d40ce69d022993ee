//! A gateway at work, and a client that sends what a test wants it to send.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cli::Cloud;

/// Credentials of the usual users.
pub const ALICE: &str = "alice:alicepw";
pub const MALLORY: &str = "mallory:mallorypw";
pub const ONEADMIN: &str = "oneadmin:opennebula";

/// A gateway at work. Ends with its value.
pub struct Gateway {
    /// The socket that it got; systemd would hold it as well.
    _socket: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub process: Child,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body as text.
    pub text: String,
}

impl Response {
    /// Its body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Its body, which must be JSON and come with this status.
    pub fn with(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The text of a refusal with this status, with its texts by path.
    pub fn refused(&self, status: u16) -> String {
        let body = self.with(status);
        assert_eq!(body["err_code"], status, "{body}");
        format!("{} {}", body["message"].as_str().unwrap(), body["context"])
    }
}

impl Gateway {
    /// Starts one beside a cloud.
    pub fn beside(cloud: &Cloud) -> Self {
        Self::with(cloud, &[])
    }

    /// Starts one beside a cloud with more arguments.
    pub fn with(cloud: &Cloud, arguments: &[&str]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut arguments = arguments.to_vec();
        if !arguments.contains(&"--idle") {
            arguments.extend(["--idle", "600"]);
        }
        Self {
            address: socket.local_addr().unwrap(),
            process: start(cloud, &socket, &arguments),
            _socket: socket,
        }
    }

    /// Sends a request and reads the answer.
    pub fn ask(&self, method: &str, path: &str, credentials: &str, body: Option<&Value>) -> Response {
        ask(self.address, method, path, credentials, body, &[])
    }

    /// Asks for something as alice.
    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, ALICE, None)
    }

    /// Orders something as alice.
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.ask("POST", path, ALICE, Some(body))
    }

    /// What it wrote into its log.
    pub fn log(cloud: &Cloud) -> String {
        std::fs::read_to_string(cloud.prefix.root().join("gateway.log")).unwrap()
    }

    /// Sends these bytes and reads whatever comes back until the connection ends.
    pub fn raw(&self, bytes: &[u8]) -> String {
        exchange(self.address, bytes)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a gateway with this socket as its third file, which is how systemd does it.
pub fn start(cloud: &Cloud, socket: &TcpListener, arguments: &[&str]) -> Child {
    let handed = OwnedFd::from(socket.try_clone().unwrap());
    let log = cloud.prefix.root().join("gateway.log");
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    Command::new("/bin/sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_oneks-gateway")])
        .args(arguments)
        .env_clear()
        .envs(cloud.prefix.environment())
        .env("TZ", "UTC")
        .stdin(Stdio::from(handed))
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

/// Sends a request and reads the answer.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    credentials: &str,
    body: Option<&Value>,
    headers: &[(&str, &str)],
) -> Response {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !credentials.is_empty() {
        let encoded = STANDARD.encode(credentials);
        write!(request, "Authorization: Basic {encoded}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    if let Some(body) = body {
        let body = body.to_string();
        let length = body.len();
        write!(
            request,
            "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
    } else {
        request.push_str("\r\n");
    }
    read(&exchange(address, request.as_bytes()))
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The answer may come, and the connection end, before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut piece = vec![0; 65536];
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(answer).unwrap()
}

/// Takes an answer apart.
pub fn read(text: &str) -> Response {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v == "chunked");
    Response {
        status,
        text: if chunked { joined(body) } else { body.to_owned() },
        headers,
    }
}

/// The pieces of a body that came in pieces.
fn joined(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        text.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    text
}
