//! What goes wrong, what users are told, and how it ends.

use oneks_core::observed::{FailureKind, Kind as VmKind};
use oneks_core::state::{ClusterState as S, GroupState};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{CommandMood, Fault, SeedMood, World};

const V33: &str = "v1.33.7";
const KINDS: [Kind; 2] = [Kind::Guest, Kind::Plain];

fn message(world: &World) -> String {
    world.status().condition("Ready").unwrap().message.clone()
}

/// A failure state stays, and costs nothing.
fn stays(world: &mut World, state: S) {
    world.run_for(120);
    let (log, writes) = (world.log.len(), world.writes);
    for _ in 0..60 {
        world.tick(600);
        world.pass(None);
    }
    assert_eq!(
        (world.state(), world.log.len(), world.writes),
        (state, log, writes)
    );
}

fn recover(world: &mut World) {
    let token = format!("at {}", world.now);
    world.doc().recover = Some(token);
    world.pass(None);
}

fn bury(world: &mut World) {
    world.doc().delete = Some("YES".to_owned());
    world.until(S::Done);
    world.run_for(60);
    assert!(world.is_empty());
}

#[test]
fn a_failed_seed_is_torn_down_and_rebuilt_by_recover_only() {
    for (mood, reason, text) in [
        (SeedMood::Fails, "SeedFailed", "no address left"),
        (SeedMood::Silent, "SeedSilent", "has not reported within 600 s"),
        (SeedMood::Hangs, "SeedTimeout", "was not done within 1800 s"),
    ] {
        let mut world = World::new(Kind::Guest, &spec(V33, 1, &[("a", 1)]));
        world.seed = mood;
        world.until(S::ProvisioningFailure);
        let status = world.status();
        assert_eq!(status.control_plane.state, GroupState::BootstrappingFailure);
        assert_eq!(status.control_plane.error.as_ref().unwrap().reason, reason);
        assert!(message(&world).contains(text), "{}", message(&world));
        stays(&mut world, S::ProvisioningFailure);
        // A change of SPEC is no order to try again.
        world.doc().spec = spec(V33, 3, &[("a", 2)]);
        stays(&mut world, S::ProvisioningFailure);
        world.seed = SeedMood::Works;
        recover(&mut world);
        world.until(S::Running);
        assert_eq!(world.done("allocate VM oneks-24-seed"), 2);
        world.run_for(600);
        assert_eq!(world.nodes(24000).len(), 3);
        bury(&mut world);
    }
}

#[test]
fn a_seed_that_somebody_ends_is_a_failure() {
    for seconds in [10, 20] {
        let mut world = World::new(Kind::Guest, &spec(V33, 1, &[]));
        world.seed = SeedMood::Hangs;
        world.run_for(seconds);
        let seed = world.alive(VmKind::Seed)[0];
        world.end(seed);
        world.until(S::ProvisioningFailure);
        assert_eq!(world.status().control_plane.error.unwrap().reason, "SeedGone");
        world.seed = SeedMood::Works;
        recover(&mut world);
        world.until(S::Running);
        bury(&mut world);
    }
}

