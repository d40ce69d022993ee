//! `oneks audit` and `oneks gc`: what is left of a cluster whose document went unnoticed.

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
    let vms = cloud.life.sandbox.live_vms().len();
    let told = cloud.run("oneadmin", "gc --yes");
    assert!(told.err.contains("nothing was left behind"), "{}", told.err);
    assert_eq!(cloud.life.sandbox.live_vms().len(), vms);
}
