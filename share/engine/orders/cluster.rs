//! A cluster as its document shows it.

use oneks_core::names::{CONTROL_PLANE_KEY, DOCUMENT_TYPE, GROUPS_PER_CLUSTER, Names, cluster_of_group};
use oneks_core::state::ClusterState;
use oneks_core::status::{Group, Status, Truth, Unusable};
use opennebula::objects::Document;
use opennebula::{Client, calls};
use serde_json::Value;

use super::OrderError;

/// Attributes that hold secrets; they leave the document only when they are asked for by name.
pub const SECRET_ATTRIBUTES: [&str; 1] = ["KUBECONFIG"];

/// A cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Its document.
    pub document: Document,
    /// SPEC as JSON, with the fields that this version does not know. `Null` if there is none or it is broken.
    pub spec: Value,
    /// STATUS, if there is a usable one.
    pub status: Option<Status>,
    /// Why there is no usable STATUS, if there is one.
    pub trouble: Option<Unusable>,
}

/// A group of nodes: from SPEC, from STATUS, or from both.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeGroup<'a> {
    /// Key, `control-plane` for the control plane.
    pub key: &'a str,
    /// What STATUS says, once the hooks know it.
    pub status: Option<&'a Group>,
    /// What SPEC says, `None` if it is about to be removed.
    pub spec: Option<&'a Value>,
}

impl Cluster {
    /// Reads a document.
    pub fn new(document: Document) -> Self {
        let template = &document.template;
        let spec = template
            .get("SPEC")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or(Value::Null);
        let (status, trouble) = match Status::parse(template.get("STATUS"), document.id) {
            Ok(status) => (Some(status), None),
            Err(_) if template.get("STATUS").is_none() => (None, None),
            Err(trouble) => (None, Some(trouble)),
        };
        Self {
            document,
            spec,
            status,
            trouble,
        }
    }

    /// The cluster with this id.
    ///
    /// # Errors
    /// There is no such document, or it is none of a cluster.
    pub fn fetch(client: &Client, id: u32) -> Result<Self, OrderError> {
        Self::read(client, id, false)
    }