/// What came of the seed's work: the nodes run, but nobody manages them. With its last words gone, and the status too,
/// only Kubernetes can tell.
#[test]
fn a_seed_that_ends_before_it_hands_over_is_torn_down_and_rebuilt_by_recover() {
    for kind in [Kind::Guest, Kind::Routed] {
        for (count, nodes) in [(1, 1), (3, 1), (3, 3)] {
            for (forgotten, erased) in [(false, false), (true, false), (false, true), (true, true)] {
                let name = format!("{kind:?} {nodes} of {count}, {forgotten} {erased}");
                let mut world = World::new(kind, &spec(V33, count, &[("a", 1)]));
                world.seed = SeedMood::Keeps;
                let run = |w: &World| {
                    w.alive(VmKind::ControlPlane)
                        .iter()
                        .filter(|id| w.machines[id].vm.steady)
                        .count()
                };
                while run(&world) < nodes {
                    world.pass(None);
                    world.tick(5);
                }
                let seed = world.alive(VmKind::Seed)[0];
                if erased {
                    world.doc().status = None;
                }
                world.end(seed);
                world.tick(25);
                if forgotten {
                    world.gone.clear();
                }
                world.until(S::ProvisioningFailure);
                let error = world.status().control_plane.error.unwrap();
                assert!(
                    ["SeedGone", "NotHandedOver"].contains(&error.reason.as_str()),
                    "{name}: {error:?}"
                );
                if erased {
                    assert_eq!(error.reason, "NotHandedOver", "{name}");
                }
                assert!(
                    world.alive(VmKind::ControlPlane).len() >= nodes,
                    "nothing is torn down unasked"
                );
                stays(&mut world, S::ProvisioningFailure);
                world.seed = SeedMood::Works;
                recover(&mut world);
                world.until(S::Running);
                world.run_for(300);
                assert_eq!(world.nodes(24000).len(), count as usize, "{name}");
                assert_eq!((world.nodes(24001).len(), world.routers.len()), (1, 1), "{name}");
                bury(&mut world);
            }
        }
    }
}

/// Workers prove that the cluster was complete once. Whatever Kubernetes says of it later, nothing is torn down.
#[test]
fn a_cluster_with_workers_is_never_torn_down() {
    let mut world = World::new(Kind::Routed, &spec(V33, 1, &[("a", 1)]));
    world.until(S::Running);
    world.forget();
    world.doc().status = None;
    let machines: Vec<u32> = world.machines.keys().copied().collect();
    for _ in 0..3 {
        let failed = |w: &World| w.status().control_plane.state.failed_action();
        while failed(&world).is_none() {
            world.run_for(300);
        }
        assert_ne!(failed(&world), Some(GroupState::Bootstrapping));
        recover(&mut world);
    }
    assert!(world.machines.keys().copied().eq(machines));
    bury(&mut world);
}

#[test]
fn a_failed_bootstrap_leaves_no_router_behind() {
    let mut world = World::new(Kind::Guest, &spec(V33, 3, &[]));
    while world.routers.is_empty() {
        world.run_for(10);
    }
    world.seed = SeedMood::Fails;
    world.until(S::ProvisioningFailure);
    let old = world.routers[0].id;
    world.seed = SeedMood::Works;
    recover(&mut world);
    world.until(S::Running);
    assert_eq!(world.routers.len(), 1);
    assert_ne!(world.routers[0].id, old);
}

#[test]
fn calls_that_fail_are_repeated_with_growing_pauses_until_the_deadline() {
    for kind in KINDS {
        for (failure, reason, what) in [
            (FailureKind::Quota, "QuotaExceeded", "allocate VM oneks-24-seed"),
            (
                FailureKind::NotAllowed,
                "NotAllowed",
                "create VM template oneks-24-cp",
            ),
            (
                FailureKind::Unreachable,
                "OpenNebulaUnreachable",
                "create credential",
            ),
        ] {
            let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
            world.faults = vec![Fault {
                what,
                kind: failure,
                left: usize::MAX,
            }];
            world.run_for(300);
            assert_eq!(world.state(), S::Provisioning);
            assert_eq!(world.status().last_error.unwrap().reason, reason);
            assert!(world.status().condition("Retrying").is_some());
            let attempts = usize::MAX - world.faults[0].left;
            assert!((2..=5).contains(&attempts), "{attempts} attempts in five minutes");
            world.until(S::ProvisioningFailure);
            assert!(
                message(&world).contains("as the test has it"),
                "{}",
                message(&world)
            );
            stays(&mut world, S::ProvisioningFailure);
            world.faults.clear();
            recover(&mut world);
            world.until(S::Running);
            assert!(world.status().condition("Retrying").is_none());
            bury(&mut world);
        }
    }
}

