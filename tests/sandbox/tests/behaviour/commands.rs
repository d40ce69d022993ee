//! Commands in guests.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use oneks_sandbox::{CallError, Cloud, Config, ExecResult, Guests, Sandbox, Started, VmFacts};

use crate::support::{
    ALICE, MALLORY, act, ask, cloud, code, element, furnish, new_vm, number, refused, running_vm, state, text,
};

/// What guests were told and did.
#[derive(Default)]
struct Seen {
    booted: Vec<u32>,
    runnings: u32,
    commands: Vec<(String, Vec<u8>)>,
    puts: Vec<Result<(), CallError>>,
}

/// Guests that put a line on `OneGate` when they boot, and answer each command with the next result.
struct Shells {
    seen: Arc<Mutex<Seen>>,
    results: Vec<ExecResult>,
    wake: Option<u64>,
}

impl Guests for Shells {
    fn vm_changed(&mut self, vm: &VmFacts, cloud: &mut dyn Cloud) {
        let mut seen = self.seen.lock().unwrap();
        seen.runnings += u32::from(vm.is_running());
        if vm.has_booted() {
            seen.booted.push(vm.id);
            self.wake = Some(cloud.now() + 7);
        }
    }

    fn exec(&mut self, _: &VmFacts, command: &str, stdin: &[u8], _: &mut dyn Cloud) -> Started {
        let mut seen = self.seen.lock().unwrap();
        seen.commands.push((command.into(), stdin.into()));
        Started::Ends(self.results.remove(0))
    }

    fn tick(&mut self, cloud: &mut dyn Cloud) {
        if self.wake.is_some_and(|wake| wake <= cloud.now()) {
            self.wake = None;
            let mut seen = self.seen.lock().unwrap();
            let vm = *seen.booted.last().unwrap();
            let put = cloud.onegate_put(vm, "READY=YES\nWORD=\"a b\"");
            seen.puts.push(put);
        }
    }

    fn next_wake(&self) -> Option<u64> {
        self.wake
    }
}

fn alive(results: Vec<ExecResult>) -> (Sandbox, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shells = Shells {
        seen: seen.clone(),
        results,
        wake: None,
    };
    let cloud = furnish(Sandbox::with_guests(Config::default(), Box::new(shells)));
    (cloud, seen)
}

fn says(seconds: u64, return_code: i32, stdout: &str) -> ExecResult {
    ExecResult {
        seconds,
        return_code,
        stdout: stdout.into(),
        stderr: b"warning".to_vec(),
    }
}

fn exec(cloud: &Sandbox, vm: u32, command: &str, stdin: &str) {
    let stdin = BASE64.encode(stdin);
    ask(
        cloud,
        ALICE,
        "one.vm.exec",
        &[number(vm), command.into(), stdin.into()],
    );
}

fn block(cloud: &Sandbox, vm: u32, key: &str) -> Option<String> {
    let vm = cloud.vm(vm).unwrap();
    vm.template.get_in("QEMU_GA_EXEC", key).map(str::to_owned)
}

#[test]
fn a_command_runs_and_a_probe_brings_its_result() {
    let (cloud, seen) = alive(vec![says(12, 3, "héllo\n")]);
    let vm = running_vm(&cloud, "a", "CONTEXT=[TOKEN=\"YES\"]");
    cloud.listen();
    exec(&cloud, vm, "/bin/sh", "echo héllo");
    assert_eq!(state(&cloud, vm), "HOTPLUG");
    assert_eq!(block(&cloud, vm, "STATUS"), None);
    // While the command is handed over, nothing else can be done to the VM.
    assert_eq!(
        code(&cloud, ALICE, "one.vm.action", &["poweroff".into(), number(vm)]),
        2048
    );
    cloud.advance(2);
    assert_eq!(state(&cloud, vm), "RUNNING");
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("EXECUTING"));
    assert_eq!(
        seen.lock().unwrap().commands,
        [("/bin/sh".to_owned(), "echo héllo".as_bytes().to_vec())]
    );
    let (code, message) = refused(
        &cloud,
        ALICE,
        "one.vm.exec",
        &[number(vm), "/bin/true".into(), "".into()],
    );
    assert_eq!(code, 2048);
    assert!(
        message.contains("a command is already being executed"),
        "{message}"
    );
    cloud.advance(8);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("EXECUTING"));
    cloud.advance(10);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("DONE"));
    assert_eq!(block(&cloud, vm, "RETURN_CODE").as_deref(), Some("3"));
    assert_eq!(block(&cloud, vm, "STDOUT"), Some(BASE64.encode("héllo\n")));
    assert_eq!(block(&cloud, vm, "STDERR"), Some(BASE64.encode("warning")));
    let expected = [
        format!("EVENT STATE VM/ACTIVE/HOTPLUG/{vm} "),
        "EVENT API one.vm.exec 1".into(),
        "EVENT API one.vm.action 0".into(),
        format!("EVENT STATE VM/ACTIVE/RUNNING/{vm} "),
        "EVENT API one.vm.exec 0".into(),
        "EVENT API one.internal.vmmonitor 1".into(),
    ];
    assert_eq!(cloud.take_published(), expected);
    // The RUNNING after a command is no boot.
    let seen = seen.lock().unwrap();
    assert_eq!((seen.booted.len(), seen.runnings), (1, 2));
}

