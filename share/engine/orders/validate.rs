//! Whether a SPEC is good, found out with the rules that the hooks use, before it is stored.

use oneks_core::profile::Catalog;
use oneks_core::spec::Spec;
use oneks_core::status::Status;
use oneks_core::version::may_upgrade;
use oneks_driver::{Invalid, Role};

/// A SPEC that is well formed, and whatever of it may not be changed any more.
///
/// # Errors
/// What is wrong with it by itself, each with its path.
pub fn read(text: &str, status: Option<&Status>) -> Result<(Spec, Vec<Invalid>), Vec<Invalid>> {
    let spec = Spec::parse(text)?;
    let errors = status
        .and_then(|s| s.accepted.as_ref())
        .map(|old| spec.check_change(old))
        .unwrap_or_default();
    Ok((spec, errors))
}

/// Refuses a SPEC that the hooks would refuse, as far as that can be known without the cloud.
///
/// # Errors
/// All that is wrong, each with its path.
pub fn check(catalog: Option<&Catalog>, text: &str, status: Option<&Status>) -> Result<Spec, Vec<Invalid>> {
    let (spec, mut errors) = read(text, status)?;
    if let Some(catalog) = catalog {
        errors.extend(against(catalog, &spec, status));
    }
    if errors.is_empty() { Ok(spec) } else { Err(errors) }
}

/// What the profiles forbid.
pub fn against(catalog: &Catalog, spec: &Spec, status: Option<&Status>) -> Vec<Invalid> {
    let mut errors = Vec::new();
    let accepted = status.and_then(|s| s.accepted.as_ref());
    let same_version = accepted.is_some_and(|a| a.kubernetes_version == spec.kubernetes_version);
    for choice in spec.choices() {
        let family = match catalog.family(choice.role, choice.family) {
            Ok(family) => family,
            Err(e) => {
                errors.push(Invalid {
                    path: format!("{}.family", choice.path),
                    message: e.to_string(),
                });
                continue;
            }
        };
        let offered = &family.supported_k8s_versions;
        let told = errors.iter().any(|e| e.path == "kubernetes_version");
        if !same_version && !told && !offered.contains(&spec.kubernetes_version) {
            let message = format!(
                "{} is not offered; choose one of {}",
                spec.kubernetes_version,
                offered.join(", ")
            );
            errors.push(Invalid {
                path: "kubernetes_version".to_owned(),
                message,
            });
        }
        if let Err(wrong) = family.resolve(choice.flavour, choice.values, &choice.path) {
            errors.extend(wrong);
        }
    }
    let running = status.and_then(|s| s.control_plane.version.as_deref());
    let running = running.or(accepted.map(|a| a.kubernetes_version.as_str()));
    let told = errors.iter().any(|e| e.path == "kubernetes_version");
    if let Some(running) = running.filter(|_| !same_version && !told) {
        let offered = catalog
            .family(Role::ControlPlane, &spec.control_plane.family)
            .map_or(&[][..], |f| f.supported_k8s_versions.as_slice());
        if let Err(message) = may_upgrade(running, &spec.kubernetes_version, offered) {
            errors.push(Invalid {
                path: "kubernetes_version".to_owned(),
                message,
            });
        }
    }
    errors
}
