//! Whether a SPEC is good, found out with the rules that the hooks use, before it is stored.

use oneks::orders::{OrderError, validate};
use oneks_core::profile::Catalog;
use oneks_core::spec::Spec;
use oneks_core::status::Status;
use oneks_driver::Invalid;

use crate::app::App;
use crate::failure::Failure;

/// Refuses a SPEC that the hooks would refuse, as far as that can be known without the cloud.
///
/// # Errors
/// All that is wrong, each with its path.
pub fn check(app: &mut App, text: &str, status: Option<&Status>) -> Result<Spec, Failure> {
    let (spec, mut errors) = validate::read(text, status).map_err(refused)?;
    match catalog(app) {
        Some(catalog) => {
            let findings = validate::against(&catalog, &spec, status);
            match oneks::catalog::hidden(&app.installation().profiles) {
                Some(folder) if !findings.is_empty() => {
                    app.out.note(&format!(
                        "oneks: you may not read {}, where the administrators' profiles are; by those that came with \
                         OneKS: {}",
                        folder.display(),
                        refused(findings)
                    ));
                }
                _ => errors.extend(findings),
            }
        }
        None => app
            .out
            .detail("oneks: no profiles on this machine; values are checked by the hooks only"),
    }
    if errors.is_empty() {
        Ok(spec)
    } else {
        Err(refused(errors))
    }
}

/// The profiles of this machine, if there are any.
pub fn catalog(app: &mut App) -> Option<Catalog> {
    let folder = app.installation().profiles;
    let (catalog, errors) = oneks::catalog::load(&folder);
    for error in errors {
        app.out.detail(&format!("oneks: profile {error}"));
    }
    (!catalog.control_planes.is_empty()).then_some(catalog)
}

/// All that is wrong, one line each.
pub fn refused(errors: Vec<Invalid>) -> Failure {
    OrderError::Invalid(errors).into()
}
