//! The time. The only place where a hook learns it; everything else gets it as an argument.

use opennebula::endpoint::Environment;

/// Variable that sets the time for a process, seconds since the epoch: a sandbox with a clock of its own hands it to
/// the hooks that it starts.
pub const VARIABLE: &str = "ONEKS_NOW";

/// Seconds since the epoch.
pub fn now(environment: &Environment) -> u64 {
    environment
        .var(VARIABLE)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |d| d.as_secs())
        })
}
