//! What a logger gets to see of a call. In a program of its own, because a process has one logger.

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use log::{LevelFilter, Log, Metadata, Record};
    use opennebula::http::{HttpTransport, WIRE_LOG_TARGET};
    use opennebula::{Client, Error, Session, xmlrpc};

    struct Everything {
        lines: Mutex<Vec<String>>,
        wire: AtomicBool,
    }

    static LOGGER: Everything = Everything {
        lines: Mutex::new(Vec::new()),
        wire: AtomicBool::new(false),
    };

    impl Log for Everything {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            self.wire.load(Ordering::Relaxed) || !metadata.target().starts_with(WIRE_LOG_TARGET)
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                self.lines
                    .lock()
                    .unwrap()
                    .push(format!("{}: {}", record.target(), record.args()));
            }
        }

        fn flush(&self) {}
    }

    #[test]
    fn no_session_and_no_body_at_trace() {
        log::set_logger(&LOGGER).unwrap();
        log::set_max_level(LevelFilter::Trace);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://proxy:doorkey@{}/RPC2", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut buffer = [0; 1024];
            while !request.contains("</methodCall>") {
                let read = stream.read(&mut buffer).unwrap();
                request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let body = xmlrpc::encode_response(&[true.into(), "answerbody".into(), 0.into()]);
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            // Whether a second request comes.
            listener.set_nonblocking(true).unwrap();
            (request, listener)
        });
        let session = Session::parse("alice:hunter2").unwrap();
        let client = Client::new(HttpTransport::new(&endpoint).unwrap(), session);
        let answer = client
            .call_raw("one.test.echo", vec!["requestbody".into()])
            .unwrap();
        assert_eq!(answer.as_str(), Some("answerbody"));
        let (request, listener) = server.join().unwrap();
        assert!(request.contains("alice:hunter2") && request.contains("requestbody"));

        let lines = LOGGER.lines.lock().unwrap().clone();
        let ours: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("opennebula"))
            .collect();
        assert_eq!(ours.len(), 2, "{ours:?}");
        assert!(
            ours[0].contains("one.test.echo: as alice, ") && ours[1].contains("one.test.echo: done, "),
            "{ours:?}"
        );
        for secret in ["hunter2", "doorkey", "requestbody", "answerbody"] {
            assert!(
                !lines.iter().any(|line| line.contains(secret)),
                "{secret}: {lines:#?}"
            );
        }

        // A logger that shows the wire: nothing is sent.
        LOGGER.wire.store(true, Ordering::Relaxed);
        let refused = client.call_raw("one.test.echo", vec![]).unwrap_err();
        assert!(
            matches!(refused, Error::Unreachable { sent: false, .. }),
            "{refused:?}"
        );
        assert!(listener.accept().is_err());
        assert!(
            !LOGGER
                .lines
                .lock()
                .unwrap()
                .iter()
                .any(|line| line.contains("hunter2"))
        );
    }
}
