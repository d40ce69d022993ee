//! Virtual machines that Cluster API's provider forgets, because it could not look them up as it deleted their machines.

use oneks_sandbox::ALICE_PASSWORD;
use oneks_sandbox::capi::{Fault, FaultKind, Handle};

use crate::capone_life;
use crate::cli::Cloud;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// From now on the provider's look-ups fail as it deletes machines; or no longer.
fn blind(guests: &Handle, blind: bool) {
    guests.heal();
    if blind {
        guests.break_it(Fault {
            on: String::new(),
            kind: FaultKind::CaponeBlind,
            times: None,
        });
    }
}

/// The live nodes of the group, by their tag.
fn nodes(cloud: &Cloud, group: u32) -> Vec<u32> {
    let vms = cloud.life.sandbox.live_vms().into_iter();
    let group = group.to_string();
    vms.filter(|vm| vm.user_template.get_in("ONEKS", "GROUP_ID") == Some(&group))
        .map(|vm| vm.meta.id)
        .collect()
}

#[test]
fn what_the_provider_forgets_is_told_and_ended() {
    let (life, guests) = capone_life::cloud();
    let mut cloud = Cloud::around(life);
    let spec = |groups: &[(&str, u32)]| capone_life::spec("standalone", groups).to_string();
    let first = capone_life::spec("standalone", &[("workers", 2), ("more", 1)]);
    let id = cloud.life.create(&alice(), "demo", &first);
    cloud.life.until_state(id, "RUNNING", 3600);
    let before: Vec<u32> = cloud
        .life
        .status(id)
        .groups()
        .flat_map(|g| g.vms.iter().map(|vm| vm.id))
        .collect();

    // A group that becomes smaller.
    blind(&guests, true);
    cloud
        .life
        .set(&alice(), id, "SPEC", &spec(&[("workers", 1), ("more", 1)]));
    cloud.life.until_state(id, "WARNING", 1800);
    blind(&guests, false);
    cloud.life.until("it is known what is wrong", 1800, |life| {
        let error = life.status(id).node_groups[0].error.clone();
        error.is_some_and(|e| e.reason == "NodeForgotten")
    });
    assert_eq!(nodes(&cloud, id * 1000 + 1).len(), 2, "one answer is not enough");
    let told = cloud.run("alice", &format!("explain cluster {id}")).good();
    assert!(
        told.contains("has neither machine nor node in Kubernetes"),
        "{told}"
    );
    cloud.life.until_state(id, "RUNNING", 1800);
    assert_eq!(nodes(&cloud, id * 1000 + 1).len(), 1);
    let history = cloud.life.status(id).history;
    assert!(
        history
            .iter()
            .any(|e| e.text.contains("Cluster API has forgotten it")),
        "{history:?}"
    );

    // A group that is removed.
    blind(&guests, true);
    cloud.life.set(&alice(), id, "SPEC", &spec(&[("workers", 1)]));
    cloud.life.until("the group waits for its machine", 900, |life| {
        let work = life.status(id).node_groups.get(1).and_then(|g| g.work.clone());
        work.is_some_and(|work| work.step.contains("has neither machine nor node in Kubernetes"))
    });
    blind(&guests, false);
    let told = cloud.run("alice", &format!("explain cluster {id}")).good();
    assert!(
        told.contains("has neither machine nor node in Kubernetes"),
        "{told}"
    );
    cloud.life.until_state(id, "RUNNING", 1800);
    cloud.life.pass_time(60);
    assert!(nodes(&cloud, id * 1000 + 2).is_empty());

    // Nothing that Cluster API knows was touched: what is left is what was there.
    let status = cloud.life.status(id);
    let left: Vec<u32> = status
        .groups()
        .flat_map(|g| g.vms.iter().map(|vm| vm.id))
        .collect();
    assert!(
        left.iter().all(|vm| before.contains(vm)),
        "{}",
        cloud.life.report()
    );
    assert_eq!(left.len(), 2);
    cloud.life.set(&alice(), id, "DELETE", "YES");
    cloud.life.until_state(id, "GONE", 1200);
    assert_eq!(cloud.life.left_over(), Vec::<String>::new());
    assert_eq!(cloud.life.errors, Vec::<String>::new());
}
