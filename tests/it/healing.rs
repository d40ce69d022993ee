//! What heals by itself, with the real drivers, in virtual time: nobody orders anything.

use oneks_sandbox::ALICE_PASSWORD;
use serde_json::{Value, json};

use crate::capone_life;
use crate::plain_life;
use crate::support::life::Life;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A running cluster of each driver.
fn clusters() -> Vec<(Life, u32)> {
    let (mut guests, _) = capone_life::cloud();
    let first = guests.create(&alice(), "demo", &capone_life::spec("standalone", &[]));
    guests.until_state(first, "RUNNING", 3600);
    let mut plain = Life::plain();
    let second = plain.create(&alice(), "demo", &plain_life::spec(1));
    plain.until_state(second, "RUNNING", 900);
    vec![(guests, first), (plain, second)]
}

fn call(life: &Life, method: &str, params: &[Value]) {
    let params: Vec<opennebula::xmlrpc::Value> = params
        .iter()
        .map(|p| match p {
            Value::Number(n) => u32::try_from(n.as_u64().unwrap()).unwrap().into(),
            Value::String(s) => s.as_str().into(),
            _ => unreachable!(),
        })
        .collect();
    life.ask(&alice(), method, &params);
}

fn router(life: &Life, id: u32) -> u32 {
    life.status(id).control_plane.router.unwrap().id.unwrap()
}

/// Goes on until the cluster has been in WARNING and runs again.
fn warns_and_runs(life: &mut Life, id: u32) {
    life.until_state(id, "WARNING", 120);
    life.until_state(id, "RUNNING", 1800);
}

fn ends_well(life: &mut Life, id: u32) {
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 1200);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_router_that_is_lost_comes_back_at_the_same_address() {
    for (mut life, id) in clusters() {
        let before = life.status(id);
        let nodes = |life: &Life| -> Vec<u32> {
            let status = life.status(id);
            status
                .groups()
                .flat_map(|g| g.vms.iter().map(|vm| vm.id))
                .collect()
        };
        let (old, own) = (router(&life, id), nodes(&life));

        call(&life, "one.vrouter.delete", &[old.into()]);
        warns_and_runs(&mut life, id);
        let new = router(&life, id);
        assert_ne!(new, old);
        assert_eq!(life.status(id).endpoint, before.endpoint, "{}", life.report());
        assert_eq!(life.status(id).gateway, before.gateway);

        let vm = life.status(id).control_plane.router.unwrap().vms[0].id;
        call(&life, "one.vm.action", &["terminate-hard".into(), vm.into()]);
        warns_and_runs(&mut life, id);
        assert_eq!(router(&life, id), new, "only its VMs are made again");

        call(&life, "one.vrouter.delete", &[new.into()]);
        life.set(&alice(), id, "STATUS", "");
        life.until("the status is whole again", 3600, |life| {
            let status = life.attribute(id, "STATUS");
            let written = oneks_core::Status::parse(status.as_deref(), id).is_ok();
            written && life.state(id) == "RUNNING"
        });
        assert_eq!(life.status(id).endpoint, before.endpoint, "{}", life.report());
        assert_eq!(life.status(id).gateway, before.gateway);
        assert_eq!(nodes(&life), own, "no node was touched");
        ends_well(&mut life, id);
    }
}

