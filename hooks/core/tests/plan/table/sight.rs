//! What is seen, and what becomes of a cluster after it.

use std::fmt::Write;

use oneks_core::observed::{FailureKind, Kind as VmKind};
use oneks_core::state::{ClusterState as S, GroupState as G};

use super::scene::{NEW, OLD, SIZES, Subject, scene};
use crate::driver::Kind;
use crate::pass::spec;
use crate::world::{CommandMood, Fault, SeedMood, World};

macro_rules! sights {
    ($($name:ident = $words:literal,)*) => {
        /// What is seen before the pass.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sight { $($name),* }

        impl Sight {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words),* }
            }
        }
    };
}

sights! {
    Nothing = "nothing new",
    Ready = "ten minutes in which all goes well",
    NodeDown = "a node's VM is powered off",
    NodeFailed = "a node's VM is in a `*_FAILURE` state",
    NodeGone = "a node's VM is gone",
    NodeNotReady = "Kubernetes says that a node is not ready",
    NodeForgotten = "a node is too many, and Kubernetes knows nothing of it, for a quarter of an hour",
    NodeForgottenLong = "a node is too many, and Kubernetes knows nothing of it, for half an hour",
    SeedFails = "the seed reports that it failed",
    SeedSilent = "the seed reports nothing within its time",
    SeedGone = "the seed VM is gone",
    RouterGone = "the virtual router is gone",
    RouterVmGone = "the virtual router's VM is gone",
    RouterVmDown = "the virtual router's VM is powered off",
    CommandFails = "guest commands end with an error, for a quarter of an hour",
    CommandHangs = "a guest command does not end, for a quarter of an hour",
    CallFails = "OpenNebula refuses to make anything (quota)",
    Deadline = "the time for it is over",
    OtherSize = "SPEC: another number of nodes",
    OtherVersion = "SPEC: the next minor version",
    Removed = "SPEC: the group is removed",
    Unacceptable = "SPEC: something that is refused",
    Paused = "SPEC: `paused`",
    Corrected = "SPEC: corrected",
    Recover = "`RECOVER` is set",
    Rotate = "`ROTATE` is set",
    Delete = "`DELETE=YES`",
    Force = "`DELETE=FORCE`",
    Protected = "`DELETE=YES`, and SPEC has `deletion_protection`",
    Unclear = "`DELETE` with another word",
    OtherOwner = "the document has another owner",
    NoStatus = "STATUS is erased",
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `None` if there is no such group any more.
    pub group: Option<G>,
    /// Why the group is as it is.
    reason: Option<String>,
    pub cluster: S,
    /// What conditions say of it that are not about the group.
    pub conditions: Vec<String>,
    /// In the pass that saw it. Nothing for what takes longer.
    pub actions: Vec<String>,
    longer: bool,
}

impl Outcome {
    pub fn group_words(&self) -> String {
        let state = self.group.map_or_else(|| "gone".to_owned(), |g| g.to_string());
        let reason = self.reason.as_ref().filter(|r| *r != "Why");
        reason.map_or_else(|| state.clone(), |reason| format!("{state} (`{reason}`)"))
    }

    pub fn action_words(&self) -> String {
        let said = self.conditions.iter().map(|c| format!("condition `{c}`"));
        let mut words = said.chain(self.actions.iter().cloned()).collect::<Vec<_>>();
        if words.is_empty() {
            words.push(if self.longer { "…" } else { "nothing" }.to_owned());
        }
        words.join("; ")
    }
}

impl Sight {
    /// Is it somebody's will?
    pub const fn is_an_order(self) -> bool {
        matches!(
            self,
            Self::OtherSize
                | Self::OtherVersion
                | Self::Removed
                | Self::Unacceptable
                | Self::Paused
                | Self::Corrected
                | Self::Recover
                | Self::Rotate
                | Self::Delete
                | Self::Force
                | Self::Protected
                | Self::Unclear
                | Self::OtherOwner
                | Self::NoStatus
        )
    }

