//! What to do next for a group. Names of nodes are numbered; a number that became free is used again.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{Cluster, DriverError, Group, GroupVm, Role, Steps, VmCondition, VmText};

use crate::text::{self, Kind};

/// Makes the nodes that are missing and removes those that are too many, the newest first. What failed is replaced.
pub fn resize(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    let (failed, alive): (Vec<&GroupVm>, Vec<&GroupVm>) = present(group)
        .into_iter()
        .partition(|vm| vm.condition == VmCondition::Failed);
    let want = group.replicas as usize;
    let mut remove: Vec<u32> = failed.iter().map(|vm| vm.id).collect();
    remove.extend(alive.iter().skip(want).map(|vm| vm.id));
    let missing = want.saturating_sub(alive.len());
    Ok(Steps {
        vms: fresh(cluster, group, missing)?,
        remove,
        ..Steps::default()
    })
}

/// One node more of the new version, then one less of the old, until none of the old is left.
pub fn upgrade(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    let there = present(group);
    let (new, old): (Vec<&GroupVm>, Vec<&GroupVm>) = there
        .iter()
        .copied()
        .partition(|vm| vm.version.as_ref() == Some(&group.version));
    let want = group.replicas as usize;
    let starting = new.iter().any(|vm| vm.condition != VmCondition::Running);
    let mut steps = Steps::default();
    if old.is_empty() {
        return resize(cluster, group);
    }
    if there.len() <= want && !starting {
        steps.vms = fresh(cluster, group, 1)?;
    } else if there.len() > want && !starting {
        steps.remove = old.first().map(|vm| vm.id).into_iter().collect();
    }
    Ok(steps)
}

/// Every node goes.
pub fn remove_all(group: &Group) -> Steps {
    Steps {
        remove: present(group).into_iter().map(|vm| vm.id).collect(),
        ..Steps::default()
    }
}

fn present(group: &Group) -> Vec<&GroupVm> {
    let mut vms: Vec<&GroupVm> = group
        .vms
        .iter()
        .filter(|vm| vm.condition != VmCondition::Ending)
        .collect();
    vms.sort_by_key(|vm| vm.id);
    vms
}

/// This many new nodes, under the lowest numbers that are free.
fn fresh(cluster: &Cluster, group: &Group, count: usize) -> Result<Vec<VmText>, DriverError> {
    let kind = if group.role == Role::ControlPlane {
        Kind::ControlPlane
    } else {
        Kind::Node
    };
    let text = text::node(cluster, group, kind)?;
    let middle = if group.role == Role::ControlPlane {
        "-node"
    } else {
        ""
    };
    let taken: BTreeSet<&str> = group.vms.iter().map(|vm| vm.name.as_str()).collect();
    Ok((0..)
        .map(|n: u32| format!("{}{middle}-{n}", group.name))
        .filter(|name| !taken.contains(name.as_str()))
        .take(count)
        .map(|name| VmText {
            name,
            text: text.clone(),
            attachments: BTreeMap::new(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use oneks_driver::{Network, Owner, Placement, Profile};
    use serde_json::json;

    use super::*;

    fn cluster() -> Cluster {
        Cluster {
            id: 7,
            name: "oneks-7".into(),
            display_name: "x".into(),
            owner: Owner {
                uid: 2,
                name: "alice".into(),
            },
            kubernetes_version: "v1.34.2".into(),
            placement: Placement {
                cluster_id: 0,
                public: Network {
                    id: 0,
                    name: "public".into(),
                },
                private: Network {
                    id: 1,
                    name: "a: \"b\" #c".into(),
                },
                image_datastore: None,
            },
            images: BTreeMap::new(),
            endpoint: None,
            gateway: None,
            xmlrpc: String::new(),
        }
    }

    fn group(replicas: u32, vms: &[(u32, VmCondition, &str)]) -> Group {
        Group {
            id: 7001,
            name: "oneks-7-w".into(),
            key: "w".into(),
            role: Role::NodeGroup,
            replicas,
            version: "v1.34.2".into(),
            inputs: [("cpu", json!(0.5)), ("vcpu", json!(1)), ("memory", json!(512))]
                .map(|(k, v)| (k.to_owned(), v))
                .into(),
            profile: Profile::default(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            vms: vms
                .iter()
                .map(|(id, condition, version)| GroupVm {
                    id: *id,
                    name: format!("oneks-7-w-{id}"),
                    condition: *condition,
                    ip: None,
                    version: Some((*version).to_owned()),
                })
                .collect(),
        }
    }

    use VmCondition::{Down, Ending, Failed, Running, Starting};
    const NEW: &str = "v1.34.2";
    const OLD: &str = "v1.33.7";

    #[test]
    fn resize_makes_what_is_missing_and_removes_the_newest() {
        for (want, vms, made, removed) in [
            (2, vec![], vec!["oneks-7-w-0", "oneks-7-w-1"], vec![]),
            (2, vec![(0, Running, NEW)], vec!["oneks-7-w-1"], vec![]),
            (1, vec![(0, Running, NEW), (1, Running, NEW)], vec![], vec![1]),
            (0, vec![(0, Running, NEW)], vec![], vec![0]),
            (1, vec![(0, Failed, NEW)], vec!["oneks-7-w-1"], vec![0]),
            (1, vec![(0, Down, NEW)], vec![], vec![]),
            (1, vec![(0, Ending, NEW)], vec!["oneks-7-w-1"], vec![]),
            (1, vec![(0, Starting, NEW)], vec![], vec![]),
        ] {
            let steps = resize(&cluster(), &group(want, &vms)).unwrap();
            let names: Vec<&str> = steps.vms.iter().map(|vm| vm.name.as_str()).collect();
            assert_eq!((names, steps.remove), (made, removed), "{want} {vms:?}");
        }
    }

    #[test]
    fn upgrade_surges_by_one_and_ends() {
        for (vms, made, removed) in [
            (vec![(0, Running, OLD), (1, Running, OLD)], 1, vec![]),
            (
                vec![(0, Running, OLD), (1, Running, OLD), (2, Starting, NEW)],
                0,
                vec![],
            ),
            (
                vec![(0, Running, OLD), (1, Running, OLD), (2, Running, NEW)],
                0,
                vec![0],
            ),
            (vec![(1, Running, OLD), (2, Running, NEW)], 1, vec![]),
            (vec![(2, Running, NEW), (3, Running, NEW)], 0, vec![]),
        ] {
            let steps = upgrade(&cluster(), &group(2, &vms)).unwrap();
            assert_eq!((steps.vms.len(), steps.remove), (made, removed), "{vms:?}");
        }
    }

    #[test]
    fn every_vm_carries_the_tag_and_its_version() {
        let steps = resize(&cluster(), &group(1, &[])).unwrap();
        let template = Template::parse_text(&steps.vms[0].text).unwrap();
        assert_eq!(template.get_in("ONEKS", "GROUP_ID"), Some("7001"));
        assert_eq!(template.get_in("ONEKS", "TYPE"), Some("NODE"));
        assert_eq!(template.get(text::VERSION), Some(NEW));
    }

    use opennebula::template::Template;
}
