//! The cluster's credential: replaced by order and before it ends. That none is revoked while the cluster uses it, or
//! handed over when it is not valid, the model itself sees to.

use oneks_core::observed::FailureKind;
use oneks_core::plan::credential_look;
use oneks_core::state::ClusterState as S;
use oneks_core::status::{Credential, Rotation, RotationStage as Stage, Truth};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{CommandMood, Fault, World};

const DAY: u64 = 86_400;

fn running(groups: &[(&str, u32)]) -> World {
    let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, groups));
    world.until(S::Running);
    world
}

fn order(world: &mut World, token: &str) {
    world.doc().rotate = Some(token.to_owned());
}

fn numbers(world: &World) -> Vec<u32> {
    world.credentials.keys().copied().collect()
}

/// The cluster uses this credential, no other is valid, and nothing is under way.
fn rests_with(world: &World, serial: u32) {
    let status = world.status();
    assert_eq!(
        (world.uses.unwrap().0, numbers(world)),
        (serial, vec![serial]),
        "{}",
        status.to_json()
    );
    assert_eq!(status.credential.unwrap().serial, serial);
    assert_eq!(status.rotation, None);
    assert_eq!(status.state, S::Running);
}

fn condition(world: &World, kind: &str) -> Option<(Truth, String, String)> {
    let status = world.status();
    let found = status.condition(kind)?;
    Some((found.status, found.reason.clone(), found.message.clone()))
}

#[test]
fn an_order_replaces_the_credential_and_the_cluster_runs_all_the_time() {
    let mut world = running(&[("a", 1)]);
    rests_with(&world, 1);
    for serial in 2..4 {
        order(&mut world, &format!("order {serial}"));
        for _ in 0..20 {
            world.pass(None);
            assert_eq!(world.state(), S::Running);
            world.tick(10);
        }
        rests_with(&world, serial);
        let (truth, reason, _) = condition(&world, "CredentialRotated").unwrap();
        assert_eq!((truth, reason.as_str()), (Truth::True, "Rotated"));
    }
    let (writes, looks, done) = (world.writes, world.looks, world.log.len());
    world.run_for(600);
    assert_eq!(
        (world.writes, world.looks, world.log.len()),
        (writes, looks, done)
    );
    assert_eq!(world.done("create credential"), 3);
    assert_eq!(world.done("revoke credential"), 2);
}

#[test]
fn one_step_after_another() {
    let mut world = running(&[]);
    order(&mut world, "1");
    let from = world.log.len();
    world.run_for(200);
    let done: Vec<&str> = world.log[from..].iter().map(String::as_str).collect();
    assert!(
        done[1].starts_with("run /bin/sh -s oneks:24:rotate-24000-2:"),
        "{done:?}"
    );
    assert_eq!(
        (done[0], done[2], done.len()),
        ("create credential 2", "revoke credential 1", 3)
    );
    let status = world.status();
    let said: Vec<&str> = status
        .history
        .iter()
        .rev()
        .take(4)
        .map(|e| e.text.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "credential rotated: credential 2 is in use, and no other is valid",
            "the cluster uses credential 2",
            "credential 2 is made",
            "ROTATE: the cluster's credential is replaced",
        ]
    );
}

/// A pass is made when an event says so, and by the sweep when it is due.
fn by_events_and_sweep(world: &mut World, seconds: u64) {
    let end = world.now + seconds;
    world.pass(None);
    let mut sweep = world.now;
    while world.now < end {
        world.tick(10);
        let due = || {
            world.status().guest_exec.is_some()
                || credential_look(&world.status()).is_some_and(|at| at <= world.now)
        };
        let sweeps = world.now >= sweep + 60 && due();
        if world.now >= sweep + 60 {
            sweep = world.now;
        }
        if sweeps || !world.hints.is_empty() {
            world.pass(None);
        }
    }
}

#[test]
fn the_sweep_is_told_when_time_alone_has_something_to_do() {
    let mut world = running(&[("a", 1)]);
    order(&mut world, "1");
    by_events_and_sweep(&mut world, 400);
    rests_with(&world, 2);

    let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, &[]));
    world.lifetime = Some(DAY);
    world.until(S::Running);
    by_events_and_sweep(&mut world, 3 * DAY);
    let serial = world.uses.unwrap().0;
    assert_eq!(serial, 5, "every sixteen hours");
    assert!(world.is_valid(serial));
}

