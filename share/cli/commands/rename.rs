//! `oneks rename`.

use clap::Subcommand;
use serde_json::json;

use crate::app::App;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::{edit, select};

/// `oneks rename`.
#[derive(Debug, Subcommand)]
pub enum Rename {
    /// Rename a cluster; its objects keep their names
    #[command(alias = "clusters")]
    Cluster {
        /// The cluster, by id or name
        cluster: String,
        /// Its new name
        name: String,
    },
    /// Give a node group another name for people; its machines keep theirs
    #[command(aliases = ["nodegroups", "group", "groups"])]
    Nodegroup {
        /// The node group: 24001, web/workers
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
