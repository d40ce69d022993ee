//! The scripts, run by a shell with a stand-in for kubectl.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oneks_driver::secret::ONE_AUTH_BASE64;
use oneks_driver::{Action, Kubeconfig, Observation, Output, Role, Script};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::golden::scripts;
use super::subject::{applied, cluster, control_plane_manifest, documents, group, node_group_manifest};
use super::{ask, schema::Schemas};

/// A shell with a kubectl that is a shell script itself. `$calls` is the file that it may write to.
struct Node {
    folder: TempDir,
}

impl Node {
    fn new(kubectl: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubectl");
        let calls = folder.path().join("calls");
        fs::write(
            &path,
            format!("#!/bin/sh\ncalls='{}'\n{kubectl}", calls.display()),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let node = Self { folder };
        // Time passes only when a script sleeps.
        node.program("date", r#"cat "$clock" 2>/dev/null || echo 1000"#);
        let sleep = r#"now=$(cat "$clock" 2>/dev/null || echo 1000); echo $((now + $1)) >"$clock""#;
        node.program("sleep", sleep);
        node
    }

    /// How long scripts have slept, seconds.
    fn slept(&self) -> u64 {
        let clock = fs::read_to_string(self.folder.path().join("clock")).unwrap_or_default();
        clock.trim().parse::<u64>().map_or(0, |now| now - 1000)
    }

    /// Puts another program in front of the guest's own. `$clock` is a file that it may keep.
    fn program(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        let clock = self.folder.path().join("clock");
        fs::write(&path, format!("#!/bin/sh\nclock='{}'\n{text}\n", clock.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script as the guest agent does.
    fn run(&self, text: &str) -> Output {
        let mut child = Command::new("/bin/sh")
            .args(["-s", "oneks:24:test:1"])
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that ends early does not read the rest.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        let output = child.wait_with_output().unwrap();
        Output {
            return_code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap()
    }
}

/// Notes its arguments, one call a line, and says how much it could read from standard input.
const NOTE: &str =
    "printf '%s\\n' \"$*\" >> \"$calls\"; printf 'stdin %s\\n' \"$(cat | wc -c)\" >> \"$calls\"\n";

fn run_noting(script: &Script) -> String {
    let node = Node::new(NOTE);
    let output = node.run(&script.text);
    assert_eq!((output.return_code, output.stderr.as_str()), (0, ""));
    node.calls()
}

#[test]
fn an_upgrade_changes_the_version_and_nothing_else() {
    let scripts = scripts();
    for (name, wanted) in [
        (
            "upgrade-control-plane",
            "patch rke2controlplanes.v1beta1.controlplane.cluster.x-k8s.io oneks-24 --namespace=default \
             --type=merge --request-timeout=60s --patch={\"spec\":{\"version\":\"v1.34.2+rke2r1\"}}",
        ),
        (
            "upgrade-workers",
            "patch machinedeployments.v1beta1.cluster.x-k8s.io oneks-24-workers --namespace=default \
             --type=merge --request-timeout=60s \
             --patch={\"spec\":{\"template\":{\"spec\":{\"version\":\"v1.34.2+rke2r1\"}}}}",
        ),
    ] {
        assert_eq!(
            run_noting(&scripts[name]),
            format!("{wanted}\nstdin 0\n"),
            "{name}"
        );
    }
}

/// The calls of a script that scales a group whose nodes are made from this template, without those that only ask.
fn scaled(name: &str, template: &str) -> (Vec<String>, String) {
    let node = Node::new(&format!(
        "case \"$*\" in
  get*) printf %s '{template}' ;;
  *) echo \"$*\" >> \"$calls\"; cat >> \"${{calls}}.in\" ;;
esac
"
    ));
    let output = node.run(&scripts()[name].text);
    assert_eq!((output.return_code, output.stderr.as_str()), (0, ""));
    let manifest = fs::read_to_string(node.folder.path().join("calls.in")).unwrap();
    (node.calls().lines().map(ToOwned::to_owned).collect(), manifest)
}

#[test]
fn another_number_of_the_same_nodes_changes_the_number_and_nothing_else() {
    for (name, role, flavour, wanted) in [
        (
            "scale-control-plane",
            Role::ControlPlane,
            "ha",
            "patch rke2controlplanes.v1beta1.controlplane.cluster.x-k8s.io oneks-24 --namespace=default \
             --type=merge --request-timeout=60s --patch={\"spec\":{\"replicas\":3}}",
        ),
        (
            "scale-workers",
            Role::NodeGroup,
            "small",
            "patch machinedeployments.v1beta1.cluster.x-k8s.io oneks-24-workers --namespace=default \
             --type=merge --request-timeout=60s --patch={\"spec\":{\"replicas\":2}}",
        ),
    ] {
        let group = group(role, flavour);
        let text = match role {
            Role::ControlPlane => control_plane_manifest(&cluster(), &group),
            Role::NodeGroup => node_group_manifest(&cluster(), &group),
        };
        let objects = documents(&text);
        let template = objects
            .iter()
            .find(|d| d["kind"] == "ONEMachineTemplate")
            .unwrap();
        let template = template["metadata"]["name"].as_str().unwrap();
        assert_eq!(
            scaled(name, template),
            (vec![wanted.to_owned()], String::new()),
            "{name}"
        );
    }
}

#[test]
fn other_nodes_come_from_templates_of_a_new_name() {
    let (calls, manifest) = scaled("scale-workers", "oneks-24-workers-00000000");
    assert_eq!(calls, ["apply --request-timeout=60s -f -"]);
    assert_eq!(
        manifest,
        node_group_manifest(&cluster(), &group(Role::NodeGroup, "small"))
    );
    let (calls, manifest) = scaled("scale-control-plane", "oneks-24-cp-00000000");
    let objects = documents(&manifest);
    assert_eq!(objects.len(), 1);
    assert_eq!(Schemas::load().check(&objects[0]), Vec::<String>::new());
    let name = objects[0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        calls,
        [
            "apply --request-timeout=60s -f -".to_owned(),
            format!(
                "patch rke2controlplanes.v1beta1.controlplane.cluster.x-k8s.io oneks-24 --namespace=default \
                 --type=merge --request-timeout=60s --patch={{\"spec\":{{\"machineTemplate\":\
                 {{\"infrastructureRef\":{{\"name\":\"{name}\"}}}},\"replicas\":3}}}}"
            ),
        ]
    );
}

#[test]
fn a_group_is_applied_from_its_manifest() {
    let node = Node::new("echo \"$*\" >> \"$calls\"; cat >> \"$calls\"\n");
    let script = &scripts()["provision-workers"];
    let output = node.run(&script.text);
    assert_eq!(output.return_code, 0);
    let calls = node.calls();
    let (arguments, manifest) = calls.split_once('\n').unwrap();
    assert_eq!(arguments, "apply --request-timeout=60s -f -");
    assert_eq!(manifest, applied(script));
}

#[test]
fn a_group_is_deleted_without_waiting_and_whatever_is_missing() {
    let calls = run_noting(&scripts()["deprovision-workers"]);
    let deleted: Vec<_> = calls.lines().filter(|line| !line.starts_with("stdin")).collect();
    assert_eq!(deleted.len(), 4);
    for (line, start) in deleted.iter().zip([
        "delete machinehealthchecks.v1beta1.cluster.x-k8s.io oneks-24-workers ",
        "delete machinedeployments.v1beta1.cluster.x-k8s.io oneks-24-workers ",
        "delete rke2configtemplates.v1beta1.bootstrap.cluster.x-k8s.io \
         --selector=oneks.opennebula.io/group=oneks-24-workers ",
        "delete onemachinetemplates.v1beta1.infrastructure.cluster.x-k8s.io \
         --selector=oneks.opennebula.io/group=oneks-24-workers ",
    ]) {
        assert!(line.starts_with(start), "{line}");
        assert!(line.contains("--ignore-not-found --wait=false"), "{line}");
    }
    assert_eq!(calls.matches("stdin 0\n").count(), 4);
}

#[test]
fn the_credential_goes_to_kubectl_by_a_pipe() {
    let secret = STANDARD.encode("alice:0123");
    let text = scripts()["rotate"].text.replace(ONE_AUTH_BASE64, &secret);
    let node = Node::new(&format!(
        "echo \"call $*\" >> \"$calls\"; cat >> \"$calls\"
case \"$*\" in *' secrets '*) printf %s '{secret}' ;; *' daemonsets.apps '*) echo daemonset.apps/ccm ;; esac\n"
    ));
    let output = node.run(&text);
    assert_eq!(
        (output.return_code, output.stdout.as_str()),
        (0, ""),
        "{}",
        output.stderr
    );
    let calls = node.calls();
    let arguments: Vec<_> = calls.lines().filter(|line| line.starts_with("call ")).collect();
    assert_eq!(
        arguments,
        [
            "call apply --request-timeout=60s -f -",
            "call get secrets oneks-24 --namespace=default --request-timeout=30s -o jsonpath={.data.ONE_AUTH}",
            "call get daemonsets.apps --namespace=kube-system --selector=k8s-app=cloud-controller-manager \
             --request-timeout=30s -o name",
            "call patch daemonset.apps/ccm --namespace=kube-system --type=merge --request-timeout=60s \
             --patch={\"spec\":{\"template\":{\"metadata\":{\"annotations\":\
             {\"oneks.opennebula.io/credential\":\"1\"}}}}}",
            "call rollout status daemonset.apps/ccm --namespace=kube-system --timeout=180s",
        ]
    );
    let manifest: Vec<_> = calls.lines().filter(|l| !l.starts_with("call ")).collect();
    let manifest = manifest.join("\n");
    let secrets = documents(&manifest);
    let schemas = Schemas::load();
    for object in &secrets {
        assert_eq!(schemas.check(object), Vec::<String>::new());
    }
    assert_eq!(secrets.len(), 3);
    assert_eq!(secrets[0]["data"]["ONE_AUTH"], secret);
    assert_eq!(secrets[2]["metadata"]["name"], "cloud-config");
    let config = STANDARD
        .decode(secrets[2]["data"]["config.yaml"].as_str().unwrap())
        .unwrap();
    let config = &documents(std::str::from_utf8(&config).unwrap())[0];
    assert_eq!(config["opennebula"]["endpoint"]["ONE_AUTH"], "alice:0123");
    let inner = documents(
        secrets[1]["stringData"]["cloud-controller-manager.yaml"]
            .as_str()
            .unwrap(),
    );
    assert_eq!(inner[0]["data"], secrets[2]["data"]);
}

#[test]
fn a_credential_that_is_not_in_use_fails_the_script() {
    let secret = STANDARD.encode("alice:0123");
    let text = scripts()["rotate"].text.replace(ONE_AUTH_BASE64, &secret);
    for (held, rollout, wanted) in [
        ("b2xk", "true", "does not hold the new credential"),
        (&*secret, "{ echo timed out >&2; false; }", "timed out"),
    ] {
        let node = Node::new(&format!(
            "cat >/dev/null
case \"$*\" in *' secrets '*) printf %s '{held}' ;; *' daemonsets.apps '*) echo daemonset.apps/ccm ;;
rollout*) {rollout} ;; esac\n"
        ));
        let output = node.run(&text);
        assert_ne!(output.return_code, 0, "{wanted}");
        assert!(output.stderr.contains(wanted), "{}", output.stderr);
        assert!(!output.stderr.contains(&secret));
    }
}

#[test]
fn a_failing_kubectl_fails_the_script() {
    for (name, script) in scripts() {
        let node = Node::new("echo 'Unable to connect to the server: x' >&2; exit 3\n");
        let output = node.run(&script.text);
        assert_ne!(output.return_code, 0, "{name}");
        assert!(
            output.stderr.contains("Unable to connect"),
            "{name}: {}",
            output.stderr
        );
        assert_eq!(output.stdout, "", "{name}");
    }
}

#[test]
fn a_node_without_kubectl_says_so() {
    let node = Node::new("");
    fs::remove_file(node.folder.path().join("kubectl")).unwrap();
    for tool in ["cat", "base64", "awk"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), node.folder.path().join(tool)).unwrap();
    }
    let text = scripts()["kubeconfig"].text.clone();
    let output = Command::new("/bin/sh")
        .args(["-c", &text])
        .env("PATH", node.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("kubectl is not on this node"));
}

/// Answers of kubectl to the probe's questions, with TAB and line ends as jsonpath prints them.
struct Answers {
    cluster: String,
    group: String,
    conditions: String,
    machines: String,
    nodes: String,
}

impl Answers {
    /// Two workers at rest.
    fn at_rest() -> Self {
        Self {
            cluster: "Provisioned\t\t".to_owned(),
            group: "3\t3\t2\t2\t2\t2\t\tv1.34.2+rke2r1\tRunning\t\t".to_owned(),
            conditions: "Ready\tTrue\t\t\nAvailable\tTrue\t\t\nMachineSetReady\tTrue\t\t\n".to_owned(),
            machines: concat!(
                "oneks-24-workers-7x2lq-8k5zp\tRunning\tv1.34.2+rke2r1\tone://114\toneks-24-workers-7x2lq-8k5zp\t\tTrue\t\t\n",
                "oneks-24-workers-7x2lq-c9wvd\tRunning\tv1.34.2+rke2r1\tone://115\toneks-24-workers-7x2lq-c9wvd\t\tTrue\t\t\n",
            )
            .to_owned(),
            nodes: concat!(
                "oneks-24-4hq6r\tv1.34.2+rke2r1\tone://110\tTrue\n",
                "oneks-24-workers-7x2lq-8k5zp\tv1.34.2+rke2r1\tone://114\tTrue\n",
                "oneks-24-workers-7x2lq-c9wvd\tv1.34.2+rke2r1\tone://115\tTrue\n",
            )
            .to_owned(),
        }
    }

