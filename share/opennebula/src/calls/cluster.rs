//! `one.cluster.info`, `one.clusterpool.info`

use crate::client::Client;
use crate::error::Error;
use crate::objects::{Cluster, Pool};

impl Client {
    /// An OpenNebula cluster. As OpenNebula is shipped, ordinary users may not see any. `decrypt` has an effect for administrators only.
    pub fn cluster_info(&self, id: u32, decrypt: bool) -> Result<Cluster, Error> {
        self.object(
            "one.cluster.info",
            vec![id.into(), decrypt.into()],
            Cluster::from_xml,
        )
    }

    /// All OpenNebula clusters that the caller may see.
    pub fn clusterpool_info(&self) -> Result<Pool<Cluster>, Error> {
        self.pool("one.clusterpool.info", vec![])
    }
}
