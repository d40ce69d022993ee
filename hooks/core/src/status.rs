//! STATUS: what the hooks observed and did. A cache: all of it but history can be rebuilt from live objects.

mod group;
mod records;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::Endpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spec::Spec;
use crate::state::ClusterState;
use crate::text::shorten;
use unknown::Origin;

pub use group::{Forgotten, Goal, Group, GroupVm, Probe, Router, Seed, Template, Work};
pub use records::{
    Condition, Credential, Deletion, Entry, GuestExec, LastError, Operation, Placed, Purpose, Refused, Retry,
    Rotation, RotationStage, Truth,
};

/// Version of this form of STATUS.
pub const SCHEMA: u32 = 1;

/// How many entries of history are kept.
pub const HISTORY: usize = 50;

/// Most bytes of a line of history.
const MAX_LINE: usize = 1000;

/// Most bytes of the message of a condition or an error. What users, guests and drivers say goes into them.
pub const MAX_MESSAGE: usize = 4000;

/// Most bytes of a STATUS. One of a hundred groups with a hundred nodes each has half of it.
const MAX_STATUS: usize = 4 * 1024 * 1024;

/// The observed state of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// Id of the document that this belongs to. A clone carries another's.
    pub document: u32,
    /// Grows with every write.
    pub rev: u64,
    /// The pass that claimed the cluster, where several front-ends share a zone and one may have to be kept out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The cluster's state.
    pub state: ClusterState,
    /// The last SPEC that was found good; the cluster is kept as this says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Spec>,
    /// Fingerprint of the SPEC that was refused last, and when to look at it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Where the cluster was placed, with the names that the objects had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// User id of the owner when the first object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// What is true and what is not, with the reasons.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// What is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Address of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Address of the virtual router in the private network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The control plane.
    pub control_plane: Group,
    /// The node groups, in the order in which they came.
    #[serde(default)]
    pub node_groups: Vec<Group>,
    /// Number that the next node group gets.
    #[serde(default = "one")]
    pub next_group: u32,
    /// The guest command that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_exec: Option<GuestExec>,
    /// Number that the next guest command gets. A VM that shows a higher one has a command whose record was lost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub commands: u64,
    /// The cluster's own credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Was the cluster complete once?
    #[serde(default)]
    pub provisioned: bool,
    /// Was the kubeconfig stored?
    #[serde(default)]
    pub kubeconfig: bool,
    /// The last RECOVER token that was acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<String>,
    /// The last ROTATE token that was acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<String>,
    /// The credential is being replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Set once the deletion was ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// When calls that failed may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The last thing that went wrong; kept after it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// What happened, oldest first, at most [`HISTORY`] entries.
    #[serde(default)]
    pub history: Vec<Entry>,
    /// Fields of later versions, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
    #[serde(skip)]
    origin: Origin,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> u32 {
    1
}

/// What is noted of a RECOVER or ROTATE that was acted upon: the token without the blanks around it, or, of one that is too long
/// to be kept, its fingerprint.
pub fn recover_mark(token: &str) -> String {
    let token = token.trim();
    if token.len() <= 200 {
        token.to_owned()
    } else {
        crate::fingerprint::of_text(token)
    }
}

/// Why a STATUS could not be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// There is none, or it is broken: it is built anew from live objects.
    Rebuild(String),
    /// It belongs to another document: this one is a clone.
    Clone {
        /// The document that it belongs to.
        of: u32,
    },
    /// A later version wrote it. Nothing may be done.
    Schema(u64),
}

impl Status {
    /// The status of a cluster about which nothing is known.
    pub fn new(document: u32) -> Self {
        use crate::names::{CONTROL_PLANE_KEY, Names};
        let names = Names::new(document);
        Self {
            schema: SCHEMA,
            document,
            rev: 0,
            claim: None,
            state: ClusterState::Pending,
            accepted: None,
            refused: None,
            placed: None,
            owner: None,
            conditions: Vec::new(),
            operation: None,
            endpoint: None,
            gateway: None,
            control_plane: Group::new(names.group_id(0), CONTROL_PLANE_KEY, names.cluster()),
            node_groups: Vec::new(),
            next_group: 1,
            guest_exec: None,
            commands: 0,
            credential: None,
            provisioned: false,
            kubeconfig: false,
            recovered: None,
            rotated: None,
            rotation: None,
            deletion: None,
            retry: None,
            last_error: None,
            history: Vec::new(),
            extra: BTreeMap::new(),
            origin: Origin::default(),
        }
    }