    fn probe(&self) -> Output {
        self.run("probe-workers", "", "")
    }

    /// Asked in doubt: what machines of any group, and provider's machines, are there.
    fn doubt(&self, machines: &str, provider: &str) -> Output {
        self.run("doubt-workers", machines, provider)
    }

    fn run(&self, script: &str, all_machines: &str, provider: &str) -> Output {
        let node = Node::new(
            "here=${0%/*}
case \"$*\" in
  *'get clusters.'*) cat \"$here/cluster\" ;;
  *conditions*' machinedeployments.'* | *'get machinedeployments.'*'range .status.conditions'*) cat \"$here/conditions\" ;;
  *'get machinedeployments.'*) cat \"$here/group\" ;;
  *'get machines.'*--all-namespaces*) cat \"$here/all_machines\" ;;
  *'get machines.'*) cat \"$here/machines\" ;;
  *'get onemachines.'*) cat \"$here/provider\" ;;
  *'get nodes'*) cat \"$here/nodes\" ;;
  *) echo \"unexpected: $*\" >&2; exit 1 ;;
esac
",
        );
        for (name, text) in [
            ("cluster", &self.cluster),
            ("group", &self.group),
            ("conditions", &self.conditions),
            ("machines", &self.machines),
            ("nodes", &self.nodes),
            ("all_machines", &all_machines.to_owned()),
            ("provider", &provider.to_owned()),
        ] {
            fs::write(node.folder.path().join(name), text).unwrap();
        }
        node.run(&scripts()[script].text)
    }

    fn observe(&self) -> Observation {
        observe(self.probe(), 2)
    }
}

