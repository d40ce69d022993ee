//! Programs inside guests: the host of the sandbox behaves as `kubectl`, `sleep` and `date` when it is started under these names.
//!
//! A script runs in a shell of its own. What it changes goes through a file that the sandbox wrote before and reads
//! after, so that no server is needed; the file is replaced as a whole.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, killpg};
use serde::{Deserialize, Serialize};

use super::kube::Store;
use super::kube::quantity::timestamp;
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
    /// Virtual time at which the command began.
    pub(crate) now: u64,
    /// Whether kubectl needs no KUBECONFIG.
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
        "date" => {
            let _ = stdout.write_all(date(&folder, arguments).as_bytes());
            Some(0)
        }
        "kubectl" => Some(match run_kubectl(&folder, arguments) {
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

fn run_kubectl(folder: &Path, arguments: &[String]) -> io::Result<kubectl::Output> {
    // Input comes first: it may be the output of another kubectl, which then must not wait for this one.
    let mut input = Vec::new();
    if arguments
        .iter()
        .any(|word| word == "-" || word.ends_with("f-") || word.ends_with("=-"))
    {
        io::stdin().read_to_end(&mut input)?;
    }
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock()?;
    let mut shared = read_state(folder)?;
    let asked = flag(arguments, "--kubeconfig").or_else(|| std::env::var("KUBECONFIG").ok());
    let found = asked.is_some_and(|path| fs::exists(path).unwrap_or(false));
    let kubeconfig = shared.kubeconfig.clone().filter(|_| found || shared.everywhere);
    let (mut store, reachable) = match shared.store.take() {
        Some(snapshot) => (Store::restore(snapshot), shared.reachable),
        None => (Store::new(0, 0), false),
    };
    let before = store.version();
    store.now = shared.now + slept(folder);
    let mut stdin = input.as_slice();
    let mut environment = Environment {
        kubeconfig: kubeconfig.as_deref(),
        reachable,
        stdin: &mut stdin,
    };
    let output = kubectl::run(&mut store, arguments, &mut environment);
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

/// `date`, as far as scripts use it: epoch seconds, or UTC in the usual parts.
fn date(folder: &Path, arguments: &[String]) -> String {
    let now = read_state(folder).map_or(0, |shared| shared.now) + slept(folder);
    let stamp = timestamp(now);
    let part = |range: std::ops::Range<usize>| stamp.get(range).unwrap_or_default().to_owned();
    let format = arguments
        .iter()
        .find_map(|word| word.strip_prefix('+'))
        .unwrap_or("%Y-%m-%dT%H:%M:%SZ");
    let text = [
        ("%s", now.to_string()),
        ("%F", part(0..10)),
        ("%T", part(11..19)),
        ("%Y", part(0..4)),
        ("%m", part(5..7)),
        ("%d", part(8..10)),
        ("%H", part(11..13)),
        ("%M", part(14..16)),
        ("%S", part(17..19)),
        ("%N", "000000000".into()),
    ]
    .into_iter()
    .fold(format.to_owned(), |text, (key, value)| text.replace(key, &value));
    format!("{text}\n")
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
