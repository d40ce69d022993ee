//! The driver `dummy` as the hooks run it: one request on standard input, one reply on standard output.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // what a test's helper can't do fails the test

use std::io::Write;
use std::process::{Command, Stdio};

use opennebula::template::{Template, vector_value};
use serde_json::{Value, json};

fn run(input: &str) -> Value {
    let mut driver = Command::new(env!("CARGO_BIN_EXE_dummy"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    driver.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success(), "{input}");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn cluster() -> Value {
    json!({
        "id": 7,
        "name": "oneks-7",
        "display_name": "a \"b\"\n]]>",
        "owner": {"uid": 2, "name": "alice"},
        "kubernetes_version": "v1.34.2",
        "placement": {
            "cluster_id": 100,
            "public": {"id": 0, "name": "public"},
            "private": {"id": 1, "name": "private \"x\""},
        },
        "endpoint": {"host": "192.0.2.12", "port": 6443},
        "xmlrpc": "http://169.254.16.9:2633/RPC2",
    })
}

fn group(role: &str, replicas: u32, vms: &[(u32, &str, &str)]) -> Value {
    let (id, name, key) = match role {
        "control_plane" => (7000, "oneks-7", "control-plane"),
        _ => (7001, "oneks-7-w", "w"),
    };
    let vms: Vec<Value> = vms
        .iter()
        .map(|(id, condition, version)| {
            json!({"id": id, "name": format!("{name}-{id}"), "condition": condition, "version": version})
        })
        .collect();
    json!({
        "id": id, "name": name, "key": key, "role": role, "replicas": replicas, "version": "v1.34.2",
        "inputs": {"cpu": 0.5, "vcpu": 2, "memory": 512},
        "profile": {"family": "general", "flavour": "small"},
        "vms": vms,
    })
}

fn ask(action: &str, group: &Value) -> Value {
    let request = json!({"protocol": 1, "action": action, "cluster": cluster(), "group": group});
    let reply = run(&request.to_string());
    assert_eq!(reply["protocol"], 1);
    assert_eq!(
        reply,
        run(&request.to_string()),
        "equal requests get equal replies"
    );
    reply
}

fn ok(action: &str, group: &Value) -> Value {
    let mut reply = ask(action, group);
    assert!(reply.get("error").is_none(), "{reply}");
    reply["ok"].take()
}

fn template(text: &Value) -> Template {
    Template::parse_text(text.as_str().unwrap()).unwrap()
}

/// What every VM must have: a tag by which it is found, a size, a place, a NIC unless the router gives it, no disk.
fn assert_vm(template: &Template, kind: &str, group: &str) {
    for (key, value) in [
        ("CLUSTER_ID", "7"),
        ("GROUP_ID", group),
        ("TYPE", kind),
        ("CLUSTER_NAME", "oneks-7"),
    ] {
        assert_eq!(template.get_in("ONEKS", key), Some(value), "{kind} {key}");
    }
    for (name, value) in [
        ("CPU", "0.5"),
        ("VCPU", "2"),
        ("MEMORY", "512"),
        ("SCHED_REQUIREMENTS", "CLUSTER_ID = 100"),
        ("ONEKS_KUBERNETES_VERSION", "v1.34.2"),
    ] {
        assert_eq!(template.get(name), Some(value), "{kind} {name}");
    }
    assert!(!template.contains("DISK") && !template.contains("NAME"));
    let network = template.get_in("NIC", "NETWORK_ID");
    assert_eq!(network, (kind != "ROUTER").then_some("1"), "{kind}");
}

#[test]
fn it_says_what_it_can_do() {
    let reply = run(r#"{"protocol":1,"action":"info"}"#);
    assert_eq!(reply["ok"]["name"], "dummy");
    assert_eq!(
        reply["ok"]["capabilities"],
        json!({"guest": false, "upgrade": true, "resize_control_plane": true, "rotate": false})
    );
}

#[test]
fn what_it_has_no_guest_for_is_an_unknown_action() {
    for action in ["probe", "rotate", "dance"] {
        let reply = ask(action, &group("control_plane", 1, &[]));
        assert_eq!(reply["error"]["reason"], "UnknownAction", "{action}");
        assert_eq!(reply["error"]["retry"], false);
    }
    assert_eq!(run("nonsense")["error"]["reason"], "BadRequest");
}

#[test]
fn sizes_are_checked_by_path() {
    assert_eq!(
        ok("validate", &group("node_group", 1, &[])),
        json!({"errors": []})
    );
    for (role, input, value, path) in [
        (
            "node_group",
            "cpu",
            json!(0),
            "node_groups[w].user_inputs_values.cpu",
        ),
        (
            "node_group",
            "vcpu",
            json!(1.5),
            "node_groups[w].user_inputs_values.vcpu",
        ),
        (
            "control_plane",
            "memory",
            json!("much"),
            "control_plane.user_inputs_values.memory",
        ),
        (
            "control_plane",
            "memory",
            Value::Null,
            "control_plane.user_inputs_values.memory",
        ),
    ] {
        let mut group = group(role, 1, &[]);
        group["inputs"][input] = value;
        let errors = ok("validate", &group)["errors"].take();
        assert_eq!(errors.as_array().map(Vec::len), Some(1), "{errors}");
        assert_eq!(errors[0]["path"], path);
        let reply = ask("provision", &group);
        assert_eq!(reply["error"]["reason"], "BadRequest", "{reply}");
    }
}

#[test]
fn a_cluster_starts_with_a_seed_a_router_and_its_template() {
    let bootstrap = ok("bootstrap", &group("control_plane", 3, &[]));
    assert_eq!(bootstrap["nodes"], "hooks");
    let seed = &bootstrap["seed"];
    assert_eq!(
        (&seed["vm"]["name"], &seed["done"]["by"]),
        (&json!("oneks-7-seed"), &json!("running"))
    );
    assert_vm(&template(&seed["vm"]["text"]), "SEED", "7000");

    let router = &bootstrap["router"];
    assert_eq!(
        (
            &router["by"],
            &router["name"],
            &router["template"],
            &router["replicas"]
        ),
        (
            &json!("hooks"),
            &json!("oneks-7-cp"),
            &json!("oneks-7-router"),
            &json!(1)
        )
    );
    let text = template(&router["text"]);
    let nics: Vec<_> = text
        .get_vectors("NIC")
        .map(|nic| ["NETWORK_ID", "FLOATING_IP", "FLOATING_ONLY"].map(|key| vector_value(nic, key)))
        .collect();
    assert_eq!(
        nics,
        [
            [Some("0"), Some("YES"), Some("YES")],
            [Some("1"), Some("YES"), None]
        ]
    );

    let templates = bootstrap["templates"].as_array().unwrap();
    assert_eq!(
        templates.iter().map(|t| &t["name"]).collect::<Vec<_>>(),
        [&router["template"]]
    );
    let vm = template(&templates[0]["text"]);
    assert_vm(&vm, "ROUTER", "7000");
    assert_eq!(vm.get("VROUTER"), Some("YES"));
    assert!(
        vm.get_vector("CONTEXT")
            .is_some_and(|context| !context.is_empty())
    );
}

#[test]
fn missing_nodes_are_made_and_surplus_ones_removed() {
    let steps = ok(
        "provision",
        &group("control_plane", 3, &[(0, "running", "v1.34.2")]),
    );
    let names: Vec<_> = steps["vms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vm| &vm["name"])
        .collect();
    assert_eq!(names, ["oneks-7-1", "oneks-7-2"]);
    assert_vm(&template(&steps["vms"][0]["text"]), "CONTROL_PLANE", "7000");

    let vms = [
        (0, "running", "v1.34.2"),
        (1, "failed", "v1.34.2"),
        (2, "running", "v1.34.2"),
        (3, "down", "v1.34.2"),
    ];
    let steps = ok("scale", &group("node_group", 2, &vms));
    assert_eq!((&steps["vms"], &steps["remove"]), (&json!([]), &json!([1, 3])));
    let steps = ok("scale", &group("node_group", 4, &vms));
    assert_eq!(steps["vms"][0]["name"], "oneks-7-w-4");
    assert_vm(&template(&steps["vms"][0]["text"]), "NODE", "7001");

    let steps = ok("upgrade", &group("node_group", 1, &[(0, "running", "v1.33.7")]));
    assert_eq!(
        (&steps["vms"][0]["name"], &steps["remove"]),
        (&json!("oneks-7-w-1"), &json!([]))
    );
    let steps = ok("deprovision", &group("node_group", 3, &vms));
    assert_eq!(
        (&steps["vms"], &steps["remove"]),
        (&json!([]), &json!([0, 1, 2, 3]))
    );
}

#[test]
fn a_group_is_settled_when_what_runs_is_what_is_wanted() {
    for (want, vms, settled, counts) in [
        (0, vec![], true, [0, 0, 0]),
        (1, vec![(0, "running", "v1.34.2")], true, [1, 1, 1]),
        (
            1,
            vec![(0, "running", "v1.34.2"), (1, "ending", "v1.33.7")],
            true,
            [1, 1, 1],
        ),
        (2, vec![(0, "running", "v1.34.2")], false, [1, 1, 1]),
        (
            1,
            vec![(0, "running", "v1.34.2"), (1, "running", "v1.34.2")],
            false,
            [2, 2, 2],
        ),
        (1, vec![(0, "starting", "v1.34.2")], false, [1, 0, 1]),
        (1, vec![(0, "running", "v1.33.7")], false, [1, 1, 0]),
    ] {
        let seen = ok("observe", &group("node_group", want, &vms));
        assert_eq!(seen["settled"], settled, "{vms:?}");
        let got = [&seen["replicas"], &seen["ready"], &seen["updated"]];
        assert_eq!(got, counts.map(Value::from).each_ref(), "{vms:?}");
        assert_eq!(seen.get("message").is_none(), settled);
    }
    let vms = [
        (0, "running", "v1.33.10"),
        (1, "running", "v1.33.7"),
        (2, "running", "v1.34.2"),
    ];
    let seen = ok("observe", &group("node_group", 3, &vms));
    assert_eq!(seen["version"], "v1.33.7", "the lowest by its numbers");
    assert_eq!(
        seen["nodes"][1],
        json!({"name": "oneks-7-w-1", "vm": 1, "ready": true, "version": "v1.33.7"})
    );
}

#[test]
fn the_kubeconfig_leads_to_the_endpoint() {
    let kubeconfig = ok("kubeconfig", &group("control_plane", 1, &[]))["kubeconfig"].take();
    let text = kubeconfig.as_str().unwrap();
    let config: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(
        config["clusters"][0]["cluster"]["server"],
        "https://192.0.2.12:6443"
    );
    assert_eq!(config["contexts"][0]["name"], config["current-context"]);
}