fn observe(output: Output, replicas: u32) -> Observation {
    assert_eq!((output.return_code, output.stderr.as_str()), (0, ""));
    let mut group = group(Role::NodeGroup, "small");
    group.replicas = replicas;
    ask(Action::Observe {
        cluster: Box::new(cluster()),
        group: Box::new(group),
        output: Some(output),
    })
    .unwrap()
}

#[test]
fn a_probe_of_a_group_at_rest_is_settled() {
    let output = Answers::at_rest().probe();
    assert_eq!(output.stdout.lines().count(), 1);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["group"]["unavailable"], Value::Null);
    assert_eq!(report["conditions"], json!([]));
    let seen = observe(output, 2);
    assert!(seen.settled, "{:?}", seen.message);
    assert_eq!([seen.replicas, seen.ready, seen.updated], [2; 3]);
    assert_eq!(seen.nodes[0].vm, Some(114));
}

#[test]
fn a_probe_of_a_group_under_way_tells_why() {
    let mut answers = Answers::at_rest();
    answers.group = "4\t3\t2\t3\t1\t2\t1\tv1.34.2+rke2r1\tScalingUp\t\t".to_owned();
    answers.conditions =
        "Ready\tFalse\tWaitingForAvailableMachines\tMinimum availability requires 2 replicas,\n\
                          current \"1\" available\\\u{1b}\nAvailable\tTrue\t\t\n"
            .to_owned();
    answers.machines = concat!(
        "oneks-24-workers-7x2lq-8k5zp\tDeleting\tv1.33.7+rke2r1\tone://114\toneks-24-workers-7x2lq-8k5zp\t",
        "2026-11-22T10:00:00Z\tFalse\tDraining\tDrain not completed yet:\n* Pod shop/db: \"disruption\tbudget\"\n",
        "oneks-24-workers-9r4mt-c9wvd\tProvisioning\tv1.34.2+rke2r1\t\t\t\tFalse\tWaitingForInfrastructure\t1 of 2 completed\n",
    )
    .to_owned();
    let output = answers.probe();
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        report["conditions"],
        json!([{
            "type": "Ready", "status": "False", "reason": "WaitingForAvailableMachines",
            "message": "Minimum availability requires 2 replicas, current \"1\" available\\ ",
        }])
    );
    assert_eq!(
        report["machines"][0]["message"],
        "Drain not completed yet: * Pod shop/db: \"disruption budget\""
    );
    let seen = observe(output, 2);
    assert!(!seen.settled);
    assert_eq!([seen.replicas, seen.ready, seen.updated], [2, 0, 0]);
    assert_eq!(seen.nodes[1].name, "oneks-24-workers-9r4mt-c9wvd");
    assert_eq!(seen.nodes[1].vm, None);
    let message = seen.message.unwrap();
    assert!(message.contains("has not yet seen the last change"), "{message}");
    assert!(
        message.contains("is being deleted: Drain not completed yet"),
        "{message}"
    );
}

