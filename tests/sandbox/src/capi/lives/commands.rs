//! Commands in guests.

use super::super::Handle;
use super::*;
use crate::guest::{Guests as _, Started};

#[test]
fn scripts_find_what_a_node_has() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(1, "v1.33.7+rke2r1"));
    scene.until(900, "a worker", |scene| settled(scene, 1));
    let name = workers(&scene)[0].clone();
    let worker = scene
        .fake
        .vms
        .values()
        .find(|vm| vm.facts.name == name)
        .unwrap()
        .facts
        .id;
    for (vm, script, code, stdout, stderr) in [
        (
            server,
            format!("{PATH}kubectl get nodes -o name | sort | head -n 1 | cut -c1-7"),
            0,
            "node/c-",
            "",
        ),
        (
            server,
            format!("{PATH}kubectl config view --raw -o jsonpath='{{.clusters[0].cluster.server}}'"),
            0,
            "https://127.0.0.1:6443",
            "",
        ),
        (
            server,
            "cat /etc/rancher/rke2/rke2.yaml | head -n 1".into(),
            0,
            "apiVersion: v1",
            "",
        ),
        (server, "kubectl get nodes".into(), 127, "", "kubectl: not found"),
        (
            server,
            "/var/lib/rancher/rke2/bin/kubectl get nodes".into(),
            1,
            "",
            "localhost:8080 was refused",
        ),
        (
            server,
            format!("{PATH}kubectl get machine none; echo $?"),
            0,
            "1",
            "(NotFound)",
        ),
        (
            worker,
            format!("{PATH}kubectl get nodes"),
            127,
            "",
            "kubectl: not found",
        ),
        (
            worker,
            format!("{PATH}command -v kubectl || echo none"),
            0,
            "none",
            "",
        ),
        (
            server,
            "sleep 10; date +%s; kubectl 2>/dev/null || systemctl 2>/dev/null || echo clean".into(),
            0,
            "clean",
            "",
        ),
        (
            server,
            format!("{PATH}kubectl get machines -o json | kubectl apply -f - >/dev/null; echo $?"),
            0,
            "0",
            "",
        ),
        (worker, "echo plain; exit 3".into(), 3, "plain", ""),
    ] {
        let result = scene.script(vm, &script);
        let (out, err) = (
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr),
        );
        assert_eq!(result.return_code, code, "{script}\n{out}{err}");
        assert!(
            out.contains(stdout) && err.contains(stderr),
            "{script}\n{out}{err}"
        );
    }
    let result = scene.script(server, "sleep 20; sleep 1m; echo done");
    assert_eq!(
        (result.seconds, result.stdout.as_slice()),
        (82, b"done\n".as_slice())
    );
    let endless = scene.script(server, "while true; do sleep 600; done");
    assert!(endless.seconds > 1_000_000);
}

#[test]
fn commands_can_go_wrong() {
    for (kind, code, seconds, out) in [
        (
            FaultKind::CommandFails {
                code: 1,
                stderr: "no".into(),
            },
            1,
            2,
            0,
        ),
        (FaultKind::CommandFloods { bytes: 60_000 }, 0, 2, 60_003),
        (FaultKind::CommandSlow { seconds: 100 }, 0, 102, 3),
    ] {
        let (mut scene, server) = running(1);
        scene.handle.break_it(Fault {
            on: "c-".into(),
            kind,
            times: Some(1),
        });
        let result = scene.script(server, "echo ok");
        assert_eq!(
            (result.return_code, result.seconds, result.stdout.len()),
            (code, seconds, out)
        );
        assert_eq!(scene.script(server, "echo ok").stdout, b"ok\n");
    }
}

const COUNT: &str = "kubectl get nodes -o name | wc -l";

/// Makes an object.
fn make(name: &str) -> String {
    format!(
        "echo '{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"{name}\"}}}}' | kubectl apply -f -"
    )
}

#[test]
fn a_script_sees_what_is_true_when_its_sleep_is_over() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(1, "v1.33.7+rke2r1"));
    let script = format!("{PATH}{COUNT}; date +%s; sleep 600; {COUNT}; date +%s");
    let start = scene.fake.now;
    let result = scene.script(server, &script);
    let lines: Vec<u64> = String::from_utf8_lossy(&result.stdout)
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(lines, [1, start, 2, start + 600], "one node then, two now");
    assert_eq!((result.return_code, result.seconds), (0, 602));
}

/// What a script does after its sleep it does then, and not at all if it was cancelled meanwhile, or the VM stopped.
#[test]
fn what_comes_after_a_sleep_is_done_after_it() {
    let script = format!("{PATH}sleep 100; {}", make("late"));
    for (stop, done) in [(None, true), (Some("cancel"), false), (Some("power off"), false)] {
        let (mut scene, server) = running(1);
        assert_eq!(scene.begin(server, &script), Started::Runs);
        scene.pass(50);
        assert!(
            scene
                .handle
                .objects("c", false, "ConfigMap")
                .iter()
                .all(|c| c.name() != "late")
        );
        match stop {
            Some("cancel") => scene.guests.cancelled(server),
            Some(_) => scene
                .fake
                .transit(server, &[(0, VmState::Poweroff, LcmState::LcmInit)]),
            None => {}
        }
        scene.pass(100);
        let made = scene
            .handle
            .objects("c", false, "ConfigMap")
            .iter()
            .any(|c| c.name() == "late");
        assert_eq!(
            (made, scene.fake.ended.contains_key(&server)),
            (done, done),
            "{stop:?}"
        );
    }
}

/// A fork has a process of its own, which catches up when it goes on; what was done before is not done twice.
#[test]
fn a_copy_of_a_command_goes_on_by_itself() {
    let (mut scene, server) = running(1);
    let script = format!(
        "{PATH}{}; echo begun; sleep 100; {}; {COUNT}",
        make("early"),
        make("late")
    );
    assert_eq!(scene.begin(server, &script), Started::Runs);
    scene.pass(50);
    let names = |handle: &Handle| {
        let maps = handle.objects("c", false, "ConfigMap");
        let mine = maps
            .iter()
            .map(|c| c.name().to_owned())
            .filter(|n| n == "early" || n == "late");
        mine.collect::<Vec<_>>()
    };
    let mut copy = scene.handle.fork();
    let first = scene.handle.clone();
    let second = copy.handle();
    let mut results = Vec::new();
    for guests in [&mut copy, &mut scene.guests] {
        let before = scene.fake.now;
        scene.fake.now += 60;
        guests.tick(&mut scene.fake);
        scene.fake.now = before;
        results.push(scene.fake.ended.remove(&server).unwrap());
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(
        results[0].return_code,
        0,
        "{:?}",
        String::from_utf8_lossy(&results[0].stderr)
    );
    assert!(results[0].stdout.starts_with(b"configmap/early created\nbegun\n"));
    assert_eq!(
        (names(&first), names(&second)),
        (
            vec!["early".into(), "late".into()],
            vec!["early".to_owned(), "late".to_owned()]
        )
    );
}
