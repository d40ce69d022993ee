//! A cloud with one front-end in virtual time, that can be forked at any moment between two processes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
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

use super::process::{Deed, Line, Processes, Watched};
use crate::support::life::{ONEADMIN, register};
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

/// The cloud and its front-end.
pub struct Stage {
    pub sandbox: Sandbox,
    /// What lives inside the VMs, with the driver `capone`.
    pub guests: Option<Handle>,
    front: Arc<Front>,
    locks: tempfile::TempDir,
    known: Arc<Known>,
    prefix: Arc<Prefix>,
}

/// What runs the hooks and the sweep.
struct Front {
    sandbox: Sandbox,
    service: Service,
    gate: Gate<Watched>,
    processes: Processes,
    state: Mutex<State>,
}

/// What the front-end knows from one process to the next, and what a test wants to know of it.
#[derive(Clone)]
struct State {
    /// Events on their way.
    queue: VecDeque<Execution>,
    next_sweep: u64,
    sweeping: bool,
    overlap: Option<Overlap>,
    seen: Seen,
}

/// What was seen of the processes.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What processes said at their end, in order.
    pub errors: Vec<String>,
    /// How many processes were killed.
    pub deaths: usize,
    /// How many processes there were.
    pub processes: usize,
    /// Names that two live objects of one kind and owner had at any time.
    pub twins: BTreeSet<String>,
}

/// Answers take their time, and meanwhile other processes run.
#[derive(Clone)]
pub struct Overlap {
    /// How many answers of 100.
    pub percent: u64,
    /// How many seconds at most.
    pub seconds: u64,
    pub dice: Dice,
}

impl Overlap {
    /// How long the next answer takes, if it takes its time.
    fn strikes(&mut self) -> Option<u64> {
        let strikes = self.dice.below(100) < self.percent;
        strikes.then(|| self.dice.below(self.seconds + 1))
    }
}