/// It looks at what counts until that is as wanted, and then asks for everything. Where nothing changes it tells so after
/// three minutes.
#[test]
fn a_probe_that_waits_answers_once_the_group_is_settled() {
    const RUN: &str = "Running=a\\nRunning=b";
    const WELL: &str = " a=True  b=True  c=False ";
    let version = "v1.34.2+rke2r1";
    for (counts, machines, nodes, waits, what) in [
        ("2|2|2|2|2|2|", RUN, WELL, 0, "settled"),
        ("2|2|2|2|2|2|0", RUN, WELL, 0, "settled, with a zero"),
        ("", "", WELL, 0, "there is nothing to wait for"),
        ("2|2|3|2|2|2|", RUN, WELL, 0, "another number is wanted"),
        ("2|2|2|1|1|1|1", "Running=a\\nFailed=", WELL, 0, "one has failed"),
        ("3|2|2|2|2|2|", RUN, WELL, 180, "not seen by the controller"),
        ("2|2|2|3|2|2|", RUN, WELL, 180, "one too many"),
        ("2|2|2|2|1|2|", RUN, WELL, 180, "one of the old"),
        ("2|2|2|2|2|1|1", RUN, WELL, 180, "one not ready"),
        ("2|2|2||||", "", WELL, 180, "no counts yet"),
        (
            "2|2|2|2|2|2|",
            "Running=a\\n2026-11-22T10:00:00ZDeleting=b",
            WELL,
            180,
            "one is being deleted",
        ),
        (
            "2|2|2|2|2|2|",
            "Running=a\\nProvisioned=",
            WELL,
            180,
            "one has no node",
        ),
        (
            "2|2|2|2|2|2|",
            RUN,
            " a=True  b=Unknown ",
            180,
            "one is out of reach",
        ),
        ("2|2|2|2|2|2|", RUN, "", 180, "nodes are not told"),
    ] {
        let counts = if counts.is_empty() {
            String::new()
        } else {
            format!("{counts}|{version}")
        };
        let node = Node::new(&waiting(&counts, machines, nodes));
        let output = node.run(&scripts()["wait-workers"].text);
        assert_eq!((output.return_code, output.stderr.as_str()), (0, ""), "{what}");
        assert_eq!(node.slept(), waits, "{what}");
        assert_eq!(node.calls().lines().count() as u64, (waits / 10).max(1), "{what}");
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        assert!(report.get("machines").is_some(), "{what}");
    }
}

