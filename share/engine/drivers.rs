//! Asking a driver: one child process per question, without credentials, for a bounded time.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use oneks_driver::{Action, DriverError, PROTOCOL, Reply, Request, reason};
use serde_json::Value;

/// Longest reply that is read, bytes.
const MAX_REPLY: u64 = 4 << 20;

/// Longest excerpt of a driver's log that goes into an error, bytes.
const MAX_LOG: u64 = 4 << 10;

/// Somebody who answers a driver's questions.
pub trait Drivers: Send + Sync {
    /// Asks one question.
    ///
    /// # Errors
    /// The driver's own, or `DriverFailed` if there is no such driver or it breaks.
    fn ask(&self, driver: &str, action: &Action) -> Result<Value, DriverError>;
}

/// The installed drivers: `<folder>/<name>/<name>`.
#[derive(Debug, Clone)]
pub struct Executables {
    folder: PathBuf,
    timeout: Duration,
}

impl Executables {
    /// The drivers in a folder.
    pub fn new(folder: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self {
            folder: folder.into(),
            timeout,
        }
    }

    /// The drivers that are installed, by name.
    pub fn installed(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    fn names(&self) -> String {
        let names = self.installed();
        if names.is_empty() {
            "none is installed".to_owned()
        } else {
            format!("installed are {}", names.join(", "))
        }
    }

    fn run(&self, driver: &str, request: &[u8]) -> Result<Vec<u8>, String> {
        let program = self.folder.join(driver).join(driver);
        let mut child = Command::new(&program)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => format!("there is no driver {driver}; {}", self.names()),
                _ => format!("{} can't be started: {e}", program.display()),
            })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // A driver may answer before it has read everything, or log a lot: each stream gets its own thread.
        let (sender, receiver) = mpsc::channel();
        let output = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let result = stdout.map_or(Ok(0), |out| out.take(MAX_REPLY + 1).read_to_end(&mut bytes));
            let _ = sender.send(result.map(|_| bytes));
        });
        let log = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.by_ref().take(MAX_LOG).read_to_end(&mut bytes);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            bytes
        });
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A driver that closes its input early is judged by what it answers.
                let _ = stdin.map(|mut pipe| pipe.write_all(request));
            });
            let answer = receiver.recv_timeout(self.timeout);
            if answer.is_err() {
                let _ = child.kill();
            }
            let status = child.wait();
            let _ = output.join();
            let log = log.join().unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let log = log.lines().last().unwrap_or_default();
            match (answer, status) {
                (Err(_), _) => Err(format!(
                    "driver {driver} gave no answer within {} s",
                    self.timeout.as_secs()
                )),
                (Ok(Ok(bytes)), Ok(status)) if status.success() => Ok(bytes),
                (Ok(_), Ok(status)) => Err(format!("driver {driver} ended with {status}: {log}")),
                (Ok(_), Err(e)) => Err(format!("driver {driver}: {e}")),
            }
        })
    }
}

impl Drivers for Executables {
    fn ask(&self, driver: &str, action: &Action) -> Result<Value, DriverError> {
        let broken = |message: String| DriverError::retry(reason::DRIVER_FAILED, message);
        // A SPEC names the driver, and a driver is a program: the name must not lead out of the folder.
        let plain = !driver.is_empty()
            && driver
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        if !plain {
            return Err(broken(format!(
                "{driver:?} is not the name of a driver; {}",
                self.names()
            )));
        }
        let request = Request {
            protocol: PROTOCOL,
            action: action.clone(),
        };
        let request = serde_json::to_vec(&request).map_err(|e| broken(e.to_string()))?;
        let bytes = self.run(driver, &request).map_err(broken)?;
        if bytes.len() as u64 > MAX_REPLY {
            return Err(broken(format!(
                "driver {driver} answered more than {MAX_REPLY} bytes"
            )));
        }
        read_reply(driver, &bytes)
    }
}

/// Takes a driver's reply apart.
pub fn read_reply(driver: &str, bytes: &[u8]) -> Result<Value, DriverError> {
    let broken = |message: String| DriverError::retry(reason::DRIVER_FAILED, message);
    let reply: Reply = serde_json::from_slice(bytes).map_err(|e| {
        broken(format!(
            "the reply of driver {driver} is not one of the protocol: {e}"
        ))
    })?;
    if reply.protocol != PROTOCOL {
        return Err(broken(format!(
            "driver {driver} speaks protocol {}, not {PROTOCOL}",
            reply.protocol
        )));
    }
    match (reply.ok, reply.error) {
        (Some(ok), None) => Ok(ok),
        (None, Some(error)) => Err(error),
        _ => Err(broken(format!(
            "the reply of driver {driver} has neither ok nor error, or both"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn driver(script: &str) -> (tempfile::TempDir, Executables) {
        // Long enough for a busy machine; only the one that hangs on purpose has to be waited for.
        let seconds = if script.contains("sleep") { 1 } else { 60 };
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("x");
        fs::create_dir(&folder).unwrap();
        let program = folder.join("x");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let drivers = Executables::new(dir.path(), Duration::from_secs(seconds));
        (dir, drivers)
    }

    #[test]
    fn a_good_answer_comes_through() {
        let (_dir, drivers) = driver(r#"cat >/dev/null; echo '{"protocol":1,"ok":{"a":1}}'"#);
        assert_eq!(drivers.ask("x", &Action::Info), Ok(serde_json::json!({"a": 1})));
    }

    #[test]
    fn what_a_bad_driver_does_is_named() {
        for (script, what) in [
            ("echo no", "not one of the protocol"),
            (r#"echo '{"protocol":9,"ok":1}'"#, "protocol 9"),
            (r#"echo '{"protocol":1}'"#, "neither"),
            ("echo boom >&2; exit 3", "boom"),
            ("exec sleep 30", "no answer within"),
            ("exit 0", "not one of the protocol"),
        ] {
            let (_dir, drivers) = driver(script);
            let error = drivers.ask("x", &Action::Info).unwrap_err();
            assert!(error.retry && error.message.contains(what), "{script}: {error}");
        }
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_folder() {
        let (_dir, drivers) = driver("echo");
        for name in ["", "../x", "x/x", "/bin/sh", "."] {
            assert!(drivers.ask(name, &Action::Info).is_err(), "{name}");
        }
        assert!(
            drivers
                .ask("other", &Action::Info)
                .unwrap_err()
                .message
                .contains("installed are x")
        );
    }
}
