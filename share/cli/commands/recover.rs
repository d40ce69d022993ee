//! `oneks recover`.

use clap::{Args, Subcommand};

use crate::app::App;
use crate::commands::each;
use crate::failure::Failure;
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, select};

/// `oneks recover`.
#[derive(Debug, Subcommand)]
pub enum Recover {
    /// Try again what failed in clusters
    ///
    /// The step that failed is repeated. A first build that failed is torn down and begun anew; nothing else is.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks recover cluster web --wait")]
    Cluster(RecoverArgs),
    /// Try again what failed in the clusters of these node groups
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(after_help = "Examples:\n  oneks recover nodegroup web/workers")]
    Nodegroup(RecoverArgs),
}

/// What `recover` takes.
#[derive(Debug, Clone, Args)]
pub struct RecoverArgs {
    /// Ids, names, lists and ranges
    #[arg(required = true, value_name = "ID")]
    objects: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Recover {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let client = app.client()?;
        let (ids, args) = match self {
            Self::Cluster(args) => (select::clusters(&client, &args.objects)?, args),
            Self::Nodegroup(args) => {
                let mut ids: Vec<u32> = select::groups(&client, &args.objects)?
                    .into_iter()
                    .map(|g| g.cluster)
                    .collect();
                ids.sort_unstable();
                ids.dedup();
                (ids, args)
            }
        };
        each(app, &ids, |app, id| {
            // Any text that was not there before is an order.
            let token = format!("{}-{:08x}", app.now(), std::process::id());
            oneks::orders::cluster::Cluster::fetch(&app.client()?, *id)?;
            edit::write(app, *id, &[("RECOVER", &token)])?;
            wait::follow(app, *id, &Goal::Recovered(token), &args.wait)
        })
    }
}
