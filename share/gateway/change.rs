//! Changes of a SPEC, and what stands in their way.

use oneks::orders::OrderError;
use oneks::orders::cluster::Cluster;
use oneks::orders::edit::{self, Changed, Edit};
use oneks::orders::validate;
use oneks_core::profile::Catalog;
use oneks_driver::Invalid;
use serde_json::Value;

use crate::fault::Fault;
use crate::request::Ask;

/// A change, and how the paths of what is wrong with it are called in the request.
pub struct Change<F> {
    make: F,
    path: fn(&str) -> String,
}

impl<F: FnMut(&Cluster, &mut Value) -> Result<(), Fault>> Change<F> {
    /// A change whose paths are those of SPEC.
    pub fn new(make: F) -> Self {
        Self {
            make,
            path: str::to_owned,
        }
    }

    /// With other paths.
    pub fn called(self, path: fn(&str) -> String) -> Self {
        Self { path, ..self }
    }
}

/// Makes a change.
///
/// # Errors
/// The cluster can't be changed now, the result would be refused, or the user may not.
pub fn spec<F>(ask: &Ask, id: u32, change: Change<F>) -> Result<Changed, Fault>
where
    F: FnMut(&Cluster, &mut Value) -> Result<(), Fault>,
{
    let mut checked = Checked {
        change,
        catalog: ask.site.catalog(),
    };
    edit::spec(&ask.client, id, &mut checked)
}

struct Checked<F> {
    change: Change<F>,
    catalog: Catalog,
}

impl<F: FnMut(&Cluster, &mut Value) -> Result<(), Fault>> Edit for Checked<F> {
    type Error = Fault;

    // Whoever may not change it is told so, even if there is nothing to change.
    const EVEN_IF_SAME: bool = true;

    fn change(&mut self, cluster: &Cluster, spec: &mut Value) -> Result<(), Fault> {
        possible(cluster)?;
        (self.change.make)(cluster, spec)
    }

    fn check(&mut self, cluster: &Cluster, text: &str) -> Result<(), Fault> {
        let checked = validate::check(Some(&self.catalog), text, cluster.status.as_ref());
        checked.map(drop).map_err(|errors| {
            let named = errors.into_iter().map(|e| Invalid {
                path: (self.change.path)(&e.path),
                message: e.message,
            });
            OrderError::Invalid(named.collect()).into()
        })
    }
}

/// Can the cluster be changed now?
///
/// # Errors
/// It is being deleted, or its document is locked.
pub fn possible(cluster: &Cluster) -> Result<(), Fault> {
    unlocked(cluster)?;
    let status = cluster.status.as_ref();
    let order = cluster.document.template.get("DELETE").map(str::trim);
    // An order that the hooks refuse is none.
    let refused = cluster.spec["deletion_protection"] == true
        || status.is_some_and(|s| s.condition("DeletionProtected").is_some());
    let ordered = matches!(order, Some("YES" | "FORCE")) && !refused;
    if ordered || status.is_some_and(|s| s.deletion.is_some()) {
        return Err(Fault::conflict(format!("{} is being deleted", cluster.title())));
    }
    Ok(())
}

/// Can anything be written to the document?
///
/// # Errors
/// It is locked.
pub fn unlocked(cluster: &Cluster) -> Result<(), Fault> {
    match &cluster.document.lock {
        Some(lock) if lock.forbids_updates() => Err(Fault::conflict(format!(
            "the document of {} is locked; `onedocument unlock {}` lets it be changed",
            cluster.title(),
            cluster.id()
        ))),
        _ => Ok(()),
    }
}
