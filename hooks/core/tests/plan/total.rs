//! Whatever the document, the status and the cloud look like: a plan is made, and comes to an end.

use std::collections::BTreeMap;

use oneks_core::action::Action;
use oneks_core::names::CommandToken;
use oneks_core::observed::{
    Credentials, Failure, FailureKind, GuestCommand, Kind as VmKind, Need, Observed, Progress, Reservation,
    Router, Tag, Template, Vm,
};
use oneks_core::plan::{Desired, Outcome, absorb, plan};
use oneks_core::state::{DependencyState, GroupState};
use oneks_core::status::{
    Credential, Deletion, Forgotten, Goal, Group, GroupVm, GuestExec, Placed, Purpose, Retry, Rotation,
    RotationStage, Seed, Status, Work,
};
use oneks_driver::{Capabilities, Network, Output, Owner, Placement, VmCondition, secret};
use proptest::prelude::*;

use crate::driver::{self, Kind};
use crate::pass::{catalog, spec};
use crate::world::World;

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(24), 100..110_u32, Just(4_294_966), Just(u32::MAX)]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        1_000_000..1_010_000_u64,
        Just(u64::MAX - 10),
        Just(u64::MAX)
    ]
}

fn version() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("v1.33.7"),
        Just("v1.34.2"),
        Just("v1.32.9"),
        Just("v1.4294967295.0"),
        Just("v4294967295.1.1"),
        Just("x")
    ]
    .prop_map(str::to_owned)
}

fn spec_text() -> impl Strategy<Value = Option<String>> {
    let good = (
        version(),
        0..6_u32,
        prop::collection::vec((prop_oneof![Just("a"), Just("b"), Just("web-a")], 0..4_u32), 0..3),
    )
        .prop_map(|(version, n, groups)| Some(spec(&version, n, &groups)));
    let paused =
        (0..2_u32).prop_map(|n| Some(spec("v1.33.7", 1, &[("a", n)]).replacen('{', "{\"paused\":true,", 1)));
    prop_oneof![6 => good, 1 => paused, 1 => ".{0,40}".prop_map(Some), 1 => Just(None)]
}

fn condition() -> impl Strategy<Value = VmCondition> {
    prop::sample::select(vec![
        VmCondition::Starting,
        VmCondition::Running,
        VmCondition::Down,
        VmCondition::Failed,
        VmCondition::Ending,
    ])
}

fn goal() -> impl Strategy<Value = Goal> {
    (prop_oneof![0..4_u32, Just(u32::MAX)], version(), "[a-f]{0,3}").prop_map(|(replicas, version, nodes)| {
        Goal {
            replicas,
            version,
            nodes,
        }
    })
}

fn group_vm() -> impl Strategy<Value = GroupVm> {
    let forgotten = (time(), time()).prop_map(|(since, again)| Forgotten { since, again });
    let parts = (
        100..110_u32,
        condition(),
        prop::option::of(version()),
        prop::option::of(forgotten),
    );
    parts.prop_map(|(id, condition, version, forgotten)| GroupVm {
        id,
        name: format!("oneks-24-x{id}"),
        condition,
        ready: None,
        version,
        forgotten,
    })
}

fn work() -> BoxedStrategy<Work> {
    (
        time(),
        time(),
        prop_oneof![0..3_u32, Just(u32::MAX)],
        any::<bool>(),
    )
        .prop_map(|(started, deadline, attempts, unsure)| Work {
            started,
            deadline,
            attempts,
            unsure,
            before: [100, 101].into(),
            step: String::new(),
        })
        .boxed()
}

fn group(key: &'static str, own: u32) -> BoxedStrategy<Group> {
    (
        prop_oneof![20 => Just(own), 1 => id()],
        prop::sample::select(GroupState::ALL.to_vec()),
        (
            prop::option::of(goal()),
            prop::option::of(goal()),
            prop::option::of(version()),
        ),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        prop::collection::vec(group_vm(), 0..4),
        prop::option::of(work()),
        (any::<u32>(), time()),
    )
        .prop_map(
            move |(
                id,
                state,
                (target, goal, version),
                (removed, teardown, begun),
                vms,
                work,
                (failed, asked),
            )| {
                Group {
                    state,
                    target,
                    goal,
                    version,
                    removed,
                    teardown,
                    begun,
                    settled: vms.iter().map(|vm| vm.id).collect(),
                    vms,
                    work,
                    failed_commands: failed,
                    asked,
                    ..Group::new(id, key, format!("oneks-24-{key}"))
                }
            },
        )
        .boxed()
}

