//! Limits of users and groups, and what they use.

use opennebula::template::{Template, vector_value};

use crate::core::Core;
use crate::failure::Failure;
use crate::meta::ObjectKind;
use crate::xml::Xml;

/// The quotas of a user or a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Quotas {
    datastores: Vec<Quota>,
    networks: Vec<Quota>,
    vms: Vec<Quota>,
    images: Vec<Quota>,
}

/// Limits of one object, or of all VMs.
#[derive(Clone, Debug, PartialEq)]
struct Quota {
    id: String,
    metrics: Vec<Metric>,
}

#[derive(Clone, Debug, PartialEq)]
struct Metric {
    name: &'static str,
    limit: f64,
    used: f64,
}

/// The limit of the installation applies, which is none.
const DEFAULT: f64 = -1.0;
const UNLIMITED: f64 = -2.0;

const VM: [&str; 11] = [
    "VMS",
    "RUNNING_VMS",
    "CPU",
    "RUNNING_CPU",
    "MEMORY",
    "RUNNING_MEMORY",
    "PCI_DEV",
    "RUNNING_PCI_DEV",
    "PCI_NIC",
    "RUNNING_PCI_NIC",
    "SYSTEM_DISK_SIZE",
];
const NETWORK: [&str; 1] = ["LEASES"];
const IMAGE: [&str; 1] = ["RVMS"];
const DATASTORE: [&str; 2] = ["IMAGES", "SIZE"];

/// What something needs of quotas.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// By metric, such as `VMS`.
    pub(crate) vm: Vec<(&'static str, f64)>,
    /// One entry per lease.
    pub(crate) networks: Vec<u32>,
    /// One entry per disk.
    pub(crate) images: Vec<u32>,
    /// Datastore, and size in MiB.
    pub(crate) datastores: Vec<(u32, f64)>,
}

impl Quota {
    fn new(id: String, names: &[&'static str]) -> Self {
        let metrics = names
            .iter()
            .map(|name| Metric {
                name,
                limit: DEFAULT,
                used: 0.0,
            })
            .collect();
        Self { id, metrics }
    }

    /// Whether it says nothing any more.
    fn is_idle(&self) -> bool {
        self.metrics
            .iter()
            .all(|metric| is(metric.limit, DEFAULT) && is(metric.used, 0.0))
    }
}

fn is(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

/// The kinds of quotas that usage touches, in the order in which oned checks them.
#[derive(Clone, Copy)]
enum Kind {
    Network,
    Vm,
    Image,
    Datastore,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Network => "NETWORK",
            Self::Vm => "VM",
            Self::Image => "IMAGE",
            Self::Datastore => "DATASTORE",
        }
    }

    fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::Network => &NETWORK,
            Self::Vm => &VM,
            Self::Image => &IMAGE,
            Self::Datastore => &DATASTORE,
        }
    }
}

impl Quotas {
    /// Sets limits from `VM=[VMS="2"]`, `NETWORK=[ID="0",LEASES="5"]` …
    pub(crate) fn set(&mut self, template: &Template) -> Result<(), String> {
        for kind in [Kind::Datastore, Kind::Network, Kind::Image, Kind::Vm] {
            for pairs in template.get_vectors(kind.name()) {
                let id = vector_value(pairs, "ID").unwrap_or("");
                let mut limits = Vec::new();
                for name in kind.metrics() {
                    let Some(text) = vector_value(pairs, name) else {
                        continue;
                    };
                    let limit = text.parse::<f64>().ok().filter(|limit| *limit >= UNLIMITED);
                    let bad = || {
                        format!(
                            "Negative limits or bad format in quota {} = [ {} ]",
                            kind.name(),
                            marshal(pairs)
                        )
                    };
                    limits.push((*name, limit.ok_or_else(bad)?));
                }
                let quota = self.entry(kind, id);
                for metric in &mut quota.metrics {
                    if let Some((_, limit)) = limits.iter().find(|(name, _)| *name == metric.name) {
                        metric.limit = *limit;
                    }
                }
            }
        }
        self.tidy();
        Ok(())
    }

