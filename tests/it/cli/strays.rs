//! `oneks audit` and `oneks gc`: what is left of a cluster whose document went unnoticed.

#![allow(clippy::print_stderr)] // how many cases there were

use oneks_sandbox::{CallFault, Effect, When};

use super::Cloud;

/// A cloud in which the document of a running cluster was deleted, and nobody noticed.
fn forgotten() -> Cloud {
    let (cloud, id) = Cloud::with_web();
    cloud
        .life
        .ask("alice:alicepw", "one.document.delete", &[id.into()]);
    cloud.life.sandbox.take_events();
    cloud
}

#[test]
fn what_was_left_behind_is_found_and_removed() {
    for user in ["alice", "oneadmin"] {
        let mut cloud = forgotten();
        let found = cloud
            .run(user, "audit -l KIND,NAME,USER,WHY --csv --no-header")
            .good();
        for (kind, count) in [
            ("VM,", 4),
            ("VROUTER,oneks-0-cp,", 1),
            ("TEMPLATE,oneks-0-router,", 1),
        ] {
            let lines = found.lines().filter(|l| l.starts_with(kind));
            assert_eq!(lines.count(), count, "{kind}: {found}");
        }
        assert!(
            found
                .lines()
                .all(|l| l.ends_with(",alice,there is no such cluster")),
            "{found}"
        );
        assert_eq!(cloud.run("mallory", "audit --csv --no-header").good(), "");

        let before = cloud.life.sandbox.remains();
        let dry = cloud.run(user, "gc --dry-run -j").good();
        let dry: serde_json::Value = serde_json::from_str(&dry).unwrap();
        assert_eq!(dry.as_array().unwrap().len(), found.lines().count());
        assert!(cloud.run(user, "gc").failed(2).contains("give --yes"));
        assert_eq!(
            cloud.life.sandbox.remains(),
            before,
            "nothing is removed without being told so"
        );

        let removed = cloud.watch_without_hooks(user, "gc --yes --interval 0");
        assert!(
            removed.out.contains("delete virtual router"),
            "{}\n{}",
            removed.out,
            removed.err
        );
        removed.good();
        assert_eq!(cloud.run(user, "audit --csv --no-header").good(), "");
        assert_eq!(cloud.life.sandbox.live_vms().len(), 0);
        assert_eq!(cloud.life.sandbox.vrouters().len(), 0);
        assert_eq!(cloud.life.sandbox.templates().len(), 0);
        if user == "oneadmin" {
            assert_eq!(cloud.life.left_over(), Vec::<String>::new());
        }
    }
}

#[test]
fn what_belongs_to_a_cluster_or_is_not_clear_is_left_alone() {
    let (cloud, id) = Cloud::with_web();
    assert_eq!(
        cloud.run("oneadmin", "audit --csv --no-header").good(),
        "",
        "a living cluster has no strays"
    );
    // Somebody marks a machine as that of another's cluster.
    let text =
        format!("NAME=\"oneks-{id}-workers-x\"\nCPU=1\nMEMORY=64\nONEKS=[CLUSTER_ID=\"{id}\",TYPE=\"NODE\"]");
    cloud.life.ask(
        "mallory:mallorypw",
        "one.vm.allocate",
        &[text.into(), false.into()],
    );
    let found = cloud
        .run("oneadmin", "audit -l USER,WHY --csv --no-header")
        .good();
    assert_eq!(found, "mallory,the cluster belongs to somebody else\n");
    // Mallory can't see the cluster: for him it must not be one that is gone. Nor is what only has such a name.
    let text = "NAME=\"oneks-4711-workers-x\"\nCPU=1\nMEMORY=64".into();
    cloud
        .life
        .ask("mallory:mallorypw", "one.vm.allocate", &[text, false.into()]);
    let found = cloud
        .run("mallory", "audit -l CLUSTER,WHY --csv --no-header")
        .good();
    let (hidden, named) = (
        "there is such a cluster, but you may not see it",
        "there is no such cluster, but it has no mark either",
    );
    assert_eq!(found, format!("{id},\"{hidden}\"\n4711,\"{named}\"\n"));
    let vms = cloud.life.sandbox.live_vms().len();
    for user in ["oneadmin", "alice", "mallory"] {
        let told = cloud.run(user, "gc --yes");
        assert!(
            told.err.contains("nothing was left behind"),
            "{user}: {}",
            told.err
        );
    }
    assert_eq!(cloud.life.sandbox.live_vms().len(), vms);
}

#[test]
fn a_cluster_that_is_being_made_has_no_strays_at_any_moment() {
    let mut cloud = Cloud::new();
    let id = cloud
        .life
        .create("alice:alicepw", "web", &crate::plain_life::spec(1));
    let (mut moments, mut objects) = (0, 0);
    while cloud.life.state(id) != "RUNNING" {
        for user in ["oneadmin", "alice"] {
            assert_eq!(cloud.run(user, "audit --csv --no-header").good(), "", "{user}");
            let told = cloud.run(user, "gc --yes");
            assert!(told.err.contains("nothing was left behind"), "{}", told.err);
        }
        let there = cloud.life.sandbox.live_vms().len() + cloud.life.sandbox.vrouters().len();
        assert!(there >= objects, "something was removed");
        objects = there;
        cloud.life.pass_time(5);
        moments += 1;
        assert!(moments < 100, "{}", cloud.life.state(id));
    }
    assert!(moments > 3, "it was made at once: {moments}");
}

