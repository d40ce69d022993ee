//! Changing a cluster with the command: what is checked here, and what users are told meanwhile.

use oneks::orders::cluster::Cluster;
use oneks::orders::edit::{self, Edit, spec_text};
use opennebula::template::json_for_cdata;
use serde_json::Value;

use crate::app::App;
use crate::failure::Failure;
use crate::validate;

pub use oneks::orders::edit::{Changed, group_mut};

/// Applies `change` to the cluster's SPEC, see [`edit::spec`].
///
/// # Errors
/// `change` refuses, the result is no good SPEC, or others never stop changing it.
pub fn spec(
    app: &mut App,
    id: u32,
    change: impl Fn(&Cluster, &mut Value) -> Result<(), Failure>,
) -> Result<Changed, Failure> {
    let client = app.client()?;
    edit::spec(&client, id, &mut Told { app, change })
}

/// A change whose course the user is told.
struct Told<'a, F> {
    app: &'a mut App,
    change: F,
}

impl<F: Fn(&Cluster, &mut Value) -> Result<(), Failure>> Edit for Told<'_, F> {
    type Error = Failure;

    fn change(&mut self, cluster: &Cluster, spec: &mut Value) -> Result<(), Failure> {
        (self.change)(cluster, spec)
    }

    fn check(&mut self, cluster: &Cluster, text: &str) -> Result<(), Failure> {
        validate::check(self.app, text, cluster.status.as_ref()).map(drop)
    }

    fn overtaken(&mut self, cluster: &Cluster) {
        self.app.out.note(&format!(
            "oneks: {} was changed by somebody else; trying again",
            cluster.title()
        ));
    }
}

/// Puts another SPEC in the place of the one with the text `seen`.
///
/// # Errors
/// The new one is not good, or the old one was changed since it was seen.
pub fn replace(app: &mut App, id: u32, seen: &str, value: &Value) -> Result<Changed, Failure> {
    let cluster = Cluster::fetch(&app.client()?, id)?;
    if spec_text(&cluster) != seen {
        return Err(Failure::Refused(format!(
            "{} was changed by somebody else meanwhile; look at it and try again",
            cluster.title()
        )));
    }
    if *value == cluster.spec {
        return Ok(Changed {
            text: seen.to_owned(),
            written: false,
        });
    }
    let text = json_for_cdata(value);
    validate::check(app, &text, cluster.status.as_ref())?;
    write(app, id, &[("SPEC", &text)])?;
    Ok(Changed { text, written: true })
}

/// Writes attributes of a document; all others stay as they are.
///
/// # Errors
/// The text can't be stored, or the call.
pub fn write(app: &mut App, id: u32, attributes: &[(&str, &str)]) -> Result<(), Failure> {
    Ok(edit::write(&app.client()?, id, attributes)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use oneks_sandbox::{Config, Sandbox};
    use opennebula::calls::UpdateMode;
    use opennebula::template::Template;
    use opennebula::transport::{Transport, TransportError};
    use opennebula::{Client, Session};
    use serde_json::json;

    use super::*;
    use crate::connect::Connection;
    use crate::out::Out;
    use crate::out::captured::Captured;

    /// Somebody who changes SPEC right before the given looks at the document.
    struct Interloper {
        sandbox: Sandbox,
        looks: AtomicU32,
        acts_before: Vec<u32>,
    }

    impl Transport for Interloper {
        fn post(&self, body: &str) -> Result<String, TransportError> {
            if body.contains("one.document.info") {
                let look = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
                if self.acts_before.contains(&look) {
                    let mut spec = spec();
                    spec["description"] = json!(format!("changed before look {look}"));
                    store(&self.sandbox, 0, &spec);
                }
            }
            self.sandbox.post(body)
        }
    }

    fn spec() -> Value {
        json!({
            "kubernetes_version": "v1.34.2",
            "deployment": {"cluster": {"id": 0}, "networks": {"public": {"id": 0}, "private": {"id": 1}}},
            "control_plane": {"flavour": "standalone"},
        })
    }

    fn store(sandbox: &Sandbox, id: u32, spec: &Value) {
        let mut template = Template::new();
        template.set("SPEC", json_for_cdata(spec));
        let client = Client::new(sandbox.clone(), Session::parse("oneadmin:opennebula").unwrap());
        client
            .document_update(id, &template.to_xml("T").unwrap(), UpdateMode::Merge)
            .unwrap();
    }

    fn app(acts_before: &[u32]) -> (App, Sandbox, Captured) {
        let sandbox = Sandbox::new(Config::default());
        let session = Session::parse("oneadmin:opennebula").unwrap();
        let client = Client::new(sandbox.clone(), session.clone());
        client.document_allocate("NAME=web", 120).unwrap();
        store(&sandbox, 0, &spec());
        let transport = Interloper {
            sandbox: sandbox.clone(),
            looks: AtomicU32::new(0),
            acts_before: acts_before.to_vec(),
        };
        let (out, _, stderr) = Out::captured(None);
        (
            App::for_tests(
                out,
                Connection {
                    transport: Arc::new(transport),
                    session,
                },
                None,
            ),
            sandbox,
            stderr,
        )
    }

    fn pause(app: &mut App) -> Result<Changed, Failure> {
        super::spec(app, 0, |_, spec| {
            spec["paused"] = json!(true);
            Ok(())
        })
    }

    fn stored(sandbox: &Sandbox) -> Value {
        let document = sandbox.documents().remove(0);
        serde_json::from_str(document.template.get("SPEC").unwrap()).unwrap()
    }

    #[test]
    fn a_change_is_made_on_what_somebody_else_wrote_meanwhile() {
        let (mut app, sandbox, stderr) = app(&[2]);
        assert!(pause(&mut app).unwrap().written);
        let mut wanted = spec();
        wanted["paused"] = json!(true);
        wanted["description"] = json!("changed before look 2");
        assert_eq!(stored(&sandbox), wanted);
        assert!(
            stderr.text().contains("changed by somebody else; trying again"),
            "{}",
            stderr.text()
        );
    }

    #[test]
    fn somebody_who_never_stops_is_told_of() {
        let (mut app, sandbox, _) = app(&[2, 3, 4]);
        assert!(pause(&mut app).unwrap_err().to_string().contains("all the time"));
        assert!(stored(&sandbox)["paused"].is_null());
    }

    #[test]
    fn a_whole_specification_never_replaces_one_that_was_not_seen() {
        let (mut app, sandbox, _) = app(&[1]);
        let seen = json_for_cdata(&spec());
        let mut new = spec();
        new["description"] = json!("mine");
        let error = replace(&mut app, 0, &seen, &new).unwrap_err();
        assert!(
            error.to_string().contains("changed by somebody else meanwhile"),
            "{error}"
        );
        assert_eq!(stored(&sandbox)["description"], "changed before look 1");
    }

    #[test]
    fn what_changes_nothing_writes_nothing() {
        let (mut app, ..) = app(&[]);
        assert!(pause(&mut app).unwrap().written);
        assert!(!pause(&mut app).unwrap().written);
    }

    #[test]
    fn fields_of_later_versions_are_refused_rather_than_lost() {
        let (mut app, sandbox, _) = app(&[]);
        let mut later = spec();
        later["hibernation"] = json!({"after": "22:00"});
        store(&sandbox, 0, &later);
        assert!(pause(&mut app).unwrap_err().to_string().contains("hibernation"));
        assert_eq!(stored(&sandbox), later);
    }
}
