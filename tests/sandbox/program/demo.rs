//! The demo: the life of one cluster, with the installed executables as child processes.
//!
//! Everything is as in a real installation but OpenNebula itself: the hooks are registered by `oneks setup`, the user
//! works with `oneks`, and the sandbox's hook manager starts the hooks. Time runs faster.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use oneks_core::status::Status;
use oneks_sandbox::{Config, Installation, Remains, Sandbox, Serve, capi};
use serde_json::{Value, json};

/// Virtual seconds per second.
const SPEED: f64 = 60.0;

/// Real time after which something is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often the cloud is looked at. Looking costs no call.
const LOOK: Duration = Duration::from_millis(20);

/// Virtual seconds between two sweeps.
const SWEEP: u64 = 60;

/// What is wanted.
#[derive(clap::Args)]
pub struct DemoArguments {
    /// Root of the installation (`install.sh -d`)
    #[arg(long)]
    prefix: PathBuf,
    /// Print one line of JSON at the end, and nothing else on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// What did not go as it should.
pub fn demo(arguments: &DemoArguments) -> anyhow::Result<()> {
    let mut stage = Stage::set(arguments)?;
    let result = stage.play();
    if arguments.json {
        let line = stage.line(result.as_ref().err());
        writeln!(io::stdout(), "{line}")?;
    }
    if result.is_err() {
        stage.explain();
    }
    result
}

struct Stage {
    sandbox: Sandbox,
    running: Option<oneks_sandbox::Running>,
    prefix: PathBuf,
    home: PathBuf,
    screen: Screen,
    start: u64,
    before: Remains,
    id: Option<u32>,
    states: Vec<String>,
    reports: Vec<String>,
    seen: Vec<String>,
    figures: Value,
}

impl Stage {
    fn set(arguments: &DemoArguments) -> anyhow::Result<Self> {
        let prefix = std::path::absolute(&arguments.prefix)?;
        let home = prefix.join("var/.one");
        let start = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let config = Config {
            start,
            ..Config::default()
        };
        let shim = Some(std::env::current_exe()?);
        let guests = capi::Guests::new(capi::Config {
            shim,
            ..capi::Config::default()
        });
        let sandbox = Sandbox::with_guests(config.clone(), Box::new(guests));
        sandbox.standard_cloud()?;
        let installation = Installation {
            directory: home.clone(),
            hooks: prefix.join("lib/oneks/hooks"),
            environment: vec![("ONE_LOCATION".to_owned(), prefix.display().to_string())],
            serve: Serve {
                port: 0,
                speed: SPEED,
                ..Serve::default()
            },
            timer: Some((SWEEP, prefix.join("lib/oneks/hooks/sweep").display().to_string())),
        };
        let running = installation.start(&sandbox, &config)?;
        let before = sandbox.remains();
        Ok(Self {
            sandbox,
            running: Some(running),
            prefix,
            home,
            screen: Screen::new(),
            start,
            before,
            id: None,
            states: Vec::new(),
            reports: Vec::new(),
            seen: Vec::new(),
            figures: json!({}),
        })
    }

