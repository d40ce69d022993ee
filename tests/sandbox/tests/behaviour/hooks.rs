//! Hooks: which fire, what they get, how they are run.

use oneks_sandbox::{Execution, ExecutionRecord, RunEnd, Sandbox};
use opennebula::xmlrpc::Value;

use crate::support::{ADMIN, ALICE, act, ask, cloud, code, element, id, new_vm, number, running_vm, text};

fn hook(cloud: &Sandbox, name: &str, more: &str) -> u32 {
    let text = format!("NAME=\"{name}\"\nCOMMAND=\"oneks/{name}\"\n{more}");
    id(cloud, ADMIN, "one.hook.allocate", &[text.into()])
}

fn api(cloud: &Sandbox, call: &str) -> u32 {
    hook(
        cloud,
        call,
        &format!("TYPE=\"api\"\nCALL=\"{call}\"\nARGUMENTS=\"{call} $API\"\nARGUMENTS_STDIN=\"yes\""),
    )
}

#[test]
fn calls_fire_hooks_whether_they_succeed_or_not() {
    let cloud = cloud();
    api(&cloud, "one.document.update");
    let a = id(
        &cloud,
        ALICE,
        "one.document.allocate",
        &["NAME=\"a\"".into(), 120.into()],
    );
    assert!(!cloud.has_events());
    ask(
        &cloud,
        ALICE,
        "one.document.update",
        &[number(a), "X=\"1\"".into(), 1.into()],
    );
    code(
        &cloud,
        ALICE,
        "one.document.update",
        &[77.into(), "X=\"1\"".into(), 1.into()],
    );
    let executions = cloud.take_events();
    assert_eq!(executions.len(), 2);
    let payload = executions[0].payload().unwrap();
    assert_eq!(element(&payload, "RESULT").as_deref(), Some("1"));
    assert!(
        payload.contains("X=\"1\"") && !payload.contains("alicepw"),
        "{payload}"
    );
    assert_eq!(
        element(&executions[1].payload().unwrap(), "RESULT").as_deref(),
        Some("0")
    );
    assert_eq!(executions[0].argv(), ["oneks/one.document.update"]);
    let stdin = executions[0].stdin.clone().unwrap();
    assert!(stdin.starts_with("one.document.update "), "{stdin}");
    assert!(!cloud.has_events());
}

#[test]
fn only_the_word_yes_moves_arguments_to_standard_input() {
    let cloud = cloud();
    for (name, word, on_stdin) in [
        ("a", "YES", true),
        ("b", "yes", true),
        ("c", "true", false),
        ("d", "no", false),
    ] {
        hook(
            &cloud,
            name,
            &format!(
                "TYPE=\"api\"\nCALL=\"one.document.delete\"\nARGUMENTS=\"x $API\"\nARGUMENTS_STDIN=\"{word}\""
            ),
        );
        code(&cloud, ALICE, "one.document.delete", &[1.into()]);
        let execution = cloud.take_events().pop().unwrap();
        assert_eq!(execution.stdin.is_some(), on_stdin, "{word}");
        assert_eq!(execution.argv().len(), if on_stdin { 1 } else { 3 });
    }
}

#[test]
fn states_fire_hooks_by_name() {
    let cloud = cloud();
    for (name, on) in [
        ("running", "ON=\"RUNNING\""),
        ("shutdown", "ON=\"SHUTDOWN\""),
        ("done", "ON=\"DONE\""),
        ("held", "ON=\"CUSTOM\"\nSTATE=\"HOLD\"\nLCM_STATE=\"LCM_INIT\""),
    ] {
        hook(
            &cloud,
            name,
            &format!("TYPE=\"state\"\nRESOURCE=\"VM\"\n{on}\nARGUMENTS=\"$TEMPLATE\""),
        );
    }
    let vm = running_vm(&cloud, "a", "SERVICE_ID=\"5\"");
    act(&cloud, "terminate-hard", vm);
    cloud.advance(30);
    let executions = cloud.take_events();
    let names: Vec<&str> = executions
        .iter()
        .map(|execution| execution.hook_name.as_str())
        .collect();
    assert_eq!(names, ["running", "shutdown", "done"]);
    let payload = executions[0].payload().unwrap();
    assert!(payload.starts_with("<VM>"), "{payload}");
    assert_eq!(element(&payload, "ID"), Some(vm.to_string()));
    assert_eq!(executions[0].key, "VM/ACTIVE/RUNNING");
}

