//! Everything that can stand in the way of a cluster: while it does, and after the time is over, users are told the
//! reason, the object, and since when.

use oneks_core::observed::{FailureKind, Kind as VmKind};
use oneks_core::state::ClusterState as S;
use oneks_core::status::LastError;
use oneks_driver::VmCondition;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{CommandMood, Fault, SeedMood, World};

/// When it happens: while the cluster is built, or while a group grows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Build,
    Grow,
}

struct Cause {
    name: &'static str,
    when: When,
    /// Brings it about.
    strike: fn(&mut World),
    reason: &'static str,
    object: &'static str,
    /// What the message says.
    says: &'static [&'static str],
    /// Reason of the failure that comes of it.
    fails: &'static str,
}

fn refuse(world: &mut World, what: &'static str, kind: FailureKind) {
    let left = usize::MAX;
    world.faults = vec![Fault { what, kind, left }];
}

const CAUSES: &[Cause] = &[
    Cause {
        name: "a quota is exhausted",
        when: When::Build,
        strike: |w| refuse(w, "allocate VM oneks-24-seed", FailureKind::Quota),
        reason: "QuotaExceeded",
        object: "VM oneks-24-seed",
        says: &["could not allocate VM oneks-24-seed", "as the test has it"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "no address is left",
        when: When::Build,
        strike: |w| refuse(w, "allocate virtual router", FailureKind::NoAddress),
        reason: "NoAddress",
        object: "virtual router oneks-24-cp",
        says: &[
            "could not allocate virtual router oneks-24-cp",
            "as the test has it",
        ],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "a right was taken away",
        when: When::Build,
        strike: |w| refuse(w, "create VM template", FailureKind::NotAllowed),
        reason: "NotAllowed",
        object: "VM template oneks-24-cp",
        says: &["could not create VM template oneks-24-cp"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "no host takes the router",
        when: When::Build,
        strike: |w| w.stuck = Some(("vr-", VmCondition::Starting, "PENDING", "Not enough CPU on hosts")),
        reason: "Unschedulable",
        object: "VM ",
        says: &["finds no host: Not enough CPU on hosts"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "the router's VM fails",
        when: When::Build,
        strike: |w| w.stuck = Some(("vr-", VmCondition::Failed, "ACTIVE/BOOT_FAILURE", "no bridge")),
        reason: "VmFailure",
        object: "VM ",
        says: &["is in ACTIVE/BOOT_FAILURE: no bridge"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "no host takes the seed",
        when: When::Build,
        strike: |w| w.stuck = Some(("-seed", VmCondition::Starting, "PENDING", "Not enough memory")),
        reason: "Unschedulable",
        object: "VM ",
        says: &["Not enough memory"],
        fails: "SeedSilent",
    },
    Cause {
        name: "the seed's VM fails",
        when: When::Build,
        strike: |w| w.stuck = Some(("-seed", VmCondition::Failed, "ACTIVE/PROLOG_FAILURE", "no image")),
        reason: "VmFailure",
        object: "VM ",
        says: &["is in ACTIVE/PROLOG_FAILURE: no image"],
        fails: "VmFailure",
    },
    Cause {
        name: "the seed reports a failure",
        when: When::Build,
        strike: |w| w.seed = SeedMood::Fails,
        reason: "SeedFailed",
        object: "VM ",
        says: &["reports FAILED (no address left)"],
        fails: "SeedFailed",
    },
    Cause {
        name: "the seed comes to no end",
        when: When::Build,
        strike: |w| w.seed = SeedMood::Hangs,
        reason: "SeedTimeout",
        object: "VM ",
        says: &["was not done within 1800 s: it BOOTSTRAPPING"],
        fails: "SeedTimeout",
    },
    Cause {
        name: "no host takes a node",
        when: When::Grow,
        strike: |w| {
            w.stuck = Some((
                "oneks-24-a-",
                VmCondition::Starting,
                "PENDING",
                "Not enough CPU on hosts",
            ));
        },
        reason: "Unschedulable",
        object: "VM ",
        says: &["finds no host: Not enough CPU on hosts"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "a node's VM fails",
        when: When::Grow,
        strike: |w| {
            w.stuck = Some((
                "oneks-24-a-",
                VmCondition::Failed,
                "ACTIVE/BOOT_FAILURE",
                "no KVM",
            ));
        },
        reason: "VmFailure",
        object: "VM ",
        says: &["is in ACTIVE/BOOT_FAILURE: no KVM; RECOVER replaces it"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "a node is powered off",
        when: When::Grow,
        strike: |w| w.stop(w.alive(VmKind::Node)[0]),
        reason: "VmDown",
        object: "VM ",
        says: &["is POWEROFF; RECOVER starts it"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "a command in a guest fails",
        when: When::Grow,
        strike: |w| w.commands = CommandMood::Fails,
        reason: "GuestCommandFailed",
        object: "VM ",
        says: &["the apply command in VM", "ended with 1: it went wrong"],
        fails: "DeadlineExceeded",
    },
    Cause {
        name: "a command in a guest comes to no end",
        when: When::Grow,
        strike: |w| w.commands = CommandMood::Hangs,
        reason: "GuestCommandLost",
        object: "VM ",
        says: &["the apply command in VM", "did not end in time"],
        fails: "DeadlineExceeded",
    },
];

fn told(cause: &Cause, error: &LastError) {
    let (name, object) = (cause.name, error.object.as_deref());
    assert_eq!(error.reason, cause.reason, "{name}: {error:?}");
    assert!(
        object.is_some_and(|o| o.starts_with(cause.object)),
        "{name}: {error:?}"
    );
    for part in cause.says {
        assert!(
            error.message.contains(part),
            "{name}: {:?} lacks {part:?}",
            error.message
        );
    }
}

#[test]
fn every_cause_is_told_with_reason_object_and_time() {
    for cause in CAUSES {
        let mut world = World::new(Kind::Routed, &spec("v1.33.7", 1, &[("a", 1)]));
        if cause.when == When::Grow {
            world.until(S::Running);
            world.doc().spec = spec("v1.33.7", 1, &[("a", 3)]);
        }
        (cause.strike)(&mut world);
        let start = world.now;
        while world.status().last_error.is_none_or(|e| e.reason != cause.reason) {
            assert!(
                world.now < start + 3 * 3600,
                "{}: {}",
                cause.name,
                world.status().to_json()
            );
            world.pass(None);
            world.tick(10);
        }
        let first = world.status().last_error.unwrap();
        told(cause, &first);
        assert!(first.since >= start && first.since <= world.now, "{}", cause.name);
        // It stays as it was told until the work has failed.
        while !world.state().as_str().ends_with("_FAILURE") {
            let now = world.status().last_error.unwrap();
            assert_eq!(now, first, "{}", cause.name);
            assert!(world.now < start + 6 * 3600, "{}: never ends", cause.name);
            world.pass(None);
            world.tick(30);
        }
        let status = world.status();
        let error = status.groups().find_map(|g| g.error.clone()).unwrap();
        assert_eq!(error.reason, cause.fails, "{}", cause.name);
        assert!(error.object.is_some(), "{}: {error:?}", cause.name);
        let ready = status.condition("Ready").unwrap();
        assert_eq!(ready.reason, cause.fails, "{}", cause.name);
        for part in cause.says {
            assert!(
                ready.message.contains(part),
                "{}: {:?} lacks {part:?}",
                cause.name,
                ready.message
            );
        }
        world.run_for(3600);
        let later = world.status().groups().find_map(|g| g.error.clone()).unwrap();
        assert_eq!(later, error, "{}: since does not move", cause.name);
    }
}

/// With several nodes a command is tried on one after another: other words, the same trouble.
#[test]
fn the_time_stays_when_the_words_change() {
    let mut world = World::new(Kind::Routed, &spec("v1.33.7", 3, &[("a", 1)]));
    world.until(S::Running);
    world.commands = CommandMood::Fails;
    world.doc().spec = spec("v1.33.7", 3, &[("a", 2)]);
    let (mut vms, mut times) = (
        std::collections::BTreeSet::new(),
        std::collections::BTreeSet::new(),
    );
    for _ in 0..60 {
        world.pass(None);
        if let Some(error) = world.status().last_error {
            vms.insert(error.object);
            times.insert(error.since);
        }
        world.tick(10);
    }
    assert_eq!((vms.len(), times.len()), (3, 1));
}
