//! `one.group.info`, `one.acl.info`

use crate::client::Client;
use crate::error::Error;
use crate::objects::{Acl, Group, Pool};

impl Client {
    /// A group. `decrypt` has an effect for administrators only.
    pub fn group_info(&self, id: u32, decrypt: bool) -> Result<Group, Error> {
        self.object("one.group.info", vec![id.into(), decrypt.into()], Group::from_xml)
    }

    /// The access control rules of the cloud.
    pub fn acl_info(&self) -> Result<Pool<Acl>, Error> {
        self.pool("one.acl.info", vec![])
    }
}