#[test]
fn the_table_of_rotations_holds() {
    struct Row {
        stage: Stage,
        /// The number that STATUS notes, and those that are valid.
        noted: u32,
        valid: &'static [u32],
        /// The action and the stage then; no stage: the rotation has ended.
        action: &'static str,
        then: Option<Stage>,
    }
    let row = |stage, noted, valid, action, then| Row {
        stage,
        noted,
        valid,
        action,
        then,
    };
    let ready = running(&[]);
    let (now, past) = (ready.now, Stage::Revoke { after: ready.now });
    let future = Stage::Revoke { after: now + 30 };
    let used = |serial: u32| (serial, now - 100);
    for (row, uses) in [
        (
            row(
                Stage::Make,
                1,
                &[1],
                "create credential 2|run ",
                Some(Stage::HandOver),
            ),
            used(1),
        ),
        // Made by a pass that was killed.
        (
            row(Stage::Make, 1, &[1, 2], "run ", Some(Stage::HandOver)),
            used(1),
        ),
        // The one that the cluster used is gone.
        (
            row(
                Stage::Make,
                1,
                &[],
                "create credential 2|run ",
                Some(Stage::HandOver),
            ),
            used(1),
        ),
        (
            row(Stage::HandOver, 2, &[1, 2], "run ", Some(Stage::HandOver)),
            used(1),
        ),
        (row(future, 2, &[1, 2], "", Some(future)), used(2)),
        (row(past, 2, &[1, 2], "revoke credential 1", None), used(2)),
        (
            row(
                past,
                4,
                &[1, 2, 3, 4],
                "revoke credential 1|revoke credential 2|revoke credential 3",
                None,
            ),
            used(4),
        ),
        (row(past, 2, &[2], "", None), used(2)),
        // Somebody else has revoked the new one: the old one is all that is left.
        (
            row(past, 2, &[1], "create credential 3|run ", Some(Stage::HandOver)),
            used(1),
        ),
    ] {
        let mut world = ready.clone();
        let mut status = world.status();
        status.credential = Some(Credential {
            serial: row.noted,
            issued: now,
            expires: None,
        });
        status.rotation = Some(Rotation {
            started: now,
            stage: row.stage,
            old: None,
            attempts: 0,
            not_before: 0,
            failed: false,
        });
        world.doc().status = Some(status.to_json());
        world.credentials = row.valid.iter().map(|s| (*s, None)).collect();
        world.uses = Some(uses);
        let from = world.log.len();
        world.pass(None);
        let name = format!("{:?} with {} of {:?}", row.stage, row.noted, row.valid);
        let done = &world.log[from..];
        let wanted: Vec<&str> = row.action.split('|').filter(|a| !a.is_empty()).collect();
        assert_eq!(done.len(), wanted.len(), "{name}: {done:?}");
        assert!(
            done.iter().zip(&wanted).all(|(d, w)| d.starts_with(w)),
            "{name}: {done:?}"
        );
        assert_eq!(world.status().rotation.map(|r| r.stage), row.then, "{name}");
    }
}

/// What is ordered in the middle of a rotation: the group grows at the same time.
fn rotated(mut world: World, mut pass: impl FnMut(&mut World)) -> World {
    order(&mut world, "1");
    world.doc().spec = spec("v1.33.7", 1, &[("a", 2)]);
    let end = world.now + 4 * 3600;
    let at_rest = |world: &World| {
        let status = world.status();
        status.rotated.is_some()
            && status.rotation.is_none()
            && status.state == S::Running
            && status.credential.is_some()
    };
    while !at_rest(&world) {
        assert!(world.now < end, "{}", world.status().to_json());
        pass(&mut world);
        world.tick(10);
    }
    world.run_for(120);
    let serial = world.uses.unwrap().0;
    assert!(serial > 1);
    rests_with(&world, serial);
    assert_eq!(world.nodes(24001).len(), 2);
    world
}

