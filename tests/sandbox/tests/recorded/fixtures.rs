//! The recorded files.

use std::fs;
use std::path::PathBuf;

use base64::Engine;

/// A request and its answer.
pub struct Exchange {
    /// Its number and method, such as `017-one.document.info`.
    pub name: String,
    pub number: u32,
    pub request: String,
    pub response: String,
}

/// The exchanges with a number in the range, in order.
pub fn exchanges(first: u32, last: u32) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for entry in fs::read_dir(folder("rpc")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = file.strip_suffix(".request.xml") else {
            continue;
        };
        let number: u32 = name[..3].parse().unwrap();
        if (first..=last).contains(&number) {
            exchanges.push(Exchange {
                name: name.to_owned(),
                number,
                request: fs::read_to_string(&path).unwrap(),
                response: fs::read_to_string(path.with_file_name(format!("{name}.response.xml"))).unwrap(),
            });
        }
    }
    exchanges.sort_by(|a, b| a.name.cmp(&b.name));
    exchanges
}

/// What hooks read: the event's name behind its number, and the decoded payload, in the order in which they started.
pub fn hook_inputs() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder("hooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(fs::read(path).unwrap())
                .unwrap();
            (name, String::from_utf8(bytes).unwrap())
        })
        .collect()
}

fn folder(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("../fixtures/opennebula-7.5").join(name)
}
