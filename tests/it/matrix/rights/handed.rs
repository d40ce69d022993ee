//! Documents that change hands: owners, copies, and what is left when they are deleted.

use super::{ALICE, Belongings, MALLORY, Scene, alice, changes, his_vm, mallory, new, tag};
use crate::matrix::operation::Driver;
use crate::matrix::stage::Stage;
use crate::support::life::ONEADMIN;

fn chown(stage: &Stage, document: u32, uid: u32) {
    stage.ask(
        ONEADMIN,
        "one.document.chown",
        &[document.into(), uid.into(), (-1).into()],
    );
}

fn owner_changed(stage: &Stage, document: u32) -> bool {
    stage
        .status(document)
        .is_some_and(|s| s.condition("OwnerChanged").is_some())
}

/// Everything of alice's but the document that was given away.
fn of_alice(stage: &Stage, but: u32) -> Belongings {
    let mut hers = Belongings::of(stage, ALICE, "alice");
    hers.documents.retain(|d| d.meta.id != but);
    hers
}

/// What the new owner does to the document, and whether the front-end still knows what it noted.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Nothing,
    Status,
    Template,
    /// STATUS says that everything was made for the new owner.
    Forged,
}

const LOST: [(Lost, bool); 8] = [
    (Lost::Nothing, false),
    (Lost::Nothing, true),
    (Lost::Status, false),
    (Lost::Status, true),
    (Lost::Template, false),
    (Lost::Template, true),
    (Lost::Forged, false),
    (Lost::Forged, true),
];

/// An administrator gives the document to mallory, who does this to it.
fn take_over(stage: &Stage, document: u32, (lost, reboot): (Lost, bool)) {
    let (spec, status) = (
        stage.attribute(document, "SPEC"),
        stage.attribute(document, "STATUS"),
    );
    let losing = stage
        .sandbox
        .faults(|f| std::mem::replace(&mut f.events.lose, 100));
    chown(stage, document, MALLORY);
    match lost {
        Lost::Nothing => {}
        Lost::Status => stage.set(&mallory(), document, "STATUS", ""),
        Lost::Template => {
            let mut template = opennebula::template::Template::new();
            template.set("SPEC", spec.unwrap());
            let text = template.to_xml("TEMPLATE").unwrap();
            stage.ask(
                &mallory(),
                "one.document.update",
                &[document.into(), text.into(), 0.into()],
            );
        }
        Lost::Forged => {
            let mut status: serde_json::Value =
                serde_json::from_str(&status.unwrap_or_default()).unwrap_or_default();
            if status.is_object() {
                status["owner"] = MALLORY.into();
                status["rev"] = 1_000_000.into();
                stage.set(&mallory(), document, "STATUS", &status.to_string());
            }
        }
    }
    if reboot {
        stage.reboot();
    }
    stage.sandbox.faults(|f| f.events.lose = losing);
    stage.set(&mallory(), document, "RECOVER", "1");
}

#[test]
fn a_document_that_changes_hands_at_rest_is_no_second_cluster() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.hers;
    for lost in LOST {
        let stage = scene.stage.fork();
        let before = of_alice(&stage, hers);
        let his = Belongings::of(&stage, MALLORY, "mallory");
        take_over(&stage, hers, lost);
        // He wants more than there is.
        let spec = Driver::Dummy.spec(super::OLD, &[("workers", 3)]);
        stage.set(&mallory(), hers, "SPEC", &spec.to_string());
        stage.pass_time(3600);
        assert!(owner_changed(&stage, hers), "{lost:?}\n{}", stage.report());
        assert_eq!(
            changes(&before, &of_alice(&stage, hers)),
            Vec::<String>::new(),
            "{lost:?}"
        );
        let now = Belongings::of(&stage, MALLORY, "mallory");
        assert!(
            now.vms == his.vms && now.routers == his.routers && now.templates == his.templates,
            "{lost:?}\n{}",
            stage.report()
        );
        let status = stage.status(hers).unwrap();
        let why = &status.condition("OwnerChanged").unwrap().message;
        assert!(
            why.contains("mallory") && why.contains("user 2") && why.contains("chown"),
            "{why}"
        );

        // Given back it goes on as before.
        chown(&stage, hers, ALICE);
        let back = |s: &Stage| s.state(hers) == "RUNNING" && !owner_changed(s, hers);
        assert!(stage.until(3600, back), "{lost:?}\n{}", stage.report());
        stage.set(&alice(), hers, "DELETE", "YES");
        let gone = stage.until(3600, |s| s.state(hers) == "GONE");
        assert!(gone, "{lost:?}\n{}", stage.report());
        stage.pass_time(120);
        let left = of_alice(&stage, hers);
        let alive = left
            .vms
            .iter()
            .filter(|vm| vm.state != oneks_sandbox::VmState::Done);
        assert_eq!(
            alive.map(|vm| vm.meta.id).collect::<Vec<_>>(),
            [scene.private],
            "{lost:?}"
        );
        assert!(left.routers.is_empty() && left.templates.len() == 2, "{lost:?}");
    }
}

