//! Plain HTTP, which is what oned itself speaks.
//!
//! There is no TLS here on purpose: loading a trust store costs more than all else that a hook does, and hooks run
//! beside oned.

use std::time::Duration;

use ureq::http::Uri;
use ureq::{Agent, Error as UreqError, Timeout};

use crate::transport::{Transport, TransportError};

/// A transport over `http://`.
///
/// Each request has its own connection, so that an idle client holds none of the few that oned accepts (15 as shipped)
/// and a broken connection is never an old one. Proxies and redirects are not followed.
pub struct HttpTransport {
    agent: Agent,
    /// May hold credentials.
    url: String,
    /// The same without them.
    endpoint: String,
    reply_limit: u64,
}

/// The log target that must stay below TRACE: there the HTTP library writes whole requests, sessions included.
///
/// [`HttpTransport`] sends nothing while a logger would show it. Set this target to `Off` where the logger is made.
pub const WIRE_LOG_TARGET: &str = "ureq_proto";

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// For all of a call.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

/// An address that [`HttpTransport`] can't use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The endpoint needs TLS.
    #[error(
        "{0} needs TLS, which hooks don't speak: give them oned's own address on this host (http://localhost:2633/RPC2) \
         in ONE_XMLRPC or ~/.one/one_endpoint. The command oneks does speak https"
    )]
    Https(String),
    /// The endpoint is no address of an HTTP server.
    #[error("{0} is no OpenNebula endpoint: expected http://host:2633/RPC2")]
    Invalid(String),
}

/// The longest reply that is read, in bytes. Pools come in pages of less.
const REPLY_LIMIT: u64 = 128 * 1024 * 1024;

impl HttpTransport {
    /// A transport to `endpoint`, such as `http://localhost:2633/RPC2`, with the usual time-outs.
    ///
    /// # Errors
    /// The endpoint is not `http://`.
    pub fn new(endpoint: &str) -> Result<Self, EndpointError> {
        Self::with_timeouts(endpoint, Timeouts::default())
    }

    /// A transport with other time-outs.
    ///
    /// # Errors
    /// The endpoint is not `http://`.
    pub fn with_timeouts(endpoint: &str, timeouts: Timeouts) -> Result<Self, EndpointError> {
        let endpoint = endpoint.trim();
        let shown = without_credentials(endpoint);
        let invalid = || EndpointError::Invalid(shown.clone());
        let uri: Uri = endpoint.parse().map_err(|_| invalid())?;
        match uri.scheme_str() {
            Some("http") if uri.host().is_some_and(|host| !host.is_empty()) => {}
            Some("https") => return Err(EndpointError::Https(shown)),
            _ => return Err(invalid()),
        }
        let config = Agent::config_builder()
            .timeout_connect(Some(timeouts.connect))
            .timeout_global(Some(timeouts.total))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .build();
        Ok(Self {
            agent: Agent::new_with_config(config),
            url: endpoint.to_owned(),
            endpoint: shown,
            reply_limit: REPLY_LIMIT,
        })
    }

    /// The address, without credentials.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn failed(&self, error: UreqError) -> TransportError {
        let endpoint = self.endpoint.clone();
        match error {
            UreqError::Timeout(phase) => TransportError::Timeout {
                endpoint,
                sent: !matches!(phase, Timeout::Resolve | Timeout::Connect),
            },
            UreqError::BodyExceedsLimit(limit) => TransportError::Reply {
                endpoint,
                what: format!("it is longer than {limit} bytes"),
            },
            UreqError::Io(error) => {
                // Only these come from the attempt to connect and from nothing else.
                let sent = !matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionRefused
                        | std::io::ErrorKind::HostUnreachable
                        | std::io::ErrorKind::NetworkUnreachable
                        | std::io::ErrorKind::AddrNotAvailable
                );
                TransportError::Unreachable {
                    endpoint,
                    sent,
                    source: error.into(),
                }
            }
            error => {
                let sent = !matches!(
                    error,
                    UreqError::HostNotFound
                        | UreqError::ConnectionFailed
                        | UreqError::BadUri(_)
                        | UreqError::Http(_)
                );
                TransportError::Unreachable {
                    endpoint,
                    sent,
                    source: error.into(),
                }
            }
        }
    }
}

