//! What is wrong is said before anything is stored, with the way out.

use super::{Cloud, spec};

#[test]
fn wrong_values_are_refused_with_their_paths_and_nothing_is_stored() {
    let cloud = Cloud::new();
    for (path, value, wanted) in [
        (
            "/kubernetes_version",
            "v1.99.0",
            "kubernetes_version: v1.99.0 is not offered; choose one of",
        ),
        (
            "/kubernetes_version",
            "latest",
            "kubernetes_version: \"latest\" is not a version",
        ),
        (
            "/control_plane/flavour",
            "huge",
            "control_plane.flavour: \"general\" has no flavour \"huge\"; choose one of",
        ),
        ("/node_groups/0/name", "Seed!", "node_groups[0].name"),
        (
            "/node_groups/0/name",
            "seed",
            "node_groups[0].name: \"seed\" is reserved",
        ),
        (
            "/node_groups/0/user_inputs_values/count",
            "many",
            "node_groups[0].user_inputs_values.count: must be a number",
        ),
    ] {
        let mut bad = spec();
        *bad.pointer_mut(path).unwrap() = value.into();
        cloud.file("bad.json", &bad.to_string());
        let told = cloud.alice("create cluster web --file bad.json").failed(4);
        assert!(told.contains(wanted), "{path}={value}: {told}");
    }
    assert_eq!(cloud.life.sandbox.documents().len(), 0);
    let mut unknown = spec();
    unknown["colour"] = "blue".into();
    cloud.file("bad.json", &unknown.to_string());
    assert!(
        cloud
            .alice("create cluster web --file bad.json")
            .failed(4)
            .contains("colour")
    );
    cloud.file("bad.json", "{\"name\":");
    assert!(
        cloud
            .alice("create cluster web --file bad.json")
            .failed(4)
            .contains("bad.json: not JSON")
    );
    cloud.file("bad.yaml", "- a\n- b\n");
    assert!(
        cloud
            .alice("create cluster web --file bad.yaml")
            .failed(4)
            .contains("bad.yaml: expected a map")
    );
    assert!(
        cloud
            .alice("create cluster web --file gone.yaml")
            .failed(1)
            .contains("gone.yaml")
    );
}

#[test]
fn all_errors_are_told_at_once() {
    let cloud = Cloud::new();
    let mut bad = spec();
    bad["control_plane"]["flavour"] = "huge".into();
    bad["node_groups"][0]["flavour"] = "tiny".into();
    cloud.file("bad.json", &bad.to_string());
    let told = cloud.alice("create cluster web --file bad.json").failed(4);
    assert!(
        told.contains("2 errors")
            && told.contains("control_plane.flavour")
            && told.contains("node_groups[0].flavour")
    );
}

#[test]
fn changes_that_are_not_possible_are_refused() {
    let (cloud, id) = Cloud::with_web();
    for (arguments, code, wanted) in [
        (
            "upgrade cluster web -k v1.32.9",
            4,
            "a cluster of v1.33.7 can't go back to v1.32.9",
        ),
        ("upgrade cluster web -k v9.9.9", 4, "v9.9.9 is not offered"),
        ("scale nodegroup web/workers -n 1000", 4, "1000 is more than 100"),
        (
            "scale nodegroup web/control-plane -n 3",
            4,
            "only node groups can be scaled",
        ),
        (
            "scale nodegroup web/gone -n 3",
            3,
            "web) has no node group gone; it has control-plane, workers",
        ),
        ("scale nodegroup gone -n 3", 3, "no cluster has a node group gone"),
        ("delete nodegroup web/control-plane", 4, "oneks delete cluster 0"),
        (
            "create nodegroup workers -c web --flavour small",
            4,
            "has a node group workers already",
        ),
        ("create nodegroup more -c web", 2, "missing: --flavour"),
        (
            "create cluster",
            2,
            "missing: --kubernetes-version, --opennebula-cluster",
        ),
        (
            "create cluster x --public-network gone -k v1",
            3,
            "there is no network gone",
        ),
        ("show cluster gone", 3, "there is no cluster gone"),
        ("show cluster 5..9", 3, "from 5 to 9"),
        ("show cluster 9..5", 2, "ends before it begins"),
        ("show cluster 42", 3, "there is no cluster 42"),
        ("update cluster web", 2, "give options or --file"),
        ("chmod cluster web 999", 2, "three digits"),
        ("list --endpoint http://127.0.0.1:1/RPC2", 1, "is oned running?"),
        ("list --user alice --password wrong", 7, "check the session"),
        ("list --password x", 2, "--password needs --user"),
        ("list --endpoint ftp://x", 2, "no OpenNebula endpoint"),
        ("logs cluster 0", 1, "oneks events cluster 0"),
    ] {
        let told = cloud.alice(arguments).failed(code);
        assert!(told.contains(wanted), "{arguments}: {told}");
    }
    assert_eq!(cloud.spec_of(id), spec());
}

#[test]
fn one_that_fails_does_not_keep_the_others_from_their_turn() {
    let (cloud, _) = Cloud::with_web();
    let answer = cloud.alice("show cluster 7,0");
    assert!(answer.out.contains("CLUSTER 0 INFORMATION"), "{}", answer.out);
    let told = answer.failed(3);
    assert!(
        told.contains("there is no cluster 7") && told.contains("1 of 2 failed"),
        "{told}"
    );
}

#[test]
fn a_document_that_is_no_cluster_is_left_alone() {
    let cloud = Cloud::new();
    let id = cloud.life.ask(
        "alice:alicepw",
        "one.document.allocate",
        &["NAME=\"service\"".into(), 100.into()],
    );
    let id = id.as_int().unwrap();
    for arguments in [
        "show cluster",
        "delete cluster",
        "recover cluster",
        "rotate cluster",
        "kubeconfig cluster",
    ] {
        let told = cloud.alice(&format!("{arguments} {id}")).failed(3);
        assert!(told.contains("is no Kubernetes cluster"), "{arguments}: {told}");
    }
    let told = cloud.alice(&format!("rename cluster {id} x")).failed(3);
    assert!(told.contains("is no Kubernetes cluster"), "{told}");
}

#[test]
fn two_of_a_name_must_be_told_apart() {
    let cloud = Cloud::new();
    for _ in 0..2 {
        cloud.life.create("alice:alicepw", "twin", &spec());
    }
    assert!(
        cloud
            .alice("show cluster twin")
            .failed(2)
            .contains("0, 1; give an id")
    );
    assert!(
        cloud
            .alice("scale nodegroup workers -n 1")
            .failed(2)
            .contains("0/workers, 1/workers")
    );
}
