//! Commands in guests.

use super::*;

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
