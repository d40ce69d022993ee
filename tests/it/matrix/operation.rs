//! What users order, each from the state of a cluster in which it is ordered, up to where it is done.

use std::fmt;

use oneks_sandbox::capi::{Fault, FaultKind, SeedPhase};
use oneks_sandbox::{ALICE_PASSWORD, MALLORY_PASSWORD, VmFaults};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::{capone_life, plain_life};

/// Session of the clusters' owner.
pub fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// How a cluster is realised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Capone,
    Dummy,
}

impl Driver {
    pub const ALL: [Self; 2] = [Self::Dummy, Self::Capone];

    /// A cloud for it.
    pub fn cloud(self) -> Stage {
        match self {
            Self::Capone => Stage::with_guests(),
            Self::Dummy => Stage::plain(),
        }
    }

    /// A cluster with one control-plane node and these groups.
    pub fn spec(self, version: &str, groups: &[(&str, u32)]) -> Value {
        let mut spec = match self {
            Self::Capone => capone_life::spec("standalone", groups),
            Self::Dummy => plain_life::spec(0),
        };
        spec["kubernetes_version"] = json!(version);
        let group = |(name, count): &(&str, u32)| json!({"name": name, "flavour": "small", "user_inputs_values": {"count": count}});
        spec["node_groups"] = groups.iter().map(group).collect();
        spec
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capone => "capone",
            Self::Dummy => "dummy",
        })
    }
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    AddGroup,
    RemoveGroup,
    ScaleUp,
    ScaleDown,
    Upgrade,
    /// RECOVER of a cluster whose first control plane could not be built.
    Recover,
    /// The cluster's credential is replaced.
    Rotate,
    Delete,
    /// By force.
    DeleteForce,
    /// The user deletes the document itself.
    DeleteDocument,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::AddGroup => "add-group",
            Self::RemoveGroup => "remove-group",
            Self::ScaleUp => "scale-up",
            Self::ScaleDown => "scale-down",
            Self::Upgrade => "upgrade",
            Self::Recover => "recover",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
            Self::DeleteForce => "delete-force",
            Self::DeleteDocument => "delete-document",
        })
    }
}

/// The version that clusters begin with.
pub const OLD: &str = "v1.33.7";
/// The version that they are upgraded to.
pub const NEW: &str = "v1.34.2";

/// What the cluster is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub version: &'static str,
    pub groups: &'static [(&'static str, u32)],
    /// Was its credential replaced by order?
    pub rotated: bool,
}

