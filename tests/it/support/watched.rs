//! A way to OpenNebula on which something happens before each call.

use oneks_sandbox::Sandbox;
use opennebula::transport::{Transport, TransportError};

/// The way, and what happens: it gets the method's name.
pub struct Watched<F> {
    /// The cloud.
    pub sandbox: Sandbox,
    /// What happens before a call.
    pub before: F,
}

impl<F: Fn(&str) + Send + Sync> Transport for Watched<F> {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let method = body.split("<methodName>").nth(1).unwrap_or_default();
        (self.before)(method.split('<').next().unwrap_or_default());
        self.sandbox.post(body)
    }
}
