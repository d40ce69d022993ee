//! Reading the profiles from their folder.

use std::collections::BTreeMap;
use std::path::Path;

use oneks_core::profile::{Catalog, ProfileError};

/// Largest profile file, bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads all families. What is broken is told and does not hide the others.
pub fn load(folder: &Path) -> (Catalog, Vec<ProfileError>) {
    let mut files = BTreeMap::new();
    let mut errors = Vec::new();
    for kind in ["controlplanes", "nodegroups"] {
        for family in entries(&folder.join(kind)) {
            for name in entries(&folder.join(kind).join(&family)) {
                let relative = format!("{kind}/{family}/{name}");
                let path = folder.join(&relative);
                match read(&path) {
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
    }
    let (catalog, more) = Catalog::parse(&files);
    errors.extend(more);
    (catalog, errors)
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
