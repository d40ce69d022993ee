//! Requests as Sunstone's own server, `FireEdge`, sends them: with the headers of the HTTP library that it uses, and with all
//! that it expects of an answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Gateway;
use super::client::{ALICE, Response, read};
use crate::capone_life;
use crate::cli::Cloud;

/// Sends a request as `FireEdge` does, and takes the answer as it does.
fn request(gateway: &Gateway, method: &str, path: &str, post: Option<&Value>) -> Response {
    let body = post.map(ToString::to_string).unwrap_or_default();
    let content = match (post, method) {
        (Some(_), _) => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
        (None, "POST") => "Content-Length: 0\r\n".to_owned(),
        (None, _) => String::new(),
    };
    let text = gateway.raw(
        format!(
            "{method} /api/v1{path} HTTP/1.1\r\nAccept: application/json, text/plain, */*\r\n{content}Authorization: Basic \
             {}\r\nUser-Agent: axios/1.7.9\r\nAccept-Encoding: gzip, compress, deflate, br\r\nHost: \
             localhost:10780\r\nConnection: close\r\n\r\n{body}",
            STANDARD.encode(ALICE)
        )
        .as_bytes(),
    );
    // An answer without words beside its number is an error there.
    let line = text.lines().next().unwrap();
    assert!(
        line.splitn(3, ' ').nth(2).is_some_and(|words| !words.is_empty()),
        "{line}"
    );
    let answer = read(&text);
    assert!((200..400).contains(&answer.status), "{method} {path}: {text}");
    assert!(!answer.headers.contains_key("content-encoding"));
    answer
}

#[test]
fn everything_that_the_kubernetes_tab_does_works_as_fireedge_asks_for_it() {
    let (life, _) = capone_life::cloud();
    // So that ids are not 0, which the tab takes for none.
    life.ask(ALICE, "one.document.allocate", &["<TEMPLATE/>".into(), 99.into()]);
    let mut cloud = Cloud::around(life);
    let gateway = Gateway::beside(&cloud);
    let ask = |method: &str, path: &str, post: Option<&Value>| request(&gateway, method, path, post);
    let place = json!({"cluster": {"id": 0}, "networks": {"public": {"id": 0}, "private": {"id": 1}}});

    // The form: families, flavours and their inputs, the place.
    let families = ask("GET", "/clusters/families", None).json();
    let family = &families[0];
    for field in [
        "family",
        "name",
        "description",
        "supported_k8s_versions",
        "user_inputs",
        "flavours",
    ] {
        assert!(!family[field].is_null(), "{field}: {family}");
    }
    assert_eq!(ask("GET", "/clusters/families/general", None).json(), *family);
    assert!(ask("GET", "/nodegroups/families", None).json()[0]["flavours"].is_array());
    assert_eq!(
        ask("POST", "/clusters/deployment/validate", Some(&place)).json()["valid"],
        true
    );
    let new = json!({
        "name": "shop", "description": "", "kubernetes_version": "v1.33.7", "deployment": place,
        "spec": {"name": "shop", "description": "", "family": "general", "flavour": "standalone", "user_inputs_values":
                 {"count": 1, "cpu": 2, "vcpu": 2, "memory": 4096, "disk_size": 16384}},
    });
    let made = ask("POST", "/clusters", Some(&new)).json();
    assert_eq!(made["DOCUMENT"]["ID"], "1");
    cloud.life.until_state(1, "RUNNING", 7200);

    // The table and the drawer.
    let list = ask("GET", "/clusters", None).json();
    assert_eq!(
        list[0]["DOCUMENT"]["TEMPLATE"]["CLUSTER_BODY"]["state"],
        "RUNNING"
    );
    let shown = ask("GET", "/clusters/1?expand", None).json();
    let body = &shown["DOCUMENT"]["TEMPLATE"]["CLUSTER_BODY"];
    for field in [
        "name",
        "flavour",
        "state",
        "vms",
        "user_inputs_values",
        "endpoint",
    ] {
        assert!(!body["control_plane"][field].is_null(), "{field}: {body}");
    }
    assert!(body["registration_time"].is_number() && body["historic"].is_array());
    assert!(ask("GET", "/clusters/1/kubeconfig", None).json()["kubeconfig"].is_string());
    assert!(ask("GET", "/clusters/1/logs", None).json()["lines"].is_array());

    // Node groups.
    let group = json!({"name": "workers", "flavour": "small", "user_inputs_values": {"count": 1}});
    ask("POST", "/clusters/1/nodegroups", Some(&group));
    cloud.life.until("the group runs", 7200, |life| {
        life.status(1)
            .node_groups
            .iter()
            .any(|g| g.state.as_str() == "RUNNING")
    });
    ask(
        "PATCH",
        "/clusters/1/nodegroups/1001",
        Some(&json!({"name": "pool"})),
    );
    ask(
        "POST",
        "/clusters/1/nodegroups/1001/scale",
        Some(&json!({"target": 2})),
    );
    cloud.life.until("the group has grown", 7200, |life| {
        life.status(1).node_groups[0].vms.len() == 2 && life.state(1) == "RUNNING"
    });
    assert_eq!(ask("DELETE", "/clusters/1/nodegroups/1001", None).status, 204);
    cloud.life.until("the group is gone", 7200, |life| {
        life.status(1).node_groups.is_empty()
    });

    // What the buttons do.
    ask("PATCH", "/clusters/1", Some(&json!({"name": "shop2"})));
    assert_eq!(
        ask("POST", "/clusters/1/chmod", Some(&json!({"octet": "640"}))).status,
        204
    );
    assert_eq!(
        ask("POST", "/clusters/1/chgrp", Some(&json!({"group_id": "1"}))).status,
        204
    );
    ask(
        "POST",
        "/clusters/1/upgrade",
        Some(&json!({"kubernetes_version": "v1.34.2"})),
    );
    cloud.life.until_state(1, "UPGRADING", 600);
    cloud.life.until_state(1, "RUNNING", 7200);
    let vm = cloud.life.status(1).control_plane.vms[0].id;
    cloud
        .life
        .ask(ALICE, "one.vm.action", &["poweroff-hard".into(), vm.into()]);
    cloud.life.until_state(1, "WARNING", 3600);
    assert_eq!(ask("POST", "/clusters/1/recover", None).status, 204);
    cloud.life.until_state(1, "RUNNING", 7200);
    assert_eq!(ask("DELETE", "/clusters/1?force=true", None).status, 204);
    cloud.life.until_state(1, "GONE", 3600);
    assert_eq!(cloud.life.errors, Vec::<String>::new());
}
