//! What is made before the control plane: a seed that only has to run, and the virtual router.

use std::collections::BTreeMap;

use oneks_driver::{
    Bootstrap, Cluster, DriverError, Group, Nodes, Router, Seed, SeedDone, TemplateText, VmText,
};
use opennebula::template::{Attribute, Template};

use crate::text::{self, Kind};

/// Seconds that a VM without disk may take until it runs.
const LIMIT: u64 = 900;

/// Templates, seed and router.
pub fn bootstrap(cluster: &Cluster, group: &Group) -> Result<Bootstrap, DriverError> {
    let template = format!("{}-router", cluster.name);
    let seed = VmText {
        name: format!("{}-seed", cluster.name),
        text: text::node(cluster, group, Kind::Seed)?,
        attachments: BTreeMap::new(),
    };
    Ok(Bootstrap {
        templates: vec![TemplateText {
            name: template.clone(),
            text: router_vm(cluster, group)?,
        }],
        seed: Some(Seed {
            vm: seed,
            done: SeedDone::Running,
            first_report: LIMIT,
            total: LIMIT,
        }),
        router: Router::Hooks {
            name: format!("{}-cp", cluster.name),
            text: router(cluster)?,
            template,
            replicas: 1,
        },
        nodes: Nodes::Hooks,
    })
}

/// The template of the router's VMs. OpenNebula wants one with VROUTER and a CONTEXT.
fn router_vm(cluster: &Cluster, group: &Group) -> Result<String, DriverError> {
    let mut template = text::base(cluster, group, Kind::Router)?;
    template.set("VROUTER", "YES");
    template.set_vector("CONTEXT", [("NETWORK", "YES")]);
    text::text(&template)
}

/// The router itself: a floating address in either network. The VMs need none of their own in the public one.
fn router(cluster: &Cluster) -> Result<String, DriverError> {
    let network = |id: u32| ("NETWORK_ID", id.to_string());
    let yes = |key| (key, "YES".to_owned());
    let public = [
        network(cluster.placement.public.id),
        yes("FLOATING_IP"),
        yes("FLOATING_ONLY"),
    ];
    let private = [network(cluster.placement.private.id), yes("FLOATING_IP")];
    let template: Template = [
        Attribute::vector("NIC", public),
        Attribute::vector("NIC", private),
    ]
    .into_iter()
    .collect();
    text::text(&template)
}
