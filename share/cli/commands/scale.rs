//! `oneks scale`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks::orders::edit::set_input;
use serde_json::json;

use crate::app::App;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, select};

/// `oneks scale`.
#[derive(Debug, Subcommand)]
pub enum Scale {
    /// Change the number of nodes of node groups
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(
        after_help = "Examples:\n  oneks scale nodegroup web/workers -n 3 --wait\n  # Keep the group but none of its machines\n  oneks scale nodegroup web/workers -n 0"
    )]
    Nodegroup(ScaleArgs),
}

/// What `scale nodegroup` takes.
#[derive(Debug, Clone, Args)]
pub struct ScaleArgs {
    /// Node groups: 24001, web/workers, lists and ranges
    #[arg(required = true, value_name = "NODEGROUP", add = ArgValueCandidates::new(complete::groups))]
    groups: Vec<String>,
    /// Number of nodes; 0 is allowed
    #[arg(short = 'n', long, visible_alias = "count", value_name = "NUMBER")]
    target: u32,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Scale {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Nodegroup(args) = self;
        let groups = select::groups(&app.client()?, &args.groups)?;
        each(app, &groups, |app, wanted| {
            let changed = edit::spec(app, wanted.cluster, |cluster, spec| {
                let group = cluster.group(&wanted.group)?;
                if group.is_control_plane() {
                    return Err(Failure::Refused(format!(
                        "the control plane of {} has the size that it was created with; only node groups can be scaled",
                        cluster.title()
                    )));
                }
                let group = edit::group_mut(spec, group.key, cluster)?;
                set_input(group, "count", json!(args.target));
                Ok(())
            })?;
            if !changed.written {
                app.out
                    .detail(&format!("oneks: {} has that size already", wanted.group));
            }
            wait::follow(app, wanted.cluster, &Goal::Settled(changed.text), &args.wait)
        })
    }
}