    /// Does it come to the same in every state? The document says so once, and the rules see to it.
    pub const fn is_the_same_everywhere(self) -> bool {
        matches!(
            self,
            Self::Force | Self::Protected | Self::Unclear | Self::OtherOwner | Self::CallFails
        )
    }

    /// For how long it is watched, seconds; nothing is one pass.
    pub const fn lasts(self) -> u64 {
        match self {
            Self::Ready => 600,
            Self::NodeNotReady => 300,
            Self::CommandFails | Self::CommandHangs | Self::NodeForgotten => 900,
            Self::NodeForgottenLong => 1800,
            _ => 0,
        }
    }

    /// Can it be seen in that state, with such a driver?
    fn is_possible(self, kind: Kind, subject: Subject, state: G) -> bool {
        let guest = kind != Kind::Plain;
        let rests = matches!(state, G::Running | G::Warning);
        let has_nodes = match subject {
            Subject::Cluster => false,
            Subject::ControlPlane => !matches!(
                state,
                G::Pending | G::Bootstrapping | G::BootstrappingFailure | G::Provisioning
            ),
            Subject::NodeGroup => state != G::Pending,
        };
        let has_router = subject == Subject::ControlPlane && has_nodes;
        let goes = subject == Subject::Cluster && state != G::Pending;
        match self {
            Self::Nothing | Self::Recover | Self::Force => true,
            // Before there is anything, the new owner is the owner.
            Self::OtherOwner => subject != Subject::Cluster || goes,
            Self::Ready => {
                let goes_on = state.is_working() || matches!(state, G::Warning | G::Pending);
                goes || subject != Subject::Cluster && goes_on
            }
            Self::NodeDown | Self::NodeFailed | Self::NodeGone => has_nodes,
            Self::NodeNotReady => guest && has_nodes && rests,
            Self::NodeForgotten | Self::NodeForgottenLong => has_nodes && rests,
            Self::SeedFails | Self::SeedSilent => {
                guest && subject == Subject::ControlPlane && state == G::Bootstrapping
            }
            Self::SeedGone => subject == Subject::ControlPlane && state == G::Bootstrapping,
            Self::RouterGone | Self::RouterVmGone | Self::RouterVmDown => has_router,
            Self::CommandFails | Self::CommandHangs => guest && has_nodes && (state.is_working() || rests),
            Self::CallFails => subject != Subject::Cluster,
            Self::Deadline => state.is_working(),
            Self::OtherSize | Self::OtherVersion | Self::Unacceptable | Self::Paused => {
                subject != Subject::Cluster && !matches!(state, G::Deprovisioning | G::DeprovisioningFailure)
            }
            Self::Removed => {
                subject == Subject::NodeGroup
                    && !matches!(state, G::Deprovisioning | G::DeprovisioningFailure)
            }
            Self::Corrected => subject == Subject::Cluster && state == G::Pending,
            Self::Rotate => rests || goes,
            Self::Delete | Self::Protected | Self::Unclear => !goes,
            Self::NoStatus => has_nodes && rests || goes,
        }
    }

