//! SPEC and STATUS.

use std::fmt::Write;

use oneks_core::Spec;
use oneks_core::status::{HISTORY, Status, Unusable};
use serde_json::Value;

/// Longest message about a wrong SPEC, bytes: it is stored in STATUS, and written to the log.
const MESSAGE: usize = 1000;

/// The document that a STATUS is read for.
const DOCUMENT: u32 = 24;

/// A SPEC as a user may write it.
pub(crate) fn spec(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Spec::parse(&text) {
        Ok(spec) => {
            let written = serde_json::to_string(&spec).unwrap();
            assert_eq!(Spec::parse(&written).as_ref(), Ok(&spec), "{written}");
            assert_eq!(spec.check_change(&spec), []);
            assert_eq!(spec.choices().len(), spec.node_groups.len() + 1);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                let length = error.path.len() + error.message.len();
                assert!(
                    !error.message.is_empty() && length <= MESSAGE,
                    "{length} bytes: {error:?}"
                );
            }
        }
    }
}

/// A STATUS as a later version, a restored backup or a hostile owner may leave it.
pub(crate) fn status(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Status::parse(Some(&text), DOCUMENT) {
        Ok(mut status) => {
            let written = status.to_json();
            assert!(!written.contains("]]>"));
            assert_eq!(
                Status::parse(Some(&written), DOCUMENT).as_ref(),
                Ok(&status),
                "{written}"
            );
            let (before, after) = (
                serde_json::from_str(&text).unwrap(),
                serde_json::from_str(&written).unwrap(),
            );
            keeps(&before, &after, &mut String::new());
            // The same once something was changed.
            status.note(1, "x ]]> y");
            assert!(status.history.len() <= HISTORY.max(1));
            let written = status.to_json();
            assert!(!written.contains("]]>"));
            assert_eq!(Status::parse(Some(&written), DOCUMENT).as_ref(), Ok(&status));
            let _ = status.vm_ids();
        }
        Err(Unusable::Rebuild(reason)) => assert!(!reason.is_empty() && reason.len() <= MESSAGE, "{reason}"),
        Err(Unusable::Clone { of }) => assert_ne!(of, DOCUMENT),
        Err(Unusable::Schema(schema)) => assert_ne!(schema, u64::from(oneks_core::status::SCHEMA)),
    }
}

/// Everything that was said is still said, known or not. What is null says nothing.
fn keeps(before: &Value, after: &Value, path: &mut String) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before.iter().filter(|(_, value)| !value.is_null()) {
                let length = path.len();
                path.push('/');
                path.push_str(key);
                let kept = after.get(key).unwrap_or_else(|| panic!("{path} is lost"));
                keeps(value, kept, path);
                path.truncate(length);
            }
        }
        // Sets lose what stands in them twice.
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                let length = path.len();
                let _ = write!(path, "[{i}]");
                keeps(before, after, path);
                path.truncate(length);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert!(
                before.iter().all(|item| after.contains(item)),
                "{path}: an item is lost"
            );
        }
        (Value::Number(before), Value::Number(after)) => {
            assert_eq!(before.as_f64(), after.as_f64(), "{path}");
        }
        (before, after) => assert_eq!(before, after, "{path}"),
    }
}
