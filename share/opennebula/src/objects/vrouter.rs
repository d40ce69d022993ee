//! Virtual routers.

use std::net::IpAddr;

use super::permissions::{Lock, Permissions};
use super::read::{self, Element, Head, ObjectError};
use crate::template::{Template, vector_value};
use crate::xml::Parser;

/// `VROUTER`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vrouter {
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
    /// Name. Not unique, not even for its owner.
    pub name: String,
    /// Permission bits.
    pub permissions: Permissions,
    /// The lock on it, if there is one.
    pub lock: Option<Lock>,
    /// Ids of its VMs.
    pub vms: Vec<u32>,
    /// Its attributes.
    pub template: Template,
}

/// `NIC` of a virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrouterNic {
    /// Id within the router.
    pub nic_id: Option<u32>,
    /// Id of the network.
    pub network_id: Option<u32>,
    /// Name of the network.
    pub network: String,
    /// The floating address, if it has one.
    pub vrouter_ip: Option<IpAddr>,
}

impl Vrouter {
    /// Its network interfaces, in order.
    pub fn nics(&self) -> Vec<VrouterNic> {
        self.template.get_vectors("NIC").map(VrouterNic::new).collect()
    }

    /// The template that its VMs were made from, once there are any.
    pub fn template_id(&self) -> Option<u32> {
        self.template.get("TEMPLATE_ID")?.parse().ok()
    }
}

impl VrouterNic {
    fn new(pairs: &[(String, String)]) -> Self {
        let text = |key| vector_value(pairs, key).unwrap_or_default();
        let addresses = ["VROUTER_IP", "VROUTER_IP6_GLOBAL", "VROUTER_IP6_ULA"];
        Self {
            nic_id: text("NIC_ID").parse().ok(),
            network_id: text("NETWORK_ID").parse().ok(),
            network: text("NETWORK").to_owned(),
            vrouter_ip: addresses.iter().find_map(|key| text(key).parse().ok()),
        }
    }
}

impl Element for Vrouter {
    const NAME: &'static str = "VROUTER";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut vms = Vec::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "VMS" => vms = read::ids(parser)?,
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
            vms,
            template: head.template,
        })
    }
}
