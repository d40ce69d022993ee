//! What makes, resizes, upgrades and removes a group.
//!
//! A script changes no more than it must: applying a control plane's whole manifest to a live cluster could undo what
//! its controllers have written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Value, context};
use oneks_driver::{Cluster, DriverError, Group, Role, Steps, TemplateText, reason};
use serde_json::json;

use crate::context::Subject;
use crate::script::{GROUP_LABEL, Target, script};
use crate::settings::Settings;

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

/// Answers `scale`: another number of nodes, other nodes, or both.
///
/// The script looks which template the nodes are made from. If it is the wanted one, it changes the number and nothing
/// else.
///
/// # Errors
/// `BadProfile`.
pub fn scale(cluster: &Cluster, group: &Group) -> Result<Steps, DriverError> {
    let subject = Subject::new(cluster, group)?;
    let target = Target::of(group);
    let template = subject.names.machine_template.as_str();
    let (vm_text, manifest, template_patch) = match group.role {
        Role::ControlPlane => {
            let template = json!({ "infrastructureRef": { "name": template } });
            let patch = json!({ "spec": { "replicas": group.replicas, "machineTemplate": template } });
            (
                "controlplane.j2",
                "machine-template.yaml.j2",
                Some(patch.to_string()),
            )
        }
        Role::NodeGroup => ("node.j2", "manifest.yaml.j2", None),
    };
    let context = context! {
        resource => target.resource,
        template_path => target.template_path,
        name => group.name.as_str(),
        template => template,
        replicas_patch => json!({ "spec": { "replicas": group.replicas } }).to_string(),
        template_patch => template_patch,
        manifest_base64 => Value::from_safe_string(STANDARD.encode(subject.render(manifest)?)),
    };
    Ok(Steps {
        templates: vec![TemplateText {
            name: subject.names.vm_template.clone(),
            text: subject.render(vm_text)?,
        }],
        script: Some(script("scale.sh.j2", &context, TIMEOUT)?),
        ..Steps::default()
    })
}

/// Answers `upgrade`.
///
/// # Errors
/// `BadProfile`: the settings can't be read.
pub fn upgrade(group: &Group) -> Result<Steps, DriverError> {
    let version = Settings::of(group)?.rke2.version(&group.version);
    let spec = match group.role {
        Role::ControlPlane => json!({ "version": version }),
        Role::NodeGroup => json!({ "template": { "spec": { "version": version } } }),
    };
    let context = context! {
        resource => Target::of(group).resource,
        name => group.name.as_str(),
        patch => json!({ "spec": spec }).to_string(),
    };
    Ok(Steps {
        script: Some(script("patch.sh.j2", &context, TIMEOUT)?),
        ..Steps::default()
    })
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
