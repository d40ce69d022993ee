//! What several tests need: an installation in a temporary folder, and an endpoint that counts.

pub mod answers;
pub mod bystanders;
pub mod copies;
pub mod counter;
pub mod life;
pub mod log;
pub mod prefix;
pub mod rights;
pub mod scene;
pub mod watched;

/// A hook input that was recorded from a real OpenNebula.
pub fn recorded(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/fixtures/opennebula-7.5/hooks/{name}.stdin",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names of all recorded hook inputs.
pub fn recorded_names() -> Vec<String> {
    let folder = format!(
        "{}/tests/fixtures/opennebula-7.5/hooks",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|e| {
            e.unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .strip_suffix(".stdin")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(names.len() > 80, "fixtures are missing");
    names
}
