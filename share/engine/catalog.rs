//! Reading the profiles from their folders.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use oneks_core::profile::{Catalog, ProfileError};

/// Largest profile file, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads all families. One in an earlier folder takes the place of one of the same name in a later. What is broken is
/// told, by its path, and does not hide the others.
pub fn load(folders: &[PathBuf]) -> (Catalog, Vec<ProfileError>) {
    let mut files = BTreeMap::new();
    let mut errors = Vec::new();
    let mut origin: BTreeMap<String, &Path> = BTreeMap::new();
    if let Some(folder) = hidden(folders) {
        errors.push(ProfileError {
            file: folder.display().to_string(),
            line: None,
            reason: "may not be read by this user; what administrators offer there is not known".to_owned(),
        });
    }
    for kind in ["controlplanes", "nodegroups"] {
        for folder in folders {
            for family in entries(&folder.join(kind)) {
                let name = format!("{kind}/{family}");
                if let Entry::Vacant(place) = origin.entry(name) {
                    read_family(folder, place.key(), &mut files, &mut errors);
                    place.insert(folder);
                }
            }
        }
    }
    let (catalog, more) = Catalog::parse(&files);
    errors.extend(more);
    for error in &mut errors {
        let family = error.file.rsplit_once('/').map_or("", |(family, _)| family);
        if let Some(folder) = origin.get(family) {
            error.file = folder.join(&error.file).display().to_string();
        }
    }
    (catalog, errors)
}

/// A folder of profiles that is, or may be, there and that the caller may not read. What it holds would come before the
/// families of later folders, so nothing about these is certain then.
pub fn hidden(folders: &[PathBuf]) -> Option<&Path> {
    let denied =
        |folder: &&PathBuf| std::fs::read_dir(folder).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    folders.iter().find(denied).map(PathBuf::as_path)
}

fn read_family(
    folder: &Path,
    family: &str,
    files: &mut BTreeMap<String, String>,
    errors: &mut Vec<ProfileError>,
) {
    for name in entries(&folder.join(family)) {
        let relative = format!("{family}/{name}");
        match read(&folder.join(&relative)) {
            Ok(Some(text)) => {
                files.insert(relative, text);
            }
            Ok(None) => {}
            Err(reason) => errors.push(ProfileError {
                file: relative,
                line: None,
                reason,
            }),
        }
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && !name.ends_with('~'))
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> Result<Option<String>, String> {
    let about = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !about.is_file() {
        return Ok(None);
    }
    if about.len() > MAX_FILE {
        return Err(format!("{} bytes are too many for a profile file", about.len()));
    }
    std::fs::read_to_string(path).map(Some).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(root: &Path, name: &str, title: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/profiles/controlplanes/general");
        let to = root.join("controlplanes").join(name);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        let conf = to.join("controlplane.conf");
        let text: Vec<String> = std::fs::read_to_string(&conf)
            .unwrap()
            .lines()
            .map(|line| match line {
                l if l.starts_with("name:") => format!("name: {title}"),
                l if l.starts_with("family:") => format!("family: {name}"),
                l => l.to_owned(),
            })
            .collect();
        std::fs::write(conf, text.join("\n")).unwrap();
    }

    #[test]
    fn the_first_folder_that_has_a_family_decides() {
        let (own, shipped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        family(shipped.path(), "general", "shipped");
        family(shipped.path(), "other", "shipped");
        family(own.path(), "general", "own");
        family(own.path(), "mine", "own");
        let folders = [own.path().to_owned(), shipped.path().to_owned()];
        let (catalog, errors) = load(&folders);
        assert_eq!(errors, []);
        let titles: Vec<(&str, &str)> = catalog
            .control_planes
            .iter()
            .map(|(family, f)| (family.as_str(), f.name.as_str()))
            .collect();
        assert_eq!(
            titles,
            [("general", "own"), ("mine", "own"), ("other", "shipped")]
        );
        assert_eq!(hidden(&folders), None);

        let broken = own.path().join("controlplanes/general/controlplane.conf");
        std::fs::write(&broken, "nonsense: [\n").unwrap();
        let (catalog, errors) = load(&folders);
        // A family that is broken is not replaced behind the administrator's back.
        assert!(!catalog.control_planes.contains_key("general"));
        assert_eq!(errors[0].file, broken.display().to_string());
    }
}
