//! Address ranges and who has which address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use opennebula::template::vector_value;

use crate::xml::Xml;

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Nobody: it is on hold.
    Held,
    /// A VM.
    Vm(u32),
    /// A router's floating address.
    VRouter(u32),
    /// A reservation.
    Vnet(u32),
}

impl Holder {
    fn pair(self) -> (&'static str, i64) {
        match self {
            Self::Held => ("VM", -1),
            Self::Vm(id) => ("VM", i64::from(id)),
            Self::VRouter(id) => ("VROUTER", i64::from(id)),
            Self::Vnet(id) => ("VNET", i64::from(id)),
        }
    }

    /// As oned keeps it in the database: the bit of the kind and the id.
    fn stored(self) -> u64 {
        let (bit, id) = match self {
            Self::Held => (1 << 36, u64::from(u32::MAX)),
            Self::Vm(id) => (1 << 36, u64::from(id)),
            Self::VRouter(id) => (1 << 50, u64::from(id)),
            Self::Vnet(id) => (1 << 38, u64::from(id)),
        };
        bit | id
    }
}

/// A range of addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressRange {
    /// Id in the network.
    pub id: u32,
    /// The first IPv4 address; none in a range of MAC addresses.
    pub ip: Option<Ipv4Addr>,
    /// The last four bytes of the first MAC address.
    mac: u32,
    mac_prefix: u16,
    /// Number of addresses.
    pub size: u32,
    /// Addresses in use, by their index.
    pub leases: BTreeMap<u32, Holder>,
    next: u32,
    parent: Option<u32>,
    /// What else the range says, such as GATEWAY.
    pub(crate) extra: Vec<(String, String)>,
}

/// An address that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) range: u32,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) mac: String,
}

/// What every MAC address of OpenNebula begins with.
const MAC_PREFIX: u16 = 0x0200;

impl AddressRange {
    /// Reads `AR=[TYPE="IP4",IP="192.0.2.10",SIZE="100"]`.
    pub(crate) fn from_pairs(id: u32, pairs: &[(String, String)], random_mac: u32) -> Result<Self, String> {
        let kind = vector_value(pairs, "TYPE").unwrap_or("IP4");
        let size = vector_value(pairs, "SIZE")
            .and_then(|text| text.parse::<u32>().ok())
            .filter(|size| *size > 0);
        let Some(size) = size else {
            return Err("Wrong SIZE for address range".into());
        };
        let ip = match kind {
            "IP4" => {
                let ip = vector_value(pairs, "IP").and_then(|text| text.parse::<Ipv4Addr>().ok());
                Some(ip.ok_or("Wrong or empty IP attribute")?)
            }
            "ETHER" => None,
            other => return Err(format!("Unknown address range type {other}")),
        };
        let given = vector_value(pairs, "MAC").and_then(parse_mac);
        let (mac_prefix, mac) = given.unwrap_or((MAC_PREFIX, ip.map_or(random_mac, u32::from)));
        let known = ["TYPE", "IP", "MAC", "SIZE", "AR_ID"];
        let extra = pairs
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
            .cloned()
            .collect();
        Ok(Self {
            id,
            ip,
            mac,
            mac_prefix,
            size,
            leases: BTreeMap::new(),
            next: 0,
            parent: None,
            extra,
        })
    }

    /// Number of addresses in use.
    pub fn used(&self) -> usize {
        self.leases.len()
    }

    /// Takes the next free address, in a circle as oned does.
    pub(crate) fn take(&mut self, holder: Holder) -> Option<Lease> {
        let size = self.size;
        let start = self.next;
        let index = (0..size)
            .map(|step| (start + step) % size)
            .find(|index| !self.leases.contains_key(index))?;
        self.next = (index + 1) % size;
        Some(self.lease(index, holder))
    }

    /// Takes one address, by IP or MAC, if it is in the range and free.
    pub(crate) fn take_at(&mut self, address: &str, holder: Holder) -> Option<Lease> {
        let index = self
            .index(address)
            .filter(|index| !self.leases.contains_key(index))?;
        Some(self.lease(index, holder))
    }

