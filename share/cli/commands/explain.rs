//! `oneks explain`: why a cluster is in its state, what it waits for, what is in its way, and what can be done.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks::convert;
use oneks_core::names::CONTROL_PLANE_KEY;
use oneks_core::state::{ClusterState, DependencyState, GroupState};
use oneks_core::status::{Purpose, RotationStage, Status, Truth, Unusable};
use oneks_driver::VmCondition;
use opennebula::Vm;
use opennebula::objects::VmState;
use serde::Serialize;

use crate::app::App;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::out::Out;
use crate::table::{self, Column, TableArgs, state_style};
use crate::{select, time};
use oneks::orders::cluster::Cluster;

/// `oneks explain`.
#[derive(Debug, Subcommand)]
pub enum Explain {
    /// Explain why clusters are in their state
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks explain cluster web\n  oneks explain cluster web -j")]
    Cluster(ExplainArgs),
}

/// What `explain cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(required = true, value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    clusters: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
}

/// The explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    id: u32,
    name: String,
    state: String,
    /// Since when, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// Why it is in this state.
    why: Vec<String>,
    /// Events and times that will change something.
    waits_for: Vec<Await>,
    /// Objects that are not as they must be.
    blocked_by: Vec<Blocker>,
    /// What can be done.
    way_out: Vec<String>,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Await {
    /// What.
    what: String,
    /// The hook that will notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'static str>,
    /// When it counts as failed, or when it happens; seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// An object that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocker {
    object: String,
    name: String,
    state: String,
    message: String,
}

impl Explain {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let ids = select::clusters(&client, &args.clusters)?;
        each(app, &ids, |app, id| {
            let cluster = Cluster::fetch(&client, *id)?;
            let vms: Vec<u32> = cluster.status.iter().flat_map(Status::vm_ids).collect();
            let vms = client.vmpool_infoset(&vms, true)?;
            let explanation = explain(&cluster, &vms.items);
            if args.format.any() {
                let value = serde_json::to_value(&explanation).map_err(|e| Failure::Other(e.to_string()))?;
                return args
                    .format
                    .write(&mut app.out, &value, || Ok(format::xml_of("EXPLANATION", &value)));
            }
            let now = app.now();
            show(&mut app.out, &explanation, now)
        })
    }
}

/// Explains a cluster from its document and its virtual machines.
pub fn explain(cluster: &Cluster, vms: &[Vm]) -> Explanation {
    let mut explanation = Explanation {
        id: cluster.id(),
        name: cluster.name().to_owned(),
        state: cluster.state(),
        since: None,
        why: Vec::new(),
        waits_for: Vec::new(),
        blocked_by: Vec::new(),
        way_out: Vec::new(),
    };
    match &cluster.status {
        Some(status) => {
            explanation.since = since(status);
            judged(&mut explanation, cluster, status, vms);
        }
        None => unjudged(&mut explanation, cluster),
    }
    explanation
}

/// A cluster without usable STATUS.
fn unjudged(explanation: &mut Explanation, cluster: &Cluster) {
    match &cluster.trouble {
        None => explanation
            .why
            .push("the hooks have not looked at it yet".to_owned()),
        Some(_) => explanation.why.push(cluster.error()),
    }
    if let Some(Unusable::Schema(_)) = cluster.trouble {
        explanation
            .way_out
            .push("upgrade OneKS on the front-end and this command".to_owned());
        return;
    }
    explanation.waits_for.push(Await {
        what: "the hooks, which look at each new document, and the sweep, which looks every few minutes"
            .to_owned(),
        hook: Some("document"),
        until: None,
    });
    explanation.way_out.push(
        "if nothing happens, an administrator can see whether the hooks are registered and run: `oneks setup`, \
         `onehook list`, `onehook log`"
            .to_owned(),
    );
}

