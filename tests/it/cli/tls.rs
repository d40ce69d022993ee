//! OpenNebula behind TLS, as an administrator puts it there for users of other machines.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Cloud, answer};

/// What ends TLS in front of `endpoint`, with a certificate for `localhost`. Its port, and the certificate as PEM.
fn front(endpoint: &str) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = endpoint
        .trim_start_matches("http://")
        .trim_end_matches("/RPC2")
        .to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that refuses the certificate ends the conversation; the next is served all the same.
            let _ = exchange(StreamOwned::new(connection, stream), &behind);
        }
    });
    (port, made.cert.pem())
}

/// Hands one request over, and the answer back.
fn exchange(mut outside: StreamOwned<ServerConnection, TcpStream>, behind: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !complete(&request) {
        match outside.read(&mut buffer)? {
            0 => return Ok(()),
            n => request.extend_from_slice(&buffer[..n]),
        }
    }
    let request = String::from_utf8_lossy(&request).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let mut inside = TcpStream::connect(behind)?;
    inside.write_all(request.as_bytes())?;
    std::io::copy(&mut inside, &mut outside)?;
    outside.conn.send_close_notify();
    outside.flush()
}

/// Whether this is a whole request: a head, and as much behind it as the head says.
fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

#[test]
fn the_command_speaks_tls_to_whom_the_system_trusts() {
    let (cloud, _) = Cloud::with_web();
    let (port, certificate) = front(cloud.prefix.endpoint());
    let trusted: PathBuf = cloud.file("authority.pem", &certificate);
    let list = |trusted: Option<&PathBuf>, host: &str| {
        let mut command = cloud.command(
            "alice",
            &format!("list --endpoint https://{host}:{port}/RPC2 --csv"),
        );
        command.env("SSL_CERT_FILE", trusted.cloned().unwrap_or_default());
        answer(command.output().unwrap())
    };
    let told = list(Some(&trusted), "localhost").good();
    assert!(told.contains(",web,RUNNING,"), "{told}");
    // Neither a stranger nor somebody else's certificate is told the password.
    let strange = cloud.file("stranger.pem", &front("http://127.0.0.1:1/RPC2").1);
    let told = list(Some(&strange), "localhost").failed(1);
    assert!(
        told.contains("certificate") && told.contains("SSL_CERT_FILE"),
        "{told}"
    );
    let told = list(Some(&trusted), "127.0.0.1").failed(1);
    assert!(told.contains("certificate"), "{told}");
    assert!(!told.contains("alicepw"), "{told}");
}