    /// Reads the STATUS of a document.
    ///
    /// # Errors
    /// [`Unusable`] says what is to be done instead.
    pub fn parse(text: Option<&str>, document: u32) -> Result<Self, Unusable> {
        let text = text.unwrap_or_default();
        if text.trim().is_empty() {
            return Err(Unusable::Rebuild("there was none".to_owned()));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|e| Unusable::Rebuild(format!("not JSON: {e}")))?;
        match value.get("schema").and_then(Value::as_u64) {
            Some(s) if s == u64::from(SCHEMA) => {}
            Some(s) => return Err(Unusable::Schema(s)),
            None => return Err(Unusable::Rebuild("it has no schema".to_owned())),
        }
        // Not before the schema: what a later version wrote stays, however long it is.
        if text.len() > MAX_STATUS {
            let size = text.len();
            return Err(Unusable::Rebuild(format!(
                "{size} bytes are too many; the limit is {MAX_STATUS}"
            )));
        }
        let mut status =
            Self::deserialize(&value).map_err(|e| Unusable::Rebuild(shorten(e.to_string(), 200)))?;
        if status.to_json() != text {
            status.origin = Origin::new(value);
        }
        if status.document != document {
            return Err(Unusable::Clone { of: status.document });
        }
        match status.inconsistency() {
            None => Ok(status),
            Some(what) => Err(Unusable::Rebuild(what)),
        }
    }

    /// What can't be, if there is such a thing: ids are how groups are told apart.
    fn inconsistency(&self) -> Option<String> {
        use crate::names::{GROUPS_PER_CLUSTER, Names};
        let names = Names::new(self.document);
        if self.control_plane.id != names.group_id(0) || !self.control_plane.is_control_plane() {
            return Some(format!(
                "group {} is not the control plane of {}",
                self.control_plane.id, self.document
            ));
        }
        let mut seen = BTreeSet::from([self.control_plane.id]);
        self.node_groups.iter().find_map(|group| {
            let ours = names.group_id(group.id % GROUPS_PER_CLUSTER) == group.id && !group.is_control_plane();
            let good = ours && seen.insert(group.id);
            (!good).then(|| {
                format!(
                    "group {} ({}) has no id of its own",
                    group.id,
                    shorten(&*group.key, 80)
                )
            })
        })
    }

    /// The text for the document. Never holds `]]>`, which would end the CDATA section that OpenNebula puts around.
    pub fn to_json(&self) -> String {
        // Serialising this type can't fail: all its keys are strings.
        self.with_unknown()
            .map_or_else(
                || serde_json::to_string(self).unwrap_or_default(),
                |value| value.to_string(),
            )
            .replace("]]>", "]]\\u003e")
    }

    /// The status with what its text said beyond it; `None` if that was nothing.
    fn with_unknown(&self) -> Option<Value> {
        let read = self.origin.read()?;
        let known = serde_json::to_value(Self::deserialize(read).ok()?).ok()?;
        let mut written = serde_json::to_value(self).ok()?;
        unknown::restore(read, &known, &mut written).then_some(written)
    }

    /// Forgets what a failed bootstrap made, once all of it is torn down.
    pub fn forget_bootstrap(&mut self) {
        self.control_plane.teardown = false;
        self.control_plane.seed = None;
        self.control_plane.router = None;
        self.endpoint = None;
        self.gateway = None;
        self.kubeconfig = false;
    }

