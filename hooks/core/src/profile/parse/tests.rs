use oneks_driver::Role;
use serde_json::json;

use super::*;

const GOOD: &str = "name: Test
description: A family
supported_k8s_versions: [v1.33.7, v1.34.2]
user_inputs:
  - name: count
    type: number
    mandatory: true
    match: { type: number, values: { min: 0, max: 9 } }
  - { name: size, type: string, default: m, match: { type: list, values: [s, m, l] } }
flavours:
  tall:
    override_defaults: false
    defaults: { size: l }
  small: { label: Small, defaults: { count: 1 } }
settings:
  images: { node: { attribute: NAME, value: node }, seed: [{ attribute: A, value: b }] }
  answer: NO
";

fn parse(files: &[(&str, &str)]) -> (Catalog, Vec<ProfileError>) {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Catalog::parse(&files.collect())
}

#[test]
fn a_family_is_read_with_its_texts() {
    let (catalog, errors) = parse(&[
        ("nodegroups/test/nodegroup.conf", GOOD),
        ("nodegroups/test/node.j2", "CPU = 1"),
        ("nodegroups/test/README.md", "not a text"),
        ("nodegroups/test/old/node.j2", "not this one"),
        ("README.md", "not a family"),
    ]);
    assert_eq!(errors, []);
    assert!(catalog.control_planes.is_empty());
    let family = catalog.family(Role::NodeGroup, "test").unwrap();
    assert_eq!((family.family.as_str(), family.name.as_str()), ("test", "Test"));
    assert_eq!(family.texts.keys().collect::<Vec<_>>(), ["node.j2"]);
    let order: Vec<_> = family.flavours_in_order().iter().map(|(name, _)| *name).collect();
    assert_eq!(order, ["tall", "small"]);
    assert_eq!(family.flavours["tall"].label, "tall");
    assert!(family.flavours["small"].override_defaults);
    assert_eq!(family.images["node"][0].attribute, "NAME");
    assert_eq!(family.images["seed"].len(), 1);
    // YAML 1.1 would read a boolean here.
    assert_eq!(family.settings["answer"], "NO");
    assert_eq!(family.driver_profile("small").settings["dependencies"], json!({}));
    assert_eq!(
        catalog.family(Role::NodeGroup, "gpu").unwrap_err().to_string(),
        "there is no node group family \"gpu\"; choose one of test"
    );
    assert_eq!(
        catalog
            .family(Role::ControlPlane, "test")
            .unwrap_err()
            .to_string(),
        "there is no control plane family \"test\"; none is installed"
    );
}

#[test]
fn inputs_are_shown_as_interfaces_know_them() {
    let (catalog, _) = parse(&[("nodegroups/test/nodegroup.conf", GOOD)]);
    let family = catalog.family(Role::NodeGroup, "test").unwrap();
    assert_eq!(
        serde_json::to_value(family.inputs_of(&family.flavours["tall"])).unwrap(),
        json!([
            {
                "name": "count", "description": "", "type": "number", "mandatory": true,
                "match": {"type": "number", "values": {"min": 0, "max": 9}},
            },
            {
                "name": "size", "description": "", "type": "string", "mandatory": false, "default": "l",
                "match": {"type": "list", "values": ["s", "m", "l"]},
            },
        ])
    );
}

#[test]
fn a_broken_family_hides_no_other() {
    let (catalog, errors) = parse(&[
        (
            "controlplanes/good/controlplane.conf",
            &GOOD.replace("min: 0", "min: 1"),
        ),
        ("controlplanes/broken/controlplane.conf", "name: ["),
        ("controlplanes/empty/manifest.yaml.j2", ""),
    ]);
    assert_eq!(catalog.control_planes.keys().collect::<Vec<_>>(), ["good"]);
    assert_eq!(errors.len(), 2);
    assert_eq!(errors[0].file, "controlplanes/broken/controlplane.conf");
    assert_eq!(
        errors[1].to_string(),
        "controlplanes/empty/controlplane.conf: the family has no such file"
    );
}