/// At any moment of the creation. Never do two users have objects of one cluster, and whoever has them can have it removed.
fn in_the_making(driver: Driver, step: usize) {
    let stage = driver.cloud();
    let remains = stage.sandbox.remains();
    let id = stage.create(&alice(), "hers", &driver.spec(super::OLD, &[("workers", 1)]));
    let (mut process, mut cases) = (0, 0);
    while stage.state(id) != "RUNNING" {
        let end = stage.sandbox.now() + 7200;
        let cause = stage.next(end).unwrap();
        for (number, lost) in LOST.into_iter().enumerate() {
            if (process + number) % step != 0 {
                continue;
            }
            cases += 1;
            let what = format!("before process {process}, {lost:?}");
            let fork = stage.fork();
            fork.put_back(&cause);
            take_over(&fork, id, lost);
            fork.pass_time(2500);
            let has = |uid: u32, name: &str| {
                let all = Belongings::of(&fork, uid, name);
                all.vms.iter().any(|vm| vm.state != oneks_sandbox::VmState::Done)
                    || !all.routers.is_empty()
                    || !all.templates.is_empty()
            };
            let (hers, his) = (has(ALICE, "alice"), has(MALLORY, "mallory"));
            assert!(!(hers && his), "{what}\n{}", fork.report());
            if hers {
                assert!(owner_changed(&fork, id), "{what}\n{}", fork.report());
            }
            let (owner, session) = if his {
                (MALLORY, mallory())
            } else {
                (ALICE, alice())
            };
            chown(&fork, id, owner);
            fork.pass_time(300);
            fork.set(&session, id, "DELETE", "YES");
            let gone = fork.until(3600, |s| s.state(id) == "GONE");
            assert!(gone, "{what}\n{}", fork.report());
            fork.pass_time(120);
            let left = fork.sandbox.remains().since(&remains);
            assert_eq!(left, Vec::<String>::new(), "{what}\n{}", fork.report());
        }
        stage.run(&cause, None);
        process += 1;
    }
    assert!(cases > 20, "{cases}");
}

#[test]
fn a_document_that_changes_hands_in_the_making_is_no_second_cluster() {
    in_the_making(Driver::Dummy, 1);
}

#[test]
fn a_document_that_changes_hands_in_the_making_is_no_second_cluster_with_guests() {
    in_the_making(Driver::Capone, 9);
}

/// The other way round: mallory prepares a document, and an administrator gives it to alice.
#[test]
fn a_document_that_was_prepared_for_her_reaches_none_of_her_other_objects() {
    let scene = Scene::new(Driver::Dummy);
    let his = scene.his;
    let theirs = scene.stage.status(scene.hers).unwrap();
    let named = |id: u32| serde_json::json!({"id": id, "name": format!("oneks-{his}-workers-0"), "condition": "running"});
    for reboot in [false, true] {
        for (what, order) in [
            ("nothing", ""),
            ("a delete order", "YES"),
            ("a forced delete order", "FORCE"),
        ] {
            let stage = scene.stage.fork();
            let before = of_alice(&stage, his);
            let mallory_s = Belongings::of(&stage, MALLORY, "mallory");
            stage.lose_all_events();
            let mut status: serde_json::Value =
                serde_json::from_str(&stage.attribute(his, "STATUS").unwrap()).unwrap();
            let ids = theirs.vm_ids().into_iter().chain([scene.private]);
            status["node_groups"][0]["vms"] = ids.map(named).collect();
            status["control_plane"]["router"]["id"] =
                serde_json::json!(theirs.control_plane.router.as_ref().unwrap().id);
            status["owner"] = ALICE.into();
            status["rev"] = 1_000_000.into();
            stage.set(&mallory(), his, "STATUS", &status.to_string());
            if !order.is_empty() {
                stage.set(&mallory(), his, "DELETE", order);
            }
            chown(&stage, his, ALICE);
            if reboot {
                stage.reboot();
            }
            stage.sandbox.faults(|f| f.events.lose = 0);
            stage.pass_time(2500);
            let what = format!("{what}, reboot: {reboot}");
            assert_eq!(
                changes(&before, &of_alice(&stage, his)),
                Vec::<String>::new(),
                "{what}\n{}",
                stage.report()
            );
            let now = Belongings::of(&stage, MALLORY, "mallory");
            assert!(
                now.vms == mallory_s.vms && now.routers == mallory_s.routers,
                "{what}\n{}",
                stage.report()
            );
        }
    }
}

