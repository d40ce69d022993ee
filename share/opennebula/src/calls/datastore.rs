//! `one.datastore.info`, `one.datastorepool.info`

use crate::client::Client;
use crate::error::Error;
use crate::objects::{Datastore, Pool};

impl Client {
    /// A datastore. `decrypt` has an effect for administrators only.
    pub fn datastore_info(&self, id: u32, decrypt: bool) -> Result<Datastore, Error> {
        self.object(
            "one.datastore.info",
            vec![id.into(), decrypt.into()],
            Datastore::from_xml,
        )
    }

    /// All datastores that the caller may see.
    pub fn datastorepool_info(&self) -> Result<Pool<Datastore>, Error> {
        self.pool("one.datastorepool.info", vec![])
    }
}
