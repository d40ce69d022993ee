//! The cloud in memory, and what drives it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oneks::config::Config;
use oneks::drivers::Executables;
use oneks::event::Kind;
use oneks::layout::Layout;
use oneks::service::Service;
use oneks::{hook, registration, sweep};
use oneks_core::names::DOCUMENT_TYPE;
use oneks_core::state::ClusterState;
use oneks_core::status::{Status, Truth};
use oneks_sandbox::{ALICE_PASSWORD, Execution, ExecutionRecord, Remains, Sandbox, capi};
use opennebula::calls::UpdateMode;
use opennebula::template::{Template, json_for_cdata};
use opennebula::{Client, Session};
use serde_json::{Value, json};

use super::fault::Fault;
use super::mortal::Mortal;
use crate::failure::Failure;

/// Seconds between two sweeps, as the timer has them.
const SWEEP_EVERY: u64 = 60;

/// Virtual seconds that a step may take. Operations have limits of their own, which are shorter.
const LIMIT: u64 = 24 * 3600;

/// How often a failed operation is recovered.
const RECOVERIES: u32 = 3;

/// The cloud, with hooks and timer.
pub struct Stage {
    sandbox: Sandbox,
    service: Service,
    user: Client,
    cluster: u32,
    start: u64,
    next_sweep: u64,
    before: Remains,
    mortal: Arc<Mortal>,
    /// Lines of history that were told: time and text.
    told: Vec<(u64, String)>,
    _folder: tempfile::TempDir,
}

/// Something that happened.
pub struct Moment {
    /// Seconds since the beginning.
    pub at: u64,
    /// What.
    pub text: String,
}

/// What it cost and left.
pub struct Report {
    /// Virtual seconds.
    pub seconds: u64,
    /// Calls by method.
    pub calls: BTreeMap<String, usize>,
    /// Runs of hooks that ended in the middle.
    pub killed: u64,
    /// Objects that were not there before.
    pub left_over: Vec<String>,
}

impl Stage {
    /// Where a cluster lives in this cloud.
    pub fn deployment() -> Value {
        json!({
            "cluster": {"id": 0},
            "networks": {"public": {"id": 0}, "private": {"id": 1}},
            "datastores": {"image": {"id": 1}},
        })
    }

    /// A usual cloud with guests, in which these things go wrong.
    pub fn set(mut layout: Layout, seed: u64, faults: &[Fault]) -> Result<Self, Failure> {
        let other = |e: &dyn std::fmt::Display| Failure::Other(format!("the cloud in memory: {e}"));
        let folder = tempfile::tempdir()?;
        layout.locks = folder.path().join("locks");
        let shim = std::env::current_exe().ok();
        let guests = capi::Guests::new(capi::Config {
            shim,
            ..capi::Config::default()
        });
        let config = oneks_sandbox::Config {
            seed,
            ..oneks_sandbox::Config::default()
        };
        let (admin, server) = (config.oneadmin_password.clone(), config.server_secret.clone());
        let sandbox = Sandbox::with_guests(config, Box::new(guests));
        sandbox.standard_cloud().map_err(|e| other(&e))?;
        let session = |text: String| Session::parse(&text).map_err(|e| other(&e));
        let percent = faults.iter().filter_map(Fault::kill_hooks).max().unwrap_or(0);
        let mortal = Arc::new(Mortal::new(sandbox.clone(), percent, seed));
        let transport: Arc<dyn opennebula::Transport> = mortal.clone();
        let admin = session(format!("oneadmin:{admin}"))?;
        let user = Client::new(
            Arc::new(sandbox.clone()) as Arc<dyn opennebula::Transport>,
            session(format!("alice:{ALICE_PASSWORD}"))?,
        );
        let config = Config::default();
        let drivers = Executables::new(&layout.drivers, Duration::from_secs(config.driver_timeout));
        let service = Service::new(
            config,
            &layout,
            Box::new(drivers),
            transport,
            admin,
            &format!("serveradmin:{server}"),
        )
        .map_err(|e| Failure::Other(format!("{e:#}")))?;
        for change in registration::compare(&registration::table()?, &[], &layout.hooks) {
            change.carry_out(&service.admin, &layout.hooks)?;
        }
        sandbox.reset_calls();
        sandbox.faults(|all| faults.iter().for_each(|fault| fault.arrange(all)));
        let start = sandbox.now();
        let before = sandbox.remains();
        Ok(Self {
            sandbox,
            service,
            user,
            cluster: 0,
            start,
            next_sweep: start + SWEEP_EVERY,
            before,
            mortal,
            told: Vec::new(),
            _folder: folder,
        })
    }

    /// Something that happens now.
    pub fn moment(&self, text: &str) -> Moment {
        Moment {
            at: self.sandbox.now() - self.start,
            text: text.to_owned(),
        }
    }

    /// Creates the cluster.
    pub fn create(&mut self, spec: &Value) -> Result<(), Failure> {
        let text = attributes(&[("NAME", "simulated"), ("SPEC", &json_for_cdata(spec))])?;
        self.cluster = self.user.document_allocate(&text, DOCUMENT_TYPE)?;
        Ok(())
    }

    /// Changes its specification.
    pub fn write(&self, spec: &Value) -> Result<(), Failure> {
        self.set_attribute("SPEC", &json_for_cdata(spec))
    }

    /// Orders its deletion.
    pub fn delete(&self) -> Result<(), Failure> {
        self.set_attribute("DELETE", "YES")
    }

    fn set_attribute(&self, name: &str, value: &str) -> Result<(), Failure> {
        Ok(self
            .user
            .document_update(self.cluster, &attributes(&[(name, value)])?, UpdateMode::Merge)?)
    }

