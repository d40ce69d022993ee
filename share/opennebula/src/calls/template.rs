//! `one.template.*`, `one.templatepool.*`

use super::{PermissionChange, PoolFilter, PoolRange, UpdateMode, chmod, id_or_none, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Pool, VmTemplate};

impl Client {
    /// Makes a VM template and returns its id. Its name must be new to the owner.
    pub fn template_allocate(&self, template: &str) -> Result<u32, Error> {
        self.new_id("one.template.allocate", vec![template.into()])
    }

    /// A VM template; if `extended`, with what its disks and NICs take from images and networks. `decrypt` has an
    /// effect for administrators only.
    pub fn template_info(&self, id: u32, extended: bool, decrypt: bool) -> Result<VmTemplate, Error> {
        self.object(
            "one.template.info",
            vec![id.into(), extended.into(), decrypt.into()],
            VmTemplate::from_xml,
        )
    }

    /// Makes a VM from a template and returns the id of the VM. `extra` is merged into the template. With
    /// `persistent`, the VM gets a template and disks of its own. Templates of virtual routers are refused.
    pub fn template_instantiate(
        &self,
        id: u32,
        name: &str,
        hold: bool,
        extra: &str,
        persistent: bool,
    ) -> Result<u32, Error> {
        let params = vec![
            id.into(),
            name.into(),
            hold.into(),
            extra.into(),
            persistent.into(),
        ];
        self.new_id("one.template.instantiate", params)
    }

    /// Deletes a template, and the images that it names if `delete_images`.
    pub fn template_delete(&self, id: u32, delete_images: bool) -> Result<(), Error> {
        self.done(
            "one.template.delete",
            vec![id.into(), delete_images.into()],
            Repeat::Idempotent,
        )
    }

    /// Changes the content of a template.
    pub fn template_update(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.template.update",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// Changes the permission bits of a template, not those of its images.
    pub fn template_chmod(&self, id: u32, change: PermissionChange) -> Result<(), Error> {
        self.done("one.template.chmod", chmod(id, change), Repeat::Idempotent)
    }

    /// Gives a template another owner or group; `None` leaves it.
    pub fn template_chown(&self, id: u32, user: Option<u32>, group: Option<u32>) -> Result<(), Error> {
        let params = vec![id.into(), id_or_none(user), id_or_none(group)];
        self.done("one.template.chown", params, Repeat::Idempotent)
    }

    /// VM templates.
    pub fn templatepool_info(&self, filter: PoolFilter, range: PoolRange) -> Result<Pool<VmTemplate>, Error> {
        self.pool("one.templatepool.info", listing(filter, range))
    }
}