    /// Adds the usage, or says which limit forbids it and adds nothing.
    fn add(&mut self, usage: &Usage) -> Result<(), String> {
        let mut grown = self.clone();
        for (kind, id, name, amount) in entries(usage) {
            let quota = grown.entry(kind, &id);
            let Some(metric) = quota.metrics.iter_mut().find(|metric| metric.name == name) else {
                continue;
            };
            if metric.limit >= 0.0 && metric.used + amount > metric.limit + 1e-6 {
                let of = if id.is_empty() {
                    String::new()
                } else {
                    format!(" with ID: {id}")
                };
                return Err(format!(
                    "limit of {} reached for {name} quota in {}{of}",
                    number(metric.limit),
                    kind.name()
                ));
            }
            metric.used += amount;
        }
        *self = grown;
        Ok(())
    }

    fn subtract(&mut self, usage: &Usage) {
        for (kind, id, name, amount) in entries(usage) {
            if let Some(metric) = self
                .entry(kind, &id)
                .metrics
                .iter_mut()
                .find(|metric| metric.name == name)
            {
                metric.used = (metric.used - amount).max(0.0);
            }
        }
        self.tidy();
    }

    fn list(&mut self, kind: Kind) -> &mut Vec<Quota> {
        match kind {
            Kind::Network => &mut self.networks,
            Kind::Vm => &mut self.vms,
            Kind::Image => &mut self.images,
            Kind::Datastore => &mut self.datastores,
        }
    }

    fn entry(&mut self, kind: Kind, id: &str) -> &mut Quota {
        let list = self.list(kind);
        let place = list.iter().position(|quota| quota.id == id).unwrap_or_else(|| {
            list.push(Quota::new(id.into(), kind.metrics()));
            list.len() - 1
        });
        &mut list[place]
    }

    fn tidy(&mut self) {
        for kind in [Kind::Datastore, Kind::Network, Kind::Image, Kind::Vm] {
            self.list(kind).retain(|quota| !quota.is_idle());
        }
    }

    pub(crate) fn write(&self, xml: &mut Xml) {
        let lists = [
            ("DATASTORE", &self.datastores),
            ("NETWORK", &self.networks),
            ("VM", &self.vms),
            ("IMAGE", &self.images),
        ];
        for (name, list) in lists {
            let section = format!("{name}_QUOTA");
            xml.open(&section);
            for quota in list {
                let mut pairs: Vec<(String, String)> = Vec::new();
                if !quota.id.is_empty() {
                    pairs.push(("ID".into(), quota.id.clone()));
                }
                for metric in &quota.metrics {
                    pairs.push((metric.name.into(), number(metric.limit)));
                    pairs.push((format!("{}_USED", metric.name), number(metric.used)));
                }
                xml.vector(name, &pairs);
            }
            xml.close(&section);
        }
    }
}

fn entries(usage: &Usage) -> Vec<(Kind, String, &'static str, f64)> {
    let mut entries: Vec<(Kind, String, &'static str, f64)> = Vec::new();
    entries.extend(
        usage
            .networks
            .iter()
            .map(|id| (Kind::Network, id.to_string(), "LEASES", 1.0)),
    );
    entries.extend(
        usage
            .vm
            .iter()
            .map(|(name, amount)| (Kind::Vm, String::new(), *name, *amount)),
    );
    entries.extend(
        usage
            .images
            .iter()
            .map(|id| (Kind::Image, id.to_string(), "RVMS", 1.0)),
    );
    for (id, size) in &usage.datastores {
        entries.push((Kind::Datastore, id.to_string(), "IMAGES", 1.0));
        entries.push((Kind::Datastore, id.to_string(), "SIZE", *size));
    }
    entries
}

fn marshal(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, text)| format!("{key}=\"{text}\""))
        .collect();
    pairs.join(",")
}

