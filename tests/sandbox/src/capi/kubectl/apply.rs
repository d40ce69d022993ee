//! `apply`, `create` and `replace`: manifests on their way to the server.

use serde_json::{Map, Value, json};

use super::super::kube::kinds::{self, Kind};
use super::super::kube::{ApiError, FieldValidation, Key, Object, Store};
use super::args::Args;
use super::{Environment, Failure, Output};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object of a manifest, and the file that it stands in.
pub struct Document {
    /// Its kind.
    pub kind: &'static Kind,
    /// The object.
    pub object: Object,
    /// `STDIN` or the name of the file.
    pub source: String,
}

/// `kubectl apply`.
pub fn apply(
    store: &mut Store,
    args: &Args,
    environment: &mut Environment<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    each(
        store,
        args,
        environment,
        output,
        |store, args, document, output| {
            if args.is_set("server-side") {
                return server_side(store, args, document, output);
            }
            apply_one(store, args, document, output)
        },
    )
}

/// `kubectl create -f` and `kubectl create namespace`.
pub fn create(
    store: &mut Store,
    args: &Args,
    environment: &mut Environment<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    if let [kind, name] = args.words.as_slice()
        && matches!(kind.as_str(), "namespace" | "ns")
    {
        let (created, _) = store.create(Object::new("v1", "Namespace", "", name), FieldValidation::Strict)?;
        print(output, &created, "created");
        return Ok(());
    }
    each(
        store,
        args,
        environment,
        output,
        |store, args, document, output| {
            let source = format!("error when creating {:?}", document.source);
            let (created, warnings) = store
                .create(document.object, mode(args))
                .map_err(|error| wrapped(&error, &source))?;
            warn(output, &warnings);
            print(output, &created, "created");
            Ok(())
        },
    )
}

/// `kubectl replace -f`.
pub fn replace(
    store: &mut Store,
    args: &Args,
    environment: &mut Environment<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    each(
        store,
        args,
        environment,
        output,
        |store, args, document, output| {
            let source = format!("error when replacing {:?}", document.source);
            let object = document.object.clone();
            let (_, warnings) = store
                .update(document.object, mode(args))
                .map_err(|error| wrapped(&error, &source))?;
            warn(output, &warnings);
            print(output, &object, "replaced");
            Ok(())
        },
    )
}

/// The objects of all files that `-f` names, and what could not be read.
pub fn documents(
    store: &Store,
    args: &Args,
    environment: &mut Environment<'_>,
) -> Result<(Vec<Document>, Vec<Failure>), Failure> {
    let files = args.values("filename");
    if files.is_empty() {
        return Err(Failure::usage("must specify one of -f and -k"));
    }
    let (mut documents, mut failures) = (Vec::new(), Vec::new());
    for file in files {
        let mut text = String::new();
        let source = if file == "-" {
            if environment.stdin.read_to_string(&mut text).is_err() {
                return Err(Failure::usage("unable to read STDIN: not UTF-8"));
            }
            "STDIN".to_owned()
        } else {
            text = std::fs::read_to_string(file)
                .map_err(|_| Failure::usage(format!("the path {file:?} does not exist")))?;
            file.clone()
        };
        for part in split(&text) {
            match read(store, args, part, &source) {
                Ok(found) => documents.extend(found),
                Err(failure) => failures.push(failure),
            }
        }
    }
    Ok((documents, failures))
}

