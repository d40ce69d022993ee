//! Every group of SPEC gets its place in the status, and its number; what is there already keeps its own.

use crate::names::{CONTROL_PLANE_KEY, GROUPS_PER_CLUSTER};
use crate::observed::{Kind, Vm};
use crate::plan::context::Context;
use crate::spec::Spec;
use crate::status::{Goal, Group, Status};
use oneks_driver::VmCondition;
use std::collections::BTreeMap;

/// Gives every group of SPEC its place in the status, and marks those that SPEC no longer has.
pub(super) fn enlist(
    context: &Context<'_>,
    status: &mut Status,
    spec: &Spec,
    goals: &BTreeMap<String, Goal>,
) {
    status.control_plane.target = goals.get(CONTROL_PLANE_KEY).cloned();
    // Objects may be there already, if the status was lost; they say their group's number. Only what they leave free
    // is given to groups that are new.
    for known in [true, false] {
        for wanted in &spec.node_groups {
            if status
                .node_groups
                .iter()
                .any(|g| g.key == wanted.name && !g.removed)
            {
                continue;
            }
            let number = number_of(context, spec, &wanted.name);
            let number = number.filter(|n| {
                status
                    .node_groups
                    .iter()
                    .all(|g| g.id != context.names.group_id(*n))
            });
            if number.is_some() || !known {
                let n = number.unwrap_or_else(|| free_number(context, status));
                let uuid = context.names.group(&wanted.name);
                let mut group = Group::new(context.names.group_id(n), &wanted.name, uuid);
                // With objects of it there already, Kubernetes may have heard of it.
                group.begun = known;
                status.node_groups.push(group);
                status.next_group = status.next_group.max(n.saturating_add(1));
            }
        }
        enlist_remains(context, status);
    }
    for group in &mut status.node_groups {
        group.target = goals.get(&group.key).cloned().filter(|_| !group.removed);
        if !spec.node_groups.iter().any(|g| g.name == group.key) {
            group.removed = true;
        }
    }
}

/// Lists groups that SPEC doesn't have but of which something is there: they were being removed when the status was
/// lost.
pub(super) fn enlist_remains(context: &Context<'_>, status: &mut Status) {
    let prefix = format!("{}-", context.names.cluster());
    let by_template = context.templates().into_iter();
    let by_template =
        by_template.filter_map(|t| Some((t.tag.as_ref()?.group?, t.name.strip_prefix(&prefix)?)));
    let vms = context
        .vms()
        .into_iter()
        .filter(|vm| vm.condition != VmCondition::Ending);
    let by_vm = vms.filter_map(|vm| {
        let tag = vm.tag.as_ref().filter(|t| t.kind == Kind::Node)?;
        Some((tag.group?, vm.name.strip_prefix(&prefix)?.rsplit_once('-')?.0))
    });
    for (id, key) in by_template.chain(by_vm) {
        if number(context, id).is_none() || status.groups().any(|g| g.id == id) {
            continue;
        }
        let mut group = Group::new(id, key, context.names.group(key));
        group.removed = true;
        group.begun = true;
        status.node_groups.push(group);
        let next = number(context, id).map_or(0, |n| n.saturating_add(1));
        status.next_group = status.next_group.max(next);
    }
}

/// The number of a group id, if it is a node group's of this cluster.
pub(super) fn number(context: &Context<'_>, id: u32) -> Option<u32> {
    let n = id % GROUPS_PER_CLUSTER;
    (id == context.names.group_id(n) && n > 0).then_some(n)
}

/// The number of a new group: the next one, or, after a thousand groups, one that is free again.
pub(super) fn free_number(context: &Context<'_>, status: &Status) -> u32 {
    let free = |n: &u32| {
        let id = context.names.group_id(*n);
        status.groups().all(|g| g.id != id)
    };
    let next = status.next_group.clamp(1, GROUPS_PER_CLUSTER);
    (next..GROUPS_PER_CLUSTER)
        .chain(1..next)
        .find(free)
        .unwrap_or(GROUPS_PER_CLUSTER - 1)
}

/// The number of a group by the tags of its objects.
pub(super) fn number_of(context: &Context<'_>, spec: &Spec, key: &str) -> Option<u32> {
    let name = context.names.group(key);
    let templates = context.templates().into_iter();
    let by_template = templates
        .filter(|t| t.name == name)
        .find_map(|t| t.tag.as_ref()?.group);
    // `web-a` is the group of a VM `web-a-x1`, not `web`.
    let of = |key: &str, vm: &Vm| vm.name.starts_with(&format!("{}-", context.names.group(key)));
    let longer = |vm: &Vm| {
        spec.node_groups
            .iter()
            .any(|g| g.name.len() > key.len() && of(&g.name, vm))
    };
    let by_vm = || {
        // One that ends belongs to a group of that name that is gone.
        let alive = context
            .vms()
            .into_iter()
            .filter(|vm| vm.condition != VmCondition::Ending);
        let mut vms = alive.filter(|vm| of(key, vm) && !longer(vm));
        vms.find_map(|vm| vm.tag.as_ref().filter(|t| t.kind == Kind::Node)?.group)
    };
    number(context, by_template.or_else(by_vm)?)
}