/// Most hooks that the hook manager runs at once.
const SLOTS: usize = 10;

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
        let state = State {
            queue: VecDeque::new(),
            next_sweep: sandbox.now() + SWEEP_EVERY,
            sweeping: true,
            overlap: None,
            seen: Seen::default(),
        };
        Self::around(sandbox, guests, known, prefix, state)
    }

    fn around(
        sandbox: Sandbox,
        guests: Option<Handle>,
        known: Arc<Known>,
        prefix: Arc<Prefix>,
        state: State,
    ) -> Self {
        let locks = tempfile::tempdir().unwrap();
        let layout = Layout {
            locks: locks.path().to_owned(),
            ..Layout::below(prefix.root())
        };
        let line = Line {
            sandbox: sandbox.clone(),
            processes: Processes::default(),
            meanwhile: Arc::default(),
        };
        let admin = Session::parse(&format!("oneadmin:{ONEADMIN_PASSWORD}")).unwrap();
        let server = format!("serveradmin:{SERVER_SECRET}");
        let drivers = Box::new(Remembering(Arc::clone(&known)));
        let transport = Arc::new(line.clone());
        let mut service =
            Service::new(Config::default(), &layout, drivers, transport, admin, &server).unwrap();
        // The pauses between attempts are the caller's time, which nobody has.
        service.admin = service.admin.clone().with_sleep(|_| ());
        let front = Arc::new(Front {
            sandbox: sandbox.clone(),
            service,
            gate: Gate::with_fs(locks.path(), Watched(line.processes.clone())),
            processes: line.processes,
            state: Mutex::new(state),
        });
        let weak = Arc::downgrade(&front);
        let meanwhile = move || {
            if let Some(front) = weak.upgrade() {
                front.overlap();
            }
        };
        assert!(line.meanwhile.set(Box::new(meanwhile)).is_ok());
        Self {
            sandbox,
            guests,
            front,
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
        let fork = Self::around(
            self.sandbox.fork(guests),
            handle,
            Arc::clone(&self.known),
            Arc::clone(&self.prefix),
            self.front.state().clone(),
        );
        for file in std::fs::read_dir(self.locks.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), fork.locks.path().join(file.file_name())).unwrap();
        }
        fork
    }

    /// What was seen of the processes.
    pub fn seen(&self) -> Seen {
        self.front.state().seen.clone()
    }

    /// Forgets calls and processes so far.
    pub fn begin_anew(&self) {
        self.front.state().seen = Seen::default();
        self.sandbox.reset_calls();
    }

    /// Has answers take their time, while other processes run.
    pub fn set_overlap(&self, overlap: Option<Overlap>) {
        self.front.state().overlap = overlap;
    }

    /// Does OpenNebula answer?
    pub fn is_up(&self) -> bool {
        let faults = self.sandbox.faults(|f| std::mem::take(&mut f.calls));
        let answer = self.sandbox.ask(ONEADMIN, "one.system.version", &[]);
        self.sandbox.faults(|f| f.calls = faults);
        answer.is_ok()
    }

    /// Starts or stops the timer of the sweep.
    pub fn set_sweeping(&self, sweeping: bool) {
        self.front.state().sweeping = sweeping;
    }

    /// The front-end starts anew: its locks and marks lay in memory.
    pub fn reboot(&self) {
        self.front.state().queue.clear();
        for file in std::fs::read_dir(self.locks.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
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
    pub fn lose_all_events(&self) {
        self.front.state().queue.clear();
        self.sandbox.take_events();
        self.sandbox.faults(|f| f.events.lose = 100);
    }

    /// Lets time pass to the next process, at most to `end`.
    pub fn next(&self, end: u64) -> Option<Cause> {
        self.front.next(end)
    }

    /// Undoes [`next`](Self::next): what would have been run has yet to come.
    pub fn put_back(&self, cause: &Cause) {
        let mut state = self.front.state();
        match cause {
            Cause::Event(execution) => state.queue.push_front((**execution).clone()),
            Cause::Sweep => state.next_sweep = self.sandbox.now(),
        }
    }

    /// Runs a process to its end, or until it is killed.
    pub fn run(&self, cause: &Cause, kill_before: Option<usize>) -> Ended {
        self.front.run(cause, kill_before)
    }

    /// Lets things go on until the condition holds, for at most `limit` virtual seconds. Did it?
    pub fn until(&self, limit: u64, holds: impl Fn(&Self) -> bool) -> bool {
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
    pub fn pass_time(&self, seconds: u64) {
        self.until(seconds, |_| false);
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
        let errors = self.seen().errors;
        text.push(format!(
            "last errors: {:#?}\n",
            &errors[errors.len().saturating_sub(15)..]
        ));
        text.concat()
    }
}

impl Front {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn next(&self, end: u64) -> Option<Cause> {
        let mut state = self.state();
        loop {
            if let Some(execution) = state.queue.pop_front() {
                return Some(Cause::Event(Box::new(execution)));
            }
            state.queue.extend(self.sandbox.take_events());
            if !state.queue.is_empty() {
                continue;
            }
            let now = self.sandbox.now();
            if now >= state.next_sweep {
                state.next_sweep = now + SWEEP_EVERY;
                if state.sweeping {
                    return Some(Cause::Sweep);
                }
            }
            if now >= end {
                return None;
            }
            let until = state.next_sweep.min(end);
            let next = self.sandbox.next_wake().unwrap_or(until);
            self.sandbox.advance_to(next.clamp(now, until));
        }
    }

    fn run(&self, cause: &Cause, kill_before: Option<usize>) -> Ended {
        let now = self.sandbox.now();
        let (service, gate) = (&self.service, &self.gate);
        let mut errors = Vec::new();
        let killed = match cause {
            Cause::Sweep => {
                self.processes.begin(kill_before, None);
                let result = survive(|| sweep::sweep_through(service, gate, now));
                match &result {
                    Some(Ok(report)) => errors.clone_from(&report.failed),
                    Some(Err(e)) => errors.push(e.to_string()),
                    None => {}
                }
                result.is_none()
            }
            Cause::Event(execution) => {
                let limit = execution.timeout.map(|seconds| now + seconds);
                self.processes.begin(kill_before, limit);
                let input = execution.stdin.clone().unwrap_or_default();
                let kind = kind(&execution.command);
                let result = survive(|| hook::event_through(service, gate, kind, input.as_bytes(), now));
                let code = match &result {
                    Some(Ok(())) => 0,
                    Some(Err(e)) => {
                        errors.push(format!("{}: {e:#}", execution.hook_name));
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
        let deeds = self.processes.end();
        let twins = if deeds.iter().any(Deed::makes) {
            self.find_twins()
        } else {
            Vec::new()
        };
        let seen = &mut self.state().seen;
        seen.processes += 1;
        seen.deaths += usize::from(killed);
        seen.errors.extend(errors);
        seen.twins.extend(twins);
        Ended { killed, deeds }
    }

    /// Perhaps an answer takes its time, and other processes run meanwhile.
    fn overlap(&self) {
        let Some(seconds) = self.state().overlap.as_mut().and_then(Overlap::strikes) else {
            return;
        };
        let end = self.sandbox.now() + seconds;
        while self.processes.count() < SLOTS
            && let Some(cause) = self.next(end)
        {
            self.run(&cause, None);
        }
        self.sandbox.advance_to(end);
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
}

/// Repeatable chance.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
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
