//! What a test lets go wrong.

use oneks_sandbox::{Broken, CallFault, Config, Effect, EventFaults, Faults, Sandbox, When};
use opennebula::xmlrpc::{self, Value};

use crate::support::{ADMIN, ALICE, ask, cloud, code, furnish, id, new_vm, refused};

fn document(cloud: &Sandbox) -> Result<Value, i64> {
    let params = ["NAME=\"a\"".into(), 120.into()];
    cloud
        .ask(ALICE, "one.document.allocate", &params)
        .map_err(|error| error.code)
}

fn with(cloud: &Sandbox, when: When, effect: Effect) {
    let fault = CallFault::of("one.document.allocate", when, effect);
    cloud.faults(|faults| faults.calls = vec![fault]);
}

#[test]
fn calls_fail_or_are_lost_or_done_without_answer() {
    let cloud = cloud();
    let full = || Effect::Fail {
        code: 8192,
        message: "Database full".into(),
    };
    with(&cloud, When::Nth(2), full());
    assert_eq!(document(&cloud), Ok(0.into()));
    assert_eq!(
        refused(&cloud, ALICE, "one.document.allocate", &["".into(), 1.into()]),
        (8192, "Database full".into())
    );
    assert_eq!(document(&cloud), Ok(1.into()));
    with(&cloud, When::Always, Effect::RefuseConnection);
    assert_eq!(document(&cloud), Err(-2));
    assert_eq!(cloud.documents().len(), 2);
    with(&cloud, When::First(1), Effect::DropAnswer);
    assert_eq!(document(&cloud), Err(-2));
    assert_eq!(cloud.documents().len(), 3, "it was done all the same");
    assert!(document(&cloud).is_ok());
    let before = cloud.now();
    with(&cloud, When::First(1), Effect::Delay(20));
    assert!(document(&cloud).is_ok());
    assert_eq!(cloud.now(), before + 20);
    let calls = cloud.calls();
    assert_eq!(calls.count("one.document.allocate"), 7);
    assert_eq!(calls.by_user().get("alice"), Some(&7));
    assert_eq!(calls.failed().count(), 2);
    cloud.reset_calls();
    assert!(cloud.calls().is_empty());
}

#[test]
fn callers_die_before_or_after_the_work() {
    for (effect, done) in [(Effect::DieBefore, 0), (Effect::DieAfter, 1)] {
        let cloud = cloud();
        with(&cloud, When::Always, effect);
        let params = [ALICE.into(), "NAME=\"a\"".into(), 120.into()];
        let body = xmlrpc::encode_call("one.document.allocate", &params).unwrap();
        assert_eq!(cloud.exchange(&body), Err(Broken::CallerDies));
        assert_eq!(cloud.call(&body), "");
        assert_eq!(cloud.documents().len(), 2 * done);
    }
}

#[test]
fn a_fault_can_be_one_user_s() {
    let cloud = cloud();
    let fault = CallFault::any(When::Always, Effect::RefuseConnection).by("oneadmin");
    cloud.faults(|faults| faults.calls = vec![fault]);
    assert_eq!(code(&cloud, ADMIN, "one.system.version", &[]), -2);
    ask(&cloud, ALICE, "one.system.version", &[]);
    cloud.faults(Faults::clear);
    ask(&cloud, ADMIN, "one.system.version", &[]);
}

/// The documents that a disturbed hook got to hear of.
fn heard(events: EventFaults) -> Vec<u64> {
    let cloud = cloud();
    cloud.faults(|faults| faults.events = events);
    let hook = "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.document.allocate\"\nARGUMENTS=\"$API\"";
    id(&cloud, ADMIN, "one.hook.allocate", &[hook.into()]);
    for _ in 0..100 {
        document(&cloud).unwrap();
    }
    cloud
        .take_events()
        .iter()
        .map(|execution| execution.number)
        .collect()
}

#[test]
fn events_are_lost_doubled_and_mixed() {
    let all: Vec<u64> = (0..100).collect();
    assert_eq!(heard(EventFaults::default()), all);
    let lose = |seed| EventFaults {
        lose: 20,
        seed,
        ..EventFaults::default()
    };
    let rest = heard(lose(1));
    assert!((60..95).contains(&rest.len()), "{}", rest.len());
    assert_eq!(rest, heard(lose(1)));
    assert_ne!(rest, heard(lose(2)));
    let doubled = heard(EventFaults {
        duplicate: 50,
        ..EventFaults::default()
    });
    assert!((130..170).contains(&doubled.len()), "{}", doubled.len());
    assert!(all.iter().all(|number| doubled.contains(number)));
    let mut mixed = heard(EventFaults {
        shuffle: true,
        ..EventFaults::default()
    });
    assert_ne!(mixed, all);
    mixed.sort_unstable();
    assert_eq!(mixed, all);
}