#[test]
fn calls_that_fail_for_a_while_are_made_good() {
    for kind in KINDS {
        let whats = [
            "create",
            "allocate",
            "instantiate",
            "terminate",
            "run /bin/sh",
            "store",
            "delete",
            "revoke",
        ];
        for what in whats {
            for failure in [
                FailureKind::WrongState,
                FailureKind::Quota,
                FailureKind::Refused,
                FailureKind::Unreachable,
                FailureKind::Internal,
            ] {
                let mut world = World::new(kind, &spec(V33, 3, &[("a", 2)]));
                world.faults = vec![Fault {
                    what,
                    kind: failure,
                    left: 3,
                }];
                world.until(S::Running);
                assert_eq!(
                    world.doc().kubeconfig.as_deref(),
                    Some("a kubeconfig"),
                    "{kind:?} {what} {failure:?}"
                );
                world.doc().delete = Some("YES".to_owned());
                world.until(S::Done);
                world.run_for(60);
                assert!(world.is_empty());
            }
        }
    }
}

#[test]
fn a_script_that_fails_is_tried_until_the_deadline_and_its_cause_is_kept() {
    let mut world = World::new(Kind::Guest, &spec(V33, 3, &[("a", 1)]));
    world.until(S::Running);
    world.commands = CommandMood::Fails;
    world.doc().spec = spec(V33, 3, &[("a", 4)]);
    let before = world.done("run /bin/sh");
    world.until(S::ScalingFailure);
    assert!(message(&world).contains("it went wrong"), "{}", message(&world));
    assert!(
        world.done("run /bin/sh") - before < 60,
        "{}",
        world.done("run /bin/sh") - before
    );
    stays(&mut world, S::ScalingFailure);
    world.commands = CommandMood::Works;
    recover(&mut world);
    world.until(S::Running);
    assert_eq!(world.nodes(24001).len(), 4);
}

#[test]
fn a_command_that_never_ends_is_cancelled_and_made_on_another_node() {
    let mut world = World::new(Kind::Guest, &spec(V33, 3, &[("a", 1)]));
    world.until(S::Running);
    world.commands = CommandMood::Hangs;
    world.doc().spec = spec(V33, 3, &[("a", 2)]);
    world.run_for(60);
    world.commands = CommandMood::Works;
    world.until(S::Running);
    assert!(world.done("cancel the command") >= 1);
    let vms: std::collections::BTreeSet<&String> =
        world.log.iter().filter(|l| l.contains(":apply-24001-")).collect();
    assert!(vms.len() >= 2);
    assert_eq!(world.nodes(24001).len(), 2);
}

#[test]
fn nodes_that_never_come_end_in_the_failure_of_what_was_under_way() {
    for kind in KINDS {
        let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
        world.until(S::Running);
        world.frozen = true;
        world.faults = vec![Fault {
            what: "allocate VM",
            kind: FailureKind::Quota,
            left: usize::MAX,
        }];
        world.doc().spec = spec(V33, 1, &[("a", 3), ("b", 1)]);
        world.until(S::ScalingFailure);
        world.run_for(3 * 3600);
        let states: Vec<GroupState> = world.status().node_groups.iter().map(|g| g.state).collect();
        assert_eq!(
            states,
            [GroupState::ScalingFailure, GroupState::ProvisioningFailure]
        );
        stays(&mut world, S::ScalingFailure);
        // The group that could not be made is given up.
        world.doc().spec = spec(V33, 1, &[("a", 3)]);
        world.frozen = false;
        world.faults.clear();
        world.run_for(600);
        assert_eq!(world.status().node_groups.len(), 1);
        assert_eq!(world.state(), S::ScalingFailure);
        recover(&mut world);
        world.until(S::Running);
        assert_eq!((world.nodes(24001).len(), world.nodes(24002).len()), (3, 0));
        bury(&mut world);
    }
}

