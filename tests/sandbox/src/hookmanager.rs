//! The hook manager: hooks as child processes.
//!
//! As onehem does it: at most ten at once, in no order, each in a process group of its own, without any retry.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::events::{Execution, ExecutionRecord};
use crate::runner::HookRunner;
use crate::sandbox::Sandbox;

/// How hooks are run.
#[derive(Clone, Debug)]
pub struct HookProcesses {
    /// Where commands without a leading `/` are.
    pub base_path: PathBuf,
    /// The whole environment of hooks, besides `ONEKS_NOW`, the virtual time in epoch seconds.
    pub environment: Vec<(String, String)>,
    /// Where they are started.
    pub directory: PathBuf,
    /// How many run at once.
    pub slots: usize,
}

/// What the reader threads get after the end of a hook that left its output open to others.
const READ_GRACE: Duration = Duration::from_millis(100);
/// How often the manager looks for new events.
const POLL: Duration = Duration::from_millis(5);
/// Code of everything that has no exit code.
const NO_CODE: i32 = 255;

impl HookProcesses {
    /// Hooks with the usual settings: ten slots, commands below the folder `base_path`, started in `/`, with `PATH` as
    /// the only variable.
    pub fn new(base_path: impl Into<PathBuf>) -> Self {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        Self {
            base_path: base_path.into(),
            environment: vec![("PATH".into(), path)],
            directory: "/".into(),
            slots: 10,
        }
    }

    /// The same with one more variable, or another value of it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs one hook to its end, at a moment of virtual time.
    pub fn execute(&self, execution: &Execution, now: u64) -> ExecutionRecord {
        self.execute_watched(execution, now, &Running::default())
    }

    fn execute_watched(&self, execution: &Execution, now: u64, running: &Running) -> ExecutionRecord {
        if execution.remote_host.is_some() {
            return failed("Internal error: hosts of a sandbox can't be reached".into());
        }
        let child = match self.spawn(execution, now) {
            Ok(child) => child,
            Err(error) => return failed(format!("Internal error {error}")),
        };
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
        running.add(group);
        let record = wait(child, group, execution);
        running.remove(group);
        record
    }

    fn spawn(&self, execution: &Execution, now: u64) -> io::Result<Child> {
        let mut line = execution.command.clone();
        if !line.starts_with('/') {
            line = self.base_path.join(line).to_string_lossy().into_owned();
        }
        if execution.stdin.is_none() && !execution.arguments.is_empty() {
            line.push(' ');
            line.push_str(&execution.arguments);
        }
        let mut command = if needs_shell(&line) {
            let mut command = Command::new("sh");
            command.arg("-c").arg(&line);
            command
        } else {
            let mut words = line.split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words);
            command
        };
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("ONEKS_NOW", now.to_string())
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
    }
}

/// One after another, each at the virtual time at which it is its turn.
impl HookRunner for HookProcesses {
    fn run(&mut self, execution: &Execution, now: u64) -> ExecutionRecord {
        self.execute(execution, now)
    }
}

/// Whether Ruby would start a shell for the line.
fn needs_shell(line: &str) -> bool {
    line.contains(|c| "*?{}[]<>()~&|\\$;'`\"\n#=%".contains(c)) && !is_plain_base64(line)
}

/// The padding of base64 is the one sign that is common in arguments; Ruby looks for `=` in the first word only.
fn is_plain_base64(line: &str) -> bool {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let special = |text: &str, signs: &str| text.contains(|c| signs.contains(c));
    !special(first, "*?{}[]<>()~&|\\$;'`\"\n#=%") && !special(rest, "*?{}[]<>()~&|\\$;'`\"\n#%")
}

fn failed(cause: String) -> ExecutionRecord {
    ExecutionRecord {
        code: NO_CODE,
        stdout: Vec::new(),
        stderr: cause.into_bytes(),
    }
}

fn wait(mut child: Child, group: Pid, execution: &Execution) -> ExecutionRecord {
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let stdin = child.stdin.take();
    let input = execution.stdin.clone().unwrap_or_default();
    // A hook that doesn't read its input must not keep the manager from reading its output.
    thread::spawn(move || {
        if let Some(mut pipe) = stdin {
            // A hook that ends without reading breaks the pipe; that is its right.
            let _ = pipe.write_all(input.as_bytes());
        }
    });
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let _ = ended.send(child.wait());
    });
    let mut timed_out = false;
    let status = match execution.timeout {
        Some(seconds) => match end.recv_timeout(Duration::from_secs(seconds)) {
            Err(RecvTimeoutError::Timeout) => {
                timed_out = true;
                // It may have ended in this moment. A hook that ignores the signal keeps its slot.
                let _ = killpg(group, Signal::SIGTERM);
                end.recv().ok()
            }
            result => result.ok(),
        },
        None => end.recv().ok(),
    };
    let (stdout, stderr) = (collected(stdout), collected(stderr));
    if timed_out {
        return failed(format!("Timeout executing {}", execution.argv().join(" ")));
    }
    match status {
        Some(Ok(status)) => ExecutionRecord {
            code: code(status),
            stdout,
            stderr,
        },
        Some(Err(error)) => failed(format!("Internal error {error}")),
        None => failed("Internal error: nobody waited for the hook".into()),
    }
}

fn code(status: ExitStatus) -> i32 {
    if status.signal().is_some() {
        NO_CODE
    } else {
        status.code().unwrap_or(NO_CODE)
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = done.send(bytes);
    });
    result
}

