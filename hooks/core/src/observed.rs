//! What a pass has looked at. A part that was not looked at is absent; the plan asks for what it needs.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{Action as DriverAction, DriverError, Output, VmCondition};
use serde::Serialize;
use serde_json::Value;

use crate::action::Action;
use crate::names::{CommandToken, Names};
use crate::profile::Catalog;

/// Everything that a plan is made from, besides the document and the time.
#[derive(Clone, Default)]
pub struct Observed {
    /// Virtual machines, as the owner sees them. Whose they are is judged here, not by the observer.
    pub vms: Vec<Vm>,
    /// Are these all of the owner's VMs, or only those that were known by id?
    pub all_vms: bool,
    /// The ids that were asked for, where not all VMs were: one that is not among `vms` is gone.
    pub looked_for: BTreeSet<u32>,
    /// The owner's virtual routers.
    pub routers: Option<Vec<Router>>,
    /// Virtual routers that were given their VMs in this pass. Their ids are not known yet.
    pub instantiated: BTreeSet<u32>,
    /// The owner's VM templates.
    pub templates: Option<Vec<Template>>,
    /// The owner's networks that are named like the cluster's reservations.
    pub reservations: Option<Vec<Reservation>>,
    /// The cluster's credentials.
    pub credentials: Option<Credentials>,
    /// Numbers of the credentials that this pass has made.
    pub made: BTreeSet<u32>,
    /// The chosen place.
    pub cloud: Option<Cloud>,
    /// Profiles.
    pub catalog: Option<Catalog>,
    /// What the driver answered in this pass.
    pub answers: Vec<(DriverAction, Result<Value, DriverError>)>,
    /// Actions of this pass that failed.
    pub failures: Vec<(Action, Failure)>,
    /// What the administrator has set.
    pub settings: Settings,
}

/// What the administrator has set, as far as the plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often a cluster at rest is asked whether its nodes are ready, seconds; 0 for never.
    pub probe_every: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { probe_every: 1800 }
    }
}

/// The cluster's credentials among the owner's login tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// When each of them ends, by number; seconds since the epoch, `None` for never.
    pub own: BTreeMap<u32, Option<u64>>,
    /// When each of the owner's tokens ends that is none of them.
    pub others: Vec<Option<u64>>,
}

impl Credentials {
    /// The number of the newest that is valid, and when it ends.
    pub fn newest(&self, now: u64) -> Option<(u32, Option<u64>)> {
        self.own
            .iter()
            .rev()
            .map(|(s, e)| (*s, *e))
            .find(|(_, e)| is_valid(*e, now))
    }

    /// Numbers of those that are valid.
    pub fn valid(&self, now: u64) -> BTreeSet<u32> {
        let valid = self.own.iter().filter(|(_, ends)| is_valid(**ends, now));
        valid.map(|(serial, _)| *serial).collect()
    }

    /// How many login tokens the owner has that have not ended.
    pub fn tokens(&self, now: u64) -> usize {
        let all = self.own.values().chain(&self.others);
        all.filter(|ends| is_valid(**ends, now)).count()
    }
}

fn is_valid(ends: Option<u64>, now: u64) -> bool {
    ends.is_none_or(|ends| now < ends)
}

/// Something that a plan needs to know before it can decide.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "look", rename_all = "snake_case")]
pub enum Need {
    /// All of the owner's virtual machines.
    AllVms,
    /// The owner's virtual routers.
    Routers,
    /// The owner's VM templates.
    Templates,
    /// The owner's reserved networks.
    Reservations,
    /// Which of the cluster's credentials are valid.
    Credentials,
    /// The place that SPEC chooses.
    Cloud,
    /// The profiles.
    Catalog,
    /// The driver's answer to this.
    Driver {
        /// Name of the driver.
        driver: String,
        /// The question.
        #[serde(skip)]
        action: Box<DriverAction>,
    },
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Vm {
    /// VM id.
    pub id: u32,
    /// User id of its owner.
    pub uid: u32,
    /// Its name.
    pub name: String,
    /// Its tag, if it has a well-formed one.
    pub tag: Option<Tag>,
    /// How it is.
    pub condition: VmCondition,
    /// Exactly ACTIVE/RUNNING: it takes guest commands and actions.
    pub steady: bool,
    /// Its state as OpenNebula names it, such as `ACTIVE/BOOT_FAILURE`.
    pub state: String,
    /// When it was created, seconds since the epoch.
    pub created: u64,
    /// Its first address in the cluster's private network.
    pub ip: Option<String>,
    /// The virtual router that it belongs to.
    pub vrouter: Option<u32>,
    /// What OpenNebula says went wrong with it.
    pub error: Option<String>,
    /// What the guest reported: attributes `ONEKS_…` of its user template.
    pub reports: BTreeMap<String, String>,
    /// The guest command that ran on it last, or runs.
    pub command: Option<GuestCommand>,
}

/// The tag of a virtual machine or template: `ONEKS=[CLUSTER_ID=…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Id of the cluster's document.
    pub cluster: u32,
    /// Id of the group, where there is one.
    pub group: Option<u32>,
    /// What it is.
    pub kind: Kind,
}

