//! Every exchange that was recorded between clients and the old server, once more with the gateway, compared field by
//! field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{ALICE, Gateway, MALLORY, ONEADMIN, Response};
use super::differences::{DIFFERENCES, Difference};
use crate::capone_life;
use crate::cli::Cloud;

/// A recorded exchange.
struct Exchange {
    number: u32,
    request: Value,
    response: Value,
}

fn exchanges() -> Vec<Exchange> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oneks-rest");
    let mut all: Vec<Exchange> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let number = name.split('-').next().unwrap().parse().unwrap();
            let mut text: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            Exchange {
                number,
                request: text["request"].take(),
                response: text["response"].take(),
            }
        })
        .collect();
    all.sort_by_key(|e| e.number);
    all
}

/// The cloud, the gateway, and what stands for what was recorded.
struct Stage {
    cloud: Cloud,
    gateway: Gateway,
    profiles: PathBuf,
    /// Recorded ids of clusters and groups, and ours.
    ids: BTreeMap<u32, u32>,
    /// All differences that were met, and in which exchanges.
    met: BTreeMap<String, BTreeSet<u32>>,
    undeclared: Vec<String>,
}

#[test]
fn the_recorded_exchanges_give_the_same_answers_but_for_what_is_meant_to_differ() {
    let mut stage = Stage::new(&exchanges());
    for exchange in exchanges() {
        stage.prepare(&exchange);
        let answer = stage.send(&exchange);
        stage.compare(&exchange, &answer);
        stage.after(&exchange);
    }
    let unmet: Vec<&str> = DIFFERENCES
        .iter()
        .filter(|d| !stage.met.iter().any(|(what, at)| declares(d, what, at)))
        .map(|d| d.what)
        .collect();
    assert!(
        stage.undeclared.is_empty() && unmet.is_empty(),
        "undeclared:\n{}\ndeclared, but not met:\n{}",
        stage.undeclared.join("\n"),
        unmet.join("\n")
    );
    assert!(DIFFERENCES.iter().all(|d| d.reason.len() > 10));
    assert_eq!(stage.cloud.life.errors, Vec::<String>::new());
}

/// Is this the difference, in one of these exchanges?
fn declares(difference: &Difference, what: &str, at: &BTreeSet<u32>) -> bool {
    fits(difference.what, what)
        && (difference.exchanges.is_empty() || difference.exchanges.iter().any(|e| at.contains(e)))
}

/// `…` stands for any part of a path.
fn fits(pattern: &str, what: &str) -> bool {
    match pattern.split_once('…') {
        None => pattern == what,
        Some((begin, end)) => {
            what.len() >= begin.len() + end.len() && what.starts_with(begin) && what.ends_with(end)
        }
    }
}

impl Stage {
    fn new(exchanges: &[Exchange]) -> Self {
        let (mut life, _) = capone_life::cloud();
        // Ids as they were then.
        for _ in 0..24 {
            life.ask(ALICE, "one.document.allocate", &["<TEMPLATE/>".into(), 99.into()]);
        }
        let families = tempfile::tempdir().unwrap().keep();
        life.service.profiles = vec![families.clone()];
        let cloud = Cloud::around(life);
        let installed = cloud.prefix.root().join("var/oneks/profiles");
        std::fs::remove_file(&installed).unwrap();
        std::os::unix::fs::symlink(&families, &installed).unwrap();
        let gateway = Gateway::beside(&cloud);
        let stage = Self {
            cloud,
            gateway,
            profiles: families,
            ids: BTreeMap::from([
                (24, 24),
                (25, 24000),
                (26, 24001),
                (27, 25),
                (28, 25000),
                (29, 25001),
            ]),
            met: BTreeMap::new(),
            undeclared: Vec::new(),
        };
        for (number, kind, file) in [
            (6, "controlplanes", "controlplane.conf"),
            (12, "nodegroups", "nodegroup.conf"),
        ] {
            let recorded = exchanges.iter().find(|e| e.number == number).unwrap();
            stage.family(kind, file, &recorded.response["body"][0]);
        }
        stage
    }

