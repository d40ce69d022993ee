//! Rotation of the cluster's credential, in a sandbox whose CAPONE and cloud controller use what the cluster's Secrets
//! hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks_core::status::{RotationStage, Truth};
use oneks_sandbox::capi::{Fault, FaultKind, Handle};
use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, When};
use opennebula::xmlrpc::Value;

use crate::capone_life::{cloud, cloud_of, spec};
use crate::plain_life;
use crate::support::life::Life;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A cluster with one worker, at rest.
fn running(flavour: &str) -> (Life, Handle, u32) {
    let (mut life, handle) = cloud();
    let id = life.create(&alice(), "demo", &spec(flavour, &[("workers", 1)]));
    life.until_state(id, "RUNNING", 7200);
    (life, handle, id)
}

/// Numbers of the cluster's credentials that are valid.
fn valid(life: &Life, id: u32) -> Vec<u32> {
    let tokens = life.sandbox.tokens("alice");
    let is = |serial: &u32| tokens.contains_key(life.service.credential(id, *serial).expose());
    (0..200).filter(is).collect()
}

fn session(life: &Life, id: u32, serial: u32) -> String {
    format!("alice:{}", life.service.credential(id, serial).expose())
}

/// Is a session with this credential accepted?
fn accepted(life: &Life, id: u32, serial: u32) -> bool {
    let params: [Value; 2] = [(-1).into(), false.into()];
    life.sandbox
        .ask(&session(life, id, serial), "one.user.info", &params)
        .is_ok()
}

fn condition(life: &Life, id: u32, kind: &str) -> Option<(Truth, String, String)> {
    let status = life.status(id);
    let found = status.condition(kind)?;
    Some((found.status, found.reason.clone(), found.message.clone()))
}

/// Lets it go on until this order has been carried out.
fn until_rotated(life: &mut Life, id: u32, token: &str) {
    life.until(&format!("rotation {token}"), 3600, |life| {
        let Some(text) = life.attribute(id, "STATUS").filter(|text| !text.is_empty()) else {
            return false;
        };
        let status = oneks_core::Status::parse(Some(&text), id).unwrap();
        status.rotated.as_deref() == Some(token) && status.rotation.is_none() && life.state(id) == "RUNNING"
    });
}

/// No text that anybody can read shows a credential.
fn nothing_is_shown(life: &Life, id: u32) {
    for serial in 1..6 {
        let token = life.service.credential(id, serial);
        let encoded = STANDARD.encode(format!("alice:{}", token.expose()));
        for attribute in ["SPEC", "STATUS", "STATE", "ENDPOINT", "KUBECONFIG"] {
            let text = life.attribute(id, attribute).unwrap_or_default();
            for secret in [token.expose(), encoded.as_str(), &encoded[8..]] {
                assert!(!text.contains(secret), "{attribute} shows credential {serial}");
            }
        }
        assert!(life.errors.iter().all(|e| !e.contains(token.expose())));
    }
}

/// The cluster makes and removes nodes. CAPONE makes the VM, the cloud controller tells Kubernetes whose node it is: both
/// with the credential that they have.
fn works(life: &mut Life, id: u32, workers: u32) {
    let wanted = |count| spec("standalone", &[("workers", count)]);
    for count in [workers + 1, workers] {
        life.set(&alice(), id, "SPEC", &wanted(count).to_string());
        life.until_state(id, "SCALING", 120);
        life.until_state(id, "RUNNING", 2400);
        let nodes = life.status(id).node_groups[0].vms.len();
        assert_eq!(nodes, count as usize, "{}", life.report());
    }
}