    fn happen(self, world: &mut World, subject: Subject) {
        let (nodes, size) = (world.alive(subject.vms()), SIZES);
        let edited = |version: &str, control_plane: u32, a: u32| spec(version, control_plane, &[("a", a)]);
        let routers = |w: &World| w.alive(VmKind::Router);
        match self {
            Self::Nothing | Self::Ready => {}
            Self::NodeDown => world.stop(nodes[0]),
            Self::NodeFailed => world.fail(nodes[0]),
            Self::NodeGone => world.end(nodes[0]),
            Self::NodeNotReady => {
                world.probe_every = 60;
                world.sick.insert(nodes[0]);
            }
            Self::NodeForgotten | Self::NodeForgottenLong => {
                // Whatever is left behind is older than what took its place.
                world.leave_behind(nodes[0]);
            }
            Self::SeedFails => {
                world.seed = SeedMood::Fails;
                world.tick(25);
            }
            Self::SeedSilent => {
                world.seed = SeedMood::Silent;
                world.tick(25);
                let seed = world.alive(VmKind::Seed)[0];
                world.machines.get_mut(&seed).unwrap().vm.reports.clear();
                let mut status = world.status();
                status.control_plane.seed.as_mut().unwrap().report = None;
                world.doc().status = Some(status.to_json());
                world.pass(None);
                world.now += 700;
            }
            Self::SeedGone => {
                let seed = world.alive(VmKind::Seed)[0];
                world.end(seed);
            }
            Self::RouterGone => {
                for vm in routers(world) {
                    world.end(vm);
                }
                world.routers.clear();
            }
            Self::RouterVmGone => {
                for vm in routers(world) {
                    world.end(vm);
                }
            }
            Self::RouterVmDown => {
                let vm = routers(world)[0];
                world.stop(vm);
            }
            Self::CommandFails | Self::CommandHangs => {
                world.probe_every = 60;
                world.commands = if self == Self::CommandFails {
                    CommandMood::Fails
                } else {
                    CommandMood::Hangs
                };
            }
            Self::CallFails => {
                world.faults = ["create", "allocate", "instantiate"]
                    .map(|what| Fault {
                        what,
                        kind: FailureKind::Quota,
                        left: usize::MAX,
                    })
                    .into();
            }
            Self::Deadline => {
                let mut status = world.status();
                let now = world.now;
                if let Some(deletion) = &mut status.deletion {
                    deletion.deadline = now - 1;
                }
                let groups = std::iter::once(&mut status.control_plane).chain(&mut status.node_groups);
                for work in groups.filter_map(|g| g.work.as_mut()) {
                    work.deadline = now - 1;
                }
                world.doc().status = Some(status.to_json());
            }
            Self::OtherSize if subject == Subject::ControlPlane => world.doc().spec = edited(OLD, 5, size.1),
            Self::OtherSize => world.doc().spec = edited(OLD, size.0, 4),
            Self::OtherVersion => world.doc().spec = edited(NEW, size.0, size.1),
            Self::Removed => world.doc().spec = spec(OLD, size.0, &[]),
            Self::Unacceptable => world.doc().spec = edited(OLD, 2, 1000),
            Self::Paused => world.doc().spec = world.doc().spec.replacen('{', "{\"paused\":true,", 1),
            Self::Corrected => world.doc().spec = edited(OLD, size.0, size.1),
            Self::Recover => world.doc().recover = Some("now".to_owned()),
            Self::Rotate => world.doc().rotate = Some("now".to_owned()),
            Self::Delete => world.doc().delete = Some("YES".to_owned()),
            Self::Force => world.doc().delete = Some("FORCE".to_owned()),
            Self::Protected => {
                world.doc().spec = world
                    .doc()
                    .spec
                    .replacen('{', "{\"deletion_protection\":true,", 1);
                world.doc().delete = Some("YES".to_owned());
            }
            Self::Unclear => world.doc().delete = Some("PERHAPS".to_owned()),
            Self::OtherOwner => {
                world.pass(None);
                world.doc().owner = 77;
            }
            Self::NoStatus => world.doc().status = None,
        }
    }

    /// What becomes of it, or nothing if it can't be.
    pub fn outcome(self, kind: Kind, subject: Subject, state: G) -> Option<Outcome> {
        if !self.is_possible(kind, subject, state) {
            return None;
        }
        let mut world = scene(kind, subject, state);
        self.happen(&mut world, subject);
        let before = world.log.len();
        let names = names(&world);
        if self.lasts() == 0 {
            world.pass(None);
        } else {
            world.run_for(self.lasts());
        }
        let status = world.status();
        let group = subject.group(&status);
        let conditions = [
            "OwnerChanged",
            "Accepted",
            "DeletionProtected",
            "Paused",
            "Retrying",
        ];
        let conditions = conditions.into_iter().filter_map(|name| {
            let condition = status.condition(name)?;
            let good = name == "Accepted" && condition.status == oneks_core::status::Truth::True;
            (!good).then(|| condition.reason.clone())
        });
        let conditions = conditions.collect();
        let actions = if self.lasts() == 0 {
            world.log[before..].to_vec()
        } else {
            Vec::new()
        };
        Some(Outcome {
            group: group.map(|g| g.state),
            reason: group.and_then(|g| g.error.as_ref()).map(|e| e.reason.clone()),
            cluster: world.state(),
            conditions,
            actions: phrases(&actions, &names),
            longer: self.lasts() > 0,
        })
    }
}

