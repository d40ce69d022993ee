//! What the driver makes of the probe's output.

use oneks_driver::{Action, DriverError, Group, Observation, Output, Role};
use serde_json::{Value, json};

use super::ask;
use super::subject::{cluster, group};

fn observe(group: &Group, output: Option<Output>) -> Result<Observation, DriverError> {
    ask(Action::Observe {
        cluster: Box::new(cluster()),
        group: Box::new(group.clone()),
        output,
    })
}

fn said(report: &Value) -> Output {
    Output {
        return_code: 0,
        stdout: report.to_string(),
        stderr: String::new(),
    }
}

fn machine(name: &str, vm: u32) -> Value {
    json!({
        "name": name, "phase": "Running", "version": "v1.34.2+rke2r1", "provider": format!("one://{vm}"),
        "node": name, "kubelet": "v1.34.2+rke2r1", "node_provider": format!("one://{vm}"), "ready": true,
    })
}

/// A group of that size at rest.
fn at_rest(size: usize) -> Value {
    let machines: Vec<Value> = (0..size)
        .map(|i| {
            machine(
                &format!("oneks-24-workers-7x2lq-n{i}"),
                100 + u32::try_from(i).unwrap(),
            )
        })
        .collect();
    json!({
        "cluster": {"phase": "Provisioned"},
        "group": {
            "generation": 3, "observed": 3, "wanted": size, "replicas": size, "updated": size, "ready": size,
            "unavailable": 0, "version": "v1.34.2+rke2r1", "phase": "Running",
        },
        "conditions": [],
        "machines": machines,
    })
}

fn workers(replicas: u32) -> Group {
    Group {
        replicas,
        ..group(Role::NodeGroup, "small")
    }
}

#[test]
fn a_group_at_rest_is_settled() {
    for size in [0, 1, 2, 100] {
        let report = at_rest(size);
        let size = u32::try_from(size).unwrap();
        let seen = observe(&workers(size), Some(said(&report))).unwrap();
        assert!(seen.settled, "{:?}", seen.message);
        assert_eq!([seen.replicas, seen.ready, seen.updated], [size; 3]);
        assert_eq!(seen.version.as_deref(), (size > 0).then_some("v1.34.2"));
        assert_eq!(seen.message, None);
        assert_eq!(seen.nodes.len(), size as usize);
    }
    let seen = observe(&workers(2), Some(said(&at_rest(2)))).unwrap();
    let node = &seen.nodes[1];
    assert_eq!(
        (node.name.as_str(), node.vm),
        ("oneks-24-workers-7x2lq-n1", Some(101))
    );
    assert!(node.ready);
    assert_eq!(node.version.as_deref(), Some("v1.34.2"));
}

#[test]
fn counts_of_zero_may_be_absent() {
    let mut report = at_rest(0);
    for count in ["replicas", "updated", "ready", "unavailable"] {
        report["group"][count] = Value::Null;
    }
    assert!(observe(&workers(0), Some(said(&report))).unwrap().settled);
}

#[test]
fn a_control_plane_is_read_by_the_same_rules() {
    let mut plane = group(Role::ControlPlane, "ha");
    let mut report = at_rest(3);
    report["group"]["phase"] = json!("");
    let seen = observe(&plane, Some(said(&report))).unwrap();
    assert!(seen.settled, "{:?}", seen.message);
    plane.version = "v1.33.7".to_owned();
    let seen = observe(&plane, Some(said(&report))).unwrap();
    assert!(!seen.settled);
    assert!(
        seen.message
            .unwrap()
            .starts_with("RKE2ControlPlane asks for \"v1.34.2+rke2r1\", not v1.33.7+rke2r1")
    );
}

type Change = fn(&mut Value);