/// What an object of a cluster is: `TYPE` in its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `SEED`.
    Seed,
    /// `ROUTER`.
    Router,
    /// `CONTROL_PLANE`.
    ControlPlane,
    /// `NODE`.
    Node,
    /// Anything else.
    Other,
}

impl Kind {
    /// As TYPE says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "SEED",
            Self::Router => "ROUTER",
            Self::ControlPlane => "CONTROL_PLANE",
            Self::Node => "NODE",
            Self::Other => "OTHER",
        }
    }

    /// Reads TYPE.
    pub fn parse(text: &str) -> Self {
        match text {
            "SEED" => Self::Seed,
            "ROUTER" | "CLUSTER_ROUTER" => Self::Router,
            "CONTROL_PLANE" => Self::ControlPlane,
            "NODE" => Self::Node,
            _ => Self::Other,
        }
    }
}

/// A guest command and its result.
#[derive(Clone, PartialEq)]
pub struct GuestCommand {
    /// Its token, if it is one of ours.
    pub token: Option<CommandToken>,
    /// How far it is.
    pub progress: Progress,
    /// What it printed, once it ended.
    pub output: Option<Output>,
}

impl std::fmt::Debug for GuestCommand {
    /// Without the output: it may be a kubeconfig.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestCommand")
            .field("token", &self.token)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// How far a guest command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Progress {
    /// Handed over or running.
    Executing,
    /// It ended; its exit status is in the output.
    Done,
    /// It could not be run, or was cancelled.
    Failed,
}

/// A virtual router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Its id.
    pub id: u32,
    /// User id of its owner.
    pub uid: u32,
    /// Its name.
    pub name: String,
    /// Its virtual machines.
    pub vms: Vec<u32>,
    /// Its floating address in each network, by network id.
    pub addresses: BTreeMap<u32, String>,
}

/// A VM template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its id.
    pub id: u32,
    /// User id of its owner.
    pub uid: u32,
    /// Its name.
    pub name: String,
    /// Its tag.
    pub tag: Option<Tag>,
    /// Fingerprint of the text that it was made from, which it carries.
    pub fingerprint: Option<String>,
}

/// A network that was reserved from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: u32,
    /// User id of its owner.
    pub uid: u32,
    /// Its name.
    pub name: String,
    /// Addresses on hold in it, which must be released first.
    pub held: Vec<String>,
}

/// The chosen place, as the owner and the rules of OpenNebula see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cloud {
    /// The OpenNebula cluster, if there is one of that id.
    pub cluster: Option<CloudCluster>,
    /// Networks that the owner may use.
    pub networks: Vec<CloudNetwork>,
    /// Images that the owner may use.
    pub images: Vec<CloudImage>,
    /// Kinds of objects that the owner may create.
    pub may_create: BTreeSet<String>,
    /// Address of OpenNebula as the cluster's VMs reach it.
    pub xmlrpc: String,
}