/// A kubectl that answers what a waiting script asks for. Each look is noted in `$calls`.
fn waiting(counts: &str, machines: &str, nodes: &str) -> String {
    format!(
        r#"case "$*" in
  *'{{.metadata.generation}}|'*) echo counts >>"$calls"; printf %s "{counts}";;
  *'{{range .items[*]}}{{.metadata.deletionTimestamp}}{{.status.phase}}='*) printf '{machines}\n';;
  *'{{range .items[*]}} {{.metadata.name}}='*) printf '{nodes}';;
esac
"#
    )
}

/// As long as something changes it goes on waiting, but not beyond its time.
#[test]
fn a_probe_waits_longer_while_something_changes() {
    let node = Node::new(&waiting(
        "2|2|2|$(wc -l <\"$calls\")|0|0|2|v1.34.2+rke2r1",
        "Provisioning=",
        "",
    ));
    let output = node.run(&scripts()["wait-workers"].text);
    assert_eq!((output.return_code, output.stderr.as_str()), (0, ""));
    assert_eq!(node.slept(), 600);
}

/// An API server that is away for a moment is waited for, and does not fill the output. One that stays away is told of, and
/// nobody waits for what no kubectl knows.
#[test]
fn a_probe_that_waits_survives_an_api_server_that_is_away() {
    let away = |looks: u32| {
        format!(
            r#"echo x >>"$calls"
[ "$(wc -l <"$calls")" -gt {looks} ] || {{ echo 'connection refused' >&2; exit 1; }}
exit 0
"#
        )
    };
    // Another version is nothing to wait for either.
    let node = Node::new(&waiting("2|2|2|2|2|2||v1.33.7+rke2r1", "", ""));
    assert_eq!(node.run(&scripts()["wait-workers"].text).return_code, 0);
    assert_eq!(node.slept(), 0);

    let node = Node::new(&away(4));
    let output = node.run(&scripts()["wait-control-plane"].text);
    assert_eq!((output.return_code, output.stderr.as_str()), (0, ""));
    assert_eq!(node.slept(), 20);

    let node = Node::new(&away(1000));
    let output = node.run(&scripts()["wait-control-plane"].text);
    assert_eq!((output.return_code, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.contains("connection refused"), "{}", output.stderr);
    assert_eq!(node.slept(), 60);

    let kubectl = r#"case "$*" in
  *nodes*) ;;
  *) echo 'error: the server doesn'"'"'t have a resource type "clusters"' >&2; exit 1;;
