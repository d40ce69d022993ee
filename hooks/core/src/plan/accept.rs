//! From SPEC to an accepted one: everything is checked before the first object is made, and a refusal says what is
//! wrong and where. A refused SPEC changes nothing; the cluster stays as the last accepted one has it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oneks_driver::{Action as DriverAction, Info, Invalid, Role, Validation, VmCondition};

use crate::fingerprint;
use crate::names::{CONTROL_PLANE_KEY, GROUPS_PER_CLUSTER};
use crate::observed::{Kind, Need, Vm};
use crate::plan::context::{Answer, Context};
use crate::plan::enlist::enlist;
use crate::plan::preflight::place;
use crate::plan::request::{driver_cluster, driver_group};
use crate::profile::Catalog;
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Goal, Group, MAX_MESSAGE, Placed, Refused, Status, Truth};
use crate::text::shorten;
use crate::version::{Version, may_upgrade};

/// Shortest and longest time between two looks at a SPEC that was refused, seconds. The cloud may have changed: an
/// image came, a right was granted.
const AGAIN: (u64, u64) = (30, 600);

/// The time between two looks at a SPEC that can't become good by itself, seconds. A later version of this software may
/// see it otherwise.
const IN_VAIN: u64 = 86_400;

/// Greatest document id whose groups have ids of their own.
const MAX_DOCUMENT: u32 = u32::MAX / GROUPS_PER_CLUSTER - 1;

/// Looks at SPEC, if it is another than the accepted one.
pub(super) fn step(context: &mut Context<'_>, status: &mut Status) {
    let text = context.desired.spec.unwrap_or_default();
    let print = fingerprint::of_text(text);
    if context.desired.document > MAX_DOCUMENT {
        let message = format!("document ids above {MAX_DOCUMENT} leave no room for group ids");
        return refuse(context, status, print, "IdTooLarge", &message, Look::Never);
    }
    let spec = match Spec::parse(text) {
        Ok(spec) => spec,
        Err(_) if text.trim().is_empty() => {
            let message = "the document has no SPEC; write one to make this a cluster";
            return refuse(context, status, print, "NoSpec", message, Look::Never);
        }
        Err(errors) => return refuse(context, status, print, "InvalidSpec", &list(errors), Look::Never),
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
        Verdict::Refused(reason, errors) => {
            refuse(context, status, print, reason, &list(errors), Look::Again);
        }
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

pub(super) fn invalid(path: &str, message: impl Into<String>) -> Invalid {
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
            let message = shorten(e.message, 600);
            if e.path.is_empty() {
                message
            } else {
                format!("{}: {message}", shorten(e.path, 200))
            }
        })
        .collect::<Vec<_>>()
        .join("; ");
    if more > 0 {
        let _ = write!(text, "; and {more} more");
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
    message: &str,
    look: Look,
) {
    let count = match &status.refused {
        Some(r) if r.fingerprint == print => r.count.saturating_add(1),
        _ => 0,
    };
    let known = status
        .refused
        .as_ref()
        .is_some_and(|r| r.fingerprint == print && r.again > context.now);
    if !known {
        let pause = match look {
            Look::Again => AGAIN.0.saturating_mul(1 << count.min(10)).min(AGAIN.1),
            Look::Never => IN_VAIN,
        };
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
    let message = shorten(format!("{message}{kept}"), MAX_MESSAGE);
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
    let placed = if let Some(placed) = &status.placed {
        placed.clone()
    } else {
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
    };
    let accepted = Accepted { placed, goals };
    match validate(context, status, spec, &accepted) {
        Some(errors) if errors.is_empty() => Verdict::Good(Box::new(accepted)),
        Some(errors) => Verdict::Refused("InvalidSpec", errors),
        None => Verdict::Waiting,
    }
}

/// What is wrong with a SPEC, as far as that can be known without the cloud and the driver: what may not change, what the
/// profiles offer, how versions go on.
pub fn refusals(catalog: &Catalog, status: &Status, spec: &Spec) -> Vec<Invalid> {
    let mut errors = spec.check();
    errors.extend(status.accepted.iter().flat_map(|old| spec.check_change(old)));
    errors.extend(goals(catalog, status, spec, false).err().into_iter().flatten());
    let told = errors.iter().any(|e| e.path == "kubernetes_version");
    let version = version_error(status, spec, catalog).filter(|_| !told);
    errors.extend(version.map(|message| invalid("kubernetes_version", message)));
    errors
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