#[test]
fn a_rotation_survives_a_kill_after_any_action() {
    let ready = running(&[("a", 1)]);
    let from = ready.log.len();
    let whole = rotated(ready.clone(), |world| assert!(world.pass(None)));
    let actions = whole.log.len() - from;
    assert!(actions >= 6, "{actions}");
    for erase in [false, true] {
        for at in 0..actions {
            let mut struck = false;
            rotated(ready.clone(), |world| {
                let done = world.log.len() - from;
                if struck || done > at {
                    world.pass(None);
                } else if !world.pass(Some(at - done)) {
                    struck = true;
                    if erase {
                        world.doc().status = None;
                    }
                }
            });
            assert!(struck, "{at} of {actions}");
        }
    }
}

#[test]
fn a_rotation_survives_a_loss_of_status_before_any_pass() {
    let ready = running(&[("a", 1)]);
    let mut passes = 0;
    rotated(ready.clone(), |world| {
        passes += 1;
        world.pass(None);
    });
    for at in 1..=passes {
        let mut n = 0;
        rotated(ready.clone(), |world| {
            n += 1;
            if n == at {
                world.doc().status = None;
            }
            world.pass(None);
        });
    }
}

#[test]
fn a_command_that_fails_is_tried_again_and_its_cause_is_told() {
    let mut world = running(&[]);
    world.commands = CommandMood::Fails;
    order(&mut world, "1");
    while world.status().rotation.is_none_or(|r| r.attempts < 2) {
        world.run_for(10);
        assert_eq!(world.state(), S::Running);
    }
    let (truth, reason, message) = condition(&world, "CredentialRotated").unwrap();
    assert_eq!((truth, reason.as_str()), (Truth::False, "GuestCommandFailed"));
    assert!(
        message.contains("it went wrong") && message.contains("tried again"),
        "{message}"
    );
    assert_eq!(world.status().last_error.unwrap().reason, "GuestCommandFailed");
    assert_eq!(numbers(&world), [1, 2]);
    world.commands = CommandMood::Works;
    world.run_for(300);
    rests_with(&world, 2);
    assert_eq!(condition(&world, "CredentialRotated").unwrap().0, Truth::True);
}

#[test]
fn after_the_last_attempt_it_takes_an_order() {
    for recover in [true, false] {
        let mut world = running(&[]);
        world.commands = CommandMood::Fails;
        order(&mut world, "1");
        world.run_for(2 * 3600);
        let rotation = world.status().rotation.unwrap();
        assert!(rotation.failed);
        assert_eq!(world.done("rotate-24000-2"), 6);
        let (_, _, message) = condition(&world, "CredentialRotated").unwrap();
        assert!(message.contains("RECOVER or ROTATE"), "{message}");
        assert_eq!(
            (world.state(), credential_look(&world.status())),
            (S::Running, None)
        );
        world.commands = CommandMood::Works;
        world.run_for(2 * 3600);
        assert_eq!(numbers(&world), [1, 2], "it takes an order");
        if recover {
            world.doc().recover = Some("now".to_owned());
        } else {
            order(&mut world, "2");
        }
        world.run_for(300);
        rests_with(&world, 2);
    }
}

#[test]
fn a_command_without_a_result_is_given_again() {
    let mut world = running(&[]);
    world.commands = CommandMood::Hangs;
    order(&mut world, "1");
    world.run_for(60);
    world.commands = CommandMood::Works;
    world.run_for(900);
    rests_with(&world, 2);
    assert_eq!(world.done("rotate-24000-2"), 2);
}

#[test]
fn the_limit_of_tokens_is_told_before_any_call() {
    let mut world = running(&[]);
    world.tokens = 9;
    order(&mut world, "1");
    world.run_for(60);
    let (truth, reason, message) = condition(&world, "CredentialRotated").unwrap();
    assert_eq!((truth, reason.as_str()), (Truth::False, "TokenLimit"));
    assert!(message.contains("user3 has 10 login tokens"), "{message}");
    assert!(
        world
            .status()
            .last_error
            .unwrap()
            .message
            .contains("oneuser token-delete")
    );
    assert_eq!((world.state(), world.done("create credential")), (S::Running, 1));
    world.tokens = 8;
    world.run_for(300);
    rests_with(&world, 2);
}