#[test]
fn an_upgrade_that_failed_midway_goes_on_where_it_was() {
    let mut world = World::new(Kind::Guest, &spec(V33, 3, &[]));
    world.until(S::Running);
    world.doc().spec = spec("v1.34.2", 3, &[]);
    while world.nodes(24000).iter().filter(|v| *v == "v1.34.2").count() < 2 {
        world.pass(None);
        world.tick(10);
    }
    world.frozen = true;
    world.until(S::UpgradingFailure);
    let kept = world.alive(VmKind::ControlPlane);
    world.frozen = false;
    recover(&mut world);
    world.until(S::Running);
    assert_eq!(world.nodes(24000), ["v1.34.2"; 3]);
    assert!(
        world
            .alive(VmKind::ControlPlane)
            .iter()
            .filter(|id| kept.contains(id))
            .count()
            >= 2
    );
}

#[test]
fn groups_wait_for_a_control_plane_that_failed_and_leave_without_a_trace() {
    for kind in KINDS {
        let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
        world.seed = SeedMood::Fails;
        world.faults = vec![Fault {
            what: "allocate VM oneks-24-seed",
            kind: FailureKind::Quota,
            left: usize::MAX,
        }];
        world.until(S::ProvisioningFailure);
        assert_eq!(world.status().node_groups[0].state, GroupState::Pending);
        world.doc().spec = spec(V33, 1, &[]);
        world.run_for(30);
        assert!(world.status().node_groups.is_empty());
        assert_eq!(world.state(), S::ProvisioningFailure);
    }
}

#[test]
fn a_deletion_that_can_not_end_fails_goes_on_and_ends() {
    for kind in KINDS {
        let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
        world.until(S::Running);
        world.faults = vec![Fault {
            what: "delete virtual router",
            kind: FailureKind::NotAllowed,
            left: usize::MAX,
        }];
        world.doc().delete = Some("YES".to_owned());
        world.until(S::DeprovisioningFailure);
        assert!(world.status().last_error.is_some());
        world.faults.clear();
        world.until(S::Done);
        world.run_for(60);
        assert!(world.is_empty());
    }
}

#[test]
fn force_removes_what_it_can_and_names_what_it_could_not() {
    for kind in KINDS {
        for stuck in ["delete virtual router", "terminate VM", "delete VM template"] {
            let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
            world.until(S::Running);
            world.faults = vec![Fault {
                what: stuck,
                kind: FailureKind::NotAllowed,
                left: usize::MAX,
            }];
            world.doc().delete = Some("FORCE".to_owned());
            world.run_for(300);
            assert_eq!(world.state(), S::Done, "{kind:?} {stuck}");
            assert!(world.credentials.is_empty(), "{stuck}");
            let (routers, vms) = (world.routers.len(), world.machines.len());
            let expected = match stuck {
                "delete virtual router" => (1, 0),
                "terminate VM" => (0, 2),
                _ => (0, 0),
            };
            assert_eq!((routers, vms), expected, "{kind:?} {stuck}");
        }
    }
}

/// oned says "no such object" as well when it can't read its database for a moment.
#[test]
fn an_object_that_is_not_found_is_not_taken_for_removed() {
    let fault = |what, left| {
        vec![Fault {
            what,
            kind: FailureKind::Gone,
            left,
        }]
    };
    for kind in KINDS {
        let mut world = World::new(kind, &spec(V33, 1, &[("a", 2)]));
        world.faults = fault("terminate VM", 1);
        world.until(S::Running);
        assert_eq!(world.faults[0].left, 0);
        world.run_for(600);
        assert_eq!(world.alive(VmKind::Seed), Vec::<u32>::new());
        world.faults = fault("terminate VM", 1);
        world.doc().spec = spec(V33, 1, &[("a", 1)]);
        world.run_for(1200);
        assert_eq!(world.nodes(24001).len(), 1);
        for what in [
            "terminate VM",
            "delete VM template",
            "delete virtual router",
            "revoke credential",
        ] {
            let mut world = world.clone();
            world.faults = fault(what, 2);
            bury(&mut world);
            assert!(kind == Kind::Plain || world.faults[0].left < 2, "{what}");
        }
    }
}
