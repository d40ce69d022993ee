//! Whole lives by command alone.

use oneks_core::state::ClusterState;
use oneks_core::status::{Credential, Rotation, RotationStage, Truth};

use super::{Cloud, spec};

#[test]
fn a_cluster_is_created_scaled_upgraded_and_deleted() {
    let mut cloud = Cloud::new();
    cloud.file("cluster.yaml", &serde_saphyr::to_string(&spec()).unwrap());

    let created = cloud.watch("create cluster web --file cluster.yaml --wait");
    assert_eq!(created.out, "ID: 0\n", "{}", created.err);
    assert!(created.err.contains("PROVISIONING"), "{}", created.err);
    assert!(
        created
            .err
            .trim_end()
            .ends_with("RUNNING  control-plane 1/1, workers 2/2"),
        "{}",
        created.err
    );
    created.good();

    let csv = cloud
        .alice("list cluster -l ID,USER,GROUP,NAME,STATE,VERSION,NODES --csv")
        .good();
    assert_eq!(
        csv,
        "ID,USER,GROUP,NAME,STATE,VERSION,NODES\n0,alice,users,web,RUNNING,v1.33.7,3/3\n"
    );

    cloud.watch("scale nodegroup web/workers -n 3 --wait").good();
    let groups = cloud
        .alice("list nodegroup web -l NAME,NODES --csv --no-header")
        .good();
    assert_eq!(groups, "control-plane,1/1\nworkers,3/3\n");

    cloud.alice("upgrade cluster web -k 1.34.2").good();
    let shown = cloud.alice("show cluster web").good();
    let line = |name: &str| shown.lines().find(|l| l.starts_with(name)).map(str::to_owned);
    let ends = |name: &str, version: &str| line(name).is_some_and(|l| l.ends_with(version));
    assert!(
        ends("VERSION", "v1.33.7") && ends("WANTED VERSION", "v1.34.2"),
        "{shown}"
    );
    cloud.watch("upgrade cluster web -k 1.34.2 --wait").good();
    let shown = cloud.alice("show cluster web").good();
    assert!(!shown.contains("WANTED VERSION"), "{shown}");
    let version = cloud.alice("list -l VERSION,STATE --csv --no-header").good();
    assert_eq!(version, "v1.34.2,RUNNING\n");

    cloud
        .watch("create nodegroup more -c web --flavour medium -n 1 --label tier=db --wait")
        .good();
    cloud.watch("delete nodegroup workers --wait").good();
    let groups = cloud
        .alice("list nodegroup -l NAME,FLAVOUR,NODES --csv --no-header")
        .good();
    assert_eq!(groups, "control-plane,standalone,1/1\nmore,medium,1/1\n");

    let deleted = cloud.watch("delete cluster web --wait");
    assert!(deleted.err.trim_end().ends_with("deleted"), "{}", deleted.err);
    deleted.good();
    assert_eq!(cloud.life.left_over(), Vec::<String>::new());
    assert_eq!(cloud.life.errors, Vec::<String>::new());
}

#[test]
fn what_a_newer_version_wrote_into_spec_is_kept() {
    let (cloud, id) = Cloud::with_web();
    cloud.alice("update cluster web --description production").good();
    let mut wanted = spec();
    wanted["description"] = "production".into();
    assert_eq!(cloud.spec_of(id), wanted);
}

#[test]
fn waiting_ends_in_time_and_says_what_for() {
    let (cloud, _) = Cloud::with_web();
    // No time passes, so the hooks never come to look.
    let answer = cloud.alice("scale nodegroup workers -n 5 --wait --timeout 1 --interval 0");
    let told = answer.failed(6);
    assert!(told.contains("waiting for the hooks to notice"), "{told}");
    assert!(told.contains("oneks show cluster 0"), "{told}");
}

#[test]
fn a_refused_specification_ends_the_wait_with_the_reason() {
    let mut cloud = Cloud::new();
    let mut bad = spec();
    bad["deployment"]["cluster"]["id"] = 77.into();
    cloud.file("bad.json", &bad.to_string());
    let answer = cloud.watch("create cluster web --file bad.json --wait");
    assert_eq!(answer.out, "ID: 0\n");
    let told = answer.failed(4);
    assert!(told.contains("there is no OpenNebula cluster 77"), "{told}");
    let explained = cloud.alice("explain cluster web").good();
    assert!(
        explained.contains("there is no OpenNebula cluster 77"),
        "{explained}"
    );
    assert!(explained.contains("oneks update cluster 0"), "{explained}");
}

#[test]
fn a_protected_cluster_is_not_deleted() {
    let (mut cloud, id) = Cloud::with_web();
    cloud
        .alice("update cluster web --deletion-protection true")
        .good();
    let told = cloud.alice("delete cluster web").failed(4);
    assert!(told.contains("--deletion-protection false"), "{told}");
    assert_eq!(cloud.life.attribute(id, "DELETE"), None);
    cloud
        .alice("update cluster web --deletion-protection false")
        .good();
    cloud.watch("delete cluster web --wait").good();
}

