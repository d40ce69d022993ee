//! A cloud with one front-end in virtual time, that can be forked at any moment between two processes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneks::config::Config;
use oneks::drivers::{Drivers, Executables};
use oneks::event::Kind;
use oneks::gate::Gate;
use oneks::layout::Layout;
use oneks::service::Service;
use oneks::{hook, sweep};
use oneks_core::status::Status;
use oneks_driver::{Action, DriverError};
use oneks_sandbox::capi::{self, Handle};
use oneks_sandbox::{CallerDied, Execution, ExecutionRecord, Sandbox, VmState};
use opennebula::session::Session;
use opennebula::template::Template;
use opennebula::xmlrpc::Value;

use super::process::{Deed, Line, Process, Watched};
use crate::support::life::register;
use crate::support::prefix::{ONEADMIN_PASSWORD, Prefix, SERVER_SECRET};

/// Seconds between two sweeps, as the timer has them.
const SWEEP_EVERY: u64 = 60;

/// The drivers' answers. A driver is a function of its question, so that each is asked once.
struct Known {
    drivers: Executables,
    answers: Mutex<HashMap<String, Result<serde_json::Value, DriverError>>>,
}

struct Remembering(Arc<Known>);

impl Drivers for Remembering {
    fn ask(&self, driver: &str, action: &Action) -> Result<serde_json::Value, DriverError> {
        let question = format!("{driver} {}", serde_json::to_string(action).unwrap());
        if let Some(known) = self.0.answers.lock().unwrap().get(&question) {
            return known.clone();
        }
        let answer = self.0.drivers.ask(driver, action);
        self.0.answers.lock().unwrap().insert(question, answer.clone());
        answer
    }
}

/// What starts a process.
#[derive(Clone)]
pub enum Cause {
    Event(Box<Execution>),
    Sweep,
}

impl Cause {
    /// What it is, in a word.
    pub fn name(&self) -> &str {
        match self {
            Self::Event(execution) => &execution.key,
            Self::Sweep => "sweep",
        }
    }
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub killed: bool,
    pub deeds: Vec<Deed>,
}

/// The cloud, its front-end, and the events that are on their way.
pub struct Stage {
    pub sandbox: Sandbox,
    /// What lives inside the VMs, with the driver `capone`.
    pub guests: Option<Handle>,
    /// What processes said at their end, in order.
    pub errors: Vec<String>,
    /// How many processes were killed.
    pub deaths: usize,
    /// How many processes there were.
    pub processes: usize,
    /// Names that two live objects of one kind and owner had at any time.
    pub twins: BTreeSet<String>,
    service: Service,
    gate: Gate<Watched>,
    process: Process,
    queue: VecDeque<Execution>,
    next_sweep: u64,
    locks: tempfile::TempDir,
    known: Arc<Known>,
    prefix: Arc<Prefix>,
}

impl Stage {
    /// A cloud of the dummy hypervisor, with the hooks registered.
    pub fn plain() -> Self {
        Self::of(Sandbox::new(config()), None)
    }

    /// A cloud whose VMs are alive, with the hooks registered.
    pub fn with_guests() -> Self {
        let guests = capi::Guests::new(capi::Config {
            shim: Some(env!("CARGO_BIN_EXE_oneks-sandbox").into()),
            ..capi::Config::default()
        });
        let handle = guests.handle();
        Self::of(Sandbox::with_guests(config(), Box::new(guests)), Some(handle))
    }

    fn of(sandbox: Sandbox, guests: Option<Handle>) -> Self {
        sandbox.standard_cloud().unwrap();
        let prefix = Arc::new(Prefix::new("http://127.0.0.1:1/RPC2"));
        let layout = Layout::below(prefix.root());
        register(&sandbox, &layout.hooks);
        let known = Arc::new(Known {
            drivers: Executables::new(&layout.drivers, Duration::from_secs(120)),
            answers: Mutex::default(),
        });
        let next_sweep = sandbox.now() + SWEEP_EVERY;
        Self::around(sandbox, guests, known, prefix, next_sweep)
    }

    fn around(
        sandbox: Sandbox,
        guests: Option<Handle>,
        known: Arc<Known>,
        prefix: Arc<Prefix>,
        next_sweep: u64,
    ) -> Self {
        let locks = tempfile::tempdir().unwrap();
        let layout = Layout {
            locks: locks.path().to_owned(),
            ..Layout::below(prefix.root())
        };
        let process = Process::default();
        let line = Line {
            sandbox: sandbox.clone(),
            process: process.clone(),
        };
        let admin = Session::parse(&format!("oneadmin:{ONEADMIN_PASSWORD}")).unwrap();
        let server = format!("serveradmin:{SERVER_SECRET}");
        let drivers = Box::new(Remembering(Arc::clone(&known)));
        let config = Config::default();
        let mut service = Service::new(config, &layout, drivers, Arc::new(line), admin, &server).unwrap();
        // The pauses between attempts are the caller's time, which nobody has.
        service.admin = service.admin.clone().with_sleep(|_| ());
        Self {
            sandbox,
            guests,
            errors: Vec::new(),
            deaths: 0,
            processes: 0,
            twins: BTreeSet::new(),
            service,
            gate: Gate::with_fs(locks.path(), Watched(process.clone())),
            process,
            queue: VecDeque::new(),
            next_sweep,
            locks,
            known,
            prefix,
        }
    }