#[test]
fn too_long_a_result_is_lost_until_somebody_gives_up() {
    let long = "x".repeat(40 * 1024);
    let (cloud, _) = alive(vec![says(1, 0, &long), says(1, 0, "short")]);
    let vm = running_vm(&cloud, "a", "");
    exec(&cloud, vm, "/bin/cat", "");
    cloud.advance(3600);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("EXECUTING"));
    ask(&cloud, ALICE, "one.vm.cancelexec", &[number(vm)]);
    cloud.advance(2);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("CANCELLED"));
    assert_eq!(code(&cloud, ALICE, "one.vm.cancelexec", &[number(vm)]), 2048);
    ask(&cloud, ALICE, "one.vm.retryexec", &[number(vm)]);
    cloud.advance(20);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("DONE"));
    assert_eq!(block(&cloud, vm, "COMMAND").as_deref(), Some("/bin/cat"));
}

#[test]
fn a_cancelled_command_reports_nothing_any_more() {
    let (cloud, _) = alive(vec![says(60, 0, "late")]);
    let vm = running_vm(&cloud, "a", "");
    exec(&cloud, vm, "/bin/sleep", "");
    cloud.advance(5);
    ask(&cloud, ALICE, "one.vm.cancelexec", &[number(vm)]);
    cloud.listen();
    cloud.advance(300);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("CANCELLED"));
    assert!(!cloud.take_published().iter().any(|key| key.contains("vmmonitor")));
}

#[test]
fn a_command_ends_with_its_vm() {
    let (cloud, _) = alive(vec![says(600, 0, "late"), says(1, 0, "")]);
    let vm = running_vm(&cloud, "a", "");
    exec(&cloud, vm, "/bin/sleep", "");
    cloud.advance(5);
    act(&cloud, "poweroff-hard", vm);
    cloud.advance(10);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("CANCELLED"));
    assert_eq!(
        code(
            &cloud,
            ALICE,
            "one.vm.exec",
            &[number(vm), "/bin/true".into(), "".into()]
        ),
        2048
    );
    act(&cloud, "resume", vm);
    cloud.advance(10);
    exec(&cloud, vm, "/bin/true", "");
    cloud.advance(20);
    assert_eq!(block(&cloud, vm, "STATUS").as_deref(), Some("DONE"));
}

#[test]
fn only_who_may_manage_a_vm_runs_commands() {
    let (cloud, seen) = alive(vec![]);
    let vm = running_vm(&cloud, "a", "");
    let params = [number(vm), "/bin/true".into(), "".into()];
    assert_eq!(code(&cloud, MALLORY, "one.vm.exec", &params), 512);
    assert_eq!(code(&cloud, MALLORY, "one.vm.cancelexec", &[number(vm)]), 512);
    assert!(seen.lock().unwrap().commands.is_empty());
}

#[test]
fn the_dummy_hypervisor_reports_again_and_again() {
    let cloud = cloud();
    let vm = running_vm(&cloud, "a", "");
    exec(&cloud, vm, "/bin/anything", "");
    cloud.listen();
    cloud.advance(30);
    let reports = |cloud: &Sandbox| {
        let keys = cloud.take_published();
        keys.iter().filter(|key| key.contains("vmmonitor")).count()
    };
    assert!(reports(&cloud) >= 4);
    let stdout = BASE64.encode(format!("Execution finished for VM {vm}"));
    assert_eq!(block(&cloud, vm, "STDOUT"), Some(stdout));
    act(&cloud, "terminate-hard", vm);
    cloud.advance(30);
    reports(&cloud);
    cloud.advance(60);
    assert_eq!(reports(&cloud), 0);
}

#[test]
fn guests_put_what_they_have_to_say() {
    let (cloud, seen) = alive(vec![]);
    let vm = new_vm(&cloud, "a", "CONTEXT=[TOKEN=\"YES\"]");
    cloud.advance(25);
    assert!(seen.lock().unwrap().puts.is_empty());
    cloud.listen();
    cloud.advance(5);
    assert_eq!(seen.lock().unwrap().puts, [Ok(())]);
    assert_eq!(cloud.take_published(), ["EVENT API one.vm.update 1"]);
    assert_eq!(cloud.vm(vm).unwrap().user_template.get("WORD"), Some("a b"));
    // Nobody counts it as a call.
    assert_eq!(cloud.calls().count("one.vm.update"), 0);
    let xml = text(&cloud, ALICE, "one.vm.info", &[number(vm)]);
    assert_eq!(element(&xml, "READY").as_deref(), Some("YES"));
    running_vm(&cloud, "without a token", "");
    assert!(seen.lock().unwrap().puts[1].is_err());
}
