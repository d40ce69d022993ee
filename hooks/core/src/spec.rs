//! SPEC: what users want. Written by users, read by the hooks.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{Invalid, Role, Taint};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{MAX_ID, RESERVED_KEYS, is_dns_label};
use crate::text;
use crate::version::Version;

/// Longest key of a node group. Cluster API appends two suffixes of five characters, and the whole must stay a DNS
/// label, because it becomes the node's host name.
pub const MAX_KEY: usize = 32;

/// Most bytes that a SPEC may have. A real one has a few hundred.
pub const MAX_SPEC: usize = 256 * 1024;

/// The family of groups that name none.
pub const DEFAULT_FAMILY: &str = "general";

/// Most node groups of a cluster.
pub const MAX_NODE_GROUPS: usize = 100;

/// The desired state of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Version of Kubernetes, one of those that the profile offers.
    pub kubernetes_version: String,
    /// Which driver realises the cluster.
    #[serde(default = "default_driver")]
    pub driver: String,
    /// Where it lives.
    pub deployment: Deployment,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The groups of worker nodes.
    #[serde(default)]
    pub node_groups: Vec<NodeGroup>,
    /// While set, nothing is started; what is under way in the cluster itself goes on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// While set, DELETE is refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deletion_protection: bool,
}

fn default_driver() -> String {
    "capone".to_owned()
}

fn default_family() -> String {
    DEFAULT_FAMILY.to_owned()
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_false(value: &bool) -> bool {
    !value
}

/// Where a cluster lives. Fixed once the cluster was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// OpenNebula cluster.
    pub cluster: Reference,
    /// Networks.
    pub networks: Networks,
    /// Datastores; drivers that need images need it.
    #[serde(default)]
    pub datastores: Datastores,
}

/// The networks of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Networks {
    /// Network of the API endpoint.
    pub public: Reference,
    /// Network of the nodes.
    pub private: Reference,
}

/// The datastores of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datastores {
    /// Datastore with the images that the cluster is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Reference>,
}

/// An OpenNebula object by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The object's id.
    pub id: u32,
}

/// The wanted control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlPlane {
    /// Profile family.
    #[serde(default = "default_family")]
    pub family: String,
    /// Flavour of the family.
    pub flavour: String,
    /// Values of the profile's inputs that differ from the flavour's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user_inputs_values: BTreeMap<String, Value>,
}

/// A wanted group of worker nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGroup {
    /// The group's key, part of its objects' names; can't be changed.
    pub name: String,
    /// What people call it, if not by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Profile family.
    #[serde(default = "default_family")]
    pub family: String,
    /// Flavour of the family.
    pub flavour: String,
    /// Values of the profile's inputs that differ from the flavour's; `count` is the number of nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user_inputs_values: BTreeMap<String, Value>,
    /// Node labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Node taints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
}

