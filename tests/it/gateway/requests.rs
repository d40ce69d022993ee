//! What requests lead to.

use serde_json::json;

use super::Gateway;
use super::client::{ALICE, MALLORY, ONEADMIN, ask};
use crate::cli::Cloud;

/// A small cluster, as Sunstone asks for it.
pub fn shop() -> serde_json::Value {
    json!({
        "name": "shop", "description": "our shop", "kubernetes_version": "v1.33.7",
        "deployment": {"cluster": {"id": 0}, "networks": {"public": {"id": 0}, "private": {"id": 1}}},
        "spec": {"name": "shop", "flavour": "standalone", "user_inputs_values": {}},
        "driver": "dummy",
    })
}

#[test]
fn a_cluster_lives_by_requests_alone() {
    let mut cloud = Cloud::new();
    let gateway = Gateway::beside(&cloud);
    let made = gateway.post("/api/v1/clusters", &shop()).with(201);
    let id: u32 = made["DOCUMENT"]["ID"].as_str().unwrap().parse().unwrap();
    let path = format!("/api/v1/clusters/{id}");
    assert_eq!(made["DOCUMENT"]["TEMPLATE"]["CLUSTER_BODY"]["state"], "PENDING");
    cloud.life.until_state(id, "RUNNING", 900);

    let workers = json!({"name": "workers", "flavour": "small", "user_inputs_values": {"count": 2}});
    let made = gateway.post(&format!("{path}/nodegroups"), &workers).with(201);
    assert_eq!(made["DOCUMENT"]["ID"], (id * 1000 + 1).to_string());
    cloud.life.until_state(id, "SCALING", 60);
    cloud.life.until_state(id, "RUNNING", 900);
    let group = format!("{path}/nodegroups/{}", id * 1000 + 1);
    let shown = gateway.get(&group).with(200);
    assert_eq!(
        shown["DOCUMENT"]["TEMPLATE"]["GROUP_BODY"]["vms"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    gateway
        .post(&format!("{group}/scale"), &json!({"target": 3}))
        .with(201);
    cloud.life.until_state(id, "SCALING", 60);
    cloud.life.until_state(id, "RUNNING", 900);
    gateway
        .post(
            &format!("{path}/upgrade"),
            &json!({"kubernetes_version": "v1.34.2"}),
        )
        .with(200);
    cloud.life.until_state(id, "UPGRADING", 60);
    cloud.life.until_state(id, "RUNNING", 900);
    let whole = gateway.get(&format!("{path}?expand")).with(200);
    let body = &whole["DOCUMENT"]["TEMPLATE"]["CLUSTER_BODY"];
    assert_eq!(body["node_groups"][0]["user_inputs_values"]["count"], 3);
    assert_eq!(body["kubernetes_version"], "v1.34.2");

    gateway.ask("DELETE", &group, ALICE, None).with(204);
    cloud.life.until("the group is gone", 900, |life| {
        life.status(id).node_groups.is_empty()
    });
    gateway.ask("DELETE", &path, ALICE, None).with(204);
    cloud.life.until_state(id, "GONE", 900);
    gateway.get(&path).refused(404);
    assert_eq!(cloud.life.errors, Vec::<String>::new());
}

#[test]
fn every_refusal_has_the_number_that_means_it() {
    let (cloud, id) = Cloud::with_web();
    let gateway = Gateway::beside(&cloud);
    let path = format!("/api/v1/clusters/{id}");
    let workers = format!("{path}/nodegroups/{}", id * 1000 + 1);
    let spec = cloud.spec_of(id);
    // Nobody, a wrong password, somebody else.
    for (credentials, status) in [("", 401), ("alice:wrong", 401), ("nobody:x", 401), (MALLORY, 403)] {
        let refused = gateway.ask("GET", &path, credentials, None);
        refused.refused(status);
        assert_eq!(refused.headers.contains_key("www-authenticate"), status == 401);
    }
    // Whoever may only look changes nothing, whatever he asks for, and is told at once.
    cloud.life.ask(ALICE, "one.document.chmod", &chmod(id));
    gateway.ask("GET", &path, MALLORY, None).with(200);
    gateway
        .ask("GET", &format!("{path}/kubeconfig"), MALLORY, None)
        .with(200);
    for (method, path, body) in [
        ("DELETE", path.clone(), None),
        ("DELETE", workers.clone(), None),
        ("PATCH", path.clone(), Some(json!({"name": "mine"}))),
        ("PATCH", path.clone(), Some(json!({"description": "mine"}))),
        ("PATCH", path.clone(), Some(json!({}))),
        ("PATCH", workers.clone(), Some(json!({"name": "mine"}))),
        (
            "POST",
            format!("{path}/upgrade"),
            Some(json!({"kubernetes_version": "v1.34.2"})),
        ),
        (
            "POST",
            format!("{path}/upgrade"),
            Some(json!({"kubernetes_version": "v1.33.7"})),
        ),
        ("POST", format!("{path}/chmod"), Some(json!({"octet": "777"}))),
        ("POST", format!("{path}/chown"), Some(json!({"owner_id": 2}))),
        ("POST", format!("{path}/chgrp"), Some(json!({"group_id": 1}))),
        (
            "POST",
            format!("{path}/nodegroups"),
            Some(json!({"name": "more", "flavour": "small", "user_inputs_values": {"count": 1}})),
        ),
        ("POST", format!("{workers}/scale"), Some(json!({"target": 2}))),
        ("POST", format!("{workers}/scale"), Some(json!({"target": 9}))),
    ] {
        let answer = gateway.ask(method, &path, MALLORY, body.as_ref());
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
    assert_eq!(cloud.spec_of(id), spec);
    assert_eq!(cloud.life.attribute(id, "DELETE"), None);
    // What is not there.
    for path in [
        "/api/v1/clusters/99999".to_owned(),
        "/api/v1/clusters/abc".to_owned(),
        "/api/v1/clusters/-1".to_owned(),
        "/api/v1/clusters/99999999999".to_owned(),
        format!("{path}/nodegroups/9999"),
        format!("{path}/nodegroups/x"),
        "/api/v1/groups/4000000".to_owned(),
        "/api/v1/clusters/families/none".to_owned(),
        "/api/v1/clusters/families/general/none/inputs".to_owned(),
        "/api/v1/nodegroups/families/general/standalone/inputs".to_owned(),
        "/api/v2/clusters".to_owned(),
    ] {
        gateway.get(&path).refused(404);
    }
    let wrong_method = gateway.ask("PUT", &path, ALICE, None);
    wrong_method.refused(405);
    assert_eq!(wrong_method.headers["allow"], "GET, PATCH, DELETE");
    // What can't be done now.
    for path in [format!("{path}/recover"), format!("{workers}/recover")] {
        gateway.post(&path, &json!({})).refused(409);
    }
    let again = json!({"name": "workers", "flavour": "small", "user_inputs_values": {"count": 1}});
    gateway.post(&format!("{path}/nodegroups"), &again).refused(409);
    gateway
        .ask("DELETE", &format!("{path}/nodegroups/{}", id * 1000), ALICE, None)
        .refused(409);
    let headers = [("If-Match", "\"x\"")];
    let conditional = ask(gateway.address, "DELETE", &path, ALICE, None, &headers);
    conditional.refused(412);
    cloud.life.set(ALICE, id, "DELETE", "YES");
    gateway
        .post(&format!("{workers}/scale"), &json!({"target": 9}))
        .refused(409);
    assert_eq!(cloud.spec_of(id), spec);
}

fn chmod(id: u32) -> Vec<opennebula::xmlrpc::Value> {
    // Nine bits: all may use it.
    let bits = [1, 1, 0, 1, 0, 0, 1, 0, 0];
    std::iter::once(id.into()).chain(bits.map(Into::into)).collect()
}

#[test]
fn wrong_values_are_told_by_their_path_and_make_nothing() {
    let (cloud, id) = Cloud::with_web();
    let gateway = Gateway::beside(&cloud);
    let documents = cloud.life.sandbox.documents().len();
    let with = |path: &str, value: serde_json::Value| {
        let mut body = shop();
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (body, path) in [
        (with("/name", json!("Not a label")), "name"),
        (with("/name", json!(null)), "name"),
        (with("/kubernetes_version", json!("v9.9.9")), "kubernetes_version"),
        (with("/kubernetes_version", json!("x")), "kubernetes_version"),
        (with("/deployment/cluster/id", json!(99)), "deployment.cluster.id"),
        (with("/deployment/cluster", json!({})), "deployment.cluster.id"),
        (
            with("/deployment/networks/public/id", json!(77)),
            "deployment.networks.public.id",
        ),
        (
            with("/deployment/networks/private/id", json!(0)),
            "deployment.networks.private.id",
        ),
        (
            with("/deployment/networks/private/id", json!("1")),
            "deployment.networks.private.id",
        ),
        (with("/spec/flavour", json!("nope")), "spec.flavour"),
        (with("/spec/flavour", json!("")), "spec.flavour"),
        (
            with("/spec/user_inputs_values", json!({"cpu": 99})),
            "spec.user_inputs_values.cpu",
        ),
        (
            with("/spec/user_inputs_values", json!({"wings": 2})),
            "spec.user_inputs_values.wings",
        ),
    ] {
        let refused = gateway.post("/api/v1/clusters", &body);
        refused.refused(400);
        assert!(
            refused.json()["context"][path].is_array(),
            "{path}: {}",
            refused.text
        );
    }
    for body in [json!([]), json!("x"), json!(7)] {
        gateway.post("/api/v1/clusters", &body).refused(400);
    }
    gateway.ask("POST", "/api/v1/clusters", ALICE, None).refused(400);
    let cluster = format!("/api/v1/clusters/{id}");
    let workers = format!("{cluster}/nodegroups/{}", id * 1000 + 1);
    for (path, body, field) in [
        (format!("{workers}/scale"), json!({"target": -1}), "target"),
        (format!("{workers}/scale"), json!({}), "target"),
        (
            format!("{cluster}/nodegroups/{}/scale", id * 1000),
            json!({"target": 2}),
            "target",
        ),
        (
            format!("{cluster}/upgrade"),
            json!({"kubernetes_version": "v9"}),
            "kubernetes_version",
        ),
        (
            format!("{cluster}/upgrade"),
            json!({"kubernetes_version": "v1.32.9"}),
            "kubernetes_version",
        ),
        (format!("{cluster}/chmod"), json!({}), "octet"),
        (format!("{cluster}/chmod"), json!({"octet": "999"}), "octet"),
        (format!("{cluster}/chgrp"), json!({"group_id": "x"}), "group_id"),
        (
            format!("{cluster}/nodegroups"),
            json!({"name": "x", "flavour": "none"}),
            "flavour",
        ),
        (
            format!("{cluster}/nodegroups"),
            json!({"name": "x", "flavour": "small"}),
            "user_inputs_values.count",
        ),
        (
            format!("{cluster}/nodegroups"),
            json!({"name": "cp", "flavour": "minimal"}),
            "name",
        ),
    ] {
        let refused = gateway.post(&path, &body);
        refused.refused(400);
        assert!(
            refused.json()["context"][field].is_array(),
            "{path} {body}: {}",
            refused.text
        );
    }
    gateway
        .ask("PATCH", &cluster, ALICE, Some(&json!({"name": "A b"})))
        .refused(400);
    let nobody = json!({"owner_id": 4711});
    let refused = gateway.ask("POST", &format!("{cluster}/chown"), ONEADMIN, Some(&nobody));
    assert!(refused.refused(400).contains("owner_id"));
    assert_eq!(cloud.life.sandbox.documents().len(), documents);
}

#[test]
fn lists_cost_one_call_and_what_is_broken_hides_nothing() {
    let (cloud, id) = Cloud::with_web();
    // What others and mishaps leave.
    for text in [
        "<TEMPLATE/>",
        "<TEMPLATE><SPEC>{</SPEC><STATUS>{{</STATUS></TEMPLATE>",
        "<TEMPLATE><CLUSTER_BODY>{}</CLUSTER_BODY></TEMPLATE>",
    ] {
        cloud
            .life
            .ask(ALICE, "one.document.allocate", &[text.into(), 120.into()]);
    }
    let gateway = Gateway::beside(&cloud);
    for (path, entries) in [("/api/v1/clusters", 4), ("/api/v1/groups", 5), ("/metrics", 0)] {
        cloud.life.sandbox.reset_calls();
        let answer = gateway.get(path);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let calls: Vec<String> = cloud
            .life
            .sandbox
            .calls()
            .calls
            .into_iter()
            .map(|c| c.method)
            .collect();
        assert_eq!(calls, ["one.documentpool.info"], "{path}");
        if entries > 0 {
            assert_eq!(answer.json().as_array().unwrap().len(), entries);
        } else {
            for line in [
                "oneks_clusters{state=\"RUNNING\"} 1\n",
                "oneks_cluster_nodes_ready{cluster=\"0\",name=\"web\"} 3\n",
                "oneks_clusters_unreadable 3\n",
            ] {
                assert!(answer.text.contains(line), "{line}: {}", answer.text);
            }
        }
    }
    // Which of two is meant, nobody knows.
    gateway.get("/api/v1/clusters?page=1&page=2").refused(400);
    let running = gateway.get("/api/v1/clusters?state=RUNNING");
    assert_eq!(running.headers["x-total-count"], "1");
    assert_eq!(running.json()[0]["DOCUMENT"]["ID"], id.to_string());
    let page = gateway.get("/api/v1/clusters?per_page=3&page=2");
    assert_eq!(
        (
            page.json().as_array().unwrap().len(),
            page.headers["x-total-count"].as_str()
        ),
        (1, "4")
    );
    // Somebody else sees none of them.
    assert_eq!(
        gateway.ask("GET", "/api/v1/clusters", MALLORY, None).with(200),
        json!([])
    );
    // Nobody's secrets are in a list.
    assert!(cloud.life.attribute(id, "KUBECONFIG").is_some());
    for path in ["/api/v1/clusters", "/api/v1/groups", "/api/v1/clusters/0?expand"] {
        assert!(!gateway.get(path).text.to_ascii_lowercase().contains("kubeconfig"));
    }
}

#[test]
fn who_has_the_answer_already_gets_none() {
    let (cloud, id) = Cloud::with_web();
    let gateway = Gateway::beside(&cloud);
    let path = format!("/api/v1/clusters/{id}");
    let get = |tag: &str| {
        ask(
            gateway.address,
            "GET",
            &path,
            ALICE,
            None,
            &[("If-None-Match", tag)],
        )
    };
    let tag = get("\"\"").headers["etag"].clone();
    let same = get(&tag);
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    gateway
        .ask("PATCH", &path, ALICE, Some(&json!({"description": "other"})))
        .with(200);
    let new = get(&tag);
    assert_eq!(new.status, 200);
    assert_ne!(new.headers["etag"], tag);
}

#[test]
fn a_check_tells_each_look_as_it_is_made() {
    let cloud = Cloud::new();
    let gateway = Gateway::beside(&cloud);
    let objects = cloud.life.sandbox.remains();
    let place = |public: u32| json!({"cluster": {"id": 0}, "networks": {"public": {"id": public}, "private": {"id": 1}}});
    for (public, broken) in [(0, None), (77, Some("Networks"))] {
        let answer = gateway.post("/api/v1/clusters/deployment/check", &place(public));
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        let events: Vec<serde_json::Value> = answer
            .text
            .split("\n\n")
            .filter(|e| !e.is_empty())
            .map(|e| serde_json::from_str(e.strip_prefix("event: check_cluster\ndata: ").unwrap()).unwrap())
            .collect();
        for pair in events.chunks(2) {
            assert_eq!(pair[0]["state"], "started");
            let state = if broken == pair[1]["name"].as_str() {
                "failure"
            } else {
                "success"
            };
            assert_eq!(
                (&pair[0]["name"], &pair[1]["state"]),
                (&pair[1]["name"], &json!(state)),
                "{events:?}"
            );
        }
        assert_eq!(events.len(), 14, "{events:?}");
    }
    assert_eq!(cloud.life.sandbox.remains(), objects);
    let refused = gateway.ask(
        "POST",
        "/api/v1/clusters/deployment/check",
        "alice:wrong",
        Some(&place(0)),
    );
    refused.refused(401);
    gateway
        .post("/api/v1/clusters/deployment/check", &json!({}))
        .refused(400);
}

#[test]
fn only_who_may_use_a_cluster_reads_its_log() {
    let (cloud, id) = Cloud::with_web();
    let gateway = Gateway::beside(&cloud);
    let log = format!(
        "2026-11-22T13:31:51Z [document][I] cluster {id}: said by a hook\n2026-11-22T13:31:52Z [document][I] cluster {}: about another\n",
        id + 1
    );
    let path = cloud.prefix.root().join("var/oneks.log");
    std::fs::write(path, log).unwrap();
    let path = format!("/api/v1/clusters/{id}/logs");
    let all = gateway.get(&format!("{path}?all=true")).with(200);
    let text = all.to_string();
    assert!(
        text.contains("said by a hook") && !text.contains("about another"),
        "{text}"
    );
    assert!(
        text.contains("from SPEC accepted") || text.contains("SPEC accepted"),
        "{text}"
    );
    let total = all["meta"]["total_lines"].as_u64().unwrap();
    let last = gateway.get(&format!("{path}?per_page=1&page=1")).with(200);
    assert_eq!(last["meta"]["total_pages"], total);
    assert_eq!(
        last["lines"][0],
        all["lines"][usize::try_from(total).unwrap() - 1]
    );
    gateway.ask("GET", &path, MALLORY, None).refused(403);
    gateway.get(&format!("{path}?page=0")).refused(400);
}

#[test]
fn no_secret_reaches_the_log() {
    let (cloud, id) = Cloud::with_web();
    std::fs::write(cloud.prefix.root().join("etc/oneks.conf"), "log_level: trace\n").unwrap();
    let gateway = Gateway::beside(&cloud);
    let kubeconfig = gateway
        .get(&format!("/api/v1/clusters/{id}/kubeconfig"))
        .with(200);
    let kubeconfig = kubeconfig["kubeconfig"].as_str().unwrap();
    for path in [
        "/api/v1/clusters",
        "/api/v1/clusters/0?expand",
        "/api/v1/clusters/99",
        "/metrics",
    ] {
        gateway.get(path);
        gateway.ask("GET", path, "alice:guessed", None);
    }
    let log = Gateway::log(&cloud);
    assert!(
        log.contains("\"alice\" GET \"/api/v1/clusters\": 200 in "),
        "{log}"
    );
    assert!(log.contains("TRACE"), "{log}");
    let secrets = [
        "alicepw",
        "guessed",
        "YWxpY2U6",
        kubeconfig.lines().last().unwrap(),
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