/// The first error of a file that differs from the good one in this.
fn error_of(role: &str, from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let (folder, file) = match role {
        "cp" => ("controlplanes", "controlplane.conf"),
        _ => ("nodegroups", "nodegroup.conf"),
    };
    let path = format!("{folder}/test/{file}");
    let (_, errors) = parse(&[(&path, &GOOD.replacen(from, to, 1))]);
    let first = errors.first().unwrap_or_else(|| panic!("no error with {to}"));
    first.to_string().replace(&path, "F")
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (from, to, wanted) in [
        (
            "name: Test\n",
            "title: Test\n",
            "F:1: unknown field `title`, expected one of `name`",
        ),
        ("name: Test\n", "", "F:1: missing field `name`"),
        (
            "name: Test\n",
            "name: Test\nname: Again\n",
            "F:2: duplicate mapping key: name",
        ),
        (
            "name: Test\n",
            "name: Test\nfamily: other\n",
            "F:2: family is \"other\", but the folder is \"test\"",
        ),
        (
            "[v1.33.7, v1.34.2]",
            "[v1.33.7, 1.34.2]",
            "F:3: \"1.34.2\" is no version such as v1.34.2",
        ),
        (
            "[v1.33.7, v1.34.2]",
            "[v1.33.7+rke2r1]",
            "F:3: \"v1.33.7+rke2r1\" is no version",
        ),
        (
            "[v1.33.7, v1.34.2]",
            "[v1.33.7, v1.33.7]",
            "F:3: v1.33.7 stands here twice",
        ),
        (
            "[v1.33.7, v1.34.2]",
            "[]",
            "F: supported_k8s_versions names no version",
        ),
        (
            "    mandatory: true",
            "    mandatory: maybe",
            "F:7: invalid type: string \"maybe\", expected a boolean",
        ),
        (
            "    mandatory: true",
            "    obligatory: true",
            "F:7: unknown field `obligatory`",
        ),
        ("type: string", "type: text", "F:9: \"text\" is no type"),
        (
            "name: size",
            "name: my size",
            "F:9: \"my size\": an input's name has letters",
        ),
        ("name: size", "name: count", "F:9: input count stands here twice"),
        (
            "max: 9",
            "max: -1",
            "F:8: values of match: min 0 is more than max -1",
        ),
        (
            "min: 0, max: 9",
            "least: 0",
            "F:8: values of match: unknown field `least`",
        ),
        (
            "{ min: 0, max: 9 }",
            "{}",
            "F:8: values of match: min, max or both are missing",
        ),
        (
            "{ type: number, values",
            "{ type: string, values",
            "F:8: match type \"string\" is not known",
        ),
        (
            "values: [s, m, l]",
            "values: []",
            "F:9: values of match must be a list",
        ),
        (
            "default: m",
            "default: xl",
            "F:9: default of size: \"xl\" is not one of \"s\", \"m\", \"l\"",
        ),
        (
            "defaults: { size: l }",
            "defaults: { size: 5 }",
            "F:12: flavour tall, size: must be a string, not 5",
        ),
        (
            "defaults: { size: l }",
            "defaults: { disk: 5 }",
            "F:12: flavour tall, disk: there is no such input",
        ),
        (
            "attribute: NAME, value: node",
            "name: node",
            "F:16: settings.images: each purpose has",
        ),
        (
            "  answer: NO",
            "  dependencies: {}",
            "F:16: settings.dependencies",
        ),
        (
            "settings:",
            "dependencies: [{ object: seed_vm }]\nsettings:",
            "F:15: a node group has no dependencies",
        ),
    ] {
        let error = error_of("ng", from, to);
        assert!(error.starts_with(wanted), "{to}: {error}");
        assert!(!error.contains("at line"), "{error}");
    }
}

#[test]
fn a_control_plane_has_more_to_get_wrong() {
    let dependencies = |text: &str| format!("dependencies: [{text}]\nsettings:");
    for (from, to, wanted) in [
        (
            "{ count: 1 }",
            "{ count: 2 }".to_owned(),
            "F:14: flavour small, count: 2 nodes give etcd no more safety",
        ),
        (
            "settings:",
            dependencies("{ object: seed }"),
            "F:15: unknown variant `seed`",
        ),
        (
            "settings:",
            dependencies("{ object: seed_vm }, { object: seed_vm }"),
            "F:15: seed_vm stands here twice",
        ),
        (
            "settings:",
            dependencies("{ object: seed_vm, options: { destroy_on_running: false } }"),
            "F:15: destroy_on_running of seed_vm can only be true",
        ),
        (
            "settings:",
            dependencies("{ object: cluster_router, options: { appliance_id: x } }"),
            "F:15: cluster_router has no appliance_id",
        ),
        (
            "settings:",
            dependencies("{ object: cluster_router, options: { creation_timeout: 0 } }"),
            "F:15: creation_timeout must be more than 0 seconds",
        ),
        (
            "settings:",
            dependencies("{ object: seed_vm, options: { appliance_ds: 1 } }"),
            "F:15: unknown field `appliance_ds`",
        ),
    ] {
        let error = error_of("cp", from, &to);
        assert!(error.starts_with(wanted), "{to}: {error}");
    }
}
