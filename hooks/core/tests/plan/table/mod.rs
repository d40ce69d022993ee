//! The state tables of `docs/states.md`. The rows are the document's: each is carried out here, and what comes of it
//! must be what the document says. The rules that no row may break stand beside them.
//!
//! `UPDATE=1` writes the rows anew; the difference is to be read like any other change of behaviour.

mod document;
mod scene;
mod sight;

use oneks_core::plan::CLUSTER_RULES;
use oneks_core::state::{ClusterState as S, GroupState as G};
use oneks_core::status::{Deletion, Goal, Status};

use crate::driver::Kind;
use document::Document;
use scene::{Subject, scenes};
use sight::{Outcome, Sight};

/// Drivers as the document tells them apart: those that work through guests, and those that know VMs alone.
const GUEST: Kind = Kind::Guest;
const PLAIN: Kind = Kind::Plain;

#[test]
fn every_row_of_the_document_holds() {
    let document = Document::read();
    let mut made = String::new();
    let mut rows = 0;
    for (subject, state) in scenes() {
        let mut of_state = Vec::new();
        for &sight in Sight::ALL {
            let guest = sight.outcome(GUEST, subject, state);
            let plain = sight.outcome(PLAIN, subject, state);
            for (kind, outcome) in [(GUEST, &guest), (PLAIN, &plain)] {
                if let Some(outcome) = outcome {
                    keeps_the_rules(kind, subject, state, sight, outcome);
                    rows += 1;
                }
            }
            if !sight.is_the_same_everywhere() && (guest.is_some() || plain.is_some()) {
                of_state.push((sight, guest, plain));
            }
        }
        made += &document::section(subject, state, &of_state);
    }
    assert!(rows > 500, "{rows} rows");
    document.compare("rows", &made);
}

/// What holds of every row, whatever the document says.
fn keeps_the_rules(kind: Kind, subject: Subject, state: G, sight: Sight, outcome: &Outcome) {
    let name = format!("{subject:?} {state} {sight:?}: {outcome:?}");
    let quiet = |words: &[&str]| {
        outcome
            .actions
            .iter()
            .all(|a| words.iter().all(|w| !a.contains(w)))
    };
    if sight == Sight::Force {
        assert_eq!(outcome.cluster, S::Done, "nothing is waited for: {name}");
        return;
    }
    if sight == Sight::Delete {
        assert!(
            matches!(
                outcome.cluster,
                S::Deprovisioning | S::DeprovisioningFailure | S::Done
            ),
            "an order to delete is followed from every state: {name}"
        );
        return;
    }
    if sight.is_the_same_everywhere() {
        let nothing = Sight::Nothing.outcome(kind, subject, state).unwrap();
        let condition = match sight {
            Sight::Protected => "DeletionProtected",
            Sight::Unclear => "UnknownOrder",
            Sight::OtherOwner => "OwnerChanged",
            _ => "CallFailed",
        };
        let states = |o: &Outcome| (o.group, o.cluster);
        assert_eq!(states(outcome), states(&nothing), "it changes no state: {name}");
        if sight == Sight::OtherOwner {
            assert!(
                outcome.actions.is_empty(),
                "nothing is done for another owner: {name}"
            );
        }
        if sight == Sight::CallFails {
            let makes = |a: &String| a.starts_with("make") || a.starts_with("create");
            assert!(!outcome.actions.iter().any(makes), "{name}");
            let tried = nothing.actions.iter().any(makes);
            assert_eq!(outcome.conditions.iter().any(|c| c == condition), tried, "{name}");
        } else {
            assert!(outcome.conditions.iter().any(|c| c == condition), "{name}");
            assert!(
                sight == Sight::OtherOwner || outcome.actions == nothing.actions,
                "{name}"
            );
        }
        return;
    }
    if subject == Subject::Cluster {
        return;
    }
    if sight == Sight::Paused {
        assert!(
            outcome.actions.is_empty(),
            "a paused cluster is left alone: {name}"
        );
    }
    if sight == Sight::Removed {
        assert!(
            matches!(
                outcome.group,
                Some(G::Deprovisioning | G::DeprovisioningFailure) | None
            ),
            "{name}"
        );
    }
    let by_itself = !sight.is_an_order();
    if by_itself && matches!(state, G::Running | G::Warning) {
        assert!(
            matches!(outcome.group, Some(G::Running | G::Warning)),
            "what nodes do by themselves never looks like a user's change: {name}"
        );
    }
    if by_itself && state.failed_action().is_some() {
        assert_eq!(
            outcome.group,
            Some(state),
            "a failure stays until somebody orders otherwise: {name}"
        );
        assert!(quiet(&["allocate", "create", "terminate", "delete"]), "{name}");
    }
    if sight == Sight::Recover
        && let Some(action) = state.failed_action()
    {
        let back =
            matches!(outcome.group, Some(g) if g == action || g == G::Running) || outcome.group.is_none();
        assert!(back, "RECOVER does what had failed: {name}");
    }
    if sight == Sight::Deadline && state.is_working() {
        assert_eq!(outcome.group, Some(state.failed()), "{name}");
    }
    if sight == Sight::Unacceptable {
        assert!(quiet(&["terminate", "scale", "upgrade", "delete"]), "{name}");
    }
}

