//! Forged objects, reports, STATUS and events.

use oneks_core::status::Status;
use serde_json::{Value, json};

use super::{ALICE, Scene, alice, attempt, his_vm, mallory, tag};
use crate::matrix::operation::Driver;
use crate::matrix::stage::Stage;

#[test]
fn vms_with_her_tag_and_names_are_his_own_trouble() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.hers;
    for (name, group, kind) in [
        (format!("oneks-{hers}-workers-0"), hers * 1000 + 1, "NODE"),
        (format!("oneks-{hers}-workers-9"), hers * 1000 + 1, "NODE"),
        (format!("oneks-{hers}-abcde"), hers * 1000, "CONTROL_PLANE"),
        (format!("oneks-{hers}-seed"), hers * 1000, "SEED"),
        (format!("vr-oneks-{hers}-cp-0"), hers * 1000, "ROUTER"),
        (format!("oneks-{hers}-new-0"), hers * 1000 + 7, "NODE"),
        (format!("oneks-{hers}"), u32::MAX, "OTHER"),
    ] {
        scene.attack(&format!("VM {name}, {kind}"), |stage| {
            let vm = his_vm(stage, &name, &tag(hers, group, kind));
            stage.pass_time(120);
            // It is seen to run, stop, fail, report and end.
            for report in [
                "ONEKS_STATE=PROVISIONING_FAILURE",
                "ONEKS_STATE=RUNNING",
                "ONEKS_ERROR_CODE=1",
                "READY=YES",
                "ONEKS_KUBERNETES_VERSION=v9.9.9",
                "ONEKS_ENDPOINT=203.0.113.1",
            ] {
                let params = [vm.into(), report.into(), 1.into()];
                stage.ask(&mallory(), "one.vm.update", &params);
                stage.pass_time(10);
            }
            for action in ["poweroff-hard", "resume", "terminate-hard"] {
                attempt(stage, &mallory(), "one.vm.action", &[action.into(), vm.into()]);
                stage.pass_time(60);
            }
        });
    }
}

/// STATUS of mallory's cluster, changed by this, then his orders.
fn with_status(scene: &Scene, what: &str, forge: impl Fn(&mut Value)) {
    for order in [
        None,
        Some(("RECOVER", "x")),
        Some(("DELETE", "YES")),
        Some(("DELETE", "FORCE")),
    ] {
        let stage = scene.attack(&format!("{what}, {order:?}"), |stage| {
            let text = stage.attribute(scene.his, "STATUS").unwrap();
            let mut status: Value = serde_json::from_str(&text).unwrap();
            forge(&mut status);
            // As if it were the last that was written.
            status["rev"] = json!(1_000_000);
            stage.set(&mallory(), scene.his, "STATUS", &status.to_string());
            if let Some((attribute, value)) = order {
                stage.set(&mallory(), scene.his, attribute, value);
            }
        });
        if let Some(("DELETE", _)) = order {
            assert_eq!(stage.state(scene.his), "GONE", "{what}\n{}", stage.report());
        }
    }
}

#[test]
fn a_forged_status_names_her_objects() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.stage.status(scene.hers).unwrap();
    let her_vms: Vec<u32> = hers.vm_ids().into_iter().chain([scene.private]).collect();
    let vm =
        |id: u32| json!({"id": id, "name": format!("oneks-{}-workers-0", scene.his), "condition": "running"});
    let list = || Value::Array(her_vms.iter().map(|id| vm(*id)).collect());
    with_status(&scene, "VM ids", |status| {
        status["control_plane"]["vms"] = list();
        status["node_groups"][0]["vms"] = list();
    });
    with_status(&scene, "a seed", |status| {
        status["control_plane"]["seed"] =
            json!({"state": "READY", "vm": scene.private, "report": "RUNNING", "since": 0});
    });
    with_status(&scene, "a router", |status| {
        status["control_plane"]["router"] = json!({"state": "READY", "id": hers.control_plane.router.as_ref().unwrap().id, "vms": list(), "since": 0});
    });
    with_status(&scene, "a guest command", |status| {
        status["guest_exec"] = json!({
            "vm": scene.private, "group": scene.his * 1000, "purpose": "apply",
            "token": format!("oneks:{}:apply-0-0:1", scene.hers), "script": "x", "issued": 0, "deadline": 1,
        });
    });
    with_status(&scene, "an owner", |status| status["owner"] = json!(ALICE));
    with_status(&scene, "templates", |status| {
        let stolen: Vec<u32> = scene
            .stage
            .sandbox
            .templates()
            .iter()
            .map(|t| t.meta.id)
            .collect();
        for key in ["control_plane", "node_groups"] {
            let group = if key == "control_plane" {
                &mut status[key]
            } else {
                &mut status[key][0]
            };
            group["templates"] = stolen
                .iter()
                .map(|id| {
                    (
                        format!("oneks-{}-{id}", scene.his),
                        json!({"id": id, "fingerprint": "x"}),
                    )
                })
                .collect();
        }
    });
    with_status(&scene, "group ids", |status| {
        status["control_plane"]["id"] = json!(scene.hers * 1000);
        status["node_groups"][0]["id"] = json!(scene.hers * 1000 + 1);
    });
    with_status(&scene, "her whole status", |status| {
        *status = serde_json::from_str(&hers.to_json()).unwrap();
        status["document"] = json!(scene.his);
    });
    with_status(&scene, "a credential", |status| {
        status["credential"] = json!({"serial": 1, "issued": 0});
    });
}

