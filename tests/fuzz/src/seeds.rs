//! Where the fuzzer begins: recorded traffic, the profiles that are installed, and some documents.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks_core::status::Status;
use opennebula::xmlrpc::{Response, Value, decode_call, decode_response};

use crate::SECRET;
use crate::events::SOURCES;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Name and content of every seed of a target. They are made anew each time, and in no repository.
///
/// # Panics
/// There is no such target, or a file is missing.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "event" => with_secrets(hooks().into_iter().filter_map(payload).collect()),
        "stdin" => hooks().into_iter().map(stdin).collect(),
        "response" => rpc(".xml"),
        "object" => with_secrets(results()),
        "template_text" | "template_xml" => templates(target),
        "spec" => numbered(specs()),
        "status" => numbered(statuses()),
        "driver_reply" => numbered(replies()),
        "profile" => profiles(),
        "plan" => plans(),
        other => panic!("no target {other}"),
    }
}

/// With all of them again that have a template, which has a kubeconfig then.
fn with_secrets(mut seeds: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let secret = format!("<TEMPLATE><KUBECONFIG>{SECRET}</KUBECONFIG>");
    let more: Vec<_> = seeds
        .iter()
        .filter_map(|(name, seed)| {
            let text = str::from_utf8(seed)
                .ok()
                .filter(|text| text.contains("<DOCUMENT>"))?;
            let secret = text.replacen("<TEMPLATE>", &secret, 1);
            Some((format!("{name}-secret"), secret.into_bytes()))
        })
        .collect();
    seeds.extend(more);
    seeds
}

fn numbered(texts: impl IntoIterator<Item = String>) -> Vec<(String, Vec<u8>)> {
    texts
        .into_iter()
        .enumerate()
        .map(|(i, text)| (format!("{i:03}"), text.into_bytes()))
        .collect()
}

/// The files of a folder, sorted.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Recorded hook inputs: name of the event, and the base64 that came.
fn hooks() -> Vec<(String, Vec<u8>)> {
    files("tests/fixtures/opennebula-7.5/hooks")
        .into_iter()
        .filter_map(|(name, bytes)| Some((name.strip_suffix(".stdin")?.to_owned(), bytes)))
        .collect()
}

/// The call or state of a recorded event.
fn event_of(name: &str) -> &str {
    name.split_once('-').map_or("", |(_, event)| event)
}

fn payload((name, bytes): (String, Vec<u8>)) -> Option<(String, Vec<u8>)> {
    let event = event_of(&name);
    let call = if event.starts_with("vm-") { "" } else { event };
    let source = SOURCES.iter().position(|(_, known)| *known == call)?;
    let first = b'a' + u8::try_from(source).unwrap();
    let xml = STANDARD.decode(bytes.trim_ascii()).unwrap();
    Some((name, [&[first], xml.as_slice()].concat()))
}

fn stdin((name, bytes): (String, Vec<u8>)) -> (String, Vec<u8>) {
    let word = match event_of(&name) {
        state if state.starts_with("vm-") => "",
        call => call,
    };
    let input = [word.as_bytes(), b" ", bytes.as_slice()].concat();
    (name, input)
}

/// Recorded requests and responses.
fn rpc(end: &str) -> Vec<(String, Vec<u8>)> {
    files("tests/fixtures/opennebula-7.5/rpc")
        .into_iter()
        .filter(|(name, _)| name.ends_with(end))
        .collect()
}

/// The XML in recorded responses.
fn results() -> Vec<(String, Vec<u8>)> {
    rpc(".response.xml")
        .into_iter()
        .filter_map(|(name, bytes)| {
            let Ok(Response::Success {
                value: Value::String(text),
            }) = decode_response(&String::from_utf8_lossy(&bytes))
            else {
                return None;
            };
            text.starts_with('<').then(|| (name, text.into_bytes()))
        })
        .collect()
}

/// Template texts in recorded requests, and those that the capone driver renders.
fn templates(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, bytes) in rpc(".request.xml") {
        let Ok(call) = decode_call(&String::from_utf8_lossy(&bytes)) else {
            continue;
        };
        let texts = call.params.iter().skip(1).filter_map(Value::as_str);
        if let Some(text) = texts
            .filter(|text| text.contains(['=', '<']))
            .max_by_key(|t| t.len())
        {
            all.push((name, text.as_bytes().to_vec()));
        }
    }
    for family in ["ha", "standalone", "small"] {
        let folder = format!("tests/golden/capone/{family}");
        all.extend(
            files(&folder)
                .into_iter()
                .filter(|(name, _)| Path::new(name).extension().is_some_and(|e| e == "tmpl"))
                .map(|(name, text)| (format!("{family}-{name}"), text)),
        );
    }
    let xml = target == "template_xml";
    all.retain(|(_, text)| text.starts_with(b"<") == xml);
    all
}

