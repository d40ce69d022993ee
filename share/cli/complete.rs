//! What the shell offers after the Tab key: ids and names of what there is. Whatever fails, nothing is offered.

use std::time::Duration;

use clap_complete::CompletionCandidate;
use oneks::layout::Layout;
use oneks_core::profile::Catalog;
use opennebula::Client;
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::endpoint::Environment;
use opennebula::http::{HttpTransport, Timeouts};

use oneks::orders::cluster::Cluster;

/// People wait for this with a finger on the key.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(500),
    total: Duration::from_secs(2),
};

fn client() -> Option<Client> {
    let environment = Environment::process();
    let transport = HttpTransport::with_timeouts(&environment.endpoint().ok()?, TIMEOUTS).ok()?;
    Some(Client::new(transport, environment.session().ok()?))
}

fn pool() -> Vec<Cluster> {
    client()
        .and_then(|client| Cluster::pool(&client, PoolFilter::All).ok())
        .unwrap_or_default()
}

fn candidate(value: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(help.into()))
}

/// Names and ids of clusters.
pub fn clusters() -> Vec<CompletionCandidate> {
    let both = |c: &Cluster| {
        [
            candidate(c.name().to_owned(), format!("{} {}", c.id(), c.state())),
            candidate(c.id().to_string(), c.title()),
        ]
    };
    pool().iter().flat_map(both).collect()
}

/// `web/workers` and ids of node groups.
pub fn groups() -> Vec<CompletionCandidate> {
    let mut all = Vec::new();
    for cluster in &pool() {
        for group in cluster.groups().iter().filter(|g| !g.is_control_plane()) {
            all.push(candidate(
                format!("{}/{}", cluster.name(), group.key),
                group.state().to_owned(),
            ));
            if let Some(id) = group.id() {
                all.push(candidate(
                    id.to_string(),
                    format!("{}/{}", cluster.name(), group.key),
                ));
            }
        }
    }
    all
}

fn catalog() -> Catalog {
    oneks::catalog::load(&Layout::of(&Environment::process()).profiles).0
}

/// Versions of Kubernetes that are offered.
pub fn versions() -> Vec<CompletionCandidate> {
    let families = catalog().control_planes;
    let versions = families.into_values().flat_map(|f| f.supported_k8s_versions);
    versions.map(CompletionCandidate::new).collect()
}

/// Flavours of control planes.
pub fn control_plane_flavours() -> Vec<CompletionCandidate> {
    let families = catalog().control_planes;
    families
        .values()
        .flat_map(|f| f.flavours_in_order())
        .map(|(n, f)| candidate(n.to_owned(), f.label.clone()))
        .collect()
}

/// Flavours of node groups.
pub fn node_group_flavours() -> Vec<CompletionCandidate> {
    let families = catalog().node_groups;
    families
        .values()
        .flat_map(|f| f.flavours_in_order())
        .map(|(n, f)| candidate(n.to_owned(), f.label.clone()))
        .collect()
}

/// Networks.
pub fn networks() -> Vec<CompletionCandidate> {
    let pool = client().and_then(|c| c.vnpool_info(PoolFilter::All, PoolRange::default()).ok());
    pool.into_iter()
        .flatten()
        .map(|n| candidate(n.name, n.id.to_string()))
        .collect()
}

/// Datastores.
pub fn datastores() -> Vec<CompletionCandidate> {
    let pool = client().and_then(|c| c.datastorepool_info().ok());
    pool.into_iter()
        .flatten()
        .map(|d| candidate(d.name, d.id.to_string()))
        .collect()
}