/// The output, or nothing if somebody else still holds the pipe.
fn collected(output: Option<Receiver<Vec<u8>>>) -> Vec<u8> {
    output
        .and_then(|output| output.recv_timeout(READ_GRACE).ok())
        .unwrap_or_default()
}

/// The process groups of hooks that run.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<HashSet<Pid>>>);

impl Running {
    fn add(&self, group: Pid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(group);
    }

    fn remove(&self, group: Pid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&group);
    }

    fn end_all(&self) {
        for group in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // It may have ended in this moment.
            let _ = killpg(*group, Signal::SIGTERM);
        }
    }
}

/// A hook manager at work. Ends with its value.
pub struct HookManager {
    stop: mpsc::Sender<()>,
    dispatcher: Option<JoinHandle<()>>,
    running: Running,
}

impl HookManager {
    /// Fetches the events of a sandbox from now on and runs the hooks.
    pub fn start(sandbox: Sandbox, processes: HookProcesses) -> Self {
        let (stop, stopped) = mpsc::channel();
        let running = Running::default();
        let watched = running.clone();
        let dispatcher = thread::spawn(move || dispatch(&sandbox, &processes, &watched, &stopped));
        Self {
            stop,
            dispatcher: Some(dispatcher),
            running,
        }
    }
}

impl Drop for HookManager {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        self.running.end_all();
        if let Some(dispatcher) = self.dispatcher.take() {
            let _ = dispatcher.join();
        }
    }
}

fn dispatch(sandbox: &Sandbox, processes: &HookProcesses, running: &Running, stopped: &Receiver<()>) {
    let (queue, work) = mpsc::channel::<Execution>();
    let work = Arc::new(Mutex::new(work));
    let workers: Vec<JoinHandle<()>> = (0..processes.slots.max(1))
        .map(|_| {
            let (sandbox, processes, running, work) = (
                sandbox.clone(),
                processes.clone(),
                running.clone(),
                Arc::clone(&work),
            );
            thread::spawn(move || {
                loop {
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(execution) = next else { return };
                    let record = processes.execute_watched(&execution, sandbox.now(), &running);
                    if record.code != 0 {
                        log::warn!(
                            "hook {} for {} ended with {}",
                            execution.hook_name,
                            execution.key,
                            record.code
                        );
                    }
                    sandbox.record_execution(&execution, record);
                }
            })
        })
        .collect();
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(POLL) {
        for execution in sandbox.take_events() {
            // The workers live as long as this queue.
            let _ = queue.send(execution);
        }
    }
    drop(queue);
    // What is still waiting is not begun any more.
    while work
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .try_recv()
        .is_ok()
    {}
    for worker in workers {
        let _ = worker.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(command: &str, arguments: &str, stdin: bool, timeout: Option<u64>) -> Execution {
        Execution {
            number: 0,
            hook_id: 0,
            hook_name: "test".into(),
            command: command.into(),
            arguments: arguments.into(),
            stdin: stdin.then(|| arguments.to_owned()),
            key: "one.vm.update".into(),
            remote_host: None,
            timeout,
            published: 0,
            retry: false,
        }
    }

    fn run(execution: &Execution) -> (i32, String, String) {
        let processes = HookProcesses::new("/nowhere").with("COLOUR", "blue");
        let record = processes.execute(execution, 1234);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (record.code, text(record.stdout), text(record.stderr))
    }

    #[test]
    fn arguments_go_where_the_hook_wants_them() {
        let (code, out, _) = run(&execution("/bin/echo", "a b", false, None));
        assert_eq!((code, out.as_str()), (0, "a b\n"));
        let (code, out, _) = run(&execution("/bin/cat", "a b", true, None));
        assert_eq!((code, out.as_str()), (0, "a b"));
        // More than a pipe holds, to a program that doesn't read.
        let (code, _, _) = run(&execution("/bin/true", &"x".repeat(1 << 20), true, None));
        assert_eq!(code, 0);
    }

    #[test]
    fn the_environment_is_the_given_one_and_the_time() {
        let (_, out, _) = run(&execution("/usr/bin/env", "", true, None));
        let mut lines: Vec<_> = out.lines().filter(|line| !line.starts_with("PATH=")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["COLOUR=blue", "ONEKS_NOW=1234"]);
    }

    #[test]
    fn ends() {
        let (code, _, err) = run(&execution("/bin/sh -c 'echo oops >&2; exit 3'", "", true, None));
        assert_eq!((code, err.as_str()), (3, "oops\n"));
        assert_eq!(run(&execution("/bin/true; kill -9 $$", "", true, None)).0, 255);
        let (code, _, err) = run(&execution("missing", "", true, None));
        assert_eq!(code, 255);
        assert!(err.starts_with("Internal error"), "{err}");
        let (code, out, err) = run(&execution("/bin/sh -c 'echo lost; sleep 30'", "", true, Some(1)));
        assert_eq!((code, out.as_str()), (255, ""));
        assert!(err.starts_with("Timeout executing /bin/sh"), "{err}");
    }

    #[test]
    fn an_argument_that_is_too_long_is_refused_by_the_system() {
        let (code, _, err) = run(&execution("/bin/echo", &"x".repeat(200_000), false, None));
        assert_eq!(code, 255);
        assert!(err.contains("too long"), "{err}");
    }

    #[test]
    fn shells_are_started_as_ruby_does() {
        for (line, shell) in [
            ("/bin/echo a", false),
            ("/bin/echo QUJD==", false),
            ("A=1 /bin/echo", true),
            ("/bin/echo $HOME", true),
            ("/bin/echo a; b", true),
            ("/bin/echo 'a'", true),
        ] {
            assert_eq!(needs_shell(line), shell, "{line}");
        }
    }
}
