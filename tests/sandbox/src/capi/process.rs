//! The process of a command in a guest: a shell of the host, whose programs ask for what the host can't know.

use std::io::{self, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::shim::{Answer, Request, SOCKET, receive};

/// A process that runs or stands still.
pub(crate) struct Process {
    folder: tempfile::TempDir,
    group: Pid,
    events: Receiver<Event>,
    over: Arc<AtomicBool>,
}

/// What happens to it.
pub(crate) enum Event {
    /// One of its programs asks something, and stands still until it is answered.
    Asks(Request, Asker),
    /// It ended.
    Ended(io::Result<Output>),
}

/// A program that waits for its answer.
pub(crate) struct Asker(UnixStream);

impl Asker {
    /// Lets the program go on. One that was killed meanwhile is no error.
    pub(crate) fn answer(mut self, answer: &Answer) {
        let mut line = serde_json::to_vec(answer).unwrap_or_default();
        line.push(b'\n');
        let _ = self.0.write_all(&line);
    }
}

impl Process {
    /// Starts a program in a folder of its own, with these folders on its PATH.
    ///
    /// # Errors
    /// The host's file system. A program that can't be started is `Ok(None)`.
    pub(crate) fn start(
        folder: tempfile::TempDir,
        words: &[String],
        stdin: Vec<u8>,
        path: &str,
    ) -> io::Result<Option<Self>> {
        let Some((program, arguments)) = words.split_first() else {
            return Ok(None);
        };
        let home = folder.path().join("home");
        std::fs::create_dir(&home)?;
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket)?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &home)
            .env("LANG", "C")
            .env(SOCKET, &socket)
            .current_dir(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let Ok(mut child) = child else {
            return Ok(None);
        };
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        if let Some(mut pipe) = child.stdin.take() {
            std::thread::spawn(move || {
                // A command that doesn't read its input is no error.
                let _ = pipe.write_all(&stdin);
            });
        }
        let (sender, events) = channel();
        let over = Arc::new(AtomicBool::new(false));
        listen(listener, sender.clone(), Arc::clone(&over));
        wait(child, sender);
        Ok(Some(Self {
            folder,
            group,
            events,
            over,
        }))
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for what happens next.
    pub(crate) fn next(&self) -> Event {
        let gone = || Event::Ended(Err(io::Error::other("nobody watches the process")));
        self.events.recv().unwrap_or_else(|_| gone())
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("socket")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        self.over.store(true, Ordering::SeqCst);
        // Wakes whoever listens.
        let _ = UnixStream::connect(self.socket());
    }
}

fn listen(listener: UnixListener, sender: Sender<Event>, over: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if over.load(Ordering::SeqCst) {
                return;
            }
            let sender = sender.clone();
            std::thread::spawn(move || {
                let Ok(asker) = stream.try_clone() else { return };
                if let Ok(request) = receive(stream) {
                    let _ = sender.send(Event::Asks(request, Asker(asker)));
                }
            });
        }
    });
}

fn wait(child: Child, sender: Sender<Event>) {
    std::thread::spawn(move || {
        let _ = sender.send(Event::Ended(child.wait_with_output()));
    });
}
