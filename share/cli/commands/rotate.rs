//! `oneks rotate`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::app::App;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, select};
use oneks::orders::cluster::Cluster;

/// `oneks rotate`.
#[derive(Debug, Subcommand)]
pub enum Rotate {
    /// Replace the credential with which clusters call OpenNebula
    ///
    /// A new login token of the owner is made and handed to the cluster. The old one is revoked once the cluster uses
    /// the new one. The cluster goes on running. A rotation that failed is tried again.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks rotate cluster web --wait")]
    Cluster(RotateArgs),
}

/// What `rotate` takes.
#[derive(Debug, Clone, Args)]
pub struct RotateArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(required = true, value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    clusters: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Rotate {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let ids = select::clusters(&client, &args.clusters)?;
        each(app, &ids, |app, id| {
            // Any text that was not there before is an order.
            let token = format!("{}-{:08x}", app.now(), std::process::id());
            Cluster::fetch(&app.client()?, *id)?;
            edit::write(app, *id, &[("ROTATE", &token)])?;
            wait::follow(app, *id, &Goal::Rotated(token), &args.wait)
        })
    }
}
