//! `--wait`: watching until a cluster has come to rest. Stopping to watch stops nothing else.

use std::time::Duration;

use clap::Args;
use oneks_core::fingerprint;
use oneks_core::spec::Spec;
use oneks_core::state::{ClusterState, GroupState};
use oneks_core::status::{Status, Truth};

use crate::app::App;
use crate::failure::Failure;
use crate::{format, time};
use oneks::orders::cluster::Cluster;

/// Options of everything that starts something.
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Watch until the cluster has come to rest; Ctrl-C stops watching and nothing else
    #[arg(short, long)]
    pub wait: bool,
    /// Stop watching after this time (90, 30m, 2h); the operation goes on
    #[arg(long, value_name = "TIME", value_parser = time::parse_length, requires = "wait")]
    pub timeout: Option<Duration>,
    /// Time between two looks
    #[arg(long, value_name = "TIME", value_parser = time::parse_length, default_value = "2s", hide = true)]
    pub interval: Duration,
    /// Write the cluster as JSON in the end
    #[arg(short, long)]
    pub json: bool,
}

/// What is watched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The cluster is as the SPEC with this text wants it.
    Settled(String),
    /// The order with this token was taken up and has ended.
    Recovered(String),
    /// The credential was replaced by the order with this token.
    Rotated(String),
    /// The cluster is gone.
    Deleted,
}

/// The shortest time between two looks.
pub const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// How long the hooks may take to notice something.
const NOTICE: Duration = Duration::from_secs(90);

/// What a look at the cluster says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    /// What it waits for.
    Waiting(String),
    /// The hooks have not noticed the order.
    Unnoticed,
    Refused(String),
    Failed(String),
}

/// Does what `--wait` and `--json` ask for.
///
/// # Errors
/// The operation failed or did not end in time.
pub fn follow(app: &mut App, id: u32, goal: &Goal, args: &WaitArgs) -> Result<(), Failure> {
    let result = if args.wait {
        watch(app, id, goal, args)
    } else {
        Ok(())
    };
    if args.json && !(args.wait && *goal == Goal::Deleted && result.is_ok()) {
        let cluster = Cluster::fetch(&app.client()?, id)?;
        app.out.line(&format::pretty(&format::cluster(&cluster)))?;
    }
    result
}

/// Watches until the goal is reached, telling what changes.
///
/// # Errors
/// As [`follow`].
fn watch(app: &mut App, id: u32, goal: &Goal, args: &WaitArgs) -> Result<(), Failure> {
    let client = app.client()?;
    let begin = (app.pace.elapsed)();
    let mut told = String::new();
    let mut warned = false;
    loop {
        let cluster = match Cluster::fetch(&client, id).map_err(Failure::from) {
            Ok(cluster) => Some(cluster),
            Err(Failure::NotFound(_)) => None,
            // A front-end that restarts is no reason to stop watching.
            Err(Failure::Call(e)) if e.is_transient() => {
                tell(app, &mut told, &format!("can't look: {e}"));
                wait(app, begin, args, id, &told)?;
                continue;
            }
            Err(other) => return Err(other),
        };
        let Some(cluster) = cluster else {
            return if *goal == Goal::Deleted {
                tell(app, &mut told, "deleted");
                Ok(())
            } else {
                Err(Failure::OperationFailed(format!(
                    "cluster {id} was deleted while it was watched"
                )))
            };
        };
        let verdict = judge(&cluster, goal);
        let waiting = match &verdict {
            Verdict::Waiting(what) => what.as_str(),
            Verdict::Unnoticed => "waiting for the hooks to notice",
            _ => "",
        };
        tell(app, &mut told, &progress(&cluster, waiting));
        match verdict {
            Verdict::Done => return Ok(()),
            Verdict::Refused(why) => return Err(Failure::Refused(why)),
            Verdict::Failed(why) => {
                return Err(Failure::OperationFailed(format!("{}: {why}", cluster.title())));
            }
            Verdict::Unnoticed if !warned && (app.pace.elapsed)().saturating_sub(begin) >= NOTICE => {
                warned = true;
                app.out.note(
                    "oneks: the hooks have not noticed for a while; an administrator can look with `onehook list` \
                     and `oneks setup`",
                );
            }
            Verdict::Unnoticed | Verdict::Waiting(_) => {}
        }
        wait(app, begin, args, id, waiting)?;
    }
}

