//! `oneks chmod` and `oneks chgrp`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use opennebula::Client;
use opennebula::calls::PermissionChange;

use crate::app::App;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::select;
use oneks::orders::cluster::Cluster;

/// `oneks chmod`.
#[derive(Debug, Subcommand)]
pub enum Chmod {
    /// Change who may use, manage and administrate clusters
    ///
    /// USE lets others look, the kubeconfig included; MANAGE lets them change and delete the cluster.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  # Let the group look at it\n  oneks chmod cluster web 640")]
    Cluster(ChmodArgs),
}

/// `oneks chgrp`.
#[derive(Debug, Subcommand)]
pub enum Chgrp {
    /// Give clusters to another group
    ///
    /// Only the document changes hands: machines and networks stay with their owner.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks chgrp cluster web users")]
    Cluster(ChgrpArgs),
}

/// What `chmod cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ChmodArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    clusters: String,
    /// Rights of owner, group and others, such as 640: 4 USE, 2 MANAGE, 1 ADMIN
    #[arg(value_name = "OCTET", value_parser = oneks::orders::rights::octet)]
    rights: PermissionChange,
}

/// What `chgrp cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ChgrpArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    clusters: String,
    /// The group, by id or name
    group: String,
}

impl Chmod {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let ids = select::clusters(&client, std::slice::from_ref(&args.clusters))?;
        each(app, &ids, |_, id| {
            Cluster::fetch(&client, *id)?;
            Ok(client.document_chmod(*id, args.rights)?)
        })
    }
}

impl Chgrp {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let group = group(&client, &args.group)?;
        let ids = select::clusters(&client, std::slice::from_ref(&args.clusters))?;
        each(app, &ids, |_, id| {
            Cluster::fetch(&client, *id)?;
            Ok(client.document_chown(*id, None, Some(group))?)
        })
    }
}

/// A group by id, or by name among those that the user is a member of.
fn group(client: &Client, text: &str) -> Result<u32, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    for id in client.user_info(None, false)?.groups {
        if client.group_info(id, false)?.name == text {
            return Ok(id);
        }
    }
    Err(Failure::NotFound(format!(
        "you are in no group {text}; give the id of any other (`onegroup list`)"
    )))
}
