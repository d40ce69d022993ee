//! Which virtual machine is which cluster's handle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Attributes, CLUSTER_ID, REPLACES, SHOWN, is_handle};

/// What the handle shows that can be edited, and whose it is; JSON in [`SHOWN`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The VM that this was written to. In a copy it is another's.
    pub vm: u32,
    /// The cluster.
    pub cluster: u32,
    /// Made by the hooks from both.
    #[serde(default)]
    pub proof: String,
    /// How many orders were taken from the handle.
    #[serde(default)]
    pub turn: u32,
    /// The version that was shown.
    #[serde(default)]
    pub version: String,
    /// Was deletion protection shown?
    #[serde(default)]
    pub protected: bool,
    /// The groups that were shown, by attribute.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
}

impl Record {
    /// The record that a user template carries.
    pub fn of(attributes: &Attributes) -> Option<Self> {
        serde_json::from_str(attributes.get(SHOWN)?).ok()
    }

    /// The cluster that the VM with this id says to be the handle of. Nothing is proved by that.
    pub fn claimed(text: &str, vm: u32) -> Option<u32> {
        let record: Self = serde_json::from_str(text).ok()?;
        (record.vm == vm).then_some(record.cluster)
    }

    /// The cluster that a handle replaces the terminated one of, and that one: what it says, nothing is proved by that.
    pub fn replaced(attributes: &Attributes) -> Option<(u32, u32)> {
        let (vm, _) = attributes.get(REPLACES)?.split_once(' ')?;
        Some((attributes.get(CLUSTER_ID)?.trim().parse().ok()?, vm.parse().ok()?))
    }

    /// The attribute's text. It holds nothing that OpenNebula could not store.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_default()
            .replace('>', "\\u003e")
    }
}

/// A virtual machine and a cluster's document, as far as it matters whether they belong together.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Id of the VM.
    pub vm: u32,
    /// Its owner.
    pub vm_owner: u32,
    /// Its attributes.
    pub attributes: &'a Attributes,
    /// Id of the document.
    pub cluster: u32,
    /// Its owner.
    pub owner: u32,
    /// The VM that it names as its handle.
    pub handle: Option<u32>,
    /// The proof for this VM and this cluster.
    pub proof: &'a str,
    /// The proof that a VM has that replaces the one which the document names.
    pub successor: &'a str,
    /// Did this front-end see the two belong together before?
    pub noted: bool,
}

/// What a VM is to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its handle. The record is missing where the cluster was just made, or somebody erased it.
    Handle(Option<Record>),
    /// To become its handle: the document doesn't say so yet, or not any more.
    Heir(Option<Record>),
    /// Not its handle although it says so, and why.
    Stranger(String),
    /// It has nothing to do with it.
    Nothing,
}

/// What is this VM to this cluster?
pub fn standing(view: &View<'_>) -> Standing {
    let record = Record::of(view.attributes).filter(|r| r.vm == view.vm);
    let named = view.handle == Some(view.vm);
    let claims = record.as_ref().is_some_and(|r| r.cluster == view.cluster);
    if view.vm_owner != view.owner {
        return if claims {
            Standing::Stranger(format!(
                "cluster {} belongs to another user than this virtual machine; give it back, or terminate it: the cluster \
                 stays",
                view.cluster
            ))
        } else {
            Standing::Nothing
        };
    }
    match record {
        // It was just made, and could not know its own id.
        None if view.handle.is_some_and(|other| replaces(view, other)) => Standing::Heir(None),
        Some(record) if claims && record.proof == view.proof => match view.handle {
            _ if named => Standing::Handle(Some(record)),
            // The document lost it, with its template.
            None => Standing::Heir(Some(record)),
            Some(other) if replaces(view, other) => Standing::Heir(Some(record)),
            Some(other) => {
                Standing::Stranger(format!("the handle of cluster {} is VM {other}", view.cluster))
            }
        },
        Some(_) if claims => Standing::Stranger(format!(
            "this virtual machine is not the handle of cluster {}: remove {SHOWN} to get a cluster of its own",
            view.cluster
        )),
        None if named && (is_handle(view.attributes) || view.noted) => Standing::Handle(None),
        _ => Standing::Nothing,
    }
}

