//! Processes and what they cost.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From its start to its end.
    pub wall: Duration,
    /// Of the processor, in the program and for it in the kernel.
    pub cpu: Duration,
}

/// A program with an environment and a standard input.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name in the report.
    pub name: &'static str,
    path: PathBuf,
    environment: Vec<(String, String)>,
    arguments: &'static [&'static str],
}

/// Processor time of all children that have ended.
fn children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

impl Program {
    /// A program without environment.
    pub fn new(name: &'static str, path: impl Into<PathBuf>) -> Self {
        Self {
            name,
            path: path.into(),
            environment: Vec::new(),
            arguments: &[],
        }
    }

    /// The same with this environment.
    pub fn with(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same with these arguments.
    pub fn arguments(mut self, arguments: &'static [&'static str]) -> Self {
        self.arguments = arguments;
        self
    }

    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it with this standard input, as the hook manager does: through a pipe that it need not read.
    pub fn run(&self, input: &[u8]) -> Cost {
        let before = children();
        let start = Instant::now();
        let mut child = self.command(&self.path).args(self.arguments).spawn().unwrap();
        // A program that ends without reading breaks the pipe.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let wall = start.elapsed();
        assert!(output.status.success(), "{}: {output:?}", self.path.display());
        Cost {
            wall,
            cpu: children().saturating_sub(before),
        }
    }

    /// Most memory that was resident at once, in KiB, by GNU time: a parent of our own size would be counted.
    pub fn peak(&self, input: &[u8]) -> Option<f64> {
        let said = self.under("/usr/bin/time", &["-f", "%M"], input)?;
        said.lines().last()?.trim().parse().ok()
    }

    /// Instructions that it executes, by callgrind.
    pub fn instructions(&self, input: &[u8]) -> Option<f64> {
        let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let said = self.under("/usr/bin/valgrind", &options, input)?;
        let collected = said.lines().find_map(|line| line.split_once("Collected :"))?;
        collected.1.trim().parse().ok()
    }

    fn under(&self, tool: &str, options: &[&str], input: &[u8]) -> Option<String> {
        if !Path::new(tool).exists() {
            eprintln!("{tool} is missing; not measured");
            return None;
        }
        let mut command = self.command(Path::new(tool));
        let mut child = command
            .args(options)
            .arg(&self.path)
            .args(self.arguments)
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.path.display());
        Some(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The smallest Rust program, compiled as a release is.
pub fn empty(folder: &Path) -> Program {
    let path = folder.join("empty");
    assert!(compiled(folder, &path, &[]));
    Program::new("an empty program", path)
}

/// The same with a C library of its own, if the toolchain has one.
pub fn empty_static(folder: &Path) -> Option<Program> {
    let path = folder.join("empty_static");
    let target = format!("--target={}-unknown-linux-musl", std::env::consts::ARCH);
    compiled(folder, &path, &[&target]).then(|| Program::new("an empty static program", path))
}

fn compiled(folder: &Path, to: &Path, options: &[&str]) -> bool {
    let source = folder.join("empty.rs");
    std::fs::write(&source, "fn main() {}\n").unwrap();
    let usual = ["opt-level=z", "panic=abort", "strip=symbols", "lto=fat"];
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["--edition", "2024"])
        .args(usual.map(|option| format!("-C{option}")))
        .args(options)
        .arg("-o")
        .args([to, &source])
        .output();
    output.unwrap().status.success()
}

/// The middle one, in milliseconds.
pub fn median(times: impl IntoIterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.into_iter().collect();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