fn wait(app: &App, begin: Duration, args: &WaitArgs, id: u32, waiting: &str) -> Result<(), Failure> {
    let passed = (app.pace.elapsed)().saturating_sub(begin);
    let mut pause = args.interval.max(LEAST_PAUSE);
    if let Some(timeout) = args.timeout {
        let rest = timeout.saturating_sub(passed);
        if rest.is_zero() {
            let after = time::length(timeout.as_secs());
            let step = if waiting.is_empty() {
                String::new()
            } else {
                format!(" ({waiting})")
            };
            return Err(Failure::TimedOut(format!(
                "cluster {id} is not there after {after}{step}; it goes on, `oneks show cluster {id}` shows how far"
            )));
        }
        pause = pause.min(rest);
    }
    (app.pace.sleep)(pause);
    Ok(())
}

/// One line, if it says something new.
fn tell(app: &mut App, told: &mut String, text: &str) {
    if text != told {
        let now = time::clock(app.now());
        app.out.remark(&now, text);
        text.clone_into(told);
    }
}

/// State, nodes and what is waited for.
fn progress(cluster: &Cluster, waiting: &str) -> String {
    let groups: Vec<String> = cluster
        .groups()
        .iter()
        .filter_map(|g| g.nodes().map(|(ready, want)| format!("{} {ready}/{want}", g.key)))
        .collect();
    let mut line = cluster.state();
    for part in [groups.join(", ").as_str(), waiting] {
        if !part.is_empty() {
            line.push_str("  ");
            line.push_str(part);
        }
    }
    line
}

fn judge(cluster: &Cluster, goal: &Goal) -> Verdict {
    let Some(status) = &cluster.status else {
        return Verdict::Unnoticed;
    };
    match goal {
        Goal::Settled(text) => settled(cluster, status, text),
        Goal::Recovered(token) if status.recovered.as_deref() != Some(token) => Verdict::Unnoticed,
        Goal::Recovered(_) => rest(status),
        Goal::Rotated(token) => rotated(status, token),
        Goal::Deleted => deleted(status),
    }
}

fn settled(cluster: &Cluster, status: &Status, text: &str) -> Verdict {
    // If somebody else wrote another SPEC meanwhile, that is what the cluster goes to.
    let text = cluster.document.template.get("SPEC").unwrap_or(text);
    let accepted = status.condition("Accepted").filter(|c| c.status == Truth::False);
    if let (Some(condition), Some(refused)) = (accepted, &status.refused)
        && refused.fingerprint == fingerprint::of_text(text)
    {
        return Verdict::Refused(condition.message.clone());
    }
    match Spec::parse(text) {
        Ok(spec) if status.accepted.as_ref() == Some(&spec) => rest(status),
        _ => Verdict::Unnoticed,
    }
}

fn paused(status: &Status) -> Option<Verdict> {
    let paused = status.condition("Paused").filter(|c| c.status == Truth::True)?;
    Some(Verdict::Refused(format!(
        "{}; set it to false to go on",
        paused.message
    )))
}

/// Has an accepted cluster come to rest?
fn rest(status: &Status) -> Verdict {
    if let Some(refused) = paused(status) {
        return refused;
    }
    if status.state.as_str().ends_with("_FAILURE") {
        let error = status
            .groups()
            .find_map(|g| g.error.as_ref())
            .or(status.last_error.as_ref());
        let why = error.map_or_else(String::new, |e| format!(": {}", e.message));
        return Verdict::Failed(format!("{}{why}", status.state));
    }
    let reached = status
        .groups()
        .all(|g| g.state == GroupState::Running && g.goal == g.target);
    if status.state == ClusterState::Running && reached {
        return Verdict::Done;
    }
    Verdict::Waiting(step(status))
}

fn rotated(status: &Status, token: &str) -> Verdict {
    let condition = status.condition("CredentialRotated");
    let message = condition.map_or_else(String::new, |c| c.message.clone());
    let noticed = status.rotated.as_deref() == Some(token);
    match &status.rotation {
        None if !noticed => Verdict::Unnoticed,
        None if condition.is_some_and(|c| c.status == Truth::False) => Verdict::Refused(message),
        None => Verdict::Done,
        Some(rotation) if rotation.failed && noticed => Verdict::Failed(message),
        Some(_) => match paused(status) {
            Some(refused) => refused,
            None => Verdict::Waiting(message),
        },
    }
}

