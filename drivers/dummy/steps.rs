//! What to do next for a group. Names of nodes are numbered; a number that became free is used again.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{Cluster, DriverError, Group, GroupVm, Role, Steps, VmCondition, VmText};

use crate::text::{self, Kind};

/// Makes the nodes that are missing and removes those that are too many, the newest first. What failed is replaced.
pub fn resize(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    let (mut remove, alive) = failed_and_alive(group);
    let want = group.replicas as usize;
    remove.extend(alive.iter().skip(want).map(|vm| vm.id));
    let missing = want.saturating_sub(alive.len());
    Ok(Steps {
        vms: fresh(cluster, group, missing)?,
        remove,
        ..Steps::default()
    })
}

/// One node more of the new version, then one less of the old, until none of the old is left.
///
/// Nothing goes on until all new nodes run. What failed is removed first, and so is an old node that is down.
pub fn upgrade(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    let (mut remove, alive) = failed_and_alive(group);
    let (new, old): (Vec<&GroupVm>, Vec<&GroupVm>) = alive
        .iter()
        .copied()
        .partition(|vm| vm.version.as_ref() == Some(&group.version));
    let next = old
        .iter()
        .find(|vm| vm.condition == VmCondition::Down)
        .or(old.first());
    let Some(next) = next else {
        return resize(cluster, group);
    };
    let want = group.replicas as usize;
    let mut vms = Vec::new();
    if new.iter().all(|vm| vm.condition == VmCondition::Running) {
        if alive.len() > want {
            remove.push(next.id);
        } else {
            vms = fresh(cluster, group, want + 1 - alive.len())?;
        }
    }
    Ok(Steps {
        vms,
        remove,
        ..Steps::default()
    })
}

/// Every node goes.
pub fn remove_all(group: &Group) -> Steps {
    Steps {
        remove: present(group).into_iter().map(|vm| vm.id).collect(),
        ..Steps::default()
    }
}

/// The ids of those to replace, and the others.
fn failed_and_alive(group: &Group) -> (Vec<u32>, Vec<&GroupVm>) {
    let (failed, alive): (Vec<&GroupVm>, Vec<&GroupVm>) = present(group)
        .into_iter()
        .partition(|vm| vm.condition == VmCondition::Failed);
    (failed.into_iter().map(|vm| vm.id).collect(), alive)
}

/// The VMs that are not on their way out, oldest first.
fn present(group: &Group) -> Vec<&GroupVm> {
    let mut vms: Vec<&GroupVm> = group
        .vms
        .iter()
        .filter(|vm| vm.condition != VmCondition::Ending)
        .collect();
    vms.sort_by_key(|vm| vm.id);
    vms
}

/// This many new nodes, `<group>-<n>` with the lowest numbers that are free.
///
/// No two groups make the same name: what stands behind the last hyphen is the number, what is before names the group.
fn fresh(cluster: &Cluster, group: &Group, count: usize) -> Result<Vec<VmText>, DriverError> {
    let kind = match group.role {
        Role::ControlPlane => Kind::ControlPlane,
        Role::NodeGroup => Kind::Node,
    };
    let text = text::node(cluster, group, kind)?;
    let taken: BTreeSet<&str> = group.vms.iter().map(|vm| vm.name.as_str()).collect();
    Ok((0..)
        .map(|n: u32| format!("{}-{n}", group.name))
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
            credential: 1,
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
    fn upgrade_surges_by_one_and_waits_for_the_new() {
        for (want, vms, made, removed) in [
            (2, vec![(0, Running, OLD), (1, Running, OLD)], 1, vec![]),
            (
                2,
                vec![(0, Running, OLD), (1, Running, OLD), (2, Starting, NEW)],
                0,
                vec![],
            ),
            (
                2,
                vec![(0, Running, OLD), (1, Running, OLD), (2, Down, NEW)],
                0,
                vec![],
            ),
            (
                2,
                vec![(0, Running, OLD), (1, Running, OLD), (2, Running, NEW)],
                0,
                vec![0],
            ),
            (
                2,
                vec![(0, Running, OLD), (1, Down, OLD), (2, Running, NEW)],
                0,
                vec![1],
            ),
            (
                2,
                vec![(0, Ending, OLD), (1, Running, OLD), (2, Running, NEW)],
                1,
                vec![],
            ),
            // What failed makes way for another try.
            (
                2,
                vec![(0, Running, OLD), (1, Running, OLD), (2, Failed, NEW)],
                1,
                vec![2],
            ),
            (2, vec![(0, Failed, OLD), (1, Running, OLD)], 2, vec![0]),
            // Another size meanwhile.
            (1, vec![(0, Running, OLD), (1, Running, OLD)], 0, vec![0]),
            (4, vec![(0, Running, OLD), (1, Running, OLD)], 3, vec![]),
            (0, vec![(0, Running, OLD)], 0, vec![0]),
            // None of the old is left.
            (2, vec![(2, Running, NEW), (3, Running, NEW)], 0, vec![]),
            (2, vec![(2, Running, NEW), (3, Failed, NEW)], 1, vec![3]),
        ] {
            let steps = upgrade(&cluster(), &group(want, &vms)).unwrap();
            assert_eq!((steps.vms.len(), steps.remove), (made, removed), "{want} {vms:?}");
        }
    }

    /// Whatever the start, carrying out the steps again and again ends with what is wanted, and never with more than
    /// one node too many of those that were there or made.
    #[test]
    fn upgrades_end() {
        for start in 0..4_u32 {
            for want in 0..4_u32 {
                let mut vms: Vec<_> = (0..start).map(|n| (n, Running, OLD)).collect();
                let most = start.max(want + 1) as usize;
                let mut next = start;
                for round in 0.. {
                    let steps = upgrade(&cluster(), &group(want, &vms)).unwrap();
                    if steps == Steps::default() {
                        break;
                    }
                    vms.retain(|(id, _, _)| !steps.remove.contains(id));
                    for _ in &steps.vms {
                        vms.push((next, Running, NEW));
                        next += 1;
                    }
                    assert!(vms.len() <= most && round < 20, "{start} {want} {vms:?}");
                }
                assert_eq!(vms.len(), want as usize);
                assert!(vms.iter().all(|(_, _, version)| *version == NEW), "{vms:?}");
            }
        }
    }

    #[test]
    fn nodes_of_different_groups_have_different_names() {
        let named = |name: &str, role| {
            let group = Group {
                name: name.into(),
                role,
                ..group(3, &[])
            };
            let steps = resize(&cluster(), &group).unwrap();
            steps.vms.into_iter().map(|vm| vm.name).collect::<BTreeSet<_>>()
        };
        let mut all = named("oneks-7", Role::ControlPlane);
        assert!(all.contains("oneks-7-0"));
        for (n, key) in ["0", "1", "0-1", "node", "a-0"].into_iter().enumerate() {
            all.extend(named(&format!("oneks-7-{key}"), Role::NodeGroup));
            assert_eq!(all.len(), 3 * (n + 2), "{key}: {all:?}");
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
