//! Many threads and processes at once, and processes that die.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use oneks::gate::{Forgotten, Gate, GateFs};
use tempfile::TempDir;

use super::{ID, Step, Watched, run, vms};

const MARKERS: u32 = 48;

/// One event in a process or thread of its own: marks, and runs with a pass that records what it saw.
fn event<F: GateFs>(gate: &Gate<F>, dir: &Path, vm: u32) {
    gate.mark(ID, &vms([vm])).unwrap();
    gate.run(ID, 1000, |hints| {
        let alone = dir.join("pass");
        File::create_new(&alone).expect("two passes at once");
        let lines: Vec<String> = hints.vms.iter().map(u32::to_string).collect();
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(dir.join("log"))?;
        log.write_all(format!("pass\n{}\n", lines.join("\n")).as_bytes())?;
        fs::remove_file(alone)
    })
    .unwrap();
}

fn assert_all_seen(gate: &Gate, dir: &Path) {
    let log = fs::read_to_string(dir.join("log")).unwrap();
    let seen: BTreeSet<u32> = log.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(seen, (0..MARKERS).collect::<BTreeSet<_>>());
    assert!(gate.pending().unwrap().is_empty());
}

#[test]
fn a_burst_of_threads_loses_nothing() {
    for round in 0..20 {
        let dir = TempDir::new().unwrap();
        let gate_dir = dir.path().join("gate");
        std::thread::scope(|scope| {
            for vm in 0..MARKERS {
                let (dir, gate_dir) = (dir.path(), &gate_dir);
                scope.spawn(move || {
                    // Half of the rounds are slow where a lost mark is likeliest.
                    let slow = Watched(move |step, after: bool| {
                        if round % 2 == 1 && step == Step::Unlock && !after {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    });
                    event(&Gate::with_fs(gate_dir, slow), dir, vm);
                });
            }
        });
        assert_all_seen(&Gate::new(&gate_dir), dir.path());
    }
}

/// In a child: does what the variables say, then ends without running any other test.
fn child() -> bool {
    let Ok(dir) = std::env::var("GATE_TEST_DIR") else {
        return false;
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let (dir, kill_at) = (Path::new(&dir), number("GATE_TEST_KILL_AT"));
    let step = Cell::new(0);
    let fs = Watched(|_, _| {
        if Some(step.get()) == kill_at {
            std::process::abort();
        }
        step.set(step.get() + 1);
    });
    event(
        &Gate::with_fs(dir.join("gate"), fs),
        dir,
        number("GATE_TEST_VM").unwrap(),
    );
    true
}

fn spawn(test: &str, dir: &Path, vm: u32, kill_at: Option<u32>) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env("GATE_TEST_DIR", dir);
    command.env("GATE_TEST_VM", vm.to_string());
    if let Some(at) = kill_at {
        command.env("GATE_TEST_KILL_AT", at.to_string());
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_burst_of_processes_loses_nothing() {
    if child() {
        return;
    }
    for _ in 0..3 {
        let dir = TempDir::new().unwrap();
        let test = "gate::burst::a_burst_of_processes_loses_nothing";
        let children: Vec<_> = (0..MARKERS).map(|vm| spawn(test, dir.path(), vm, None)).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        assert_all_seen(&Gate::new(dir.path().join("gate")), dir.path());
    }
}

/// As above, with real processes: the kernel releases what a dead one held.
#[test]
fn a_killed_process_leaves_its_marks_and_no_lock() {
    if child() {
        return;
    }
    for kill_at in 0.. {
        let dir = TempDir::new().unwrap();
        let gate = Gate::new(dir.path().join("gate"));
        gate.mark(ID, &vms([1])).unwrap();
        let test = "gate::burst::a_killed_process_leaves_its_marks_and_no_lock";
        let status = spawn(test, dir.path(), 2, Some(kill_at)).wait().unwrap();
        let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        let mut seen: BTreeSet<u32> = log.lines().filter_map(|line| line.parse().ok()).collect();
        let pending = !gate.pending().unwrap().is_empty();
        assert!(pending || seen.contains(&1), "killed at {kill_at}");
        assert!(
            gate.forget(ID).unwrap() != Forgotten::Busy,
            "the lock outlived its holder"
        );
        run(&gate, &mut seen).unwrap();
        assert!(seen.contains(&1), "killed at {kill_at}");
        assert!(gate.pending().unwrap().is_empty());
        if status.success() {
            assert!(kill_at > 15, "only {kill_at} steps were tried");
            break;
        }
    }
}