    /// Writes the family that the old server had then, with the settings and texts of ours.
    fn family(&self, kind: &str, file: &str, recorded: &Value) {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("templates/profiles")
            .join(kind)
            .join("general");
        let folder = self.profiles.join(kind).join("general");
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(&ours).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        let text = std::fs::read_to_string(ours.join(file)).unwrap();
        let conf: Value = serde_saphyr::from_str(&text).unwrap();
        let mut lines = vec![format!("settings: {}", conf["settings"])];
        for field in [
            "name",
            "description",
            "family",
            "supported_k8s_versions",
            "user_inputs",
        ] {
            lines.push(format!("{field}: {}", recorded[field]));
        }
        lines.push("flavours:".to_owned());
        for flavour in recorded["flavours"].as_array().unwrap() {
            let mut flavour = flavour.clone();
            let name = flavour.as_object_mut().unwrap().remove("name").unwrap();
            lines.push(format!("  {name}: {flavour}"));
        }
        lines.push("dependencies:".to_owned());
        for dependency in recorded["dependencies"].as_array().unwrap() {
            let mut options = dependency["opts"].clone();
            options.as_object_mut().unwrap().remove("appliance_ds");
            lines.push(format!(
                "  - {}",
                json!({"object": dependency["type"], "options": options})
            ));
        }
        if recorded["dependencies"] == json!([]) {
            lines.pop();
        }
        std::fs::write(folder.join(file), lines.join("\n") + "\n").unwrap();
    }

