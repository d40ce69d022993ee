//! Documents: generic objects, told apart by a number.

use super::permissions::{Lock, Permissions};
use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `DOCUMENT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Id.
    pub id: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name of the owner.
    pub uname: String,
    /// Name of the group.
    pub gname: String,
    /// Name. Not unique.
    pub name: String,
    /// The document type (`TYPE`): 120 is a cluster of this service.
    pub kind: u32,
    /// Permission bits.
    pub permissions: Permissions,
    /// The lock on it, if there is one.
    pub lock: Option<Lock>,
    /// Its content.
    pub template: Template,
}

impl Element for Document {
    const NAME: &'static str = "DOCUMENT";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut kind = None;
        while let Some(name) = parser.child()? {
            match &*name {
                "TYPE" => kind = Some(read::number(parser, "TYPE")?),
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            uid: head.uid(Self::NAME)?,
            gid: head.gid(Self::NAME)?,
            uname: head.uname,
            gname: head.gname,
            name: head.name,
            kind: kind.ok_or(ObjectError::Missing {
                object: Self::NAME,
                field: "TYPE",
            })?,
            permissions: head.permissions.unwrap_or_default(),
            lock: head.lock,
            template: head.template,
        })
    }
}
