//! Names that look like another cluster's, names that are taken, and places that belong to others.

use super::{ALICE, Belongings, Scene, alice, changes, mallory, new, tag};
use crate::matrix::operation::{Driver, OLD};
use crate::matrix::stage::Stage;
use oneks_core::status::Truth;
use serde_json::json;

/// Clusters 1 and 11 of the same user, with groups whose names look like each other's.
#[test]
fn clusters_with_similar_names_do_not_mix() {
    let stage = Driver::Dummy.cloud();
    let spec = |groups: &[(&str, u32)]| Driver::Dummy.spec(OLD, groups);
    let filler = |count: usize| {
        for _ in 0..count {
            stage.ask(
                &alice(),
                "one.document.allocate",
                &["NAME=\"flow\"\nBODY=\"{}\"".into(), 100.into()],
            );
        }
    };
    filler(1);
    let one = stage.create(&alice(), "one", &spec(&[("1-workers", 1), ("workers", 1)]));
    filler(9);
    let eleven = stage.create(&alice(), "eleven", &spec(&[("workers", 1), ("x-workers", 1)]));
    assert_eq!((one, eleven), (1, 11));
    let running = |stage: &Stage| [one, eleven].iter().all(|id| stage.state(*id) == "RUNNING");
    assert!(stage.until(3600, running), "{}", stage.report());
    stage.pass_time(1500);
    for (goes, stays) in [(one, eleven), (eleven, one)] {
        let stage = stage.fork();
        let mine = |stage: &Stage| {
            let mut all = Belongings::of(stage, ALICE, "alice");
            let theirs = format!("oneks-{goes}-");
            let is_theirs =
                |name: &str| name.starts_with(&theirs) || name.starts_with(&format!("vr-{theirs}"));
            all.documents.retain(|d| d.meta.id != goes);
            all.vms.retain(|vm| !is_theirs(&vm.meta.name));
            all.routers.retain(|r| !is_theirs(&r.meta.name));
            all.templates.retain(|t| !is_theirs(&t.meta.name));
            all.tokens.clear();
            all
        };
        let before = mine(&stage);
        assert!(before.vms.len() > 3);
        stage.set(&alice(), goes, "DELETE", "YES");
        assert!(
            stage.until(3600, |s| s.state(goes) == "GONE"),
            "{}",
            stage.report()
        );
        stage.pass_time(1500);
        assert_eq!(stage.state(stays), "RUNNING");
        assert_eq!(changes(&before, &mine(&stage)), Vec::<String>::new());
    }
}

/// Objects of another user under the names of a cluster that is yet to be.
#[test]
fn names_that_another_tenant_took_beforehand_keep_nobody_from_a_cluster() {
    let stage = Driver::Dummy.cloud();
    let id = stage.create(&alice(), "filler", &json!({})) + 1;
    for name in [
        format!("oneks-{id}"),
        format!("oneks-{id}-cp"),
        format!("oneks-{id}-router"),
        format!("oneks-{id}-workers"),
    ] {
        let text = format!(
            "NAME=\"{name}\"\nCPU=\"1\"\nMEMORY=\"64\"\n{}",
            tag(id, id * 1000, "ROUTER")
        );
        let template = new(&stage, &mallory(), "one.template.allocate", &[text.into()]);
        // For everybody to use: it is in every list.
        let rights = [1, 1, 0, 1, 0, 0, 1, 0, 0].map(opennebula::xmlrpc::Value::from);
        let params: Vec<_> = std::iter::once(template.into()).chain(rights).collect();
        stage.ask(&mallory(), "one.template.chmod", &params);
    }
    for name in ["cp", "lb"] {
        let text = format!("NAME=\"oneks-{id}-{name}\"\nNIC=[NETWORK_ID=\"0\"]");
        stage.ask(&mallory(), "one.vrouter.allocate", &[text.into()]);
    }
    let his = Belongings::of(&stage, super::MALLORY, "mallory");
    assert_eq!(
        stage.create(&alice(), "hers", &Driver::Dummy.spec(OLD, &[("workers", 1)])),
        id
    );
    assert!(
        stage.until(3600, |s| s.state(id) == "RUNNING"),
        "{}",
        stage.report()
    );
    let of = |uid: u32| {
        stage
            .sandbox
            .templates()
            .into_iter()
            .filter(move |t| t.meta.uid == uid)
    };
    assert!(of(ALICE).count() > 0);
    let router = stage
        .status(id)
        .unwrap()
        .control_plane
        .router
        .unwrap()
        .id
        .unwrap();
    let router = stage
        .sandbox
        .vrouters()
        .into_iter()
        .find(|r| r.meta.id == router)
        .unwrap();
    assert_eq!(router.meta.uid, ALICE);
    stage.set(&alice(), id, "DELETE", "YES");
    assert!(stage.until(3600, |s| s.state(id) == "GONE"), "{}", stage.report());
    stage.pass_time(600);
    assert_eq!(
        changes(&his, &Belongings::of(&stage, super::MALLORY, "mallory")),
        Vec::<String>::new()
    );
}

