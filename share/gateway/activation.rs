//! Where to listen: on the sockets that systemd hands over, or on one of our own.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream};

/// Sockets that are listened on.
pub struct Listeners {
    sockets: Vec<TcpListener>,
    /// Does systemd keep them, and what arrives on them, when this process ends?
    pub kept: bool,
}

impl Listeners {
    /// Opens them.
    ///
    /// # Errors
    /// systemd hands over none and no address was given, or the address can't be used.
    pub fn open(address: Option<SocketAddr>) -> io::Result<Self> {
        if let Some(address) = address {
            let socket = std::net::TcpListener::bind(address)
                .map_err(|e| io::Error::new(e.kind(), format!("{address}: {e}")))?;
            return Ok(Self {
                sockets: vec![listener(socket)?],
                kept: false,
            });
        }
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::new();
        for i in 0..given.len() {
            if let Some(socket) = given.take_tcp_listener(i)? {
                sockets.push(listener(socket)?);
            }
        }
        if sockets.is_empty() {
            let message = "systemd hands over no socket; give --listen ADDRESS:PORT to run it by hand";
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(Self { sockets, kept: true })
    }

    /// The next connection.
    ///
    /// # Errors
    /// None could be accepted; the next may be.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|context| {
            for socket in &self.sockets {
                if let Poll::Ready(accepted) = socket.poll_accept(context) {
                    return Poll::Ready(accepted.map(|(stream, _)| stream));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The addresses, for people.
    pub fn addresses(&self) -> String {
        let all = self.sockets.iter().filter_map(|s| s.local_addr().ok());
        all.map(|a| a.to_string()).collect::<Vec<_>>().join(", ")
    }
}

fn listener(socket: std::net::TcpListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}