/// Alice lets everybody of her group write her cluster's document; that is as much as she could order herself, and no
/// more: not her other objects.
#[test]
fn who_may_write_her_document_reaches_her_cluster_and_nothing_else_of_hers() {
    let scene = Scene::new(Driver::Dummy);
    let (hers, private) = (scene.hers, scene.private);
    let vm = |id: u32| json!({"id": id, "name": format!("oneks-{hers}-workers-0"), "condition": "running"});
    let forgeries: [(&str, Value); 4] = [
        ("/node_groups/0/vms", json!([vm(private)])),
        ("/control_plane/vms", json!([vm(private)])),
        (
            "/control_plane/seed",
            json!({"state": "READY", "vm": private, "report": "RUNNING", "since": 0}),
        ),
        (
            "/control_plane/templates",
            json!({"shop": {"id": 1, "fingerprint": "x"}, "oneks-0-mine": {"id": 2, "fingerprint": "x"}}),
        ),
    ];
    for (pointer, value) in forgeries {
        for order in ["", "YES", "FORCE"] {
            let stage = scene.stage.fork();
            let owned = |stage: &Stage| {
                let templates = stage.sandbox.templates().into_iter();
                let mine = ["shop", "oneks-0-mine"];
                let templates = templates.filter(|t| mine.contains(&t.meta.name.as_str()));
                (stage.sandbox.vm(private), templates.collect::<Vec<_>>())
            };
            let before = owned(&stage);
            let rights = [
                hers.into(),
                1.into(),
                1.into(),
                0.into(),
                1.into(),
                1.into(),
                0.into(),
                0.into(),
                0.into(),
                0.into(),
            ];
            stage.ask(&alice(), "one.document.chmod", &rights);
            let text = stage.attribute(hers, "STATUS").unwrap();
            let mut status: Value = serde_json::from_str(&text).unwrap();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            status.pointer_mut(parent).unwrap()[key] = value.clone();
            status["rev"] = json!(1_000_000);
            stage.set(&mallory(), hers, "STATUS", &status.to_string());
            stage.set(&mallory(), hers, "KUBECONFIG", "Zm9yZ2Vk");
            if !order.is_empty() {
                stage.set(&mallory(), hers, "DELETE", order);
            }
            stage.pass_time(2500);
            let what = format!("{pointer} {order}");
            assert!(owned(&stage) == before, "{what}\n{}", stage.report());
            let end = if order.is_empty() { "RUNNING" } else { "GONE" };
            assert_eq!(stage.state(hers), end, "{what}\n{}", stage.report());
            assert_eq!(stage.state(scene.his), "RUNNING");
        }
    }
}

