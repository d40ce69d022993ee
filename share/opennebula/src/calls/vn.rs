//! `one.vn.*`, `one.vnpool.*`

use super::{PermissionChange, PoolFilter, PoolRange, chmod, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Pool, Vnet};

impl Client {
    /// A virtual network. `decrypt` has an effect for administrators only.
    pub fn vn_info(&self, id: u32, decrypt: bool) -> Result<Vnet, Error> {
        self.object("one.vn.info", vec![id.into(), decrypt.into()], Vnet::from_xml)
    }

    /// Reserves addresses (`SIZE=…`, `NAME=…`) and returns the id of the reservation, a network of its own.
    pub fn vn_reserve(&self, id: u32, template: &str) -> Result<u32, Error> {
        self.new_id("one.vn.reserve", vec![id.into(), template.into()])
    }

    /// Deletes a network; of a reservation, the addresses go back.
    pub fn vn_delete(&self, id: u32) -> Result<(), Error> {
        self.done("one.vn.delete", vec![id.into()], Repeat::Idempotent)
    }

    /// Keeps an address (`LEASES=[IP=…]`) from being given to VMs.
    pub fn vn_hold(&self, id: u32, template: &str) -> Result<(), Error> {
        self.done("one.vn.hold", vec![id.into(), template.into()], Repeat::Acts)
    }

    /// Takes that back.
    pub fn vn_release(&self, id: u32, template: &str) -> Result<(), Error> {
        self.done("one.vn.release", vec![id.into(), template.into()], Repeat::Acts)
    }

    /// Changes the permission bits of a network.
    pub fn vn_chmod(&self, id: u32, change: PermissionChange) -> Result<(), Error> {
        self.done("one.vn.chmod", chmod(id, change), Repeat::Idempotent)
    }

    /// Virtual networks, without their leases.
    pub fn vnpool_info(&self, filter: PoolFilter, range: PoolRange) -> Result<Pool<Vnet>, Error> {
        self.pool("one.vnpool.info", listing(filter, range))
    }
}
