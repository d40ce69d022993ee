//! Events that are lost for good. Kills at every step are in `matrix`.

use oneks_sandbox::ALICE_PASSWORD;

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
