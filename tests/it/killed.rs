//! `kill -9` at any call of a life: the hook is killed before the call, or when it was carried out and the answer not
//! seen yet. Then events and sweeps go on. The end is the same, and nothing exists twice.

use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, When};
use serde_json::Value;

use crate::support::life::Life;
use crate::{capone_life, plain_life};

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A whole life with a kill at the n-th call. Returns how many calls it took, or `None` if it had ended before.
fn life(mut life: Life, spec: &Value, vms: usize, kill: Option<(u64, Effect)>) -> Option<usize> {
    let what = format!("{kill:?}");
    let killing = kill.is_some();
    if let Some((n, effect)) = kill {
        life.sandbox
            .faults(|f| f.calls.push(CallFault::any(When::Nth(n), effect)));
    }
    let id = life.create(&alice(), "demo", spec);
    life.until_state(id, "RUNNING", 4000);
    assert_eq!(life.sandbox.live_vms().len(), vms, "{what}\n{}", life.report());
    let seeds = life
        .sandbox
        .vms()
        .iter()
        .filter(|vm| vm.meta.name.ends_with("-seed"))
        .count();
    assert!(seeds <= 2, "{what}: {seeds} seeds\n{}", life.report());
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 2000);
    // A delete that was carried out without its answer seen leaves the sweep to find that nothing is left.
    life.pass_time(180);
    assert_eq!(life.left_over(), Vec::<String>::new(), "{what}");
    if killing && life.deaths == 0 {
        return None;
    }
    Some(life.sandbox.calls().len())
}

/// Kills at every `step`-th call, before and after it.
fn everywhere(cloud: impl Fn() -> Life, spec: &Value, vms: usize, step: usize) {
    let calls = life(cloud(), spec, vms, None).unwrap();
    let (mut cases, mut killed) = (0, 0);
    for n in (1..=calls).step_by(step) {
        for effect in [Effect::DieBefore, Effect::DieAfter] {
            cases += 1;
            killed += u32::from(life(cloud(), spec, vms, Some((n as u64, effect))).is_some());
        }
    }
    assert!(
        killed * 10 >= cases * 9,
        "only {killed} of {cases} lives met their kill"
    );
}

#[test]
fn a_plain_life_ends_the_same() {
    everywhere(Life::plain, &plain_life::spec(2), 4, 3);
}

#[test]
fn a_life_with_cluster_api_ends_the_same() {
    everywhere(
        || capone_life::cloud().0,
        &capone_life::spec("standalone", &[("workers", 1)]),
        3,
        17,
    );
}

#[test]
fn a_life_goes_on_with_sweeps_alone() {
    let mut life = Life::plain();
    life.sandbox.faults(|f| f.events.lose = 100);
    let id = life.create(&alice(), "demo", &plain_life::spec(2));
    life.until_state(id, "RUNNING", 4000);
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 4000);
    assert_eq!(life.left_over(), Vec::<String>::new());
}

#[test]
fn a_document_deleted_by_hand_is_an_order_to_clean_up_even_if_its_event_is_lost() {
    for lost in [0, 100] {
        let mut life = Life::plain();
        let id = life.create(&alice(), "demo", &plain_life::spec(1));
        life.until_state(id, "RUNNING", 4000);
        life.sandbox.faults(|f| f.events.lose = lost);
        life.ask(&alice(), "one.document.delete", &[id.into()]);
        life.until("everything is gone", 2000, |life| life.left_over().is_empty());
    }
}