    fn lease(&mut self, index: u32, holder: Holder) -> Lease {
        self.leases.insert(index, holder);
        Lease {
            range: self.id,
            ip: self.ip_at(index),
            mac: self.mac_at(index),
        }
    }

    /// Frees one address if that holder has it.
    pub(crate) fn release_at(&mut self, address: &str, holder: Holder) {
        if let Some(index) = self.index(address)
            && self.leases.get(&index) == Some(&holder)
        {
            self.leases.remove(&index);
        }
    }

    /// Frees all addresses of a holder.
    pub(crate) fn release(&mut self, holder: Holder) {
        self.leases.retain(|_, known| *known != holder);
    }

    /// Makes a range of `size` free addresses of this one, from `first` on if given.
    pub(crate) fn cut(&mut self, size: u32, first: Option<&str>, holder: Holder) -> Option<Self> {
        let is_free = |range: &Self, from: u32| {
            from.checked_add(size).is_some_and(|end| end <= range.size)
                && range.leases.range(from..from + size).next().is_none()
        };
        let from = match first {
            Some(address) => self.index(address).filter(|from| is_free(self, *from))?,
            None => (0..self.size).find(|from| is_free(self, *from))?,
        };
        for index in from..from + size {
            self.leases.insert(index, holder);
        }
        Some(Self {
            id: 0,
            ip: self.ip_at(from),
            mac: self.mac.wrapping_add(from),
            mac_prefix: self.mac_prefix,
            size,
            leases: BTreeMap::new(),
            next: 0,
            parent: Some(self.id),
            extra: self.extra.clone(),
        })
    }

    /// The same range with another id.
    pub(crate) fn with_id(self, id: u32) -> Self {
        Self { id, ..self }
    }

    /// Addresses with their holders.
    pub fn held(&self) -> impl Iterator<Item = (Option<Ipv4Addr>, String, Holder)> {
        self.leases
            .iter()
            .map(|(index, holder)| (self.ip_at(*index), self.mac_at(*index), *holder))
    }

    fn index(&self, address: &str) -> Option<u32> {
        let offset = if let Ok(ip) = address.parse::<Ipv4Addr>() {
            u32::from(ip).checked_sub(u32::from(self.ip?))?
        } else {
            let (prefix, mac) = parse_mac(address)?;
            (prefix == self.mac_prefix).then(|| mac.checked_sub(self.mac))??
        };
        (offset < self.size).then_some(offset)
    }

    fn ip_at(&self, index: u32) -> Option<Ipv4Addr> {
        self.ip
            .map(|ip| Ipv4Addr::from(u32::from(ip).wrapping_add(index)))
    }

    fn mac_at(&self, index: u32) -> String {
        mac_text(self.mac_prefix, self.mac.wrapping_add(index))
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = self.extra.clone();
        let mut add = |key: &str, text: String| pairs.push((key.into(), text));
        add("AR_ID", self.id.to_string());
        if let Some(ip) = self.ip {
            add("IP", ip.to_string());
        }
        add("MAC", self.mac_at(0));
        add("NEXT_INDEX", self.next.to_string());
        add("SHARED", "NO".into());
        add("SIZE", self.size.to_string());
        add("TYPE", if self.ip.is_some() { "IP4" } else { "ETHER" }.into());
        if let Some(parent) = self.parent {
            add("PARENT_NETWORK_AR_ID", parent.to_string());
        }
        pairs.sort();
        pairs
    }

    /// As `one.vn.info` shows it, with the leases that may be seen.
    pub(crate) fn write(&self, xml: &mut Xml, may_see: &dyn Fn(Holder) -> bool) {
        xml.open("AR");
        for (key, text) in self.pairs() {
            xml.cdata(&key, text);
        }
        xml.cdata("MAC_END", self.mac_at(self.size - 1));
        if let Some(end) = self.ip_at(self.size - 1) {
            xml.cdata("IP_END", end);
        }
        xml.field("USED_LEASES", self.used());
        if self.leases.is_empty() {
            xml.empty("LEASES");
        } else {
            xml.open("LEASES");
            for (ip, mac, holder) in self.held().filter(|(_, _, holder)| may_see(*holder)) {
                let (key, id) = holder.pair();
                let mut pairs = vec![("MAC".to_owned(), mac), (key.to_owned(), id.to_string())];
                if let Some(ip) = ip {
                    pairs.push(("IP".into(), ip.to_string()));
                }
                xml.vector("LEASE", &pairs);
            }
            xml.close("LEASES");
        }
        xml.close("AR");
    }