#[test]
fn a_router_whose_address_was_taken_waits_for_it() {
    for (mut life, id) in clusters() {
        let endpoint = life.status(id).endpoint.unwrap().host;
        let old = router(&life, id);
        life.sweeping = false;
        call(&life, "one.vrouter.delete", &[old.into()]);
        let text = format!("NAME=\"other\"\nNIC=[NETWORK_ID=\"0\",FLOATING_IP=\"YES\",IP=\"{endpoint}\"]");
        let other = life.ask(&alice(), "one.vrouter.allocate", &[text.as_str().into()]);
        life.sweeping = true;
        life.until_state(id, "WARNING", 300);
        life.pass_time(1200);
        let error = life.status(id).control_plane.error.unwrap();
        assert_eq!(error.reason, "RouterGone");
        for part in [endpoint.as_str(), "onevnet show"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        assert_eq!(life.status(id).endpoint.unwrap().host, endpoint);
        life.ask(&alice(), "one.vrouter.delete", &[other]);
        life.until_state(id, "RUNNING", 1800);
        ends_well(&mut life, id);
    }
}

/// A node that somebody powered off is started by RECOVER, as its owner, and the cluster is never SCALING.
#[test]
fn recover_starts_what_was_powered_off() {
    for (mut life, id) in clusters() {
        let status = life.status(id);
        let router = &status.control_plane.router.as_ref().unwrap().vms[0];
        let vms: Vec<u32> = status
            .groups()
            .flat_map(|g| &g.vms)
            .chain([router])
            .map(|vm| vm.id)
            .collect();
        for (n, vm) in vms.into_iter().enumerate() {
            call(&life, "one.vm.action", &["poweroff-hard".into(), vm.into()]);
            life.until_state(id, "WARNING", 300);
            life.set(&alice(), id, "RECOVER", &format!("order {n}"));
            life.until("the VM runs", 900, |life| {
                assert_ne!(life.state(id), "SCALING", "{}", life.report());
                life.state(id) == "RUNNING"
            });
            let live = life.sandbox.live_vms();
            assert!(
                live.iter().any(|v| v.meta.id == vm),
                "it was started, not replaced"
            );
        }
        ends_well(&mut life, id);
    }
}

/// The virtual machines run, but Kubernetes is not well: noticed by one question in a long while, told in Kubernetes'
/// words, and over by itself.
#[test]
fn a_cluster_that_is_not_well_inside_is_noticed() {
    let (mut life, guests) = capone_life::cloud();
    let id = life.create(&alice(), "demo", &capone_life::spec("standalone", &[]));
    life.until_state(id, "RUNNING", 3600);
    let name = format!("oneks-{id}");
    let pause = |paused: bool| {
        let patch = format!("{{\"spec\":{{\"paused\":{paused}}}}}");
        let resource = "clusters.v1beta1.cluster.x-k8s.io";
        let words = [
            "patch",
            resource,
            &name,
            "--namespace=default",
            "--type=merge",
            "-p",
            &patch,
        ];
        let output = guests.kubectl(&name, false, &words, b"");
        assert_eq!(output.code, 0, "{}", output.stderr);
    };
    let asked = |life: &Life| {
        life.sandbox
            .calls()
            .calls
            .iter()
            .filter(|c| c.method == "one.vm.exec")
            .count()
    };
    let before = asked(&life);
    life.pass_time(4 * 1800);
    let questions = asked(&life) - before;
    assert!(
        (3..=4).contains(&questions),
        "{questions} questions in four intervals"
    );
    assert_eq!(life.state(id), "RUNNING");

    pause(true);
    life.until_state(id, "WARNING", 2 * 1800);
    let error = life.status(id).control_plane.error.unwrap();
    assert_eq!(error.reason, "NodeNotReady");
    assert!(error.message.contains("paused"), "{}", error.message);
    life.pass_time(1800);
    assert_eq!(life.status(id).control_plane.error.unwrap().since, error.since);
    pause(false);
    life.until_state(id, "RUNNING", 900);
    ends_well(&mut life, id);
}

/// The seed is ended by hand while the first node runs and before the cluster was handed over to it; the status is lost as
/// well. RECOVER builds it again.
#[test]
fn a_bootstrap_that_broke_off_is_built_again_by_recover() {
    let (mut life, _) = capone_life::cloud();
    let id = life.create(
        &alice(),
        "demo",
        &capone_life::spec("standalone", &[("workers", 1)]),
    );
    let node = |life: &Life| {
        let name = format!("oneks-{id}-");
        let others = ["seed", "cp"].map(|kind| format!("{name}{kind}"));
        life.sandbox.live_vms().iter().any(|vm| {
            let is_node = vm.meta.name.starts_with(&name) && !others.contains(&vm.meta.name);
            is_node && vm.lcm_state == oneks_sandbox::LcmState::Running
        })
    };
    life.until("the first node runs", 3600, node);
    let seed = life.status(id).control_plane.seed.unwrap().vm.unwrap();
    assert_ne!(life.state(id), "RUNNING");
    call(&life, "one.vm.action", &["terminate-hard".into(), seed.into()]);
    life.set(&alice(), id, "STATUS", "");
    life.until_state(id, "PROVISIONING_FAILURE", 3 * 3600);
    let error = life.status(id).control_plane.error.unwrap();
    assert_eq!(error.reason, "NotHandedOver", "{}", life.report());
    life.set(&alice(), id, "RECOVER", "1");
    life.until_state(id, "RUNNING", 3600);
    let status = life.status(id);
    let sizes: Vec<usize> = status.groups().map(|g| g.vms.len()).collect();
    assert_eq!(sizes, [1, 1], "{}", life.report());
    ends_well(&mut life, id);
}

/// The status is lost again and again during an upgrade: the order is kept, no node goes back, one more than wanted.
#[test]
fn an_upgrade_keeps_its_order_when_the_status_is_lost() {
    let mut life = Life::plain();
    let mut wanted = plain_life::spec(2);
    wanted["control_plane"] = json!({"flavour": "ha"});
    wanted["node_groups"] = json!(
        ["a", "b"]
            .map(|name| { json!({"name": name, "flavour": "small", "user_inputs_values": {"count": 2}}) })
    );
    let id = life.create(&alice(), "demo", &wanted);
    life.until_state(id, "RUNNING", 1800);
    wanted["kubernetes_version"] = json!("v1.34.2");
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    // Live nodes of the new and of the old version, of the control plane and of each group.
    let nodes = |life: &Life| -> Vec<(usize, usize)> {
        let machines = life.sandbox.live_vms();
        let of = |n: u32, version: &str| {
            machines
                .iter()
                .filter(|vm| {
                    vm.user_template.get_in("ONEKS", "GROUP_ID") == Some(&(id * 1000 + n).to_string())
                })
                .filter(|vm| {
                    matches!(
                        vm.user_template.get_in("ONEKS", "TYPE"),
                        Some("CONTROL_PLANE" | "NODE")
                    )
                })
                .filter(|vm| vm.user_template.get("ONEKS_KUBERNETES_VERSION") == Some(version))
                .filter(|vm| !format!("{:?}", vm.lcm_state).starts_with("Epilog"))
                .count()
        };
        (0..3).map(|n| (of(n, "v1.34.2"), of(n, "v1.33.7"))).collect()
    };
    let (mut last, mut losses) = (nodes(&life), 0);
    let end = life.sandbox.now() + 1800;
    while life.state(id) != "RUNNING" || last.iter().any(|(_, old)| *old > 0) {
        assert!(life.sandbox.now() < end, "{}", life.report());
        life.pass_time(2);
        let now = nodes(&life);
        for n in 1..3 {
            assert!(now[n].0 == 0 || now[n - 1].1 == 0, "{now:?}\n{}", life.report());
        }
        for (n, want) in [3, 2, 2].into_iter().enumerate() {
            assert!(now[n].0 + now[n].1 <= want + 1, "{now:?}\n{}", life.report());
            assert!(now[n].0 >= last[n].0, "{now:?} after {last:?}\n{}", life.report());
            // As long as there is one node more, the hooks forget all they knew.
            if now[n].0 + now[n].1 > want {
                life.set(&alice(), id, "STATUS", "");
                losses += 1;
            }
        }
        last = now;
    }
    assert_eq!(last, [(3, 0), (2, 0), (2, 0)]);
    assert!(losses >= 14, "{losses}");
    ends_well(&mut life, id);
}