#[test]
fn hooks_are_checked() {
    let cloud = cloud();
    for text in [
        "COMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.vm.update\"",
        "NAME=\"a\"\nTYPE=\"api\"\nCALL=\"one.vm.update\"",
        "NAME=\"a\"\nCOMMAND=\"x\"\nCALL=\"one.vm.update\"",
        "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.vm.dance\"",
        "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.vm.info\"",
        "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"state\"\nRESOURCE=\"VM\"\nON=\"SOMETIMES\"",
        "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"state\"\nRESOURCE=\"VM\"\nON=\"CUSTOM\"\nSTATE=\"UP\"",
    ] {
        assert_eq!(
            code(&cloud, ADMIN, "one.hook.allocate", &[text.into()]),
            8192,
            "{text}"
        );
    }
    let good = "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.internal.vmmonitor\"";
    assert_eq!(code(&cloud, ALICE, "one.hook.allocate", &[good.into()]), 512);
    id(&cloud, ADMIN, "one.hook.allocate", &[good.into()]);
    assert_eq!(
        code(&cloud, ADMIN, "one.hook.allocate", &[good.into()]),
        8192,
        "the name is taken"
    );
}

fn run(cloud: &Sandbox, runner: &mut dyn oneks_sandbox::HookRunner) -> RunEnd {
    cloud.run_until(runner, cloud.now() + 3600, |_| false)
}

#[test]
fn hooks_and_time_take_turns() {
    let cloud = cloud();
    hook(
        &cloud,
        "running",
        "TYPE=\"state\"\nRESOURCE=\"VM\"\nON=\"RUNNING\"\nARGUMENTS=\"$TEMPLATE\"",
    );
    hook(
        &cloud,
        "done",
        "TYPE=\"state\"\nRESOURCE=\"VM\"\nON=\"DONE\"\nARGUMENTS=\"$TEMPLATE\"",
    );
    let vm = new_vm(&cloud, "a", "");
    let inside = cloud.clone();
    let mut seen = Vec::new();
    let mut runner = |execution: &Execution, now: u64| {
        assert_eq!(now, inside.now());
        seen.push((execution.hook_name.clone(), now));
        if execution.hook_name == "running" {
            act(&inside, "terminate-hard", vm);
        }
        ExecutionRecord {
            code: i32::from(execution.hook_name == "done") * 7,
            ..ExecutionRecord::default()
        }
    };
    assert_eq!(run(&cloud, &mut runner), RunEnd::Quiet);
    let start = seen[0].1;
    assert_eq!(
        seen,
        [("running".to_owned(), start), ("done".to_owned(), start + 3)]
    );
    assert_eq!((cloud.hook_codes(0), cloud.hook_codes(1)), (vec![0], vec![7]));
}

#[test]
fn running_stops_when_it_is_told_to() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "");
    let mut runner = |_: &Execution, _: u64| ExecutionRecord::default();
    let deadline = cloud.now() + 12;
    assert_eq!(
        cloud.run_until(&mut runner, deadline, |_| false),
        RunEnd::Deadline
    );
    assert_eq!(cloud.now(), deadline);
    let end = cloud.run_until(&mut runner, deadline + 600, |cloud| {
        cloud.vm(vm).unwrap().is_running()
    });
    assert_eq!(end, RunEnd::Stopped);
    assert!(cloud.now() < deadline + 30);
}

#[test]
fn the_log_keeps_the_last_twenty_and_runs_them_again() {
    let cloud = cloud();
    let log = api(&cloud, "one.document.delete");
    let mut codes = 0..;
    let mut runner = |_: &Execution, _: u64| ExecutionRecord {
        code: codes.next().unwrap(),
        stdout: vec![b'x'; 90],
        stderr: b"no".to_vec(),
    };
    for _ in 0..25 {
        code(&cloud, ALICE, "one.document.delete", &[1.into()]);
        run(&cloud, &mut runner);
    }
    assert_eq!(cloud.hook_codes(log), (5..25).collect::<Vec<i32>>());
    let xml = text(&cloud, ADMIN, "one.hook.info", &[number(log), false.into()]);
    assert_eq!(xml.matches("<HOOK_EXECUTION_RECORD>").count(), 20);
    let stdout = element(&xml, "STDOUT").unwrap();
    assert_eq!(
        stdout.lines().map(str::len).collect::<Vec<_>>(),
        [60, 60],
        "{stdout}"
    );
    ask(&cloud, ADMIN, "one.hook.retry", &[number(log), 10.into()]);
    let again = cloud.take_events();
    assert_eq!(again.len(), 1);
    assert!(again[0].retry && again[0].payload().is_some());
    assert_eq!(
        code(&cloud, ADMIN, "one.hook.retry", &[number(log), 1.into()]),
        8192,
        "it is forgotten"
    );
    let failed = |kind: i64| {
        let params = [-1, -1, i64::from(log), kind].map(Value::from);
        let xml = text(&cloud, ADMIN, "one.hooklog.info", &params);
        xml.matches("<HOOK_EXECUTION_RECORD>").count()
    };
    assert_eq!([failed(-1), failed(0), failed(1)], [20, 20, 0]);
}