    fn play(&mut self) -> anyhow::Result<()> {
        let endpoint = self
            .running
            .as_ref()
            .map(oneks_sandbox::Running::endpoint)
            .unwrap_or_default();
        self.screen.title(&format!(
            "An OpenNebula in memory at {endpoint}; one second here is {SPEED} seconds there"
        ));
        self.oneks("one_auth", &["setup"])?;
        self.sandbox.reset_calls();

        self.screen.title("alice orders a cluster");
        let spec = self.home.join("demo.json");
        std::fs::write(&spec, serde_json::to_string_pretty(&specification())?)?;
        let spec = spec.display().to_string();
        self.oneks("alice_auth", &["create", "cluster", "demo", "--file", &spec])?;
        let id = self
            .sandbox
            .documents()
            .iter()
            .map(|d| d.meta.id)
            .max()
            .context("no document was made")?;
        self.id = Some(id);
        self.until("RUNNING")?;
        let made = self.sandbox.calls().len();
        let vms = self.sandbox.live_vms().len();

        self.screen.title("It runs");
        self.oneks("alice_auth", &["show", "cluster", "demo"])?;
        let kubeconfig = self.quietly("alice_auth", &["kubeconfig", "cluster", "demo"])?;
        let status = self.status().context("no status")?;
        let host = status
            .endpoint
            .map(|e| e.host)
            .context("the cluster has no endpoint")?;
        ensure!(
            kubeconfig.contains(&host),
            "the kubeconfig does not lead to the endpoint {host}"
        );
        Screen::line(
            self.now(),
            &format!("kubeconfig for https://{host}:6443, {} bytes", kubeconfig.len()),
        );

        self.screen.title("alice deletes it");
        self.oneks("alice_auth", &["delete", "cluster", "demo"])?;
        self.until("DONE")?;
        let left = self.sandbox.remains().since(&self.before);
        let calls = self.sandbox.calls();
        self.figures = json!({
            "endpoint": host,
            "kubeconfig": true,
            "vms": vms,
            "rpc_calls": calls.len(),
            "rpc_calls_create": made,
            "left_over": left.len(),
            "virtual_seconds": self.sandbox.now().saturating_sub(self.start),
        });
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        let foreign = calls
            .calls
            .iter()
            .filter(|c| !matches!(c.user.as_str(), "alice" | "oneadmin"))
            .count();
        ensure!(foreign == 0, "{foreign} calls were made as somebody else");
        self.screen.title(&format!(
            "Nothing is left. {} calls to OpenNebula, the commands' included; {made} of them until it ran",
            calls.len()
        ));
        Ok(())
    }

    /// Watches until the cluster is in this state; `DONE` is the document's end.
    fn until(&mut self, wanted: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let state = self.look();
            if state == wanted {
                return Ok(());
            }
            if state.ends_with("_FAILURE") {
                bail!("the cluster is in {state}");
            }
            if began.elapsed() > PATIENCE {
                bail!("the cluster is still in {state} after {} s", PATIENCE.as_secs());
            }
            thread::sleep(LOOK);
        }
    }

    /// Notes what is new.
    fn look(&mut self) -> String {
        let now = self.now();
        for vm in self.sandbox.vms() {
            let line = format!("VM {} {} {}", vm.meta.id, vm.meta.name, vm_state(&vm));
            self.tell(now, line);
        }
        for router in self.sandbox.vrouters() {
            self.tell(
                now,
                format!("virtual router {} {}", router.meta.id, router.meta.name),
            );
        }
        let status = self.status();
        let seed = status
            .as_ref()
            .and_then(|s| s.control_plane.seed.as_ref()?.report.clone());
        if let Some(report) = seed
            && self.reports.last() != Some(&report)
        {
            self.tell(now, format!("the seed reports {report}"));
            self.reports.push(report);
        }
        let state = match (&status, self.document().is_some()) {
            (Some(status), _) => status.state.to_string(),
            (None, true) => "PENDING".to_owned(),
            (None, false) => "DONE".to_owned(),
        };
        if self.states.last() != Some(&state) {
            self.screen.state(now, &state);
            self.states.push(state.clone());
        }
        state
    }

    fn tell(&mut self, now: u64, line: String) {
        if !self.seen.contains(&line) {
            Screen::line(now, &line);
            self.seen.push(line);
        }
    }

    fn now(&self) -> u64 {
        self.sandbox.now().saturating_sub(self.start)
    }

    fn document(&self) -> Option<oneks_sandbox::Document> {
        self.sandbox
            .documents()
            .into_iter()
            .find(|d| Some(d.meta.id) == self.id)
    }

    fn status(&self) -> Option<Status> {
        let document = self.document()?;
        Status::parse(document.template.get("STATUS"), document.meta.id).ok()
    }

