//! What starts a control plane: VM templates, the virtual router and the seed VM. CAPONE makes the rest.
//!
//! CAPONE would make the router too, but names its networks by name alone, which OpenNebula resolves among the
//! networks that the caller *owns*: no tenant could use the networks of the cloud. So the hooks make it, by network id,
//! and the manifest says the addresses that CAPONE would have filled in. A router of that name is all it looks for.

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
    // Without the router's addresses there is no manifest yet; the hooks ask again.
    let mut attachments = BTreeMap::new();
    if cluster.endpoint.is_some() && cluster.gateway.is_some() {
        attachments.insert(MANIFEST.to_owned(), subject.render("manifest.yaml.j2")?);
    }
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
            TemplateText {
                name: subject.names.load_balancer_template.clone(),
                text: subject.render("load-balancer.j2")?,
            },
        ],
        seed: Some(Seed {
            vm: VmText {
                name: subject.names.seed.clone(),
                text: subject.render("seed.j2")?,
                attachments,
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
        router: Router::Hooks {
            name: subject.names.router.clone(),
            text: subject.render("router-networks.j2")?,
            template: subject.names.router_template.clone(),
            replicas: settings.router.replicas,
        },
        nodes: Nodes::Cluster,
    })
}
