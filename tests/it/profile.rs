//! The profiles that are installed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // these are tests

use std::collections::BTreeMap;
use std::path::Path;

use oneks_core::profile::{Catalog, DependencyKind, Family};
use oneks_driver::Role;
use serde_json::{Value, json};

fn texts() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/profiles");
    let mut found = BTreeMap::new();
    for role in ["controlplanes", "nodegroups"] {
        for family in std::fs::read_dir(root.join(role)).unwrap() {
            for file in std::fs::read_dir(family.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

fn catalog() -> Catalog {
    let (catalog, errors) = Catalog::parse(&texts());
    assert_eq!(errors, []);
    catalog
}

#[test]
fn the_flavours_are_those_that_users_of_oneks_know() {
    let catalog = catalog();
    let names = |role| {
        let family: &Family = catalog.family(role, "general").unwrap();
        family
            .flavours_in_order()
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(Role::ControlPlane), ["standalone", "ha"]);
    assert_eq!(names(Role::NodeGroup), ["small", "medium", "large"]);
    let plane = catalog.family(Role::ControlPlane, "general").unwrap();
    let value = |flavour: &str| plane.resolve(flavour, &BTreeMap::new(), "control_plane").unwrap();
    let expected = |count: u32| -> BTreeMap<String, Value> {
        let all = json!({"count": count, "cpu": 2, "vcpu": 2, "memory": 4096, "disk_size": 16384});
        all.as_object().unwrap().clone().into_iter().collect()
    };
    assert_eq!(value("standalone"), expected(1));
    assert_eq!(value("ha"), expected(3));
    let seed = plane.dependency(DependencyKind::SeedVm).unwrap();
    assert_eq!(seed.options.creation_timeout, Some(2000));
}

#[test]
fn both_roles_offer_the_same_versions_and_an_upgrade_leads_from_each_to_the_next() {
    let catalog = catalog();
    let versions = |role| &catalog.family(role, "general").unwrap().supported_k8s_versions;
    let offered = versions(Role::ControlPlane);
    assert_eq!(offered, versions(Role::NodeGroup));
    assert!(offered.contains(&"v1.33.7".to_owned()) && offered.contains(&"v1.34.2".to_owned()));
    for pair in offered.windows(2) {
        assert_eq!(
            oneks_core::version::may_upgrade(&pair[0], &pair[1], offered),
            Ok(())
        );
    }
}

#[test]
fn every_purpose_has_a_mark() {
    let catalog = catalog();
    let plane = catalog.family(Role::ControlPlane, "general").unwrap();
    let workers = catalog.family(Role::NodeGroup, "general").unwrap();
    assert_eq!(
        plane.images.keys().collect::<Vec<_>>(),
        ["node", "router", "seed"]
    );
    assert_eq!(workers.images.keys().collect::<Vec<_>>(), ["node"]);
    assert_eq!(plane.images["node"], workers.images["node"]);
    let appliance = plane
        .dependency(DependencyKind::SeedVm)
        .unwrap()
        .options
        .appliance_id
        .clone();
    assert!(
        plane.images["seed"]
            .iter()
            .any(|m| m.attribute == "ONEKS_APPLIANCE_ID" && Some(&m.value) == appliance.as_ref())
    );
}

#[test]
fn what_both_roles_share_is_the_same() {
    let texts = texts();
    assert_eq!(
        texts["controlplanes/general/machine.j2"],
        texts["nodegroups/general/machine.j2"]
    );
}