fn deleted(status: &Status) -> Verdict {
    if let Some(protected) = status.condition("DeletionProtected") {
        return Verdict::Refused(protected.message.clone());
    }
    match &status.deletion {
        None => Verdict::Unnoticed,
        Some(deletion) if deletion.failed => {
            let why = status
                .last_error
                .as_ref()
                .map(|e| e.message.clone())
                .unwrap_or_default();
            Verdict::Failed(format!("{why}; the hooks go on trying"))
        }
        Some(_) => Verdict::Waiting(step(status)),
    }
}

/// What the cluster waits for.
fn step(status: &Status) -> String {
    if let Some(retrying) = status.condition("Retrying").filter(|c| c.status == Truth::True) {
        return retrying.message.clone();
    }
    if let Some(operation) = status.operation.as_ref().filter(|o| !o.step.is_empty()) {
        return operation.step.clone();
    }
    let trouble = status
        .groups()
        .find_map(|g| g.error.as_ref().map(|e| format!("{}: {}", g.key, e.message)));
    trouble.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use oneks_core::status::{
        Deletion, Goal as GroupGoal, LastError, Operation, Refused, Rotation, RotationStage,
    };
    use opennebula::objects::{Document, Permissions};
    use opennebula::template::Template;

    use super::*;

    const SPEC: &str = r#"{"kubernetes_version":"v1.34.2","deployment":{"cluster":{"id":0},"networks":
        {"public":{"id":0},"private":{"id":1}}},"control_plane":{"flavour":"standalone"}}"#;

    /// A cluster that runs as its SPEC says.
    fn running() -> Status {
        let mut status = Status::new(7);
        status.rev = 1;
        status.state = ClusterState::Running;
        status.accepted = Spec::parse(SPEC).ok();
        status.recovered = Some("token".into());
        status.set_condition(1, "Accepted", Truth::True, "Accepted", "");
        let goal = GroupGoal {
            replicas: 1,
            version: "v1.34.2".into(),
            nodes: String::new(),
        };
        status.control_plane.state = GroupState::Running;
        status.control_plane.goal = Some(goal.clone());
        status.control_plane.target = Some(goal);
        status
    }

    fn judged(change: impl FnOnce(&mut Status), goal: &Goal) -> Verdict {
        let mut status = running();
        change(&mut status);
        let mut template = Template::new();
        template.set("SPEC", SPEC);
        template.set("STATUS", status.to_json());
        judge(
            &Cluster::new(Document {
                id: 7,
                uid: 2,
                gid: 1,
                uname: "alice".into(),
                gname: "users".into(),
                name: "web".into(),
                kind: 120,
                permissions: Permissions::default(),
                lock: None,
                template,
            }),
            goal,
        )
    }

    fn error(message: &str) -> LastError {
        LastError {
            reason: "X".into(),
            message: message.into(),
            object: None,
            since: 1,
        }
    }

    #[test]
    fn a_change_is_over_when_it_is_accepted_and_every_group_is_there() {
        let settled = Goal::Settled(SPEC.into());
        assert_eq!(judged(|_| {}, &settled), Verdict::Done);
        let step = |s: &mut Status| {
            s.state = ClusterState::Scaling;
            s.operation = Some(Operation {
                kind: "scale".into(),
                started: 1,
                deadline: 9,
                step: "1 of 2".into(),
            });
        };
        assert_eq!(judged(step, &settled), Verdict::Waiting("1 of 2".into()));
        let behind = |s: &mut Status| s.control_plane.target.as_mut().unwrap().replicas = 3;
        assert_eq!(judged(behind, &settled), Verdict::Waiting(String::new()));
        let warning = |s: &mut Status| {
            s.state = ClusterState::Warning;
            s.control_plane.error = Some(error("VM 9 is POWEROFF"));
        };
        assert_eq!(
            judged(warning, &settled),
            Verdict::Waiting("control-plane: VM 9 is POWEROFF".into())
        );
        let old = |s: &mut Status| s.accepted.as_mut().unwrap().kubernetes_version = "v1.33.7".into();
        assert_eq!(judged(old, &settled), Verdict::Unnoticed);
    }

    #[test]
    fn only_a_refusal_of_this_very_text_counts() {
        let refuse = |text: &str| {
            let fingerprint = fingerprint::of_text(text);
            move |s: &mut Status| {
                s.accepted = None;
                s.refused = Some(Refused {
                    fingerprint,
                    again: 9,
                    count: 0,
                });
                s.set_condition(1, "Accepted", Truth::False, "InvalidSpec", "no such flavour");
            }
        };
        let settled = Goal::Settled(SPEC.into());
        assert_eq!(
            judged(refuse(SPEC), &settled),
            Verdict::Refused("no such flavour".into())
        );
        assert_eq!(judged(refuse("{}"), &settled), Verdict::Unnoticed);
    }

    #[test]
    fn failures_and_pauses_end_the_watch() {
        let settled = Goal::Settled(SPEC.into());
        let failed = |s: &mut Status| {
            s.state = ClusterState::ScalingFailure;
            s.last_error = Some(error("no host has room"));
        };
        assert_eq!(
            judged(failed, &settled),
            Verdict::Failed("SCALING_FAILURE: no host has room".into())
        );
        let paused = |s: &mut Status| s.set_condition(1, "Paused", Truth::True, "Paused", "paused");
        assert!(matches!(judged(paused, &settled), Verdict::Refused(_)));
    }

    #[test]
    fn a_rotation_is_over_when_the_cluster_has_one_credential_again() {
        let goal = Goal::Rotated("token".into());
        assert_eq!(judged(|_| {}, &goal), Verdict::Unnoticed);
        let set = |rotated: bool, attempts: u32, failed: bool, truth| {
            move |s: &mut Status| {
                s.rotated = rotated.then(|| "token".into());
                s.rotation = Some(Rotation {
                    started: 1,
                    stage: RotationStage::HandOver,
                    old: None,
                    attempts,
                    not_before: 0,
                    failed,
                });
                s.set_condition(1, "CredentialRotated", truth, "Why", "because");
            }
        };
        let waits = Verdict::Waiting("because".into());
        assert_eq!(judged(set(true, 0, false, Truth::Unknown), &goal), waits);
        assert_eq!(judged(set(true, 2, false, Truth::False), &goal), waits);
        // The one before has not ended yet.
        assert_eq!(judged(set(false, 0, false, Truth::Unknown), &goal), waits);
        assert_eq!(
            judged(set(true, 6, true, Truth::False), &goal),
            Verdict::Failed("because".into())
        );
        let ended = |truth| {
            move |s: &mut Status| {
                set(true, 0, false, truth)(s);
                s.rotation = None;
            }
        };
        assert_eq!(judged(ended(Truth::True), &goal), Verdict::Done);
        assert_eq!(
            judged(ended(Truth::False), &goal),
            Verdict::Refused("because".into())
        );
        let paused = |s: &mut Status| {
            set(true, 0, false, Truth::Unknown)(s);
            s.set_condition(1, "Paused", Truth::True, "Paused", "paused");
        };
        assert!(matches!(judged(paused, &goal), Verdict::Refused(_)));
    }

    #[test]
    fn an_order_counts_from_when_it_was_taken_up() {
        assert_eq!(judged(|_| {}, &Goal::Recovered("token".into())), Verdict::Done);
        assert_eq!(
            judged(|_| {}, &Goal::Recovered("other".into())),
            Verdict::Unnoticed
        );
        assert_eq!(judged(|_| {}, &Goal::Deleted), Verdict::Unnoticed);
        let deletion = |failed| {
            move |s: &mut Status| {
                s.deletion = Some(Deletion {
                    force: false,
                    started: 1,
                    deadline: 9,
                    failed,
                });
            }
        };
        assert_eq!(
            judged(deletion(false), &Goal::Deleted),
            Verdict::Waiting(String::new())
        );
        assert!(matches!(
            judged(deletion(true), &Goal::Deleted),
            Verdict::Failed(_)
        ));
        let protected =
            |s: &mut Status| s.set_condition(1, "DeletionProtected", Truth::True, "X", "protected");
        assert_eq!(
            judged(protected, &Goal::Deleted),
            Verdict::Refused("protected".into())
        );
    }
}