#[test]
fn calls_that_fail_are_made_again() {
    for (what, reason) in [("create credential", "Refused"), ("revoke credential", "Refused")] {
        let mut world = running(&[]);
        world.faults = vec![Fault {
            what,
            kind: FailureKind::Refused,
            left: 2,
        }];
        order(&mut world, "1");
        while world.faults[0].left > 0 {
            world.run_for(10);
        }
        let (truth, said, message) = condition(&world, "CredentialRotated").unwrap();
        assert_eq!((truth, said.as_str()), (Truth::False, reason), "{what}");
        assert!(
            message.contains(what) && message.contains("as the test has it"),
            "{message}"
        );
        world.run_for(600);
        rests_with(&world, 2);
    }
}

#[test]
fn a_credential_that_ends_is_replaced_in_time() {
    let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, &[]));
    world.lifetime = Some(DAY);
    world.until(S::Running);
    assert!(world.status().credential.unwrap().expires.is_some());
    let end = world.now + 3 * DAY;
    while world.now < end {
        world.tick(300);
        world.pass(None);
        let uses = world.uses.unwrap().0;
        assert!(world.is_valid(uses));
        assert_eq!(world.state(), S::Running);
    }
    assert!((4..=6).contains(&world.uses.unwrap().0));
    assert!(condition(&world, "CredentialExpiring").is_none());
}

#[test]
fn a_credential_that_can_not_be_handed_over_is_a_warning_while_it_lasts() {
    let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, &[]));
    world.lifetime = Some(DAY);
    world.until(S::Running);
    world.commands = CommandMood::Fails;
    let ends = world.status().credential.unwrap().expires.unwrap();
    let mut told = 0;
    while world.now < ends + 3600 {
        world.tick(300);
        world.pass(None);
        let state = world.state();
        if world.now < ends - DAY / 6 {
            assert_eq!(state, S::Running);
            continue;
        }
        told += 1;
        assert_eq!(state, S::Warning);
        let (_, reason, message) = condition(&world, "CredentialExpiring").unwrap();
        assert_eq!(reason, if world.now < ends { "Expiring" } else { "Expired" });
        assert!(
            message.starts_with("credential 1") && message.contains("set ROTATE"),
            "{message}"
        );
        assert_eq!(condition(&world, "Ready").unwrap().1, reason);
    }
    assert!(told > 50);
    // Without an order it is tried once an hour.
    let before = world.done("rotate-24000-2");
    world.run_for(4 * 3600);
    assert!((3..=5).contains(&(world.done("rotate-24000-2") - before)));
    world.commands = CommandMood::Works;
    world.run_for(7200);
    // The second had become old itself before it could be handed over.
    rests_with(&world, 3);
    assert!(condition(&world, "CredentialExpiring").is_none());
}

#[test]
fn without_another_the_end_is_told_before_and_after_it() {
    let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, &[]));
    world.lifetime = Some(DAY);
    world.until(S::Running);
    world.tokens = 10;
    let ends = world.status().credential.unwrap().expires.unwrap();
    for (at, state, reason) in [
        (ends - DAY / 6 - 300, S::Running, None),
        (ends - DAY / 6, S::Warning, Some("Expiring")),
        (ends, S::Warning, Some("Expired")),
    ] {
        world.tick(at - world.now);
        assert!(credential_look(&world.status()).is_some_and(|look| look <= at));
        world.pass(None);
        assert_eq!(world.state(), state, "{at}");
        let said = condition(&world, "CredentialExpiring").map(|(_, reason, _)| reason);
        assert_eq!(said.as_deref(), reason);
    }
    assert_eq!(world.done("create credential"), 1, "never at the limit");
    world.tokens = 0;
    world.doc().recover = Some("now".to_owned());
    world.run_for(300);
    rests_with(&world, 2);
    assert!(condition(&world, "CredentialExpiring").is_none());
}

#[test]
fn tokens_that_live_too_short_are_told_and_not_replaced_all_the_time() {
    for (lifetime, made) in [(300, 1), (0, 0)] {
        let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, &[]));
        world.lifetime = Some(lifetime);
        world.run_for(1200);
        let status = world.status();
        if made == 0 {
            let error = status.last_error.unwrap();
            assert_eq!(error.reason, "TokenInvalid");
            assert!(error.message.contains("MAX_TOKEN_TIME"), "{}", error.message);
        } else {
            assert_eq!((status.state, world.done("create credential")), (S::Warning, 1));
            let (_, _, message) = condition(&world, "CredentialExpiring").unwrap();
            assert!(message.contains("MAX_TOKEN_TIME"), "{message}");
        }
    }
}

