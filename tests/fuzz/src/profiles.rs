//! Profiles: the administrator's YAML, and what users choose from it.

use std::collections::BTreeMap;

use oneks_core::profile::{Catalog, Family};
use oneks_driver::Role;
use serde_json::Value;

use crate::cursor::Cursor;

/// A family's file, and values for its inputs.
pub(crate) fn profile(data: &[u8]) {
    let mut parts = Cursor::new(data);
    let (yaml, values) = (parts.text(), parts.text());
    let values: BTreeMap<String, Value> = serde_json::from_str(&values).unwrap_or_default();
    for (role, file) in [
        (Role::ControlPlane, "controlplanes/f/controlplane.conf"),
        (Role::NodeGroup, "nodegroups/f/nodegroup.conf"),
    ] {
        let files = BTreeMap::from([(file.to_owned(), yaml.clone())]);
        let (catalog, errors) = Catalog::parse(&files);
        match catalog.family(role, "f") {
            Ok(family) => {
                assert_eq!(errors, []);
                choose(family, &values);
            }
            Err(_) => assert!(!errors.is_empty(), "a broken family without a reason"),
        }
        for error in errors {
            assert!(error.file == file && !error.reason.is_empty(), "{error}");
        }
    }
}

fn choose(family: &Family, values: &BTreeMap<String, Value>) {
    assert_eq!(family.flavours_in_order().len(), family.flavours.len());
    let profile = family.driver_profile("x");
    assert!(profile.settings.is_object());
    for (name, flavour) in &family.flavours {
        let _ = family.inputs_of(flavour);
        for given in [values, &BTreeMap::new()] {
            let Ok(chosen) = family.resolve(name, given, "g") else {
                continue;
            };
            let count = chosen.get("count").map(Value::as_u64);
            assert!(
                count.is_none_or(|n| n.is_some_and(|n| u32::try_from(n).is_ok())),
                "{count:?}"
            );
            for (input, value) in &chosen {
                let known = family.user_inputs.iter().find(|i| i.name == *input).unwrap();
                assert_eq!(known.check(value), Ok(()), "{input}");
            }
            assert_eq!(family.resolve(name, &chosen, "g").as_ref(), Ok(&chosen), "{name}");
        }
    }
}
