//! `one.vmgroup.*`, `one.vmgrouppool.info`

use super::{PoolFilter, PoolRange, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Pool, VmGroup};

impl Client {
    /// Makes a VM group and returns its id. Its name must be new to the owner.
    pub fn vmgroup_allocate(&self, template: &str) -> Result<u32, Error> {
        self.new_id("one.vmgroup.allocate", vec![template.into()])
    }

    /// A VM group. `decrypt` has an effect for administrators only.
    pub fn vmgroup_info(&self, id: u32, decrypt: bool) -> Result<VmGroup, Error> {
        self.object(
            "one.vmgroup.info",
            vec![id.into(), decrypt.into()],
            VmGroup::from_xml,
        )
    }

    /// Deletes a VM group that no VM is in.
    pub fn vmgroup_delete(&self, id: u32) -> Result<(), Error> {
        self.done("one.vmgroup.delete", vec![id.into()], Repeat::Idempotent)
    }

    /// VM groups.
    pub fn vmgrouppool_info(&self, filter: PoolFilter, range: PoolRange) -> Result<Pool<VmGroup>, Error> {
        self.pool("one.vmgrouppool.info", listing(filter, range))
    }
}