fn each(
    store: &mut Store,
    args: &Args,
    environment: &mut Environment<'_>,
    output: &mut Output,
    mut verb: impl FnMut(&mut Store, &Args, Document, &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (documents, mut failures) = documents(store, args, environment)?;
    if documents.is_empty() && failures.is_empty() {
        return Err(Failure::usage(format!("no objects passed to {}", args.verb)));
    }
    for document in documents {
        if let Err(failure) = verb(store, args, document, output) {
            failures.push(failure);
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = failures.into_iter().map(|failure| failure.0).collect();
    Err(Failure(all.join("\n")))
}

/// The parts of a stream of YAML documents.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut position) = (0, 0);
    for line in text.split_inclusive('\n') {
        let end = position + line.len();
        if line.trim_end() == "---" || line.starts_with("--- ") {
            parts.push(&text[start..position]);
            start = end;
        }
        position = end;
    }
    parts.push(&text[start..]);
    parts.retain(|part| {
        part.lines()
            .any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    parts
}

fn read(store: &Store, args: &Args, text: &str, source: &str) -> Result<Vec<Document>, Failure> {
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    options.with_snippet = false;
    let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        Failure::usage(format!(
            "error parsing {source}: error converting YAML to JSON: yaml: {error}"
        ))
    })?;
    if value.is_null() {
        return Ok(Vec::new());
    }
    if value["kind"] == "List" {
        let items = value["items"].as_array().cloned().unwrap_or_default();
        return items
            .into_iter()
            .map(|item| document(store, args, Object(item), source))
            .collect();
    }
    document(store, args, Object(value), source).map(|document| vec![document])
}

fn document(store: &Store, args: &Args, mut object: Object, source: &str) -> Result<Document, Failure> {
    let missing: Vec<&str> = [("apiVersion", "apiVersion not set"), ("kind", "kind not set")]
        .into_iter()
        .filter(|(field, _)| object.text(&[field]).is_empty())
        .map(|(_, text)| text)
        .collect();
    if !missing.is_empty() {
        let list = match missing.as_slice() {
            [one] => (*one).to_owned(),
            all => format!("[{}]", all.join(", ")),
        };
        return Err(Failure::usage(format!(
            "error validating {source:?}: error validating data: {list}; if you choose to ignore these errors, turn \
             validation off with --validate=false"
        )));
    }
    let kind = kinds::by_kind(object.api_version(), object.kind()).filter(|kind| store.serves(kind));
    let Some(kind) = kind else {
        return Err(Failure::usage(format!(
            "resource mapping not found for name: {:?} namespace: {:?} from {source:?}: no matches for kind {:?} in \
             version {:?}\nensure CRDs are installed first",
            object.name(),
            object.namespace(),
            object.kind(),
            object.api_version()
        )));
    };
    if kind.namespaced {
        let (own, wanted) = (object.namespace().to_owned(), args.value("namespace"));
        match wanted {
            Some(wanted) if !own.is_empty() && own != wanted => {
                return Err(Failure::usage(format!(
                    "the namespace from the provided object {own:?} does not match the namespace {wanted:?}. You must \
                     pass '--namespace={own}' to perform this operation."
                )));
            }
            _ if own.is_empty() => object.set(&["metadata", "namespace"], args.namespace()),
            _ => {}
        }
    }
    Ok(Document {
        kind,
        object,
        source: source.into(),
    })
}

fn apply_one(store: &mut Store, args: &Args, document: Document, output: &mut Output) -> Result<(), Failure> {
    let Document { kind, object, source } = document;
    let mut applied = object.clone();
    let plain = without_null_metadata(&object);
    applied.set(&["metadata", "annotations", LAST_APPLIED], format!("{plain}\n"));
    let key = Key::of(&with_scope(&object, kind));
    let Some(live) = store.get(&key).cloned() else {
        let source = format!("error when creating {source:?}");
        let (created, warnings) = store
            .create(applied, mode(args))
            .map_err(|error| wrapped(&error, &source))?;
        warn(output, &warnings);
        print(output, &created, "created");
        return Ok(());
    };
    let last: Value = live
        .annotation(LAST_APPLIED)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_else(|| json!({}));
    if live.annotation(LAST_APPLIED).is_none() {
        output.complain(format_args!("Warning: resource {}/{} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. \
             kubectl apply should only be used on resources created declaratively by either kubectl create \
             --save-config or kubectl apply. The missing annotation will be patched automatically.",
            kind.plural,
            object.name()
        ));
    }
    let changes = three_way(&last, &applied.0, &live.0);
    if changes.as_object().is_none_or(Map::is_empty) {
        print(output, &live, "unchanged");
        return Ok(());
    }
    let mut merged = live.clone();
    merge(&mut merged.0, &changes);
    let context = format!(
        "error when applying patch:\n{changes}\nto:\nResource: \"{group}, Resource={plural}\", GroupVersionKind: \
         \"{group}, Kind={name}\"\nName: {object:?}, Namespace: {namespace:?}\nfor: {source:?}: error when patching \
         {source:?}",
        group = kind.api_version(),
        plural = kind.plural,
        name = kind.kind,
        object = object.name(),
        namespace = object.namespace(),
    );
    let (_, warnings) = store
        .update(merged, mode(args))
        .map_err(|error| wrapped(&error, &context))?;
    warn(output, &warnings);
    print(output, &live, "configured");
    Ok(())
}

fn server_side(
    store: &mut Store,
    args: &Args,
    document: Document,
    output: &mut Output,
) -> Result<(), Failure> {
    let Document { kind, object, source } = document;
    let source = format!("error when applying {source:?}");
    let fail = |error: ApiError| wrapped(&error, &source);
    let key = Key::of(&with_scope(&object, kind));
    if let Some(live) = store.get(&key) {
        let mut merged = live.clone();
        merge(&mut merged.0, &object.0);
        store.update(merged, mode(args)).map_err(fail)?;
    } else {
        store.create(object.clone(), mode(args)).map_err(fail)?;
    }
    print(output, &object, "serverside-applied");
    Ok(())
}

/// What must change in `live` so that it says what `new` says and no longer what only `last` said.
fn three_way(last: &Value, new: &Value, live: &Value) -> Value {
    let empty = Map::new();
    let map = |value: &Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let (last, new, live) = (map(last), map(new), map(live));
    let mut changes = Map::new();
    for (key, value) in &last {
        let dropped = new.get(key).is_none_or(Value::is_null) && !value.is_null();
        if dropped && live.contains_key(key) {
            changes.insert(key.clone(), Value::Null);
        }
    }
    for (key, value) in &new {
        let current = live.get(key).unwrap_or(&Value::Null);
        if value.is_null() || value == current {
            continue;
        }
        if value.is_object() && current.is_object() {
            let inner = three_way(last.get(key).unwrap_or(&Value::Null), value, current);
            if inner.as_object().is_some_and(|map| !map.is_empty()) {
                changes.insert(key.clone(), inner);
            }
        } else if !without_nulls(value).eq(&without_nulls(current)) {
            changes.insert(key.clone(), value.clone());
        }
    }
    Value::Object(changes)
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, item)| !item.is_null())
                .map(|(key, item)| (key.clone(), without_nulls(item)))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// JSON merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(map) = target else { return };
    for (key, value) in changes {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn without_null_metadata(object: &Object) -> Value {
    let mut object = object.clone();
    if object.at(&["metadata", "annotations"]).is_none() {
        object.set(&["metadata", "annotations"], json!({}));
    }
    object.0
}

fn with_scope(object: &Object, kind: &Kind) -> Object {
    let mut object = object.clone();
    if !kind.namespaced {
        object.remove(&["metadata", "namespace"]);
    }
    object
}

fn mode(args: &Args) -> FieldValidation {
    match args.value("validate") {
        Some("false" | "ignore" | "warn") => FieldValidation::Warn,
        _ => FieldValidation::Strict,
    }
}

fn wrapped(error: &ApiError, source: &str) -> Failure {
    Failure(error.for_kubectl(Some(source)))
}

fn warn(output: &mut Output, warnings: &[String]) {
    for warning in warnings {
        output.complain(format_args!("Warning: {warning}"));
    }
}

/// `kind.group/name verb`.
pub fn print(output: &mut Output, object: &Object, verb: &str) {
    let kind = kinds::named(object.kind()).map_or_else(|| object.kind().to_lowercase(), Kind::singular);
    output.say(format_args!("{kind}/{} {verb}", object.name()));
}

#[cfg(test)]
mod tests {
    use super::super::testing::kubectl_with;
    use super::*;

    const MANIFEST: &str = "
# a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {x: '1', y: '2'}}
data: {k: v}
---
apiVersion: v1
kind: Secret
metadata:
  name: s
stringData:
  file: |
    ---
    not: a document
";

    #[test]
    fn create_configure_and_leave_alone() {
        let mut store = Store::new(1, 1000);
        let output = kubectl_with(&mut store, "apply -f -", MANIFEST.as_bytes());
        assert_eq!(
            output.stdout, "configmap/a created\nsecret/s created\n",
            "{}",
            output.stderr
        );
        let output = kubectl_with(&mut store, "apply -f -", MANIFEST.as_bytes());
        assert!(
            output.stdout.starts_with("configmap/a unchanged\n"),
            "{}",
            output.stdout
        );
        let output = kubectl_with(
            &mut store,
            "apply -f -",
            MANIFEST.replace(", y: '2'", "").as_bytes(),
        );
        assert!(output.stdout.starts_with("configmap/a configured\n"));
        let map = store.get(&Key::new("ConfigMap", "a")).unwrap();
        assert_eq!((map.label("x"), map.label("y")), (Some("1"), None));
    }

    #[test]
    fn what_others_wrote_survives() {
        let mut store = Store::new(1, 1000);
        kubectl_with(&mut store, "apply -f -", MANIFEST.as_bytes());
        store.modify(&Key::new("ConfigMap", "a"), |object| {
            object.set(&["data", "other"], "x");
        });
        kubectl_with(
            &mut store,
            "apply -f -",
            MANIFEST.replace("k: v", "k: w").as_bytes(),
        );
        let map = store.get(&Key::new("ConfigMap", "a")).unwrap();
        assert_eq!(
            (map.text(&["data", "k"]), map.text(&["data", "other"])),
            ("w", "x")
        );
    }

    #[test]
    fn a_bad_document_spoils_only_itself() {
        let mut store = Store::new(1, 1000);
        let manifest = format!(
            "apiVersion: example.com/v1\nkind: Frob\nmetadata: {{name: f}}\n---{MANIFEST}---\nkind: x\n"
        );
        let output = kubectl_with(&mut store, "apply -f -", manifest.as_bytes());
        assert_eq!(output.stdout, "configmap/a created\nsecret/s created\n");
        assert_eq!(
            output.stderr,
            "error: resource mapping not found for name: \"f\" namespace: \"\" from \"STDIN\": no matches for kind \
             \"Frob\" in version \"example.com/v1\"\nensure CRDs are installed first\nerror: error validating \
             \"STDIN\": error validating data: apiVersion not set; if you choose to ignore these errors, turn \
             validation off with --validate=false\n"
        );
        assert_eq!(output.code, 1);
    }

    #[test]
    fn nothing_and_nonsense_are_errors() {
        let mut store = Store::new(1, 1000);
        assert_eq!(
            kubectl_with(&mut store, "apply -f -", b"\n").stderr,
            "error: no objects passed to apply\n"
        );
        let output = kubectl_with(&mut store, "apply -f -", b"a: [1\n");
        assert!(
            output
                .stderr
                .starts_with("error: error parsing STDIN: error converting YAML to JSON: yaml: ")
        );
        let output = kubectl_with(&mut store, "apply -f /nowhere/at/all", b"");
        assert_eq!(
            output.stderr,
            "error: the path \"/nowhere/at/all\" does not exist\n"
        );
    }
}
