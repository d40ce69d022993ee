//! `oneks delete`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use serde_json::Value;

use crate::app::App;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, select};
use oneks::orders::cluster::Cluster;

/// `oneks delete`.
#[derive(Debug, Subcommand)]
pub enum Delete {
    /// Delete clusters with everything that belongs to them
    ///
    /// Nodes go first, then routers, reservations, templates and the credential, and the document in the end. Networks
    /// and images that were there before stay.
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  oneks delete cluster web --wait\n  # When a machine won't end\n  oneks delete cluster web --force"
    )]
    Cluster(DeleteClusterArgs),
    /// Remove node groups from their clusters
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(after_help = "Examples:\n  oneks delete nodegroup web/workers --wait")]
    Nodegroup(DeleteGroupArgs),
}

/// What `delete cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct DeleteClusterArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(required = true, value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    clusters: Vec<String>,
    /// Use the means of last resort for machines that won't end
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What `delete nodegroup` takes.
#[derive(Debug, Clone, Args)]
pub struct DeleteGroupArgs {
    /// Node groups: 24001, web/workers, lists and ranges
    #[arg(required = true, value_name = "NODEGROUP", add = ArgValueCandidates::new(complete::groups))]
    groups: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Delete {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::Cluster(args) => {
                let ids = select::clusters(&app.client()?, &args.clusters)?;
                each(app, &ids, |app, id| cluster(app, *id, args))
            }
            Self::Nodegroup(args) => {
                let groups = select::groups(&app.client()?, &args.groups)?;
                each(app, &groups, |app, wanted| {
                    let changed = edit::spec(app, wanted.cluster, |cluster, spec| {
                        remove_group(cluster, &wanted.group, spec)
                    })?;
                    wait::follow(app, wanted.cluster, &Goal::Settled(changed.text), &args.wait)
                })
            }
        }
    }
}

fn cluster(app: &mut App, id: u32, args: &DeleteClusterArgs) -> Result<(), Failure> {
    let cluster = Cluster::fetch(&app.client()?, id)?;
    oneks::orders::edit::may_delete(&cluster)?;
    edit::write(app, id, &[("DELETE", if args.force { "FORCE" } else { "YES" })])?;
    wait::follow(app, id, &Goal::Deleted, &args.wait)
}

fn remove_group(cluster: &Cluster, wanted: &str, spec: &mut Value) -> Result<(), Failure> {
    let group = cluster.group(wanted)?;
    if group.is_control_plane() {
        return Err(Failure::Refused(format!(
            "the control plane of {} goes with the cluster only: `oneks delete cluster {}`",
            cluster.title(),
            cluster.id()
        )));
    }
    let key = group.key.to_owned();
    oneks::orders::edit::remove_group(spec, &key);
    Ok(())
}