#[test]
fn a_rotation_leaves_one_credential_with_which_the_cluster_works() {
    let (mut life, _, id) = running("standalone");
    assert_eq!(valid(&life, id), [1]);
    assert!(life.status(id).credential.unwrap().expires.is_none());
    life.set(&alice(), id, "ROTATE", "now");
    life.until("the new credential", 300, |life| valid(life, id) == [1, 2]);
    life.until("the end of the old one", 600, |life| {
        assert_eq!(life.state(id), "RUNNING");
        valid(life, id) == [2]
    });
    until_rotated(&mut life, id, "now");
    assert!(!accepted(&life, id, 1) && accepted(&life, id, 2));
    let (truth, reason, _) = condition(&life, id, "CredentialRotated").unwrap();
    assert_eq!(
        (truth, reason.as_str()),
        (Truth::True, "Rotated"),
        "{}",
        life.report()
    );
    nothing_is_shown(&life, id);
    works(&mut life, id, 1);

    // At rest it costs nothing, and the same order is no other.
    life.pass_time(120);
    let calls = life.sandbox.calls().len();
    let status = life.attribute(id, "STATUS");
    life.set(&alice(), id, "ROTATE", "now");
    life.pass_time(600);
    assert_eq!(
        (valid(&life, id), life.attribute(id, "STATUS")),
        (vec![2], status)
    );
    let hooks = life.sandbox.calls().len() - calls;
    assert!(hooks < 60, "{hooks} calls at rest");

    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 1200);
    assert_eq!(life.left_over(), Vec::<String>::new());
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn three_control_plane_nodes_are_scaled_in_the_middle_of_a_rotation() {
    let (mut life, _, id) = running("ha");
    life.set(&alice(), id, "ROTATE", "a");
    let wanted = spec("ha", &[("workers", 3)]);
    life.set(&alice(), id, "SPEC", &wanted.to_string());
    until_rotated(&mut life, id, "a");
    life.until_state(id, "RUNNING", 2400);
    assert_eq!(life.status(id).node_groups[0].vms.len(), 3, "{}", life.report());
    assert_eq!(valid(&life, id), [2]);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_command_that_fails_twice_shows_its_cause_and_no_secret() {
    let (mut life, handle, id) = running("standalone");
    let secret = STANDARD.encode(session(&life, id, 2));
    handle.break_it(Fault {
        on: format!("oneks-{id}-"),
        kind: FaultKind::CommandFails {
            code: 3,
            stderr: format!("error: no connection; the input was: ONE_AUTH: \"{secret}\"\n"),
        },
        times: Some(2),
    });
    life.set(&alice(), id, "ROTATE", "now");
    life.until("two failures", 600, |life| {
        life.status(id).rotation.is_some_and(|r| r.attempts == 2)
    });
    let (truth, reason, message) = condition(&life, id, "CredentialRotated").unwrap();
    assert_eq!((truth, reason.as_str()), (Truth::False, "GuestCommandFailed"));
    assert!(
        message.contains("no connection") && message.contains('…'),
        "{message}"
    );
    assert_eq!(life.status(id).last_error.unwrap().reason, "GuestCommandFailed");
    assert_eq!(
        (life.state(id).as_str(), valid(&life, id)),
        ("RUNNING", vec![1, 2])
    );
    nothing_is_shown(&life, id);
    until_rotated(&mut life, id, "now");
    assert_eq!(valid(&life, id), [2]);
    works(&mut life, id, 1);
}

#[test]
fn hooks_may_die_at_any_call_of_a_rotation() {
    let (mut life, _, id) = running("standalone");
    let mut order = 0;
    for effect in [Effect::DieBefore, Effect::DieAfter] {
        for n in 1.. {
            order += 1;
            let deaths = life.deaths;
            life.set(&alice(), id, "ROTATE", &format!("{order}"));
            life.sandbox
                .faults(|f| f.calls = vec![CallFault::any(When::Nth(n), effect.clone())]);
            until_rotated(&mut life, id, &format!("{order}"));
            life.sandbox.faults(|f| f.calls.clear());
            let present = life.status(id).credential.unwrap().serial;
            assert_eq!(
                valid(&life, id),
                [present],
                "{effect:?} at {n}\n{}",
                life.report()
            );
            if life.deaths == deaths {
                assert!(n > 8, "a rotation takes more than {n} calls");
                break;
            }
        }
    }
    works(&mut life, id, 1);
}

#[test]
fn a_loss_of_status_in_the_middle_ends_with_the_credential_that_the_cluster_uses() {
    let (mut life, _, id) = running("standalone");
    for (order, stage) in ["make", "hand_over", "revoke"].into_iter().enumerate() {
        life.set(&alice(), id, "ROTATE", &format!("{order}"));
        life.until(stage, 600, |life| {
            life.status(id).rotation.is_some_and(|r| match r.stage {
                RotationStage::Make => stage == "make",
                RotationStage::HandOver => stage != "revoke",
                RotationStage::Revoke { .. } => true,
            })
        });
        life.set(&alice(), id, "STATUS", "");
        until_rotated(&mut life, id, &format!("{order}"));
        let present = life.status(id).credential.unwrap().serial;
        assert_eq!(valid(&life, id), [present], "{stage}\n{}", life.report());
    }
    works(&mut life, id, 1);
}

/// A cloud whose login tokens live two hours.
fn two_hours() -> (Life, Handle, u32) {
    let (mut life, handle) = cloud_of(oneks_sandbox::Config {
        max_token_time: [("core".to_owned(), 7200)].into(),
        ..Default::default()
    });
    let id = life.create(&alice(), "demo", &spec("standalone", &[("workers", 1)]));
    life.until_state(id, "RUNNING", 3600);
    (life, handle, id)
}

#[test]
fn a_credential_that_ends_is_replaced_before() {
    let (mut life, _, id) = two_hours();
    let status = life.status(id).credential.unwrap();
    let token = life.service.credential(id, 1);
    assert_eq!(
        status.expires,
        life.sandbox.tokens("alice")[token.expose()].expires
    );
    let end = life.sandbox.now() + 4 * 3600;
    while life.sandbox.now() < end {
        life.pass_time(300);
        assert_eq!(life.state(id), "RUNNING", "{}", life.report());
        let present = life.status(id).credential.unwrap().serial;
        assert!(accepted(&life, id, present));
    }
    assert!(life.status(id).credential.unwrap().serial >= 3);
    works(&mut life, id, 1);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn a_credential_that_ends_without_another_is_a_warning_until_there_is_one() {
    let (mut life, handle, id) = two_hours();
    handle.break_it(Fault {
        on: format!("oneks-{id}-"),
        kind: FaultKind::CommandFails {
            code: 1,
            stderr: "no\n".to_owned(),
        },
        times: None,
    });
    life.until("the warning", 7200, |life| {
        condition(life, id, "CredentialExpiring").is_some()
    });
    assert_eq!(life.state(id), "WARNING");
    let credential = life.status(id).rotation.unwrap().old.unwrap();
    let left = credential.expires.unwrap() - life.sandbox.now();
    assert!((1000..=1200).contains(&left), "{left} s before its end");
    let (_, reason, message) = condition(&life, id, "CredentialExpiring").unwrap();
    assert_eq!(reason, "Expiring");
    assert!(message.contains("ROTATE"), "{message}");
    handle.heal();
    life.set(&alice(), id, "ROTATE", "now");
    until_rotated(&mut life, id, "now");
    assert!(condition(&life, id, "CredentialExpiring").is_none());
    works(&mut life, id, 1);
}

#[test]
fn the_limit_of_tokens_is_told_with_the_way_out() {
    let (mut life, _, id) = running("standalone");
    let login = |life: &Life, token: &str, seconds: i64| {
        let params = ["alice".into(), token.into(), seconds.into()];
        life.ask(&alice(), "one.user.login", &params);
    };
    for n in 0..9 {
        login(&life, &format!("other-{n}"), -1);
    }
    life.set(&alice(), id, "ROTATE", "now");
    life.until("a condition", 120, |life| {
        condition(life, id, "CredentialRotated").is_some_and(|c| c.1 == "TokenLimit")
    });
    let (truth, _, message) = condition(&life, id, "CredentialRotated").unwrap();
    assert_eq!(truth, Truth::False);
    assert!(message.contains("alice has 10 login tokens"), "{message}");
    assert_eq!((life.state(id).as_str(), valid(&life, id)), ("RUNNING", vec![1]));
    login(&life, "other-3", 0);
    until_rotated(&mut life, id, "now");
    assert_eq!(valid(&life, id), [2]);
}

#[test]
fn login_tokens_that_are_disabled_are_told() {
    let (mut life, _) = cloud_of(oneks_sandbox::Config {
        max_token_time: [("core".to_owned(), 0)].into(),
        ..Default::default()
    });
    let id = life.create(&alice(), "demo", &spec("standalone", &[]));
    life.pass_time(120);
    let error = life.status(id).last_error.unwrap();
    assert_eq!(error.reason, "Refused");
    assert!(error.message.contains("tokens are disabled"), "{}", error.message);
}

#[test]
fn a_cluster_without_credential_has_nothing_to_rotate() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &plain_life::spec(1));
    life.until_state(id, "RUNNING", 600);
    life.set(&alice(), id, "ROTATE", "now");
    life.until("an answer", 120, |life| life.status(id).rotated.is_some());
    let (truth, reason, message) = condition(&life, id, "CredentialRotated").unwrap();
    assert_eq!((truth, reason.as_str()), (Truth::True, "NothingToRotate"));
    assert!(message.contains("dummy"), "{message}");
    life.pass_time(300);
    let status = life.status(id);
    assert_eq!(
        (life.state(id).as_str(), status.rotation, status.last_error),
        ("RUNNING", None, None)
    );
    assert_eq!(life.errors, Vec::<String>::new());
}