    /// All groups, the control plane first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.control_plane).chain(&self.node_groups)
    }

    /// Ids of every virtual machine that is noted.
    pub fn vm_ids(&self) -> BTreeSet<u32> {
        let router = self
            .control_plane
            .router
            .iter()
            .flat_map(|r| r.vms.iter().map(|vm| vm.id));
        let seed = self.control_plane.seed.iter().filter_map(|s| s.vm);
        self.groups()
            .flat_map(|g| g.vms.iter().map(|vm| vm.id))
            .chain(router)
            .chain(seed)
            .chain(self.guest_exec.iter().map(|e| e.vm))
            .collect()
    }

    /// Was this RECOVER acted upon?
    pub fn has_recovered(&self, token: &str) -> bool {
        self.recovered.as_ref() == Some(&recover_mark(token))
    }

    /// Is this ROTATE an order that was not acted upon?
    pub fn wants_rotation(&self, token: &str) -> bool {
        !token.trim().is_empty() && self.rotated.as_ref() != Some(&recover_mark(token))
    }

    /// The credential that the cluster uses: until another is handed over, the one before.
    pub fn credential_in_use(&self) -> Option<&Credential> {
        let old = self.rotation.as_ref().and_then(|r| r.old.as_ref());
        old.or(self.credential.as_ref())
    }

    /// Adds a line of history; a long one is cut.
    pub fn note(&mut self, at: u64, text: impl Into<String>) {
        let text = shorten(text, MAX_LINE);
        if self.history.last().is_some_and(|e| e.text == text) {
            return;
        }
        self.history.push(Entry { at, text });
        let surplus = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..surplus);
    }

    /// Sets a condition; `since` changes only with its status. A long message is cut.
    pub fn set_condition(
        &mut self,
        now: u64,
        kind: &str,
        status: Truth,
        reason: &str,
        message: impl Into<String>,
    ) {
        let message = shorten(message, MAX_MESSAGE);
        if let Some(c) = self.conditions.iter_mut().find(|c| c.kind == kind) {
            if c.status != status {
                c.since = now;
            }
            c.status = status;
            reason.clone_into(&mut c.reason);
            c.message = message;
        } else {
            self.conditions.push(Condition {
                kind: kind.to_owned(),
                status,
                reason: reason.to_owned(),
                message,
                since: now,
            });
        }
    }

    /// Removes a condition that no longer applies.
    pub fn clear_condition(&mut self, kind: &str) {
        self.conditions.retain(|c| c.kind != kind);
    }

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Is this the same but for the revision?
    pub fn same_as(&self, other: &Self) -> bool {
        let strip = |s: &Self| Self { rev: 0, ..s.clone() };
        strip(self) == strip(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut status = Status::new(24);
        status.note(5, "a ]]> b");
        status.set_condition(5, "Ready", Truth::False, "Why", "because ]]>");
        let text = status.to_json();
        assert!(!text.contains("]]>"));
        assert_eq!(Status::parse(Some(&text), 24), Ok(status));
    }

    #[test]
    fn unknown_fields_survive() {
        let mut value = serde_json::to_value(Status::new(24)).unwrap();
        value["later"] = serde_json::json!({"a": 1});
        value["control_plane"]["later"] = serde_json::json!([2]);
        let status = Status::parse(Some(&value.to_string()), 24).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&status.to_json()).unwrap(), value);
    }

    #[test]
    fn unusable_ones_are_told_apart() {
        let good = Status::new(24).to_json();
        assert!(matches!(Status::parse(None, 24), Err(Unusable::Rebuild(_))));
        assert!(matches!(Status::parse(Some("{"), 24), Err(Unusable::Rebuild(_))));
        assert!(matches!(Status::parse(Some("{}"), 24), Err(Unusable::Rebuild(_))));
        assert!(matches!(
            Status::parse(Some(r#"{"schema":1}"#), 24),
            Err(Unusable::Rebuild(_))
        ));
        assert_eq!(
            Status::parse(Some(r#"{"schema":7}"#), 24),
            Err(Unusable::Schema(7))
        );
        assert_eq!(Status::parse(Some(&good), 25), Err(Unusable::Clone { of: 24 }));
    }

    #[test]
    fn history_is_a_ring() {
        let mut status = Status::new(1);
        for i in 0..120 {
            status.note(i, format!("event {i}"));
        }
        assert_eq!(status.history.len(), HISTORY);
        assert_eq!(status.history[0].text, "event 70");
    }

    #[test]
    fn since_changes_with_the_status_only() {
        let mut status = Status::new(1);
        status.set_condition(10, "Ready", Truth::False, "A", "x");
        status.set_condition(20, "Ready", Truth::False, "B", "y");
        assert_eq!(
            status.condition("Ready").map(|c| (c.since, c.reason.as_str())),
            Some((10, "B"))
        );
        status.set_condition(30, "Ready", Truth::True, "C", "");
        assert_eq!(status.condition("Ready").map(|c| c.since), Some(30));
    }
}
