//! From SPEC to an accepted one: everything is checked before the first object is made, and a refusal says what is
//! wrong and where. A refused SPEC changes nothing; the cluster stays as the last accepted one has it.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{
    Action as DriverAction, Image, Info, Invalid, Network, Placement, Role, Validation, VmCondition,
};

use crate::fingerprint;
use crate::names::{CONTROL_PLANE_KEY, GROUPS_PER_CLUSTER};
use crate::observed::{Cloud, Kind, Need, Vm};
use crate::plan::context::{Answer, Context};
use crate::plan::converge::{driver_cluster, driver_group};
use crate::profile::Catalog;
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Goal, Group, Placed, Refused, Status, Truth};
use crate::version::{Version, may_upgrade};

/// Shortest and longest time between two looks at a SPEC that was refused, seconds. The cloud may have changed: an
/// image came, a right was granted.
const AGAIN: (u64, u64) = (30, 600);

/// Greatest document id whose groups have ids of their own.
const MAX_DOCUMENT: u32 = u32::MAX / GROUPS_PER_CLUSTER - 1;

/// Kinds of objects that are created as the owner in every life.
const CREATED: [&str; 3] = ["TEMPLATE", "VM", "VROUTER"];

/// Looks at SPEC, if it is another than the accepted one.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status) {
    let text = context.desired.spec.unwrap_or_default();
    let print = fingerprint::of_text(text);
    if context.desired.document > MAX_DOCUMENT {
        let message = format!("document ids above {MAX_DOCUMENT} leave no room for group ids");
        return refuse(context, status, print, "IdTooLarge", message, Look::Never);
    }
    let spec = match Spec::parse(text) {
        Ok(spec) => spec,
        Err(_) if text.trim().is_empty() => {
            let message = "the document has no SPEC; write one to make this a cluster";
            return refuse(context, status, print, "NoSpec", message.to_owned(), Look::Never);
        }
        Err(errors) => return refuse(context, status, print, "InvalidSpec", list(errors), Look::Never),
    };
    if status.accepted.as_ref() == Some(&spec) {
        if status.placed.is_some() {
            status.refused = None;
            status.set_condition(context.now, "Accepted", Truth::True, "Accepted", "");
            return;
        }
    } else if status
        .refused
        .as_ref()
        .is_some_and(|r| r.fingerprint == print && r.again > context.now)
    {
        return;
    }
    match check(context, status, &spec) {
        Verdict::Waiting => {}
        Verdict::Refused(reason, errors) => refuse(context, status, print, reason, list(errors), Look::Again),
        Verdict::Good(accepted) => accept(context, status, spec, *accepted),
    }
}

