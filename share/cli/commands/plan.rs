//! `oneks plan`: the next calls, without making them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks_core::Action;
use oneks_core::observed::{Need, Observed};
use oneks_core::plan::{Desired, Outcome, absorb, plan};
use oneks_core::spec::Spec;
use oneks_core::status::{Status, Truth, Unusable};
use oneks_driver::Owner;
use opennebula::template::json_for_cdata;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::commands::create::read_file;
use crate::complete;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::out::Out;
use crate::perspective::{self, Perspective};
use crate::select;
use crate::table::{self, Column, TableArgs};
use oneks::orders::cluster::Cluster;

/// `oneks plan`.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Show the next calls that the hooks would make for a cluster, without making them
    ///
    /// For the owner, and for oneadmin on the front-end. The hooks' own code looks and decides.
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  oneks plan cluster web\n  # What would another specification lead to?\n  oneks plan cluster web --file cluster.yaml\n  oneks plan cluster web --delete -j"
    )]
    Cluster(PlanArgs),
}

/// What `plan cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The cluster, by id or name
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    cluster: String,
    /// What if this were its specification? JSON or YAML
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What if it were ordered to try again?
    #[arg(long)]
    recover: bool,
    /// What if it were ordered to replace its credential?
    #[arg(long)]
    rotate: bool,
    /// What if it were deleted?
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// What comes next.
#[derive(Debug, Serialize)]
pub struct Next {
    id: u32,
    state: String,
    /// The state once the calls are made.
    #[serde(rename = "next_state")]
    state_then: String,
    calls: Vec<Call>,
    /// What cannot be told before the calls are made, or that nothing is left to do.
    then: String,
    /// SPEC is refused for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// One call.
#[derive(Debug, Serialize)]
pub struct Call {
    /// Its place in the order, from 1.
    #[serde(skip)]
    order: usize,
    /// OpenNebula's name for it.
    #[serde(rename = "call")]
    method: &'static str,
    /// As whom it is made.
    user: String,
    /// What it does.
    summary: String,
    /// All its parameters. Secrets are not among them.
    action: Value,
}

/// Most rounds of looking and deciding.
const ROUNDS: u32 = 50;

impl PlanCommand {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        perspective::installed(&app.installation())?;
        let client = app.client()?;
        let id = select::cluster(&client, &args.cluster)?;
        let cluster = Cluster::fetch(&client, id)?;
        let next = next(app, &cluster, args)?;
        if args.format.any() {
            let value = serde_json::to_value(&next).map_err(|e| Failure::Other(e.to_string()))?;
            return args
                .format
                .write(&mut app.out, &value, || Ok(format::xml_of("PLAN", &value)));
        }
        show(&mut app.out, &cluster, &next)
    }
}

fn next(app: &mut App, cluster: &Cluster, args: &PlanArgs) -> Result<Next, Failure> {
    let document = &cluster.document;
    let id = cluster.id();
    let owner = Owner {
        uid: document.uid,
        name: document.uname.clone(),
    };
    let perspective = Perspective::of(app, &owner)?;
    let given = args.file.as_ref().map(read_file).transpose()?.map(|mut map| {
        map.remove("name");
        json_for_cdata(&Value::Object(map))
    });
    let token = format!("plan-{}", app.now());
    let desired = Desired {
        document: id,
        name: cluster.name(),
        owner: owner.clone(),
        spec: given.as_deref().or(document.template.get("SPEC")),
        recover: if args.recover {
            Some(&token)
        } else {
            document.template.get("RECOVER")
        },
        rotate: if args.rotate {
            Some(&token)
        } else {
            document.template.get("ROTATE")
        },
        delete: if args.delete {
            Some("YES")
        } else {
            document.template.get("DELETE")
        },
    };
    let mut status = match (&cluster.status, &cluster.trouble) {
        (Some(status), _) => status.clone(),
        (None, Some(Unusable::Schema(_))) => return Err(Failure::Refused(cluster.error())),
        (None, _) => Status::new(id),
    };
    let before = status.state.to_string();
    let spec = desired
        .spec
        .and_then(|text| Spec::parse(text).ok())
        .or_else(|| status.accepted.clone());
    let noted = status.clone();
    let now = app.now();
    let mut observed = Observed {
        settings: perspective.service.config.settings(),
        ..Observed::default()
    };
    perspective.look(&mut observed, &Need::AllVms, id, spec.as_ref(), Some(&noted))?;
    let (mut calls, mut invented) = (Vec::new(), u32::MAX);
    let mut then = "the plan does not come to an end, which is a defect".to_owned();
    for _ in 0..ROUNDS {
        let outcome = plan(&desired, &status, &observed, now);
        if let Some(need) = outcome
            .needs
            .iter()
            .find(|n| !calls.is_empty() && asks_the_cloud(n))
        {
            then = format!(
                "what comes then depends on what OpenNebula answers ({})",
                describe(need)
            );
            break;
        }
        if !outcome.needs.is_empty() {
            for need in &outcome.needs {
                perspective.look(&mut observed, need, id, spec.as_ref(), Some(&noted))?;
            }
            continue;
        }
        status = outcome.status;
        if outcome.actions.is_empty() {
            then = match &status.operation {
                Some(operation) if !operation.step.is_empty() => operation.step.clone(),
                _ => "nothing is left to do".to_owned(),
            };
            break;
        }
        for action in outcome.actions {
            calls.push(call(calls.len() + 1, &action, &owner.name));
            // As if it had worked. A new object gets an id that no object has.
            let done = if action.creates() && !matches!(action, Action::UpdateTemplate { .. }) {
                invented -= 1;
                Outcome::Created(invented)
            } else {
                Outcome::Done
            };
            absorb(&mut observed, &action, done, owner.uid, now);
        }
    }
    let refused = status
        .condition("Accepted")
        .filter(|c| c.status == Truth::False)
        .map(|c| c.message.clone());
    Ok(Next {
        id,
        state: before,
        state_then: status.state.to_string(),
        calls,
        then,
        refused,
    })
}

