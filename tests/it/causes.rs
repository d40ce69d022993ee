//! What OpenNebula says when something is missing, and what users are told of it.

use oneks_core::status::LastError;
use oneks_sandbox::ALICE_PASSWORD;

use crate::plain_life;
use crate::support::life::{Life, ONEADMIN};

/// Her user id.
const ALICE: u32 = 2;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// Makes a cluster in a cloud where something is missing; what users are told, for five minutes the same.
fn told(life: &mut Life) -> (u32, LastError) {
    let id = life.create(&alice(), "demo", &plain_life::spec(1));
    life.until("a cause is told", 900, |life| {
        life.attribute(id, "STATUS").is_some() && life.status(id).last_error.is_some()
    });
    let first = life.status(id);
    life.pass_time(300);
    let later = life.status(id);
    assert_eq!(later.last_error, first.last_error, "what lasts is told once");
    assert!(
        later.rev <= first.rev + 12,
        "{} writes in five minutes",
        later.rev - first.rev
    );
    (id, first.last_error.unwrap())
}

fn ends_well(mut life: Life, id: u32) {
    life.until_state(id, "RUNNING", 1800);
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 900);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn no_host_has_room() {
    let mut life = Life::plain();
    life.sandbox.faults(|f| f.no_capacity = true);
    let (id, error) = told(&mut life);
    assert_eq!(error.reason, "Unschedulable", "{error:?}");
    assert!(error.object.unwrap().starts_with("VM "));
    assert!(
        error
            .message
            .ends_with("finds no host: [HOST] Not enough CPU on hosts: all"),
        "{}",
        error.message
    );
    life.sandbox.faults(|f| f.no_capacity = false);
    ends_well(life, id);
}

#[test]
fn the_quota_is_exhausted() {
    let mut life = Life::plain();
    let quota = |life: &Life, vms: i32| {
        let text = format!("VM=[VMS=\"{vms}\",CPU=\"-2\",MEMORY=\"-2\",SYSTEM_DISK_SIZE=\"-2\"]");
        life.ask(ONEADMIN, "one.user.quota", &[ALICE.into(), text.as_str().into()]);
    };
    quota(&life, 1);
    let (id, error) = told(&mut life);
    assert_eq!(error.reason, "QuotaExceeded", "{error:?}");
    assert!(error.object.unwrap().starts_with("VM oneks-"));
    assert!(error.message.contains("quota"), "{}", error.message);
    quota(&life, -2);
    ends_well(life, id);
}

#[test]
fn no_address_is_left() {
    let mut life = Life::plain();
    // All public addresses are somebody else's.
    let text = "NAME=\"other\"\nNIC=[NETWORK_ID=\"0\",FLOATING_IP=\"YES\"]";
    let mut others = Vec::new();
    while let Ok(id) = life.sandbox.ask(ONEADMIN, "one.vrouter.allocate", &[text.into()]) {
        others.push(id);
    }
    let (id, error) = told(&mut life);
    assert_eq!(error.reason, "NoAddress", "{error:?}");
    assert_eq!(error.object, Some(format!("virtual router oneks-{id}-cp")));
    assert!(error.message.contains("virtual network 0"), "{}", error.message);
    for other in others {
        life.ask(ONEADMIN, "one.vrouter.delete", &[other]);
    }
    ends_well(life, id);
}
