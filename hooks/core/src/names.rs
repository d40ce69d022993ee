//! Names and ids of everything that belongs to a cluster.
//!
//! They follow from the document's id and the group's key alone, so that any pass can find again what an earlier one
//! made, and a crash between a call and its record leaks nothing. Display names are never part of them.

use std::fmt;

/// Greatest id of an object in OpenNebula.
pub const MAX_ID: u32 = i32::MAX.unsigned_abs();

/// Document type of a cluster.
pub const DOCUMENT_TYPE: u32 = 120;

/// How many group ids a cluster has.
pub const GROUPS_PER_CLUSTER: u32 = 1000;

/// Key of the control plane where groups are named by key.
pub const CONTROL_PLANE_KEY: &str = "control-plane";

/// Keys that no node group may have, because other objects of the cluster bear the name.
pub const RESERVED_KEYS: [&str; 8] = [
    CONTROL_PLANE_KEY,
    "cp",
    "seed",
    "router",
    "lb",
    "vr",
    "ccm",
    "controlplane",
];

/// The names of one cluster's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    cluster: u32,
}

impl Names {
    /// Names of the cluster whose document has this id.
    pub const fn new(cluster: u32) -> Self {
        Self { cluster }
    }

    /// `oneks-<id>`: the Cluster API cluster and the prefix of every other name.
    pub fn cluster(self) -> String {
        format!("oneks-{}", self.cluster)
    }

    /// The seed VM.
    pub fn seed(self) -> String {
        format!("oneks-{}-seed", self.cluster)
    }

    /// The virtual router of the API endpoint; Cluster API's provider for OpenNebula gives it this name.
    pub fn router(self) -> String {
        format!("oneks-{}-cp", self.cluster)
    }

    /// The virtual router that the cloud controller makes for Services of type `LoadBalancer`.
    pub fn load_balancer(self) -> String {
        format!("oneks-{}-lb", self.cluster)
    }

    /// The networks that the cloud controller reserves.
    pub fn reservations(self) -> [String; 2] {
        [
            format!("oneks-{}-vr", self.cluster),
            format!("oneks-{}-lb", self.cluster),
        ]
    }

    /// Name of a group's objects. The control plane bears the cluster's own.
    pub fn group(self, key: &str) -> String {
        if key == CONTROL_PLANE_KEY {
            self.cluster()
        } else {
            format!("oneks-{}-{key}", self.cluster)
        }
    }

    /// Id of the group with this number, 0 for the control plane.
    pub const fn group_id(self, n: u32) -> u32 {
        self.cluster.saturating_mul(GROUPS_PER_CLUSTER).saturating_add(n)
    }

    /// Could an object of this name be the cluster's? `oneks-2-…` is not cluster 24's, nor is `oneks-24x`.
    pub fn owns(self, name: &str) -> bool {
        let name = name.strip_prefix("vr-").unwrap_or(name);
        let prefix = self.cluster();
        name.strip_prefix(&prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// Could an object of this name be any cluster's?
pub fn is_of_a_cluster(name: &str) -> bool {
    let name = name.strip_prefix("vr-").unwrap_or(name);
    name.strip_prefix("oneks-")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The cluster that a group id belongs to.
pub const fn cluster_of_group(group: u32) -> u32 {
    group / GROUPS_PER_CLUSTER
}

/// What a guest command is for; the last word of the command line says it, so that its result can be matched.
///
/// ```
/// use oneks_core::names::CommandToken;
/// let token = CommandToken { cluster: 24, purpose: "probe-24001".into(), serial: 7 };
/// assert_eq!(token.to_string(), "oneks:24:probe-24001:7");
/// assert_eq!(CommandToken::parse("oneks:24:probe-24001:7"), Some(token));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandToken {
    /// The cluster.
    pub cluster: u32,
    /// What the command does and for which group.
    pub purpose: String,
    /// Tells two commands of the same purpose apart.
    pub serial: u64,
}

/// What stands before the token in a guest command: a shell that reads its script from standard input.
pub const COMMAND_PREFIX: &str = "/bin/sh -s ";

impl CommandToken {
    /// Reads a token.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("oneks:")?.split(':');
        let (cluster, purpose, serial) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || purpose.is_empty() {
            return None;
        }
        Some(Self {
            cluster: cluster.parse().ok()?,
            purpose: purpose.to_owned(),
            serial: serial.parse().ok()?,
        })
    }

    /// The token of a guest command, if it is one of ours.
    pub fn of_command(command: &str) -> Option<Self> {
        Self::parse(command.strip_prefix(COMMAND_PREFIX)?.trim())
    }

    /// The whole command line. Blanks and quotes would not survive `one.vm.exec`; a token has none.
    pub fn command(&self) -> String {
        format!("{COMMAND_PREFIX}{self}")
    }
}

impl fmt::Display for CommandToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oneks:{}:{}:{}", self.cluster, self.purpose, self.serial)
    }
}

/// Is this a DNS label as RFC 1123 has it: lower-case letters, digits and hyphens, 1 to 63 of them, no hyphen at
/// either end?
pub fn is_dns_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_owns_its_names_and_no_look_alike() {
        let names = Names::new(24);
        for (name, ours) in [
            ("oneks-24", true),
            ("oneks-24-seed", true),
            ("oneks-24-abcde", true),
            ("vr-oneks-24-cp-0", true),
            ("oneks-240", false),
            ("oneks-2", false),
            ("oneks-24x-seed", false),
            ("xoneks-24-seed", false),
            ("vr-vr-oneks-24-cp-0", false),
            ("", false),
        ] {
            assert_eq!(names.owns(name), ours, "{name}");
            assert!(is_of_a_cluster(name) || !ours, "{name}");
        }
        for name in [
            "",
            "oneks",
            "oneks-",
            "oneks-x",
            "Oneks-24",
            "xoneks-24",
            "vr-vr-oneks-24-cp-0",
        ] {
            assert!(!is_of_a_cluster(name), "{name}");
        }
    }

    #[test]
    fn tokens_of_others_are_not_ours() {
        for text in [
            "",
            "oneks",
            "oneks:",
            "oneks:1:p",
            "oneks:1::2",
            "oneks:1:p:2:3",
            "oneks:x:p:1",
            "oneks:1:p:-1",
        ] {
            assert_eq!(CommandToken::parse(text), None, "{text}");
        }
        assert_eq!(CommandToken::of_command("/bin/sh"), None);
        assert_eq!(
            CommandToken::of_command("/bin/sh -s oneks:7:kubeconfig:1").map(|t| t.cluster),
            Some(7)
        );
    }

    #[test]
    fn dns_labels() {
        for (text, ok) in [
            ("a", true),
            ("a-b9", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("é", false),
        ] {
            assert_eq!(is_dns_label(text), ok, "{text}");
        }
        assert!(is_dns_label(&"a".repeat(63)));
        assert!(!is_dns_label(&"a".repeat(64)));
    }
}