/// The cluster's state by its rules: each of them decides for some status, and the document names them in their order.
#[test]
fn every_rule_for_the_cluster_decides_somewhere() {
    for (i, rule) in CLUSTER_RULES.iter().enumerate() {
        let status = example(i);
        let first = CLUSTER_RULES.iter().position(|r| r.holds(&status));
        assert_eq!(first, Some(i), "{}", rule.when);
    }
    let lines = CLUSTER_RULES
        .iter()
        .enumerate()
        .map(|(i, rule)| format!("{}. **{}**: {}.\n", i + 1, rule.state, rule.when));
    Document::read().compare("cluster", &lines.collect::<String>());
}

/// A status for which the rule with this number is the first that holds.
fn example(rule: usize) -> Status {
    let mut status = crate::world::World::new(GUEST, &crate::pass::spec("v1.33.7", 1, &[("a", 1)]))
        .until(S::Running)
        .status();
    let deletion = |failed| Deletion {
        force: false,
        started: 1,
        deadline: 2,
        failed,
    };
    // Weaker rules hold as well, so that the order is seen to count.
    status.node_groups[0].state = G::Warning;
    let group = &mut status.node_groups[0];
    match rule {
        0 => status.deletion = Some(deletion(true)),
        1 => {
            status.deletion = Some(deletion(false));
            status.control_plane.state = G::BootstrappingFailure;
        }
        2 => status.accepted = None,
        3 => {
            group.state = G::UpgradingFailure;
            status.control_plane.state = G::BootstrappingFailure;
        }
        4 => {
            group.state = G::UpgradingFailure;
            status.control_plane.state = G::ScalingFailure;
        }
        5 => {
            group.state = G::ProvisioningFailure;
            status.provisioned = false;
        }
        6 => {
            group.state = G::DeprovisioningFailure;
            status.control_plane.state = G::Upgrading;
        }
        7 => {
            group.state = G::Upgrading;
            status.provisioned = false;
        }
        8 => {
            group.state = G::Upgrading;
            status.control_plane.state = G::Scaling;
        }
        9 => {
            let goal = group.goal.clone().unwrap();
            group.target = Some(Goal {
                version: "v1.34.2".to_owned(),
                ..goal
            });
            group.state = G::Scaling;
        }
        10 => {
            group.state = G::Scaling;
            status.control_plane.state = G::Warning;
        }
        11 => {}
        12 => {
            group.state = G::Running;
            status.set_condition(
                1,
                "CredentialExpiring",
                oneks_core::status::Truth::True,
                "CredentialExpiring",
                "soon",
            );
        }
        _ => group.state = G::Running,
    }
    status
}

/// What both kinds of router and of driver have in common: the states are the same wherever scripts do the work.
#[test]
fn who_makes_the_router_changes_no_state() {
    let about_router = [Sight::RouterGone, Sight::RouterVmGone, Sight::RouterVmDown];
    for (subject, state) in scenes() {
        let quick = |s: &&Sight| s.lasts() == 0 && !about_router.contains(s);
        for sight in Sight::ALL.iter().filter(quick) {
            let both = [Kind::Guest, Kind::Routed]
                .map(|kind| sight.outcome(kind, subject, state).map(|o| (o.group, o.cluster)));
            assert_eq!(both[0], both[1], "{subject:?} {state} {sight:?}");
        }
    }
}

/// How a cluster goes: what is removed in which order, as the document lists it.
#[test]
fn the_order_of_deletion_is_that_of_the_document() {
    let document = Document::read();
    for (kind, name) in [(GUEST, "deletion"), (PLAIN, "deletion-plain")] {
        document.compare(name, &sight::deletion(kind));
    }
}
