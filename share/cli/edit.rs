//! Changing a cluster: SPEC is read, changed and written back, with every field that this version does not know.

use opennebula::calls::UpdateMode;
use opennebula::template::{Template, json_for_cdata};
use serde_json::Value;

use crate::app::App;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::validate;

/// How often a change is made anew because somebody else changed SPEC meanwhile.
const ATTEMPTS: u32 = 3;

/// What a change led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The SPEC's text as it is stored now.
    pub text: String,
    /// Was anything written?
    pub written: bool,
}

/// Applies `change` to the cluster's SPEC.
///
/// OpenNebula has no conditional update. Right before writing SPEC is read again, and the change is made on the new one
/// if somebody else was faster, so only writers within the same moment can overwrite each other.
///
/// # Errors
/// `change` refuses, the result is no good SPEC, or others never stop changing it.
pub fn spec(
    app: &mut App,
    id: u32,
    change: impl Fn(&Cluster, &mut Value) -> Result<(), Failure>,
) -> Result<Changed, Failure> {
    let client = app.client()?;
    let mut cluster = Cluster::fetch(&client, id)?;
    for _ in 0..ATTEMPTS {
        let before = cluster
            .document
            .template
            .get("SPEC")
            .unwrap_or_default()
            .to_owned();
        if !cluster.spec.is_object() {
            return Err(Failure::Refused(format!(
                "{} has no readable SPEC; write one with `oneks update cluster {id} --file FILE`",
                cluster.title()
            )));
        }
        let mut value = cluster.spec.clone();
        change(&cluster, &mut value)?;
        if value == cluster.spec {
            return Ok(Changed {
                text: before,
                written: false,
            });
        }
        let text = json_for_cdata(&value);
        validate::check(app, &text, cluster.status.as_ref())?;
        let now = Cluster::fetch(&client, id)?;
        if now.document.template.get("SPEC").unwrap_or_default() != before {
            app.out.note(&format!(
                "oneks: {} was changed by somebody else; trying again",
                now.title()
            ));
            cluster = now;
            continue;
        }
        write(app, id, &[("SPEC", &text)])?;
        return Ok(Changed { text, written: true });
    }
    Err(Failure::Other(format!(
        "{} is being changed by somebody else all the time; try again",
        cluster.title()
    )))
}

/// Puts another SPEC in the place of the one with the text `seen`.
///
/// # Errors
/// The new one is not good, or the old one was changed since it was seen.
pub fn replace(app: &mut App, id: u32, seen: &str, value: &Value) -> Result<Changed, Failure> {
    let cluster = Cluster::fetch(&app.client()?, id)?;
    if cluster.document.template.get("SPEC").unwrap_or_default() != seen {
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
    let mut template = Template::new();
    for (name, text) in attributes {
        template.set(name, *text);
    }
    let text = template
        .to_xml("TEMPLATE")
        .map_err(|e| Failure::Refused(e.to_string()))?;
    Ok(app.client()?.document_update(id, &text, UpdateMode::Merge)?)
}

/// The entry of a node group in SPEC.
///
/// # Errors
/// SPEC has none of this key.
pub fn group_mut<'a>(spec: &'a mut Value, key: &str, of: &Cluster) -> Result<&'a mut Value, Failure> {
    let groups = spec.get_mut("node_groups").and_then(Value::as_array_mut);
    groups
        .into_iter()
        .flatten()
        .find(|g| g["name"] == key)
        .ok_or_else(|| {
            Failure::NotFound(format!(
                "the SPEC of {} has no node group {key}; it is being removed",
                of.title()
            ))
        })
}