fn specs() -> Vec<String> {
    let small = r#"{"kubernetes_version":"v1.33.7","driver":"dummy","deployment":{"cluster":{"id":0},"networks":{"public":{"id":0},"private":{"id":1}}},"control_plane":{"flavour":"small"},"node_groups":[]}"#;
    let full = r#"{"description":"shop","kubernetes_version":"v1.34.2","driver":"capone","deployment":{"cluster":{"id":0},"networks":{"public":{"id":0},"private":{"id":1}},"datastores":{"image":{"id":1}}},"control_plane":{"family":"general","flavour":"small","user_inputs_values":{"count":3}},"node_groups":[{"name":"a","display_name":"A","description":"d","family":"general","flavour":"small","user_inputs_values":{"count":2},"labels":{"tier":"web","example.com/x":""},"taints":[{"key":"k","value":"v","effect":"NoSchedule"}]},{"name":"b","flavour":"small"}],"paused":true,"deletion_protection":true}"#;
    let empty = r#"{"kubernetes_version":"","deployment":{"cluster":{"id":-1},"networks":{"public":{},"private":{"id":1}}},"control_plane":{"flavour":7,"oops":[]}}"#;
    [small, full, empty, "", "{", "[]", "null", "\"x\""]
        .map(str::to_owned)
        .to_vec()
}