esac
"#;
    let node = Node::new(kubectl);
    let output = node.run(&scripts()["wait-control-plane"].text);
    assert_eq!(output.return_code, 0, "{}", output.stderr);
    assert_eq!(node.slept(), 0);
}

#[test]
fn a_probe_of_what_does_not_exist_is_no_error() {
    let mut answers = Answers::at_rest();
    answers.group.clear();
    answers.conditions.clear();
    answers.machines.clear();
    let report: Value = serde_json::from_str(&answers.probe().stdout).unwrap();
    assert_eq!(report["group"], Value::Null);
    assert_eq!(report["machines"], json!([]));
    let seen = answers.observe();
    assert!(!seen.settled);
    assert_eq!(
        seen.message.unwrap(),
        "MachineDeployment oneks-24-workers does not exist"
    );
}

/// A VM is forgotten only if nothing bears its name or its provider's id: no machine of any group, no machine of the
/// provider, no node.
#[test]
fn a_probe_in_doubt_tells_what_nothing_stands_for() {
    type Change = fn(&mut Answers);
    // Machines 114 and 115 are there in each case, by name or by id.
    const MACHINES: &str = "oneks-24-workers-7x2lq-114\none://114\nx\noneks-24-workers-7x2lq-115\n\ny\n";
    let forgotten = |answers: &Answers, machines: &str, provider: &str| {
        observe(answers.doubt(machines, provider), 2).forgotten
    };
    let at_rest = Answers::at_rest();
    assert_eq!(observe(at_rest.probe(), 2).forgotten, None, "nobody asked");
    assert_eq!(forgotten(&at_rest, MACHINES, ""), Some(vec![116]));
    assert_eq!(
        forgotten(&at_rest, "", ""),
        Some(vec![116]),
        "nodes have their ids"
    );
    for known in [
        "oneks-24-workers-7x2lq-116\n\n\n",
        "other\none://116\nz\n",
        "other\n\noneks-24-workers-7x2lq-116\n",
    ] {
        let machines = format!("{MACHINES}{known}");
        assert_eq!(forgotten(&at_rest, &machines, ""), Some(vec![]), "{known:?}");
    }
    for known in ["oneks-24-workers-7x2lq-116\n\n", "other\none://116\n"] {
        assert_eq!(forgotten(&at_rest, MACHINES, known), Some(vec![]), "{known:?}");
    }
    for known in [
        "oneks-24-workers-7x2lq-116\t\t\t\n",
        "other\tv1.34.2+rke2r1\tone://116\tFalse\n",
    ] {
        let mut answers = Answers::at_rest();
        answers.nodes += known;
        assert_eq!(forgotten(&answers, MACHINES, ""), Some(vec![]), "{known:?}");
    }
    assert_eq!(
        forgotten(&at_rest, "oneks-24-workers-7x2lq-1160\none://1160\n\n", ""),
        Some(vec![116]),
        "another's name and id only begin like it"
    );
    // While anything is under way, or nobody may act, nobody can say.
    let changes: [Change; 6] = [
        |a| a.cluster = "Provisioned\ttrue\t".to_owned(),
        |a| a.cluster = "Provisioned\t\t2026-11-22T10:00:00Z".to_owned(),
        |a| a.cluster.clear(),
        |a| a.group = "4\t3\t2\t2\t2\t2\t\tv1.34.2+rke2r1\tRunning\t\t".to_owned(),
        |a| a.group = "3\t3\t2\t3\t2\t2\t\tv1.34.2+rke2r1\tRunning\t\t".to_owned(),
        |a| a.nodes = a.nodes.replace("True", "False"),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut answers = Answers::at_rest();
        change(&mut answers);
        assert_eq!(forgotten(&answers, MACHINES, ""), None, "change {n}");
    }
}

