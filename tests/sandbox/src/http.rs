//! A sandbox on a port, for any client that speaks XML-RPC.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::sandbox::Sandbox;

/// Settings of a server.
#[derive(Clone, Copy, Debug)]
pub struct Serve {
    /// Port on 127.0.0.1; 0 for any that is free.
    pub port: u16,
    /// Virtual seconds per second. 0 stops the clock: whoever has the sandbox moves it.
    pub speed: f64,
    /// `MAX_CONN`: connections that are served at once; others wait.
    pub connections: usize,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            port: 0,
            speed: 1.0,
            connections: 15,
        }
    }
}

/// A server at work. Ends with its value.
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stop_clock: mpsc::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

/// How often the clock is set.
const TICK: Duration = Duration::from_millis(20);

impl Server {
    /// Serves `POST /RPC2` and lets virtual time pass.
    ///
    /// # Errors
    /// The port is taken, or the system has no resources.
    pub fn start(sandbox: &Sandbox, serve: Serve) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", serve.port)))?;
        let address = listener.local_addr()?;
        let listener = Limited {
            listener,
            slots: Arc::new(Semaphore::new(serve.connections.max(1))),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (stop_clock, clock_stopped) = mpsc::channel();
        let clock = Clock {
            sandbox: sandbox.clone(),
            began: Instant::now(),
            start: sandbox.now(),
            speed: serve.speed,
        };
        let router = Router::new()
            .route("/RPC2", post(answer))
            .layer(DefaultBodyLimit::disable())
            .with_state(clock.clone());
        let server = thread::spawn(move || {
            runtime.block_on(async move {
                let ended = async {
                    // The sender goes with the server.
                    let _ = stopped.await;
                };
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    () = ended => {}
                }
            });
            runtime.shutdown_background();
        });
        let ticker = thread::spawn(move || {
            while clock.speed > 0.0
                && clock_stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout)
            {
                clock.set();
            }
        });
        Ok(Self {
            address,
            stop: Some(stop),
            stop_clock,
            threads: vec![server, ticker],
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients call the endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}/RPC2", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = self.stop_clock.send(());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Virtual time as a multiple of real time.
#[derive(Clone)]
struct Clock {
    sandbox: Sandbox,
    began: Instant,
    start: u64,
    speed: f64,
}

impl Clock {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn set(&self) {
        let passed = (self.began.elapsed().as_secs_f64() * self.speed) as u64;
        self.sandbox.advance_to(self.start + passed);
    }
}

async fn answer(State(clock): State<Clock>, body: Bytes) -> Response {
    let result = tokio::task::spawn_blocking(move || {
        if clock.speed > 0.0 {
            clock.set();
        }
        clock.sandbox.exchange(&String::from_utf8_lossy(&body))
    });
    let mut response = match result.await {
        Ok(Ok(text)) => Response::new(Body::from(text)),
        // The connection's task ends here, and the connection with it.
        Ok(Err(broken)) => std::panic::resume_unwind(Box::new(broken)),
        Err(_) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/xml; charset=utf-8"),
    );
    // One request per connection, so that an idle client holds none of the few connections.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A listener that serves so many connections at once.
struct Limited {
    listener: TcpListener,
    slots: Arc<Semaphore>,
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok(permit) = Arc::clone(&self.slots).acquire_owned().await else {
                std::future::pending::<Infallible>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (
                        Connection {
                            stream,
                            _permit: permit,
                        },
                        address,
                    );
                }
                // Out of file descriptors or the like: somebody else will be done soon.
                Err(_) => tokio::time::sleep(TICK).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection with its place among those that are served.
struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CallFault, Config, Effect, When};
    use std::io::{Read, Write};

    fn post(address: SocketAddr, path: &str, body: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        // A broken connection is an answer too.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    const VERSION: &str = "<?xml version='1.0'?><methodCall><methodName>one.system.version</methodName><params><param>\
                           <value><string>oneadmin:opennebula</string></value></param></params></methodCall>";

    #[test]
    fn clients_are_served() {
        let sandbox = Sandbox::new(Config::default());
        let server = Server::start(
            &sandbox,
            Serve {
                speed: 0.0,
                ..Serve::default()
            },
        )
        .unwrap();
        let answer = post(server.address(), "/RPC2", VERSION);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("<string>7.5.80</string>"),
            "{answer}"
        );
        assert!(post(server.address(), "/other", VERSION).starts_with("HTTP/1.1 404"));
        assert!(post(server.address(), "/RPC2", "nonsense").contains("<fault>"));
        assert_eq!(sandbox.calls().count("one.system.version"), 1);
        assert_eq!(
            server.endpoint(),
            format!("http://127.0.0.1:{}/RPC2", server.address().port())
        );
    }

    #[test]
    fn more_clients_than_connections_all_get_an_answer() {
        let sandbox = Sandbox::new(Config::default());
        let server = Server::start(
            &sandbox,
            Serve {
                speed: 0.0,
                connections: 2,
                ..Serve::default()
            },
        )
        .unwrap();
        let address = server.address();
        let clients: Vec<_> = (0..20)
            .map(|_| thread::spawn(move || post(address, "/RPC2", VERSION)))
            .collect();
        assert!(
            clients
                .into_iter()
                .all(|client| client.join().unwrap().contains("7.5.80"))
        );
    }

    #[test]
    fn a_dropped_answer_breaks_the_connection() {
        let sandbox = Sandbox::new(Config::default());
        sandbox.faults(|faults| {
            faults
                .calls
                .push(CallFault::any(When::Nth(1), Effect::DropAnswer));
        });
        let server = Server::start(
            &sandbox,
            Serve {
                speed: 0.0,
                ..Serve::default()
            },
        )
        .unwrap();
        assert_eq!(post(server.address(), "/RPC2", VERSION), "");
        assert!(post(server.address(), "/RPC2", VERSION).contains("7.5.80"));
    }
}
