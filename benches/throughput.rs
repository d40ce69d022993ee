//! How many events of others a hook manager with ten slots gets through, beside one whose hooks are `/bin/true`, and one
//! whose hooks are an empty Rust program: no hook in Rust can be better.

use std::path::Path;
use std::time::{Duration, Instant};

use oneks_sandbox::{HookManager, HookProcesses, Sandbox};

use crate::Effort;
use crate::process::{empty, median};
use crate::report::{Goal, Report};
use crate::support::life::register;
use crate::support::prefix::Prefix;

/// Virtual machines that are lost and found.
const VMS: usize = 50;

/// A cloud with VMs of somebody, and hooks in a folder.
struct Busy {
    sandbox: Sandbox,
    vms: Vec<u32>,
    hooks: u32,
    manager: Option<HookManager>,
}

impl Busy {
    fn new(folder: &Path, prefix: &Prefix) -> Self {
        let config = oneks_sandbox::Config {
            hook_log_retention: 1_000_000,
            timings: oneks_sandbox::Timings::instant(),
            ..Default::default()
        };
        let sandbox = Sandbox::new(config);
        sandbox.standard_cloud().unwrap();
        let text = "NAME=\"web\"\nCPU=\"0.1\"\nMEMORY=\"64\"";
        for _ in 0..VMS {
            sandbox
                .ask(
                    "mallory:mallorypw",
                    "one.vm.allocate",
                    &[text.into(), false.into()],
                )
                .unwrap();
        }
        sandbox.advance(60);
        register(&sandbox, folder);
        sandbox.advance(5);
        sandbox.take_events();
        let vms: Vec<u32> = sandbox
            .live_vms()
            .iter()
            .filter(|vm| vm.is_running())
            .map(|vm| vm.meta.id)
            .collect();
        assert_eq!(vms.len(), VMS);
        let hooks = u32::try_from(oneks::registration::table().unwrap().len()).unwrap();
        let mut processes = HookProcesses::new("/nowhere");
        for (name, value) in prefix.environment() {
            processes = processes.with(&name, value);
        }
        let manager = Some(HookManager::start(sandbox.clone(), processes));
        Self {
            sandbox,
            vms,
            hooks,
            manager,
        }
    }

    /// Executions that have ended. All of them must have gone well.
    fn ended(&self) -> usize {
        let codes: Vec<i32> = (0..self.hooks)
            .flat_map(|hook| self.sandbox.hook_codes(hook))
            .collect();
        assert!(codes.iter().all(|code| *code == 0));
        codes.len()
    }

    /// The time that so many events take.
    fn run(&self, events: usize) -> Duration {
        let wanted = self.ended() + events;
        let start = Instant::now();
        for n in 0..events / 2 {
            let vm = self.vms[n % self.vms.len()];
            assert!(self.sandbox.lose_vm(vm) && self.sandbox.find_vm(vm));
        }
        while self.ended() < wanted {
            std::thread::sleep(Duration::from_millis(2));
        }
        start.elapsed()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.manager.take());
    }
}

/// A folder in which every hook is this program.
fn folder_of(program: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for hook in ["vm_state", "document", "vm_update", "guest_exec", "vrouter"] {
        std::os::unix::fs::symlink(program, folder.path().join(hook)).unwrap();
    }
    folder
}

/// All in turn, several times.
pub fn measure(effort: Effort, report: &mut Report) {
    let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
    let scratch = tempfile::tempdir().unwrap();
    let nothing = folder_of(Path::new("/bin/true"));
    let smallest = folder_of(empty(scratch.path()).path());
    let hook = prefix.hook("vm_state");
    let clouds =
        [hook.parent().unwrap(), nothing.path(), smallest.path()].map(|folder| Busy::new(folder, &prefix));
    let events = effort.of(1000, 100);
    let mut times = clouds.each_ref().map(|_| Vec::new());
    for _ in 0..effort.of(9, 3) {
        for (busy, times) in clouds.iter().zip(&mut times) {
            times.push(busy.run(events));
        }
    }
    let per_second = |times: &Vec<Duration>| {
        f64::from(u32::try_from(events).unwrap()) / (median(times.iter().copied()) / 1000.0)
    };
    let [ours, nothing, smallest] = times.each_ref().map(per_second);
    report.timed(
        "foreign events per second, of those through /bin/true",
        ours / nothing,
        "×",
        Goal::Least(0.85),
    );
    report.timed(
        "foreign events per second, of those through an empty program",
        ours / smallest,
        "×",
        Goal::None,
    );
    report.timed("foreign events", ours, "/s", Goal::None);
    report.timed("events through /bin/true", nothing, "/s", Goal::None);
    report.timed("events through an empty program", smallest, "/s", Goal::None);
}
