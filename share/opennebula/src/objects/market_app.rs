//! Appliances of marketplaces.

use super::permissions::Permissions;
use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `MARKETPLACEAPP`.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketApp {
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
    /// Whether it can be exported.
    pub ready: bool,
    /// Version, as its publisher writes it.
    pub version: String,
    /// Size in MiB.
    pub size: u64,
    /// Id of its marketplace.
    pub marketplace_id: Option<u32>,
    /// Name of its marketplace.
    pub marketplace: String,
    /// Its attributes.
    pub template: Template,
}

impl Element for MarketApp {
    const NAME: &'static str = "MARKETPLACEAPP";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut ready = false;
        let mut size = 0;
        let mut marketplace_id = None;
        let (mut version, mut marketplace) = (String::new(), String::new());
        while let Some(name) = parser.child()? {
            match &*name {
                "STATE" => ready = read::number::<u32>(parser, "STATE")? == 1,
                "SIZE" => size = read::maybe(parser)?.unwrap_or_default(),
                "VERSION" => version = read::text(parser)?,
                "MARKETPLACE_ID" => marketplace_id = read::maybe(parser)?,
                "MARKETPLACE" => marketplace = read::text(parser)?,
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
            ready,
            version,
            size,
            marketplace_id,
            marketplace,
            template: head.template,
        })
    }
}