#[test]
fn a_removal_that_is_cut_off_goes_on_with_the_next() {
    let mut cloud = forgotten();
    let before = cloud.life.sandbox.live_vms().len();
    // As if the command had been killed: it waits for no machine.
    cloud.run("oneadmin", "gc --yes --timeout 0s");
    let left = cloud.run("oneadmin", "gc --dry-run -j").good();
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert!(
        !left.as_array().unwrap().is_empty() && before > 0,
        "it was done at once"
    );
    cloud
        .watch_without_hooks("oneadmin", "gc --yes --interval 0")
        .good();
    assert_eq!(cloud.run("oneadmin", "audit --csv --no-header").good(), "");
    assert_eq!(cloud.life.left_over(), Vec::<String>::new());
}

#[test]
fn a_credential_without_a_cluster_is_found_and_revoked_and_never_shown() {
    let mut cloud = forgotten();
    let own = cloud.life.service.credential(0, 3).expose().to_owned();
    for token in [own.as_str(), "oneks-4711-1-a-token-of-her-own", "work"] {
        let text = token.to_owned().into();
        cloud.life.ask(
            "alice:alicepw",
            "one.user.login",
            &["alice".into(), text, 36_000.into(), (-1).into()],
        );
    }
    let named = "\"there is no such cluster, but it has no mark either\"";
    for (user, why) in [("oneadmin", "there is no such cluster"), ("alice", named)] {
        let found = cloud.run(user, "audit -l KIND,NAME,WHY --csv --no-header").good();
        let tokens: Vec<&str> = found.lines().filter(|l| l.starts_with("CREDENTIAL")).collect();
        let other = format!("CREDENTIAL,oneks-4711-1,{named}");
        assert_eq!(tokens, [format!("CREDENTIAL,oneks-0-3,{why}"), other], "{user}");
        let all = cloud.run(user, "audit -j").good() + &cloud.run(user, "gc --dry-run").good();
        assert!(!all.contains(&own) && !all.contains("of-her-own"), "{all}");
    }
    cloud
        .watch_without_hooks("oneadmin", "gc --yes --interval 0")
        .good();
    let left = cloud.run("oneadmin", "audit -l NAME --csv --no-header").good();
    assert_eq!(left, "oneks-4711-1\n");
    let user = cloud.life.ask(
        crate::support::life::ONEADMIN,
        "one.user.info",
        &[2.into(), false.into()],
    );
    let tokens = user.as_str().unwrap_or_default().to_owned();
    assert!(
        tokens.contains("of-her-own") && tokens.contains("work") && !tokens.contains(&own),
        "{tokens}"
    );
}

/// Faults by which a command dies with its n-th call: before it, or after oned has carried it out.
fn death(n: u64, done: bool) -> Vec<CallFault> {
    let answer_is_lost = CallFault::any(When::Nth(n), Effect::DropAnswer);
    let rest = CallFault::any(When::From(n), Effect::RefuseConnection);
    if done {
        vec![answer_is_lost, rest]
    } else {
        vec![rest]
    }
}

#[test]
fn a_removal_that_dies_at_any_call_is_finished_by_the_next_and_touches_nobody_else() {
    let all = std::env::var("ONEKS_TESTS").is_ok_and(|value| value == "all");
    let (mut cases, step) = (0, if all { 1 } else { 9 });
    for done in [false, true] {
        for n in (1..).step_by(step) {
            let mut cloud = forgotten();
            let text =
                "NAME=\"oneks-0-workers-x\"\nCPU=1\nMEMORY=64\nONEKS=[CLUSTER_ID=\"1\",TYPE=\"NODE\"]".into();
            cloud
                .life
                .ask("mallory:mallorypw", "one.vm.allocate", &[text, false.into()]);
            cloud.life.sandbox.faults(|faults| faults.calls = death(n, done));
            let cut = cloud.watch_without_hooks("oneadmin", "gc --yes --interval 0");
            cloud.life.sandbox.faults(|faults| faults.calls.clear());
            if cut.code == 0 {
                break;
            }
            cases += 1;
            cloud
                .watch_without_hooks("oneadmin", "gc --yes --interval 0")
                .good();
            let left = cloud
                .run("oneadmin", "audit -l USER,WHY --csv --no-header")
                .good();
            assert_eq!(
                left, "mallory,its name does not fit its mark\n",
                "call {n}, done: {done}"
            );
            assert_eq!(cloud.life.sandbox.live_vms().len(), 1);
            assert_eq!(
                (
                    cloud.life.sandbox.vrouters().len(),
                    cloud.life.sandbox.templates().len()
                ),
                (0, 0)
            );
        }
    }
    eprintln!("a removal that dies: {cases} cases");
    assert!(cases > 3, "{cases} cases");
}
