//! The lives of clusters in the sandbox, in virtual time and in this process: the hooks' own code, fed with the events
//! that the sandbox publishes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneks::config::Config;
use oneks::drivers::Executables;
use oneks::event::Kind;
use oneks::layout::Layout;
use oneks::service::Service;
use oneks::{hook, registration, sweep};
use oneks_core::status::Status;
use oneks_sandbox::{CallRecord, CallerDied, Execution, ExecutionRecord, Guests, Remains, RunEnd, Sandbox};
use opennebula::session::Session;
use opennebula::transport::Transport;
use opennebula::xmlrpc::Value;

use super::answers::Remembered;
use super::prefix::{ONEADMIN_PASSWORD, Prefix, SERVER_SECRET};

/// Session of the administrator.
pub const ONEADMIN: &str = "oneadmin:opennebula";

/// Seconds between two sweeps, as the timer has them.
const SWEEP_EVERY: u64 = 60;

/// A cloud with the hooks registered, and everything that runs them.
pub struct Life {
    /// The cloud.
    pub sandbox: Sandbox,
    /// What the hooks work with.
    pub service: Service,
    /// Does the timer run?
    pub sweeping: bool,
    /// Errors of hooks, in order.
    pub errors: Vec<String>,
    /// How many hooks and sweeps were killed.
    pub deaths: u32,
    /// The calls of hooks and sweeps, in order.
    pub made: Vec<Made>,
    next_sweep: u64,
    before: Remains,
    /// Positions in the log of the calls that users made.
    by_users: Mutex<BTreeSet<usize>>,
    _prefix: Prefix,
}

/// The calls of one hook or sweep.
#[derive(Debug, Clone)]
pub struct Made {
    /// When it ran, epoch seconds.
    pub time: u64,
    /// What started it: a call, `VM/ACTIVE/RUNNING` and the like, or `sweep`.
    pub cause: String,
    /// The methods that it called, in order.
    pub methods: Vec<String>,
}

/// Notes the calls since there were `before`.
fn note(made: &mut Vec<Made>, sandbox: &Sandbox, before: usize, cause: &str) {
    let calls = sandbox.calls_since(before).into_iter();
    let methods = calls.map(|c| c.method).collect();
    made.push(Made {
        time: sandbox.now(),
        cause: cause.to_owned(),
        methods,
    });
}

impl Life {
    /// A usual cloud without guests.
    pub fn plain() -> Self {
        let config = oneks_sandbox::Config {
            server_secret: SERVER_SECRET.to_owned(),
            ..Default::default()
        };
        Self::of(Sandbox::new(config))
    }

    /// A usual cloud around this sandbox, which must be fresh.
    pub fn of(sandbox: Sandbox) -> Self {
        sandbox.standard_cloud().unwrap();
        let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
        let service = front_end(&prefix, Arc::new(sandbox.clone()));
        register(&sandbox, &Layout::below(prefix.root()).hooks);
        sandbox.reset_calls();
        let next_sweep = sandbox.now() + SWEEP_EVERY;
        let before = sandbox.remains();
        Self {
            sandbox,
            service,
            sweeping: true,
            errors: Vec::new(),
            deaths: 0,
            made: Vec::new(),
            next_sweep,
            before,
            by_users: Mutex::default(),
            _prefix: prefix,
        }
    }

    /// The same life once more; from now on the two share nothing. The guests are the caller's, see [`Sandbox::fork`].
    pub fn fork(&self, guests: Option<Box<dyn Guests>>) -> Self {
        let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
        let sandbox = self.sandbox.fork(guests);
        let mut service = front_end(&prefix, Arc::new(sandbox.clone()));
        service.profiles.clone_from(&self.service.profiles);
        std::fs::create_dir_all(service.gate.dir()).unwrap();
        for file in std::fs::read_dir(self.service.gate.dir()).into_iter().flatten() {
            let file = file.unwrap();
            std::fs::copy(file.path(), service.gate.dir().join(file.file_name())).unwrap();
        }
        Self {
            sandbox,
            service,
            sweeping: self.sweeping,
            errors: self.errors.clone(),
            deaths: self.deaths,
            next_sweep: self.next_sweep,
            before: self.before.clone(),
            made: Vec::new(),
            by_users: Mutex::new(self.by_users.lock().unwrap().clone()),
            _prefix: prefix,
        }
    }

