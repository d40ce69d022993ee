//! A group at rest: its virtual machines run, but is Kubernetes well? It is asked once in a long while.
//!
//! No event tells that a node has stopped being ready, and nothing here polls: the sweep notices from the status alone
//! that the time has come. Clusters get different moments, by their ids, so that a thousand of them never come at once,
//! not even after the front-end was away.

use oneks_driver::Action as DriverAction;

use crate::plan::context::{Answer, Context};
use crate::plan::guest::Wanted;
use crate::plan::health::Trouble;
use crate::plan::observe::{PROBE_ANYWAY, RESTING_PAUSE, ask_script, probe_order, was_asked};
use crate::plan::request::{driver_cluster, driver_group};
use crate::plan::work::group_mut;
use crate::spec::Spec;
use crate::state::GroupState;
use crate::status::{Group, Purpose, Status};

/// Shortest time in which a cluster is asked once its moment has come, seconds: two sweeps.
const MOMENT: u64 = 120;

/// How many questions in a row must fail before that is told.
const PATIENCE: u32 = 3;

/// Is it time to ask a cluster at rest whether its nodes are ready? `every` is in seconds, 0 for never.
///
/// What is under way, failed questions among it, is noticed by other means.
pub fn probe_is_due(status: &Status, every: u64, now: u64) -> bool {
    next_probe(status, every, now) == Some(now)
}

/// When a cluster at rest is to be asked next, from `now` on, if nothing happens to it before.
pub fn next_probe(status: &Status, every: u64, now: u64) -> Option<u64> {
    let asked = |g: &Group| g.state == GroupState::Running && !g.vms.is_empty();
    let guest = status.placed.as_ref().is_some_and(|p| p.capabilities.guest);
    let paused = status.accepted.as_ref().is_none_or(|a| a.paused);
    if !guest || paused || status.deletion.is_some() {
        return None;
    }
    let next = |g: &Group| {
        if g.failed_commands > 0 {
            Some(now)
        } else {
            next_moment(status.document, g, every, now)
        }
    };
    status.groups().filter(|g| asked(g)).filter_map(next).min()
}

fn is_due(cluster: u32, group: &Group, every: u64, now: u64) -> bool {
    next_moment(cluster, group, every, now) == Some(now)
}

/// The first time from `now` on at which the group is due. Never, if `every` is 0.
fn next_moment(cluster: u32, group: &Group, every: u64, now: u64) -> Option<u64> {
    if every == 0 {
        return None;
    }
    let moment = (every / 15).max(MOMENT).min(every);
    let last = group.probe.as_ref().map_or(0, |p| p.at);
    let rested = now.max(last.saturating_add((every - moment).max(every / 2)));
    // Fibonacci hashing: neighbours are far apart.
    let offset = u64::from(cluster).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let phase = rested.saturating_add(offset) % every;
    Some(if phase < moment {
        rested
    } else {
        rested.saturating_add(every - phase)
    })
}

/// Has Kubernetes said that the nodes are not as they should be?
pub(super) fn is_unwell(group: &Group) -> bool {
    let probe = group.probe.as_ref();
    probe.is_some_and(|p| !p.observation.settled) && was_asked(group)
}

/// Asks, if it is time. What is wrong, if nobody has answered for a while.
pub(super) fn ask(context: &mut Context<'_>, status: &mut Status, spec: &Spec, id: u32) -> Option<Trouble> {
    let (now, every) = (context.now, context.observed.settings.probe_every);
    let group = group_mut(status, id)?.clone();
    let failures = group.failed_commands;
    if group.vms.is_empty() || failures == 0 && !is_due(context.desired.document, &group, every, now) {
        return None;
    }
    let began = group.error.as_ref().map_or(now, |e| e.since);
    let long = now.saturating_sub(began) >= PROBE_ANYWAY;
    if !long || now.saturating_sub(group.asked) >= RESTING_PAUSE {
        let delay = match failures {
            _ if long => 0,
            0 => 0,
            n => (10 << n.min(4)).min(120),
        };
        want(context, status, spec, &group, delay);
    }
    let why = status.last_error.as_ref().map_or("", |e| e.message.as_str());
    (failures >= PATIENCE).then(|| {
        let text = format!("Kubernetes was asked {PATIENCE} times and did not answer; {why}");
        ("ProbeFailed", text, Some(format!("group {}", group.key)))
    })
}

/// Asks how a group at rest is.
pub(super) fn want(context: &mut Context<'_>, status: &mut Status, spec: &Spec, group: &Group, delay: u64) {
    let Some((goal, cluster)) = group.goal.clone().zip(driver_cluster(context, status, spec)) else {
        return;
    };
    let Ok(Some(asked)) = driver_group(context, group, &goal, spec) else {
        return;
    };
    let probe = DriverAction::Probe {
        cluster: Box::new(cluster),
        group: Box::new(asked),
        wait: 0,
    };
    if let Answer::Given(script) = ask_script(context, status, spec, group.id, probe) {
        context.wanted.push(Wanted {
            purpose: Purpose::Probe,
            group: group.id,
            script,
            then: None,
            of: probe_order(group),
            delay,
            wait: 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Probe;
    use oneks_driver::Observation;

    const EVERY: u64 = 1800;

    fn asked(at: u64) -> Group {
        let mut group = Group::new(1000, "control-plane", String::new());
        let (of, observation) = (String::new(), Observation::default());
        group.probe = Some(Probe { at, of, observation });
        group
    }

    /// Whatever the cluster and the last time: once in every interval, with a sweep each minute.
    #[test]
    fn every_cluster_has_its_moment_in_every_interval() {
        for cluster in [0, 1, 2, 24, 999, u32::MAX] {
            for every in [120, 300, EVERY, 86_400] {
                let (mut last, mut times) = (1_000_000, Vec::new());
                for now in (1_000_000..1_000_000 + 10 * every).step_by(60) {
                    if is_due(cluster, &asked(last), every, now) {
                        last = now;
                        times.push(now);
                    }
                }
                assert!(
                    (9..=20).contains(&times.len()),
                    "{cluster} {every}: {}",
                    times.len()
                );
                let gaps = times.windows(2).map(|w| w[1] - w[0]);
                assert!(gaps.clone().all(|gap| gap >= every / 2), "{cluster} {every}");
                assert!(gaps.clone().all(|gap| gap <= every + MOMENT), "{cluster} {every}");
            }
        }
    }

    /// After a long absence all are overdue, and come one after another all the same.
    #[test]
    fn a_thousand_clusters_never_come_at_once() {
        for start in [5_000_000_u64, 5_000_600, 5_001_234] {
            let mut last = vec![0_u64; 1000];
            let mut most = 0;
            for now in (start..start + EVERY).step_by(60) {
                let due: Vec<usize> = (0..1000)
                    .filter(|&c| is_due(u32::try_from(c).unwrap(), &asked(last[c]), EVERY, now))
                    .collect();
                // The first sweep finds those whose moment has begun already.
                most = most.max(due.len());
                for c in due {
                    last[c] = now;
                }
            }
            assert!(
                last.iter().all(|&at| at > 0),
                "each was asked within one interval"
            );
            assert!(most <= 100, "{most} at once");
        }
    }

    #[test]
    fn never_means_never() {
        assert!((0..100_000).step_by(60).all(|now| !is_due(24, &asked(0), 0, now)));
    }
}