fn judged(explanation: &mut Explanation, cluster: &Cluster, status: &Status, vms: &[Vm]) {
    let id = cluster.id();
    conditions(explanation, status, id);
    for group in status.groups() {
        if let Some(error) = &group.error {
            explanation
                .why
                .push(format!("{}: {} ({})", group.key, error.message, error.reason));
        }
        if let Some(work) = group.work.as_ref().filter(|w| !w.step.is_empty()) {
            explanation.waits_for.push(Await {
                what: format!("{}: {}", group.key, work.step),
                hook: None,
                until: Some(work.deadline).filter(|d| *d > 0),
            });
        }
    }
    if let Some(command) = &status.guest_exec {
        explanation.waits_for.push(Await {
            what: format!(
                "the result of the command `{}` in VM {}",
                command.purpose.as_str(),
                command.vm
            ),
            hook: Some("guest_exec"),
            until: Some(command.deadline),
        });
    }
    if let Some(seed) = status
        .control_plane
        .seed
        .as_ref()
        .filter(|s| s.state == DependencyState::Creating)
    {
        let vm = seed
            .vm
            .map_or_else(|| "the seed VM".to_owned(), |vm| format!("the seed VM {vm}"));
        let report = seed
            .report
            .as_deref()
            .map_or_else(String::new, |r| format!(", which said last: {r}"));
        explanation.waits_for.push(Await {
            what: format!("a report of {vm}{report}"),
            hook: Some("vm_update"),
            until: None,
        });
    }
    if let Some(deletion) = &status.deletion {
        let step = status.operation.as_ref().map_or("", |o| o.step.as_str());
        explanation.waits_for.push(Await {
            what: if step.is_empty() {
                "the end of the deletion".to_owned()
            } else {
                step.to_owned()
            },
            hook: Some("vm_state"),
            until: Some(deletion.deadline),
        });
    }
    blockers(explanation, status, vms);
    summary(explanation, status, id);
}

fn conditions(explanation: &mut Explanation, status: &Status, id: u32) {
    for condition in &status.conditions {
        let holds = condition.status == Truth::True;
        match (condition.kind.as_str(), holds) {
            ("Accepted", false) => {
                let why = format!("SPEC is refused: {} ({})", condition.message, condition.reason);
                explanation.why.push(why);
                explanation.waits_for.push(Await {
                    what: "another SPEC, or another look at this one: the cloud may have changed".to_owned(),
                    hook: Some("document"),
                    until: status.refused.as_ref().map(|r| r.again),
                });
                explanation
                    .way_out
                    .push(format!("correct it: `oneks update cluster {id}`"));
            }
            ("Paused", true) => {
                explanation.why.push(condition.message.clone());
                explanation
                    .way_out
                    .push(format!("go on: `oneks update cluster {id} --paused false`"));
            }
            ("DeletionProtected", true) => {
                explanation.why.push(condition.message.clone());
                explanation.way_out.push(format!(
                    "give up the protection: `oneks update cluster {id} --deletion-protection false`"
                ));
            }
            ("Retrying", true) => {
                explanation.why.push(condition.message.clone());
                explanation.waits_for.push(Await {
                    what: "the next attempt".to_owned(),
                    hook: Some("sweep"),
                    until: status.retry.as_ref().map(|r| r.not_before),
                });
            }
            ("CredentialExpiring", true) => {
                explanation.why.push(condition.message.clone());
                let ends = status.credential_in_use().and_then(|c| c.expires);
                explanation.waits_for.push(Await {
                    what: "the end of the cluster's credential, if it is not replaced before".to_owned(),
                    hook: None,
                    until: ends,
                });
                explanation
                    .way_out
                    .push(format!("replace it: `oneks rotate cluster {id} --wait`"));
            }
            ("CredentialRotated", false) => rotation(explanation, status, id),
            ("OwnerChanged", true) | ("Observed", false) => explanation.why.push(condition.message.clone()),
            _ => {}
        }
    }
}