/// Can this need only be satisfied by the cloud, in which the calls were not made?
fn asks_the_cloud(need: &Need) -> bool {
    !matches!(need, Need::Catalog | Need::Driver { .. })
}

fn describe(need: &Need) -> &'static str {
    match need {
        Need::AllVms => "its virtual machines",
        Need::Routers => "its virtual routers",
        Need::Templates => "its VM templates",
        Need::Reservations => "its reserved addresses",
        Need::Credentials => "its credentials",
        Need::Cloud => "the placement",
        Need::Catalog => "the profiles",
        Need::Driver { .. } => "the driver",
    }
}

fn call(order: usize, action: &Action, owner: &str) -> Call {
    let (name, as_oneadmin) = match action {
        Action::CreateCredential { .. } | Action::RevokeCredential { .. } => ("one.user.login", false),
        Action::CreateTemplate { .. } => ("one.template.allocate", false),
        Action::UpdateTemplate { .. } => ("one.template.update", false),
        Action::DeleteTemplate { .. } => ("one.template.delete", false),
        Action::AllocateVm { .. } => ("one.vm.allocate", false),
        Action::ResumeVm { .. } | Action::TerminateVm { .. } => ("one.vm.action", false),
        Action::DeleteVm { .. } => ("one.vm.recover", false),
        Action::AllocateRouter { .. } => ("one.vrouter.allocate", false),
        Action::InstantiateRouter { .. } => ("one.vrouter.instantiate", false),
        Action::DeleteRouter { .. } => ("one.vrouter.delete", false),
        Action::ReleaseAddress { .. } => ("one.vn.release", false),
        Action::DeleteReservation { .. } => ("one.vn.delete", false),
        Action::Exec { .. } => ("one.vm.exec", false),
        Action::CancelExec { .. } => ("one.vm.cancelexec", false),
        Action::StoreKubeconfig { .. } => ("one.document.update", true),
        Action::DeleteDocument => ("one.document.delete", true),
    };
    Call {
        order,
        method: name,
        user: if as_oneadmin { "oneadmin" } else { owner }.to_owned(),
        summary: action.summary(),
        action: serde_json::to_value(action).unwrap_or_default(),
    }
}

fn show(out: &mut Out, cluster: &Cluster, next: &Next) -> Result<(), Failure> {
    let state = if next.state == next.state_then {
        next.state.clone()
    } else {
        format!("{} → {}", next.state, next.state_then)
    };
    out.line(&format!("{}: {state}", table::one_line(&cluster.title())))?;
    if let Some(refused) = &next.refused {
        out.line(&format!("SPEC is refused: {refused}"))?;
    }
    if !next.calls.is_empty() {
        table::show(out, CALLS, &TableArgs::default(), &next.calls)?;
    }
    out.line(&format!("then: {}", next.then))
}

const CALLS: &[Column<Call>] = &[
    Column::new("#", "Order", |c: &Call| c.order.to_string()).right(),
    Column::new("CALL", "OpenNebula's name", |c: &Call| c.method.to_owned()),
    Column::new("USER", "As whom", |c: &Call| c.user.clone()),
    Column::new("WHAT", "What it does", |c: &Call| c.summary.clone()).wraps(),
];
