//! Commands in guests: the host's shell, with the guest's programs in front.
//!
//! A command runs at once as far as it needs no time. Where it sleeps, it stands still until virtual time has come so
//! far; what it does then, it does then.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use super::config::FaultKind;
use super::kube::Store;
use super::kube::quantity::timestamp;
use super::kubectl::{self, Environment};
use super::process::{Asker, Event, Process};
use super::programs::Programs;
use super::shim::{Answer, Request};
use super::world::World;
use crate::guest::{ExecResult, Started, VmFacts};

/// Where RKE2 puts kubectl.
const BINARIES: &str = "/var/lib/rancher/rke2/bin";
/// Where RKE2 puts the administrator's kubeconfig.
const KUBECONFIG: &str = "/etc/rancher/rke2/rke2.yaml";
/// Seconds that any command takes.
const OVERHEAD: u64 = 2;
/// A command that never ends.
const FOREVER: u64 = u64::MAX / 4;
/// Virtual seconds after which a command is taken to run for ever.
const LIMIT: u64 = 6 * 3600;

/// A command that sleeps.
pub(crate) struct Running {
    words: Vec<String>,
    stdin: Vec<u8>,
    /// When it began.
    since: u64,
    /// When it goes on.
    pub(crate) due: u64,
    /// Bytes that it writes too many.
    flood: usize,
    /// Seconds that it takes longer.
    slow: u64,
    /// What its programs were answered so far.
    answers: Vec<Answer>,
    /// What the program that sleeps will be answered.
    next: Answer,
    /// Absent in a copy, which catches up when it goes on: a process can't be copied, but what it does follows from what
    /// it was told.
    live: Option<(Process, Asker)>,
}

impl Clone for Running {
    fn clone(&self) -> Self {
        Self {
            words: self.words.clone(),
            stdin: self.stdin.clone(),
            answers: self.answers.clone(),
            next: self.next.clone(),
            live: None,
            ..*self
        }
    }
}

/// Starts a command in a guest. One that sleeps is kept in the world.
pub(crate) fn start(world: &mut World, vm: &VmFacts, command: &str, stdin: &[u8], now: u64) -> Started {
    let name = vm.name.as_str();
    if world
        .faults
        .take(name, |kind| (*kind == FaultKind::AgentMissing).then_some(()))
        .is_some()
    {
        return Started::Ends(ExecResult {
            seconds: FOREVER,
            ..ExecResult::default()
        });
    }
    let failure = world.faults.take(name, |kind| match kind {
        FaultKind::CommandFails { code, stderr } => Some((*code, stderr.clone())),
        _ => None,
    });
    if let Some((code, stderr)) = failure {
        return Started::Ends(ExecResult {
            seconds: OVERHEAD,
            return_code: code,
            stderr: stderr.into_bytes(),
            ..ExecResult::default()
        });
    }
    let flood = world.faults.take(name, |kind| match kind {
        FaultKind::CommandFloods { bytes } => Some(*bytes),
        _ => None,
    });
    let slow = world.faults.take(name, |kind| match kind {
        FaultKind::CommandSlow { seconds } => Some(*seconds),
        _ => None,
    });
    let running = Running {
        words: split(command),
        stdin: stdin.to_vec(),
        since: now,
        due: now,
        flood: flood.unwrap_or(0),
        slow: slow.unwrap_or(0),
        answers: Vec::new(),
        next: Answer::default(),
        live: None,
    };
    match run(world, vm.id, running, None, now) {
        Some(result) => Started::Ends(result),
        None => Started::Runs,
    }
}

/// Lets the commands go on whose sleep is over. Returns the results of those that ended, by VM.
pub(crate) fn go_on(world: &mut World, now: u64) -> Vec<(u32, ExecResult)> {
    let due: Vec<u32> = world
        .commands
        .iter()
        .filter(|(_, command)| command.due <= now)
        .map(|(vm, _)| *vm)
        .collect();
    let mut ended = Vec::new();
    for vm in due {
        let Some(mut running) = world.commands.remove(&vm) else {
            continue;
        };
        let answer = std::mem::take(&mut running.next);
        let process = running.live.take().map(|(process, asker)| {
            asker.answer(&answer);
            process
        });
        running.answers.push(answer);
        if let Some(result) = run(world, vm, running, process, now) {
            ended.push((vm, result));
        }
    }
    ended
}

