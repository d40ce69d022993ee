//! What makes, resizes, upgrades and removes a group.
//!
//! Every script names the one field that it changes: applying a whole manifest to a live cluster could undo what its
//! controllers have written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Value, context};
use oneks_driver::{Cluster, DriverError, Group, Role, Steps, TemplateText, reason};
use serde_json::json;

use crate::context::Subject;
use crate::script::{GROUP_LABEL, resource, script};

/// Seconds for a script that changes something.
const TIMEOUT: u64 = 180;

/// Answers `provision`. A control plane needs nothing: the seed has made it.
///
/// # Errors
/// `BadProfile`.
pub fn provision(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    if group.role == Role::ControlPlane {
        return Ok(Steps::default());
    }
    let subject = Subject::new(cluster, group)?;
    let manifest = STANDARD.encode(subject.render("manifest.yaml.j2")?);
    let context = context! { manifest_base64 => Value::from_safe_string(manifest) };
    Ok(Steps {
        templates: vec![TemplateText {
            name: subject.names.vm_template.clone(),
            text: subject.render("node.j2")?,
        }],
        script: Some(script("apply.sh.j2", &context, TIMEOUT)?),
        ..Steps::default()
    })
}

/// Answers `scale`.
///
/// # Errors
/// None that an administrator could do anything about.
pub fn scale(group: &Group) -> Result<Steps, DriverError> {
    patch(group, &json!({ "spec": { "replicas": group.replicas } }))
}

/// Answers `upgrade`.
///
/// # Errors
/// `BadProfile`: the settings can't be read.
pub fn upgrade(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    let version = Subject::new(cluster, group)?
        .settings
        .rke2
        .version(&group.version);
    let spec = match group.role {
        Role::ControlPlane => json!({ "version": version }),
        Role::NodeGroup => json!({ "template": { "spec": { "version": version } } }),
    };
    patch(group, &json!({ "spec": spec }))
}

/// Answers `deprovision`. Cluster API drains and ends the nodes; the script does not wait for it.
///
/// # Errors
/// `BadRequest` for a control plane, which goes with its cluster.
pub fn deprovision(group: &Group) -> Result<Steps, DriverError> {
    if group.role == Role::ControlPlane {
        return Err(DriverError::fatal(
            reason::BAD_REQUEST,
            format!(
                "{} is a control plane and can't be removed from its cluster; delete the cluster",
                group.name
            ),
        ));
    }
    let context =
        context! { name => group.name.as_str(), selector => format!("{GROUP_LABEL}={}", group.name) };
    Ok(Steps {
        script: Some(script("delete.sh.j2", &context, TIMEOUT)?),
        obsolete_templates: vec![group.name.clone()],
        ..Steps::default()
    })
}

fn patch(group: &Group, patch: &serde_json::Value) -> Result<Steps, DriverError> {
    let context = context! {
        resource => match group.role {
            Role::ControlPlane => resource::CONTROL_PLANE,
            Role::NodeGroup => resource::MACHINE_DEPLOYMENT,
        },
        name => group.name.as_str(),
        patch => patch.to_string(),
    };
    Ok(Steps {
        script: Some(script("patch.sh.j2", &context, TIMEOUT)?),
        ..Steps::default()
    })
}
