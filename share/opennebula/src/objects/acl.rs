//! Access control rules.

use super::read::{self, Element, Head, ObjectError};
use crate::xml::Parser;

/// `ACL`: who may do what to which objects, in which zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Id.
    pub id: u32,
    /// Whom it is for: an id with a bit that says of what.
    pub user: u64,
    /// For which objects: types, and an id with a bit that says of what.
    pub resource: u64,
    /// The rights it gives, as bits.
    pub rights: u64,
    /// In which zone: an id, or all.
    pub zone: u64,
    /// The rule as administrators write it.
    pub text: String,
}

/// Types of objects, as bits of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// VMs.
    Vm,
    /// Virtual networks.
    Net,
    /// Images.
    Image,
    /// VM templates.
    Template,
    /// Datastores.
    Datastore,
    /// OpenNebula clusters.
    Cluster,
    /// Documents.
    Document,
    /// Virtual routers.
    Vrouter,
    /// VM groups.
    VmGroup,
}

/// Rights, as bits of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Look at it and use it.
    Use,
    /// Change it.
    Manage,
    /// Administrate it.
    Admin,
    /// Make one.
    Create,
}

const INDIVIDUAL: u64 = 0x1_0000_0000;
const GROUP: u64 = 0x2_0000_0000;
const ALL: u64 = 0x4_0000_0000;
const ID: u64 = 0xffff_ffff;

impl Acl {
    /// Whether the rule gives a user, member of `groups`, a right to *all* objects of a type in a zone. This is how
    /// the right to create is given.
    pub fn grants(&self, user: u32, groups: &[u32], resource: Resource, right: Right, zone: u32) -> bool {
        let for_user = self.user & ALL != 0
            || self.user == INDIVIDUAL | u64::from(user)
            || groups.iter().any(|group| self.user == GROUP | u64::from(*group));
        let for_zone = self.zone & ALL != 0 || self.zone == INDIVIDUAL | u64::from(zone);
        let for_all =
            self.resource & resource.bit() != 0 && self.resource & ALL != 0 && self.resource & ID == 0;
        for_user && for_zone && for_all && self.rights & right.bit() != 0
    }
}

impl Resource {
    fn bit(self) -> u64 {
        match self {
            Self::Vm => 0x10_0000_0000,
            Self::Net => 0x40_0000_0000,
            Self::Image => 0x80_0000_0000,
            Self::Template => 0x200_0000_0000,
            Self::Datastore => 0x1000_0000_0000,
            Self::Cluster => 0x2000_0000_0000,
            Self::Document => 0x4000_0000_0000,
            Self::Vrouter => 0x4_0000_0000_0000,
            Self::VmGroup => 0x20_0000_0000_0000,
        }
    }
}

impl Right {
    fn bit(self) -> u64 {
        match self {
            Self::Use => 1,
            Self::Manage => 2,
            Self::Admin => 4,
            Self::Create => 8,
        }
    }
}

impl Element for Acl {
    const NAME: &'static str = "ACL";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut user, mut resource, mut rights, mut zone) = (None, None, None, None);
        let mut text = String::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "USER" => user = Some(hexadecimal(parser, "USER")?),
                "RESOURCE" => resource = Some(hexadecimal(parser, "RESOURCE")?),
                "RIGHTS" => rights = Some(hexadecimal(parser, "RIGHTS")?),
                "ZONE" => zone = Some(hexadecimal(parser, "ZONE")?),
                "STRING" => text = read::text(parser)?,
                other => head.element(other, parser)?,
            }
        }
        let missing = |field| ObjectError::Missing {
            object: Self::NAME,
            field,
        };
        Ok(Self {
            id: head.id(Self::NAME)?,
            user: user.ok_or(missing("USER"))?,
            resource: resource.ok_or(missing("RESOURCE"))?,
            rights: rights.ok_or(missing("RIGHTS"))?,
            zone: zone.ok_or(missing("ZONE"))?,
            text,
        })
    }
}

fn hexadecimal(parser: &mut Parser<'_>, field: &'static str) -> Result<u64, ObjectError> {
    u64::from_str_radix(parser.text()?.trim(), 16).map_err(|_| ObjectError::Number(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(user: u64, resource: u64, rights: u64, zone: u64) -> Acl {
        Acl {
            id: 0,
            user,
            resource,
            rights,
            zone,
            text: String::new(),
        }
    }

    #[test]
    fn who_may_create_what_where() {
        // @1 VROUTER/* CREATE #0
        let routers = rule(0x2_0000_0001, 0x4_0004_0000_0000, 8, 0x1_0000_0000);
        let granted = |acl: &Acl, groups: &[u32]| acl.grants(5, groups, Resource::Vrouter, Right::Create, 0);
        assert!(granted(&routers, &[7, 1]));
        assert!(!granted(&routers, &[7]));
        assert!(!routers.grants(5, &[1], Resource::Vrouter, Right::Create, 100));
        assert!(!routers.grants(5, &[1], Resource::Vrouter, Right::Manage, 0));
        assert!(!routers.grants(5, &[1], Resource::Vm, Right::Create, 0));
        assert!(granted(&rule(0x1_0000_0005, 0x4_0004_0000_0000, 8, ALL), &[]));
        assert!(granted(&rule(ALL, 0x4_0014_0000_0000, 15, ALL), &[]));
        // One router only.
        assert!(!granted(&rule(ALL, 0x4_0001_0000_0007, 15, ALL), &[]));
        // A user whose id is the group's.
        assert!(!granted(&rule(0x1_0000_0001, 0x4_0004_0000_0000, 8, ALL), &[1]));
    }
}
