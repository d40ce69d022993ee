//! Clusters in each of the states that the tables begin with.

use std::collections::BTreeMap;
use std::sync::Mutex;

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::{ClusterState as S, GroupState as G};
use oneks_core::status::{Deletion, Group, LastError, Status, Work};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{SeedMood, World};

/// Nodes of the control plane, and of the node group `a`.
pub const SIZES: (u32, u32) = (3, 2);
pub const OLD: &str = "v1.33.7";
pub const NEW: &str = "v1.34.2";

/// Whose state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Cluster,
    ControlPlane,
    NodeGroup,
}

impl Subject {
    pub fn title(self, state: G) -> String {
        match (self, state) {
            (Self::Cluster, G::Pending) => "Cluster PENDING, its SPEC refused".to_owned(),
            (Self::Cluster, _) => format!("Cluster {state}"),
            (Self::ControlPlane, G::Pending) => "Control plane PENDING, the document is new".to_owned(),
            (Self::ControlPlane, _) => format!("Control plane {state}"),
            (Self::NodeGroup, G::Pending) => {
                "Node group PENDING, the control plane is being built".to_owned()
            }
            (Self::NodeGroup, _) => format!("Node group {state}"),
        }
    }

    /// The group in a status.
    pub fn group(self, status: &Status) -> Option<&Group> {
        match self {
            Self::Cluster => None,
            Self::ControlPlane => Some(&status.control_plane),
            Self::NodeGroup => status.node_groups.iter().find(|g| g.key == "a"),
        }
    }

    fn group_mut(self, status: &mut Status) -> &mut Group {
        match self {
            Self::NodeGroup => &mut status.node_groups[0],
            _ => &mut status.control_plane,
        }
    }

    pub const fn vms(self) -> VmKind {
        match self {
            Self::NodeGroup => VmKind::Node,
            _ => VmKind::ControlPlane,
        }
    }
}

/// Every state that each of them can have while its document is there. What a control plane has of an end is the
/// cluster's.
pub fn scenes() -> Vec<(Subject, G)> {
    let mut all = vec![
        (Subject::Cluster, G::Pending),
        (Subject::Cluster, G::Deprovisioning),
        (Subject::Cluster, G::DeprovisioningFailure),
    ];
    for &state in G::ALL {
        let ending = matches!(state, G::Deprovisioning | G::DeprovisioningFailure | G::Done);
        if !ending {
            all.push((Subject::ControlPlane, state));
        }
    }
    for &state in G::ALL {
        if !matches!(state, G::Bootstrapping | G::BootstrappingFailure | G::Done) {
            all.push((Subject::NodeGroup, state));
        }
    }
    all
}

fn text() -> String {
    spec(OLD, SIZES.0, &[("a", SIZES.1)])
}

/// A cluster in that state. Those that nothing but time leads to are lived through, the others are written.
pub fn scene(kind: Kind, subject: Subject, state: G) -> World {
    static READY: Mutex<BTreeMap<(u8, Subject, G), World>> = Mutex::new(BTreeMap::new());
    let key = (kind as u8, subject, state);
    if let Some(world) = READY.lock().unwrap().get(&key) {
        return world.clone();
    }
    let world = make(kind, subject, state);
    READY.lock().unwrap().insert(key, world.clone());
    world
}

fn make(kind: Kind, subject: Subject, state: G) -> World {
    let mut world = World::new(kind, &text());
    let control_plane = |w: &World| w.status().control_plane.state;
    match (subject, state) {
        (Subject::Cluster, G::Pending) => {
            world.doc().spec = spec("v9.9.9", 1, &[]);
            world.pass(None);
            world
        }
        (Subject::ControlPlane, G::Pending) => world,
        (Subject::NodeGroup, G::Pending) | (Subject::ControlPlane, G::Bootstrapping) => {
            world.seed = SeedMood::Hangs;
            while world.alive(VmKind::Seed).is_empty() {
                world.pass(None);
                world.tick(5);
            }
            world.pass(None);
            assert_eq!(control_plane(&world), G::Bootstrapping);
            world
        }
        (Subject::ControlPlane, G::BootstrappingFailure) => {
            world.seed = if kind == Kind::Plain {
                world.stuck = Some(("seed", oneks_driver::VmCondition::Starting, "PENDING", "no host"));
                SeedMood::Works
            } else {
                SeedMood::Fails
            };
            world.until(S::ProvisioningFailure);
            assert_eq!(control_plane(&world), state);
            (world.seed, world.stuck) = (SeedMood::Works, None);
            world
        }
        (Subject::ControlPlane, G::Provisioning) => {
            while control_plane(&world) != state {
                world.tick(5);
                world.pass(None);
            }
            world
        }
        _ => write(kind, subject, state),
    }
}

fn write(kind: Kind, subject: Subject, state: G) -> World {
    let mut world = World::new(kind, &text());
    world.until(S::Running).run_for(120);
    let mut status = world.status();
    let now = world.now;
    let why = LastError {
        reason: "Why".to_owned(),
        message: "why".to_owned(),
        object: None,
        since: now - 60,
    };
    if subject == Subject::Cluster {
        world.doc().delete = Some("YES".to_owned());
        world.pass(None);
        status = world.status();
        let failed = state == G::DeprovisioningFailure;
        let deletion: &mut Deletion = status.deletion.as_mut().unwrap();
        deletion.failed = failed;
        world.doc().status = Some(status.to_json());
        return world;
    }
    let group = subject.group_mut(&mut status);
    group.state = state;
    if state.is_working() {
        group.probe = None;
        group.applied = None;
        group.work = Some(Work {
            started: now - 60,
            deadline: now + 600,
            attempts: 0,
            unsure: false,
            before: group.settled.clone(),
            step: "at work".to_owned(),
        });
        if state == G::Upgrading {
            group.version = Some("v1.33.1".to_owned());
        }
    } else if state != G::Running {
        group.error = Some(why);
    }
    if matches!(state, G::Deprovisioning | G::DeprovisioningFailure) {
        group.removed = true;
        world.doc().spec = spec(OLD, SIZES.0, &[]);
    }
    world.doc().status = Some(status.to_json());
    world
}