    /// Switches a machine off behind OpenNebula's back.
    pub fn power_off(&self, part: &str) -> Result<String, Failure> {
        let vms = self.sandbox.live_vms();
        let vm = vms
            .iter()
            .find(|vm| vm.meta.name.contains(part) && self.sandbox.power_off_outside(vm.meta.id));
        vm.map(|vm| format!("VM {} ({})", vm.meta.id, vm.meta.name))
            .ok_or_else(|| Failure::NotFound(format!("poweroff: no machine with {part} in its name runs")))
    }

    /// Lets things happen until the cluster runs as it shall.
    pub fn until_running(
        &mut self,
        tell: &mut impl FnMut(Moment) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let end = self.sandbox.now() + LIMIT;
        let mut recoveries = 0;
        // What was ordered is noticed in no time, or by the next sweep.
        let noticed = self.sandbox.now() + SWEEP_EVERY + 1;
        loop {
            self.step(end);
            self.tell_history(tell)?;
            let Some(status) = self.status() else { continue };
            if let Some(condition) = status.condition("Accepted").filter(|c| c.status == Truth::False) {
                return Err(Failure::Refused(condition.message.clone()));
            }
            let settled = status.groups().all(|g| g.goal == g.target && g.work.is_none());
            if status.state == ClusterState::Running && settled && self.sandbox.now() >= noticed {
                return Ok(());
            }
            if status.state.as_str().ends_with("_FAILURE") {
                if recoveries == RECOVERIES {
                    let why = status.last_error.map(|e| e.message).unwrap_or_default();
                    return Err(Failure::OperationFailed(format!("{}: {why}", status.state)));
                }
                recoveries += 1;
                tell(self.moment("recover"))?;
                self.set_attribute("RECOVER", &format!("{}-{recoveries}", self.sandbox.now()))?;
                self.pass_time(SWEEP_EVERY + 1);
            }
            if self.sandbox.now() >= end {
                let step = status.operation.map(|o| o.step).unwrap_or_default();
                return Err(Failure::TimedOut(format!(
                    "{} for {}: {step}",
                    status.state,
                    crate::time::length(LIMIT)
                )));
            }
        }
    }

    /// Lets things happen until the cluster is gone.
    pub fn until_gone(
        &mut self,
        tell: &mut impl FnMut(Moment) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let end = self.sandbox.now() + LIMIT;
        while self.sandbox.documents().iter().any(|d| d.meta.id == self.cluster) {
            if self.sandbox.now() >= end {
                return Err(Failure::TimedOut("the cluster is not gone".to_owned()));
            }
            self.step(end);
            self.tell_history(tell)?;
        }
        tell(self.moment("the cluster is gone"))
    }

    /// What it cost and left so far.
    pub fn report(&self) -> Report {
        let calls = self.sandbox.calls();
        Report {
            seconds: self.sandbox.now() - self.start,
            calls: calls
                .by_method()
                .into_iter()
                .map(|(method, count)| (method.to_owned(), count))
                .collect(),
            killed: self.mortal.killed(),
            left_over: self.sandbox.remains().since(&self.before),
        }
    }

    fn status(&self) -> Option<Status> {
        let document = self
            .sandbox
            .documents()
            .into_iter()
            .find(|d| d.meta.id == self.cluster)?;
        Status::parse(document.template.get("STATUS"), self.cluster).ok()
    }

    /// Tells what is new in the history.
    fn tell_history(&mut self, tell: &mut impl FnMut(Moment) -> Result<(), Failure>) -> Result<(), Failure> {
        let history = self.status().map(|s| s.history).unwrap_or_default();
        for entry in history {
            let line = (entry.at, entry.text);
            if !self.told.contains(&line) {
                tell(Moment {
                    at: line.0.saturating_sub(self.start),
                    text: line.1.clone(),
                })?;
                self.told.push(line);
            }
        }
        Ok(())
    }

    fn pass_time(&mut self, seconds: u64) {
        let end = self.sandbox.now() + seconds;
        while self.sandbox.now() < end {
            self.step(end);
        }
    }

    /// Runs what is due, or lets time pass to what is due next.
    fn step(&mut self, end: u64) {
        if self.sandbox.now() >= self.next_sweep {
            // What goes wrong with a cluster is in its STATUS.
            if let Err(e) = sweep::sweep(&self.service, self.sandbox.now()) {
                log::warn!("{e}");
            }
            self.next_sweep = self.sandbox.now() + SWEEP_EVERY;
        }
        let until = self.next_sweep.min(end);
        let service = &self.service;
        let mortal = &self.mortal;
        let mut runner = |execution: &Execution, now: u64| mortal.during(|| run(service, execution, now));
        let once = Cell::new(false);
        self.sandbox.run_until(&mut runner, until, |_| once.replace(true));
        if !self.sandbox.has_events() {
            let next = self.sandbox.next_wake().unwrap_or(until).min(until);
            self.sandbox.advance_to(next.max(self.sandbox.now()));
        }
    }
}

/// Runs a hook in this process.
fn run(service: &Service, execution: &Execution, now: u64) -> ExecutionRecord {
    let name = Path::new(&execution.command)
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let input = execution.stdin.clone().unwrap_or_default();
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let result = kind.map(|kind| hook::event(service, kind, input.as_bytes(), now));
    ExecutionRecord {
        code: i32::from(!matches!(result, Some(Ok(())))),
        ..ExecutionRecord::default()
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Result<String, Failure> {
    let mut template = Template::new();
    for (name, value) in pairs {
        template.set(name, *value);
    }
    template
        .to_xml("TEMPLATE")
        .map_err(|e| Failure::Refused(e.to_string()))
}
