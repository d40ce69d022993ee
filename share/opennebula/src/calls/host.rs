//! `one.host.info`, `one.hostpool.info`

use crate::client::Client;
use crate::error::Error;
use crate::objects::{Host, Pool};

impl Client {
    /// A host. `decrypt` has an effect for administrators only.
    pub fn host_info(&self, id: u32, decrypt: bool) -> Result<Host, Error> {
        self.object("one.host.info", vec![id.into(), decrypt.into()], Host::from_xml)
    }

    /// All hosts that the caller may see.
    pub fn hostpool_info(&self) -> Result<Pool<Host>, Error> {
        self.pool("one.hostpool.info", vec![])
    }
}
