//! Reading the files of the families.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::Role;
use serde::Deserialize;
use serde_json::Value;

use crate::version::Version;
use crate::yaml::{self, At};

use super::family::{Catalog, Dependency, DependencyKind, Family, Flavour, ImageMark, ProfileError};
use super::file::{File, FileDependency, FileFlavour, FileInput, FileMatch};
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
    fn at<T>(&mut self, place: &At<T>, reason: impl Into<String>) {
        self.errors.push(error(self.file, Some(place.line), reason));
    }
}

fn family(
    role: Role,
    name: &str,
    path: &str,
    text: &str,
    files: &BTreeMap<&str, &str>,
) -> Result<Family, Vec<ProfileError>> {
    let file: File = yaml::from_str(text).map_err(|e| vec![error(path, e.line(), e.reason())])?;
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

fn versions(given: &[At<String>], wrong: &mut Wrong<'_>) -> Vec<String> {
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

fn dependencies(role: Role, given: Vec<At<FileDependency>>, wrong: &mut Wrong<'_>) -> Vec<Dependency> {
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

fn inputs(given: Vec<At<FileInput>>, wrong: &mut Wrong<'_>) -> Vec<UserInput> {
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

fn flavours(family: &mut Family, given: BTreeMap<String, At<FileFlavour>>, wrong: &mut Wrong<'_>) {
    let mut given: Vec<_> = given.into_iter().collect();
    given.sort_by_key(|(_, place)| (place.line, place.column));
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
fn images(family: &mut Family, settings: &At<Value>, wrong: &mut Wrong<'_>) {
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
mod tests;
