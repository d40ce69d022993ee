//! Scripts for a node of the control plane.
//!
//! They are run as `/bin/sh -s` and need nothing but a plain RKE2 server: sh, awk, base64 and its own kubectl, which is
//! appended to `PATH`. Standard input is the script itself, so no command may read it. Each kubectl has a limit of its
//! own; the script's `timeout` is for what hangs nevertheless. Output stays far below what the guest agent's way
//! carries (48 KB).

use std::collections::BTreeMap;

use minijinja::Value;
use oneks_driver::{DriverError, Group, Role, Script};

use crate::render::Texts;

/// The object that stands for a group, and where it says what.
pub struct Target {
    /// Its resource with the version: a later Cluster API may prefer another, whose fields differ.
    pub resource: &'static str,
    /// Version of its nodes.
    pub version_path: &'static str,
    /// Template of its nodes.
    pub template_path: &'static str,
}

impl Target {
    /// The object that stands for a group.
    pub fn of(group: &Group) -> Self {
        match group.role {
            Role::ControlPlane => Self {
                resource: "rke2controlplanes.v1beta1.controlplane.cluster.x-k8s.io",
                version_path: "{.spec.version}",
                template_path: "{.spec.machineTemplate.infrastructureRef.name}",
            },
            Role::NodeGroup => Self {
                resource: "machinedeployments.v1beta1.cluster.x-k8s.io",
                version_path: "{.spec.template.spec.version}",
                template_path: "{.spec.template.spec.infrastructureRef.name}",
            },
        }
    }
}

/// Label of what belongs to a node group and is not named like it.
pub const GROUP_LABEL: &str = "oneks.opennebula.io/group";

/// Renders one of the driver's own scripts.
///
/// # Errors
/// A value can't be written in a script.
pub fn script(name: &str, context: &Value, timeout: u64) -> Result<Script, DriverError> {
    let texts: BTreeMap<String, String> = [
        ("apply.sh.j2", include_str!("scripts/apply.sh.j2")),
        ("delete.sh.j2", include_str!("scripts/delete.sh.j2")),
        ("kubeconfig.sh.j2", include_str!("scripts/kubeconfig.sh.j2")),
        ("patch.sh.j2", include_str!("scripts/patch.sh.j2")),
        ("prelude.sh.j2", include_str!("scripts/prelude.sh.j2")),
        ("probe.awk", include_str!("scripts/probe.awk")),
        ("probe.sh.j2", include_str!("scripts/probe.sh.j2")),
        ("rotate.sh.j2", include_str!("scripts/rotate.sh.j2")),
        ("scale.sh.j2", include_str!("scripts/scale.sh.j2")),
        ("wait.sh.j2", include_str!("scripts/wait.sh.j2")),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    Ok(Script {
        text: Texts::new("driver capone".to_owned(), &texts)?.render(name, context)?,
        timeout,
    })
}
