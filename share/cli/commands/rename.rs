//! `oneks rename`.

use clap::Subcommand;
use clap_complete::ArgValueCandidates;
use serde_json::json;

use crate::app::App;
use crate::complete;
use crate::failure::Failure;
use crate::{edit, select};
use oneks::orders::cluster::Cluster;

/// `oneks rename`.
#[derive(Debug, Subcommand)]
pub enum Rename {
    /// Rename a cluster; its objects keep their names
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks rename cluster web shop")]
    Cluster {
        /// The cluster, by id or name
        #[arg(add = ArgValueCandidates::new(complete::clusters))]
        cluster: String,
        /// Its new name
        name: String,
    },
    /// Give a node group another name for people; its machines keep theirs
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(after_help = "Examples:\n  oneks rename nodegroup web/workers backend")]
    Nodegroup {
        /// The node group: 24001, web/workers
        #[arg(add = ArgValueCandidates::new(complete::groups))]
        group: String,
        /// Its new name
        name: String,
    },
}

impl Rename {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let client = app.client()?;
        match self {
            Self::Cluster { cluster, name } => {
                let id = select::cluster(&client, cluster)?;
                // The call would rename any document.
                Cluster::fetch(&client, id)?;
                Ok(client.document_rename(id, name)?)
            }
            Self::Nodegroup { group, name } => {
                for wanted in select::groups(&client, std::slice::from_ref(group))? {
                    edit::spec(app, wanted.cluster, |cluster, spec| {
                        let key = cluster.group(&wanted.group)?.key.to_owned();
                        let group = edit::group_mut(spec, &key, cluster)?;
                        group["display_name"] = json!(name);
                        Ok(())
                    })?;
                }
                Ok(())
            }
        }
    }
}
