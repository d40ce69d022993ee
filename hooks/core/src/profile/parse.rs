//! Reading the files of the families.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::Role;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::version::Version;

use super::family::{Catalog, Dependency, DependencyKind, Family, Flavour, ImageMark, ProfileError};
use super::input::{InputMatch, InputType, NumberRange, UserInput};

impl Catalog {
    /// Reads families from the texts of their files, by path relative to the folder of the profiles.
    ///
    /// A broken family is left out and named in the errors; the others are not affected. Files that belong to no
    /// family are ignored.
    pub fn parse(files: &BTreeMap<String, String>) -> (Self, Vec<ProfileError>) {
        let mut catalog = Self::default();
        let mut errors = Vec::new();
        for (role, folder, main) in [
            (Role::ControlPlane, "controlplanes", "controlplane.conf"),
            (Role::NodeGroup, "nodegroups", "nodegroup.conf"),
        ] {
            for (name, texts) in folders(files, folder) {
                let file = format!("{folder}/{name}/{main}");
                let Some(text) = texts.get(main) else {
                    errors.push(error(&file, None, "the family has no such file"));
                    continue;
                };
                match family(role, name, &file, text, &texts) {
                    Ok(family) => {
                        let families = match role {
                            Role::ControlPlane => &mut catalog.control_planes,
                            Role::NodeGroup => &mut catalog.node_groups,
                        };
                        families.insert(name.to_owned(), family);
                    }
                    Err(wrong) => errors.extend(wrong),
                }
            }
        }
        (catalog, errors)
    }
}

/// The files of each family's folder, by family and file name.
fn folders<'a>(
    files: &'a BTreeMap<String, String>,
    folder: &str,
) -> BTreeMap<&'a str, BTreeMap<&'a str, &'a str>> {
    let mut families: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (path, text) in files {
        let parts: Vec<_> = path.split('/').collect();
        if let [top, family, file] = parts[..]
            && top == folder
        {
            families.entry(family).or_default().insert(file, text);
        }
    }
    families
}

/// The file as it is written. Keys that it must not have are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    description: String,
    #[serde(default)]
    family: Option<Spanned<String>>,
    supported_k8s_versions: Vec<Spanned<String>>,
    #[serde(default)]
    dependencies: Vec<Spanned<FileDependency>>,
    user_inputs: Vec<Spanned<FileInput>>,
    flavours: BTreeMap<String, Spanned<FileFlavour>>,
    #[serde(default)]
    settings: Option<Spanned<Value>>,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDependency {
    object: DependencyKind,
    #[serde(default)]
    options: super::family::DependencyOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileInput {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    mandatory: bool,
    #[serde(default)]
    default: Option<Value>,
    #[serde(default, rename = "match")]
    limits: Option<Spanned<FileMatch>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMatch {
    #[serde(rename = "type")]
    kind: String,
    values: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFlavour {
    #[serde(default)]
    label: String,
    #[serde(default)]
    description: String,
    #[serde(default = "yes")]
    override_defaults: bool,
    #[serde(default)]
    defaults: BTreeMap<String, Value>,
}

fn yes() -> bool {
    true
}

fn error(file: &str, line: Option<u64>, reason: impl Into<String>) -> ProfileError {
    ProfileError {
        file: file.to_owned(),
        line,
        reason: reason.into(),
    }
}

/// The errors of one file, while it is read.
struct Wrong<'a> {
    file: &'a str,
    errors: Vec<ProfileError>,
}

impl Wrong<'_> {
    fn at<T>(&mut self, place: &Spanned<T>, reason: impl Into<String>) {
        self.errors
            .push(error(self.file, Some(place.referenced.line()), reason));
    }
}

fn family(
    role: Role,
    name: &str,
    path: &str,
    text: &str,
    files: &BTreeMap<&str, &str>,
) -> Result<Family, Vec<ProfileError>> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let line = e.location().map(|l| l.line()).filter(|line| *line > 0);
        let reason = e.without_snippet().to_string();
        // The place is said already, and advice for programmers is of no use here.
        let reason = reason.split(" at line ").next().unwrap_or(&reason);
        let reason = reason.split(", set DuplicateKeyPolicy").next().unwrap_or(reason);
        vec![error(path, line, reason)]
    })?;
    let mut wrong = Wrong {
        file: path,
        errors: Vec::new(),
    };
    if let Some(said) = file.family.as_ref().filter(|said| said.value != name) {
        wrong.at(
            said,
            format!("family is {:?}, but the folder is {name:?}", said.value),
        );
    }
    let mut family = Family {
        family: name.to_owned(),
        name: file.name,
        description: file.description,
        role,
        supported_k8s_versions: versions(&file.supported_k8s_versions, &mut wrong),
        user_inputs: inputs(file.user_inputs, &mut wrong),
        flavours: BTreeMap::new(),
        dependencies: dependencies(role, file.dependencies, &mut wrong),
        images: BTreeMap::new(),
        settings: Value::Object(serde_json::Map::new()),
        metadata: file.metadata,
        texts: files
            .iter()
            .filter(|(file, _)| file.strip_suffix(".j2").is_some())
            .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
            .collect(),
    };
    if file.supported_k8s_versions.is_empty() {
        wrong
            .errors
            .push(error(path, None, "supported_k8s_versions names no version"));
    }
    if family.input("count").is_none() {
        wrong
            .errors
            .push(error(path, None, "user_inputs lack count, the number of nodes"));
    }
    if file.flavours.is_empty() {
        wrong.errors.push(error(path, None, "flavours names no flavour"));
    }
    flavours(&mut family, file.flavours, &mut wrong);
    if let Some(settings) = file.settings.filter(|s| !s.value.is_null()) {
        images(&mut family, &settings, &mut wrong);
        family.settings = settings.value;
    }
    if wrong.errors.is_empty() {
        Ok(family)
    } else {
        Err(wrong.errors)
    }
}

