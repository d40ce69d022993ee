//! From the groups to what users see first: the cluster's state, its conditions, what is under way.

use crate::plan::context::Context;
use crate::plan::rotate;
use crate::state::{ClusterState, GroupState};
use crate::status::{Group, Operation, Status, Truth};

/// Writes the cluster's state, conditions, operation and history.
pub(super) fn write(context: &Context<'_>, previous: &Status, status: &mut Status) {
    let now = context.now;
    let complete = status.accepted.is_some() && status.groups().all(|g| g.state == GroupState::Running);
    if complete && !status.provisioned {
        status.provisioned = true;
        status.note(now, "the cluster is complete");
    }
    let over = context.actions.contains(&crate::Action::DeleteDocument);
    status.state = if over {
        ClusterState::Done
    } else {
        cluster_state(status)
    };
    if status.deletion.is_none() {
        operation(context, status);
    }
    conditions(context, status);
    history(now, previous, status);
    if !status.same_as(previous) {
        status.rev = status.rev.max(previous.rev).saturating_add(1);
    }
}

/// A rule for the state of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The state.
    pub state: ClusterState,
    /// When it is that, in words.
    pub when: &'static str,
    holds: fn(&Status) -> bool,
}

impl Rule {
    /// Does it hold of a status?
    pub fn holds(&self, status: &Status) -> bool {
        (self.holds)(status)
    }
}

const fn rule(state: ClusterState, when: &'static str, holds: fn(&Status) -> bool) -> Rule {
    Rule { state, when, holds }
}

/// The state of a cluster whose document is there: that of the first rule that holds. The last one always does.
pub const CLUSTER_RULES: &[Rule] = {
    use ClusterState as S;
    use GroupState as G;
    &[
        rule(S::DeprovisioningFailure, "its deletion has failed", |s| {
            s.deletion.as_ref().is_some_and(|d| d.failed)
        }),
        rule(S::Deprovisioning, "it is being deleted", |s| s.deletion.is_some()),
        rule(S::Pending, "no SPEC was ever accepted", |s| s.accepted.is_none()),
        rule(
            S::ProvisioningFailure,
            "the control plane is in BOOTSTRAPPING_FAILURE",
            |s| any(s, &[G::BootstrappingFailure]),
        ),
        rule(S::UpgradingFailure, "a group is in UPGRADING_FAILURE", |s| {
            any(s, &[G::UpgradingFailure])
        }),
        rule(
            S::ProvisioningFailure,
            "a group is in PROVISIONING_FAILURE, and the cluster was never complete",
            |s| any(s, &[G::ProvisioningFailure]) && !s.provisioned,
        ),
        rule(
            S::ScalingFailure,
            "a group is in PROVISIONING_FAILURE, SCALING_FAILURE or DEPROVISIONING_FAILURE",
            |s| {
                any(
                    s,
                    &[
                        G::ProvisioningFailure,
                        G::ScalingFailure,
                        G::DeprovisioningFailure,
                    ],
                )
            },
        ),
        rule(S::Provisioning, "the cluster was never complete", |s| {
            !s.provisioned
        }),
        rule(S::Upgrading, "a group is in UPGRADING", |s| {
            any(s, &[G::Upgrading])
        }),
        rule(
            S::Upgrading,
            "a group waits for its turn to be upgraded, and SPEC does not say paused",
            |s| s.groups().any(is_behind) && !s.accepted.as_ref().is_some_and(|a| a.paused),
        ),
        rule(
            S::Scaling,
            "a group is in PENDING, BOOTSTRAPPING, PROVISIONING, SCALING or DEPROVISIONING",
            |s| {
                let states = [
                    G::Pending,
                    G::Bootstrapping,
                    G::Provisioning,
                    G::Scaling,
                    G::Deprovisioning,
                ];
                any(s, &states)
            },
        ),
        rule(S::Warning, "a group is in WARNING", |s| any(s, &[G::Warning])),
        rule(
            S::Warning,
            "its credential ends soon and has no successor yet",
            |s| s.condition(rotate::EXPIRING).is_some(),
        ),
        rule(S::Running, "in all other cases", |_| true),
    ]
};

fn any(status: &Status, of: &[GroupState]) -> bool {
    status.groups().any(|g| of.contains(&g.state))
}

fn is_behind(group: &Group) -> bool {
    match (&group.target, &group.goal) {
        (Some(target), Some(goal)) => target.version != goal.version,
        _ => false,
    }
}

/// The cluster's state, computed.
pub(super) fn cluster_state(status: &Status) -> ClusterState {
    let rule = CLUSTER_RULES.iter().find(|r| r.holds(status));
    rule.map_or(ClusterState::Running, |r| r.state)
}

