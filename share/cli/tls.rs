//! HTTPS to OpenNebula, for a command that is run far from the front-end. The hooks speak plain HTTP only.

use std::time::Duration;

use opennebula::transport::{Transport, TransportError};
use reqwest::blocking::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;

use crate::failure::Failure;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a call may take.
const TOTAL: Duration = Duration::from_secs(60);

/// A transport over `https://`, with the certificates that the system trusts.
pub struct TlsTransport {
    client: Client,
    /// May hold credentials.
    url: String,
    /// The same without them.
    endpoint: String,
}

impl TlsTransport {
    /// A transport to `endpoint`.
    ///
    /// # Errors
    /// The address is none, or the system's certificates can't be used.
    pub fn new(endpoint: &str) -> Result<Self, Failure> {
        // Fails if there is a provider already: then that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url: reqwest::Url = endpoint
            .parse()
            .map_err(|e| Failure::Usage(format!("the endpoint is no address: {e}")))?;
        let mut shown = url.clone();
        // Only an address without host has no place for them, and such an address has none.
        let _ = (shown.set_username(""), shown.set_password(None));
        let client = Client::builder()
            .https_only(true)
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .build()
            .map_err(|e| Failure::Other(format!("TLS can't be used: {e}")))?;
        Ok(Self {
            client,
            url: url.into(),
            endpoint: shown.into(),
        })
    }

    /// The address, without credentials.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn failed(&self, error: reqwest::Error) -> TransportError {
        let endpoint = self.endpoint.clone();
        let sent = !(error.is_connect() || error.is_builder());
        if error.is_timeout() {
            return TransportError::Timeout { endpoint, sent };
        }
        TransportError::Unreachable {
            endpoint,
            sent,
            source: error.without_url().into(),
        }
    }
}

impl Transport for TlsTransport {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "text/xml")
            .body(body.to_owned());
        let response = request.send().map_err(|e| self.failed(e))?;
        let status = response.status();
        if !status.is_success() {
            return Err(TransportError::Http {
                endpoint: self.endpoint.clone(),
                status: status.as_u16(),
            });
        }
        let bytes = response.bytes().map_err(|e| self.failed(e))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