fn versions(given: &[Spanned<String>], wrong: &mut Wrong<'_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for version in given {
        if Version::parse(&version.value).is_none_or(|v| v.to_string() != version.value) {
            wrong.at(
                version,
                format!("{:?} is no version such as v1.34.2", version.value),
            );
        } else if !seen.insert(&version.value) {
            wrong.at(version, format!("{} stands here twice", version.value));
        }
    }
    given.iter().map(|v| v.value.clone()).collect()
}

fn dependencies(role: Role, given: Vec<Spanned<FileDependency>>, wrong: &mut Wrong<'_>) -> Vec<Dependency> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for place in given {
        let FileDependency { object, options } = &place.value;
        if role == Role::NodeGroup {
            wrong.at(&place, "a node group has no dependencies");
        }
        if !seen.insert(*object) {
            wrong.at(&place, format!("{} stands here twice", object.name()));
        }
        let temporary = *object == DependencyKind::SeedVm;
        if options.destroy_on_running.is_some_and(|said| said != temporary) {
            wrong.at(
                &place,
                format!("destroy_on_running of {} can only be {temporary}", object.name()),
            );
        }
        if options.appliance_id.is_some() && !temporary {
            wrong.at(&place, format!("{} has no appliance_id", object.name()));
        }
        if options.creation_timeout == Some(0) {
            wrong.at(&place, "creation_timeout must be more than 0 seconds");
        }
        all.push(Dependency {
            object: *object,
            options: options.clone(),
        });
    }
    all
}