fn exec() -> BoxedStrategy<GuestExec> {
    let purpose = prop::sample::select(vec![
        Purpose::Kubeconfig,
        Purpose::Apply,
        Purpose::Probe,
        Purpose::Rotate,
    ]);
    let probe = prop::option::of(Just("aa".to_owned()));
    (
        100..110_u32,
        id(),
        purpose,
        time(),
        (probe, 0..700_u64, any::<bool>()),
    )
        .prop_map(
            |(vm, group, purpose, deadline, (probe, wait, given_up))| GuestExec {
                vm,
                group,
                purpose,
                token: format!("oneks:24:{}-24001-aa:1", purpose.as_str()),
                script: "aa".to_owned(),
                probe,
                wait,
                given_up,
                issued: 0,
                deadline,
            },
        )
        .boxed()
}

fn rotation() -> BoxedStrategy<(Option<Credential>, Option<Rotation>)> {
    let stage = prop_oneof![
        Just(RotationStage::Make),
        Just(RotationStage::HandOver),
        time().prop_map(|after| RotationStage::Revoke { after }),
    ];
    let serial = prop_oneof![0..4_u32, any::<u32>()];
    (
        prop::option::of((serial, time(), prop::option::of(time()))),
        prop::option::of((stage, prop_oneof![0..9_u32, any::<u32>()], time(), any::<bool>())),
    )
        .prop_map(|(credential, rotation)| {
            let credential = credential.map(|(serial, issued, expires)| Credential {
                serial,
                issued,
                expires,
            });
            let rotation = rotation.map(|(stage, attempts, not_before, failed)| Rotation {
                started: 0,
                stage,
                old: None,
                attempts,
                not_before,
                failed,
            });
            (credential, rotation)
        })
        .boxed()
}

fn placed(guest: bool) -> Placed {
    let network = |id| Network {
        id,
        name: String::new(),
    };
    Placed {
        placement: Placement {
            cluster_id: 0,
            public: network(0),
            private: network(1),
            image_datastore: None,
        },
        images: BTreeMap::new(),
        capabilities: Capabilities {
            guest,
            upgrade: true,
            resize_control_plane: true,
            rotate: guest,
        },
        xmlrpc: String::new(),
    }
}

fn status() -> BoxedStrategy<Status> {
    let parts = (
        (
            spec_text(),
            prop::option::of(any::<bool>()),
            prop_oneof![0..9_u64, Just(u64::MAX)],
        ),
        (
            group("control-plane", 24000),
            prop::option::of(group("a", 24001)),
            prop::option::of(group("a", 24002)),
            group("b", 24003),
        ),
        (
            prop::option::of(exec()),
            any::<u64>(),
            any::<bool>(),
            any::<bool>(),
            prop_oneof![Just(1), any::<u32>()],
        ),
        (
            prop::option::of((any::<bool>(), time(), any::<bool>())),
            prop::option::of((any::<u32>(), time())),
        ),
        rotation(),
        prop::option::of((
            prop::sample::select(DependencyState::ALL.to_vec()),
            prop::option::of(100..110_u32),
            time(),
        )),
    );
    parts
        .prop_map(
            |(
                (spec, guest, rev),
                (control_plane, a, b, c),
                (exec, commands, provisioned, kubeconfig, next),
                (deletion, retry),
                rotation,
                seed,
            )| {
                let mut status = Status::new(24);
                status.rev = rev;
                status.accepted = spec.and_then(|s| oneks_core::Spec::parse(&s).ok());
                status.placed = guest.map(placed);
                status.control_plane = control_plane;
                status.control_plane.seed = seed.map(|(state, vm, since)| Seed {
                    state,
                    vm,
                    report: None,
                    since,
                });
                status.node_groups = a.into_iter().chain(b).chain([c]).collect();
                status.guest_exec = exec;
                status.commands = commands;
                status.provisioned = provisioned;
                status.kubeconfig = kubeconfig;
                status.next_group = next;
                (status.credential, status.rotation) = rotation;
                status.deletion = deletion.map(|(force, deadline, failed)| Deletion {
                    force,
                    started: 0,
                    deadline,
                    failed,
                });
                status.retry = retry.map(|(count, not_before)| Retry { count, not_before });
                status
            },
        )
        .boxed()
}