/// A number without useless digits.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Core {
    /// Charges the usage to a user and its group, or refuses. oneadmin and its group have no limits.
    pub(crate) fn charge(&mut self, uid: u32, gid: u32, usage: &Usage) -> Result<(), Failure> {
        if uid != 0
            && let Some(user) = self.users.get_mut(uid)
        {
            user.quotas
                .add(usage)
                .map_err(|cause| Failure::authorization(format!("user [{uid}] {cause}")))?;
        }
        if gid != 0
            && let Some(group) = self.groups.get_mut(gid)
            && let Err(cause) = group.quotas.add(usage)
        {
            if let Some(user) = self.users.get_mut(uid).filter(|_| uid != 0) {
                user.quotas.subtract(usage);
            }
            return Err(Failure::authorization(format!("group [{gid}] {cause}")));
        }
        Ok(())
    }

    /// Gives back what [`Core::charge`] took.
    pub(crate) fn discharge(&mut self, uid: u32, gid: u32, usage: &Usage) {
        if let Some(user) = self.users.get_mut(uid).filter(|_| uid != 0) {
            user.quotas.subtract(usage);
        }
        if let Some(group) = self.groups.get_mut(gid).filter(|_| gid != 0) {
            group.quotas.subtract(usage);
        }
    }

    /// Moves the usage of an object to its new owner, or refuses.
    pub(crate) fn check_chown_quota(
        &mut self,
        kind: ObjectKind,
        id: u32,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Failure> {
        let usage = match kind {
            ObjectKind::Vm => self.vms.get(id).map(crate::vms::Vm::usage),
            _ => None,
        };
        let (Some(usage), Some(object)) = (usage, self.object(kind, id)) else {
            return Ok(());
        };
        let before = (object.meta().uid, object.meta().gid);
        // 0 has no quotas and stands for an owner that stays.
        self.charge(uid.unwrap_or(0), gid.unwrap_or(0), &usage)?;
        self.discharge(
            if uid.is_some() { before.0 } else { 0 },
            if gid.is_some() { before.1 } else { 0 },
            &usage,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(quotas: &mut Quotas, text: &str) -> Result<(), String> {
        quotas.set(&Template::parse(text).unwrap())
    }

    fn one_vm() -> Usage {
        Usage {
            vm: vec![("VMS", 1.0), ("CPU", 0.5)],
            networks: vec![1, 1],
            ..Usage::default()
        }
    }

    #[test]
    fn a_limit_refuses_with_the_recorded_words() {
        let mut quotas = Quotas::default();
        set(&mut quotas, "VM=[VMS=\"2\",MEMORY=\"-1\"]").unwrap();
        assert_eq!(quotas.add(&one_vm()), Ok(()));
        assert_eq!(quotas.add(&one_vm()), Ok(()));
        let before = quotas.clone();
        assert_eq!(
            quotas.add(&one_vm()),
            Err("limit of 2 reached for VMS quota in VM".into())
        );
        assert!(quotas == before);
        quotas.subtract(&one_vm());
        assert_eq!(quotas.add(&one_vm()), Ok(()));
    }

    #[test]
    fn leases_are_counted_one_by_one() {
        let mut quotas = Quotas::default();
        set(&mut quotas, "NETWORK=[ID=\"1\",LEASES=\"3\"]").unwrap();
        quotas.add(&one_vm()).unwrap();
        assert_eq!(
            quotas.add(&one_vm()),
            Err("limit of 3 reached for LEASES quota in NETWORK with ID: 1".into())
        );
    }

    #[test]
    fn what_says_nothing_vanishes() {
        let mut quotas = Quotas::default();
        quotas.add(&one_vm()).unwrap();
        quotas.subtract(&one_vm());
        assert!(quotas == Quotas::default());
        set(&mut quotas, "VM=[VMS=\"2\"]").unwrap();
        set(&mut quotas, "VM=[VMS=\"-1\"]").unwrap();
        assert!(quotas == Quotas::default());
        assert!(set(&mut quotas, "VM=[VMS=\"-7\"]").is_err());
        assert!(set(&mut quotas, "VM=[VMS=\"many\"]").is_err());
    }

    #[test]
    fn numbers_have_no_useless_digits() {
        assert_eq!(
            [2.0, 0.5, 1.25, -1.0, 1024.0].map(number),
            ["2", "0.5", "1.25", "-1", "1024"]
        );
    }
}