/// Names of VMs by id.
type Names = std::collections::BTreeMap<u32, String>;

fn names(world: &World) -> Names {
    world
        .machines
        .iter()
        .map(|(id, m)| {
            let kind = m.vm.tag.as_ref().map_or("VM", |t| match t.kind {
                VmKind::ControlPlane => "control-plane VM",
                VmKind::Node => "node VM",
                VmKind::Seed => "seed VM",
                VmKind::Router => "router VM",
                VmKind::Other => "VM",
            });
            (*id, kind.to_owned())
        })
        .collect()
}

/// Actions in words without ids: `terminate 3 × control-plane VM`.
fn phrases(log: &[String], names: &Names) -> Vec<String> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for line in log {
        let phrase = phrase(line, names);
        match all.iter_mut().find(|(p, _)| *p == phrase) {
            Some((_, count)) => *count += 1,
            None => all.push((phrase, 1)),
        }
    }
    let words = all.into_iter().map(|(phrase, count)| match count {
        1 => phrase,
        n => format!("{phrase} (×{n})"),
    });
    words.collect()
}

/// `terminate VM 105 (oneks-24-x7)` as `terminate a node VM`, `run /bin/sh -s oneks:24:apply-24001:1 in VM 103` as ``run `apply` ``.
fn phrase(line: &str, names: &Names) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let vm = |id: &str| {
        id.parse()
            .ok()
            .and_then(|id| names.get(&id))
            .map_or("VM", String::as_str)
    };
    match words.as_slice() {
        ["run", .., "in", "VM", _] => {
            let purpose = words
                .iter()
                .find_map(|w| w.strip_prefix("oneks:")?.split(':').nth(1));
            let what = purpose.map_or("?", |p| p.split('-').next().unwrap_or(p));
            format!("run `{what}`")
        }
        ["cancel", .., "VM", id] => format!("cancel the command in a {}", vm(id)),
        [verb @ ("terminate" | "delete" | "resume"), "VM", id, ..] if id.parse::<u32>().is_ok() => {
            format!("{verb} a {}", vm(id))
        }
        ["allocate", "VM", name] => {
            let kind = if name.ends_with("-seed") {
                "the seed VM"
            } else {
                "a VM"
            };
            format!("make {kind}")
        }
        [verb, "VM", "template", ..] => format!("{verb} a VM template"),
        ["allocate", "virtual", "router", ..] => "make the virtual router".to_owned(),
        ["instantiate", ..] => "make the virtual router's VMs".to_owned(),
        ["delete", "virtual", "router", ..] => "delete the virtual router".to_owned(),
        [verb, "credential", _] => format!("{verb} a credential"),
        _ => line.to_owned(),
    }
}

/// The steps of a deletion, in their order.
pub fn deletion(kind: Kind) -> String {
    let mut world = scene(kind, Subject::NodeGroup, G::Running);
    world.doc().delete = Some("YES".to_owned());
    let mut text = String::new();
    let mut number = 0;
    while world.doc.is_some() {
        let (before, names) = (world.log.len(), names(&world));
        world.pass(None);
        let done = phrases(&world.log[before..], &names);
        if !done.is_empty() {
            number += 1;
            let _ = writeln!(text, "{number}. {}", done.join("; "));
        }
        world.tick(10);
    }
    assert!(world.is_empty());
    text
}