    /// From here on counts what is left over, and which calls were made.
    pub fn begin_here(&mut self) {
        self.sandbox.reset_calls();
        self.made.clear();
        self.by_users.lock().unwrap().clear();
        self.before = self.sandbox.remains();
    }

    /// Networks and addresses that have come since are nothing left over.
    pub fn excuse_networks(&mut self, since: &Remains) {
        let now = self.sandbox.remains();
        for (id, name) in now.vnets {
            if !since.vnets.contains_key(&id) {
                self.before.vnets.insert(id, name);
            }
        }
        for (id, count) in now.leases {
            let more = count - since.leases.get(&id).copied().unwrap_or_default();
            *self.before.leases.entry(id).or_default() += more;
        }
    }

    /// The front-end loses everything that it noted.
    pub fn forget_notes(&self) {
        for file in std::fs::read_dir(self.service.gate.dir()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }

    /// The calls of hooks and sweeps.
    pub fn hook_calls(&self) -> Vec<CallRecord> {
        let by_users = self.by_users.lock().unwrap();
        let calls = self.sandbox.calls().calls.into_iter().enumerate();
        calls
            .filter(|(n, _)| !by_users.contains(n))
            .map(|(_, call)| call)
            .collect()
    }

    /// Creates a cluster as a user.
    pub fn create(&self, session: &str, name: &str, spec: &serde_json::Value) -> u32 {
        let text = oneks_core_text(name, spec);
        let id = self.ask(session, "one.document.allocate", &[text.into(), 120.into()]);
        u32::try_from(id.as_int().unwrap()).unwrap()
    }

    /// Sets an attribute of a cluster's document as a user.
    pub fn set(&self, session: &str, id: u32, attribute: &str, value: &str) {
        let mut template = opennebula::template::Template::new();
        template.set(attribute, value);
        let text = template.to_xml("TEMPLATE").unwrap();
        self.ask(
            session,
            "one.document.update",
            &[id.into(), text.into(), 1.into()],
        );
    }

    /// A call as a user that must succeed.
    pub fn ask(&self, session: &str, method: &str, params: &[Value]) -> Value {
        // Faults are for the hooks.
        let faults = self.sandbox.faults(|f| std::mem::take(&mut f.calls));
        self.by_users.lock().unwrap().insert(self.sandbox.call_count());
        let answer = self.sandbox.ask(session, method, params);
        self.sandbox.faults(|f| f.calls = faults);
        answer.unwrap_or_else(|e| panic!("{method}: {e}"))
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

    /// The cluster's status.
    pub fn status(&self, id: u32) -> Status {
        Status::parse(self.attribute(id, "STATUS").as_deref(), id).unwrap()
    }

    /// Lets things go on until the condition holds. Fails after `limit` virtual seconds.
    pub fn until(&mut self, what: &str, limit: u64, mut holds: impl FnMut(&Self) -> bool) {
        let end = self.sandbox.now() + limit;
        while !holds(self) {
            assert!(
                self.sandbox.now() < end,
                "{what}: not within {limit} s\n{}",
                self.report()
            );
            self.step(end);
        }
    }

    /// Lets things go on until the cluster is in this state.
    pub fn until_state(&mut self, id: u32, state: &str, limit: u64) {
        self.until(&format!("cluster {id} in {state}"), limit, |life| {
            life.state(id) == state
        });
    }

    /// Lets this many virtual seconds pass.
    pub fn pass_time(&mut self, seconds: u64) {
        let end = self.sandbox.now() + seconds;
        while self.sandbox.now() < end {
            self.step(end);
        }
    }

    /// Runs what is due, or lets time pass to what is due next, at most until `end`.
    pub fn step(&mut self, end: u64) {
        if self.sweeping && self.sandbox.now() >= self.next_sweep {
            self.sweep();
            self.next_sweep = self.sandbox.now() + SWEEP_EVERY;
        }
        let until = if self.sweeping {
            self.next_sweep.min(end)
        } else {
            end
        };
        let (service, errors, deaths) = (&self.service, &mut self.errors, &mut self.deaths);
        let made = &mut self.made;
        let sandbox = self.sandbox.clone();
        let mut runner = |execution: &Execution, now: u64| {
            let before = sandbox.call_count();
            let record = run(service, execution, now, errors, deaths);
            note(made, &sandbox, before, &execution.key);
            record
        };
        let quiet = std::cell::Cell::new(false);
        let end = sandbox.run_until(&mut runner, until, |_| quiet.replace(true));
        if end == RunEnd::Quiet || !sandbox.has_events() {
            let next = sandbox.next_wake().unwrap_or(until).min(until);
            sandbox.advance_to(next.max(sandbox.now()));
        }
    }

    /// One sweep, as the timer starts it.
    pub fn sweep(&mut self) {
        let (service, now) = (&self.service, self.sandbox.now());
        let before = self.sandbox.call_count();
        match survive(|| sweep::sweep(service, now)) {
            Some(Ok(report)) => self.errors.extend(report.failed),
            Some(Err(e)) => self.errors.push(e.to_string()),
            None => self.deaths += 1,
        }
        note(&mut self.made, &self.sandbox, before, "sweep");
    }

    /// What is there that was not there before the first cluster.
    pub fn left_over(&self) -> Vec<String> {
        self.sandbox.remains().since(&self.before)
    }

    /// Everything that helps to understand a failure.
    pub fn report(&self) -> String {
        let mut text: Vec<String> = Vec::new();
        for document in self.sandbox.documents() {
            let id = document.meta.id;
            text.push(format!("document {id}: {}\n", self.state(id)));
            if let Ok(status) = Status::parse(self.attribute(id, "STATUS").as_deref(), id) {
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

/// The service of a front-end with this installation, which reaches OpenNebula in this way.
pub fn front_end(prefix: &Prefix, transport: Arc<dyn Transport>) -> Service {
    let layout = Layout::below(prefix.root());
    let drivers = Executables::new(&layout.drivers, Duration::from_secs(20));
    let admin = Session::parse(&format!("oneadmin:{ONEADMIN_PASSWORD}")).unwrap();
    let server = format!("serveradmin:{SERVER_SECRET}");
    Service::new(
        Config::default(),
        &layout,
        Box::new(Remembered(drivers)),
        transport,
        admin,
        &server,
    )
    .unwrap()
}

fn oneks_core_text(name: &str, spec: &serde_json::Value) -> String {
    let mut template = opennebula::template::Template::new();
    template.set("NAME", name);
    template.set("SPEC", opennebula::template::json_for_cdata(spec));
    template.to_xml("TEMPLATE").unwrap()
}

fn run(
    service: &Service,
    execution: &Execution,
    now: u64,
    errors: &mut Vec<String>,
    deaths: &mut u32,
) -> ExecutionRecord {
    let name = Path::new(&execution.command)
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let kind = match name {
        "document" => Kind::Document,
        "vm_state" => Kind::VmState,
        "vm_update" => Kind::VmUpdate,
        "guest_exec" => Kind::GuestExec,
        "vrouter" => Kind::Vrouter,
        other => panic!("{other} is not a hook"),
    };
    let input = execution.stdin.clone().unwrap_or_default();
    let Some(result) = survive(|| hook::event(service, kind, input.as_bytes(), now)) else {
        *deaths += 1;
        return ExecutionRecord {
            code: 255,
            ..ExecutionRecord::default()
        };
    };
    let code = i32::from(result.is_err());
    if let Err(e) = result {
        errors.push(format!("{}: {e:#}", execution.hook_name));
    }
    ExecutionRecord {
        code,
        ..ExecutionRecord::default()
    }
}

/// Runs what stands for a process. `None` if it was killed.
fn survive<T>(process: impl FnOnce() -> T) -> Option<T> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(process)) {
        Ok(value) => Some(value),
        Err(death) if death.is::<CallerDied>() => None,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Registers the hooks as `oneks setup` does.
pub fn register(sandbox: &Sandbox, folder: &Path) {
    for definition in registration::table().unwrap() {
        let text = definition.full_template(folder).to_text().unwrap();
        sandbox
            .ask(ONEADMIN, "one.hook.allocate", &[text.into()])
            .unwrap();
    }
}