impl Transport for HttpTransport {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        if log::log_enabled!(target: "ureq_proto::util", log::Level::Trace) {
            let endpoint = self.endpoint.clone();
            let source = "the log would show the session: turn off the log target ureq_proto".into();
            return Err(TransportError::Unreachable {
                endpoint,
                sent: false,
                source,
            });
        }
        let request = self
            .agent
            .post(&self.url)
            .content_type("text/xml")
            .header("Connection", "close");
        let mut response = request.send(body).map_err(|error| self.failed(error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(TransportError::Http {
                endpoint: self.endpoint.clone(),
                status: status.as_u16(),
            });
        }
        // One name in Latin-1 must not make a whole pool unreadable.
        let body = response
            .body_mut()
            .with_config()
            .limit(self.reply_limit)
            .read_to_vec();
        let body = body.map_err(|error| self.failed(error))?;
        Ok(String::from_utf8(body)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

/// The address as it may be shown: no `user:password@`.
fn without_credentials(endpoint: &str) -> String {
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return endpoint.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    /// A server that answers each of its connections in turn with the given bytes.
    fn server(answers: Vec<Vec<u8>>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/RPC2", listener.local_addr().unwrap());
        let handle = thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !String::from_utf8_lossy(&request).contains("END") {
                    match stream.read(&mut buffer).unwrap() {
                        0 => break,
                        n => request.extend_from_slice(&buffer[..n]),
                    }
                }
                stream.write_all(&answer).unwrap();
                requests.push(String::from_utf8(request).unwrap());
            }
            requests
        });
        (endpoint, handle)
    }

    fn answer(status: &str, body: &[u8]) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(body);
        answer
    }

    #[test]
    fn posts_and_reads_on_fresh_connections() {
        let (endpoint, handle) = server(vec![answer("200 OK", b"one"), answer("200 OK", b"caf\xe9")]);
        let transport = HttpTransport::new(&endpoint).unwrap();
        assert_eq!(transport.post("<a>END").unwrap(), "one");
        assert_eq!(transport.post("<b>END").unwrap(), "caf\u{fffd}");
        let requests = handle.join().unwrap();
        assert!(
            requests[0].starts_with("POST /RPC2 HTTP/1.1\r\n") && requests[0].ends_with("\r\n\r\n<a>END")
        );
        assert!(
            requests[0]
                .to_ascii_lowercase()
                .contains("content-type: text/xml"),
            "{}",
            requests[0]
        );
    }

    #[test]
    fn what_can_go_wrong() {
        let (endpoint, handle) = server(vec![
            answer("503 Busy", b""),
            b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(),
        ]);
        let transport = HttpTransport::new(&endpoint).unwrap();
        assert!(matches!(
            transport.post("END"),
            Err(TransportError::Http { status: 503, .. })
        ));
        let cut = transport.post("END").unwrap_err();
        assert!(
            matches!(cut, TransportError::Unreachable { sent: true, .. }),
            "{cut:?}"
        );
        handle.join().unwrap();
        // Nobody listens any more.
        let refused = transport.post("END").unwrap_err();
        assert!(
            matches!(refused, TransportError::Unreachable { sent: false, .. }),
            "{refused:?}"
        );
    }

    #[test]
    fn silence_is_a_time_out_after_sending() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/RPC2", listener.local_addr().unwrap());
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            total: Duration::from_millis(50),
        };
        let transport = HttpTransport::with_timeouts(&endpoint, timeouts).unwrap();
        let silent = transport.post("END").unwrap_err();
        assert!(
            matches!(silent, TransportError::Timeout { sent: true, .. }),
            "{silent:?}"
        );
    }

    #[test]
    fn a_reply_may_be_cut_short_or_too_long() {
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none".to_vec();
        let (endpoint, handle) = server(vec![
            cut,
            answer("200 OK", b"123456789"),
            answer("200 OK", b"12345678"),
        ]);
        let mut transport = HttpTransport::new(&endpoint).unwrap();
        transport.reply_limit = 8;
        let lost = transport.post("END").unwrap_err();
        assert!(
            matches!(lost, TransportError::Unreachable { sent: true, .. }),
            "{lost:?}"
        );
        let long = transport.post("END").unwrap_err();
        assert!(matches!(long, TransportError::Reply { .. }), "{long:?}");
        assert_eq!(transport.post("END").unwrap(), "12345678");
        handle.join().unwrap();
    }

    #[test]
    fn only_http_is_taken() {
        for endpoint in [
            "ftp://a/RPC2",
            "localhost:2633",
            "/RPC2",
            "http://",
            "",
            "http://a b/",
        ] {
            assert!(
                matches!(HttpTransport::new(endpoint), Err(EndpointError::Invalid(_))),
                "{endpoint}"
            );
        }
        let error = HttpTransport::new("https://bob:secret@cloud.example/RPC2")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("https://cloud.example/RPC2") && error.contains("oneks"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(
            HttpTransport::new(" http://u:p@h/a@b\n").unwrap().endpoint(),
            "http://h/a@b"
        );
    }
}