/// Was the VM made to replace that other one?
fn replaces(view: &View<'_>, other: u32) -> bool {
    let said = view.attributes.get(REPLACES).map_or("", String::as_str);
    !view.successor.is_empty() && said == format!("{other} {}", view.successor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(record: Option<&Record>, more: &[(&str, &str)]) -> Attributes {
        let mut all: Attributes = more
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        all.extend(record.map(|r| (SHOWN.to_owned(), r.to_text())));
        all
    }

    fn record(vm: u32, cluster: u32, proof: &str) -> Record {
        Record {
            vm,
            cluster,
            proof: proof.to_owned(),
            ..Record::default()
        }
    }

    fn stand(attributes: &Attributes, vm_owner: u32, handle: Option<u32>, noted: bool) -> Standing {
        standing(&View {
            vm: 42,
            vm_owner,
            attributes,
            cluster: 7,
            owner: 2,
            handle,
            proof: "good",
            successor: "next",
            noted,
        })
    }

    #[test]
    fn only_what_owner_document_and_proof_agree_about_is_a_handle() {
        let good = record(42, 7, "good");
        let tag = [("ONEKS_HANDLE", "YES")];
        let with = |r: &Record| attributes(Some(r), &tag);
        assert_eq!(
            stand(&with(&good), 2, Some(42), false),
            Standing::Handle(Some(good.clone()))
        );
        // Just made, or erased in part.
        assert_eq!(
            stand(&attributes(None, &tag), 2, Some(42), false),
            Standing::Handle(None)
        );
        assert_eq!(
            stand(&attributes(None, &[]), 2, Some(42), true),
            Standing::Handle(None)
        );
        // A document that names any VM of its owner gets none by that.
        assert_eq!(
            stand(&attributes(None, &[]), 2, Some(42), false),
            Standing::Nothing
        );
        // A document that lost its template, and a successor.
        assert_eq!(
            stand(&with(&good), 2, None, false),
            Standing::Heir(Some(good.clone()))
        );
        let replaces = [("ONEKS_HANDLE", "YES"), ("ONEKS_REPLACES", "41 next")];
        let heir = attributes(Some(&good), &replaces);
        assert_eq!(
            stand(&heir, 2, Some(41), false),
            Standing::Heir(Some(good.clone()))
        );
        assert_eq!(
            stand(&attributes(None, &replaces), 2, Some(41), false),
            Standing::Heir(None)
        );
        for (owner, handle) in [(3, Some(41)), (2, Some(40)), (2, None)] {
            assert_eq!(
                stand(&attributes(None, &replaces), owner, handle, false),
                Standing::Nothing
            );
        }
        for (attributes, vm_owner, handle) in [
            // Another user's, whatever it says.
            (with(&good), 3, Some(42)),
            // Forged.
            (with(&record(42, 7, "bad")), 2, Some(42)),
            (with(&record(42, 7, "")), 2, None),
            // The cluster has another, and this does not replace it.
            (with(&good), 2, Some(41)),
            (attributes_of(&good, "40 next"), 2, Some(41)),
            (attributes_of(&good, "41 other"), 2, Some(41)),
        ] {
            let found = stand(&attributes, vm_owner, handle, true);
            assert!(matches!(found, Standing::Stranger(_)), "{found:?}");
        }
        // A copy, and the handle of another cluster: even if the document names it.
        for other in [record(41, 7, "good"), record(42, 8, "good")] {
            let found = stand(&with(&other), 2, Some(42), false);
            let copy = other.vm != 42;
            let expected = if copy {
                Standing::Handle(None)
            } else {
                Standing::Nothing
            };
            assert_eq!(found, expected);
            assert_eq!(stand(&with(&other), 2, Some(41), false), Standing::Nothing);
        }
        assert_eq!(
            stand(&attributes(None, &tag), 3, Some(42), true),
            Standing::Nothing
        );
    }

    fn attributes_of(record: &Record, replaces: &str) -> Attributes {
        attributes(Some(record), &[("ONEKS_REPLACES", replaces)])
    }

    #[test]
    fn a_record_survives_and_nonsense_is_none() {
        let mut record = record(42, 7, "p");
        record.groups.insert("ONEKS_GROUP_A".into(), "1 a]]>b".into());
        let text = record.to_text();
        assert!(!text.contains("]]>"), "{text}");
        let attributes = Attributes::from([(SHOWN.to_owned(), text.clone())]);
        assert_eq!(Record::of(&attributes), Some(record));
        assert_eq!(Record::claimed(&text, 42), Some(7));
        assert_eq!(Record::claimed(&text, 43), None);
        for text in ["", "{", "[]", "{\"vm\":-1,\"cluster\":1}", "7"] {
            assert_eq!(Record::claimed(text, 42), None, "{text}");
        }
    }
}