/// An OpenNebula cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudCluster {
    /// Ids of its hosts.
    pub hosts: BTreeSet<u32>,
    /// Ids of its datastores.
    pub datastores: BTreeSet<u32>,
    /// Ids of its networks.
    pub networks: BTreeSet<u32>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudNetwork {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudImage {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its datastore.
    pub datastore: u32,
    /// Size in MB.
    pub size: u64,
    /// Can it be used now?
    pub ready: bool,
    /// Its plain attributes, by which its purpose is recognised.
    pub attributes: BTreeMap<String, String>,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What OpenNebula or the network said, without secrets.
    pub message: String,
}

/// The kinds of failures, by what they mean for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The object is in a state that forbids it right now; the next event may bring another.
    WrongState,
    /// The object is not there any more.
    Gone,
    /// The owner may not do it.
    NotAllowed,
    /// It would exceed a quota.
    Quota,
    /// A network has no address left, or not the one that is needed.
    NoAddress,
    /// Names or the like are used up.
    Refused,
    /// OpenNebula could not be reached or did not answer; it may have done it all the same.
    Unreachable,
    /// Anything else.
    Internal,
}

impl FailureKind {
    /// The reason in conditions.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::WrongState => "WrongState",
            Self::Gone => "ObjectGone",
            Self::NotAllowed => "NotAllowed",
            Self::Quota => "QuotaExceeded",
            Self::NoAddress => "NoAddress",
            Self::Refused => "Refused",
            Self::Unreachable => "OpenNebulaUnreachable",
            Self::Internal => "OpenNebulaError",
        }
    }
}

impl Observed {
    /// The cluster's VMs: those whose tag, owner and name agree. A tag alone proves nothing, since whoever owns a VM,
    /// and even its guest, can write it.
    pub fn cluster_vms(&self, cluster: u32, owner: u32) -> Vec<&Vm> {
        let names = Names::new(cluster);
        let mut vms: Vec<&Vm> = self
            .vms
            .iter()
            .filter(|vm| vm.uid == owner && names.owns(&vm.name))
            .filter(|vm| vm.tag.as_ref().is_some_and(|tag| tag.cluster == cluster))
            .collect();
        vms.sort_by_key(|vm| vm.id);
        vms.dedup_by_key(|vm| vm.id);
        vms
    }

    /// The cluster's VM templates among those in view: those whose tag, owner and name agree.
    pub fn cluster_templates(&self, cluster: u32, owner: u32) -> Vec<&Template> {
        let names = Names::new(cluster);
        let templates = self.templates.iter().flatten();
        templates
            .filter(|t| t.uid == owner && names.owns(&t.name))
            .filter(|t| t.tag.as_ref().is_some_and(|tag| tag.cluster == cluster))
            .collect()
    }

    /// The cluster's virtual router of this name.
    pub fn router(&self, name: &str, owner: u32) -> Option<&Router> {
        self.routers
            .as_ref()?
            .iter()
            .find(|r| r.uid == owner && r.name == name)
    }

    /// The driver's answer to an action, if it was asked.
    pub fn answer(&self, action: &DriverAction) -> Option<&Result<Value, DriverError>> {
        self.answers
            .iter()
            .find(|(a, _)| a == action)
            .map(|(_, answer)| answer)
    }

    /// The failure of an action in this pass.
    pub fn failure(&self, action: &Action) -> Option<&Failure> {
        self.failures
            .iter()
            .find(|(a, _)| a == action)
            .map(|(_, failure)| failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tag, name and owner: where one of them is another's, it is none of the cluster's.
    #[test]
    fn a_vm_is_the_clusters_only_if_tag_name_and_owner_agree() {
        let vm = |id: u32, uid: u32, name: &str, tag: Option<u32>| Vm {
            id,
            uid,
            name: name.to_owned(),
            tag: tag.map(|cluster| Tag {
                cluster,
                group: Some(24001),
                kind: Kind::Node,
            }),
            condition: VmCondition::Running,
            steady: true,
            state: "ACTIVE/RUNNING".to_owned(),
            created: 0,
            ip: None,
            vrouter: None,
            error: None,
            reports: BTreeMap::new(),
            command: None,
        };
        let observed = Observed {
            vms: vec![
                vm(1, 3, "oneks-24-a-x", Some(24)),
                vm(2, 4, "oneks-24-a-x", Some(24)),
                vm(3, 3, "oneks-2-a-x", Some(24)),
                vm(4, 3, "oneks-24-a-x", Some(2)),
                vm(5, 3, "oneks-24-a-x", None),
            ],
            ..Observed::default()
        };
        let ids =
            |owner: u32| -> Vec<u32> { observed.cluster_vms(24, owner).iter().map(|vm| vm.id).collect() };
        assert_eq!((ids(3), ids(4), ids(0)), (vec![1], vec![2], vec![]));
    }
}