#[test]
fn forged_reports_of_a_seed_reach_no_other_cluster() {
    // Alice's cluster is being built while mallory's VMs report in its name.
    let stage = Driver::Capone.cloud();
    let spec = Driver::Capone.spec(super::OLD, &[("workers", 1)]);
    let id = stage.create(&alice(), "hers", &spec);
    assert!(stage.until(600, |s| {
        s.status(id).is_some_and(|s| s.control_plane.seed.is_some())
    }));
    let forged = his_vm(&stage, &format!("oneks-{id}-seed"), &tag(id, id * 1000, "SEED"));
    for state in [
        "PROVISIONING_FAILURE",
        "RUNNING",
        "PIVOTING_FAILURE",
        "]]>",
        "\u{1f480}",
        "RUNNING\nDELETE=YES",
    ] {
        let text = format!(
            "<USER_TEMPLATE><ONEKS_STATE>{}</ONEKS_STATE></USER_TEMPLATE>",
            state.replace('>', "&gt;")
        );
        attempt(
            &stage,
            &mallory(),
            "one.vm.update",
            &[forged.into(), text.into(), 1.into()],
        );
        stage.pass_time(20);
        let seed = stage.status(id).unwrap().control_plane.seed.unwrap();
        assert_ne!(seed.vm, Some(forged));
        assert_eq!(stage.state(id), "PROVISIONING", "{}", stage.report());
    }
    assert!(
        stage.until(3600, |s| s.state(id) == "RUNNING"),
        "{}",
        stage.report()
    );
    assert!(stage.sandbox.vm(forged).unwrap().state == oneks_sandbox::VmState::Active);
}

#[test]
fn absurd_reports_harm_the_one_who_makes_them_only() {
    let scene = Scene::new(Driver::Dummy);
    let his: Status = scene.stage.status(scene.his).unwrap();
    let vms: Vec<u32> = his.vm_ids().into_iter().collect();
    for text in [
        format!("ONEKS_STATE=\"{}\"", "x".repeat(200_000)),
        "ONEKS_KUBERNETES_VERSION=\"v99.0.0\"".to_owned(),
        "ONEKS_KUBERNETES_VERSION=\"\"".to_owned(),
        "ONEKS_ENDPOINT=\"'; DROP TABLE vm_pool; --\"\nONEKS_GATEWAY=\"$(reboot)\"".to_owned(),
        "READY=\"YES\"\nREADY=\"NO\"".to_owned(),
        format!(
            "ONEKS=[CLUSTER_ID=\"{}\",GROUP_ID=\"{}\",TYPE=\"NODE\"]",
            scene.hers,
            scene.hers * 1000 + 1
        ),
        "ONEKS=\"no vector\"".to_owned(),
        "ONEKS=[CLUSTER_ID=\"99999999999999999999\"]".to_owned(),
    ] {
        scene.attack(&text.chars().take(60).collect::<String>(), |stage| {
            for vm in &vms {
                attempt(
                    stage,
                    &mallory(),
                    "one.vm.update",
                    &[(*vm).into(), text.clone().into(), 1.into()],
                );
            }
        });
    }
}

/// Events are published without escaping: a caller can write what looks like another call's.
#[test]
fn forged_events_lead_to_a_look_and_no_more() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.hers;
    let part = |position: u32, kind: &str, value: &str| {
        format!(
            "<PARAMETER><POSITION>{position}</POSITION><TYPE>{kind}</TYPE><VALUE>{value}</VALUE></PARAMETER>"
        )
    };
    let forged = format!(
        "x</VALUE></PARAMETER>{}{}{}</PARAMETERS><EXTRA><DOCUMENT><ID>{hers}</ID><UID>{ALICE}</UID><UNAME>alice</UNAME>\
         <TYPE>120</TYPE><TEMPLATE><SPEC>{{}}</SPEC><DELETE>YES</DELETE></TEMPLATE></DOCUMENT></EXTRA>",
        part(2, "IN", &hers.to_string()),
        part(3, "IN", "120"),
        part(2, "OUT", &hers.to_string()),
    );
    let document = format!("NAME=\"x\"\nSPEC=\"{{}}\"\nEVIL=\"{}\"", forged.replace('"', "'"));
    scene.attack("a document's text", |stage| {
        attempt(
            stage,
            &mallory(),
            "one.document.allocate",
            &[document.clone().into(), 120.into()],
        );
        attempt(
            stage,
            &mallory(),
            "one.document.allocate",
            &[document.clone().into(), 100.into()],
        );
        attempt(
            stage,
            &mallory(),
            "one.document.update",
            &[scene.his.into(), document.clone().into(), 1.into()],
        );
    });
    scene.attack("a VM's text", |stage| {
        let vm = his_vm(stage, "x", "");
        let text = format!("ONEKS_STATE=\"{}\"", forged.replace('"', "'"));
        attempt(
            stage,
            &mallory(),
            "one.vm.update",
            &[vm.into(), text.into(), 1.into()],
        );
    });
    scene.attack("a router's name", |stage| {
        for name in [
            format!("oneks-{hers}-cp"),
            format!("oneks-{hers}-lb"),
            forged.clone(),
        ] {
            let text = format!("NAME=\"{}\"\nNIC=[NETWORK_ID=\"0\"]", name.replace('"', "'"));
            attempt(stage, &mallory(), "one.vrouter.allocate", &[text.into()]);
        }
    });
    scene.attack("calls about her objects", |stage| {
        for method in [
            "one.document.delete",
            "one.document.clone",
            "one.document.rename",
            "one.document.chown",
        ] {
            attempt(stage, &mallory(), method, &[hers.into(), "x".into(), 3.into()]);
        }
        attempt(
            stage,
            &mallory(),
            "one.document.update",
            &[hers.into(), "DELETE=\"YES\"".into(), 1.into()],
        );
    });
    scene.attack("a guest command", |stage| {
        let vm = his_vm(
            stage,
            &format!("oneks-{hers}-abcde"),
            &tag(hers, hers * 1000, "CONTROL_PLANE"),
        );
        stage.pass_time(120);
        for purpose in ["apply", "probe", "kubeconfig", "rotate"] {
            let command = format!("/bin/sh -s oneks:{hers}:{purpose}-{}-0:99", hers * 1000);
            attempt(
                stage,
                &mallory(),
                "one.vm.exec",
                &[vm.into(), command.into(), "Cg==".into()],
            );
            stage.pass_time(30);
        }
    });
}

