//! The script that hands a cluster its new credential.

use minijinja::value::Serde;
use minijinja::{Value, context};
use oneks_driver::secret::ONE_AUTH_BASE64;
use oneks_driver::{Cluster, DriverError, Group, Script, reason};
use serde_json::json;

use crate::context::Subject;

/// Seconds for the script. The pods of the cloud controller are replaced one after another.
const TIMEOUT: u64 = 360;

/// Annotation of the cloud controller's pods with the number of the credential that they have read.
pub const CREDENTIAL: &str = "oneks.opennebula.io/credential";

/// Answers `rotate`: applies the Secrets again and replaces the cloud controller's pods. It ends well only when all of
/// them are new, and may be run any number of times: pods with the mark of this credential stay.
///
/// The credential is in the script's text and goes to kubectl by a pipe, never as an argument, which every process of
/// the node could read. CAPONE reads its Secret at each turn; the cloud controller only when it starts.
///
/// # Errors
/// `BadProfile`.
pub fn script(cluster: &Cluster, group: &Group) -> Result<Script, DriverError> {
    let subject = Subject::new(cluster, group)?;
    let secrets = format!(
        "{}---\n{}",
        subject.render("credentials.yaml.j2")?,
        subject.render("cloud-config.yaml.j2")?
    );
    if secrets.lines().any(|line| line == "ONEKS_END") {
        return Err(DriverError::fatal(
            reason::BAD_PROFILE,
            "credentials.yaml.j2 may not have the line ONEKS_END",
        ));
    }
    let annotations = json!({ CREDENTIAL: cluster.credential.to_string() });
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    let context = context! {
        secrets => Value::from_safe_string(secrets),
        one_auth_base64 => Value::from_safe_string(ONE_AUTH_BASE64.to_owned()),
        names => Value::from(Serde(&subject.names)),
        patch => patch.to_string(),
    };
    crate::script::script("rotate.sh.j2", &context, TIMEOUT)
}