    /// The same with encrypted attributes in clear text, which OpenNebula gives to administrators only.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn fetch_decrypted(client: &Client, id: u32) -> Result<Self, OrderError> {
        Self::read(client, id, true)
    }

    fn read(client: &Client, id: u32, decrypt: bool) -> Result<Self, OrderError> {
        match client.document_info(id, decrypt) {
            Ok(document) if document.kind == DOCUMENT_TYPE => Ok(Self::new(document)),
            Ok(document) => Err(OrderError::NotFound(format!(
                "document {id} is no Kubernetes cluster (its type is {}, not {DOCUMENT_TYPE})",
                document.kind
            ))),
            Err(e) if e.is_not_found() => Err(not_found(&id.to_string())),
            Err(e) => Err(e.into()),
        }
    }

    /// The clusters that the user may see, by id.
    ///
    /// # Errors
    /// The call.
    pub fn pool(client: &Client, filter: calls::PoolFilter) -> Result<Vec<Self>, OrderError> {
        let pool = client.every_document(filter, DOCUMENT_TYPE)?;
        let mut clusters: Vec<Self> = pool.into_iter().map(Self::new).collect();
        clusters.sort_by_key(Self::id);
        Ok(clusters)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.document.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.document.name
    }

    /// `cluster 24 (web)`.
    pub fn title(&self) -> String {
        format!("cluster {} ({})", self.id(), self.name())
    }

    /// Its state.
    pub fn state(&self) -> String {
        let said = self.document.template.get("STATE");
        match (&self.status, &self.trouble) {
            (Some(status), _) => status.state.to_string(),
            // The copy in a clone is the state of something else; what a later version wrote is the cluster's own.
            (None, Some(Unusable::Schema(_))) => said.unwrap_or("UNKNOWN").to_owned(),
            _ => ClusterState::Pending.to_string(),
        }
    }

    /// The version that SPEC wants, where that is another than the one that some group runs.
    pub fn wanted_version(&self) -> Option<&str> {
        let wanted = self.spec["kubernetes_version"].as_str()?;
        let mut running = self
            .status
            .iter()
            .flat_map(Status::groups)
            .filter_map(|g| g.version.as_deref());
        running.any(|version| version != wanted).then_some(wanted)
    }

    /// The version that it runs, or that it is to run while nobody knows.
    pub fn version(&self) -> String {
        let running = self.status.as_ref().and_then(|s| s.control_plane.version.clone());
        running.unwrap_or_else(|| {
            self.spec["kubernetes_version"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    }

    /// Nodes that are ready, and that are wanted.
    pub fn nodes(&self) -> Option<(u32, u32)> {
        let status = self.status.as_ref().filter(|s| s.accepted.is_some())?;
        Some(
            status
                .groups()
                .fold((0, 0), |(ready, want), g| (ready + g.ready, want + want_of(g))),
        )
    }

    /// Address of the API server.
    pub fn endpoint(&self) -> &str {
        match self.status {
            Some(_) => self.document.template.get("ENDPOINT").unwrap_or_default(),
            None => "",
        }
    }

    /// What is wrong with it, in one line; empty if nothing is.
    pub fn error(&self) -> String {
        let Some(status) = &self.status else {
            return match (&self.trouble, &self.document.lock) {
                (Some(trouble), _) => explain(trouble),
                // Nobody may write into it then, not even the hooks.
                (None, Some(_)) => {
                    "the document is locked; onedocument unlock lets the hooks work".to_owned()
                }
                (None, None) => String::new(),
            };
        };
        if let Some(refused) = status.condition("Accepted").filter(|c| c.status == Truth::False) {
            return refused.message.clone();
        }
        let failed = status
            .groups()
            .find_map(|g| g.error.as_ref().map(|e| format!("{}: {}", g.key, e.message)));
        if let Some(text) = failed {
            return text;
        }
        if matches!(status.state, ClusterState::Running | ClusterState::Done) {
            return String::new();
        }
        let said = status.conditions.iter().find(|c| {
            matches!(
                c.kind.as_str(),
                "Retrying" | "OwnerChanged" | "DeletionProtected" | "CredentialExpiring" | "Observed"
            ) && (c.status == Truth::True) != (c.kind == "Observed")
        });
        said.map(|c| c.message.clone()).unwrap_or_default()
    }

    /// When it was made, seconds since the epoch, if that is still known.
    pub fn created(&self) -> Option<u64> {
        let status = self.status.as_ref()?;
        let history = status.history.first().map(|e| e.at);
        let conditions = status
            .conditions
            .iter()
            .map(|c| c.since)
            .filter(|at| *at > 0)
            .min();
        history.into_iter().chain(conditions).min()
    }

    /// Its groups, the control plane first; those of SPEC in its order, then those that are being removed.
    pub fn groups(&self) -> Vec<NodeGroup<'_>> {
        let known = |key: &str| self.status.as_ref()?.groups().find(|g| g.key == key);
        let control_plane = NodeGroup {
            key: CONTROL_PLANE_KEY,
            status: known(CONTROL_PLANE_KEY),
            spec: self.spec.get("control_plane"),
        };
        let mut groups = vec![control_plane];
        for spec in self.spec["node_groups"].as_array().into_iter().flatten() {
            if let Some(key) = spec["name"].as_str() {
                groups.push(NodeGroup {
                    key,
                    status: known(key),
                    spec: Some(spec),
                });
            }
        }
        for status in self.status.iter().flat_map(|s| &s.node_groups) {
            if groups.iter().all(|g| g.key != status.key) {
                groups.push(NodeGroup {
                    key: &status.key,
                    status: Some(status),
                    spec: None,
                });
            }
        }
        groups
    }

    /// The id of each of its [groups](Self::groups). One that the hooks have not seen yet has the id that it will get: they
    /// number new groups in the order of SPEC. Where STATUS is lost as well, objects that are there may give it another.
    pub fn group_ids(&self) -> Vec<u32> {
        let names = Names::new(self.id());
        let groups = self.groups();
        let known: Vec<u32> = self
            .status
            .iter()
            .flat_map(Status::groups)
            .map(|g| g.id)
            .collect();
        let next = self.status.as_ref().map_or(1, |s| s.next_group);
        let mut free = (next.clamp(1, GROUPS_PER_CLUSTER)..GROUPS_PER_CLUSTER)
            .map(|n| names.group_id(n))
            .filter(|id| !known.contains(id));
        groups
            .iter()
            .map(|group| match group.id() {
                Some(id) => id,
                None if group.is_control_plane() => names.group_id(0),
                None => free
                    .next()
                    .unwrap_or_else(|| names.group_id(GROUPS_PER_CLUSTER - 1)),
            })
            .collect()
    }

    /// The group with this id or key.
    ///
    /// # Errors
    /// There is none; the message names those there are.
    pub fn group(&self, wanted: &str) -> Result<NodeGroup<'_>, OrderError> {
        let groups = self.groups();
        let id = wanted
            .parse::<u32>()
            .ok()
            .filter(|id| cluster_of_group(*id) == self.id());
        let found = groups
            .iter()
            .find(|g| g.key == wanted || id.is_some() && g.id() == id);
        if let Some(group) = found {
            return Ok(group.clone());
        }
        let known: Vec<&str> = groups.iter().map(|g| g.key).collect();
        Err(OrderError::NotFound(format!(
            "{} has no node group {wanted}; it has {}",
            self.title(),
            known.join(", ")
        )))
    }
}

