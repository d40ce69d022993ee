//! What the tests of handles need.

use std::collections::BTreeMap;

use super::Attributes;
use crate::profile::Catalog;
use crate::spec::Spec;
use crate::status::Status;

/// Families with two flavours, of which the second is a little larger.
pub fn catalog() -> Catalog {
    let profile = |limits: &str| {
        format!(
            "name: Test\ndescription: d\nsupported_k8s_versions: [v1.32.9, v1.33.7, v1.34.2]\nuser_inputs:\n  \
             - {{ name: count, type: number, mandatory: true, match: {{ type: number, values: {{ {limits} }} }} }}\n\
             flavours:\n  small: {{ label: s, description: s, override_defaults: true, defaults: {{ count: 1 }} }}\n  \
             large: {{ label: s, description: s, override_defaults: true, defaults: {{ count: 1 }} }}\n"
        )
    };
    let files = BTreeMap::from([
        (
            "controlplanes/general/controlplane.conf".to_owned(),
            profile("min: 1, max: 5"),
        ),
        (
            "nodegroups/general/nodegroup.conf".to_owned(),
            profile("min: 0, max: 100"),
        ),
    ]);
    let (catalog, errors) = Catalog::parse(&files);
    assert!(errors.is_empty(), "{errors:?}");
    catalog
}

/// A cluster of v1.33.7 with two workers, accepted.
pub fn cluster() -> (Spec, Status) {
    let spec = Spec::parse(
        r#"{"kubernetes_version":"v1.33.7","deployment":{"cluster":{"id":0},"networks":{"public":{"id":0},"private":{"id":1}}},
        "control_plane":{"flavour":"small"},"node_groups":[{"name":"workers","flavour":"small","user_inputs_values":{"count":2}}]}"#,
    )
    .unwrap();
    let mut status = Status::new(7);
    status.accepted = Some(spec.clone());
    (spec, status)
}

/// Attributes from pairs.
pub fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    let pairs = pairs.iter();
    pairs.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}
