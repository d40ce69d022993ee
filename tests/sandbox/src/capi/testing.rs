//! A cloud that is just enough for guests, and a way to run scripts' programs out of a test binary.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use opennebula::template::{Template, vector_value};
use opennebula::xmlrpc::Value;

use super::shim::serve;
use super::{Config, Guests, Handle};
use crate::guest::{CallError, Cloud, ExecResult, Guests as _, Started, VmFacts};
use crate::rng::Rng;
use crate::states::{LcmState, VmState};

/// The credential that the cloud accepts.
pub const AUTH: &str = "alice:token";
/// Seconds from allocation to RUNNING, and from termination to DONE.
const BOOT: u64 = 20;

/// One network with a router's addresses, templates, VMs.
pub struct Fake {
    pub now: u64,
    pub auth: String,
    pub calls: Vec<(u64, String)>,
    pub vms: BTreeMap<u32, FakeVm>,
    pub vrouters: BTreeMap<u32, (String, Template, Vec<u32>)>,
    pub templates: BTreeMap<u32, (String, Template)>,
    /// Methods that are refused.
    pub refused: Vec<String>,
    /// Results of commands that ran, by VM.
    pub ended: BTreeMap<u32, ExecResult>,
    events: VecDeque<VmFacts>,
    rng: Rng,
    next: u32,
    address: u32,
}

#[derive(Clone)]
pub struct FakeVm {
    pub facts: VmFacts,
    steps: VecDeque<(u64, VmState, LcmState)>,
}

