//! A sandbox as an installation on this machine: port, hook manager, timer, and the files that clients look for.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::cloud::{ALICE_PASSWORD, MALLORY_PASSWORD};
use crate::config::Config;
use crate::events::Execution;
use crate::hookmanager::{HookManager, HookProcesses};
use crate::http::{Serve, Server};
use crate::sandbox::Sandbox;

/// What an installation needs to know.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where its files are: `one_auth`, `oneks_auth`, `alice_auth`, `mallory_auth`, `one_endpoint`. Home of hooks.
    pub directory: PathBuf,
    /// Where hooks with a relative command are.
    pub hooks: PathBuf,
    /// More variables for hooks.
    pub environment: Vec<(String, String)>,
    /// Port, speed of time, connections.
    pub serve: Serve,
    /// A command that is run every so many virtual seconds, as a systemd timer would.
    pub timer: Option<(u64, String)>,
}

/// An installation at work. Ends with its value.
pub struct Running {
    server: Server,
    _manager: HookManager,
    _timer: Option<Timer>,
}

impl Installation {
    /// Writes the files, opens the port and begins to run hooks.
    ///
    /// # Errors
    /// A file can't be written, or the port is taken.
    pub fn start(&self, sandbox: &Sandbox, config: &Config) -> io::Result<Running> {
        fs::create_dir_all(&self.directory)?;
        let server = Server::start(sandbox, self.serve)?;
        let endpoint = server.endpoint();
        let auth = [
            ("one_auth", "oneadmin", config.oneadmin_password.as_str()),
            ("oneks_auth", "serveradmin", config.server_secret.as_str()),
            ("alice_auth", "alice", ALICE_PASSWORD),
            ("mallory_auth", "mallory", MALLORY_PASSWORD),
        ];
        for (name, user, password) in auth {
            write_secret(&self.directory.join(name), &format!("{user}:{password}\n"))?;
        }
        fs::write(self.directory.join("one_endpoint"), format!("{endpoint}\n"))?;
        let directory = self.directory.to_string_lossy();
        let mut processes = HookProcesses::new(&self.hooks)
            .with("HOME", directory.clone())
            .with("ONE_AUTH", format!("{directory}/one_auth"))
            .with("ONE_XMLRPC", endpoint);
        for (name, value) in &self.environment {
            processes = processes.with(name, value.clone());
        }
        let timer = self.timer.as_ref().map(|(seconds, command)| {
            Timer::start(sandbox.clone(), processes.clone(), *seconds, command.clone())
        });
        Ok(Running {
            server,
            _manager: HookManager::start(sandbox.clone(), processes),
            _timer: timer,
        })
    }
}

impl Running {
    /// What clients call the endpoint.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Runs a command again and again, never twice at once.
struct Timer {
    stop: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// How often the timer looks at virtual time.
const LOOK: Duration = Duration::from_millis(20);

impl Timer {
    fn start(sandbox: Sandbox, processes: HookProcesses, seconds: u64, command: String) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut next = sandbox.now() + seconds;
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = sandbox.now();
                if now < next {
                    continue;
                }
                next = now + seconds.max(1);
                let record = processes.execute(&timer_execution(&command, now), now);
                if record.code != 0 {
                    log::warn!("the timer's command ended with {}", record.code);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn timer_execution(command: &str, now: u64) -> Execution {
    Execution {
        number: 0,
        hook_id: 0,
        hook_name: "timer".into(),
        command: command.into(),
        arguments: String::new(),
        stdin: None,
        key: "TIMER".into(),
        remote_host: None,
        timeout: None,
        published: now,
        retry: false,
    }
}

/// SIGTERM and SIGINT, kept back until somebody waits for them.
pub struct EndSignals(SigSet);

impl EndSignals {
    /// Keeps the signals back. To be called before any thread is started; child processes don't inherit it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn hold() -> io::Result<Self> {
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block()?;
        Ok(Self(signals))
    }

    /// Waits for one of them.
    ///
    /// # Errors
    /// The system refuses.
    pub fn wait(&self) -> io::Result<()> {
        self.0.wait()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    #[test]
    fn files_hooks_and_timer() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default();
        let sandbox = Sandbox::new(config.clone());
        sandbox.standard_cloud().unwrap();
        let hook = "NAME=\"made\"\nTYPE=\"api\"\nCALL=\"one.document.allocate\"\nCOMMAND=\"/usr/bin/touch\"\n\
                    ARGUMENTS=\"made\"";
        sandbox
            .ask("oneadmin:opennebula", "one.hook.allocate", &[hook.into()])
            .unwrap();
        let installation = Installation {
            directory: folder.path().into(),
            hooks: folder.path().into(),
            environment: vec![],
            serve: Serve {
                speed: 1000.0,
                ..Serve::default()
            },
            timer: Some((60, format!("/usr/bin/touch {}/swept", folder.path().display()))),
        };
        // Hooks start in the root folder; their files are found by absolute names.
        let hook = format!("ARGUMENTS=\"{}/made\"", folder.path().display());
        sandbox
            .ask(
                "oneadmin:opennebula",
                "one.hook.update",
                &[0.into(), hook.into(), 1.into()],
            )
            .unwrap();
        let running = installation.start(&sandbox, &config).unwrap();
        let auth = folder.path().join("oneks_auth");
        assert_eq!(fs::read_to_string(&auth).unwrap(), "serveradmin:server-secret\n");
        assert_eq!(fs::metadata(&auth).unwrap().permissions().mode() & 0o777, 0o600);
        let endpoint = fs::read_to_string(folder.path().join("one_endpoint")).unwrap();
        assert_eq!(endpoint.trim(), running.endpoint());
        sandbox
            .ask(
                "alice:alicepw",
                "one.document.allocate",
                &["NAME=\"a\"".into(), 120.into()],
            )
            .unwrap();
        let began = Instant::now();
        let exists = |name: &str| folder.path().join(name).exists();
        while !(exists("made") && exists("swept") && !sandbox.hook_codes(0).is_empty()) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "neither hook nor timer ran"
            );
            thread::sleep(LOOK);
        }
        assert_eq!(sandbox.hook_codes(0), [0]);
    }
}