#[test]
fn the_kubeconfig_is_printed_written_and_merged() {
    let (cloud, _) = Cloud::with_web();
    let printed = cloud.alice("kubeconfig 0").good();
    assert!(printed.contains("apiVersion"), "{printed}");
    assert_eq!(cloud.alice("show cluster web --kubeconfig").good(), printed);
    cloud
        .alice("kubeconfig cluster web --output web.kubeconfig")
        .good();
    let file = cloud.prefix.root().join("web.kubeconfig");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed);
    assert_eq!(mode(&file), 0o600);
    cloud.alice("kubeconfig cluster web --merge").good();
    let config = cloud.prefix.root().join(".kube/config");
    assert!(
        std::fs::read_to_string(&config)
            .unwrap()
            .contains("current-context: web")
    );
    assert_eq!(mode(&config), 0o600);
}

fn mode(path: &std::path::Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn rights_and_names_change() {
    let (mut cloud, id) = Cloud::with_web();
    assert!(
        cloud
            .run("mallory", "show cluster 0")
            .failed(7)
            .contains("AUTHORIZATION")
    );
    cloud.alice("chmod cluster web 640").good();
    cloud.run("mallory", "show cluster 0").good();
    cloud.run("mallory", "delete cluster 0").failed(7);
    cloud.alice("rename cluster web shop").good();
    cloud.alice("rename nodegroup shop/workers backend").good();
    cloud.life.pass_time(5);
    let names = cloud
        .alice("list nodegroup -l CLUSTER,NAME --csv --no-header")
        .good();
    assert_eq!(names, "shop,control-plane\nshop,backend\n");
    assert_eq!(cloud.spec_of(id)["node_groups"][0]["name"], "workers");
    assert!(
        cloud
            .alice("chgrp cluster shop nobody")
            .failed(3)
            .contains("nobody")
    );
    cloud.run("oneadmin", "chgrp cluster shop 0").good();
}

#[test]
fn a_failure_is_explained_and_recovered() {
    let (mut cloud, id) = Cloud::with_web();
    let vm = cloud
        .life
        .sandbox
        .live_vms()
        .into_iter()
        .find(|vm| vm.meta.name.contains("workers"))
        .unwrap();
    assert!(cloud.life.sandbox.power_off_outside(vm.meta.id));
    cloud.life.until_state(id, "WARNING", 600);
    let explained = cloud.alice("explain web -j");
    assert_eq!(explained.code, 2, "a name needs its resource");
    let explained = cloud.alice("explain cluster web").good();
    assert!(explained.contains("is WARNING since"), "{explained}");
    assert!(explained.contains(&format!("VM {}", vm.meta.id)), "{explained}");
    assert!(explained.contains("POWEROFF"), "{explained}");
    let events = cloud.alice("events cluster web").good();
    assert!(events.contains("cluster: RUNNING → WARNING"), "{events}");
    let json: serde_json::Value =
        serde_json::from_str(&cloud.alice("explain cluster web -j").good()).unwrap();
    assert_eq!(json["state"], "WARNING");
}

#[test]
fn a_cluster_without_credential_has_nothing_to_rotate() {
    let (mut cloud, id) = Cloud::with_web();
    let plan = cloud.alice("plan cluster web --rotate").good();
    assert!(plan.contains("nothing is left to do"), "{plan}");
    assert_eq!(cloud.life.status(id).rotated, None, "a plan changes nothing");
    let rotated = cloud.watch("rotate cluster web --wait");
    assert!(rotated.err.contains("RUNNING"), "{}", rotated.err);
    rotated.good();
    let shown = cloud.alice("show cluster web").good();
    assert!(shown.contains("NothingToRotate"), "{shown}");
}

#[test]
fn a_rotation_is_explained_and_shown() {
    let (cloud, id) = Cloud::with_web();
    let now = cloud.life.sandbox.now();
    let credential = |serial: u32| Credential {
        serial,
        issued: now - 7200,
        expires: Some(now + 600),
    };
    let mut status = cloud.life.status(id);
    status.state = ClusterState::Warning;
    status.credential = Some(credential(2));
    status.set_condition(
        now,
        "CredentialExpiring",
        Truth::True,
        "Expiring",
        "credential 1 ends soon",
    );
    status.set_condition(
        now,
        "CredentialRotated",
        Truth::False,
        "GuestCommandFailed",
        "it went wrong",
    );
    status.rotation = Some(Rotation {
        started: now - 3600,
        stage: RotationStage::HandOver,
        old: Some(credential(1)),
        attempts: 6,
        not_before: now + 60,
        failed: true,
    });
    let write = |status: &oneks_core::Status| {
        cloud.life.set("alice:alicepw", id, "STATUS", &status.to_json());
        cloud
            .life
            .set("alice:alicepw", id, "STATE", status.state.as_str());
    };
    write(&status);
    let explained = cloud.alice("explain cluster web").good();
    for wanted in [
        "credential 1 ends soon",
        "the credential was not replaced: it went wrong (GuestCommandFailed)",
        "the end of the cluster's credential",
        "oneks rotate cluster 0 --wait",
    ] {
        assert!(explained.contains(wanted), "{wanted}: {explained}");
    }
    assert!(!explained.contains("onevm resume"), "{explained}");
    let shown = cloud.alice("show cluster web").good();
    assert!(shown.contains("CREDENTIAL          : 1 of "), "{shown}");
    assert!(shown.contains("credential 1 ends soon"), "{shown}");

    status.state = ClusterState::Running;
    status.clear_condition("CredentialExpiring");
    status.set_condition(
        now,
        "CredentialRotated",
        Truth::Unknown,
        "Rotating",
        "the cluster uses 2",
    );
    status.rotation = Some(Rotation {
        started: now - 60,
        stage: RotationStage::Revoke { after: now + 60 },
        old: None,
        attempts: 0,
        not_before: 0,
        failed: false,
    });
    write(&status);
    let explained = cloud.alice("explain cluster web").good();
    assert!(
        explained.contains("the end of calls with the old credential"),
        "{explained}"
    );
    assert!(explained.contains("hook sweep"), "{explained}");
    let shown = cloud.alice("show cluster web").good();
    assert!(shown.contains("CREDENTIAL          : 2 of "), "{shown}");
}

#[test]
fn the_plan_is_what_the_hooks_then_do() {
    let (mut cloud, _) = Cloud::with_web();
    let plan = cloud.alice("plan cluster web --delete -j").good();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let planned: Vec<&str> = plan["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["call"].as_str().unwrap())
        .collect();
    assert!(!planned.is_empty());
    assert_eq!(plan["next_state"], "DEPROVISIONING");
    assert_eq!(cloud.life.sandbox.live_vms().len(), 4, "a plan changes nothing");

    cloud.life.sandbox.reset_calls();
    cloud.alice("delete cluster web").good();
    cloud.life.pass_time(1);
    let made = cloud.life.sandbox.calls();
    let calls = made.by_method();
    for call in &planned {
        assert!(
            calls.contains_key(*call),
            "{call} was planned, but not made: {calls:?}"
        );
    }
    let idle = cloud.run("mallory", "plan cluster 0");
    assert_eq!(idle.code, 7, "{}", idle.err);
}

#[test]
fn a_request_to_the_rest_interface_is_a_specification_too() {
    let cloud = Cloud::new();
    let request = serde_json::json!({
        "name": "web",
        "description": "from elsewhere",
        "kubernetes_version": "v1.34.2",
        "deployment": {"cluster": {"id": 0}, "networks": {"public": {"id": 0}, "private": {"id": 1}}},
        "spec": {"flavour": "standalone", "family": "general"},
    });
    cloud.file("request.json", &request.to_string());
    assert_eq!(
        cloud.alice("create cluster --file request.json").good(),
        "ID: 0\n"
    );
    let spec = cloud.spec_of(0);
    assert_eq!(spec["control_plane"], request["spec"]);
    assert_eq!(spec["description"], "from elsewhere");
    assert!(spec["name"].is_null() && spec["spec"].is_null());
}

#[test]
fn a_life_can_be_simulated_with_faults() {
    let cloud = Cloud::new();
    cloud.file("cluster.json", &spec().to_string());
    let told = cloud
        .alice("simulate cluster.json --scale workers=3 --fault lose-events=50 --json")
        .good();
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["result"], "done");
    assert_eq!(report["left_over"], serde_json::json!([]));
    let moments = report["timeline"].as_array().unwrap();
    for text in [
        "create the cluster",
        "cluster: PROVISIONING → RUNNING",
        "scale workers to 3",
        "the cluster is gone",
    ] {
        assert!(moments.iter().any(|m| m["text"] == text), "{text}: {told}");
    }
    let told = cloud
        .alice("simulate cluster.json --upgrade v1.34.2 --fault kill-hooks=40 --json")
        .good();
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(report["result"], "done");
    assert_eq!(report["left_over"], serde_json::json!([]));
    assert!(report["killed"].as_u64().unwrap() > 3, "{told}");
    let failed = cloud.alice("simulate cluster.json --fault no-capacity").failed(5);
    assert!(failed.contains("PROVISIONING_FAILURE"), "{failed}");
    assert_eq!(
        cloud.life.sandbox.documents().len(),
        0,
        "the real cloud is not touched"
    );
    assert!(
        cloud
            .alice("simulate cluster.json --fault earthquake")
            .failed(2)
            .contains("lose-events")
    );
}