/// A credential that is being replaced, or that could not be.
fn rotation(explanation: &mut Explanation, status: &Status, id: u32) {
    let Some(condition) = status.condition("CredentialRotated") else {
        return;
    };
    let failed = condition.status == Truth::False;
    if failed {
        let why = format!(
            "the credential was not replaced: {} ({})",
            condition.message, condition.reason
        );
        explanation.why.push(why);
    }
    match &status.rotation {
        Some(rotation) if rotation.failed => explanation.way_out.push(format!(
            "mend the cause, then: `oneks rotate cluster {id} --wait`"
        )),
        Some(rotation)
            if status
                .guest_exec
                .as_ref()
                .is_none_or(|e| e.purpose != Purpose::Rotate) =>
        {
            let (what, until) = match rotation.stage {
                _ if failed => (
                    "the next attempt to replace the credential",
                    Some(rotation.not_before),
                ),
                RotationStage::Revoke { after } => (
                    "the end of calls with the old credential, which is revoked then",
                    Some(after),
                ),
                _ => ("the next step of the credential's rotation", None),
            };
            explanation.waits_for.push(Await {
                what: what.to_owned(),
                hook: Some("sweep"),
                until,
            });
        }
        _ => {}
    }
}

/// Objects that are not as they must be.
fn blockers(explanation: &mut Explanation, status: &Status, vms: &[Vm]) {
    let deleting = status.deletion.is_some();
    // The seed ends when the control plane owns itself; that is no loss.
    let seed = status
        .control_plane
        .seed
        .as_ref()
        .filter(|s| s.state != DependencyState::Creating);
    let seed = seed.and_then(|s| s.vm);
    for vm in vms
        .iter()
        .filter(|vm| vm.state != VmState::Done || seed != Some(vm.id))
    {
        let condition = convert::condition(vm.state, vm.lcm_state);
        let well = match condition {
            VmCondition::Running => !deleting,
            VmCondition::Ending => deleting && vm.state == VmState::Done,
            _ => false,
        };
        if well {
            continue;
        }
        let message = vm.error_text().or_else(|| vm.sched_message()).unwrap_or_default();
        let state = if vm.state == VmState::Active {
            vm.lcm_state.to_string()
        } else {
            vm.state.to_string()
        };
        explanation.blocked_by.push(Blocker {
            object: format!("VM {}", vm.id),
            name: vm.name.clone(),
            state,
            message: message.to_owned(),
        });
    }
    if deleting {
        return;
    }
    for group in status.groups() {
        for noted in &group.vms {
            if vms.iter().all(|vm| vm.id != noted.id) && noted.condition != VmCondition::Ending {
                explanation.blocked_by.push(Blocker {
                    object: format!("VM {}", noted.id),
                    name: noted.name.clone(),
                    state: "not visible".to_owned(),
                    message: "it is gone, or you may not see it".to_owned(),
                });
            } else if noted.ready == Some(false) {
                explanation.blocked_by.push(Blocker {
                    object: format!("VM {}", noted.id),
                    name: noted.name.clone(),
                    state: "NotReady".to_owned(),
                    message: "Kubernetes says that the node is not ready".to_owned(),
                });
            }
        }
        let settled = matches!(group.state, GroupState::Running);
        if !settled && group.want > 0 && group.ready < group.want && group.key != CONTROL_PLANE_KEY {
            explanation.blocked_by.push(Blocker {
                object: format!("node group {}", group.id),
                name: group.key.clone(),
                state: group.state.to_string(),
                message: format!("{} of {} nodes are ready", group.ready, group.want),
            });
        }
    }
}