impl Spec {
    /// Reads a SPEC and checks all that can be checked without knowing the cloud.
    ///
    /// # Errors
    /// Everything that is wrong, each with its path. Text that is not JSON of the right shape gives one error.
    pub fn parse(text: &str) -> Result<Self, Vec<Invalid>> {
        if text.len() > MAX_SPEC {
            let message = format!(
                "{} bytes are too many for a specification; the limit is {MAX_SPEC}",
                text.len()
            );
            return Err(vec![invalid("SPEC", message)]);
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let spec: Self = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
            let path = e.path().to_string();
            let inner = e.into_inner();
            let what = if inner.is_data() {
                inner.to_string()
            } else {
                format!("not JSON: {inner}")
            };
            vec![invalid(
                if matches!(path.as_str(), "." | "?") {
                    "SPEC"
                } else {
                    &path
                },
                what,
            )]
        })?;
        reader
            .end()
            .map_err(|e| vec![invalid("SPEC", format!("not JSON: {e}"))])?;
        let errors = spec.check();
        if errors.is_empty() { Ok(spec) } else { Err(errors) }
    }

    /// All that is wrong with the values alone.
    pub fn check(&self) -> Vec<Invalid> {
        let mut errors = Vec::new();
        if Version::parse(&self.kubernetes_version).is_none() {
            errors.push(invalid(
                "kubernetes_version",
                format!("{:?} is not a version like v1.34.2", self.kubernetes_version),
            ));
        }
        if !is_dns_label(&self.driver.replace('_', "-")) {
            errors.push(invalid(
                "driver",
                format!("{:?} is not the name of a driver", self.driver),
            ));
        }
        if self.deployment.networks.public == self.deployment.networks.private {
            errors.push(invalid(
                "deployment.networks.private.id",
                "the private network must be another than the public one".to_owned(),
            ));
        }
        let Deployment {
            cluster,
            networks,
            datastores,
        } = &self.deployment;
        for (path, reference) in [
            ("deployment.cluster.id", Some(cluster)),
            ("deployment.networks.public.id", Some(&networks.public)),
            ("deployment.networks.private.id", Some(&networks.private)),
            ("deployment.datastores.image.id", datastores.image.as_ref()),
        ] {
            if let Some(id) = reference.map(|r| r.id).filter(|id| *id > MAX_ID) {
                errors.push(invalid(
                    path,
                    format!("{id} is no id of OpenNebula; the greatest is {MAX_ID}"),
                ));
            }
        }
        if self.node_groups.len() > MAX_NODE_GROUPS {
            errors.push(invalid(
                "node_groups",
                format!("more than {MAX_NODE_GROUPS} groups"),
            ));
        }
        let mut seen = BTreeSet::new();
        for (i, group) in self.node_groups.iter().enumerate() {
            errors.extend(group.check(&format!("node_groups[{i}]")));
            if !seen.insert(group.name.as_str()) {
                errors.push(invalid(
                    &format!("node_groups[{i}].name"),
                    format!("{:?} is the name of another group too", group.name),
                ));
            }
        }
        errors
    }

    /// What may not change once a cluster was accepted, as errors.
    pub fn check_change(&self, from: &Self) -> Vec<Invalid> {
        let mut errors = Vec::new();
        let mut fixed = |path: &str, same: bool| {
            if !same {
                errors.push(invalid(
                    path,
                    "can't be changed; make a new cluster or put the value back".to_owned(),
                ));
            }
        };
        fixed("driver", self.driver == from.driver);
        fixed(
            "deployment.cluster.id",
            self.deployment.cluster == from.deployment.cluster,
        );
        fixed(
            "deployment.networks.public.id",
            self.deployment.networks.public == from.deployment.networks.public,
        );
        fixed(
            "deployment.networks.private.id",
            self.deployment.networks.private == from.deployment.networks.private,
        );
        fixed(
            "deployment.datastores.image.id",
            self.deployment.datastores == from.deployment.datastores,
        );
        fixed(
            "control_plane.family",
            self.control_plane.family == from.control_plane.family,
        );
        for (i, group) in self.node_groups.iter().enumerate() {
            if let Some(old) = from.node_groups.iter().find(|g| g.name == group.name) {
                fixed(&format!("node_groups[{i}].family"), old.family == group.family);
                fixed(&format!("node_groups[{i}].flavour"), old.flavour == group.flavour);
            }
        }
        errors
    }
}