/// Nodes that a group shall have. One that was not begun yet has its target.
fn want_of(group: &Group) -> u32 {
    match (&group.goal, &group.target) {
        (None, Some(target)) => target.replicas,
        _ => group.want,
    }
}

impl NodeGroup<'_> {
    /// Its id, once it has one.
    pub fn id(&self) -> Option<u32> {
        self.status.map(|s| s.id)
    }

    /// Is it the control plane?
    pub fn is_control_plane(&self) -> bool {
        self.key == CONTROL_PLANE_KEY
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        self.text("display_name").unwrap_or(self.key)
    }

    /// Its state.
    pub fn state(&self) -> &'static str {
        self.status
            .map_or(oneks_core::state::GroupState::Pending, |s| s.state)
            .as_str()
    }

    /// A text of SPEC.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.spec?.get(field)?.as_str()
    }

    /// The version that its nodes run.
    pub fn version(&self) -> &str {
        self.status.and_then(|s| s.version.as_deref()).unwrap_or_default()
    }

    /// The version that it is to run, where that is another.
    pub fn wanted_version(&self) -> Option<&str> {
        let wanted = self.status?.target.as_ref()?.version.as_str();
        Some(wanted).filter(|wanted| *wanted != self.version())
    }

    /// Nodes that are ready, and that are wanted.
    pub fn nodes(&self) -> Option<(u32, u32)> {
        self.status
            .filter(|s| s.goal.is_some() || s.target.is_some())
            .map(|s| (s.ready, want_of(s)))
    }

    /// Why it is in a failure or warning.
    pub fn error(&self) -> &str {
        self.status
            .and_then(|s| s.error.as_ref())
            .map_or("", |e| e.message.as_str())
    }
}

/// Why a STATUS is not used, for people.
fn explain(trouble: &Unusable) -> String {
    match trouble {
        Unusable::Rebuild(reason) => format!("STATUS can't be read ({reason}); the hooks will build it anew"),
        Unusable::Clone { of } => format!("a clone of {of} that the hooks have not looked at yet"),
        Unusable::Schema(schema) => {
            format!("STATUS has schema {schema}, which this version does not know; upgrade this command")
        }
    }
}

/// There is no such cluster.
pub fn not_found(wanted: &str) -> OrderError {
    OrderError::NotFound(format!(
        "there is no cluster {wanted} that you may see; `oneks list` shows those there are"
    ))
}

#[cfg(test)]
mod tests {
    use oneks_core::status::Group;
    use opennebula::objects::Permissions;
    use opennebula::template::Template;
    use serde_json::json;

    use super::*;

    fn cluster(spec: &Value, status: Option<&Status>) -> Cluster {
        let mut template = Template::new();
        template.set("SPEC", spec.to_string());
        if let Some(status) = status {
            template.set("STATUS", serde_json::to_string(status).unwrap());
        }
        Cluster::new(Document {
            id: 7,
            uid: 0,
            gid: 0,
            uname: String::new(),
            gname: String::new(),
            name: "web".to_owned(),
            kind: DOCUMENT_TYPE,
            permissions: Permissions::default(),
            lock: None,
            template,
        })
    }

    #[test]
    fn groups_that_nobody_saw_yet_have_the_ids_that_they_will_get() {
        let spec = json!({"node_groups": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
        assert_eq!(cluster(&spec, None).group_ids(), [7000, 7001, 7002, 7003]);
        let mut status = Status::new(7);
        status
            .node_groups
            .push(Group::new(7002, "b", "oneks-7-b".to_owned()));
        status.next_group = 3;
        assert_eq!(
            cluster(&spec, Some(&status)).group_ids(),
            [7000, 7003, 7002, 7004]
        );
        // One that was there before and is being removed comes last.
        status
            .node_groups
            .push(Group::new(7003, "gone", "oneks-7-gone".to_owned()));
        assert_eq!(
            cluster(&spec, Some(&status)).group_ids(),
            [7000, 7004, 7002, 7005, 7003]
        );
    }
}
