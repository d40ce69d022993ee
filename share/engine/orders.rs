//! What users ask for: a cluster as its document shows it, and changes of what is wanted, checked with the rules that the
//! hooks use before they are stored. The command and the gateway do it with this code, as the user who asks.

pub mod cluster;
pub mod edit;
pub mod images;
pub mod kubeconfig;
pub mod rights;
pub mod survey;
pub mod validate;

use oneks_driver::Invalid;

/// Why an order was not given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such cluster or node group that the user may see.
    #[error("{0}")]
    NotFound(String),
    /// Values are refused, each with its path.
    #[error("{}", listed(.0))]
    Invalid(Vec<Invalid>),
    /// As the cluster is now, it can't be done.
    #[error("{0}")]
    Conflict(String),
    /// Others never stop changing the same thing.
    #[error("{0}")]
    Overtaken(String),
    /// A call to OpenNebula.
    #[error("{0}")]
    Call(#[from] opennebula::Error),
}

/// All that is wrong, in one line or in one line each.
pub fn listed(errors: &[Invalid]) -> String {
    let lines: Vec<String> = errors
        .iter()
        .map(|e| match e.path.as_str() {
            "" => e.message.clone(),
            path => format!("{path}: {}", e.message),
        })
        .collect();
    match &lines[..] {
        [line] => line.clone(),
        _ => format!(
            "the specification has {} errors:\n  {}",
            lines.len(),
            lines.join("\n  ")
        ),
    }
}
