//! The rules as a table: the state of a group and what is seen, and what becomes of both. Documentation is made from
//! the same rows.

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::{ClusterState as S, GroupState as G};
use oneks_core::status::{LastError, Work};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

/// What happens to the node group `a`, which has two nodes, before the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    Nothing,
    NodeDown,
    NodeGone,
    Deadline,
    OtherSize,
    OtherVersion,
    Removed,
    Recover,
    Delete,
}

struct Row {
    state: G,
    sight: Sight,
    group: G,
    cluster: S,
    /// Part of the first action's summary; nothing if there is none.
    action: &'static str,
}

const fn row(state: G, sight: Sight, group: G, cluster: S, action: &'static str) -> Row {
    Row {
        state,
        sight,
        group,
        cluster,
        action,
    }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(G::Running, Sight::Nothing, G::Running, S::Running, ""),
    row(G::Running, Sight::NodeDown, G::Warning, S::Warning, ""),
    row(G::Running, Sight::NodeGone, G::Warning, S::Warning, ""),
    row(G::Running, Sight::OtherSize, G::Scaling, S::Scaling, "apply-24001"),
    row(G::Running, Sight::OtherVersion, G::Running, S::Upgrading, "apply-24000"),
    row(G::Running, Sight::Removed, G::Deprovisioning, S::Scaling, "apply-24001"),
    row(G::Running, Sight::Recover, G::Running, S::Running, ""),
    row(G::Running, Sight::Delete, G::Deprovisioning, S::Deprovisioning, "terminate VM"),
    row(G::Warning, Sight::Nothing, G::Running, S::Running, ""),
    row(G::Warning, Sight::NodeDown, G::Warning, S::Warning, ""),
    row(G::Warning, Sight::Recover, G::Running, S::Running, "apply-24001"),
    row(G::Scaling, Sight::Nothing, G::Scaling, S::Scaling, "apply-24001"),
    row(G::Scaling, Sight::NodeDown, G::Scaling, S::Scaling, "apply-24001"),
    row(G::Scaling, Sight::Deadline, G::ScalingFailure, S::ScalingFailure, ""),
    row(G::Scaling, Sight::OtherSize, G::Scaling, S::Scaling, "apply-24001"),
    row(G::Scaling, Sight::Removed, G::Deprovisioning, S::Scaling, "apply-24001"),
    row(G::Scaling, Sight::Delete, G::Deprovisioning, S::Deprovisioning, "terminate VM"),
    row(G::Upgrading, Sight::Nothing, G::Upgrading, S::Upgrading, "apply-24001"),
    row(G::Upgrading, Sight::Deadline, G::UpgradingFailure, S::UpgradingFailure, ""),
    row(G::Upgrading, Sight::OtherSize, G::Upgrading, S::Upgrading, "apply-24001"),
    row(G::Upgrading, Sight::Delete, G::Deprovisioning, S::Deprovisioning, "terminate VM"),
    row(G::Provisioning, Sight::Nothing, G::Provisioning, S::Scaling, "apply-24001"),
    row(G::Provisioning, Sight::Deadline, G::ProvisioningFailure, S::ScalingFailure, ""),
    row(G::Provisioning, Sight::OtherSize, G::Provisioning, S::Scaling, "update VM template|apply-24001"),
    row(G::Provisioning, Sight::Removed, G::Deprovisioning, S::Scaling, "apply-24001"),
    row(G::Deprovisioning, Sight::Deadline, G::DeprovisioningFailure, S::ScalingFailure, ""),
    row(G::ProvisioningFailure, Sight::Nothing, G::ProvisioningFailure, S::ScalingFailure, ""),
    row(G::ProvisioningFailure, Sight::OtherSize, G::ProvisioningFailure, S::ScalingFailure, ""),
    row(G::ProvisioningFailure, Sight::OtherVersion, G::ProvisioningFailure, S::ScalingFailure, "apply-24000"),
    row(G::ProvisioningFailure, Sight::Recover, G::Provisioning, S::Scaling, "apply-24001"),
    row(G::ProvisioningFailure, Sight::Removed, G::Deprovisioning, S::Scaling, "apply-24001"),
    row(G::ProvisioningFailure, Sight::Delete, G::Deprovisioning, S::Deprovisioning, "terminate VM"),
    row(G::ScalingFailure, Sight::Nothing, G::ScalingFailure, S::ScalingFailure, ""),
    row(G::ScalingFailure, Sight::NodeGone, G::ScalingFailure, S::ScalingFailure, ""),
    row(G::ScalingFailure, Sight::OtherSize, G::ScalingFailure, S::ScalingFailure, ""),
    row(G::ScalingFailure, Sight::Recover, G::Scaling, S::Scaling, "apply-24001"),
    row(G::UpgradingFailure, Sight::Nothing, G::UpgradingFailure, S::UpgradingFailure, ""),
    row(G::UpgradingFailure, Sight::OtherSize, G::UpgradingFailure, S::UpgradingFailure, ""),
    row(G::UpgradingFailure, Sight::Recover, G::Upgrading, S::Upgrading, "apply-24001"),
    row(G::UpgradingFailure, Sight::Delete, G::Deprovisioning, S::Deprovisioning, "terminate VM"),
];

#[test]
fn the_table_of_groups_holds() {
    let mut ready = World::new(Kind::Guest, &spec("v1.33.7", 1, &[("a", 2)]));
    ready.until(S::Running);
    for row in ROWS {
        let mut world = ready.clone();
        let mut status = world.status();
        let group = &mut status.node_groups[0];
        group.state = row.state;
        if row.state.is_working() {
            let now = world.now;
            let before = group.settled.clone();
            group.probe = None;
            group.applied = None;
            group.work = Some(Work {
                started: now - 60,
                deadline: if row.sight == Sight::Deadline {
                    now - 1
                } else {
                    now + 600
                },
                attempts: 0,
                unsure: false,
                before,
                step: "at work".to_owned(),
            });
        } else if row.state != G::Running {
            group.error = Some(LastError {
                reason: "Why".to_owned(),
                message: "why".to_owned(),
                object: None,
                since: world.now - 60,
            });
        }
        if row.state == G::Deprovisioning {
            group.removed = true;
            world.doc().spec = spec("v1.33.7", 1, &[]);
        }
        world.doc().status = Some(status.to_json());
        let node = world.alive(VmKind::Node)[0];
        match row.sight {
            Sight::Nothing | Sight::Deadline => {}
            Sight::NodeDown => world.stop(node),
            Sight::NodeGone => world.end(node),
            Sight::OtherSize => world.doc().spec = spec("v1.33.7", 1, &[("a", 3)]),
            Sight::OtherVersion => world.doc().spec = spec("v1.34.2", 1, &[("a", 2)]),
            Sight::Removed => world.doc().spec = spec("v1.33.7", 1, &[]),
            Sight::Recover => world.doc().recover = Some("now".to_owned()),
            Sight::Delete => world.doc().delete = Some("YES".to_owned()),
        }
        let before = world.log.len();
        world.pass(None);
        let name = format!("{} and {:?}", row.state, row.sight);
        let after = world.status();
        assert_eq!(after.node_groups[0].state, row.group, "{name}");
        assert_eq!(after.state, row.cluster, "{name}");
        let first = world.log.get(before).map_or("", String::as_str);
        let fits = |part: &str| {
            if part.is_empty() {
                first.is_empty()
            } else {
                first.contains(part)
            }
        };
        assert!(
            row.action.split('|').any(fits),
            "{name}: {first:?}, not {:?}",
            row.action
        );
    }
}
