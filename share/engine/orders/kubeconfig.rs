//! The kubeconfig that a cluster's document holds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cluster::Cluster;

/// There is no kubeconfig to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKubeconfig {
    /// The cluster has none yet.
    #[error("{0}")]
    NotYet(String),
    /// It is stored encrypted, and the user may not read it.
    #[error("{0}")]
    Encrypted(String),
}

/// The kubeconfig of a cluster.
///
/// # Errors
/// There is none yet, or it is encrypted and the user may not read it.
pub fn of(cluster: &Cluster) -> Result<String, NoKubeconfig> {
    let Some(stored) = cluster
        .document
        .template
        .get("KUBECONFIG")
        .filter(|t| !t.trim().is_empty())
    else {
        return Err(NoKubeconfig::NotYet(format!(
            "{} has no kubeconfig yet; it is {}, and gets one when its control plane runs",
            cluster.title(),
            cluster.state()
        )));
    };
    let bytes = STANDARD
        .decode(stored.split_whitespace().collect::<String>())
        .ok();
    let text = bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|t| t.contains("clusters:"));
    text.ok_or_else(|| {
        NoKubeconfig::Encrypted(format!(
            "the kubeconfig of {} can't be read: OpenNebula stores it encrypted (DOCUMENT_ENCRYPTED_ATTR), and \
             shows it to administrators only",
            cluster.title()
        ))
    })
}