/// A template of the owner's own that bears a name of the cluster's, without its tag.
#[test]
fn a_template_of_the_owner_s_own_is_not_overwritten() {
    let stage = Driver::Dummy.cloud();
    let id = stage.create(&alice(), "filler", &json!({})) + 1;
    let text = format!("NAME=\"oneks-{id}-router\"\nCPU=\"1\"\nMEMORY=\"64\"\nMINE=\"yes\"");
    let mine = new(&stage, &alice(), "one.template.allocate", &[text.into()]);
    let look = |stage: &Stage| stage.sandbox.templates().into_iter().find(|t| t.meta.id == mine);
    let before = look(&stage);
    assert_eq!(stage.create(&alice(), "hers", &Driver::Dummy.spec(OLD, &[])), id);
    let told = |stage: &Stage| {
        let error = stage.status(id).and_then(|s| s.last_error);
        error.is_some_and(|e| e.reason == "NameTaken" && e.message.contains(&format!("oneks-{id}-router")))
    };
    assert!(stage.until(600, told), "{}", stage.report());
    assert!(look(&stage) == before);
    stage.ask(&alice(), "one.template.rename", &[mine.into(), "mine".into()]);
    assert!(
        stage.until(3600, |s| s.state(id) == "RUNNING"),
        "{}",
        stage.report()
    );
    stage.set(&alice(), id, "DELETE", "YES");
    assert!(stage.until(3600, |s| s.state(id) == "GONE"), "{}", stage.report());
    assert!(look(&stage).is_some());
}

/// Without OpenNebula's rule that all users may use all networks: only those that everybody may use.
fn only_networks_that_say_so(stage: &Stage) {
    let admin = crate::support::life::ONEADMIN;
    let rules = stage.ask(admin, "one.acl.info", &[]);
    let rule = rules
        .as_str()
        .unwrap()
        .split("<ACL>")
        .find(|rule| rule.contains("NET/*"))
        .unwrap();
    let id = rule
        .split("<ID>")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .unwrap();
    stage.sandbox.remove_acl(id.parse().unwrap());
    for network in [0, 1] {
        let rights = [1, 1, 0, 0, 0, 0, 1, 0, 0].map(opennebula::xmlrpc::Value::from);
        let params: Vec<_> = std::iter::once(network.into()).chain(rights).collect();
        stage.ask(admin, "one.vn.chmod", &params);
    }
}

/// Display names are no keys: they may be anything, hers included.
#[test]
fn clusters_whose_display_names_look_like_hers_are_his_alone() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.hers;
    for name in [
        "hers".to_owned(),
        format!("oneks-{hers}"),
        format!("{hers}"),
        format!("oneks-{hers}-workers-0"),
        format!("../{hers}.owner"),
        format!("{hers}\" UID=\"2"),
    ] {
        let mut id = 0;
        let stage = scene.attack(&format!("a cluster named {name:?}"), |stage| {
            id = stage.create(&mallory(), &name, &Driver::Dummy.spec(OLD, &[("workers", 1)]));
        });
        assert_eq!(stage.state(id), "RUNNING", "{name:?}");
        let stage = scene.attack(&format!("a cluster named {name:?} that is deleted"), |stage| {
            id = stage.create(&mallory(), &name, &Driver::Dummy.spec(OLD, &[]));
            stage.pass_time(600);
            stage.set(&mallory(), id, "DELETE", "YES");
        });
        assert_eq!(stage.state(id), "GONE", "{name:?}");
    }
}

/// Groups of his whose names continue as if they were objects of hers.
#[test]
fn groups_whose_names_reach_for_hers_are_his_alone() {
    let scene = Scene::new(Driver::Dummy);
    for group in [
        "0",
        "workers-0",
        "cp",
        "seed",
        "1-workers",
        "control-plane-0",
        "router",
    ] {
        scene.attack(&format!("a group named {group}"), |stage| {
            let spec = Driver::Dummy.spec(OLD, &[("workers", 1), (group, 1)]);
            stage.set(&mallory(), scene.his, "SPEC", &spec.to_string());
            stage.pass_time(600);
            let spec = Driver::Dummy.spec(OLD, &[("workers", 1)]);
            stage.set(&mallory(), scene.his, "SPEC", &spec.to_string());
        });
    }
}

/// SPEC names networks and images of others, which its owner may not use.
#[test]
fn places_of_others_are_refused_before_the_first_object() {
    let scene = Scene::new(Driver::Dummy);
    only_networks_that_say_so(&scene.stage);
    let network =
        "NAME=\"hers\"\nVN_MAD=\"dummy\"\nBRIDGE=\"br9\"\nAR=[TYPE=\"IP4\",IP=\"203.0.113.10\",SIZE=\"50\"]";
    let network = scene.stage.sandbox.add_vnet_from(network, &[0]).unwrap();
    let admin = crate::support::life::ONEADMIN;
    scene.stage.ask(
        admin,
        "one.vn.chown",
        &[network.into(), ALICE.into(), (-1).into()],
    );
    let rights = [1, 1, 0, 0, 0, 0, 0, 0, 0].map(opennebula::xmlrpc::Value::from);
    let params: Vec<_> = std::iter::once(network.into()).chain(rights).collect();
    scene.stage.ask(admin, "one.vn.chmod", &params);
    for which in ["public", "private"] {
        let mut id = 0;
        let stage = scene.attack(&format!("her network as the {which} one"), |stage| {
            let mut spec = Driver::Dummy.spec(OLD, &[]);
            spec["deployment"]["networks"][which]["id"] = json!(network);
            id = stage.create(&mallory(), "thief", &spec);
        });
        let status = stage.status(id).unwrap();
        let accepted = status.condition("Accepted").unwrap();
        assert_eq!(
            (accepted.status, accepted.reason.as_str()),
            (Truth::False, "PlacementNotPossible")
        );
        assert!(
            accepted.message.contains(&format!("network {network}")),
            "{}",
            accepted.message
        );
        assert!(stage.sandbox.leases(network).is_empty());
    }
}