/// Runs a command until it ends, or sleeps: then it is kept in the world, and there is no result.
fn run(
    world: &mut World,
    vm: u32,
    running: Running,
    process: Option<Process>,
    now: u64,
) -> Option<ExecResult> {
    let (flood, slow) = (running.flood, running.slow);
    let ended = match run_until_sleep(world, vm, running, process, now) {
        Ok(result) => result,
        Err(error) => Some(ExecResult {
            seconds: OVERHEAD,
            return_code: 126,
            stdout: Vec::new(),
            stderr: format!("the sandbox could not run the command: {error}\n").into_bytes(),
        }),
    };
    let mut result = ended?;
    result
        .stdout
        .extend((0..flood).map(|index| b'a' + u8::try_from(index % 23).unwrap_or(0)));
    result.seconds = result.seconds.saturating_add(slow);
    Some(result)
}

fn run_until_sleep(
    world: &mut World,
    vm: u32,
    mut running: Running,
    process: Option<Process>,
    now: u64,
) -> io::Result<Option<ExecResult>> {
    // A copy begins anew, and its programs hear first what they heard then.
    let mut heard = if process.is_some() {
        running.answers.len()
    } else {
        0
    };
    let process = match process {
        Some(process) => process,
        None => match spawn(world, vm, &running, now)? {
            Some(process) => process,
            None => return Ok(Some(not_found(&running.words))),
        },
    };
    furnish(world, vm, process.folder(), now)?;
    loop {
        let (request, asker) = match process.next() {
            Event::Ended(output) => {
                let output = output?;
                let outward = |text: &[u8]| {
                    let (binaries, kubeconfig) = inside(process.folder());
                    replace(&replace(text, &binaries, BINARIES), &kubeconfig, KUBECONFIG)
                };
                return Ok(Some(ExecResult {
                    seconds: OVERHEAD,
                    return_code: output.status.code().unwrap_or(255),
                    stdout: outward(&output.stdout),
                    stderr: outward(&output.stderr),
                }));
            }
            Event::Asks(request, asker) => (request, asker),
        };
        if let Some(answer) = running.answers.get(heard) {
            asker.answer(answer);
            heard += 1;
            continue;
        }
        let (answer, seconds) = serve(world, vm, &request, now);
        if seconds == 0 {
            asker.answer(&answer);
            running.answers.push(answer);
            heard += 1;
            continue;
        }
        running.due = now.saturating_add(seconds);
        if running.due - running.since > LIMIT {
            return Ok(Some(ExecResult {
                seconds: FOREVER,
                ..ExecResult::default()
            }));
        }
        running.next = answer;
        running.live = Some((process, asker));
        world.commands.insert(vm, running);
        return Ok(None);
    }
}

fn not_found(words: &[String]) -> ExecResult {
    let stderr = words.first().map_or_else(String::new, |program| {
        format!("Failed to execute child process \u{201c}{program}\u{201d} (No such file or directory)")
    });
    ExecResult {
        seconds: OVERHEAD,
        return_code: 127,
        stdout: Vec::new(),
        stderr: stderr.into_bytes(),
    }
}

/// Starts the process. The guest's paths exist in its folder only; what the command says about them is said of the folder.
fn spawn(world: &mut World, vm: u32, running: &Running, now: u64) -> io::Result<Option<Process>> {
    if world.programs.is_none() {
        world.programs = Some(Arc::new(Programs::new(world.config.shim.as_deref())?));
    }
    let Some(programs) = &world.programs else {
        return Err(io::Error::other("no programs"));
    };
    let everyday = path_text(&programs.everyday())?.to_owned();
    let folder = tempfile::Builder::new().prefix("guest-").tempdir()?;
    let (binaries, kubeconfig) = inside(folder.path());
    let inward = |text: &[u8]| replace(&replace(text, BINARIES, &binaries), KUBECONFIG, &kubeconfig);
    let inward_word = |word: &String| String::from_utf8_lossy(&inward(word.as_bytes())).into_owned();
    let words: Vec<String> = running.words.iter().map(inward_word).collect();
    let path = if world.config.kubectl_everywhere {
        format!("{everyday}:{binaries}")
    } else {
        everyday
    };
    furnish(world, vm, folder.path(), now)?;
    Process::start(folder, &words, inward(&running.stdin), &path)
}

/// The places of kubectl and of the kubeconfig in the folder of a command.
fn inside(folder: &Path) -> (String, String) {
    let place = |name: &str| folder.join(name).display().to_string();
    (place("rke2"), place("rke2.yaml"))
}

/// Lays out what RKE2 has put on the node by now.
fn furnish(world: &World, vm: u32, folder: &Path, now: u64) -> io::Result<()> {
    let (Some(kubernetes), Some(programs)) = (kubernetes(world, vm, now), &world.programs) else {
        return Ok(());
    };
    let binaries = folder.join("rke2");
    if !fs::exists(&binaries)? {
        symlink(programs.rke2(), binaries)?;
    }
    match kubernetes.kubeconfig {
        Some(text) => fs::write(folder.join("rke2.yaml"), text),
        None => Ok(()),
    }
}

