//! The way a request travels. The client only needs one function of it, so tests and other programs bring their own.

use std::error::Error as StdError;
use std::sync::Arc;

/// Carries the body of a request to OpenNebula and brings back the body of the reply.
///
/// An implementation must neither log nor keep bodies: they hold sessions.
pub trait Transport: Send + Sync {
    /// Posts `body` and waits for the answer, for a bounded time.
    ///
    /// # Errors
    /// See [`TransportError`]. When in doubt whether a request went out, it did.
    fn post(&self, body: &str) -> Result<String, TransportError>;
}

/// There is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection, or it broke.
    #[error("can't reach {endpoint}")]
    Unreachable {
        /// Where the request should have gone.
        endpoint: String,
        /// Whether the request may have arrived.
        sent: bool,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It took too long.
    #[error("no answer in time from {endpoint}")]
    Timeout {
        /// Where the request should have gone.
        endpoint: String,
        /// Whether the request may have arrived.
        sent: bool,
    },
    /// The answer is an HTTP error.
    #[error("{endpoint} answered HTTP {status}")]
    Http {
        /// Where the request went.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer can't be taken.
    #[error("unusable answer from {endpoint}: {what}")]
    Reply {
        /// Where the request went.
        endpoint: String,
        /// What is wrong with the answer, without any of it.
        what: String,
    },
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        (**self).post(body)
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        (**self).post(body)
    }
}