#[test]
fn what_is_under_way_is_not_settled_and_named() {
    let cases: [(Change, &str); 20] = [
        (
            |r| r["group"] = Value::Null,
            "MachineDeployment oneks-24-workers does not exist",
        ),
        (
            |r| r["group"]["observed"] = json!(2),
            "has not yet seen the last change",
        ),
        (
            |r| r["group"]["observed"] = Value::Null,
            "has not yet seen the last change",
        ),
        (
            |r| r["group"]["generation"] = Value::Null,
            "has not yet seen the last change",
        ),
        (
            |r| r["group"]["wanted"] = json!(5),
            "MachineDeployment asks for 5 nodes, not 2",
        ),
        (
            |r| r["group"]["version"] = json!("v1.33.7+rke2r1"),
            "asks for \"v1.33.7+rke2r1\"",
        ),
        (
            |r| r["group"]["ready"] = json!(1),
            "nodes: 2 wanted, 2 there, 1 ready, 2 up to date",
        ),
        (
            |r| r["group"]["updated"] = json!(1),
            "nodes: 2 wanted, 2 there, 2 ready, 1 up to date",
        ),
        (
            |r| r["group"]["replicas"] = json!(3),
            "nodes: 2 wanted, 3 there, 2 ready, 2 up to date",
        ),
        (
            |r| r["group"]["unavailable"] = json!(1),
            "nodes: 2 wanted, 2 there, 2 ready",
        ),
        (
            |r| r["group"]["deleting"] = json!(true),
            "oneks-24-workers is being deleted",
        ),
        (
            |r| r["group"]["failure"] = json!("no image"),
            "has failed: no image",
        ),
        (
            |r| r["cluster"] = Value::Null,
            "the Cluster API cluster does not exist",
        ),
        (|r| r["cluster"]["paused"] = json!(true), "paused"),
        (
            |r| {
                r["machines"][1]["deleting"] = json!(true);
                r["machines"][1]["message"] = json!("Drain not completed yet: PDB shop/db");
            },
            "oneks-24-workers-7x2lq-n1 is being deleted: Drain not completed yet: PDB shop/db",
        ),
        (
            |r| r["machines"][0]["version"] = json!("v1.33.7+rke2r1"),
            "nodes still of version v1.33.7+rke2r1: 1",
        ),
        (
            |r| r["machines"][0]["ready"] = json!(false),
            "the node of oneks-24-workers-7x2lq-n0 is not ready",
        ),
        (
            |r| r["machines"][0]["kubelet"] = json!("v1.33.7+rke2r1"),
            "the node of oneks-24-workers-7x2lq-n0 runs v1.33.7+rke2r1",
        ),
        (
            |r| {
                r["machines"][0] = json!({
                    "name": "oneks-24-workers-7x2lq-n0", "phase": "Provisioning", "version": "v1.34.2+rke2r1",
                    "reason": "WaitingForInfrastructure",
                });
            },
            "oneks-24-workers-7x2lq-n0 has no node yet (Provisioning): WaitingForInfrastructure",
        ),
        (
            |r| drop(r["machines"].as_array_mut().unwrap().pop()),
            "machines: 2 wanted, 1 there",
        ),
    ];
    for (i, (change, wanted)) in cases.iter().enumerate() {
        let mut report = at_rest(2);
        change(&mut report);
        let seen = observe(&workers(2), Some(said(&report))).unwrap();
        assert!(!seen.settled, "case {i}");
        let message = seen.message.unwrap();
        assert!(message.contains(wanted), "case {i}: {message}");
    }
}

#[test]
fn a_rolling_upgrade_is_counted_node_by_node() {
    let mut group = workers(2);
    group.version = "v1.34.2".to_owned();
    let mut report = at_rest(3);
    report["group"]["wanted"] = json!(2);
    report["group"]["updated"] = json!(1);
    for field in ["version", "kubelet"] {
        report["machines"][0][field] = json!("v1.33.7+rke2r1");
        report["machines"][1][field] = json!("v1.33.10+rke2r1");
    }
    report["machines"][0]["deleting"] = json!(true);
    report["conditions"] = json!([
        {"type": "MachinesReady", "status": "False", "reason": "Deleting", "message": "draining"},
    ]);
    let seen = observe(&group, Some(said(&report))).unwrap();
    assert!(!seen.settled);
    assert_eq!([seen.replicas, seen.ready, seen.updated], [3, 2, 1]);
    assert_eq!(seen.version.as_deref(), Some("v1.33.7"));
    assert!(!seen.nodes[0].ready && seen.nodes[2].ready);
    let message = seen.message.unwrap();
    assert!(
        message.starts_with("nodes: 2 wanted, 3 there, 3 ready, 1 up to date; "),
        "{message}"
    );
    assert!(
        message.contains("n0 is being deleted; nodes still of version v1.33.10+rke2r1: 1; "),
        "{message}"
    );
    assert!(message.contains("MachinesReady is False: draining"), "{message}");
}

#[test]
fn a_condition_alone_does_not_unsettle_a_group() {
    let mut report = at_rest(2);
    report["conditions"] = json!([{"type": "Available", "status": "Unknown", "reason": "X", "message": ""}]);
    assert!(observe(&workers(2), Some(said(&report))).unwrap().settled);
}

#[test]
fn long_tales_are_cut() {
    let mut report = at_rest(30);
    for machine in report["machines"].as_array_mut().unwrap() {
        machine["ready"] = json!(false);
        machine["message"] = json!("x".repeat(200));
    }
    let message = observe(&workers(30), Some(said(&report)))
        .unwrap()
        .message
        .unwrap();
    assert!(message.len() <= 800 + 20, "{}", message.len());
}

#[test]
fn output_that_says_nothing_is_an_error_to_try_again() {
    let failed = Output {
        return_code: 1,
        stdout: String::new(),
        stderr: "Warning: x\nThe connection to the server 127.0.0.1:6443 was refused\n\n".to_owned(),
    };
    let error = observe(&workers(2), Some(failed)).unwrap_err();
    assert_eq!((error.reason.as_str(), error.retry), ("ProbeFailed", true));
    assert_eq!(
        error.message,
        "Kubernetes could not be asked about oneks-24-workers: \
         The connection to the server 127.0.0.1:6443 was refused"
    );
    for stdout in [
        "",
        "{",
        "{\"cluster\":null,\"group\":null,\"conditions\":[],\"mach",
        "[]",
    ] {
        let output = Output {
            return_code: 0,
            stdout: stdout.to_owned(),
            stderr: String::new(),
        };
        let error = observe(&workers(2), Some(output)).unwrap_err();
        assert_eq!(
            (error.reason.as_str(), error.retry),
            ("BadOutput", true),
            "{stdout}"
        );
    }
    let error = observe(&workers(2), None).unwrap_err();
    assert_eq!((error.reason.as_str(), error.retry), ("BadRequest", false));
}