#[test]
fn events_wait_for_others_but_not_for_ever() {
    let cloud = cloud();
    cloud.faults(|faults| {
        faults.events = EventFaults {
            shuffle: true,
            window: 10,
            patience: 20,
            ..EventFaults::default()
        };
    });
    let hook = "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.document.allocate\"\nARGUMENTS=\"$API\"";
    id(&cloud, ADMIN, "one.hook.allocate", &[hook.into()]);
    let publish = |count: u32| (0..count).for_each(|_| drop(document(&cloud)));
    publish(9);
    assert!(!cloud.has_events() && cloud.take_events().is_empty());
    publish(1);
    assert!(cloud.has_events());
    assert_eq!(cloud.take_events().len(), 10);
    publish(2);
    assert!(cloud.take_events().is_empty());
    // Time stops when their patience is over.
    assert_eq!(cloud.next_wake(), Some(cloud.now() + 20));
    cloud.advance(20);
    assert_eq!(cloud.take_events().len(), 2);
}

#[test]
fn chance_strikes_some_and_always_the_same() {
    let struck = |seed| {
        let cloud = cloud();
        let fault = CallFault::any(When::Chance { percent: 30, seed }, Effect::RefuseConnection);
        cloud.faults(|faults| faults.calls.push(fault));
        let calls = (0..200).map(|_| cloud.ask(ALICE, "one.system.version", &[]).is_err());
        calls.collect::<Vec<bool>>()
    };
    let count = struck(1).iter().filter(|struck| **struck).count();
    assert!((40..80).contains(&count), "{count}");
    assert_eq!(struck(1), struck(1));
    assert_ne!(struck(1), struck(2));
}

#[test]
fn a_restart_refuses_connections_and_loses_what_the_hook_manager_had_not_fetched() {
    let cloud = cloud();
    let hook = "NAME=\"a\"\nCOMMAND=\"x\"\nTYPE=\"api\"\nCALL=\"one.document.allocate\"\nARGUMENTS=\"$API\"";
    id(&cloud, ADMIN, "one.hook.allocate", &[hook.into()]);
    let params = ["alice".into(), "".into(), 600.into(), Value::from(-1)];
    let token = ask(&cloud, ALICE, "one.user.login", &params);
    let token = format!("alice:{}", token.as_str().unwrap());
    let vm = new_vm(&cloud, "a", "");
    document(&cloud).unwrap();
    cloud.restart(30);
    assert!(cloud.take_events().is_empty());
    assert_eq!(code(&cloud, ALICE, "one.system.version", &[]), -2);
    cloud.advance(29);
    assert_eq!(code(&cloud, ALICE, "one.system.version", &[]), -2);
    assert_eq!(cloud.vm(vm).unwrap().state, oneks_sandbox::VmState::Pending);
    assert_eq!(cloud.next_wake(), Some(cloud.now() + 1));
    cloud.advance(1);
    // Sessions are in the database, and what was under way goes on.
    ask(&cloud, &token, "one.system.version", &[]);
    cloud.advance(60);
    assert_eq!(cloud.vm(vm).unwrap().state, oneks_sandbox::VmState::Active);
    document(&cloud).unwrap();
    assert_eq!(cloud.take_events().len(), 1);
}

#[test]
fn a_fork_goes_on_alike_and_apart() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "NIC=[NETWORK_ID=1]");
    cloud.advance(12);
    let fork = cloud.fork(None);
    let look = |cloud: &Sandbox| {
        cloud.advance(60);
        new_vm(cloud, "b", "NIC=[NETWORK_ID=1]");
        let pool = [-2, -1, -1, -1].map(Value::from);
        let vms = ask(cloud, ADMIN, "one.vmpool.infoextended", &pool);
        vms.as_str().unwrap().to_owned()
    };
    assert_eq!(look(&fork), look(&cloud));
    ask(
        &fork,
        ALICE,
        "one.vm.action",
        &["terminate-hard".into(), vm.into()],
    );
    fork.advance(60);
    assert_eq!((fork.live_vms().len(), cloud.live_vms().len()), (1, 2));
    assert_eq!(fork.calls().len(), cloud.calls().len() + 1);
}

#[test]
fn what_is_left_over_is_named() {
    let cloud = cloud();
    let before = cloud.remains();
    assert!(cloud.remains().since(&before).is_empty());
    document(&cloud).unwrap();
    new_vm(&cloud, "left", "NIC=[NETWORK_ID=1]");
    let params = ["alice".into(), "".into(), 60.into(), Value::from(-1)];
    ask(&cloud, ALICE, "one.user.login", &params);
    assert_eq!(
        cloud.remains().since(&before),
        [
            "document 0 a",
            "VM 0 left",
            "1 addresses of network 1",
            "1 login tokens of alice"
        ]
    );
}

/// One life with commands, doubled events and time, as text.
fn story(seed: u64) -> String {
    let cloud = furnish(Sandbox::new(Config {
        seed,
        ..Config::default()
    }));
    cloud.listen();
    for number in 0..5 {
        new_vm(&cloud, &format!("vm{number}"), "NIC=[NETWORK_ID=1]");
        cloud.advance(7);
    }
    cloud.advance(100);
    let params = ["alice".into(), "".into(), 60.into(), Value::from(-1)];
    let token = ask(&cloud, ALICE, "one.user.login", &params);
    let pool = [-2, -1, -1, -1].map(Value::from);
    let vms = ask(&cloud, ADMIN, "one.vmpool.infoextended", &pool);
    let texts = [token, vms].map(|value| value.as_str().unwrap().to_owned());
    format!("{:?} {texts:?}", cloud.take_published())
}

#[test]
fn equal_seeds_give_equal_stories() {
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6), "tokens differ");
}