impl NodeGroup {
    fn check(&self, path: &str) -> Vec<Invalid> {
        let mut errors = Vec::new();
        let at = |field: &str| format!("{path}.{field}");
        if !is_dns_label(&self.name) || self.name.len() > MAX_KEY {
            errors.push(invalid(
                &at("name"),
                format!(
                    "{:?} must be an RFC 1123 label of at most {MAX_KEY} characters: a-z, 0-9 and -, no - at either end",
                    shorten(&self.name)
                ),
            ));
        } else if RESERVED_KEYS.contains(&self.name.as_str()) {
            errors.push(invalid(
                &at("name"),
                format!("{:?} is reserved; choose another name", self.name),
            ));
        }
        for (i, taint) in self.taints.iter().enumerate() {
            if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str()) {
                errors.push(invalid(
                    &at(&format!("taints[{i}].effect")),
                    format!(
                        "{:?} must be NoSchedule, PreferNoSchedule or NoExecute",
                        shorten(&taint.effect)
                    ),
                ));
            }
            check_label(
                &mut errors,
                &at(&format!("taints[{i}]")),
                &taint.key,
                &taint.value,
            );
        }
        for (key, value) in &self.labels {
            check_label(&mut errors, &at("labels"), key, value);
        }
        errors
    }

    /// Does Kubernetes have to be told when this becomes `other`? Names for people make no difference.
    pub fn same_nodes(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.taints == other.taints
            && self.user_inputs_values == other.user_inputs_values
    }
}

/// The rules of Kubernetes for label keys and values, which hold for taints as well.
fn check_label(errors: &mut Vec<Invalid>, path: &str, key: &str, value: &str) {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let word = |text: &str| {
        text.len() <= 63
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let domain = prefix.is_none_or(|p| p.len() <= 253 && p.split('.').all(is_dns_label));
    if !domain || !word(name) {
        errors.push(invalid(
            path,
            format!("{:?} is not a label key as Kubernetes has it", shorten(key)),
        ));
    }
    if !value.is_empty() && !word(value) {
        errors.push(invalid(
            path,
            format!(
                "{:?}, the value of {:?}, is not a label value",
                shorten(value),
                shorten(key)
            ),
        ));
    }
    if prefix.is_some_and(|p| p == "kubernetes.io" || p.ends_with(".kubernetes.io") || p.ends_with(".k8s.io"))
    {
        // The kubelet may not set most labels of Kubernetes' own domains on its node; a group with one never joins.
        let allowed = key.starts_with("node.kubernetes.io/") || key.starts_with("node-role.kubernetes.io/");
        if !allowed {
            errors.push(invalid(
                path,
                format!(
                    "{:?} belongs to Kubernetes; use a domain of your own",
                    shorten(key)
                ),
            ));
        }
    }
}

/// Long values are cut in messages: a message must stay readable, and it is stored.
fn shorten(text: &str) -> String {
    text::shorten(text, 80)
}

fn invalid(path: &str, message: String) -> Invalid {
    Invalid {
        path: text::shorten(path, 200),
        message: text::shorten(message, 600),
    }
}

/// The profile family and flavour of a group, with the values given for it.
pub struct Choice<'a> {
    /// Control plane or node group.
    pub role: Role,
    /// Where it stands in the SPEC.
    pub path: String,
    /// Profile family.
    pub family: &'a str,
    /// Flavour.
    pub flavour: &'a str,
    /// Values given.
    pub values: &'a BTreeMap<String, Value>,
}