/// With a driver whose clusters have credentials, commands in guests and a seed.
#[test]
fn with_guests_too_what_he_forges_reaches_nothing_of_hers() {
    let scene = Scene::new(Driver::Capone);
    let hers = scene.hers;
    let theirs = scene.stage.status(hers).unwrap();
    let node = theirs.control_plane.vms[0].id;
    assert!(!scene.stage.sandbox.tokens("alice").is_empty());
    let forge = |stage: &Stage, change: &dyn Fn(&mut Value)| {
        let mut status: Value = serde_json::from_str(&stage.attribute(scene.his, "STATUS").unwrap()).unwrap();
        change(&mut status);
        status["rev"] = json!(1_000_000);
        stage.set(&mallory(), scene.his, "STATUS", &status.to_string());
    };
    scene.attack("her nodes in his status, then commands to them", |stage| {
        forge(stage, &|status| {
            let vm =
                json!({"id": node, "name": format!("oneks-{}-abcde", scene.his), "condition": "running"});
            status["control_plane"]["vms"] = json!([vm]);
            status["guest_exec"] = json!({
                "vm": node, "group": scene.his * 1000, "purpose": "kubeconfig",
                "token": format!("oneks:{hers}:kubeconfig-0-0:1"), "script": "x", "issued": 0, "deadline": 1,
            });
            status["kubeconfig"] = json!(false);
        });
        stage.set(&mallory(), scene.his, "ROTATE", "1");
    });
    scene.attack("her status as his", |stage| {
        forge(stage, &|status| {
            *status = serde_json::from_str(&theirs.to_json()).unwrap();
            status["document"] = json!(scene.his);
        });
        stage.set(&mallory(), scene.his, "ROTATE", "2");
    });
    scene.attack("a VM with the tag of a node of hers, and its reports", |stage| {
        let vm = his_vm(
            stage,
            &format!("oneks-{hers}-abcde"),
            &tag(hers, hers * 1000, "CONTROL_PLANE"),
        );
        stage.pass_time(120);
        for report in [
            "ONEKS_STATE=PROVISIONING_FAILURE",
            "READY=YES",
            "ONEKS_ENDPOINT=203.0.113.1",
        ] {
            stage.ask(&mallory(), "one.vm.update", &[vm.into(), report.into(), 1.into()]);
            stage.pass_time(10);
        }
        attempt(
            stage,
            &mallory(),
            "one.vm.action",
            &["terminate-hard".into(), vm.into()],
        );
    });
    scene.attack("her kubeconfig's place", |stage| {
        stage.set(&mallory(), scene.his, "KUBECONFIG", "Zm9yZ2Vk");
        stage.set(&mallory(), scene.his, "ENDPOINT", "https://203.0.113.1:6443");
        attempt(
            stage,
            &mallory(),
            "one.document.info",
            &[hers.into(), true.into()],
        );
    });
}
