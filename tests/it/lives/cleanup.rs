//! What the cloud controller has made goes with the cluster: the virtual router and the two reservations of Services of
//! type `LoadBalancer`. And what comes late, or lies about after its document is gone.

use oneks_sandbox::capi::{Fault, FaultKind};

use crate::lives::base;
use crate::support::life::ONEADMIN;
use crate::support::scene::{End, Order, PLAIN, Part, alice};

#[test]
fn load_balancers_go_with_the_cluster_in_every_way() {
    let (scene, _base) = base::exposed();
    let networks = scene.life.sandbox.vnets().into_iter();
    let names: Vec<String> = networks
        .filter(|n| n.meta.uname == "alice")
        .map(|n| n.meta.name)
        .collect();
    for name in ["oneks-1-vr", "oneks-1-lb"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    for way in End::all() {
        scene.fork().end(way);
    }
}

#[test]
fn load_balancers_go_although_nobody_controls_them_any_more() {
    let (scene, _base) = base::exposed();
    for order in [Order::Yes, Order::Force, Order::Document] {
        let fork = scene.fork();
        fork.guests.as_ref().unwrap().break_it(Fault {
            on: String::new(),
            kind: FaultKind::CaponeStuck,
            times: None,
        });
        for vm in fork.vms("CONTROL_PLANE") {
            fork.life.sandbox.lose_vm(vm.meta.id);
        }
        let lost: &[Part] = &[Part::RouterVms];
        fork.end(End {
            order,
            lost,
            slow: false,
        });
    }
}

/// The deletion of a document is an order even if nobody is told of it.
#[test]
fn what_a_document_leaves_behind_is_found_by_the_sweep() {
    let (scene, _base) = base::exposed();
    scene.life.sandbox.faults(|f| f.events.lose = 100);
    for vm in scene.vms("NODE") {
        scene.terminate(vm.meta.id);
    }
    scene.end(End {
        order: Order::Document,
        ..PLAIN
    });
}

/// A machine that was on its way when the last look was taken is noticed by its own event.
#[test]
fn a_latecomer_is_ended() {
    let (mut scene, _base) = base::capone();
    let id = scene.id;
    let tag = format!("ONEKS=[CLUSTER_ID=\"{id}\",GROUP_ID=\"{id}001\",TYPE=\"NODE\"]");
    let text = format!("NAME=\"oneks-{id}-workers-late1-abcde\"\nCPU=\"1\"\nMEMORY=\"512\"\n{tag}");
    scene.life.set(&alice(), id, "DELETE", "YES");
    scene.until_state("GONE", 1500);
    scene
        .life
        .ask(&alice(), "one.vm.allocate", &[text.into(), false.into()]);
    assert_eq!(scene.life.left_over().len(), 1);
    scene.until("the latecomer is gone", 600, |scene| {
        scene.life.left_over().is_empty()
    });
    scene.harmless("latecomer");
}

/// Neither a router's name alone nor one of another tenant's is a reason to remove anything.
#[test]
fn a_name_alone_condemns_nothing() {
    let (mut scene, _base) = base::dummy();
    for (session, name) in [
        (alice(), "oneks-77-cp"),
        (ONEADMIN.to_owned(), "oneks-77-lb"),
        (ONEADMIN.to_owned(), "oneks-1-cp"),
    ] {
        let text = format!("NAME=\"{name}\"\nNIC=[NETWORK_ID=\"1\",FLOATING_IP=\"YES\"]");
        scene.life.ask(&session, "one.vrouter.allocate", &[text.into()]);
        let text = format!("NAME=\"{name}\"\nCPU=\"1\"\nMEMORY=\"64\"");
        scene.life.ask(&session, "one.template.allocate", &[text.into()]);
    }
    let there = scene.life.left_over();
    scene.pass_time(300);
    assert_eq!(scene.life.left_over(), there);
    scene.life.begin_here();
    let id = scene.id;
    scene.life.set(&alice(), id, "DELETE", "YES");
    scene.until_state("GONE", 600);
    scene.pass_time(300);
    assert_eq!(scene.state(), "GONE");
    let names: Vec<String> = scene
        .life
        .sandbox
        .vrouters()
        .into_iter()
        .map(|r| r.meta.name)
        .collect();
    for name in ["oneks-77-cp", "oneks-77-lb", "oneks-1-cp"] {
        assert!(names.contains(&name.to_owned()), "{name} is gone");
    }
    scene.harmless("names");
}