fn statuses() -> Vec<String> {
    let fresh = Status::new(24).to_json();
    let full = full_status();
    let clone = fresh.replace("\"document\":24", "\"document\":25");
    let later = fresh.replace("\"schema\":1", "\"schema\":7");
    let unknown = full.replacen('{', r#"{"later":{"a":[1,null,"]]\u003e"]},"#, 1);
    vec![
        fresh,
        full,
        clone,
        later,
        unknown,
        "{\"schema\":1}".to_owned(),
        "{}".to_owned(),
        "{".to_owned(),
    ]
}

/// One with everything in it that can be.
fn full_status() -> String {
    let vm = r#"{"id":101,"name":"oneks-24-a-x1","condition":"running","ready":true,"version":"v1.33.7","later":1}"#;
    let goal = r#"{"replicas":2,"version":"v1.33.7","nodes":"ab","later":1}"#;
    let work =
        r#"{"started":1,"deadline":9999999,"attempts":1,"unsure":true,"before":[101],"step":"s","later":1}"#;
    let error = r#"{"reason":"R","message":"m","object":"VM 1","since":1,"later":1}"#;
    let probe = r#"{"at":5,"of":"ab","settled":false,"replicas":1,"ready":1,"updated":1,"version":"v1.33.7","nodes":[{"name":"oneks-24-a-x1","vm":101,"ready":true,"version":"v1.33.7"}],"message":"m"}"#;
    let group = |id: u32, key: &str, more: &str| {
        format!(
            r#"{{"id":{id},"key":"{key}","uuid":"oneks-24-{key}","state":"SCALING","want":2,"ready":1,"target":{goal},"goal":{goal},"version":"v1.33.7","vms":[{vm}],"settled":[101],"templates":{{"oneks-24-{key}":{{"id":1,"fingerprint":"ab"}}}},"work":{work},"applied":"ab","begun":true,"failed_commands":1,"asked":3,"probe":{probe},"error":{error}{more},"later":1}}"#
        )
    };
    let seed = r#","seed":{"state":"READY","vm":100,"report":"x","since":1,"later":1},"router":{"state":"READY","id":1,"vms":[],"since":1,"later":1}"#;
    let spec = &specs()[1];
    let accepted = spec.replace("\"paused\":true,", "").replace("capone", "dummy");
    format!(
        r#"{{"schema":1,"document":24,"rev":7,"state":"SCALING","accepted":{accepted},"refused":{{"fingerprint":"ab","again":5,"count":1}},"placed":{{"cluster_id":0,"public":{{"id":0,"name":"p"}},"private":{{"id":1,"name":"q"}},"image_datastore":1,"images":{{"node":{{"id":1,"name":"i","size":1}}}},"capabilities":{{"guest":true,"upgrade":true,"resize_control_plane":true,"rotate":false}},"xmlrpc":"http://x"}},"owner":3,"conditions":[{{"type":"Accepted","status":"True","reason":"Accepted","message":"","since":1,"later":1}}],"operation":{{"kind":"scale","started":1,"deadline":99,"step":"s","later":1}},"endpoint":{{"host":"192.0.2.1","port":6443}},"gateway":"192.0.2.2","control_plane":{},"node_groups":[{}],"next_group":2,"guest_exec":{{"vm":101,"group":24000,"purpose":"probe","token":"oneks:24:probe-24000-aa:1","script":"aa","issued":1,"deadline":99,"later":1}},"commands":2,"credential":{{"serial":1,"issued":1,"later":1}},"provisioned":true,"kubeconfig":true,"recovered":"r","retry":{{"count":1,"not_before":9}},"last_error":{error},"history":[{{"at":1,"text":"t","later":1}}]}}"#,
        group(24_000, "control-plane", seed),
        group(24_001, "a", ""),
    )
}

fn replies() -> Vec<String> {
    let ok = |answer: &str| format!(r#"{{"protocol":1,"ok":{answer}}}"#);
    let mut all = vec![
        ok(r#"{"name":"x","version":"1","capabilities":{"guest":true,"upgrade":true,"resize_control_plane":true,"rotate":true}}"#),
        ok(r#"{"errors":[{"path":"a.b","message":"m"}]}"#),
        ok(r#"{"templates":[{"name":"n","text":"A=1"}],"vms":[{"name":"n","text":"A=1","attachments":{"m":"t"}}],"remove":[1],"script":{"text":"true","timeout":60},"obsolete_templates":["n"]}"#),
        ok(r#"{"text":"true","timeout":60}"#),
        ok(r#"{"settled":true,"replicas":1,"ready":1,"updated":1,"version":"v1.33.7","nodes":[{"name":"n","vm":1,"ready":true,"version":"v1.33.7"}],"message":"m"}"#),
        ok(r#"{"kubeconfig":"k"}"#),
        ok(&format!(r#"{{"kubeconfig":"{SECRET}"}}"#)),
        format!(r#"{{"protocol":9,"ok":{{"kubeconfig":"{SECRET}"}}}}"#),
        ok(r#"{"seed":{"vm":{"name":"n","text":"t"},"done":{"by":"report","attribute":"A","success":"S","failure":"F","cause":"C"},"first_report":1,"total":2},"router":{"by":"hooks","name":"r","text":"t","template":"n","replicas":2},"nodes":"hooks"}"#),
        r#"{"protocol":1,"error":{"reason":"R","message":"m","retry":true}}"#.to_owned(),
        r#"{"protocol":2,"ok":1}"#.to_owned(),
        r#"{"protocol":1}"#.to_owned(),
        r#"{"protocol":1,"action":"info"}"#.to_owned(),
        r#"{"protocol":1,"action":"observe","cluster":{"id":24,"name":"oneks-24","display_name":"d","owner":{"uid":3,"name":"o"},"kubernetes_version":"v1.33.7","placement":{"cluster_id":0,"public":{"id":0,"name":"p"},"private":{"id":1,"name":"q"}},"xmlrpc":"x"},"group":{"id":24000,"name":"oneks-24","key":"control-plane","role":"control_plane","replicas":1,"version":"v1.33.7","profile":{"family":"f","flavour":"s"}},"output":{"return_code":0,"stdout":"","stderr":""}}"#.to_owned(),
    ];
    for family in ["ha", "standalone"] {
        let text =
            std::fs::read_to_string(root().join(format!("tests/golden/capone/{family}/bootstrap.json")));
        all.push(ok(&text.unwrap()));
    }
    all
}

fn profiles() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (kind, file) in [
        ("controlplanes", "controlplane.conf"),
        ("nodegroups", "nodegroup.conf"),
    ] {
        let yaml = std::fs::read_to_string(root().join(format!("templates/profiles/{kind}/general/{file}")))
            .unwrap();
        all.push((
            kind.to_owned(),
            format!("{yaml}\0{{\"count\":3,\"memory\":8192.0}}").into_bytes(),
        ));
    }
    let small = "name: T\ndescription: d\nfamily: f\nsupported_k8s_versions: [v1.34.2]\nuser_inputs:\n  - &c { name: count, type: number, \
                 mandatory: true, default: 1, match: { type: number, values: { min: 0, max: 9 } } }\n  - { name: zones, \
                 type: list(string), default: [a], match: { type: list, values: [a, b] } }\n  - { name: on, type: bool }\n  \
                 - { name: m, type: map }\nflavours:\n  a: { label: l, description: d, override_defaults: false, defaults: { \
                 count: 3 } }\n  b: {}\nsettings: { images: { node: { attribute: A, value: v } } }\nmetadata: { x: ~ }\n";
    let values = [
        "{\"count\":3}",
        "{\"count\":2.0,\"zones\":[\"b\"],\"on\":true,\"m\":{}}",
        "",
    ];
    for (i, values) in values.iter().enumerate() {
        all.push((format!("small-{i}"), format!("{small}\0{values}").into_bytes()));
    }
    all
}

fn plans() -> Vec<(String, Vec<u8>)> {
    let (specs, statuses) = (specs(), statuses());
    let guest = specs[1].replace("\"paused\":true,", "");
    let answers = r#"{"scale":{"remove":[101]},"info":{"reason":"R","message":"m","retry":true}}"#;
    let choices: [&[u8]; 4] = [
        b"\x00\x00",
        b"\x00\x00\x07\x00\x01\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01",
        b"\x01\x02\x00\x01\x00\x00\x01\x00\x03\x01\x07\x01\x02\x00\x02",
        b"\x01\x04\x05\x00\x00\x00\x00\x02\x02\x03\x00",
    ];
    let mut all = Vec::new();
    for spec in [&guest, &specs[0], &specs[3], &specs[4]] {
        for status in [&statuses[0], &statuses[1], &statuses[7]] {
            for (order, answers) in [("\0", ""), ("\0YES", ""), ("again\0FORCE", ""), ("\0", answers)] {
                let texts = format!("{spec}\0{status}\0{order}\0{answers}\0");
                for choices in choices {
                    all.push([texts.as_bytes(), choices].concat());
                }
            }
        }
    }
    all.into_iter()
        .enumerate()
        .map(|(i, seed)| (format!("{i:03}"), seed))
        .collect()
}
