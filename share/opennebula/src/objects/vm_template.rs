//! VM templates.

use super::permissions::{Lock, Permissions};
use super::read::{self, Element, Head, ObjectError};
use super::tag::Tag;
use crate::template::Template;
use crate::xml::Parser;

/// `VMTEMPLATE`.
#[derive(Clone, Debug, PartialEq)]
pub struct VmTemplate {
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
    /// Name, unique for its owner.
    pub name: String,
    /// Permission bits.
    pub permissions: Permissions,
    /// The lock on it, if there is one.
    pub lock: Option<Lock>,
    /// When it was made, in Unix seconds.
    pub regtime: Option<u64>,
    /// What VMs are made from.
    pub template: Template,
}

impl VmTemplate {
    /// The tag that VMs made from it get.
    pub fn oneks_tag(&self) -> Option<Tag> {
        Tag::of(&self.template)
    }
}

impl Element for VmTemplate {
    const NAME: &'static str = "VMTEMPLATE";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut regtime = None;
        while let Some(name) = parser.child()? {
            match &*name {
                "REGTIME" => regtime = read::time(parser)?,
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
            permissions: head.permissions.unwrap_or_default(),
            lock: head.lock,
            regtime,
            template: head.template,
        })
    }
}
