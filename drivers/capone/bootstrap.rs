//! What starts a control plane: two VM templates and the seed VM. CAPONE makes the rest.

use std::collections::BTreeMap;

use oneks_driver::{
    Bootstrap, Cluster, DriverError, Group, Nodes, Router, Seed, SeedDone, TemplateText, VmText,
};

use crate::context::{MANIFEST, Subject};

/// Answers `bootstrap`.
///
/// # Errors
/// `BadProfile`.
pub fn bootstrap(cluster: &Cluster, group: &Group) -> Result<Bootstrap, DriverError> {
    let subject = Subject::new(cluster, group)?;
    let settings = &subject.settings;
    let needed = settings
        .seed
        .timeout_per_node
        .saturating_mul(u64::from(group.replicas))
        .saturating_add(settings.seed.timeout_base);
    Ok(Bootstrap {
        templates: vec![
            TemplateText {
                name: subject.names.vm_template.clone(),
                text: subject.render("controlplane.j2")?,
            },
            TemplateText {
                name: subject.names.router_template.clone(),
                text: subject.render("router.j2")?,
            },
        ],
        seed: Some(Seed {
            vm: VmText {
                name: subject.names.seed.clone(),
                text: subject.render("seed.j2")?,
                attachments: BTreeMap::from([(MANIFEST.to_owned(), subject.render("manifest.yaml.j2")?)]),
            },
            done: SeedDone::Report {
                attribute: "ONEKS_STATE".to_owned(),
                success: "RUNNING".to_owned(),
                failure: "FAILURE".to_owned(),
                cause: Some("ONEKS_ERROR_CODE".to_owned()),
            },
            first_report: settings.seed.first_report,
            total: needed.max(settings.dependencies.seed_vm.creation_timeout.unwrap_or(0)),
        }),
        router: Router::Cluster {
            name: subject.names.router.clone(),
            repair_after: settings.router.repair_after,
        },
        nodes: Nodes::Cluster,
    })
}
