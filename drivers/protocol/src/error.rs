//! Why a driver has no answer.

use serde::{Deserialize, Serialize};

/// A driver's refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct DriverError {
    /// One word in `CamelCase`, such as those in [`reason`].
    pub reason: String,
    /// What went wrong, with the name of the thing and the way out. Never a secret.
    pub message: String,
    /// May the same request succeed later?
    #[serde(default)]
    pub retry: bool,
}

impl DriverError {
    /// An error that the same request would meet again.
    pub fn fatal(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            retry: false,
        }
    }

    /// An error that may pass.
    pub fn retry(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            retry: true,
        }
    }
}

/// Reasons that every driver uses in the same sense.
pub mod reason {
    /// The request is not of this protocol.
    pub const BAD_REQUEST: &str = "BadRequest";
    /// The request's protocol version is not spoken.
    pub const UNSUPPORTED_PROTOCOL: &str = "UnsupportedProtocol";
    /// The driver does not have this action.
    pub const UNKNOWN_ACTION: &str = "UnknownAction";
    /// A text of the profile can't be rendered.
    pub const BAD_PROFILE: &str = "BadProfile";
    /// A script's output is not what the driver expects.
    pub const BAD_OUTPUT: &str = "BadOutput";
    /// The driver itself failed.
    pub const DRIVER_FAILED: &str = "DriverFailed";
}