fn inputs(given: Vec<Spanned<FileInput>>, wrong: &mut Wrong<'_>) -> Vec<UserInput> {
    let mut all: Vec<UserInput> = Vec::new();
    for place in given {
        let input = &place.value;
        if !is_identifier(&input.name) {
            wrong.at(
                &place,
                format!("{:?}: an input's name has letters, digits and _ only", input.name),
            );
        }
        if all.iter().any(|other| other.name == input.name) {
            wrong.at(&place, format!("input {} stands here twice", input.name));
        }
        let Some(kind) = InputType::from_name(&input.kind) else {
            wrong.at(
                &place,
                format!(
                    "{:?} is no type; choose one of string, number, bool, list, map",
                    input.kind
                ),
            );
            continue;
        };
        let limits = input.limits.as_ref().and_then(|limits| {
            limits_of(kind, &limits.value)
                .map_err(|reason| wrong.at(limits, reason))
                .ok()
        });
        let read = UserInput {
            name: input.name.clone(),
            description: input.description.clone(),
            kind,
            mandatory: input.mandatory,
            default: input.default.clone().filter(|v| !v.is_null()),
            limits,
        };
        if let Some(default) = &read.default
            && let Err(reason) = read.check(default)
        {
            wrong.at(&place, format!("default of {}: {reason}", read.name));
        }
        all.push(read);
    }
    all
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn limits_of(kind: InputType, file: &FileMatch) -> Result<InputMatch, String> {
    match (file.kind.as_str(), kind) {
        ("number", InputType::Number) => {
            let values =
                NumberRange::deserialize(&file.values).map_err(|e| format!("values of match: {e}"))?;
            if values.min.is_none() && values.max.is_none() {
                return Err("values of match: min, max or both are missing".to_owned());
            }
            if let (Some(min), Some(max)) = (values.min, values.max)
                && min > max
            {
                return Err(format!("values of match: min {min} is more than max {max}"));
            }
            Ok(InputMatch::Number { values })
        }
        ("list", InputType::String | InputType::Number | InputType::Bool | InputType::List) => {
            match &file.values {
                Value::Array(values) if !values.is_empty() => Ok(InputMatch::List {
                    values: values.clone(),
                }),
                _ => Err("values of match must be a list with a value or more".to_owned()),
            }
        }
        ("number", _) => Err("match type number is for inputs of type number".to_owned()),
        (other, _) => Err(format!(
            "match type {other:?} is not known here; choose number or list"
        )),
    }
}

fn flavours(family: &mut Family, given: BTreeMap<String, Spanned<FileFlavour>>, wrong: &mut Wrong<'_>) {
    let mut given: Vec<_> = given.into_iter().collect();
    given.sort_by_key(|(_, place)| (place.referenced.line(), place.referenced.column()));
    for (position, (name, place)) in given.into_iter().enumerate() {
        for (key, value) in &place.value.defaults {
            let checked = match family.input(key) {
                Some(input) => input.check(value).and_then(|()| family.check_count(input, value)),
                None => Err("there is no such input".to_owned()),
            };
            if let Err(reason) = checked {
                wrong.at(&place, format!("flavour {name}, {key}: {reason}"));
            }
        }
        let FileFlavour {
            label,
            description,
            override_defaults,
            defaults,
        } = place.value;
        family.flavours.insert(
            name.clone(),
            Flavour {
                label: if label.is_empty() { name } else { label },
                description,
                override_defaults,
                defaults,
                position,
            },
        );
    }
}

/// Reads `settings.images`: one mark, or several to try in order, for each purpose.
fn images(family: &mut Family, settings: &Spanned<Value>, wrong: &mut Wrong<'_>) {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Marks {
        One(ImageMark),
        Several(Vec<ImageMark>),
    }
    let Value::Object(map) = &settings.value else {
        wrong.at(settings, "settings must be a map");
        return;
    };
    if map.contains_key("dependencies") {
        wrong.at(
            settings,
            "settings.dependencies: dependencies stand beside settings, not in it",
        );
    }
    let Some(images) = map.get("images") else {
        return;
    };
    match BTreeMap::<String, Marks>::deserialize(images) {
        Ok(read) => {
            family.images = read
                .into_iter()
                .map(|(purpose, marks)| match marks {
                    Marks::One(mark) => (purpose, vec![mark]),
                    Marks::Several(marks) => (purpose, marks),
                })
                .collect();
        }
        Err(_) => wrong.at(
            settings,
            "settings.images: each purpose has {attribute, value} or a list of those",
        ),
    }
}

#[cfg(test)]
mod tests {
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
                "F:1: unknown field `title`, expected one of name",
            ),
            ("name: Test\n", "", "F:14: missing field `name`"),
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
                "F:7: invalid boolean",
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
}
