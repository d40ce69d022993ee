//! What is news, row by row.

use super::*;
use crate::status::{GroupVm, GuestExec, Purpose, Router, Seed, Work};
use oneks_driver::{Capabilities, Owner, Placement};

const SPEC: &str = r#"{"kubernetes_version":"v1.34.2","driver":"capone","deployment":{"cluster":{"id":0},
    "networks":{"public":{"id":0},"private":{"id":1}}},"control_plane":{"flavour":"standalone"}}"#;
const NOW: u64 = 1000;

fn vm(id: u32, condition: VmCondition) -> GroupVm {
    GroupVm {
        id,
        name: format!("oneks-7-{id}"),
        condition,
        ready: None,
        version: None,
        forgotten: None,
    }
}

/// A cluster at rest: control plane 10, router VM 20, group 7001 with node 30.
fn rest() -> Status {
    let mut status = Status::new(7);
    status.rev = 5;
    status.owner = Some(2);
    status.accepted = Some(Spec::parse(SPEC).unwrap());
    status.placed = Some(crate::status::Placed {
        placement: Placement {
            cluster_id: 0,
            public: oneks_driver::Network {
                id: 0,
                name: "public".into(),
            },
            private: oneks_driver::Network {
                id: 1,
                name: "private".into(),
            },
            image_datastore: None,
        },
        images: BTreeMap::new(),
        capabilities: Capabilities {
            guest: true,
            ..Capabilities::default()
        },
        xmlrpc: String::new(),
    });
    status.control_plane.state = GroupState::Running;
    status.control_plane.vms = vec![vm(10, VmCondition::Running)];
    status.control_plane.router = Some(Router {
        state: DependencyState::Ready,
        id: Some(3),
        vms: vec![vm(20, VmCondition::Running)],
        elsewhere: None,
        want: Some(1),
        since: 0,
    });
    let mut group = Group::new(7001, "w", "oneks-7-w".into());
    group.state = GroupState::Running;
    group.vms = vec![vm(30, VmCondition::Running)];
    status.node_groups.push(group);
    status
}

/// The group is worked on, and a command waits for its nodes.
fn waiting(state: GroupState) -> Status {
    let mut status = rest();
    let group = &mut status.node_groups[0];
    group.state = state;
    group.work = Some(Work {
        started: 900,
        deadline: 2000,
        attempts: 0,
        unsure: false,
        before: BTreeSet::new(),
        step: String::new(),
    });
    status.guest_exec = Some(GuestExec {
        vm: 10,
        group: 7001,
        purpose: Purpose::Probe,
        token: String::new(),
        script: String::new(),
        probe: None,
        wait: 600,
        given_up: false,
        issued: 900,
        deadline: 2000,
    });
    status
}

/// A seed is at work.
fn seeding() -> Status {
    let mut status = rest();
    status.node_groups.clear();
    status.control_plane.vms.clear();
    status.control_plane.state = GroupState::Bootstrapping;
    status.control_plane.seed = Some(Seed {
        state: DependencyState::Creating,
        vm: Some(9),
        report: None,
        since: 0,
    });
    status
}

fn desired() -> Desired<'static> {
    Desired {
        document: 7,
        name: "demo",
        owner: Owner {
            uid: 2,
            name: "alice".into(),
        },
        spec: Some(SPEC),
        recover: None,
        rotate: None,
        delete: None,
    }
}

fn told(id: u32, condition: VmCondition, kind: Kind, group: Option<u32>) -> Tidings {
    Tidings {
        vms: BTreeMap::from([(
            id,
            Told {
                condition,
                kind,
                group,
            },
        )]),
        ..Tidings::default()
    }
}

