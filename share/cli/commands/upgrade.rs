//! `oneks upgrade`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use serde_json::json;

use crate::app::App;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, select};

/// `oneks upgrade`.
#[derive(Debug, Subcommand)]
pub enum Upgrade {
    /// Bring clusters to another version of Kubernetes
    ///
    /// The control plane goes first, then one node group after the other, node by node. Versions go up only, one minor
    /// version at a time.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks upgrade cluster web -k v1.34.2 --wait --timeout 1h")]
    Cluster(UpgradeArgs),
}

/// What `upgrade cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct UpgradeArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(required = true, value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    clusters: Vec<String>,
    /// The new version, such as v1.34.2
    #[arg(short = 'k', long, alias = "k8s-version", value_name = "VERSION", add = ArgValueCandidates::new(complete::versions))]
    kubernetes_version: String,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Upgrade {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let version = version(&args.kubernetes_version);
        let ids = select::clusters(&app.client()?, &args.clusters)?;
        each(app, &ids, |app, id| {
            let changed = edit::spec(app, *id, |_, spec| {
                spec["kubernetes_version"] = json!(version);
                Ok(())
            })?;
            if !changed.written {
                app.out
                    .detail(&format!("oneks: cluster {id} has that version already"));
            }
            wait::follow(app, *id, &Goal::Settled(changed.text), &args.wait)
        })
    }
}

/// `1.34.2` is taken for `v1.34.2`.
pub fn version(text: &str) -> String {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        format!("v{text}")
    } else {
        text.to_owned()
    }
}