enum Verdict {
    Waiting,
    Refused(&'static str, Vec<Invalid>),
    Good(Box<Accepted>),
}

/// What comes out of a good SPEC.
struct Accepted {
    placed: Placed,
    goals: BTreeMap<String, Goal>,
}

fn invalid(path: &str, message: impl Into<String>) -> Invalid {
    Invalid {
        path: path.to_owned(),
        message: message.into(),
    }
}

fn list(errors: Vec<Invalid>) -> String {
    let more = errors.len().saturating_sub(8);
    let mut text = errors
        .into_iter()
        .take(8)
        .map(|e| {
            if e.path.is_empty() {
                e.message
            } else {
                format!("{}: {}", e.path, e.message)
            }
        })
        .collect::<Vec<_>>()
        .join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// Can a SPEC that was refused become good by itself?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Again,
    Never,
}

fn refuse(
    context: &Context<'_>,
    status: &mut Status,
    print: String,
    reason: &str,
    message: String,
    look: Look,
) {
    let count = match &status.refused {
        Some(r) if r.fingerprint == print => r.count.saturating_add(1),
        _ => 0,
    };
    let known = status
        .refused
        .as_ref()
        .is_some_and(|r| r.fingerprint == print && (look == Look::Never || r.again > context.now));
    if !known {
        let pause = AGAIN.0.saturating_mul(1 << count.min(10)).min(AGAIN.1);
        status.refused = Some(Refused {
            fingerprint: print,
            again: context.now.saturating_add(pause),
            count,
        });
    }
    let kept = if status.accepted.is_some() {
        "; the cluster stays as it is"
    } else {
        ""
    };
    let message = format!("{message}{kept}");
    if status.condition("Accepted").is_none_or(|c| c.message != message) {
        status.note(context.now, format!("SPEC refused: {message}"));
    }
    status.set_condition(context.now, "Accepted", Truth::False, reason, message);
}

fn check(context: &mut Context<'_>, status: &Status, spec: &Spec) -> Verdict {
    let mut errors = Vec::new();
    if let Some(old) = &status.accepted {
        errors.extend(spec.check_change(old));
        if !errors.is_empty() {
            return Verdict::Refused("ImmutableField", errors);
        }
    }
    let Some(catalog) = &context.observed.catalog else {
        context.need(Need::Catalog);
        return Verdict::Waiting;
    };
    // What is there already says how far a cluster is whose status was lost, and what numbers its groups have.
    let catalog = catalog.clone();
    let (vms, templates) = (context.all_vms(), context.all_templates());
    if !vms || !templates {
        return Verdict::Waiting;
    }
    let lives = status.accepted.is_none() && lives(context);
    let goals = match goals(&catalog, status, spec, lives) {
        Ok(goals) => goals,
        Err(errors) => return Verdict::Refused("InvalidSpec", errors),
    };
    if let Some(error) = version_error(status, spec, &catalog) {
        return Verdict::Refused("VersionNotPossible", vec![invalid("kubernetes_version", error)]);
    }
    let info: Info = match context.ask(&spec.driver, DriverAction::Info) {
        Answer::Waiting => return Verdict::Waiting,
        Answer::Given(info) => info,
        Answer::Refused(e) => {
            return Verdict::Refused("DriverUnusable", vec![invalid("driver", e.to_string())]);
        }
    };
    if let Some(error) = ability_error(status, spec, &goals, &info) {
        return Verdict::Refused("NotSupported", vec![error]);
    }
    let placed = match &status.placed {
        Some(placed) => placed.clone(),
        None => {
            let Some(cloud) = &context.observed.cloud else {
                context.need(Need::Cloud);
                return Verdict::Waiting;
            };
            match place(spec, cloud, &catalog, lives) {
                Ok((placement, images)) => Placed {
                    placement,
                    images,
                    capabilities: info.capabilities,
                    xmlrpc: cloud.xmlrpc.clone(),
                },
                Err((reason, errors)) => return Verdict::Refused(reason, errors),
            }
        }
    };
    let accepted = Accepted { placed, goals };
    match validate(context, status, spec, &accepted) {
        Some(errors) if errors.is_empty() => Verdict::Good(Box::new(accepted)),
        Some(errors) => Verdict::Refused("InvalidSpec", errors),
        None => Verdict::Waiting,
    }
}

/// Is a control plane there, although the status knows nothing of it?
fn lives(context: &Context<'_>) -> bool {
    let alive = |vm: &&Vm| vm.condition != VmCondition::Ending;
    let control_plane = |vm: &Vm| vm.tag.as_ref().is_some_and(|t| t.kind == Kind::ControlPlane);
    context.vms().into_iter().filter(alive).any(control_plane)
}

/// What each group is to be, by its key; or all that is wrong with the choices.
fn goals(
    catalog: &Catalog,
    status: &Status,
    spec: &Spec,
    lives: bool,
) -> Result<BTreeMap<String, Goal>, Vec<Invalid>> {
    let mut goals = BTreeMap::new();
    let mut errors = Vec::new();
    let same_version = status
        .accepted
        .as_ref()
        .is_some_and(|a| a.kubernetes_version == spec.kubernetes_version);
    let keeps = same_version || lives;
    for (i, choice) in spec.choices().into_iter().enumerate() {
        let family = match catalog.family(choice.role, choice.family) {
            Ok(family) => family,
            Err(e) => {
                errors.push(invalid(&format!("{}.family", choice.path), e.to_string()));
                continue;
            }
        };
        // A version may be withdrawn from the offer while clusters of it live; their other fields still can change.
        if !keeps && !family.supported_k8s_versions.contains(&spec.kubernetes_version) {
            let offered = family.supported_k8s_versions.join(", ");
            let message = format!(
                "{} is not offered; choose one of {offered}",
                spec.kubernetes_version
            );
            if errors.iter().all(|e: &Invalid| e.path != "kubernetes_version") {
                errors.push(invalid("kubernetes_version", message));
            }
            continue;
        }
        let mut inputs = match family.resolve(choice.flavour, choice.values, &choice.path) {
            Ok(inputs) => inputs,
            Err(e) => {
                errors.extend(e);
                continue;
            }
        };
        let count = inputs
            .remove("count")
            .and_then(|v| v.as_u64())
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(1);
        let count_path = format!("{}.user_inputs_values.count", choice.path);
        if choice.role == Role::ControlPlane && (count % 2 == 0 || count == 0) {
            errors.push(invalid(
                &count_path,
                format!("{count} is even; a control plane has 1, 3 or 5 nodes"),
            ));
        }
        let group = i.checked_sub(1).and_then(|n| spec.node_groups.get(n));
        let nodes = fingerprint::of(&(&inputs, group.map(|g| (&g.labels, &g.taints))));
        let key = group.map_or(CONTROL_PLANE_KEY, |g| g.name.as_str());
        let goal = Goal {
            replicas: count,
            version: spec.kubernetes_version.clone(),
            nodes,
        };
        goals.insert(key.to_owned(), goal);
    }
    if errors.is_empty() { Ok(goals) } else { Err(errors) }
}

fn version_error(status: &Status, spec: &Spec, catalog: &Catalog) -> Option<String> {
    let accepted = status.accepted.as_ref()?;
    if accepted.kubernetes_version == spec.kubernetes_version {
        return None;
    }
    let offered = catalog
        .family(Role::ControlPlane, &spec.control_plane.family)
        .map_or(&[][..], |f| f.supported_k8s_versions.as_slice());
    // What counts is what runs, not what was asked for last: an upgrade that no node has begun may be taken back.
    let mut versions: Vec<&String> = status
        .groups()
        .filter(|g| !g.removed)
        .flat_map(versions)
        .collect();
    versions.sort_by_key(|v| Version::parse(v));
    let lowest = versions.first().copied().unwrap_or(&accepted.kubernetes_version);
    let highest = versions.last().copied().unwrap_or(&accepted.kubernetes_version);
    if Version::parse(&spec.kubernetes_version) < Version::parse(highest) && lowest != highest {
        return Some(format!(
            "the upgrade to {highest} has begun and can't be taken back; let it end, or RECOVER it if it has failed"
        ));
    }
    may_upgrade(highest, &spec.kubernetes_version, offered)
        .and_then(|()| may_upgrade(lowest, &spec.kubernetes_version, offered))
        .err()
}

/// The versions that nodes of a group may have.
fn versions(group: &Group) -> Vec<&String> {
    let goal = group.goal.as_ref().map(|g| &g.version);
    let upgrades = matches!(group.state, GroupState::Upgrading | GroupState::UpgradingFailure);
    let aimed = goal.filter(|_| group.version.is_none() || upgrades && group.nodes_changed());
    let nodes = group.vms.iter().filter_map(|vm| vm.version.as_ref());
    group.version.iter().chain(aimed).chain(nodes).collect()
}

fn ability_error(
    status: &Status,
    spec: &Spec,
    goals: &BTreeMap<String, Goal>,
    info: &Info,
) -> Option<Invalid> {
    let accepted = status.accepted.as_ref()?;
    let can = info.capabilities;
    if accepted.kubernetes_version != spec.kubernetes_version && !can.upgrade {
        return Some(invalid(
            "kubernetes_version",
            format!("driver {} can't upgrade", info.name),
        ));
    }
    let old = status.control_plane.target.as_ref()?;
    let new = goals.get(CONTROL_PLANE_KEY)?;
    if old.replicas != new.replicas && !can.resize_control_plane {
        let message = format!("driver {} can't change the size of a control plane", info.name);
        return Some(invalid("control_plane.user_inputs_values.count", message));
    }
    None
}

type Place = (Placement, BTreeMap<String, Image>);

/// The preflight: are cluster, networks, datastore, images and rights there?
fn place(
    spec: &Spec,
    cloud: &Cloud,
    catalog: &Catalog,
    lives: bool,
) -> Result<Place, (&'static str, Vec<Invalid>)> {
    let mut errors = Vec::new();
    let wanted = &spec.deployment;
    let Some(cluster) = &cloud.cluster else {
        let message = format!("there is no OpenNebula cluster {}", wanted.cluster.id);
        return Err((
            "PlacementNotPossible",
            vec![invalid("deployment.cluster.id", message)],
        ));
    };
    let mut network = |path: &str, id: u32| -> Option<Network> {
        let Some(found) = cloud.networks.iter().find(|n| n.id == id) else {
            errors.push(invalid(
                path,
                format!("there is no network {id} that the owner may use (USE right)"),
            ));
            return None;
        };
        if !cluster.networks.contains(&id) {
            let message = format!(
                "network {id} ({}) is not in OpenNebula cluster {}",
                found.name, wanted.cluster.id
            );
            errors.push(invalid(path, message));
        }
        if cloud.networks.iter().filter(|n| n.name == found.name).count() > 1 {
            let message = format!(
                "there are several networks {:?}; the cluster finds its own by name",
                found.name
            );
            errors.push(invalid(path, message));
        }
        Some(Network {
            id,
            name: found.name.clone(),
        })
    };
    let public = network("deployment.networks.public.id", wanted.networks.public.id);
    let private = network("deployment.networks.private.id", wanted.networks.private.id);
    let datastore = wanted.datastores.image.map(|d| d.id);
    if let Some(id) = datastore.filter(|id| !cluster.datastores.contains(id)) {
        let message = format!(
            "datastore {id} is not in OpenNebula cluster {}",
            wanted.cluster.id
        );
        errors.push(invalid("deployment.datastores.image.id", message));
    }
    let missing: BTreeSet<&str> = CREATED
        .into_iter()
        .filter(|kind| !cloud.may_create.contains(*kind))
        .collect();
    if !missing.is_empty() && !lives {
        let kinds: Vec<&str> = missing.into_iter().collect();
        let message = format!(
            "the owner may not create {}; an administrator can grant it: oneacl create \"@<group id> {}/* CREATE *\"",
            kinds.join(", "),
            kinds.join("+")
        );
        return Err(("RightMissing", vec![invalid("", message)]));
    }
    let (Some(public), Some(private), true) = (public, private, errors.is_empty()) else {
        return Err(("PlacementNotPossible", errors));
    };
    let placement = Placement {
        cluster_id: wanted.cluster.id,
        public,
        private,
        image_datastore: datastore,
    };
    Ok((placement, images(spec, cloud, catalog, datastore)))
}

/// The images of the chosen datastore by purpose. Which of them are needed is the driver's to say.
fn images(spec: &Spec, cloud: &Cloud, catalog: &Catalog, datastore: Option<u32>) -> BTreeMap<String, Image> {
    let mut found = BTreeMap::new();
    for choice in spec.choices() {
        let Ok(family) = catalog.family(choice.role, choice.family) else {
            continue;
        };
        for (purpose, marks) in &family.images {
            let candidate = marks.iter().find_map(|mark| {
                cloud
                    .images
                    .iter()
                    .filter(|i| i.ready && Some(i.datastore) == datastore)
                    .filter(|i| i.attributes.get(&mark.attribute) == Some(&mark.value))
                    .max_by_key(|i| i.id)
            });
            if let Some(image) = candidate {
                let image = Image {
                    id: image.id,
                    name: image.name.clone(),
                    size: image.size,
                };
                found.entry(purpose.clone()).or_insert(image);
            }
        }
    }
    found
}

/// Asks the driver about every group. `None` while answers are missing.
fn validate(
    context: &mut Context<'_>,
    status: &Status,
    spec: &Spec,
    accepted: &Accepted,
) -> Option<Vec<Invalid>> {
    let mut errors: Vec<Invalid> = Vec::new();
    let mut complete = true;
    let mut next = status.clone();
    next.placed = Some(accepted.placed.clone());
    enlist(context, &mut next, spec, &accepted.goals);
    let cluster = driver_cluster(context, &next, spec)?;
    for group in next.groups().filter(|g| !g.removed) {
        let Some(goal) = accepted.goals.get(&group.key) else {
            continue;
        };
        let group = match driver_group(context, group, goal, spec) {
            Ok(Some(group)) => group,
            Ok(None) => return None,
            Err(message) => return Some(vec![invalid("", message)]),
        };
        let action = DriverAction::Validate {
            cluster: Box::new(cluster.clone()),
            group: Box::new(group),
        };
        match context.ask::<Validation>(&spec.driver, action) {
            Answer::Waiting => complete = false,
            Answer::Given(answer) => {
                for error in answer.errors {
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
            }
            Answer::Refused(e) => errors.push(invalid("driver", e.to_string())),
        }
    }
    complete.then_some(errors)
}

fn accept(context: &mut Context<'_>, status: &mut Status, spec: Spec, accepted: Accepted) {
    if status.accepted.is_none() {
        status.note(context.now, "SPEC accepted");
    } else if status.accepted.as_ref() != Some(&spec) {
        status.note(context.now, "change of SPEC accepted");
        context.attempt_now(status);
    }
    status.placed = Some(accepted.placed);
    enlist(context, status, &spec, &accepted.goals);
    status.accepted = Some(spec);
    status.refused = None;
    status.owner = Some(context.desired.owner.uid);
    status.set_condition(context.now, "Accepted", Truth::True, "Accepted", "");
}

/// Gives every group of SPEC its place in the status, and marks those that SPEC no longer has.
fn enlist(context: &Context<'_>, status: &mut Status, spec: &Spec, goals: &BTreeMap<String, Goal>) {
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
fn enlist_remains(context: &Context<'_>, status: &mut Status) {
    let owner = context.desired.owner.uid;
    let prefix = format!("{}-", context.names.cluster());
    let templates = context
        .observed
        .templates
        .iter()
        .flatten()
        .filter(|t| t.uid == owner);
    let by_template = templates.filter_map(|t| Some((t.tag.as_ref()?.group?, t.name.strip_prefix(&prefix)?)));
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
fn number(context: &Context<'_>, id: u32) -> Option<u32> {
    let n = id % GROUPS_PER_CLUSTER;
    (id == context.names.group_id(n) && n > 0).then_some(n)
}

/// The number of a new group: the next one, or, after a thousand groups, one that is free again.
fn free_number(context: &Context<'_>, status: &Status) -> u32 {
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
fn number_of(context: &Context<'_>, spec: &Spec, key: &str) -> Option<u32> {
    let name = context.names.group(key);
    let owner = context.desired.owner.uid;
    let templates = context.observed.templates.iter().flatten();
    let by_template = templates
        .filter(|t| t.uid == owner && t.name == name)
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