#[test]
fn an_order_that_comes_after_the_new_credential_was_made_is_followed_by_another() {
    let mut world = running(&[]);
    order(&mut world, "1");
    world.pass(None);
    assert_eq!(numbers(&world), [1, 2]);
    order(&mut world, "2");
    world.run_for(400);
    rests_with(&world, 3);
    assert_eq!(world.status().rotated.as_deref(), Some("2"));
}

#[test]
fn an_order_waits_for_the_control_plane_and_for_the_end_of_a_pause() {
    let mut world = World::new(Kind::Guest, &spec("v1.33.7", 1, &[]));
    order(&mut world, "1");
    world.until(S::Running);
    world.run_for(300);
    rests_with(&world, 2);

    let paused = world.doc().spec.replacen('{', "{\"paused\":true,", 1);
    let open = std::mem::replace(&mut world.doc().spec, paused);
    order(&mut world, "2");
    world.run_for(600);
    assert_eq!(numbers(&world), [2]);
    assert_eq!(credential_look(&world.status()), None);
    world.doc().spec = open;
    world.run_for(300);
    rests_with(&world, 3);
}

#[test]
fn a_driver_that_can_not_says_so_and_nothing_fails() {
    let mut world = World::new(Kind::Plain, &spec("v1.33.7", 1, &[]));
    world.until(S::Running);
    order(&mut world, "1");
    world.run_for(120);
    let (truth, reason, _) = condition(&world, "CredentialRotated").unwrap();
    assert_eq!((truth, reason.as_str()), (Truth::False, "NotSupported"));
    let status = world.status();
    assert_eq!(
        (status.state, status.rotation, status.last_error),
        (S::Running, None, None)
    );
    assert_eq!((numbers(&world), status.rotated.as_deref()), (vec![1], Some("1")));

    // Nobody knows of a credential, and there is none.
    let mut status = world.status();
    status.credential = None;
    world.doc().status = Some(status.to_json());
    world.credentials.clear();
    order(&mut world, "2");
    world.run_for(120);
    let (truth, reason, _) = condition(&world, "CredentialRotated").unwrap();
    assert_eq!((truth, reason.as_str()), (Truth::True, "NothingToRotate"));
}

#[test]
fn without_status_and_valid_credential_the_cluster_gets_one_that_never_was() {
    let mut world = running(&[]);
    order(&mut world, "1");
    world.run_for(300);
    world.doc().rotate = None;
    world.doc().status = None;
    world.credentials.clear();
    world.run_for(600);
    let serial = world.uses.unwrap().0;
    assert!(serial > 1000, "number {serial} may have been somebody's before");
    rests_with(&world, serial);
}

#[test]
fn a_cluster_is_deleted_at_any_moment_of_a_rotation() {
    let ready = running(&[("a", 1)]);
    for after in (0..160).step_by(10) {
        let mut world = ready.clone();
        order(&mut world, "1");
        world.run_for(after);
        world.doc().delete = Some("YES".to_owned());
        world.until(S::Done);
        world.run_for(60);
        assert!(world.is_empty(), "{after}: {:?}", numbers(&world));
    }
}

#[test]
fn a_credential_that_was_made_before_status_was_lost_is_the_one_that_is_handed_over() {
    // With the order still there, and without it.
    for ordered in [true, false] {
        let mut world = running(&[]);
        order(&mut world, "1");
        world.pass(None);
        assert_eq!(numbers(&world), [1, 2]);
        world.doc().status = None;
        if !ordered {
            world.doc().rotate = None;
        }
        world.run_for(600);
        rests_with(&world, 2);
        assert_eq!(world.done("create credential"), 2);
    }
}

#[test]
fn a_command_that_handed_over_an_older_number_says_nothing_about_the_newer() {
    let mut world = running(&[]);
    order(&mut world, "1");
    world.pass(None);
    // While the command is under way, the number that it hands over becomes the last but one.
    let mut status = world.status();
    status.credential.as_mut().unwrap().serial = 3;
    world.credentials.insert(3, None);
    world.doc().status = Some(status.to_json());
    world.tick(10);
    world.pass(None);
    assert_eq!(world.status().rotation.unwrap().stage, Stage::HandOver);
    assert_eq!(world.done("rotate-24000-3"), 1);
    world.run_for(300);
    rests_with(&world, 3);
}