fn operation(context: &Context<'_>, status: &mut Status) {
    let kind = match status.state {
        ClusterState::Provisioning => "create",
        ClusterState::Scaling => "scale",
        ClusterState::Upgrading => "upgrade",
        ClusterState::Running | ClusterState::Warning => {
            let rotating = status
                .rotation
                .as_ref()
                .zip(rotate::waits_for(status, context.now));
            status.operation = rotating.map(|(rotation, step)| Operation {
                kind: "rotate".to_owned(),
                started: rotation.started,
                deadline: 0,
                step,
            });
            return;
        }
        _ => {
            status.operation = None;
            return;
        }
    };
    let working: Vec<(&Group, &crate::status::Work)> = status
        .groups()
        .filter_map(|g| g.work.as_ref().map(|w| (g, w)))
        .collect();
    let steps: Vec<String> = working
        .iter()
        .filter(|(_, w)| !w.step.is_empty())
        .take(3)
        .map(|(g, w)| {
            if g.is_control_plane() {
                w.step.clone()
            } else {
                format!("{}: {}", g.key, w.step)
            }
        })
        .collect();
    let deadline = working
        .iter()
        .map(|(_, w)| w.deadline)
        .filter(|d| *d > 0)
        .min()
        .unwrap_or(0);
    let started = status
        .operation
        .as_ref()
        .filter(|o| o.kind == kind)
        .map(|o| o.started)
        .or_else(|| working.iter().map(|(_, w)| w.started).min())
        .unwrap_or(context.now);
    status.operation = Some(Operation {
        kind: kind.to_owned(),
        started,
        deadline,
        step: steps.join("; "),
    });
}

fn conditions(context: &Context<'_>, status: &mut Status) {
    let now = context.now;
    let trouble = status
        .groups()
        .find_map(|g| g.error.clone().map(|e| (g.key.clone(), e)));
    let usable = matches!(status.state, ClusterState::Running);
    let expiring = status
        .condition(rotate::EXPIRING)
        .filter(|_| status.state == ClusterState::Warning);
    let (truth, reason, message) = if usable {
        (Truth::True, "Running".to_owned(), String::new())
    } else if let Some((key, error)) = &trouble {
        (
            Truth::False,
            error.reason.clone(),
            format!("{key}: {}", error.message),
        )
    } else if let Some(expiring) = expiring {
        (Truth::False, expiring.reason.clone(), expiring.message.clone())
    } else if let Some(operation) = &status.operation {
        (Truth::False, reason_of(status.state), operation.step.clone())
    } else if let Some(refused) = status.condition("Accepted").filter(|c| c.status == Truth::False) {
        (Truth::False, refused.reason.clone(), refused.message.clone())
    } else {
        (Truth::False, reason_of(status.state), String::new())
    };
    status.set_condition(now, "Ready", truth, &reason, message);
    if status.accepted.is_some() {
        let group = &status.control_plane;
        let well = matches!(group.state, GroupState::Running);
        let text = format!("{}, {} of {} nodes ready", group.state, group.ready, group.want);
        let reason = reason_of(group.state);
        status.set_condition(now, "ControlPlaneReady", truth_of(well), &reason, text);
    }
    match status.retry.clone().filter(|r| r.not_before > now) {
        Some(retry) => {
            let cause = status
                .last_error
                .as_ref()
                .map_or_else(String::new, |e| e.message.clone());
            let message = format!("attempt {} failed and is repeated later: {cause}", retry.count);
            status.set_condition(now, "Retrying", Truth::True, "CallFailed", message);
        }
        None => status.clear_condition("Retrying"),
    }
}

fn truth_of(value: bool) -> Truth {
    if value { Truth::True } else { Truth::False }
}

/// `PROVISIONING_FAILURE` as a reason: `ProvisioningFailure`.
fn reason_of(state: impl std::fmt::Display) -> String {
    let mut reason = String::new();
    for word in state.to_string().split('_') {
        let mut letters = word.chars();
        reason.extend(letters.next());
        reason.extend(letters.map(|c| c.to_ascii_lowercase()));
    }
    reason
}

fn history(now: u64, previous: &Status, status: &mut Status) {
    let mut lines = Vec::new();
    for group in status.groups() {
        let before = previous
            .groups()
            .find(|g| g.id == group.id)
            .map_or(GroupState::Pending, |g| g.state);
        if before != group.state {
            let cause = group
                .error
                .as_ref()
                .map_or_else(String::new, |e| format!(": {}", e.message));
            lines.push(format!("group {}: {before} → {}{cause}", group.key, group.state));
        }
    }
    for group in &previous.node_groups {
        if status.node_groups.iter().all(|g| g.id != group.id) {
            lines.push(format!("group {}: {} → DONE", group.key, group.state));
        }
    }
    if previous.state != status.state {
        lines.push(format!("cluster: {} → {}", previous.state, status.state));
    }
    for line in lines {
        status.note(now, line);
    }
}