impl Spec {
    /// The choices of all groups, the control plane's first.
    pub fn choices(&self) -> Vec<Choice<'_>> {
        let control_plane = Choice {
            role: Role::ControlPlane,
            path: "control_plane".to_owned(),
            family: &self.control_plane.family,
            flavour: &self.control_plane.flavour,
            values: &self.control_plane.user_inputs_values,
        };
        let groups = self.node_groups.iter().enumerate().map(|(i, group)| Choice {
            role: Role::NodeGroup,
            path: format!("node_groups[{i}]"),
            family: &group.family,
            flavour: &group.flavour,
            values: &group.user_inputs_values,
        });
        std::iter::once(control_plane).chain(groups).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"kubernetes_version":"v1.34.2","deployment":{"cluster":{"id":0},"networks":{"public":{"id":0},
        "private":{"id":1}},"datastores":{"image":{"id":1}}},"control_plane":{"flavour":"standalone"},
        "node_groups":[{"name":"workers","flavour":"small","user_inputs_values":{"count":3},"labels":{"tier":"web"}}]}"#;

    #[test]
    fn a_good_spec_gets_its_defaults() {
        let spec = Spec::parse(GOOD).unwrap();
        assert_eq!(
            (spec.driver.as_str(), spec.control_plane.family.as_str()),
            ("capone", "general")
        );
        let again = Spec::parse(&serde_json::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let replace = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            GOOD.replace(from, to)
        };
        let cases = [
            ("{".to_owned(), "SPEC", "not JSON"),
            (String::new(), "SPEC", "not JSON"),
            ("[]".to_owned(), "SPEC", "invalid"),
            (format!("{GOOD}x"), "SPEC", "not JSON"),
            (" ".repeat(MAX_SPEC + 1), "SPEC", "too many"),
            (
                replace("\"standalone\"", "7"),
                "control_plane.flavour",
                "expected a string",
            ),
            (
                replace("\"kubernetes_version\":\"v1.34.2\",", ""),
                "SPEC",
                "kubernetes_version",
            ),
            (
                replace("\"public\":{\"id\":0},", ""),
                "deployment.networks",
                "public",
            ),
            (replace("v1.34.2", "latest"), "kubernetes_version", "latest"),
            (
                replace("\"tier\"", "\"oops\":1,\"tier\""),
                "node_groups[0].labels.oops",
                "expected a string",
            ),
            (
                replace("\"name\":\"workers\"", "\"name\":\"workers\",\"nodes\":3"),
                "node_groups[0].nodes",
                "unknown field",
            ),
            (
                replace("\"workers\"", "\"Workers\""),
                "node_groups[0].name",
                "RFC 1123",
            ),
            (
                replace("\"workers\"", "\"seed\""),
                "node_groups[0].name",
                "reserved",
            ),
            (
                replace("\"private\":{\"id\":1}", "\"private\":{\"id\":0}"),
                "deployment.networks.private.id",
                "another",
            ),
            (
                replace("\"image\":{\"id\":1}", "\"image\":{\"id\":-1}"),
                "deployment.datastores.image.id",
                "-1",
            ),
            (
                replace("\"cluster\":{\"id\":0}", "\"cluster\":{\"id\":2147483648}"),
                "deployment.cluster.id",
                "no id of OpenNebula",
            ),
            (
                replace("\"tier\":\"web\"", "\"a b\":\"web\""),
                "node_groups[0].labels",
                "label key",
            ),
            (
                replace("\"tier\":\"web\"", "\"kubernetes.io/arch\":\"web\""),
                "node_groups[0].labels",
                "belongs to Kubernetes",
            ),
        ];
        for (text, path, what) in cases {
            let errors = Spec::parse(&text).unwrap_err();
            let found = errors.iter().any(|e| e.path == path && e.message.contains(what));
            assert!(found, "{path} {what}: {errors:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [
            "0.30000000000000004",
            "1.1844674407370957e20",
            "118446744073709551615",
            "5e-324",
        ] {
            let text = GOOD.replace("\"count\":3", &format!("\"count\":{number}"));
            let spec = Spec::parse(&text).unwrap();
            let again = Spec::parse(&serde_json::to_string(&spec).unwrap());
            assert_eq!(again, Ok(spec), "{number}");
        }
    }

    #[test]
    fn two_groups_of_one_name_are_refused() {
        let text = GOOD.replace(
            "\"node_groups\":[",
            "\"node_groups\":[{\"name\":\"workers\",\"flavour\":\"small\"},",
        );
        assert!(
            Spec::parse(&text).unwrap_err()[0]
                .message
                .contains("another group")
        );
    }

    #[test]
    fn placement_and_flavour_stay_what_they_were() {
        let old = Spec::parse(GOOD).unwrap();
        let mut new = old.clone();
        assert_eq!(new.check_change(&old), []);
        new.driver = "dummy".into();
        new.deployment.cluster.id = 9;
        new.node_groups[0].flavour = "large".into();
        let paths: Vec<String> = new.check_change(&old).into_iter().map(|e| e.path).collect();
        assert_eq!(
            paths,
            ["driver", "deployment.cluster.id", "node_groups[0].flavour"]
        );
    }
}
