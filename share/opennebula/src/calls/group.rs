//! `one.group.info`, `one.grouppool.info`, `one.acl.info`

use crate::client::Client;
use crate::error::Error;
use crate::objects::{Acl, Group, Pool};

impl Client {
    /// A group. `decrypt` has an effect for administrators only.
    pub fn group_info(&self, id: u32, decrypt: bool) -> Result<Group, Error> {
        self.object("one.group.info", vec![id.into(), decrypt.into()], Group::from_xml)
    }

    /// All groups that the caller may see: for administrators all there are.
    pub fn grouppool_info(&self) -> Result<Pool<Group>, Error> {
        self.pool("one.grouppool.info", vec![])
    }

    /// The access control rules of the cloud.
    pub fn acl_info(&self) -> Result<Pool<Acl>, Error> {
        self.pool("one.acl.info", vec![])
    }
}