#[test]
fn who_is_given_a_document_and_deletes_it_takes_none_of_the_old_owner_s_objects_along() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.hers;
    for by_hand in [false, true] {
        for lose in [0, 100] {
            let stage = scene.stage.fork();
            let before = of_alice(&stage, hers);
            chown(&stage, hers, MALLORY);
            stage.pass_time(400);
            stage.sandbox.faults(|f| f.events.lose = lose);
            if by_hand {
                stage.ask(&mallory(), "one.document.delete", &[hers.into()]);
            } else {
                stage.set(&mallory(), hers, "DELETE", "FORCE");
            }
            stage.pass_time(3600);
            let what = format!("by hand: {by_hand}, lost: {lose}");
            assert_eq!(
                changes(&before, &of_alice(&stage, hers)),
                Vec::<String>::new(),
                "{what}"
            );
        }
    }
}

#[test]
fn a_clone_is_a_new_cluster_of_the_one_who_made_it() {
    let scene = Scene::new(Driver::Dummy);
    let rights = [1, 1, 0, 1, 0, 0, 0, 0, 0].map(opennebula::xmlrpc::Value::from);
    let params: Vec<_> = std::iter::once(scene.hers.into()).chain(rights).collect();
    scene.stage.ask(&alice(), "one.document.chmod", &params);
    scene.stage.pass_time(600);
    let mut copy = 0;
    let stage = scene.attack("a clone", |stage| {
        let params = [scene.hers.into(), "copy".into()];
        copy = new(stage, &mallory(), "one.document.clone", &params);
    });
    assert_eq!(stage.state(copy), "RUNNING", "{}", stage.report());
    let status = stage.status(copy).unwrap();
    let theirs = scene.stage.status(scene.hers).unwrap().vm_ids();
    assert!(status.vm_ids().is_disjoint(&theirs));
    assert_ne!(
        stage.attribute(copy, "ENDPOINT"),
        stage.attribute(scene.hers, "ENDPOINT")
    );
}

/// Alice shares a node's template, bob makes a VM of it, alice deletes her cluster.
#[test]
fn what_others_made_from_a_shared_template_outlives_the_cluster() {
    let scene = Scene::new(Driver::Dummy);
    let hers = scene.hers;
    for by_hand in [false, true] {
        let stage = scene.stage.fork();
        let vm = his_vm(
            &stage,
            &format!("oneks-{hers}-workers-77"),
            &tag(hers, hers * 1000 + 1, "NODE"),
        );
        let text = format!(
            "NAME=\"oneks-{hers}-workers\"\nCPU=\"1\"\nMEMORY=\"64\"\n{}",
            tag(hers, hers * 1000 + 1, "NODE")
        );
        stage.ask(&mallory(), "one.template.allocate", &[text.into()]);
        stage.pass_time(120);
        let before = Belongings::of(&stage, MALLORY, "mallory");
        if by_hand {
            stage.ask(&alice(), "one.document.delete", &[hers.into()]);
        } else {
            stage.set(&alice(), hers, "DELETE", "YES");
        }
        stage.pass_time(1800);
        assert_eq!(stage.state(hers), "GONE");
        // Its events come when there is no cluster any more.
        for action in ["poweroff-hard", "resume"] {
            stage.ask(&mallory(), "one.vm.action", &[action.into(), vm.into()]);
            stage.pass_time(600);
        }
        let mut after = Belongings::of(&stage, MALLORY, "mallory");
        let gone = after
            .vms
            .iter()
            .filter(|vm| vm.state == oneks_sandbox::VmState::Done)
            .count();
        let was = before
            .vms
            .iter()
            .filter(|vm| vm.state == oneks_sandbox::VmState::Done)
            .count();
        assert_eq!(gone, was, "{}", stage.report());
        after.vms.clone_from(&before.vms);
        assert_eq!(changes(&before, &after), Vec::<String>::new());
    }
}
