//! The recorded files.

use std::fs;
use std::path::PathBuf;

use opennebula::xmlrpc::{self, Call, Response};

/// A request and its answer.
pub struct Exchange {
    /// Its number and method, such as `017-one.document.info`.
    pub name: String,
    /// Body of the request.
    pub request: String,
    /// Body of the answer.
    pub response: String,
}

impl Exchange {
    pub fn number(&self) -> u32 {
        self.name[..3].parse().unwrap()
    }

    pub fn call(&self) -> Call {
        xmlrpc::decode_call(&self.request).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub fn answer(&self) -> Response {
        xmlrpc::decode_response(&self.response).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The text that a successful call returned.
    pub fn text(&self) -> String {
        match self.answer() {
            Response::Success { value } => value.as_str().unwrap().to_owned(),
            other => panic!("{}: {other:?}", self.name),
        }
    }
}

/// All recorded exchanges, in order.
pub fn exchanges() -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(folder("rpc")).unwrap() {
        files += 1;
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if let Some(name) = file.strip_suffix(".request.xml") {
            exchanges.push(Exchange {
                name: name.to_owned(),
                request: fs::read_to_string(&path).unwrap(),
                response: fs::read_to_string(path.with_file_name(format!("{name}.response.xml"))).unwrap(),
            });
        }
    }
    assert_eq!(
        files,
        2 * exchanges.len(),
        "each request has its answer, and nothing else is there"
    );
    exchanges.sort_by(|a, b| a.name.cmp(&b.name));
    exchanges
}

/// The recorded exchange with that number.
pub fn exchange(number: u32) -> Exchange {
    exchanges()
        .into_iter()
        .find(|exchange| exchange.number() == number)
        .unwrap()
}

/// All recorded inputs of hooks: name of the event and bytes.
pub fn hook_inputs() -> Vec<(String, String)> {
    let mut inputs: Vec<_> = fs::read_dir(folder("hooks"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    inputs.sort();
    inputs
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/opennebula-7.5"
    ))
    .join(name)
}