    /// A user's command, as it looks in a terminal.
    fn oneks(&self, auth: &str, words: &[&str]) -> anyhow::Result<()> {
        self.screen.prompt(auth.trim_end_matches("_auth"), words);
        let output = self.run(auth, words)?;
        self.screen.text(&String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    fn quietly(&self, auth: &str, words: &[&str]) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.run(auth, words)?.stdout)?)
    }

    fn run(&self, auth: &str, words: &[&str]) -> anyhow::Result<Output> {
        let endpoint = self
            .running
            .as_ref()
            .map(oneks_sandbox::Running::endpoint)
            .unwrap_or_default();
        let output = Command::new(self.prefix.join("bin/oneks"))
            .args(words)
            .env_clear()
            .env("HOME", &self.home)
            .env("ONE_LOCATION", &self.prefix)
            .env("ONE_AUTH", self.home.join(auth))
            .env("ONE_XMLRPC", endpoint)
            .output()
            .with_context(|| format!("{} can't be started", self.prefix.join("bin/oneks").display()))?;
        if !output.status.success() {
            bail!(
                "oneks {} ended with {}: {}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output)
    }

    /// The final line.
    fn line(&self, error: Option<&anyhow::Error>) -> String {
        let mut line = json!({
            "ok": error.is_none(),
            "states": self.states,
            "seed_reports": self.reports,
            "rpc_calls": self.sandbox.calls().len(),
            "left_over": self.sandbox.remains().since(&self.before).len(),
        });
        if let (Some(line), Some(figures)) = (line.as_object_mut(), self.figures.as_object()) {
            line.extend(figures.clone());
            if let Some(error) = error {
                line.insert("error".to_owned(), format!("{error:#}").into());
            }
        }
        line.to_string()
    }

    /// What helps to understand a failure.
    fn explain(&self) {
        if let Some(status) = self.status() {
            for entry in status.history {
                self.screen.text(&format!(
                    "{} {}\n",
                    entry.at.saturating_sub(self.start),
                    entry.text
                ));
            }
        }
        self.screen.text(&tail(&self.prefix.join("var/oneks.log")));
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    lines[from..].join("\n") + "\n"
}

fn vm_state(vm: &oneks_sandbox::Vm) -> String {
    let state = format!("{:?}", vm.state);
    if state == "Active" {
        format!("{:?}", vm.lcm_state).to_uppercase()
    } else {
        state.to_uppercase()
    }
}

fn specification() -> Value {
    json!({
        "kubernetes_version": "v1.34.2",
        "deployment": {
            "cluster": {"id": 0},
            "networks": {"public": {"id": 0}, "private": {"id": 1}},
            "datastores": {"image": {"id": 1}},
        },
        "control_plane": {"flavour": "standalone"},
        "node_groups": [{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 2}}],
    })
}

/// Progress goes to standard error, so that `--json` leaves standard output alone.
struct Screen {
    colour: bool,
}

impl Screen {
    fn new() -> Self {
        Self {
            colour: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn write(text: &str) {
        // A closed terminal is no reason to stop.
        let _ = io::stderr().write_all(text.as_bytes());
    }

    fn title(&self, text: &str) {
        Self::write(&format!("\n{}\n", self.paint("1", text)));
    }

    fn line(now: u64, text: &str) {
        Self::write(&format!("  {:>3}:{:02}  {text}\n", now / 60, now % 60));
    }

    fn state(&self, now: u64, state: &str) {
        let code = if state.ends_with("FAILURE") {
            "31;1"
        } else {
            "32;1"
        };
        Self::line(now, &format!("cluster {}", self.paint(code, state)));
    }

    fn prompt(&self, user: &str, words: &[&str]) {
        let user = if user == "one" { "oneadmin" } else { user };
        let words: Vec<&str> = words.iter().map(|w| w.rsplit('/').next().unwrap_or(w)).collect();
        Self::write(&format!(
            "{} oneks {}\n",
            self.paint("2", &format!("{user}$")),
            words.join(" ")
        ));
    }

    fn text(&self, text: &str) {
        for line in text.lines() {
            Self::write(&format!("    {}\n", self.paint("2", line)));
        }
    }
}