/// Of a removed group: as long as any machine of it is there, Cluster API is at work.
#[test]
fn a_probe_of_a_removed_group_tells_what_it_has_left_behind() {
    let mut answers = Answers::at_rest();
    let forgotten = |answers: &Answers, replicas: u32| observe(answers.doubt("", ""), replicas).forgotten;
    answers.nodes.clear();
    assert_eq!(forgotten(&answers, 0), None, "it is still there");
    answers.group.clear();
    assert_eq!(forgotten(&answers, 0), None, "its machines are still there");
    answers.machines.clear();
    assert_eq!(forgotten(&answers, 0), Some(vec![114, 115, 116]));
    assert_eq!(forgotten(&answers, 2), None, "nobody wanted it to go");
    answers.cluster = "Provisioned\ttrue\t".to_owned();
    assert_eq!(forgotten(&answers, 0), None, "it is paused");
}

/// A question that fails is no answer: nothing is taken for forgotten because it could not be seen.
#[test]
fn a_probe_in_doubt_whose_question_fails_says_nothing() {
    for fails in [
        "*'get onemachines.'*",
        "*'get machines.'*--all-namespaces*",
        "*'get nodes'*",
    ] {
        let node = Node::new(&format!(
            "case \"$*\" in\n  {fails}) echo 'connection refused' >&2; exit 1 ;;\n  *'get clusters.'*) printf 'Provisioned\\t\\t' ;;\nesac\n"
        ));
        let output = node.run(&scripts()["doubt-workers"].text);
        assert_eq!((output.return_code, output.stdout.as_str()), (1, ""), "{fails}");
    }
}

#[test]
fn a_hundred_failing_nodes_fit_into_the_guest_agents_way() {
    let mut answers = Answers::at_rest();
    answers.group = "9\t9\t100\t100\t100\t0\t100\tv1.34.2+rke2r1\tScalingUp\t\t".to_owned();
    let long = "word ".repeat(400);
    let lines = |count: u32, line: &dyn Fn(u32) -> String| (0..count).map(line).collect::<Vec<_>>().concat();
    answers.conditions = lines(50, &|i| format!("Condition{i}\tFalse\tReason\t{long}\n"));
    let name = |i: u32| format!("oneks-4294967295-{}-abcde-{i:05}", "w".repeat(32));
    answers.machines = lines(100, &|i| {
        let name = name(i);
        let node = format!("one://{i}\t{name}\t2026-11-22T10:00:00Z");
        format!("{name}\tRunning\tv1.34.2+rke2r1\t{node}\tFalse\tNodeNotReady\t{long}\n")
    });
    answers.nodes = lines(100, &|i| {
        format!("{}\tv1.34.2+rke2r1\tone://{i}\tFalse\n", name(i))
    });
    let output = answers.probe();
    assert!(output.stdout.len() < 40_000, "{}", output.stdout.len());
    let seen = observe(output, 100);
    assert_eq!(seen.nodes.len(), 100);
    assert_eq!(seen.ready, 0);
}

/// As `kubectl config view --raw` prints it on a node.
const KUBECONFIG: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
";

fn kubeconfig(
    cluster: oneks_driver::Cluster,
    output: Output,
) -> Result<Kubeconfig, oneks_driver::DriverError> {
    ask(Action::Kubeconfig {
        cluster: Box::new(cluster),
        group: Box::new(group(Role::ControlPlane, "ha")),
        output: Some(output),
    })
}