    /// As the database keeps it.
    pub(crate) fn write_stored(&self, xml: &mut Xml) {
        let mut pairs = self.pairs();
        if !self.leases.is_empty() {
            let allocated = self
                .leases
                .iter()
                .map(|(index, holder)| format!(" {index} {}", holder.stored()));
            pairs.push(("ALLOCATED".into(), allocated.collect()));
        }
        xml.vector("AR", &pairs);
    }
}

/// A MAC address that belongs to no range.
pub(crate) fn random_mac(random: u64) -> String {
    mac_text(MAC_PREFIX, u32::try_from(random & 0xffff_ffff).unwrap_or(0))
}

fn mac_text(prefix: u16, mac: u32) -> String {
    let bytes: Vec<String> = prefix
        .to_be_bytes()
        .iter()
        .chain(&mac.to_be_bytes())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.join(":")
}

fn parse_mac(text: &str) -> Option<(u16, u32)> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    let (prefix, rest) = bytes.split_first_chunk()?;
    Some((
        u16::from_be_bytes(*prefix),
        u32::from_be_bytes(rest.try_into().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(size: u32) -> AddressRange {
        let pairs = [("TYPE", "IP4"), ("IP", "192.0.2.10"), ("SIZE", &size.to_string())];
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect();
        AddressRange::from_pairs(0, &pairs, 7).unwrap()
    }

    #[test]
    fn addresses_are_taken_in_a_circle() {
        let mut range = range(3);
        let take = |range: &mut AddressRange, vm| {
            range
                .take(Holder::Vm(vm))
                .map(|lease| lease.ip.unwrap().to_string())
        };
        assert_eq!(take(&mut range, 1).as_deref(), Some("192.0.2.10"));
        assert_eq!(take(&mut range, 2).as_deref(), Some("192.0.2.11"));
        range.release(Holder::Vm(1));
        assert_eq!(take(&mut range, 3).as_deref(), Some("192.0.2.12"));
        assert_eq!(take(&mut range, 4).as_deref(), Some("192.0.2.10"));
        assert_eq!(take(&mut range, 5), None);
    }

    #[test]
    fn the_mac_follows_the_address() {
        let mut range = range(100);
        let lease = range.take_at("192.0.2.12", Holder::VRouter(2)).unwrap();
        assert_eq!(lease.mac, "02:00:c0:00:02:0c");
        assert_eq!(range.take_at("192.0.2.12", Holder::Held), None);
        assert_eq!(range.take_at("192.0.2.110", Holder::Held), None);
        assert_eq!(range.take_at("192.0.2.9", Holder::Held), None);
        assert!(range.take_at("02:00:c0:00:02:0d", Holder::Held).is_some());
    }

    #[test]
    fn reservations_are_contiguous() {
        let mut range = range(6);
        range.take_at("192.0.2.12", Holder::Vm(1));
        let cut = range.cut(3, None, Holder::Vnet(5)).unwrap();
        assert_eq!(cut.ip.unwrap().to_string(), "192.0.2.13");
        assert_eq!((cut.size, cut.parent, range.used()), (3, Some(0), 4));
        assert!(range.cut(3, None, Holder::Vnet(6)).is_none());
        assert!(range.cut(2, Some("192.0.2.11"), Holder::Vnet(6)).is_none());
        assert!(range.cut(2, Some("192.0.2.10"), Holder::Vnet(6)).is_some());
    }

    #[test]
    fn the_database_form_is_the_recorded_one() {
        let mut range = range(100);
        range.take_at("192.0.2.14", Holder::VRouter(4));
        range.take_at("192.0.2.30", Holder::Vm(27));
        let mut xml = Xml::new();
        range.write_stored(&mut xml);
        let xml = xml.into_string();
        assert!(
            xml.contains("<ALLOCATED><![CDATA[ 4 1125899906842628 20 68719476763]]></ALLOCATED>"),
            "{xml}"
        );
    }
}
