//! The mark that objects of a Kubernetes cluster carry.

use crate::template::{Template, vector_value};

/// `ONEKS=[CLUSTER_ID=…, GROUP_ID=…, TYPE=…, CLUSTER_NAME=…]`.
///
/// Whoever may change a VM may change its tag. It only says what to look at: owner and name must agree with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Id of the cluster's document.
    pub cluster_id: u32,
    /// Id of the group of nodes, if it belongs to one.
    pub group_id: Option<u32>,
    /// What it is to the cluster (`TYPE`); empty if the tag does not say.
    pub kind: String,
    /// Name of the cluster; empty if the tag does not say.
    pub cluster_name: String,
}

impl Tag {
    /// Name of the attribute.
    pub const ATTRIBUTE: &'static str = "ONEKS";

    /// The tag in the attributes of an object.
    ///
    /// `None` unless there is exactly one, with a cluster id and, if there is one, a group id that are plain numbers in
    /// their shortest form.
    pub fn of(template: &Template) -> Option<Self> {
        let mut tags = template
            .iter()
            .filter(|attribute| attribute.name == Self::ATTRIBUTE);
        let (Some(tag), None) = (tags.next(), tags.next()) else {
            return None;
        };
        let pairs = tag.value.as_vector()?;
        let text = |key| vector_value(pairs, key).unwrap_or_default().to_owned();
        let group_id = match vector_value(pairs, "GROUP_ID") {
            Some(id) => Some(plain_number(id)?),
            None => None,
        };
        Some(Self {
            cluster_id: plain_number(vector_value(pairs, "CLUSTER_ID")?)?,
            group_id,
            kind: text("TYPE"),
            cluster_name: text("CLUSTER_NAME"),
        })
    }
}

/// Strict: `+7`, `007`, ` 7` and `7.0` are no ids, so that no two texts mean the same object.
fn plain_number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Option<Tag> {
        Tag::of(&Template::parse_text(text).unwrap())
    }

    #[test]
    fn genuine_tags() {
        let full =
            tag(r#"ONEKS=[CLUSTER_ID="77",GROUP_ID="77002",TYPE="NodeGroup",CLUSTER_NAME="oneks-77"]"#)
                .unwrap();
        assert_eq!((full.cluster_id, full.group_id), (77, Some(77002)));
        assert_eq!(
            (full.kind.as_str(), full.cluster_name.as_str()),
            ("NodeGroup", "oneks-77")
        );
        let short = tag("ONEKS=[CLUSTER_ID=0]").unwrap();
        assert_eq!(
            (short.cluster_id, short.group_id, short.kind.as_str()),
            (0, None, "")
        );
    }

    #[test]
    fn forged_tags() {
        for id in [
            "",
            "+7",
            "-7",
            "007",
            "7.0",
            "7 8",
            "0x7",
            "4294967296",
            "７",
            "77; rm",
        ] {
            assert_eq!(tag(&format!("ONEKS=[CLUSTER_ID=\"{id}\"]")), None, "{id}");
            assert_eq!(
                tag(&format!("ONEKS=[CLUSTER_ID=\"7\",GROUP_ID=\"{id}\"]")),
                None,
                "{id}"
            );
        }
        for text in [
            "",
            "ONEKS=7",
            "ONEKS=[]",
            "ONEKS=[GROUP_ID=7]",
            "ONEKS=[CLUSTER_ID=1]\nONEKS=[CLUSTER_ID=2]",
        ] {
            assert_eq!(tag(text), None, "{text}");
        }
    }
}