#[test]
fn what_is_news() {
    use GroupState::{Provisioning, Scaling, Upgrading};
    use Kind::{ControlPlane, Node, Router, Seed};
    use VmCondition::{Down, Ending, Failed, Running, Starting};
    let plain = |change: fn(&mut Status)| {
        let mut status = rest();
        change(&mut status);
        status
    };
    let deleting = plain(|s| {
        s.deletion = Some(crate::status::Deletion {
            force: false,
            started: 0,
            deadline: 2000,
            failed: false,
        });
    });
    let teardown = plain(|s| s.control_plane.teardown = true);
    let bare_seed = {
        let mut status = seeding();
        status.placed.as_mut().unwrap().capabilities.guest = false;
        status
    };
    let seed_gone = {
        let mut status = seeding();
        status.control_plane.seed.as_mut().unwrap().state = DependencyState::Gone;
        status
    };
    let w = Some(7001);
    let rest = &rest();
    let (scaling, provisioning, upgrading) = (&waiting(Scaling), &waiting(Provisioning), &waiting(Upgrading));
    let seeding = &seeding();
    let (bare_seed, seed_gone, deleting, teardown) = (&bare_seed, &seed_gone, &deleting, &teardown);
    for (line, status, id, condition, kind, group, news) in [
        // At rest: only what is noted as it is, and what is gone and not noted, is old.
        (1, rest, 30, Running, Node, w, false),
        (2, rest, 30, Down, Node, w, true),
        (3, rest, 30, Failed, Node, w, true),
        (4, rest, 30, Ending, Node, w, true),
        (5, rest, 31, Running, Node, w, true),
        (6, rest, 31, Starting, Node, w, true),
        (7, rest, 31, Ending, Node, w, false),
        (8, rest, 10, Running, ControlPlane, None, false),
        (9, rest, 10, Ending, ControlPlane, None, true),
        (10, rest, 20, Running, Router, None, false),
        (11, rest, 20, Down, Router, None, true),
        (12, rest, 21, Running, Router, None, true),
        (13, rest, 40, Running, Kind::Other, None, true),
        // A command waits for the nodes: their coming and going is what it tells.
        (20, scaling, 31, Running, Node, w, false),
        (21, provisioning, 31, Running, Node, w, false),
        (22, scaling, 30, Ending, Node, w, false),
        (23, upgrading, 30, Ending, Node, w, false),
        (24, upgrading, 31, Running, Node, w, true),
        (25, scaling, 31, Failed, Node, w, true),
        (26, scaling, 30, Down, Node, w, true),
        (27, scaling, 31, Running, Node, Some(7002), true),
        (28, scaling, 31, Running, Node, None, true),
        // The node that the command runs on.
        (29, scaling, 10, Running, ControlPlane, None, true),
        (30, scaling, 10, Ending, ControlPlane, None, true),
        (31, scaling, 11, Running, ControlPlane, None, true),
        // The seed will say when it is done.
        (40, seeding, 9, Running, Seed, None, false),
        (41, seeding, 9, Ending, Seed, None, true),
        (42, seeding, 9, Failed, Seed, None, true),
        (43, seeding, 11, Running, ControlPlane, None, false),
        (44, seeding, 11, Failed, ControlPlane, None, true),
        (45, bare_seed, 9, Running, Seed, None, true),
        (46, bare_seed, 11, Running, ControlPlane, None, true),
        (47, seed_gone, 9, Ending, Seed, None, false),
        (48, seed_gone, 11, Running, ControlPlane, None, true),
        // What ends is what is waited for.
        (50, deleting, 99, Ending, Node, w, true),
        (51, teardown, 99, Ending, ControlPlane, None, true),
    ] {
        let tidings = told(id, condition, kind, group);
        assert_eq!(is_news(&desired(), status, &tidings, NOW), news, "{line}");
    }
}

#[test]
fn routers_are_news_unless_they_are_known() {
    let made = |id| Tidings {
        made_routers: BTreeSet::from([id]),
        ..Tidings::default()
    };
    let gone = |id| Tidings {
        gone_routers: BTreeSet::from([id]),
        ..Tidings::default()
    };
    for (tidings, news) in [
        (made(3), false),
        (made(4), true),
        (gone(3), true),
        (gone(4), false),
    ] {
        assert_eq!(is_news(&desired(), &rest(), &tidings, NOW), news, "{tidings:?}");
    }
}

type Change = fn(&mut Desired<'static>, &mut Status);

/// Whatever is due is done, even if the event that leads to it tells nothing.
#[test]
fn whatever_is_due_is_news() {
    let old = told(30, VmCondition::Running, Kind::Node, Some(7001));
    let news = |desired: &Desired<'_>, status: &Status| is_news(desired, status, &old, NOW);
    assert!(!news(&desired(), &rest()));
    let changes: [(&str, Change); 15] = [
        ("never written", |_, s| s.rev = 0),
        ("another owner", |d, _| d.owner.uid = 3),
        ("no SPEC", |d, _| d.spec = None),
        ("another SPEC", |_, s| s.accepted.as_mut().unwrap().paused = true),
        ("nothing accepted", |_, s| s.accepted = None),
        ("RECOVER", |d, _| d.recover = Some("1")),
        ("ROTATE", |d, _| d.rotate = Some("1")),
        ("a credential that ends", |_, s| {
            s.credential = Some(crate::status::Credential {
                serial: 1,
                issued: 0,
                expires: Some(NOW),
            });
        }),
        ("no SPEC to be read, and none was accepted", |d, s| {
            d.spec = Some("{");
            s.accepted = None;
        }),
        ("DELETE", |d, _| d.delete = Some("YES")),
        ("retry", |_, s| {
            s.retry = Some(crate::status::Retry {
                count: 1,
                not_before: NOW,
            });
        }),
        ("work", |_, s| {
            s.node_groups[0].work.as_mut().unwrap().deadline = NOW;
        }),
        ("command", |_, s| s.guest_exec.as_mut().unwrap().deadline = NOW),
        ("deletion", |d, s| {
            d.delete = Some("yes");
            s.deletion = Some(crate::status::Deletion {
                force: false,
                started: 0,
                deadline: NOW,
                failed: false,
            });
        }),
        ("by force", |d, s| {
            d.delete = Some("FORCE");
            s.deletion = Some(crate::status::Deletion {
                force: false,
                started: 0,
                deadline: 2000,
                failed: false,
            });
        }),
    ];
    for (what, change) in changes {
        let (mut desired, mut status) = (desired(), waiting(GroupState::Scaling));
        assert!(!news(&desired, &status), "{what}");
        change(&mut desired, &mut status);
        assert!(news(&desired, &status), "{what}");
    }
}

/// While a cluster is deleted, its router goes as it should.
#[test]
fn a_router_that_goes_with_its_cluster_is_no_news() {
    let tidings = Tidings {
        gone_routers: BTreeSet::from([3]),
        ..Tidings::default()
    };
    let (mut desired, mut status) = (desired(), rest());
    assert!(is_news(&desired, &status, &tidings, NOW));
    desired.delete = Some("YES");
    status.deletion = Some(crate::status::Deletion {
        force: false,
        started: 900,
        deadline: 2000,
        failed: false,
    });
    assert!(!is_news(&desired, &status, &tidings, NOW));
}
