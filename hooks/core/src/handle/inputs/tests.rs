use super::super::testing::{attributes, catalog};
use super::*;

fn places() -> Places {
    let named = |id, name: &str, own, clusters: &[u32]| Named {
        id,
        name: name.to_owned(),
        own,
        clusters: clusters.to_vec(),
    };
    Places {
        networks: vec![
            named(0, "public", false, &[0, 100]),
            named(1, "private", false, &[100, 0]),
            named(2, "twice", false, &[0]),
            named(3, "twice", false, &[0]),
            named(4, "mine", false, &[0]),
            named(5, "mine", true, &[100]),
            named(6, "far", false, &[200]),
        ],
        datastores: vec![named(1, "default", false, &[0])],
        nics: Vec::new(),
    }
}

fn ask(pairs: &[(&str, &str)], places: &Places) -> Result<Asked, Vec<String>> {
    let catalog = catalog();
    let named: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| {
            let long = if name.starts_with("ONEKS") {
                (*name).to_owned()
            } else {
                format!("{INPUT}{name}")
            };
            (long, (*value).to_owned())
        })
        .collect();
    let pairs: Vec<(&str, &str)> = named.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let status = Status::new(0);
    asked(&attributes(&pairs), places, &catalog, &|spec| {
        refusals(&catalog, &status, spec)
    })
}

#[test]
fn inputs_become_a_spec() {
    let asked = ask(
        &[
            ("CLUSTER_NAME", " shop "),
            ("CLUSTER_VERSION", "v1.33.7"),
            ("CONTROLPLANE_FLAVOUR", "large"),
            ("NETWORK_PUBLIC", "public"),
            ("NETWORK_PRIVATE", "5"),
            ("STORAGE_IMAGES", "default"),
            ("NODES_FLAVOUR", "general/large"),
            ("NODES_COUNT", "3"),
            ("CLUSTER_PROTECTION", "YES"),
            ("ONEKS_GROUP_GPU", "0"),
            ("ONEKS_DRIVER", "dummy"),
        ],
        &places(),
    )
    .unwrap();
    assert_eq!(asked.name.as_deref(), Some("shop"));
    let expected = Spec::parse(
        r#"{"kubernetes_version":"v1.33.7","driver":"dummy","deployment":{"cluster":{"id":100},
        "networks":{"public":{"id":0},"private":{"id":5}},"datastores":{"image":{"id":1}}},
        "control_plane":{"flavour":"large"},"deletion_protection":true,"node_groups":[
        {"name":"workers","flavour":"large","user_inputs_values":{"count":3}},
        {"name":"gpu","flavour":"small","user_inputs_values":{"count":0}}]}"#,
    );
    assert_eq!(Ok(asked.spec), expected);
}

#[test]
fn what_is_not_said_is_the_usual_and_networks_may_come_as_nics() {
    let places = Places {
        nics: vec![0, 1],
        ..places()
    };
    let asked = ask(&[], &places).unwrap();
    assert_eq!(asked.name, None);
    assert_eq!(asked.spec.kubernetes_version, "v1.34.2");
    assert_eq!(asked.spec.deployment.cluster.id, 0);
    assert_eq!(asked.spec.deployment.networks.private.id, 1);
    assert!(asked.spec.node_groups.is_empty());
    let with_nodes = ask(&[("NODES_COUNT", "2")], &places).unwrap();
    assert_eq!(with_nodes.spec.node_groups[0].name, "workers");
    // The user's own network before others' of the same name.
    let own = ask(&[("NETWORK_PRIVATE", "mine")], &places).unwrap();
    assert_eq!(own.spec.deployment.networks.private.id, 5);
}

#[test]
fn what_is_wrong_is_named_all_at_once() {
    let errors = ask(
        &[
            ("NETWORK_PUBLIC", "nowhere"),
            ("STORAGE_IMAGES", "none"),
            ("NODES_COUNT", "some"),
        ],
        &places(),
    )
    .unwrap_err();
    let all = errors.join("\n");
    for part in [
        "ONEAPP_KUBERNETES_NETWORK_PUBLIC=\"nowhere\"",
        "ONEAPP_KUBERNETES_NETWORK_PRIVATE is missing",
        "ONEAPP_KUBERNETES_STORAGE_IMAGES=\"none\"",
        "ONEAPP_KUBERNETES_NODES_COUNT=\"some\"",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let good = [
        ("NETWORK_PUBLIC", "public"),
        ("NETWORK_PRIVATE", "private"),
        ("NODES_COUNT", "1"),
    ];
    for (field, value, what) in [
        ("NETWORK_PRIVATE", "twice", "one of 2, 3"),
        ("NETWORK_PRIVATE", "far", "no OpenNebula cluster"),
        ("NETWORK_PRIVATE", "public", "another than the public"),
        ("NETWORK_CLUSTER", "default", "must be the id"),
        ("CLUSTER_VERSION", "v1.0.0", "not offered"),
        ("CONTROLPLANE_FLAVOUR", "huge", "no flavour"),
        ("CONTROLPLANE_FLAVOUR", "none/huge", "none"),
        ("NODES_FLAVOUR", "huge", "no flavour"),
        ("NODES_COUNT", "1000", "count"),
        ("NODES_NAME", "Oh no", "RFC 1123"),
    ] {
        let mut pairs: Vec<_> = good.iter().copied().filter(|(f, _)| *f != field).collect();
        pairs.push((field, value));
        let errors = ask(&pairs, &places()).unwrap_err().join("\n");
        assert!(errors.contains(what), "{field}={value}: {errors}");
    }
}