fn vm() -> BoxedStrategy<Vm> {
    let kinds = vec![
        VmKind::Seed,
        VmKind::Router,
        VmKind::ControlPlane,
        VmKind::Node,
        VmKind::Other,
    ];
    let command = (
        prop::option::of((0..3_u64, prop_oneof![Just(24), id()])),
        0..3_u8,
        any::<bool>(),
    );
    (
        100..110_u32,
        prop_oneof![
            Just("oneks-24-seed"),
            Just("oneks-24-a-x1"),
            Just("oneks-24-x1"),
            Just("oneks-24"),
            Just("é")
        ],
        (
            prop::sample::select(kinds),
            prop::option::of(prop_oneof![24000..24004_u32, id()]),
        ),
        condition(),
        any::<bool>(),
        (prop::option::of(id()), time()),
        prop::option::of(command),
        prop::option::of(prop_oneof![Just("READY"), Just("FAILED"), Just("x")]),
    )
        .prop_map(
            |(id, name, (kind, group), condition, steady, (vrouter, created), command, report)| Vm {
                id,
                uid: 3,
                name: name.to_owned(),
                tag: Some(Tag {
                    cluster: 24,
                    group,
                    kind,
                }),
                condition,
                steady,
                state: "ANY".to_owned(),
                created,
                ip: None,
                vrouter,
                error: None,
                reports: report
                    .map(|r| ("ONEKS_STATE".to_owned(), r.to_owned()))
                    .into_iter()
                    .collect(),
                command: command.map(|(token, progress, output)| GuestCommand {
                    token: token.map(|(serial, group)| CommandToken {
                        cluster: 24,
                        purpose: format!("apply-{group}-aa"),
                        serial: if serial == 2 { u64::MAX } else { serial },
                    }),
                    progress: [Progress::Executing, Progress::Done, Progress::Failed][usize::from(progress)],
                    output: output.then(|| Output {
                        return_code: 0,
                        stdout: "{}".to_owned(),
                        stderr: String::new(),
                    }),
                }),
            },
        )
        .boxed()
}

/// Printable: what a driver answered may be secret, so the real one is not.
struct Seen(Observed);

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {:?}", self.0.vms, self.0.routers, self.0.templates)
    }
}

fn observed() -> BoxedStrategy<Seen> {
    let router =
        (id(), prop_oneof![Just("oneks-24-cp"), Just("x")], any::<bool>()).prop_map(|(id, name, full)| {
            Router {
                id,
                uid: 3,
                name: name.to_owned(),
                vms: if full { vec![104] } else { Vec::new() },
                addresses: BTreeMap::from([(0, "192.0.2.1".to_owned())]),
            }
        });
    let template = (id(), prop::option::of(24000..24005_u32)).prop_map(|(id, group)| Template {
        id,
        uid: 3,
        name: "oneks-24-a".to_owned(),
        tag: Some(Tag {
            cluster: 24,
            group,
            kind: VmKind::Node,
        }),
        fingerprint: None,
    });
    let reservation = id().prop_map(|id| Reservation {
        id,
        uid: 3,
        name: "oneks-24-vr".to_owned(),
        held: vec!["192.0.2.9".to_owned()],
    });
    (
        prop::collection::vec(vm(), 0..6),
        any::<bool>(),
        prop::option::of(prop::collection::vec(router, 0..2)),
        prop::option::of(prop::collection::vec(template, 0..2)),
        prop::option::of(prop::collection::vec(reservation, 0..2)),
        prop::option::of((
            prop::collection::btree_map(0..4_u32, prop::option::of(time()), 0..3),
            prop::collection::vec(prop::option::of(time()), 0..12),
        )),
    )
        .prop_map(|(vms, all_vms, routers, templates, reservations, credentials)| {
            Seen(Observed {
                vms: vms
                    .into_iter()
                    .map(|vm| (vm.id, vm))
                    .collect::<BTreeMap<_, _>>()
                    .into_values()
                    .collect(),
                all_vms,
                looked_for: (100..105).collect(),
                routers,
                templates,
                reservations,
                credentials: credentials.map(|(own, others)| Credentials { own, others }),
                ..Observed::default()
            })
        })
        .boxed()
}

