//! `one.vrouter.*`, `one.vrouterpool.*`

use super::{PoolFilter, PoolRange, UpdateMode, id_or_none, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Pool, Vrouter};

impl Client {
    /// Makes a virtual router without VMs and returns its id. Names may repeat, so look for it first.
    pub fn vrouter_allocate(&self, template: &str) -> Result<u32, Error> {
        self.new_id("one.vrouter.allocate", vec![template.into()])
    }

    /// Makes the VMs of a router, from a template or from the one in the router. `%i` in `name` is the number of the
    /// VM; without a name oned makes one up. `extra` is merged into the template.
    pub fn vrouter_instantiate(
        &self,
        id: u32,
        vms: u32,
        template: Option<u32>,
        name: &str,
        hold: bool,
        extra: &str,
    ) -> Result<(), Error> {
        let params = vec![
            id.into(),
            vms.into(),
            id_or_none(template),
            name.into(),
            hold.into(),
            extra.into(),
        ];
        self.done("one.vrouter.instantiate", params, Repeat::Acts)
    }

    /// A virtual router. `decrypt` has an effect for administrators only.
    pub fn vrouter_info(&self, id: u32, decrypt: bool) -> Result<Vrouter, Error> {
        self.object(
            "one.vrouter.info",
            vec![id.into(), decrypt.into()],
            Vrouter::from_xml,
        )
    }

    /// Deletes a virtual router and terminates its VMs.
    pub fn vrouter_delete(&self, id: u32) -> Result<(), Error> {
        self.done("one.vrouter.delete", vec![id.into()], Repeat::Idempotent)
    }

    /// Changes the attributes of a virtual router.
    pub fn vrouter_update(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.vrouter.update",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// Adds a NIC (`NIC=[…]`) to a virtual router and its VMs.
    pub fn vrouter_attachnic(&self, id: u32, template: &str) -> Result<(), Error> {
        self.done(
            "one.vrouter.attachnic",
            vec![id.into(), template.into()],
            Repeat::Acts,
        )
    }

    /// Virtual routers.
    pub fn vrouterpool_info(&self, filter: PoolFilter, range: PoolRange) -> Result<Pool<Vrouter>, Error> {
        self.pool("one.vrouterpool.info", listing(filter, range))
    }
}
