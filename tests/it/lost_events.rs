//! Events that are lost for good. Kills at every step are in `matrix`.

use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, When};

use crate::plain_life;
use crate::support::life::Life;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
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

/// oned says that an object does not exist when it can't read its database at that moment.
#[test]
fn a_document_that_cannot_be_read_for_a_moment_is_not_gone() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &plain_life::spec(1));
    life.until_state(id, "RUNNING", 4000);
    let machines = life.sandbox.live_vms().len();
    let no_such = Effect::Fail {
        code: 1024,
        message: format!("[one.document.info] Error getting document [{id}]."),
    };
    life.sandbox.faults(|f| {
        f.calls
            .push(CallFault::of("one.document.info", When::First(3), no_such));
    });
    life.set(&alice(), id, "RECOVER", "1");
    life.pass_time(300);
    assert_eq!(life.sandbox.live_vms().len(), machines, "{}", life.report());
    assert_eq!(life.state(id), "RUNNING");
}
