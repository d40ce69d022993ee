//! The script that hands a cluster its new credential.

use minijinja::{Value, context};
use oneks_driver::{Cluster, DriverError, Group, Script, reason};

use crate::context::Subject;

/// Seconds for the script.
const TIMEOUT: u64 = 180;

/// Answers `rotate`: applies the Secrets again and starts the cloud controller anew.
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
    let context = context! { secrets => Value::from_safe_string(secrets) };
    crate::script::script("rotate.sh.j2", &context, TIMEOUT)
}