/// What is said when nothing special is.
fn summary(explanation: &mut Explanation, status: &Status, id: u32) {
    if status.state.as_str().ends_with("_FAILURE") {
        if explanation.why.is_empty()
            && let Some(error) = &status.last_error
        {
            explanation.why.push(error.message.clone());
        }
        explanation.way_out.push(format!(
            "mend the cause, then try again: `oneks recover cluster {id}`"
        ));
        explanation
            .way_out
            .push(format!("or give it up: `oneks delete cluster {id}`"));
        return;
    }
    match status.state {
        ClusterState::Running if explanation.why.is_empty() => {
            explanation
                .why
                .push("every group has the nodes that it shall have, and all are ready".to_owned());
        }
        ClusterState::Warning => {
            if explanation.why.is_empty() {
                explanation
                    .why
                    .push("a node is missing, down or not ready".to_owned());
            }
            if status.groups().any(|g| g.state == GroupState::Warning) {
                explanation.way_out.push(
                    "nodes that fail their health checks are replaced by themselves; a machine that somebody switched \
                     off is back with `onevm resume`"
                        .to_owned(),
                );
            }
        }
        _ => {}
    }
    if let Some(operation) = &status.operation
        && explanation.why.is_empty()
    {
        explanation
            .why
            .push(format!("operation {} is under way", operation.kind));
    }
    if explanation.waits_for.is_empty() && explanation.why.is_empty() {
        explanation.why.push("nothing is under way".to_owned());
    }
}

/// Since when it is in its state.
fn since(status: &Status) -> Option<u64> {
    let arrow = format!("→ {}", status.state);
    let entry = status
        .history
        .iter()
        .rev()
        .find(|e| e.text.starts_with("cluster: ") && e.text.ends_with(&arrow));
    entry
        .map(|e| e.at)
        .or_else(|| status.condition("Ready").map(|c| c.since))
}

fn show(out: &mut Out, explanation: &Explanation, now: u64) -> Result<(), Failure> {
    let since = explanation.since.map_or_else(String::new, |at| {
        format!(
            " since {} ({})",
            time::long(at),
            time::length(now.saturating_sub(at))
        )
    });
    let state = if out.colour() {
        let style = state_style(&explanation.state);
        format!("{style}{}{style:#}", explanation.state)
    } else {
        explanation.state.clone()
    };
    let name = table::one_line(&explanation.name);
    out.line(&format!("Cluster {} ({name}) is {state}{since}.", explanation.id))?;
    list(out, "Why", explanation.why.iter().cloned())?;
    let waits = explanation.waits_for.iter().map(|a| {
        let hook = a.hook.map_or_else(String::new, |hook| format!("; hook {hook}"));
        let until = a.until.map_or_else(String::new, |at| {
            let left = at.saturating_sub(now);
            let left = if left == 0 {
                "now".to_owned()
            } else {
                format!("in {}", time::length(left))
            };
            format!("; until {} ({left})", time::clock(at))
        });
        format!("{}{hook}{until}", a.what)
    });
    list(out, "Waits for", waits)?;
    if !explanation.blocked_by.is_empty() {
        out.line("\nIn its way")?;
        table::show(out, BLOCKERS, &TableArgs::default(), &explanation.blocked_by)?;
    }
    list(out, "What to do", explanation.way_out.iter().cloned())
}

fn list(out: &mut Out, title: &str, items: impl Iterator<Item = String>) -> Result<(), Failure> {
    for (index, item) in items.enumerate() {
        if index == 0 {
            out.line(&format!("\n{title}"))?;
        }
        let width = out.width().unwrap_or(usize::MAX).saturating_sub(4).max(20);
        out.line(&format!(
            "  - {}",
            table::wrap(&table::one_line(&item), width).join("\n    ")
        ))?;
    }
    Ok(())
}

const BLOCKERS: &[Column<Blocker>] = &[
    Column::new("OBJECT", "The object", |b: &Blocker| b.object.clone()),
    Column::new("NAME", "Its name", |b: &Blocker| b.name.clone()).least(12),
    Column::new("STATE", "Its state", |b: &Blocker| b.state.clone()),
    Column::new("MESSAGE", "What OpenNebula says", |b: &Blocker| b.message.clone()).wraps(),
];