#[test]
fn a_kubeconfig_leads_to_the_endpoint() {
    let authority = "LS0tLS1CRUdJTiBDRVJU".repeat(60);
    let printed = KUBECONFIG.replace("Q0E=", &authority);
    let node = Node::new(&format!(
        "[ \"$*\" = 'config view --raw' ] && cat <<'END'\n{printed}END\n"
    ));
    let output = node.run(&scripts()["kubeconfig"].text);
    for (host, server) in [
        ("192.0.2.10", "https://192.0.2.10:6443"),
        ("2001:db8::1", "https://[2001:db8::1]:6443"),
        ("api.example.org", "https://api.example.org:6443"),
    ] {
        let mut cluster = cluster();
        cluster.endpoint.as_mut().unwrap().host = host.to_owned();
        let text = kubeconfig(cluster, output.clone()).unwrap().kubeconfig;
        assert!(
            text.contains(&format!("    certificate-authority-data: {authority}\n")),
            "{text}"
        );
        let config = &documents(&text)[0];
        assert_eq!(
            *config,
            json!({
                "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": "oneks-24",
                "clusters": [{"name": "oneks-24", "cluster": {"certificate-authority-data": authority, "server": server}}],
                "contexts": [{"name": "oneks-24", "context": {"cluster": "oneks-24", "user": "oneks-24-admin"}}],
                "users": [{"name": "oneks-24-admin", "user": {
                    "client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ",
                }}],
            })
        );
    }
}

#[test]
fn a_cluster_whose_router_is_lost_says_its_addresses_itself() {
    let mut lost = cluster();
    lost.endpoint = None;
    let script: Script = ask(Action::Kubeconfig {
        cluster: Box::new(lost.clone()),
        group: Box::new(group(Role::ControlPlane, "ha")),
        output: None,
    })
    .unwrap();
    let known = &scripts()["kubeconfig"].text;
    assert!(!known.contains("oneclusters"), "asked only where it is needed");
    for (said, endpoint, gateway) in [
        ("192.0.2.10\\t6443\\t198.51.100.10", true, Some("198.51.100.10")),
        ("192.0.2.10\\t6443\\t", true, None),
        ("", false, None),
    ] {
        let node = Node::new(&format!(
            "if [ \"$*\" = 'config view --raw' ]; then cat <<'END'\n{KUBECONFIG}END\nelse printf '{said}'; fi\n"
        ));
        let answer = kubeconfig(lost.clone(), node.run(&script.text));
        if !endpoint {
            assert_eq!(answer.unwrap_err().reason, "EndpointUnknown");
            continue;
        }
        let answer = answer.unwrap();
        assert!(answer.kubeconfig.contains("https://192.0.2.10:6443"));
        assert_eq!(answer.endpoint.unwrap().host, "192.0.2.10");
        assert_eq!(answer.gateway.as_deref(), gateway);
        // What is known counts.
        let answer = kubeconfig(cluster(), node.run(&script.text)).unwrap();
        assert_eq!((answer.endpoint, answer.gateway), (None, None));
    }
    // A cluster that does not own itself has no such object; the kubeconfig is good all the same.
    let node = Node::new(&format!(
        "if [ \"$*\" = 'config view --raw' ]; then cat <<'END'\n{KUBECONFIG}END\nelse exit 1; fi\n"
    ));
    let output = node.run(&script.text);
    assert_eq!(output.return_code, 0, "{}", output.stderr);
    assert!(kubeconfig(cluster(), output).is_ok());
}

#[test]
fn no_kubeconfig_is_an_error_that_does_not_quote_it() {
    let output = |return_code, stdout: &str, stderr: &str| Output {
        return_code,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    };
    let error = kubeconfig(cluster(), output(1, "", "error: x\n")).unwrap_err();
    assert_eq!((error.reason.as_str(), error.retry), ("KubeconfigFailed", true));
    let mut early = cluster();
    early.endpoint = None;
    let error = kubeconfig(early, output(0, KUBECONFIG, "")).unwrap_err();
    assert_eq!((error.reason.as_str(), error.retry), ("EndpointUnknown", true));
    for broken in [
        "",
        "null",
        "[]",
        "clusters: []",
        "secret: S0VZ: S0VZ",
        &KUBECONFIG.replace(
            "users:\n- name: default\n  user:",
            "users:\n- name: default\n  else:",
        ),
        &KUBECONFIG[..KUBECONFIG.len() - 40],
    ] {
        let error = kubeconfig(cluster(), output(0, broken, "")).unwrap_err();
        assert_eq!(
            (error.reason.as_str(), error.retry),
            ("BadOutput", true),
            "{broken}"
        );
        assert!(!error.message.contains("S0VZ"), "{error}");
    }
}
