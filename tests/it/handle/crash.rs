//! The hook or sweep that serves a handle dies before each of its calls, and everything goes on with what is left.

use oneks_sandbox::{CallFault, Effect, VmState, When};

use super::support::{
    Driver, act, alice, cluster, inputs, instantiate, offer, says, state, until_shown, write,
};
use crate::support::life::Life;

/// Most calls of an operation.
const MOST: u64 = 60;

/// Lets `order` be served while the process that makes the `n`-th call from then on dies before it; then `end` must come.
/// Returns how many cases there were.
fn each_call(ready: &Life, order: impl Fn(&Life), mut end: impl FnMut(&mut Life, u64)) -> u64 {
    for n in 1..MOST {
        let mut life = ready.fork(None);
        order(&life);
        let dying = CallFault::any(When::Nth(n), Effect::DieBefore);
        life.sandbox.faults(|f| f.calls.push(dying));
        life.pass_time(120);
        life.sandbox.faults(|f| f.calls.clear());
        end(&mut life, n);
        if life.deaths == 0 {
            return n - 1;
        }
    }
    panic!("more than {MOST} calls");
}

fn ready() -> (Life, u32) {
    let mut life = Life::plain();
    let template = offer(&life, &Driver::Dummy);
    life.begin_here();
    life.pass_time(1);
    (life, template)
}

#[test]
fn one_cluster_is_made_whenever_the_hook_dies() {
    let (life, template) = ready();
    let handle = u32::try_from(life.sandbox.vms().len()).unwrap();
    let cases = each_call(
        &life,
        |life| {
            assert_eq!(
                instantiate(life, &alice(), template, &inputs("v1.33.7", 1), false),
                handle
            );
        },
        |life, n| {
            until_shown(life, handle, "RUNNING", 4 * 3600);
            assert_eq!(life.sandbox.documents().len(), 1, "death {n}");
            assert_eq!(state(life, handle), VmState::Hold, "death {n}");
            act(life, &alice(), handle, "terminate");
            life.until("the end", 4 * 3600, |life| life.sandbox.documents().is_empty());
            life.pass_time(60);
            assert_eq!(life.left_over(), Vec::<String>::new(), "death {n}");
        },
    );
    assert!(cases > 15, "{cases}");
}

#[test]
fn an_edit_is_carried_out_once_whenever_the_hook_dies() {
    let (mut life, template) = ready();
    let handle = instantiate(&life, &alice(), template, &inputs("v1.33.7", 1), false);
    until_shown(&mut life, handle, "RUNNING", 600);
    life.pass_time(30);
    let id = cluster(&life, handle).unwrap();
    let both = [("ONEKS_GROUP_WORKERS", "2"), ("ONEKS_ACTION", "recover")];
    let cases = each_call(
        &life,
        |life| write(life, &alice(), handle, &both),
        |life, n| {
            life.until(&format!("death {n}: two workers"), 4 * 3600, |life| {
                life.state(id) == "RUNNING"
                    && life.status(id).node_groups[0].vms.len() == 2
                    && says(life, handle, "ONEKS_STATE").as_deref() == Some("RUNNING")
                    && says(life, handle, "ONEKS_ACTION").is_none()
            });
            assert_eq!(
                says(life, handle, "ONEKS_GROUP_WORKERS").as_deref(),
                Some("2 small")
            );
            assert_eq!(
                life.attribute(id, "RECOVER"),
                Some(format!("handle-{handle}-1")),
                "death {n}"
            );
        },
    );
    assert!(cases > 6, "{cases}");
}

#[test]
fn a_terminated_handle_ends_its_cluster_or_is_replaced_once_whenever_the_hook_dies() {
    for protection in ["NO", "YES"] {
        let (mut life, template) = ready();
        let more = format!("ONEAPP_KUBERNETES_CLUSTER_PROTECTION=\"{protection}\"\n");
        let inputs = inputs("v1.33.7", 1) + &more;
        let handle = instantiate(&life, &alice(), template, &inputs, false);
        until_shown(&mut life, handle, "RUNNING", 600);
        life.pass_time(30);
        let id = cluster(&life, handle).unwrap();
        let cases = each_call(
            &life,
            |life| act(life, &alice(), handle, "terminate"),
            |life, n| {
                if protection == "NO" {
                    life.until_state(id, "GONE", 4 * 3600);
                    life.pass_time(900);
                    assert_eq!(life.left_over(), Vec::<String>::new(), "death {n}");
                    return;
                }
                let next = |life: &Life| {
                    life.attribute(id, "HANDLE")
                        .and_then(|text| text.parse::<u32>().ok())
                };
                life.until(&format!("death {n}: a new handle"), 4 * 3600, |life| {
                    next(life).is_some_and(|vm| vm != handle && cluster(life, vm) == Some(id))
                });
                life.pass_time(1300);
                let held = life.sandbox.live_vms();
                let held = held.iter().filter(|vm| vm.state == VmState::Hold).count();
                assert_eq!((held, life.sandbox.documents().len()), (1, 1), "death {n}");
            },
        );
        assert!(cases >= 4, "{cases}");
    }
}