    /// May users change what the smallest node group's flavour presets?
    fn let_users_change(&self, may: bool) {
        let path = self.profiles.join("nodegroups/general/nodegroup.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                if line.starts_with("  \"minimal\"") {
                    let (from, to) = (
                        format!("\"override_defaults\":{}", !may),
                        format!("\"override_defaults\":{may}"),
                    );
                    line.replace(&from, &to)
                } else {
                    line.to_owned()
                }
            })
            .collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }

    /// Brings the cloud to where it was when the exchange was recorded.
    fn prepare(&mut self, exchange: &Exchange) {
        match exchange.number {
            // The old server changed a size that the flavour fixes, too.
            61 => self.let_users_change(true),
            83 => {
                self.cloud.life.until_state(24, "UPGRADING", 120);
                self.cloud.life.until_state(24, "RUNNING", 7200);
            }
            93 => self.cloud.life.until("the group is gone", 3600, |life| {
                life.status(24).node_groups.is_empty()
            }),
            95 => self.cloud.life.until_state(24, "GONE", 3600),
            202 => {
                self.let_users_change(false);
                self.cloud.life.until_state(25, "RUNNING", 7200);
            }
            203 => self.cloud.life.until_state(25, "SCALING", 120),
            _ => {}
        }
        let mut wanted = states(&exchange.response["body"]);
        if wanted.is_empty() || exchange.request["method"] != "GET" {
            return;
        }
        // There the old server showed a cluster as RUNNING while its group was SCALING.
        let of_cluster = exchange.response["body"]
            .pointer("/DOCUMENT/TEMPLATE/CLUSTER_BODY")
            .is_some();
        if (62..78).contains(&exchange.number) && of_cluster {
            "SCALING".clone_into(&mut wanted[0]);
        }
        for _ in 0..3600 {
            if states(&self.send(exchange).json()) == wanted {
                return;
            }
            self.cloud.life.pass_time(1);
        }
        panic!(
            "{}: never in the states {wanted:?}: {}",
            exchange.number,
            self.send(exchange).text
        );
    }

    fn send(&self, exchange: &Exchange) -> Response {
        let request = &exchange.request;
        let (path, query) = match request["path"].as_str().unwrap().split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (request["path"].as_str().unwrap(), String::new()),
        };
        let path: Vec<String> = path
            .split('/')
            .map(
                |part| match part.parse().ok().and_then(|id: u32| self.ids.get(&id)) {
                    Some(id) => id.to_string(),
                    None => part.to_owned(),
                },
            )
            .collect();
        let who = match exchange.number {
            3 => "",
            4 => "oneadmin:wrong",
            // He had USE only.
            89 => MALLORY,
            _ => ONEADMIN,
        };
        let body = Some(&request["body"]).filter(|b| !b.is_null());
        self.gateway.ask(
            request["method"].as_str().unwrap(),
            &format!("{}{query}", path.join("/")),
            who,
            body,
        )
    }

    /// What has to be done by another request, because the recorded one is refused.
    fn after(&mut self, exchange: &Exchange) {
        if matches!(exchange.number, 37 | 202) {
            let cluster = if exchange.number == 37 { 24 } else { 25 };
            let body = json!({"name": "workers", "flavour": "minimal"});
            let path = format!("/api/v1/clusters/{cluster}/nodegroups");
            self.gateway.ask("POST", &path, ONEADMIN, Some(&body)).with(201);
        }
    }

    fn compare(&mut self, exchange: &Exchange, answer: &Response) {
        let mut found = Vec::new();
        let recorded = &exchange.response;
        let kind = |text: &str| text.split(';').next().unwrap().to_owned();
        if recorded["status"] != answer.status {
            found.push((
                "other status".to_owned(),
                format!("{} became {}", recorded["status"], answer.status),
            ));
        }
        let (old, new) = (
            kind(recorded["content_type"].as_str().unwrap()),
            kind(answer.headers.get("content-type").map_or("", String::as_str)),
        );
        if old != new {
            found.push(("other type".to_owned(), format!("{old} became {new}")));
        }
        let ours = match serde_json::from_str(&answer.text) {
            Ok(value) => value,
            Err(_) if answer.text.is_empty() => Value::Null,
            Err(_) => Value::from(answer.text.clone()),
        };
        let mut theirs = recorded["body"].clone();
        self.translate(&mut theirs);
        differences(&theirs, &ours, "body", &mut found);
        for (what, how) in found {
            let met = self.met.entry(what.clone()).or_default();
            met.insert(exchange.number);
            let here = BTreeSet::from([exchange.number]);
            if !DIFFERENCES.iter().any(|d| declares(d, &what, &here)) {
                self.undeclared
                    .push(format!("{}: {what}: {how}", exchange.number));
            }
        }
    }

    /// Recorded ids of clusters and groups as ours.
    fn translate(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.translate(item)),
            Value::Object(fields) => {
                let of_group = fields.contains_key("uuid");
                for (name, value) in fields.iter_mut() {
                    let id = match value {
                        Value::String(text) if name == "ID" => text.parse().ok(),
                        Value::Number(id) if name == "cluster_id" || name == "id" && of_group => id.as_u64(),
                        _ => None,
                    };
                    let ours = id.and_then(|id| self.ids.get(&u32::try_from(id).unwrap()));
                    match (ours, value) {
                        (Some(ours), value @ Value::String(_)) => *value = json!(ours.to_string()),
                        (Some(ours), value) => *value = json!(ours),
                        (None, value) => self.translate(value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The states in a body, in order.
fn states(body: &Value) -> Vec<String> {
    match body {
        Value::Array(items) => items.iter().flat_map(states).collect(),
        Value::Object(fields) => {
            let own = fields.get("state").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(states)).collect()
        }
        _ => Vec::new(),
    }
}

/// All differences between two values, by kind and path, with what they are.
fn differences(old: &Value, new: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                match (a.get(name), b.get(name)) {
                    (Some(old), Some(new)) if name == "historic" => {
                        differences(
                            &changes(old, &path, found),
                            &changes(new, &path, found),
                            &path,
                            found,
                        );
                    }
                    (Some(old), Some(new)) => differences(old, new, &path, found),
                    (Some(old), None) => found.push((format!("absent {path}"), old.to_string())),
                    (None, Some(new)) => found.push((format!("more {path}"), new.to_string())),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                found.push((format!("length {path}"), format!("{old} became {new}")));
            }
            for (old, new) in a.iter().zip(b) {
                differences(old, new, &format!("{path}[]"), found);
            }
        }
        _ if old == new => {}
        _ => found.push((format!("other {path}"), format!("{old} became {new}"))),
    }
}

/// The changes of state in a list of events; what else is in it is told of as one difference.
fn changes(events: &Value, path: &str, found: &mut Vec<(String, String)>) -> Value {
    let (changes, others): (Vec<Value>, Vec<Value>) = events
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .partition(|event| event["action"] == "State changed");
    if !others.is_empty() {
        found.push((
            format!("other {path}[] that is no change of state"),
            json!(others).to_string(),
        ));
    }
    Value::Array(changes)
}
