//! Who may use, manage and administrate an object, and locks.

use super::read::{self, ObjectError};
use crate::xml::Parser;

/// Permission bits of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// For the owner.
    pub owner: Access,
    /// For the members of the group.
    pub group: Access,
    /// For everybody else.
    pub other: Access,
}

/// Three permission bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// USE: look at it and use it.
    pub r#use: bool,
    /// MANAGE: change it.
    pub manage: bool,
    /// ADMIN: administrate it.
    pub admin: bool,
}

/// A lock on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it forbids: 1 all operations, 2 MANAGE and ADMIN, 3 ADMIN only.
    pub level: u32,
    /// Who locked.
    pub owner: Option<u32>,
    /// When, in Unix seconds.
    pub time: u64,
}

impl Lock {
    /// Does it forbid updates, to everybody?
    pub fn forbids_updates(&self) -> bool {
        matches!(self.level, 1 | 2)
    }
}

impl Permissions {
    pub(super) fn read(parser: &mut Parser<'_>) -> Result<Self, ObjectError> {
        let mut permissions = Self::default();
        while let Some(name) = parser.child()? {
            let bit = match &*name {
                "OWNER_U" => &mut permissions.owner.r#use,
                "OWNER_M" => &mut permissions.owner.manage,
                "OWNER_A" => &mut permissions.owner.admin,
                "GROUP_U" => &mut permissions.group.r#use,
                "GROUP_M" => &mut permissions.group.manage,
                "GROUP_A" => &mut permissions.group.admin,
                "OTHER_U" => &mut permissions.other.r#use,
                "OTHER_M" => &mut permissions.other.manage,
                "OTHER_A" => &mut permissions.other.admin,
                _ => {
                    parser.skip()?;
                    continue;
                }
            };
            *bit = parser.text()?.trim() == "1";
        }
        Ok(permissions)
    }
}

impl Lock {
    pub(super) fn read(parser: &mut Parser<'_>) -> Result<Self, ObjectError> {
        let mut lock = Self {
            level: 0,
            owner: None,
            time: 0,
        };
        while let Some(name) = parser.child()? {
            match &*name {
                "LOCKED" => lock.level = read::number(parser, "LOCKED")?,
                "OWNER" => lock.owner = read::maybe(parser)?,
                "TIME" => lock.time = read::maybe(parser)?.unwrap_or_default(),
                _ => parser.skip()?,
            }
        }
        Ok(lock)
    }
}
