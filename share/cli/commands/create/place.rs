//! Where a cluster lives: options that name objects of OpenNebula by id or name.

use clap::Args;
use clap_complete::ArgValueCandidates;
use opennebula::Client;
use opennebula::calls::{PoolFilter, PoolRange};
use serde_json::Value;

use crate::app::App;
use crate::complete;
use crate::failure::Failure;

/// The options.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// OpenNebula cluster, by id or name
    #[arg(long, alias = "cluster", value_name = "ID", help_heading = "Placement")]
    pub opennebula_cluster: Option<String>,
    /// Network of the API endpoint, by id or name
    #[arg(long, value_name = "ID", help_heading = "Placement", add = ArgValueCandidates::new(complete::networks))]
    pub public_network: Option<String>,
    /// Network of the nodes, by id or name
    #[arg(long, value_name = "ID", help_heading = "Placement", add = ArgValueCandidates::new(complete::networks))]
    pub private_network: Option<String>,
    /// Datastore with the images, by id or name
    #[arg(long, alias = "datastore", value_name = "ID", help_heading = "Placement", add = ArgValueCandidates::new(complete::datastores))]
    pub image_datastore: Option<String>,
}

impl Place {
    /// Each option with the kind of object that it names and its path in the specification.
    pub fn parts(&self) -> [(&Option<String>, Kind, &'static str); 4] {
        [
            (&self.opennebula_cluster, Kind::Cluster, "/deployment/cluster"),
            (&self.public_network, Kind::Network, "/deployment/networks/public"),
            (
                &self.private_network,
                Kind::Network,
                "/deployment/networks/private",
            ),
            (
                &self.image_datastore,
                Kind::Datastore,
                "/deployment/datastores/image",
            ),
        ]
    }

    /// Takes what was not given from a cluster's deployment.
    pub fn fill(&mut self, deployment: &Value) {
        let id = |path: &str| {
            deployment
                .pointer(path)
                .and_then(Value::as_u64)
                .map(|id| id.to_string())
        };
        for (option, path) in [
            (&mut self.opennebula_cluster, "/cluster/id"),
            (&mut self.public_network, "/networks/public/id"),
            (&mut self.private_network, "/networks/private/id"),
            (&mut self.image_datastore, "/datastores/image/id"),
        ] {
            if option.is_none() {
                *option = id(path);
            }
        }
    }
}

/// Kinds of objects that may be given by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenNebula cluster.
    Cluster,
    /// Virtual network.
    Network,
    /// Datastore.
    Datastore,
}

impl Kind {
    /// The id of the object with this id or name.
    ///
    /// # Errors
    /// The user sees none of this name, or several.
    pub fn id(self, app: &mut App, text: &str) -> Result<u32, Failure> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let (what, list) = match self {
            Self::Cluster => ("OpenNebula cluster", "onecluster list"),
            Self::Network => ("network", "onevnet list"),
            Self::Datastore => ("datastore", "onedatastore list"),
        };
        let names = self.names(&app.client()?)?;
        let found: Vec<u32> = names
            .iter()
            .filter(|(_, name)| name == text)
            .map(|(id, _)| *id)
            .collect();
        match found[..] {
            [id] => Ok(id),
            // By default users may use OpenNebula clusters but see none.
            [] if names.is_empty() && self == Self::Cluster => Err(Failure::NotFound(format!(
                "you may see no OpenNebula clusters, so {text} can't be found by name; give its id"
            ))),
            [] => Err(Failure::NotFound(format!(
                "there is no {what} {text} that you may see; try `{list}`"
            ))),
            _ => Err(Failure::Usage(format!(
                "several objects of the kind {what} are called {text}; give an id"
            ))),
        }
    }

    /// Ids and names of those that the user may see.
    ///
    /// # Errors
    /// The call.
    pub fn names(self, client: &Client) -> Result<Vec<(u32, String)>, Failure> {
        Ok(match self {
            Self::Cluster => client
                .clusterpool_info()?
                .into_iter()
                .map(|o| (o.id, o.name))
                .collect(),
            Self::Network => {
                let pool = client.vnpool_info(PoolFilter::All, PoolRange::default())?;
                pool.into_iter().map(|o| (o.id, o.name)).collect()
            }
            Self::Datastore => client
                .datastorepool_info()?
                .into_iter()
                .map(|o| (o.id, o.name))
                .collect(),
        })
    }
}
