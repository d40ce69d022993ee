//! `wait`: true now, or after its whole time not at all. Nothing changes while a script runs.

use serde_json::Value;

use super::super::kube::quantity::duration;
use super::super::kube::{Object, Store};
use super::args::Args;
use super::jsonpath::Template;
use super::{Failure, Output, edit};

/// `kubectl wait`.
pub fn wait(store: &Store, args: &Args, out: &mut Output) -> Result<(), Failure> {
    let condition = args
        .value("for")
        .ok_or_else(|| Failure::usage("The given condition \"\" is invalid"))?;
    let limit = args.value("timeout").and_then(duration).unwrap_or(30);
    let objects = if condition == "delete" {
        match edit::existing(store, args, &args.words) {
            Ok(objects) => objects,
            Err(failure) if failure.0.contains("(NotFound)") => return Ok(()),
            Err(failure) => return Err(failure),
        }
    } else {
        let objects = edit::existing(store, args, &args.words)?;
        if objects.is_empty() {
            return Err(Failure::usage("no matching resources found"));
        }
        objects
    };
    let mut failures = Vec::new();
    for object in &objects {
        if is_met(object, condition)? {
            super::apply::print(out, object, "condition met");
        } else {
            out.seconds = out.seconds.max(limit);
            let plural = super::super::kube::kinds::named(object.kind()).map_or("", |kind| kind.plural);
            failures.push(format!(
                "error: timed out waiting for the condition on {plural}/{}",
                object.name()
            ));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure(failures.join("\n")))
    }
}

fn is_met(object: &Object, condition: &str) -> Result<bool, Failure> {
    if condition == "delete" {
        return Ok(false);
    }
    if let Some(body) = condition.strip_prefix("condition=") {
        let (name, wanted) = body.split_once('=').unwrap_or((body, "true"));
        return Ok(object.list(&["status", "conditions"]).iter().any(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_lowercase();
            text("type") == name.to_lowercase() && text("status") == wanted.to_lowercase()
        }));
    }
    if let Some(body) = condition.strip_prefix("jsonpath=") {
        let (path, wanted) = body
            .rsplit_once('=')
            .map_or((body, None), |(path, wanted)| (path, Some(wanted)));
        let template = Template::parse(path.trim_matches('\'')).map_err(Failure::usage)?;
        let found = template.render(&object.0).map_err(Failure::usage)?;
        return Ok(wanted.map_or(!found.is_empty(), |wanted| found == wanted.trim_matches('\'')));
    }
    Err(Failure::usage(format!(
        "unrecognized condition: {:?}",
        Value::from(condition).to_string()
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::kubectl;
    use super::*;

    #[test]
    fn met_or_timed_out() {
        let mut node = Object::new("v1", "Node", "", "n");
        node.set(
            &["status", "conditions"],
            json!([{"type": "Ready", "status": "True"}]),
        );
        node.set(&["status", "phase"], "Good");
        let mut store = Store::new(1, 1000);
        store.insert(node);
        for (line, wanted, seconds) in [
            ("wait node n --for=condition=Ready", "node/n condition met\n", 0),
            (
                "wait node/n --for=condition=Ready=false --timeout=5s",
                "error: timed out waiting for the condition on nodes/n\n",
                5,
            ),
            (
                "wait node n --for=jsonpath='{.status.phase}'=Good",
                "node/n condition met\n",
                0,
            ),
            (
                "wait node n --for=delete",
                "error: timed out waiting for the condition on nodes/n\n",
                30,
            ),
            ("wait node none --for=delete", "", 0),
        ] {
            let output = kubectl(&mut store, line);
            assert_eq!(format!("{}{}", output.stdout, output.stderr), wanted, "{line}");
            assert_eq!(output.seconds, seconds, "{line}");
        }
    }
}
