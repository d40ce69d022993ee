//! When a handle is written: what waits, what does not, and what must not be overwritten.

use super::{ACTION, Attributes, GROUP, MESSAGE, NODES, PROTECTION, Picture, VERSION};
use crate::state::ClusterState;
use crate::status::{Status, Truth};

/// Seconds after which progress is shown that is no change of state; doubled each time.
const PAUSE: u64 = 180;

/// Most doublings: half a year.
const MOST: u32 = 16;

/// Is the attribute one that users write?
pub fn is_users(name: &str) -> bool {
    matches!(name, VERSION | PROTECTION | ACTION) || name.starts_with(GROUP)
}

/// Would something be overwritten that users write?
pub fn touches(changes: &Picture, there: &Attributes) -> bool {
    let users = |name: &&String| is_users(name);
    changes.keys().filter(users).any(|name| there.contains_key(name))
}

/// Is there bad news? It is shown at once.
pub fn is_pressing(status: &Status) -> bool {
    let failed = status.groups().any(|g| g.error.is_some());
    let accepted = status.condition("Accepted");
    failed && status.state != ClusterState::Warning || accepted.is_some_and(|c| c.status == Truth::False)
}

/// Is it progress only, which may wait?
pub fn is_progress(changes: &Picture) -> bool {
    changes.keys().all(|name| name == NODES || name == MESSAGE)
}

/// When progress may be shown again, that was shown `slow` times without a change of state, last at `written`; seconds
/// since the epoch.
pub fn pause_ends(written: u64, slow: u32) -> u64 {
    written.saturating_add(PAUSE << slow.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{attributes, cluster};
    use super::super::{ENDPOINT, SHOWN, STATE};
    use super::*;
    use crate::status::LastError;

    fn picture(names: &[&str]) -> Picture {
        names.iter().map(|name| ((*name).to_owned(), None)).collect()
    }

    #[test]
    fn users_write_what_is_wanted_and_nothing_else() {
        for (name, theirs) in [
            (VERSION, true),
            (PROTECTION, true),
            (ACTION, true),
            ("ONEKS_GROUP_WORKERS", true),
            (STATE, false),
            (NODES, false),
            (MESSAGE, false),
            (SHOWN, false),
            (ENDPOINT, false),
        ] {
            assert_eq!(is_users(name), theirs, "{name}");
        }
    }

    #[test]
    fn only_what_is_there_can_be_overwritten() {
        let there = attributes(&[("ONEKS_GROUP_WORKERS", "2 small"), (STATE, "RUNNING")]);
        for (changed, touched) in [
            (&["ONEKS_GROUP_WORKERS"][..], true),
            (&[STATE, "ONEKS_GROUP_WORKERS"], true),
            (&[STATE], false),
            (&["ONEKS_GROUP_NEW"], false),
            (&[], false),
        ] {
            assert_eq!(touches(&picture(changed), &there), touched, "{changed:?}");
        }
    }

    #[test]
    fn progress_is_of_nodes_and_messages() {
        for (changed, progress) in [
            (&[NODES][..], true),
            (&[NODES, MESSAGE], true),
            (&[NODES, STATE], false),
            (&["ONEKS_GROUP_WORKERS"], false),
        ] {
            assert_eq!(is_progress(&picture(changed)), progress, "{changed:?}");
        }
    }

    #[test]
    fn each_pause_is_twice_as_long_as_the_one_before() {
        assert_eq!(pause_ends(1000, 0), 1180);
        assert_eq!(pause_ends(1000, 1), 1360);
        assert_eq!(pause_ends(1000, 2), 1720);
        assert_eq!(pause_ends(0, 16), pause_ends(0, u32::MAX));
        assert_eq!(pause_ends(u64::MAX, 3), u64::MAX);
    }

    #[test]
    fn bad_news_press() {
        let (_, quiet) = cluster();
        assert!(!is_pressing(&quiet));
        for (truth, pressing) in [
            (Truth::True, false),
            (Truth::Unknown, false),
            (Truth::False, true),
        ] {
            let mut status = quiet.clone();
            status.set_condition(1, "Accepted", truth, "Reason", "message");
            assert_eq!(is_pressing(&status), pressing, "{truth:?}");
        }
        // A warning comes and goes.
        for (state, pressing) in [
            (ClusterState::Running, true),
            (ClusterState::ScalingFailure, true),
            (ClusterState::Warning, false),
        ] {
            let mut status = quiet.clone();
            status.state = state;
            assert!(!is_pressing(&status), "{state}");
            status.control_plane.error = Some(LastError {
                reason: "Reason".to_owned(),
                message: "message".to_owned(),
                object: None,
                since: 1,
            });
            assert_eq!(is_pressing(&status), pressing, "{state}");
        }
    }
}