impl Fake {
    pub fn new() -> Self {
        let mut fake = Self {
            now: 1_790_000_000,
            auth: AUTH.into(),
            calls: Vec::new(),
            vms: BTreeMap::new(),
            vrouters: BTreeMap::new(),
            templates: BTreeMap::new(),
            refused: Vec::new(),
            ended: BTreeMap::new(),
            events: VecDeque::new(),
            rng: Rng::new(7),
            next: 10,
            address: 10,
        };
        for name in ["node", "router"] {
            let text = "CPU=1\nMEMORY=1024\nCONTEXT=[NETWORK=\"YES\",TOKEN=\"YES\",SET_HOSTNAME=\"$NAME\"]\nONEKS=[CLUSTER_ID=\"1\"]";
            let id = fake.id();
            fake.templates
                .insert(id, (name.into(), Template::parse(text).unwrap()));
        }
        fake
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn address(&mut self) -> String {
        self.address += 1;
        format!("192.0.2.{}", self.address)
    }

    /// Starts a VM from a template.
    pub fn start(&mut self, name: &str, template: Template) -> u32 {
        let id = self.id();
        let mut template = template;
        let address = self.address();
        template.set_in("CONTEXT", "ETH0_IP", address);
        let facts = VmFacts {
            id,
            uid: 2,
            gid: 1,
            uname: "alice".into(),
            name: name.into(),
            state: VmState::Pending,
            lcm_state: LcmState::LcmInit,
            prev_state: VmState::Pending,
            prev_lcm_state: LcmState::LcmInit,
            host_id: None,
            template,
            user_template: Template::new(),
        };
        let steps = [
            (self.now + 10, VmState::Active, LcmState::Prolog),
            (self.now + 12, VmState::Active, LcmState::Boot),
            (self.now + BOOT, VmState::Active, LcmState::Running),
        ];
        self.events.push_back(facts.clone());
        self.vms.insert(
            id,
            FakeVm {
                facts,
                steps: steps.into(),
            },
        );
        id
    }

    /// Brings a VM to a state, at once or after a stop.
    pub fn transit(&mut self, id: u32, steps: &[(u64, VmState, LcmState)]) {
        let now = self.now;
        if let Some(vm) = self.vms.get_mut(&id) {
            vm.steps = steps
                .iter()
                .map(|(after, state, lcm)| (now + after, *state, *lcm))
                .collect();
        }
    }

    pub fn terminate(&mut self, id: u32) {
        self.transit(
            id,
            &[
                (0, VmState::Active, LcmState::Shutdown),
                (3, VmState::Active, LcmState::Epilog),
                (5, VmState::Done, LcmState::LcmInit),
            ],
        );
    }

    /// Names of VMs that are not DONE and begin so.
    pub fn alive(&self, prefix: &str) -> Vec<String> {
        let alive = self.vms.values().filter(|vm| vm.facts.state != VmState::Done);
        alive
            .map(|vm| vm.facts.name.clone())
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    fn due(&self) -> Option<u64> {
        self.vms
            .values()
            .filter_map(|vm| vm.steps.front())
            .map(|(time, _, _)| *time)
            .min()
    }

    fn step(&mut self) {
        let now = self.now;
        for vm in self.vms.values_mut() {
            while let Some((_, state, lcm)) = vm.steps.front().copied().filter(|(time, _, _)| *time <= now) {
                vm.steps.pop_front();
                vm.facts.prev_state = vm.facts.state;
                vm.facts.prev_lcm_state = vm.facts.lcm_state;
                vm.facts.state = state;
                vm.facts.lcm_state = lcm;
                self.events.push_back(vm.facts.clone());
            }
        }
    }

    fn dispatch(&mut self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let text = |index: usize| {
            params
                .get(index)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let id = |index: usize| {
            u32::try_from(params.get(index).and_then(Value::as_int).unwrap_or(-1)).unwrap_or(u32::MAX)
        };
        let absent = || CallError {
            code: 1024,
            message: format!("[{method}] no such object"),
        };
        let pool = |name: &str, entries: Vec<(u32, String)>| {
            let body: Vec<String> = entries
                .iter()
                .map(|(id, entry)| format!("<{name}><ID>{id}</ID><NAME>{entry}</NAME></{name}>"))
                .collect();
            let body = body.concat();
            Ok(Value::from(format!("<{name}_POOL>{body}</{name}_POOL>")))
        };
        let head = |id: u32, name: &str| {
            format!(
                "<ID>{id}</ID><UID>2</UID><GID>1</GID><UNAME>alice</UNAME><GNAME>users</GNAME><NAME>{name}</NAME>"
            )
        };
        match method {
            "one.templatepool.info" => pool(
                "VMTEMPLATE",
                self.templates
                    .iter()
                    .map(|(id, (name, _))| (*id, name.clone()))
                    .collect(),
            ),
            "one.template.info" => {
                let (name, template) = self.templates.get(&id(0)).ok_or_else(absent)?;
                let body = template.to_xml("TEMPLATE").unwrap();
                Ok(format!("<VMTEMPLATE>{}{body}</VMTEMPLATE>", head(id(0), name)).into())
            }
            "one.vrouterpool.info" => pool(
                "VROUTER",
                self.vrouters
                    .iter()
                    .map(|(id, (name, _, _))| (*id, name.clone()))
                    .collect(),
            ),
            "one.vrouter.allocate" => {
                let mut template = Template::parse(&text(0)).unwrap();
                let name = template.get("NAME").unwrap().to_owned();
                let nics: Vec<Vec<(String, String)>> =
                    template.get_vectors("NIC").map(<[_]>::to_vec).collect();
                template.remove("NIC");
                for mut nic in nics {
                    let address = vector_value(&nic, "IP").map_or_else(|| self.address(), str::to_owned);
                    nic.push(("VROUTER_IP".into(), address));
                    template.push(opennebula::template::Attribute::vector("NIC", nic));
                }
                let id = self.id();
                self.vrouters.insert(id, (name, template, Vec::new()));
                Ok(id.into())
            }
            "one.vrouter.info" => {
                let (name, template, vms) = self.vrouters.get(&id(0)).ok_or_else(absent)?;
                let list = vms
                    .iter()
                    .map(|vm| format!("<ID>{vm}</ID>"))
                    .collect::<Vec<_>>()
                    .concat();
                let body = template.to_xml("TEMPLATE").unwrap();
                Ok(format!("<VROUTER>{}<VMS>{list}</VMS>{body}</VROUTER>", head(id(0), name)).into())
            }
            "one.vrouter.instantiate" => {
                let (name, router, _) = self.vrouters.get(&id(0)).cloned().ok_or_else(absent)?;
                let count = params[1].as_int().unwrap();
                for index in 0..count {
                    let mut template = Template::parse(&text(5)).unwrap();
                    template.set("VROUTER_ID", id(0).to_string());
                    for nic in router.get_vectors("NIC") {
                        template.push(opennebula::template::Attribute::vector("NIC", nic.to_vec()));
                    }
                    let vm = self.start(&format!("vr-{name}-{index}"), template);
                    self.vrouters.get_mut(&id(0)).unwrap().2.push(vm);
                }
                Ok(id(0).into())
            }
            "one.vrouter.delete" => {
                let (_, _, vms) = self.vrouters.remove(&id(0)).ok_or_else(absent)?;
                for vm in vms {
                    self.terminate(vm);
                }
                Ok(id(0).into())
            }
            "one.vmpool.info" | "one.vmpool.infoextended" => {
                let alive = self.vms.values().filter(|vm| vm.facts.state != VmState::Done);
                pool(
                    "VM",
                    alive.map(|vm| (vm.facts.id, vm.facts.name.clone())).collect(),
                )
            }
            "one.vm.allocate" => {
                let template = Template::parse(&text(0)).unwrap();
                let name = template.get("NAME").unwrap().to_owned();
                Ok(self.start(&name, template).into())
            }
            "one.vm.info" => {
                let vm = self.vms.get(&id(0)).ok_or_else(absent)?;
                let (state, lcm) = (vm.facts.state as u32, vm.facts.lcm_state as u32);
                let template = vm.facts.template.to_xml("TEMPLATE").unwrap();
                let user = vm.facts.user_template.to_xml("USER_TEMPLATE").unwrap();
                Ok(format!(
                    "<VM>{}<STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE><STIME>1</STIME>{template}{user}</VM>",
                    head(id(0), &vm.facts.name)
                )
                .into())
            }
            "one.vm.update" => {
                let update = Template::parse(&text(1)).unwrap();
                self.vms
                    .get_mut(&id(0))
                    .ok_or_else(absent)?
                    .facts
                    .user_template
                    .merge(&update);
                Ok(id(0).into())
            }
            "one.vm.action" => {
                assert_eq!(text(0), "terminate-hard");
                self.terminate(id(1));
                Ok(id(1).into())
            }
            other => Err(CallError {
                code: 4096,
                message: format!("the fake cloud has no {other}"),
            }),
        }
    }
}

impl Cloud for Fake {
    fn now(&self) -> u64 {
        self.now
    }

    fn call(&mut self, session: &str, method: &str, params: &[Value]) -> Result<Value, CallError> {
        if session != self.auth {
            let message = format!("[{method}] User couldn't be authenticated, aborting call.");
            return Err(CallError { code: 256, message });
        }
        self.calls.push((self.now, method.to_owned()));
        if self.refused.iter().any(|refused| refused == method) {
            return Err(CallError {
                code: 512,
                message: format!("[{method}] Not authorized"),
            });
        }
        self.dispatch(method, params)
    }

    fn onegate_put(&mut self, vm_id: u32, text: &str) -> Result<(), CallError> {
        let update = Template::parse(text).unwrap();
        self.calls.push((self.now, format!("onegate {text}")));
        self.vms
            .get_mut(&vm_id)
            .unwrap()
            .facts
            .user_template
            .merge(&update);
        Ok(())
    }

    fn command_ended(&mut self, vm_id: u32, result: ExecResult) {
        self.ended.insert(vm_id, result);
    }

    fn random(&mut self) -> u64 {
        self.rng.next()
    }
}

/// A cloud with its guests.
pub struct Scene {
    pub fake: Fake,
    pub guests: Guests,
    pub handle: Handle,
    /// Keeps the programs of scripts.
    _programs: tempfile::TempDir,
}

impl Scene {
    pub fn new() -> Self {
        let programs = tempfile::tempdir().unwrap();
        let shim = Some(shim_program(programs.path()));
        let guests = Guests::new(Config {
            shim,
            ..Config::default()
        });
        let handle = guests.handle();
        Self {
            fake: Fake::new(),
            guests,
            handle,
            _programs: programs,
        }
    }

    /// Delivers what has happened and lets the guests work, until nothing more happens in this second.
    pub fn settle(&mut self) {
        loop {
            self.fake.step();
            while let Some(event) = self.fake.events.pop_front() {
                self.guests.vm_changed(&event, &mut self.fake);
            }
            if self.guests.next_wake().is_some_and(|wake| wake <= self.fake.now) {
                self.guests.tick(&mut self.fake);
            } else if self.fake.events.is_empty() {
                return;
            }
        }
    }

    /// Goes to the next moment at which anything happens. `false`: nothing will ever happen.
    pub fn advance(&mut self) -> bool {
        self.settle();
        let next = [self.fake.due(), self.guests.next_wake()]
            .into_iter()
            .flatten()
            .min();
        if let Some(next) = next {
            self.fake.now = next.max(self.fake.now + 1);
            self.settle();
        }
        next.is_some()
    }

    /// Goes on until something is true, at most so many seconds.
    pub fn until(&mut self, seconds: u64, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.fake.now + seconds;
        self.settle();
        while !done(self) {
            assert!(
                self.fake.now < end && self.advance(),
                "never: {what}\n{}",
                self.story()
            );
        }
    }

    /// Lets so many seconds pass.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.fake.now + seconds;
        self.settle();
        loop {
            let next = [self.fake.due(), self.guests.next_wake()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.fake.now = next.max(self.fake.now + 1).min(end);
            self.settle();
            if self.fake.now == end {
                return;
            }
        }
        self.fake.now = end;
        self.settle();
    }

    /// Hands a script over to a VM.
    pub fn begin(&mut self, vm: u32, script: &str) -> Started {
        let facts = self.fake.vms[&vm].facts.clone();
        self.guests
            .exec(&facts, "/bin/sh -s", script.as_bytes(), &mut self.fake)
    }

    /// Runs a script in a VM to its end.
    pub fn script(&mut self, vm: u32, script: &str) -> ExecResult {
        let start = self.fake.now;
        if let Started::Ends(result) = self.begin(vm, script) {
            return result;
        }
        loop {
            if let Some(mut result) = self.fake.ended.remove(&vm) {
                result.seconds = result.seconds.saturating_add(self.fake.now - start);
                return result;
            }
            assert!(self.advance(), "the command never ends");
        }
    }

    /// The last lines of the controllers' log.
    pub fn story(&self) -> String {
        let log = self.handle.log();
        let last = log.iter().rev().take(40).rev();
        let lines: Vec<String> = last
            .map(|line| {
                format!(
                    "{} {} {}: {}\n",
                    line.time, line.controller, line.object, line.message
                )
            })
            .collect();
        lines.concat()
    }
}

/// A program that runs [`as_shim`] of this test binary: nothing else is built when the unit tests are.
pub fn shim_program(folder: &Path) -> PathBuf {
    let path = folder.join("shim");
    let this = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\nout=$(mktemp -d)\nn=0\n\
         for word in \"$@\"; do printf %s \"$word\" >\"$out/$n\"; n=$((n + 1)); done\n\
         SHIM_NAME=\"$0\" SHIM_FOLDER=\"$out\" SHIM_COUNT=$n '{}' --exact {}::as_shim 3>&1 4>&2 >/dev/null 2>&1\n\
         code=$(cat \"$out/code\")\nrm -rf \"$out\"\nexit \"$code\"\n",
        this.display(),
        module_path!().split_once("::").unwrap().1,
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The program inside a guest, if this test binary was started as one.
#[test]
fn as_shim() {
    let Ok(name) = std::env::var("SHIM_NAME") else {
        assert_eq!(super::shim_main("/usr/bin/oneks-sandbox", &[]), None);
        assert_eq!(
            super::shim_main("kubectl", &[]),
            None,
            "no command of a guest is running"
        );
        return;
    };
    let folder = PathBuf::from(std::env::var("SHIM_FOLDER").unwrap());
    let count: usize = std::env::var("SHIM_COUNT").unwrap().parse().unwrap();
    let arguments: Vec<String> = (0..count)
        .map(|index| fs::read_to_string(folder.join(index.to_string())).unwrap())
        .collect();
    let open = |descriptor: &str| fs::OpenOptions::new().append(true).open(descriptor).unwrap();
    let code = serve(&name, &arguments, &mut open("/dev/fd/3"), &mut open("/dev/fd/4")).unwrap();
    fs::write(folder.join("code"), code.to_string()).unwrap();
}