impl Operation {
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::AddGroup,
        Self::RemoveGroup,
        Self::ScaleUp,
        Self::ScaleDown,
        Self::Upgrade,
        Self::Recover,
        Self::Rotate,
        Self::Delete,
        Self::DeleteForce,
        Self::DeleteDocument,
    ];

    /// What the cluster is before; `None` if there is none, or none that was ever complete.
    pub fn before(self) -> Option<Wanted> {
        let groups: &'static [(&'static str, u32)] = match self {
            Self::Create | Self::Recover => return None,
            Self::RemoveGroup => &[("workers", 1), ("more", 1)],
            Self::ScaleDown => &[("workers", 2)],
            _ => &[("workers", 1)],
        };
        Some(Wanted {
            version: OLD,
            groups,
            rotated: false,
        })
    }

    /// What the cluster is to be in the end; `None` if it is to be gone.
    pub fn wanted(self) -> Option<Wanted> {
        let (version, groups): (_, &'static [(&'static str, u32)]) = match self {
            Self::AddGroup => (OLD, &[("workers", 1), ("more", 1)]),
            Self::ScaleUp => (OLD, &[("workers", 2)]),
            Self::Upgrade => (NEW, &[("workers", 1)]),
            Self::Create | Self::RemoveGroup | Self::ScaleDown | Self::Recover | Self::Rotate => {
                (OLD, &[("workers", 1)])
            }
            Self::Delete | Self::DeleteForce | Self::DeleteDocument => return None,
        };
        Some(Wanted {
            version,
            groups,
            rotated: self == Self::Rotate,
        })
    }

    /// How long it may take, virtual seconds: twice what the hooks allow for it, and time for every back-off.
    pub fn limit(self) -> u64 {
        if self.wanted().is_some() {
            4 * 3600
        } else {
            2 * 3600
        }
    }

    /// The cloud with the cluster in the state in which this is ordered. The cluster's id is 0 there, unless it is yet
    /// to be made; it will be then.
    pub fn prepare(self, driver: Driver, base: &Stage) -> Stage {
        let stage = base.fork();
        if self == Self::Recover {
            match &stage.guests {
                Some(guests) => guests.break_it(Fault {
                    on: "oneks-0-seed".to_owned(),
                    kind: FaultKind::SeedFails {
                        phase: SeedPhase::ControlPlane,
                        cause: None,
                    },
                    times: Some(1),
                }),
                None => stage
                    .sandbox
                    .faults(|f| f.boot = VmFaults::named("oneks-0-seed", Some(1))),
            }
            let spec = driver.spec(OLD, &[("workers", 1)]);
            assert_eq!(stage.create(&alice(), "demo", &spec), ID);
            assert!(
                stage.until(3 * 3600, |s| s.state(ID) == "PROVISIONING_FAILURE"),
                "{}",
                stage.report()
            );
        }
        if let Some(before) = self.before() {
            let spec = driver.spec(before.version, before.groups);
            assert_eq!(stage.create(&alice(), "demo", &spec), ID);
            assert!(
                stage.until(3600, |s| s.state(ID) == "RUNNING"),
                "{}",
                stage.report()
            );
        }
        stage.pass_time(30);
        stage.begin_anew();
        stage
    }

    /// The order.
    pub fn order(self, driver: Driver, stage: &Stage) {
        let set = |attribute: &str, value: &str| stage.set(&alice(), ID, attribute, value);
        match self {
            Self::Create => {
                let wanted = self.wanted().unwrap();
                let spec = driver.spec(wanted.version, wanted.groups);
                assert_eq!(stage.create(&alice(), "demo", &spec), ID);
            }
            Self::Recover => set("RECOVER", "1"),
            Self::Rotate => set("ROTATE", "1"),
            Self::Delete => set("DELETE", "YES"),
            Self::DeleteForce => set("DELETE", "FORCE"),
            Self::DeleteDocument => drop(stage.ask(&alice(), "one.document.delete", &[ID.into()])),
            _ => {
                let wanted = self.wanted().unwrap();
                set("SPEC", &driver.spec(wanted.version, wanted.groups).to_string());
            }
        }
    }
}

/// Id of the cluster that operations are about: the first document of the cloud.
pub const ID: u32 = 0;

/// Objects that look like the cluster's and are none: another owner's, or without the tag.
pub fn furnish(stage: &Stage) {
    let mallory = format!("mallory:{MALLORY_PASSWORD}");
    let tag = |group: u32, kind: &str| {
        format!("ONEKS=[CLUSTER_ID=\"0\",GROUP_ID=\"{group}\",TYPE=\"{kind}\",CLUSTER_NAME=\"demo\"]")
    };
    let small = "CPU=\"0.1\"\nMEMORY=\"64\"\n";
    for (session, name, more) in [
        (&mallory, "oneks-0-workers-0", tag(1, "NODE")),
        (&mallory, "oneks-0-control-plane-0", tag(0, "CONTROL_PLANE")),
        (&mallory, "oneks-0-seed", tag(0, "SEED")),
        (&alice(), "oneks-0-workers-7", String::new()),
        (&alice(), "workers-0", tag(1, "NODE")),
        (&alice(), "oneks-01", tag(0, "NODE")),
    ] {
        let text = format!("NAME=\"{name}\"\n{small}{more}");
        stage.ask(session, "one.vm.allocate", &[text.into(), false.into()]);
    }
    for (session, name, more) in [
        (&mallory, "oneks-0", tag(0, "CONTROL_PLANE")),
        (&mallory, "oneks-0-workers", tag(1, "NODE")),
        (&mallory, "oneks-0-cp", tag(0, "ROUTER")),
        (&alice(), "oneks-00-workers", tag(1, "NODE")),
        (&alice(), "oneks-0-mine", String::new()),
    ] {
        let text = format!("NAME=\"{name}\"\n{small}{more}");
        stage.ask(session, "one.template.allocate", &[text.into()]);
    }
    let text = "NAME=\"oneks-0-cp\"\nNIC=[NETWORK_ID=\"0\"]";
    stage.ask(&mallory, "one.vrouter.allocate", &[text.into()]);
    stage.sandbox.advance(60);
    stage.sandbox.take_events();
}
