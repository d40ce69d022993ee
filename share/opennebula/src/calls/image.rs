//! `one.image.*`, `one.imagepool.*`

use super::{PermissionChange, PoolFilter, PoolRange, UpdateMode, chmod, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Image, Pool};

impl Client {
    /// An image. `decrypt` has an effect for administrators only.
    pub fn image_info(&self, id: u32, decrypt: bool) -> Result<Image, Error> {
        self.object("one.image.info", vec![id.into(), decrypt.into()], Image::from_xml)
    }

    /// Makes an image in a datastore and returns its id. It is usable once its state says so.
    pub fn image_allocate(
        &self,
        template: &str,
        datastore: u32,
        skip_capacity_check: bool,
    ) -> Result<u32, Error> {
        self.new_id(
            "one.image.allocate",
            vec![template.into(), datastore.into(), skip_capacity_check.into()],
        )
    }

    /// Deletes an image; with `force` also if the datastore fails to.
    pub fn image_delete(&self, id: u32, force: bool) -> Result<(), Error> {
        self.done(
            "one.image.delete",
            vec![id.into(), force.into()],
            Repeat::Idempotent,
        )
    }

    /// Changes the attributes of an image.
    pub fn image_update(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.image.update",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// Changes the permission bits of an image.
    pub fn image_chmod(&self, id: u32, change: PermissionChange) -> Result<(), Error> {
        self.done("one.image.chmod", chmod(id, change), Repeat::Idempotent)
    }

    /// Images.
    pub fn imagepool_info(&self, filter: PoolFilter, range: PoolRange) -> Result<Pool<Image>, Error> {
        self.pool("one.imagepool.info", listing(filter, range))
    }
}