fn satisfy(observed: &mut Observed, need: &Need, kind: Kind, routers: &[Router], credentials: &Credentials) {
    match need {
        Need::AllVms => assert!(!std::mem::replace(&mut observed.all_vms, true)),
        Need::Routers => assert!(observed.routers.replace(routers.to_vec()).is_none()),
        Need::Templates => assert!(observed.templates.replace(Vec::new()).is_none()),
        Need::Reservations => assert!(observed.reservations.replace(Vec::new()).is_none()),
        Need::Credentials => assert!(observed.credentials.replace(credentials.clone()).is_none()),
        Need::Cloud => assert!(observed.cloud.replace(World::cloud()).is_none()),
        Need::Catalog => assert!(observed.catalog.replace(catalog()).is_none()),
        Need::Driver { action, .. } => {
            assert!(observed.answer(action).is_none());
            let too_many = |g: &oneks_driver::Group| g.replicas > 1000;
            let refuse = match &**action {
                oneks_driver::Action::Provision { group, .. }
                | oneks_driver::Action::Scale { group, .. }
                | oneks_driver::Action::Upgrade { group, .. }
                | oneks_driver::Action::Observe { group, .. } => too_many(group),
                _ => false,
            };
            let answer = if refuse {
                Err(oneks_driver::DriverError::fatal("TooMany", "too many"))
            } else {
                driver::ask(kind, action)
            };
            observed.answers.push(((**action).clone(), answer));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_made_for_anything_and_comes_to_an_end(
        spec in spec_text(),
        recover in prop::option::of("[a-z]{0,2}"),
        delete in prop_oneof![4 => Just(None), 1 => Just(Some("YES")), 1 => Just(Some("FORCE")), 1 => Just(Some("?"))],
        document in prop_oneof![9 => Just(24), 1 => id()],
        start in status(),
        seen in observed(),
        now in time(),
        rotate in prop::option::of("[a-z]{0,2}"),
        lifetime in prop::option::of(time()),
        fail in 0..5_u32,
    ) {
        let mut observed = seen.0;
        let owner = Owner { uid: 3, name: "o".to_owned() };
        let desired = Desired {
            document,
            name: "n",
            owner,
            spec: spec.as_deref(),
            recover: recover.as_deref(),
            rotate: rotate.as_deref(),
            delete,
        };
        // A status that can't be is rebuilt; but whoever hands one over gets a plan all the same.
        let _ = plan(&desired, &start, &observed, now);
        let start = match Status::parse(Some(&start.to_json()), document) {
            Ok(status) => status,
            Err(_) => Status::new(document),
        };
        let kind = if start.placed.as_ref().is_some_and(|p| p.capabilities.guest) { Kind::Guest } else { Kind::Plain };
        let (mut status, mut ended, mut made) = (start, false, 1000);
        let mut trail = Vec::new();
        let mut credentials = observed.credentials.clone().unwrap_or_default();
        let mut routers = observed.routers.clone().unwrap_or_default();
        for _ in 0..120 {
            let next = plan(&desired, &status, &observed, now);
            if !next.needs.is_empty() {
                prop_assert!(next.actions.is_empty());
                prop_assert!(next.status == status);
                next.needs.iter().for_each(|need| satisfy(&mut observed, need, kind, &routers, &credentials));
                continue;
            }
            status = next.status;
            prop_assert_eq!(Status::parse(Some(&status.to_json()), status.document), Ok(status.clone()));
            if next.actions.is_empty() {
                let again = plan(&desired, &status, &observed, now);
                prop_assert!(again.needs.is_empty() && again.actions.is_empty());
                prop_assert!(again.status.same_as(&status), "{}\n{}", status.to_json(), again.status.to_json());
                ended = true;
                break;
            }
            for action in &next.actions {
                trail.push(action.summary());
                if let Action::AllocateVm { vm } = action {
                    let whole = vm.attachments.values().all(|a| a.contains(secret::ONE_AUTH_BASE64));
                    prop_assert!(whole, "a mark was expanded");
                }
                made += 1;
                let outcome = if made % 5 < fail {
                    Outcome::Failed(Failure { kind: FailureKind::Quota, message: "no".to_owned() })
                } else {
                    match action {
                        Action::CreateTemplate { .. } | Action::AllocateVm { .. } | Action::AllocateRouter { .. } => {
                            Outcome::Created(made)
                        }
                        _ => Outcome::Done,
                    }
                };
                if *action == Action::DeleteDocument && outcome == Outcome::Done {
                    return Ok(());
                }
                let done = !matches!(outcome, Outcome::Failed(_));
                absorb(&mut observed, action, outcome, 3, now);
                match action {
                    Action::CreateCredential { serial } if done => drop(credentials.own.insert(*serial, lifetime)),
                    Action::RevokeCredential { serial } if done => drop(credentials.own.remove(serial)),
                    Action::AllocateRouter { name, .. } => routers.push(Router {
                        id: made, uid: 3, name: name.clone(), vms: Vec::new(), addresses: BTreeMap::new(),
                    }),
                    Action::InstantiateRouter { id, .. } => {
                        routers.iter_mut().filter(|r| r.id == *id).for_each(|r| r.vms.push(made));
                    }
                    Action::DeleteRouter { id, .. } => routers.retain(|r| r.id != *id),
                    _ => {}
                }
            }
        }
        prop_assert!(ended, "the plan goes round in circles: {:?}", &trail[trail.len().saturating_sub(9)..]);
    }
}
