//! `one.marketapp.info`, `one.marketapppool.info`

use super::{PoolFilter, PoolRange, listing};
use crate::client::Client;
use crate::error::Error;
use crate::objects::{MarketApp, Pool};

impl Client {
    /// An appliance of a marketplace. `decrypt` has an effect for administrators only.
    pub fn marketapp_info(&self, id: u32, decrypt: bool) -> Result<MarketApp, Error> {
        self.object(
            "one.marketapp.info",
            vec![id.into(), decrypt.into()],
            MarketApp::from_xml,
        )
    }

    /// Appliances.
    pub fn marketapppool_info(&self, filter: PoolFilter, range: PoolRange) -> Result<Pool<MarketApp>, Error> {
        self.pool("one.marketapppool.info", listing(filter, range))
    }
}
