//! What a driver is told of a cluster and of a group.

use oneks_driver::{Cluster, Group as DriverGroup, GroupVm as DriverVm, Role};

use crate::observed::Need;
use crate::plan::context::Context;
use crate::spec::Spec;
use crate::status::{Goal, Group, Status};

/// The cluster as the driver gets to see it.
pub(super) fn driver_cluster(context: &Context<'_>, status: &Status, spec: &Spec) -> Option<Cluster> {
    let placed = status.placed.as_ref()?;
    Some(Cluster {
        id: context.desired.document,
        name: context.names.cluster(),
        display_name: context.desired.name.to_owned(),
        owner: context.desired.owner.clone(),
        kubernetes_version: spec.kubernetes_version.clone(),
        placement: placed.placement.clone(),
        images: placed.images.clone(),
        endpoint: status.endpoint.clone(),
        gateway: status.gateway.clone(),
        xmlrpc: placed.xmlrpc.clone(),
        credential: status.credential.as_ref().map_or(1, |c| c.serial),
    })
}

/// The group as the driver gets to see it. `Ok(None)` while the profiles have not been read.
pub(super) fn driver_group(
    context: &mut Context<'_>,
    group: &Group,
    goal: &Goal,
    spec: &Spec,
) -> Result<Option<DriverGroup>, String> {
    let Some(catalog) = &context.observed.catalog else {
        context.need(Need::Catalog);
        return Ok(None);
    };
    // A group that is being removed may share its key with the one that comes after it.
    let node_group = spec
        .node_groups
        .iter()
        .find(|g| g.name == group.key && !group.removed);
    let choices = spec.choices();
    let position = spec
        .node_groups
        .iter()
        .position(|g| g.name == group.key)
        .map_or(0, |i| i + 1);
    let (role, choice) = match (group.is_control_plane(), choices.get(position)) {
        (true, Some(choice)) => (Role::ControlPlane, Some(choice)),
        (false, Some(choice)) if node_group.is_some() => (Role::NodeGroup, Some(choice)),
        // The group is being removed: only its names matter.
        _ => (Role::NodeGroup, None),
    };
    let mut made = DriverGroup {
        id: group.id,
        name: group.uuid.clone(),
        key: group.key.clone(),
        role,
        replicas: goal.replicas,
        version: goal.version.clone(),
        inputs: std::collections::BTreeMap::new(),
        profile: oneks_driver::Profile::default(),
        labels: std::collections::BTreeMap::new(),
        taints: Vec::new(),
        vms: group
            .vms
            .iter()
            .map(|vm| DriverVm {
                id: vm.id,
                name: vm.name.clone(),
                condition: vm.condition,
                ip: None,
                version: vm.version.clone(),
            })
            .collect(),
    };
    if let Some(choice) = choice {
        let family = catalog.family(role, choice.family).map_err(|e| e.to_string())?;
        made.inputs = family
            .resolve(choice.flavour, choice.values, &choice.path)
            .map_err(|errors| {
                let texts: Vec<String> = errors
                    .iter()
                    .map(|e| format!("{}: {}", e.path, e.message))
                    .collect();
                format!(
                    "the profile no longer allows what the cluster has: {}",
                    texts.join("; ")
                )
            })?;
        made.profile = family.driver_profile(choice.flavour);
    }
    if let Some(node_group) = node_group {
        made.labels.clone_from(&node_group.labels);
        made.taints.clone_from(&node_group.taints);
    }
    Ok(Some(made))
}
