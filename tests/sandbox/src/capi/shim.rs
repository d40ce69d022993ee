//! Programs inside guests: the host of the sandbox behaves as `kubectl` and `sleep` when it is started under these names.
//!
//! A script runs in a shell of its own. What it changes goes through a file that the sandbox wrote before and reads
//! after, so that no server is needed; the file is replaced as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, killpg};
use serde::{Deserialize, Serialize};

use super::kube::Store;
use super::kube::store::Snapshot;
use super::kubectl::{self, Environment};

/// Variable with the folder of a running command.
pub(crate) const FOLDER: &str = "ONEKS_SANDBOX_GUEST";
/// Virtual seconds after which a command is taken to run for ever.
const LIMIT: u64 = 6 * 3600;

/// What the programs of a command share.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shared {
    pub(crate) store: Option<Snapshot>,
    pub(crate) kubeconfig: Option<String>,
    pub(crate) reachable: bool,
    /// Folder of kubectl, if the guest has one.
    pub(crate) binaries: Option<String>,
    /// Whether kubectl is on every PATH and needs no KUBECONFIG.
    pub(crate) everywhere: bool,
    pub(crate) changed: bool,
}

/// Behaves as a program of a guest. Returns its exit code, or `None` if the program's name is none of theirs.
///
/// A program that serves as [`Config::shim`](super::Config::shim) calls this before anything else, with its own name
/// (`argv[0]`) and arguments.
pub fn shim_main(program: &str, arguments: &[String]) -> Option<i32> {
    serve(program, arguments, &mut io::stdout(), &mut io::stderr())
}

/// [`shim_main`] with other places for its output.
pub(crate) fn serve(
    program: &str,
    arguments: &[String],
    stdout: &mut dyn io::Write,
    stderr: &mut dyn io::Write,
) -> Option<i32> {
    let name = Path::new(program).file_name()?.to_str()?;
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    match name {
        "sleep" => Some(sleep(&folder, arguments, stderr)),
        "kubectl" => Some(match run_kubectl(&folder, program, arguments) {
            Ok(output) => {
                let written = stdout.write_all(output.stdout.as_bytes());
                let _ = written.and_then(|()| stderr.write_all(output.stderr.as_bytes()));
                output.code
            }
            Err(error) => {
                let _ = writeln!(stderr, "kubectl: the sandbox lost its state: {error}");
                1
            }
        }),
        _ => None,
    }
}

/// The file of what programs share.
pub(crate) fn state_file(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

/// Virtual seconds that a command has slept.
pub(crate) fn slept(folder: &Path) -> u64 {
    fs::read_to_string(folder.join("slept"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// Writes what programs share.
pub(crate) fn write_state(folder: &Path, shared: &Shared) -> io::Result<()> {
    let part = folder.join("state.part");
    fs::write(&part, serde_json::to_vec(shared)?)?;
    fs::rename(part, state_file(folder))
}

/// Reads what programs share.
pub(crate) fn read_state(folder: &Path) -> io::Result<Shared> {
    Ok(serde_json::from_slice(&fs::read(state_file(folder))?)?)
}

fn add_sleep(folder: &Path, seconds: u64) -> u64 {
    let total = slept(folder) + seconds;
    let _ = fs::write(folder.join("slept"), total.to_string());
    if total > LIMIT {
        // The command would never end. Its shell goes down with everything in its group.
        let _ = fs::write(folder.join("endless"), "");
        let _ = killpg(nix::unistd::getpgrp(), Signal::SIGKILL);
    }
    total
}

fn sleep(folder: &Path, arguments: &[String], stderr: &mut dyn io::Write) -> i32 {
    let mut total = 0;
    for argument in arguments {
        let (number, unit) = match argument.char_indices().last() {
            Some((at, 's')) => (&argument[..at], 1),
            Some((at, 'm')) => (&argument[..at], 60),
            Some((at, 'h')) => (&argument[..at], 3600),
            Some((at, 'd')) => (&argument[..at], 86_400),
            _ => (argument.as_str(), 1),
        };
        let whole = number.split('.').next().unwrap_or_default();
        let Ok(seconds) = (if whole.is_empty() { "0" } else { whole }).parse::<u64>() else {
            let _ = writeln!(stderr, "sleep: invalid time interval '{argument}'");
            return 1;
        };
        total += seconds * unit;
    }
    if arguments.is_empty() {
        let _ = writeln!(stderr, "sleep: missing operand");
        return 1;
    }
    add_sleep(folder, total);
    0
}

fn run_kubectl(folder: &Path, program: &str, arguments: &[String]) -> io::Result<kubectl::Output> {
    let mut shared = read_state(folder)?;
    if !is_found(&shared, program) {
        let stderr = "/bin/sh: 1: kubectl: not found\n".to_owned();
        return Ok(kubectl::Output {
            stderr,
            code: 127,
            ..kubectl::Output::default()
        });
    }
    let asked = flag(arguments, "--kubeconfig").or_else(|| std::env::var("KUBECONFIG").ok());
    let found = asked.is_some_and(|path| fs::exists(path).unwrap_or(false));
    let kubeconfig = shared.kubeconfig.clone().filter(|_| found || shared.everywhere);
    let Some(snapshot) = shared.store.take() else {
        let mut store = Store::new(0, 0);
        return Ok(kubectl::run(
            &mut store,
            arguments,
            &mut Environment {
                kubeconfig: kubeconfig.as_deref(),
                reachable: false,
                stdin: &mut io::stdin(),
            },
        ));
    };
    let mut store = Store::restore(snapshot);
    let before = store.version();
    store.now += slept(folder);
    let now = store.now - slept(folder);
    let output = kubectl::run(
        &mut store,
        arguments,
        &mut Environment {
            kubeconfig: kubeconfig.as_deref(),
            reachable: shared.reachable,
            stdin: &mut io::stdin(),
        },
    );
    store.now = now;
    if store.version() != before {
        shared.changed = true;
        shared.store = Some(store.snapshot());
        write_state(folder, &shared)?;
    }
    if output.seconds > 0 {
        add_sleep(folder, output.seconds);
    }
    Ok(output)
}

/// Whether a shell of the guest would have found kubectl. It is started in any case, so that a script never reaches a
/// kubectl of the host, nor the cluster behind it.
fn is_found(shared: &Shared, program: &str) -> bool {
    let Some(binaries) = &shared.binaries else {
        return false;
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|folder| folder == Path::new(binaries));
    shared.everywhere || on_path || Path::new(program).parent() == Some(Path::new(binaries))
}

fn flag(arguments: &[String], name: &str) -> Option<String> {
    let at = arguments
        .iter()
        .position(|word| word == name || word.starts_with(&format!("{name}=")))?;
    match arguments[at].split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => arguments.get(at + 1).cloned(),
    }
}
