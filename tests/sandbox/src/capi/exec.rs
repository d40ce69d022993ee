//! Commands in guests: the host's shell, with the guest's programs in front.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::config::FaultKind;
use super::kube::Store;
use super::programs::Programs;
use super::shim::{FOLDER, Shared, read_state, slept, write_state};
use super::world::World;
use crate::guest::{ExecResult, VmFacts};

/// Where RKE2 puts kubectl.
const BINARIES: &str = "/var/lib/rancher/rke2/bin";
/// Where RKE2 puts the administrator's kubeconfig.
const KUBECONFIG: &str = "/etc/rancher/rke2/rke2.yaml";
/// Seconds that any command takes.
const OVERHEAD: u64 = 2;
/// A command that never ends.
const FOREVER: u64 = u64::MAX / 4;

/// Runs a command in a guest.
pub(crate) fn run(world: &mut World, vm: &VmFacts, command: &str, stdin: &[u8], now: u64) -> ExecResult {
    let name = vm.name.as_str();
    if world
        .faults
        .take(name, |kind| (*kind == FaultKind::AgentMissing).then_some(()))
        .is_some()
    {
        return ExecResult {
            seconds: FOREVER,
            ..ExecResult::default()
        };
    }
    let failure = world.faults.take(name, |kind| match kind {
        FaultKind::CommandFails { code, stderr } => Some((*code, stderr.clone())),
        _ => None,
    });
    if let Some((code, stderr)) = failure {
        return ExecResult {
            seconds: OVERHEAD,
            return_code: code,
            stderr: stderr.into_bytes(),
            ..ExecResult::default()
        };
    }
    let mut result = run_script(world, vm, command, stdin, now).unwrap_or_else(|error| ExecResult {
        seconds: OVERHEAD,
        return_code: 126,
        stdout: Vec::new(),
        stderr: format!("the sandbox could not run the command: {error}\n").into_bytes(),
    });
    let flood = world.faults.take(name, |kind| match kind {
        FaultKind::CommandFloods { bytes } => Some(*bytes),
        _ => None,
    });
    if let Some(bytes) = flood {
        result
            .stdout
            .extend((0..bytes).map(|index| b'a' + u8::try_from(index % 23).unwrap_or(0)));
    }
    let slow = world.faults.take(name, |kind| match kind {
        FaultKind::CommandSlow { seconds } => Some(*seconds),
        _ => None,
    });
    result.seconds = result.seconds.saturating_add(slow.unwrap_or(0));
    result
}

/// What of Kubernetes a VM has.
struct Kubernetes {
    plane: usize,
    reachable: bool,
    kubeconfig: Option<String>,
}

/// What is on a server of RKE2; nothing on other VMs, and on a server before RKE2 is installed.
fn kubernetes(world: &World, vm: &VmFacts, now: u64) -> Option<Kubernetes> {
    let node = world.vms.get(&vm.id)?.node.as_ref().filter(|node| node.server)?;
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

fn run_script(
    world: &mut World,
    vm: &VmFacts,
    command: &str,
    stdin: &[u8],
    now: u64,
) -> io::Result<ExecResult> {
    if world.programs.is_none() {
        world.programs = Some(Arc::new(Programs::new(world.config.shim.as_deref())?));
    }
    let Some(programs) = &world.programs else {
        return Err(io::Error::other("no programs"));
    };
    let (everyday, rke2) = (programs.everyday(), programs.rke2());
    let folder = tempfile::Builder::new().prefix("guest-").tempdir()?;
    let folder = folder.path();
    let kubernetes = kubernetes(world, vm, now);
    let (home, kubeconfig) = (folder.join("home"), folder.join("rke2.yaml"));
    fs::create_dir(&home)?;
    // Nothing is there on other VMs.
    let binaries = if kubernetes.is_some() {
        rke2
    } else {
        folder.join("rke2")
    };
    if let Some(text) = kubernetes
        .as_ref()
        .and_then(|kubernetes| kubernetes.kubeconfig.as_ref())
    {
        fs::write(&kubeconfig, text)?;
    }
    let mut shared = Shared {
        store: None,
        kubeconfig: None,
        reachable: false,
        now,
        everywhere: world.config.kubectl_everywhere,
        changed: false,
    };
    if let Some(kubernetes) = &kubernetes {
        let store = &mut world.planes[kubernetes.plane].store;
        store.now = now;
        shared.store = kubernetes.reachable.then(|| store.snapshot());
        shared.kubeconfig.clone_from(&kubernetes.kubeconfig);
        shared.reachable = kubernetes.reachable;
    }
    write_state(folder, &shared)?;

    // The guest's paths exist in the folder only. What the command says about them is said of the folder.
    let (binaries, kubeconfig) = (path_text(&binaries)?, path_text(&kubeconfig)?);
    let inward = |text: &[u8]| replace(&replace(text, BINARIES, binaries), KUBECONFIG, kubeconfig);
    let outward = |text: &[u8]| replace(&replace(text, binaries, BINARIES), kubeconfig, KUBECONFIG);
    let path = if world.config.kubectl_everywhere {
        format!("{}:{binaries}", path_text(&everyday)?)
    } else {
        path_text(&everyday)?.to_owned()
    };
    let words = split(command);
    let Some((program, arguments)) = words.split_first() else {
        return Ok(ExecResult {
            seconds: OVERHEAD,
            return_code: 127,
            ..ExecResult::default()
        });
    };
    let inward_word = |word: &String| String::from_utf8_lossy(&inward(word.as_bytes())).into_owned();
    let child = Command::new(inward_word(program))
        .args(arguments.iter().map(inward_word))
        .env_clear()
        .env("PATH", path)
        .env("HOME", &home)
        .env("LANG", "C")
        .env(FOLDER, folder)
        .current_dir(&home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let Ok(mut child) = child else {
        return Ok(ExecResult {
            seconds: OVERHEAD,
            return_code: 127,
            stdout: Vec::new(),
            stderr: format!(
                "Failed to execute child process \u{201c}{program}\u{201d} (No such file or directory)"
            )
            .into_bytes(),
        });
    };
    let input = inward(stdin);
    let writer = child.stdin.take().map(|mut pipe| {
        std::thread::spawn(move || {
            // A command that doesn't read its input is no error.
            let _ = pipe.write_all(&input);
        })
    });
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    if fs::exists(folder.join("endless"))? {
        return Ok(ExecResult {
            seconds: FOREVER,
            ..ExecResult::default()
        });
    }
    if let Some(kubernetes) = &kubernetes {
        take_back(world, kubernetes.plane, folder, now)?;
    }
    Ok(ExecResult {
        seconds: slept(folder) + OVERHEAD,
        return_code: output.status.code().unwrap_or(255),
        stdout: outward(&output.stdout),
        stderr: outward(&output.stderr),
    })
}

fn take_back(world: &mut World, plane: usize, folder: &Path, now: u64) -> io::Result<()> {
    let shared = read_state(folder)?;
    if let Some(snapshot) = shared.store.filter(|_| shared.changed) {
        world.planes[plane].store = Store::restore(snapshot);
        world.wake(plane, now);
    }
    Ok(())
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