    /// The same moment once more. What happens to one of the two is nothing to the other.
    pub fn fork(&self) -> Self {
        let guests = self.guests.as_ref().map(Handle::fork);
        let handle = guests.as_ref().map(capi::Guests::handle);
        let guests = guests.map(|guests| Box::new(guests) as Box<dyn oneks_sandbox::Guests>);
        let mut fork = Self::around(
            self.sandbox.fork(guests),
            handle,
            Arc::clone(&self.known),
            Arc::clone(&self.prefix),
            self.next_sweep,
        );
        for file in std::fs::read_dir(self.locks.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), fork.locks.path().join(file.file_name())).unwrap();
        }
        fork.queue.clone_from(&self.queue);
        fork.errors.clone_from(&self.errors);
        fork.twins.clone_from(&self.twins);
        (fork.deaths, fork.processes) = (self.deaths, self.processes);
        fork
    }

    /// A call as a user, which must succeed. The faults are for the hooks.
    pub fn ask(&self, session: &str, method: &str, params: &[Value]) -> Value {
        let faults = self.sandbox.faults(|f| std::mem::take(&mut f.calls));
        let answer = self.sandbox.ask(session, method, params);
        self.sandbox.faults(|f| f.calls = faults);
        answer.unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    /// Creates a cluster as a user.
    pub fn create(&self, session: &str, name: &str, spec: &serde_json::Value) -> u32 {
        let mut template = Template::new();
        template.set("NAME", name);
        template.set("SPEC", opennebula::template::json_for_cdata(spec));
        let text = template.to_xml("TEMPLATE").unwrap();
        let id = self.ask(session, "one.document.allocate", &[text.into(), 120.into()]);
        u32::try_from(id.as_int().unwrap()).unwrap()
    }

    /// Sets an attribute of a cluster's document as a user.
    pub fn set(&self, session: &str, id: u32, attribute: &str, value: &str) {
        let mut template = Template::new();
        template.set(attribute, value);
        let text = template.to_xml("TEMPLATE").unwrap();
        self.ask(
            session,
            "one.document.update",
            &[id.into(), text.into(), 1.into()],
        );
    }

    /// The document's attribute.
    pub fn attribute(&self, id: u32, name: &str) -> Option<String> {
        let document = self.sandbox.documents().into_iter().find(|d| d.meta.id == id)?;
        document.template.get(name).map(str::to_owned)
    }

    /// The cluster's state, or `GONE` without a document.
    pub fn state(&self, id: u32) -> String {
        if self.sandbox.documents().iter().all(|d| d.meta.id != id) {
            return "GONE".to_owned();
        }
        self.attribute(id, "STATE").unwrap_or_default()
    }

    /// The cluster's status, if there is one that can be read.
    pub fn status(&self, id: u32) -> Option<Status> {
        Status::parse(self.attribute(id, "STATUS").as_deref(), id).ok()
    }

    /// From now on no event arrives: only the sweep is left.
    pub fn lose_all_events(&mut self) {
        self.queue.clear();
        self.sandbox.take_events();
        self.sandbox.faults(|f| f.events.lose = 100);
    }

    /// Lets time pass to the next process, at most to `end`.
    pub fn next(&mut self, end: u64) -> Option<Cause> {
        loop {
            if let Some(execution) = self.queue.pop_front() {
                return Some(Cause::Event(Box::new(execution)));
            }
            self.queue.extend(self.sandbox.take_events());
            if !self.queue.is_empty() {
                continue;
            }
            let now = self.sandbox.now();
            if now >= self.next_sweep {
                self.next_sweep = now + SWEEP_EVERY;
                return Some(Cause::Sweep);
            }
            if now >= end {
                return None;
            }
            let until = self.next_sweep.min(end);
            let next = self.sandbox.next_wake().unwrap_or(until);
            self.sandbox.advance_to(next.clamp(now, until));
        }
    }

    /// Runs a process to its end, or until it is killed.
    pub fn run(&mut self, cause: &Cause, kill_before: Option<usize>) -> Ended {
        self.processes += 1;
        let now = self.sandbox.now();
        let (service, gate) = (&self.service, &self.gate);
        let killed = match cause {
            Cause::Sweep => {
                self.process.begin(kill_before, None);
                match survive(|| sweep::sweep_through(service, gate, now)) {
                    Some(Ok(report)) => {
                        self.errors.extend(report.failed);
                        false
                    }
                    Some(Err(e)) => {
                        self.errors.push(e.to_string());
                        false
                    }
                    None => true,
                }
            }
            Cause::Event(execution) => {
                let limit = execution.timeout.map(|seconds| now + seconds);
                self.process.begin(kill_before, limit);
                let input = execution.stdin.clone().unwrap_or_default();
                let kind = kind(&execution.command);
                let result = survive(|| hook::event_through(service, gate, kind, input.as_bytes(), now));
                let code = match &result {
                    Some(Ok(())) => 0,
                    Some(Err(e)) => {
                        self.errors.push(format!("{}: {e:#}", execution.hook_name));
                        75
                    }
                    None => 255,
                };
                let record = ExecutionRecord {
                    code,
                    ..ExecutionRecord::default()
                };
                self.sandbox.record_execution(execution, record);
                result.is_none()
            }
        };
        self.deaths += usize::from(killed);
        let deeds = self.process.deeds();
        if deeds.iter().any(Deed::makes) {
            let twins = self.find_twins();
            self.twins.extend(twins);
        }
        Ended { killed, deeds }
    }

    /// Lets things go on until the condition holds, for at most `limit` virtual seconds. Did it?
    pub fn until(&mut self, limit: u64, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.sandbox.now() + limit;
        while !holds(self) {
            match self.next(end) {
                Some(cause) => drop(self.run(&cause, None)),
                None => return holds(self),
            }
        }
        true
    }

    /// Lets this many virtual seconds pass.
    pub fn pass_time(&mut self, seconds: u64) {
        self.until(seconds, |_| false);
    }

    /// Names that two live objects of the same kind and owner have: one of them was made twice.
    fn find_twins(&self) -> Vec<String> {
        let sandbox = &self.sandbox;
        let mut count: BTreeMap<String, u32> = BTreeMap::new();
        let mut add = |what: &str, uid: u32, name: &str| {
            *count.entry(format!("{what} {name} of user {uid}")).or_default() += 1;
        };
        for vm in sandbox.live_vms() {
            // One that is about to end may have its successor already.
            let ends = vm.lcm_state.name();
            let ends = ["EPILOG", "SHUTDOWN", "CLEANUP"]
                .iter()
                .any(|s| ends.starts_with(s));
            if vm.state != VmState::Done && !ends && vm.meta.name.contains("oneks-") {
                add("VM", vm.meta.uid, &vm.meta.name);
            }
        }
        for router in sandbox.vrouters() {
            add("virtual router", router.meta.uid, &router.meta.name);
        }
        for template in sandbox.templates() {
            add("template", template.meta.uid, &template.meta.name);
        }
        let twins = count.into_iter().filter(|(_, count)| *count > 1);
        twins.map(|(what, count)| format!("{count} × {what}")).collect()
    }

    /// Everything that helps to understand a failure.
    pub fn report(&self) -> String {
        let mut text: Vec<String> = vec![format!("now {}\n", self.sandbox.now())];
        for document in self.sandbox.documents() {
            let id = document.meta.id;
            text.push(format!("document {id}: {}\n", self.state(id)));
            if let Some(status) = self.status(id) {
                for line in &status.history {
                    text.push(format!("  {} {}\n", line.at, line.text));
                }
                text.push(format!(
                    "  {:?}\n  {:?}\n  {:?}\n",
                    status.operation, status.conditions, status.last_error
                ));
            }
        }
        for vm in self.sandbox.live_vms() {
            text.push(format!(
                "VM {} {} {:?} {:?}\n",
                vm.meta.id, vm.meta.name, vm.state, vm.lcm_state
            ));
        }
        text.push(format!("errors: {:#?}\n", self.errors));
        text.concat()
    }
}

fn config() -> oneks_sandbox::Config {
    oneks_sandbox::Config {
        server_secret: SERVER_SECRET.to_owned(),
        // A fork copies it all.
        hook_log_retention: 1,
        ..Default::default()
    }
}

fn kind(command: &str) -> Kind {
    let name = Path::new(command).file_name().and_then(|n| n.to_str());
    match name.unwrap_or_default() {
        "document" => Kind::Document,
        "vm_state" => Kind::VmState,
        "vm_update" => Kind::VmUpdate,
        "guest_exec" => Kind::GuestExec,
        "vrouter" => Kind::Vrouter,
        other => panic!("{other} is not a hook"),
    }
}

/// Runs what stands for a process. `None` if it was killed.
fn survive<T>(process: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(process)) {
        Ok(value) => Some(value),
        Err(death) if death.is::<CallerDied>() => None,
        Err(panic) => resume_unwind(panic),
    }
}
