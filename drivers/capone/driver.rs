//! Which action is answered where.

use oneks_driver::{Action, Capabilities, Driver, DriverError, Info, answer, reason};
use serde_json::Value;

use crate::{bootstrap, kubeconfig, observe, probe, rotate, steps, validate};

/// The driver. It keeps nothing between actions.
pub struct Capone;

impl Driver for Capone {
    fn perform(&self, action: &Action) -> Result<Value, DriverError> {
        match action {
            Action::Info => answer(&info()),
            Action::Validate { cluster, group } => answer(&validate::validate(cluster, group)),
            Action::Bootstrap { cluster, group } => answer(&bootstrap::bootstrap(cluster, group)?),
            Action::Provision { cluster, group } => answer(&steps::provision(cluster, group)?),
            Action::Scale { cluster, group } => answer(&steps::scale(cluster, group)?),
            Action::Upgrade { group, .. } => answer(&steps::upgrade(group)?),
            Action::Deprovision { group, .. } => answer(&steps::deprovision(group)?),
            Action::Probe { cluster, group, wait } => answer(&probe::script(cluster, group, *wait)?),
            Action::Observe { group, output, .. } => answer(&observe::observe(group, output.as_ref())?),
            Action::Kubeconfig {
                cluster,
                output: Some(output),
                ..
            } => answer(&kubeconfig::read(cluster, output)?),
            Action::Kubeconfig {
                cluster,
                output: None,
                ..
            } => answer(&kubeconfig::script(cluster)?),
            Action::Rotate { cluster, group } => answer(&rotate::script(cluster, group)?),
            other => Err(DriverError::fatal(
                reason::UNKNOWN_ACTION,
                format!("capone does not know the action {}", other.name()),
            )),
        }
    }
}

fn info() -> Info {
    Info {
        name: "capone".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capabilities: Capabilities {
            guest: true,
            upgrade: true,
            resize_control_plane: true,
            rotate: true,
        },
    }
}
