//! VM groups: placement rules for roles.

use super::permissions::{Lock, Permissions};
use super::read::{Element, Head, ObjectError};
use crate::template::{Template, vector_value};
use crate::xml::Parser;

/// `VM_GROUP`.
#[derive(Clone, Debug, PartialEq)]
pub struct VmGroup {
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
    /// Its roles.
    pub roles: Vec<VmGroupRole>,
    /// Its attributes.
    pub template: Template,
}

/// `ROLE` of a VM group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmGroupRole {
    /// Id within the group.
    pub id: Option<u32>,
    /// Name.
    pub name: String,
    /// `AFFINED`, `ANTI_AFFINED` or nothing.
    pub policy: String,
    /// Ids of its VMs.
    pub vms: Vec<u32>,
}

impl Element for VmGroup {
    const NAME: &'static str = "VM_GROUP";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut roles = Vec::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "ROLES" => {
                    let all = Template::from_element(parser)?;
                    roles = all.get_vectors("ROLE").map(VmGroupRole::new).collect();
                }
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
            roles,
            template: head.template,
        })
    }
}

impl VmGroupRole {
    fn new(pairs: &[(String, String)]) -> Self {
        let text = |key| vector_value(pairs, key).unwrap_or_default();
        Self {
            id: text("ID").parse().ok(),
            name: text("NAME").to_owned(),
            policy: text("POLICY").to_owned(),
            vms: text("VMS")
                .split(',')
                .filter_map(|id| id.trim().parse().ok())
                .collect(),
        }
    }
}
