//! Copied clusters, of which the benchmark's large clouds are made, are clusters like any other: a sweep finds nothing to
//! do for them, finds out what is broken without being told, and what was broken heals.

use oneks_sandbox::{ObjectKind, Vm};
use serde_json::{Value, json};

use crate::support::copies::Model;
use crate::support::life::{Life, ONEADMIN};

const COPIES: u32 = 12;

/// A cloud with copies of a cluster, as a front-end finds it that was set up just now.
fn cloud() -> (Life, Vec<u32>) {
    let spec: Value = json!({
        "kubernetes_version": "v1.33.7",
        "driver": "dummy",
        "deployment": {"cluster": {"id": 0}, "networks": {"public": {"id": 0}, "private": {"id": 1}}},
        "control_plane": {"flavour": "standalone"},
        "node_groups": [{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 2}}],
    });
    let mut life = Life::plain();
    let mut model = Model::new(&mut life, &spec);
    let copies: Vec<u32> = (0..COPIES).map(|number| model.copy(&life, number)).collect();
    life.forget_notes();
    assert!(!life.sandbox.has_events(), "nobody is told of copies");
    (life, copies)
}

/// The methods that one sweep calls.
fn sweep(life: &mut Life) -> Vec<String> {
    life.sweep();
    assert_eq!(life.errors, Vec::<String>::new());
    life.made.last().unwrap().methods.clone()
}

fn vms_of(life: &Life, cluster: u32) -> Vec<Vm> {
    let uid = owner(life, cluster).0;
    let tag = cluster.to_string();
    let is_its = |vm: &Vm| vm.meta.uid == uid && vm.user_template.get_in("ONEKS", "CLUSTER_ID") == Some(&tag);
    life.sandbox.live_vms().into_iter().filter(is_its).collect()
}

/// User id and session of the owner.
fn owner(life: &Life, cluster: u32) -> (u32, String) {
    let documents = life.sandbox.documents();
    let meta = &documents.iter().find(|d| d.meta.id == cluster).unwrap().meta;
    (meta.uid, format!("{}:pw", meta.uname))
}

#[test]
fn a_sweep_finds_nothing_to_do_for_copies() {
    let (mut life, copies) = cloud();
    let first = sweep(&mut life);
    assert_eq!(first, ["one.documentpool.info", "one.vmpool.infoextended"]);
    assert_eq!(sweep(&mut life), Vec::<String>::new());
    let before = life.made.len();
    life.pass_time(3600);
    assert!(
        life.made[before..]
            .iter()
            .flat_map(|made| &made.methods)
            .all(|m| first.contains(m))
    );

    let mut addresses = Vec::new();
    for id in copies {
        assert_eq!(life.state(id), "RUNNING");
        let status = life.status(id);
        assert_eq!(status.document, id);
        assert_eq!(status.owner, Some(owner(&life, id).0));
        assert_eq!(life.attribute(id, "ENDPOINT").unwrap(), {
            let endpoint = status.endpoint.unwrap();
            format!("https://{}:{}", endpoint.host, endpoint.port)
        });
        let vms = vms_of(&life, id);
        assert_eq!(vms.len(), 4, "three nodes and a router");
        addresses.extend(vms.iter().flat_map(Vm::addresses));
    }
    for template in life.sandbox.templates() {
        let cluster = template
            .template
            .get_in("ONEKS", "CLUSTER_ID")
            .unwrap()
            .parse()
            .unwrap();
        let proof = life.service.made_for(cluster, template.meta.uid);
        assert_eq!(
            template.template.get(oneks::made_for::ATTRIBUTE),
            Some(proof.as_str())
        );
    }
    let count = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), count, "no address is two copies'");
}

#[test]
fn what_is_broken_in_a_copy_is_found_and_heals() {
    let (mut life, copies) = cloud();
    sweep(&mut life);
    let (gone, lost, routerless) = (copies[3], copies[5], copies[7]);
    let node = |life: &Life, cluster| {
        let vms = vms_of(life, cluster);
        vms.iter()
            .find(|vm| vm.meta.name.contains("workers"))
            .unwrap()
            .meta
            .id
    };
    let (gone_vm, lost_vm) = (node(&life, gone), node(&life, lost));
    let router = life.status(routerless).control_plane.router.unwrap().id.unwrap();
    let endpoint = life.status(routerless).endpoint;
    let session = owner(&life, gone).1;
    life.ask(
        &session,
        "one.vm.action",
        &["terminate-hard".into(), gone_vm.into()],
    );
    let session = owner(&life, routerless).1;
    life.ask(&session, "one.vrouter.delete", &[router.into()]);
    assert!(life.sandbox.lose_vm(lost_vm));
    // No event tells: what finds out is the comparison.
    life.sandbox.advance(10);
    assert!(!life.sandbox.take_events().is_empty());

    life.until_state(gone, "WARNING", 1300);
    life.until_state(lost, "WARNING", 120);
    life.until("a new router", 300, |life| {
        let new = life.status(routerless).control_plane.router.unwrap().id;
        new.is_some_and(|new| new != router)
    });
    // Nodes without Kubernetes are not replaced by themselves.
    life.set(&owner(&life, gone).1, gone, "RECOVER", "1");
    life.sandbox.find_vm(lost_vm);
    for id in [gone, lost, routerless] {
        life.until_state(id, "RUNNING", 1300);
        assert_eq!(vms_of(&life, id).len(), 4);
    }
    assert!(vms_of(&life, gone).iter().all(|vm| vm.meta.id != gone_vm));
    let status = life.status(routerless);
    assert_ne!(status.control_plane.router.unwrap().id.unwrap(), router);
    assert_eq!(status.endpoint, endpoint);
    life.pass_time(1800);
    for id in &copies {
        assert_eq!(life.state(*id), "RUNNING");
        assert_eq!(
            life.status(*id).rev == life.status(copies[0]).rev,
            ![gone, lost, routerless].contains(id)
        );
    }
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_copy_is_known_without_status_and_ends_without_a_rest() {
    let (mut life, copies) = cloud();
    sweep(&mut life);
    let id = copies[2];
    let mut before: Vec<u32> = vms_of(&life, id).iter().map(|vm| vm.meta.id).collect();
    life.set(&owner(&life, id).1, id, "STATUS", "");
    life.until_state(id, "RUNNING", 1300);
    life.pass_time(900);
    let mut after: Vec<u32> = vms_of(&life, id).iter().map(|vm| vm.meta.id).collect();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after, "all of it was found again");

    let with = life.sandbox.remains();
    life.set(&owner(&life, id).1, id, "DELETE", "YES");
    life.until_state(id, "GONE", 1300);
    let without = life.sandbox.remains();
    let lists = [
        (&with.documents, &without.documents, 1),
        (&with.vms, &without.vms, 4),
        (&with.vrouters, &without.vrouters, 1),
        (&with.templates, &without.templates, 1),
    ];
    for (with, without, count) in lists {
        assert_eq!(with.len() - without.len(), count);
    }
    let leases = |remains: &oneks_sandbox::Remains| remains.leases.values().sum::<usize>();
    assert_eq!(
        leases(&with) - leases(&without),
        6,
        "four of VMs and two of the router"
    );
    assert_eq!(life.errors, Vec::<String>::new());
    let templates = life.sandbox.templates();
    assert_eq!(
        templates.len(),
        copies.len(),
        "the model's and those of the others"
    );
    let copy = life.sandbox.copy(&[(ObjectKind::Host, 0)], 0, |_| {});
    assert!(copy.is_err() && life.sandbox.ask(ONEADMIN, "one.host.info", &[1.into()]).is_ok());
}
