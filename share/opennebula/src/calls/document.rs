//! `one.document.*`, `one.documentpool.*`

use super::{LockLevel, PermissionChange, PoolFilter, PoolRange, UpdateMode, chmod, id_or_none, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Document, Pool};

impl Client {
    /// Makes a document of type `kind` and returns its id. `NAME` in the template names it.
    pub fn document_allocate(&self, template: &str, kind: u32) -> Result<u32, Error> {
        self.new_id("one.document.allocate", vec![template.into(), kind.into()])
    }

    /// A document, whatever its type. `decrypt` has an effect for administrators only.
    pub fn document_info(&self, id: u32, decrypt: bool) -> Result<Document, Error> {
        self.object(
            "one.document.info",
            vec![id.into(), decrypt.into()],
            Document::from_xml,
        )
    }

    /// Changes the content of a document.
    ///
    /// oned reports success even for content that it then fails to store; [`Template`](crate::template::Template)
    /// refuses to write such content.
    pub fn document_update(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.document.update",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// Renames a document.
    pub fn document_rename(&self, id: u32, name: &str) -> Result<(), Error> {
        self.done(
            "one.document.rename",
            vec![id.into(), name.into()],
            Repeat::Idempotent,
        )
    }

    /// Copies a document with all its content and returns the id of the copy.
    pub fn document_clone(&self, id: u32, name: &str) -> Result<u32, Error> {
        self.new_id("one.document.clone", vec![id.into(), name.into()])
    }

    /// Deletes a document.
    pub fn document_delete(&self, id: u32) -> Result<(), Error> {
        self.done("one.document.delete", vec![id.into()], Repeat::Idempotent)
    }

    /// Gives a document another owner or group; `None` leaves it.
    pub fn document_chown(&self, id: u32, user: Option<u32>, group: Option<u32>) -> Result<(), Error> {
        let params = vec![id.into(), id_or_none(user), id_or_none(group)];
        self.done("one.document.chown", params, Repeat::Idempotent)
    }

    /// Changes the permission bits of a document.
    pub fn document_chmod(&self, id: u32, change: PermissionChange) -> Result<(), Error> {
        self.done("one.document.chmod", chmod(id, change), Repeat::Idempotent)
    }

    /// Locks a document. With `test`, one that is locked already is refused
    /// ([`is_wrong_state`](Error::is_wrong_state)), so that exactly one caller gets the lock.
    pub fn document_lock(&self, id: u32, level: LockLevel, test: bool) -> Result<(), Error> {
        self.done(
            "one.document.lock",
            vec![id.into(), level.into(), test.into()],
            Repeat::Acts,
        )
    }

    /// Unlocks a document.
    pub fn document_unlock(&self, id: u32) -> Result<(), Error> {
        self.done("one.document.unlock", vec![id.into()], Repeat::Idempotent)
    }

    /// All documents of type `kind`, with their content.
    pub fn documentpool_info(
        &self,
        filter: PoolFilter,
        range: PoolRange,
        kind: u32,
    ) -> Result<Pool<Document>, Error> {
        let mut params = listing(filter, range);
        params.push(kind.into());
        self.pool("one.documentpool.info", params)
    }
}
