//! Man pages and completions are those of the program. `oneks generate` writes them anew.

use std::collections::BTreeMap;
use std::path::Path;

use super::Cloud;

fn files(folder: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn man_pages_and_completions_are_up_to_date() {
    let cloud = Cloud::new();
    for (what, folder) in [("man", "share/man"), ("completions", "share/completions")] {
        cloud.alice(&format!("generate {what} {what}")).good();
        let new = files(&cloud.prefix.root().join(what));
        let mut old = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        // Made by that program, and compared with it in gateway/files.rs.
        old.remove("oneks-gateway.1");
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&old),
            names(&new),
            "write them anew: oneks generate {what} {folder}"
        );
        for (name, text) in &new {
            assert!(
                old[name] == *text,
                "{folder}/{name} is old; write it anew: oneks generate {what} {folder}"
            );
        }
    }
}

#[test]
fn the_shell_is_offered_names_and_ids() {
    let (cloud, _) = Cloud::with_web();
    let offered = |words: &str| {
        let count = words.split(' ').count();
        let mut command = cloud.command_for_completion();
        command.env("_CLAP_COMPLETE_INDEX", (count - 1).to_string());
        command.arg("--").args(words.split(' '));
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (words, wanted) in [
        ("oneks sca", "scale"),
        ("oneks show cluster ", "web"),
        ("oneks delete cluster 0,", ""),
        ("oneks scale nodegroup ", "web/workers"),
        ("oneks upgrade cluster web -k ", "v1.34.2"),
        ("oneks create cluster x --flavour ", "standalone"),
        ("oneks create cluster x --public-network ", "public"),
    ] {
        let text = offered(words);
        assert!(
            text.split(['\u{b}', '\n']).any(|line| line == wanted),
            "{words:?}: {text:?}"
        );
    }
}