/// What of Kubernetes a VM has.
struct Kubernetes {
    plane: usize,
    reachable: bool,
    kubeconfig: Option<String>,
}

/// What is on a server of RKE2; nothing on other VMs, and on a server before RKE2 is installed.
fn kubernetes(world: &World, vm: u32, now: u64) -> Option<Kubernetes> {
    let node = world.vms.get(&vm)?.node.as_ref().filter(|node| node.server)?;
    let installed = node
        .progress_since
        .is_some_and(|since| now >= since + world.config.timings.rke2_install);
    if node.joined.is_none() && !installed {
        return None;
    }
    let workload = world.workload(node.plane)?;
    Some(Kubernetes {
        plane: node.plane,
        reachable: node.joined.is_some() && world.api_is_up(node.plane),
        kubeconfig: node.joined.map(|_| workload.kubeconfig.clone()),
    })
}

/// What a program prints, and the seconds that it takes first.
fn serve(world: &mut World, vm: u32, request: &Request, now: u64) -> (Answer, u64) {
    match request.program.as_str() {
        "sleep" => sleep(&request.arguments),
        "date" => {
            let stdout = date(&request.arguments, now);
            let answer = Answer {
                stdout,
                ..Answer::default()
            };
            (answer, 0)
        }
        _ => run_kubectl(world, vm, request, now),
    }
}

fn run_kubectl(world: &mut World, vm: u32, request: &Request, now: u64) -> (Answer, u64) {
    let kubernetes = kubernetes(world, vm, now);
    let everywhere = world.config.kubectl_everywhere;
    let kubeconfig = kubernetes
        .as_ref()
        .and_then(|kubernetes| kubernetes.kubeconfig.clone())
        .filter(|_| request.kubeconfig || everywhere);
    let reachable = kubernetes.as_ref().is_some_and(|kubernetes| kubernetes.reachable);
    let plane = kubernetes
        .filter(|kubernetes| kubernetes.reachable)
        .map(|kubernetes| kubernetes.plane);
    let mut nothing = Store::new(0, 0);
    let store = match plane {
        Some(plane) => &mut world.planes[plane].store,
        None => &mut nothing,
    };
    let before = store.version();
    store.now = now;
    let mut stdin = request.stdin.as_bytes();
    let mut environment = Environment {
        kubeconfig: kubeconfig.as_deref(),
        reachable,
        stdin: &mut stdin,
    };
    let output = kubectl::run(store, &request.arguments, &mut environment);
    let changed = store.version() != before;
    if let Some(plane) = plane.filter(|_| changed) {
        world.wake(plane, now);
    }
    let answer = Answer {
        code: output.code,
        stdout: output.stdout,
        stderr: output.stderr,
    };
    (answer, output.seconds)
}

fn sleep(arguments: &[String]) -> (Answer, u64) {
    let refuse = |stderr: String| {
        let answer = Answer {
            code: 1,
            stderr,
            ..Answer::default()
        };
        (answer, 0)
    };
    let mut total: u64 = 0;
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
            return refuse(format!("sleep: invalid time interval '{argument}'\n"));
        };
        total = total.saturating_add(seconds.saturating_mul(unit));
    }
    if arguments.is_empty() {
        return refuse("sleep: missing operand\n".to_owned());
    }
    (Answer::default(), total)
}

/// `date`, as far as scripts use it: epoch seconds, or UTC in the usual parts.
fn date(arguments: &[String], now: u64) -> String {
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

/// Words as the driver of OpenNebula makes them: split, joined by blanks, and split again. Quotes are lost.
fn split(command: &str) -> Vec<String> {
    let once = shlex::split(command).unwrap_or_default().join(" ");
    shlex::split(&once).unwrap_or_default()
}

fn path_text(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::other("the folder's path is no UTF-8"))
}

fn replace(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_lost_as_in_the_driver() {
        for (command, wanted) in [
            ("/bin/sh -s a b", vec!["/bin/sh", "-s", "a", "b"]),
            ("/bin/sh -c 'echo a b'", vec!["/bin/sh", "-c", "echo", "a", "b"]),
            ("/bin/echo \"it is\" so", vec!["/bin/echo", "it", "is", "so"]),
            ("", vec![]),
        ] {
            assert_eq!(split(command), wanted, "{command}");
        }
    }

    #[test]
    fn paths_are_replaced_everywhere() {
        assert_eq!(replace(b"a/x b/x", "/x", "/long"), b"a/long b/long");
        assert_eq!(replace(b"none", "/x", "/y"), b"none");
    }
}
