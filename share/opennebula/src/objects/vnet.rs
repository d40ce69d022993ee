//! Virtual networks.

use std::net::IpAddr;

use super::permissions::{Lock, Permissions};
use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::{Parser, XmlError};

/// `VNET`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vnet {
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
    /// State.
    pub state: VnetState,
    /// Ids of the clusters that it belongs to.
    pub clusters: Vec<u32>,
    /// The network that it is a reservation of.
    pub parent_network_id: Option<u32>,
    /// Number of addresses in use.
    pub used_leases: u64,
    /// Ids of the virtual routers on it.
    pub vrouters: Vec<u32>,
    /// Its addresses.
    pub address_ranges: Vec<AddressRange>,
    /// Its attributes.
    pub template: Template,
}

/// State of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VnetState {
    /// Being made.
    Init,
    /// Usable.
    Ready,
    /// A driver makes it.
    LockCreate,
    /// A driver removes it.
    LockDelete,
    /// Gone.
    Done,
    /// A driver failed.
    Error,
    /// Some VMs could not be updated.
    UpdateFailure,
    /// A state that this crate does not know.
    Other(u32),
}

/// `AR`: a range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRange {
    /// Id within the network.
    pub ar_id: Option<u32>,
    /// `IP4`, `IP6`, `IP4_6`, `IP6_STATIC`, `IP4_6_STATIC` or `ETHER`.
    pub ar_type: String,
    /// First address.
    pub ip: Option<IpAddr>,
    /// Number of addresses.
    pub size: u64,
    /// Number of addresses in use. The pool call does not say.
    pub used_leases: Option<u64>,
    /// The addresses in use. The pool call does not list them.
    pub leases: Vec<Lease>,
}

/// `LEASE`: an address in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub ip: Option<IpAddr>,
    /// The VM that uses it; `None` also for one that is on hold.
    pub vm: Option<u32>,
    /// The reservation that it went to.
    pub vnet: Option<u32>,
    /// The virtual router that uses it.
    pub vrouter: Option<u32>,
}

impl Vnet {
    /// Addresses that are still free.
    pub fn free_leases(&self) -> u64 {
        let size = self
            .address_ranges
            .iter()
            .fold(0u64, |sum, range| sum.saturating_add(range.size));
        size.saturating_sub(self.used_leases)
    }
}

impl Element for Vnet {
    const NAME: &'static str = "VNET";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut state, mut parent_network_id) = (None, None);
        let (mut clusters, mut vrouters, mut address_ranges) = (Vec::new(), Vec::new(), Vec::new());
        let mut used_leases = 0;
        while let Some(name) = parser.child()? {
            match &*name {
                "STATE" => state = Some(VnetState::from_number(read::number(parser, "STATE")?)),
                "CLUSTERS" => clusters = read::ids(parser)?,
                "PARENT_NETWORK_ID" => parent_network_id = read::maybe(parser)?,
                "USED_LEASES" => used_leases = read::maybe(parser)?.unwrap_or_default(),
                "VROUTERS" => vrouters = read::ids(parser)?,
                "AR_POOL" => address_ranges = elements(parser, "AR", AddressRange::read)?,
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
            state: state.ok_or(ObjectError::Missing {
                object: Self::NAME,
                field: "STATE",
            })?,
            clusters,
            parent_network_id,
            used_leases,
            vrouters,
            address_ranges,
            template: head.template,
        })
    }
}

impl AddressRange {
    fn read(parser: &mut Parser<'_>) -> Result<Self, XmlError> {
        let mut range = Self::default();
        let (mut ip4, mut ip6) = (None, None);
        while let Some(name) = parser.child()? {
            match &*name {
                "AR_ID" => range.ar_id = read::maybe(parser)?,
                "TYPE" => range.ar_type = read::text(parser)?,
                "IP" => ip4 = read::maybe(parser)?,
                "IP6" | "IP6_GLOBAL" => ip6 = read::maybe(parser)?,
                "SIZE" => range.size = read::maybe(parser)?.unwrap_or_default(),
                "USED_LEASES" => range.used_leases = read::maybe(parser)?,
                "LEASES" => range.leases = elements(parser, "LEASE", Lease::read)?,
                _ => parser.skip()?,
            }
        }
        range.ip = ip4.or(ip6);
        Ok(range)
    }
}

impl Lease {
    fn read(parser: &mut Parser<'_>) -> Result<Self, XmlError> {
        let mut lease = Self::default();
        let (mut ip4, mut ip6) = (None, None);
        while let Some(name) = parser.child()? {
            match &*name {
                "IP" => ip4 = read::maybe(parser)?,
                "IP6" | "IP6_GLOBAL" => ip6 = read::maybe(parser)?,
                "VM" => lease.vm = read::maybe(parser)?,
                "VNET" => lease.vnet = read::maybe(parser)?,
                "VROUTER" => lease.vrouter = read::maybe(parser)?,
                _ => parser.skip()?,
            }
        }
        lease.ip = ip4.or(ip6);
        Ok(lease)
    }
}

impl VnetState {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Init,
            1 => Self::Ready,
            2 => Self::LockCreate,
            3 => Self::LockDelete,
            4 => Self::Done,
            5 => Self::Error,
            6 => Self::UpdateFailure,
            other => Self::Other(other),
        }
    }
}

/// All children of one name in the open element.
fn elements<T>(
    parser: &mut Parser<'_>,
    wanted: &str,
    read: impl Fn(&mut Parser<'_>) -> Result<T, XmlError>,
) -> Result<Vec<T>, XmlError> {
    let mut all = Vec::new();
    while let Some(name) = parser.child()? {
        if &*name == wanted {
            all.push(read(parser)?);
        } else {
            parser.skip()?;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_what_is_free() {
        let vnet = Vnet::from_xml(
            "<VNET><ID>1</ID><UID>0</UID><GID>0</GID><STATE>1</STATE><PARENT_NETWORK_ID>0</PARENT_NETWORK_ID>\
             <USED_LEASES>2</USED_LEASES><AR_POOL><AR><AR_ID>0</AR_ID><SIZE>3</SIZE><IP>192.0.2.1</IP><LEASES>\
             <LEASE><IP>192.0.2.1</IP><VM>7</VM></LEASE><LEASE><IP>192.0.2.2</IP><VM>-1</VM></LEASE></LEASES></AR>\
             <AR><SIZE>5</SIZE><IP6>2001:db8::</IP6></AR></AR_POOL></VNET>",
        )
        .unwrap();
        assert_eq!((vnet.free_leases(), vnet.parent_network_id), (6, Some(0)));
        assert_eq!(
            vnet.address_ranges[0]
                .leases
                .iter()
                .map(|lease| lease.vm)
                .collect::<Vec<_>>(),
            [Some(7), None]
        );
        assert_eq!(vnet.address_ranges[1].ip.unwrap().to_string(), "2001:db8::");
    }
}
