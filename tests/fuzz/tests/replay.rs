//! Every input that the fuzzer found worth keeping, and the seeds it began with, once more on stable Rust.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

/// Runs the body of a target on all its files.
fn replay(target: &str) {
    let seeds = oneks_fuzz::seeds::of(target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    for (name, data) in &seeds {
        run(target, name, data);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(
        files.len() > 20,
        "the corpus of {target} is lost: {} files",
        files.len()
    );
    files.sort();
    for file in files {
        run(
            target,
            &file.display().to_string(),
            &std::fs::read(&file).unwrap(),
        );
    }
}

/// Names the input of a panic.
fn run(target: &str, name: &str, data: &[u8]) {
    let outcome = std::panic::catch_unwind(|| oneks_fuzz::run(target, data));
    assert!(outcome.is_ok(), "{target}: {name}");
}

macro_rules! replays {
    ($($target:ident),* $(,)?) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*
    };
}

replays!(
    event,
    stdin,
    response,
    object,
    template_text,
    template_xml,
    spec,
    status,
    driver_reply,
    profile,
    plan,
);

#[test]
fn no_target_is_forgotten() {
    let mut names: Vec<_> = oneks_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    names.retain(|name| !manifest.contains(&format!("name = \"{name}\"")));
    assert_eq!(names, [""; 0], "not in fuzz/Cargo.toml");
}
