//! Is everything there for a cluster in a certain place? Looked at as the user; nothing is made.

use oneks_core::profile::Catalog;
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::objects::{DatastoreType, Resource, Right, User, Vnet};
use opennebula::{Client, Error};
use serde::Serialize;

use super::images::{Found, Purpose};

/// The oldest OpenNebula that can run commands in guests.
pub const OLDEST: (u32, u32) = (7, 2);

/// What came of a look at something, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It can't be seen from here, or by this user.
    Unknown,
    /// It may work, but not well.
    Warning,
    /// It can't work.
    Failed,
}

impl Verdict {
    /// As tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "WARNING",
            Self::Failed => "FAILED",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What.
    #[serde(rename = "item")]
    pub about: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// Why.
    pub message: String,
}

/// A place by the ids of its objects, as far as it was chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chosen {
    /// OpenNebula cluster.
    pub cluster: Option<u32>,
    /// Network of the API endpoint.
    pub public: Option<u32>,
    /// Network of the nodes.
    pub private: Option<u32>,
    /// Datastore with the images.
    pub datastore: Option<u32>,
}

/// What was found so far.
pub struct Survey {
    client: Client,
    /// In the order in which it was looked at.
    pub items: Vec<Item>,
}

impl Survey {
    /// As this user.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            items: Vec::new(),
        }
    }

    /// Adds what came of a look.
    pub fn add(&mut self, item: &'static str, verdict: Verdict, message: impl Into<String>) {
        self.items.push(Item {
            about: item,
            verdict,
            message: message.into(),
        });
    }

    /// Is OpenNebula new enough?
    ///
    /// # Errors
    /// The call.
    pub fn version(&mut self) -> Result<(), Error> {
        let version = self.client.system_version()?;
        let mut numbers = version.split('.').map_while(|n| n.parse::<u32>().ok());
        let known = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if known >= OLDEST {
            self.add("OpenNebula", Verdict::Ok, format!("version {version}"));
        } else {
            let message = format!(
                "version {version} can't run commands in guests; {}.{} is needed",
                OLDEST.0, OLDEST.1
            );
            self.add("OpenNebula", Verdict::Failed, message);
        }
        Ok(())
    }

    /// Are there profiles?
    pub fn profiles(&mut self, catalog: Option<&Catalog>) {
        match catalog {
            Some(catalog) => {
                let families = catalog.control_planes.values();
                let versions: Vec<&str> = families
                    .flat_map(|f| &f.supported_k8s_versions)
                    .map(String::as_str)
                    .collect();
                self.add(
                    "profiles",
                    Verdict::Ok,
                    format!("versions {}", versions.join(", ")),
                );
            }
            None => self.add("profiles", Verdict::Unknown, "they are on the front-end"),
        }
    }

    /// The networks that the user may use.
    ///
    /// # Errors
    /// The call.
    pub fn networks(&mut self, place: Chosen, machines: u32) -> Result<(), Error> {
        let networks = self
            .client
            .vnpool_info(PoolFilter::All, PoolRange::default())?
            .items;
        if place.public.is_some() && place.public == place.private {
            let message = "the private network must be another than the public one";
            self.add("private network", Verdict::Failed, message);
        }
        // The router's own address and the one that moves between its machines.
        let wanted = [
            ("public network", place.public, 2),
            ("private network", place.private, u64::from(machines) + 2),
        ];
        for (item, id, addresses) in wanted {
            if let Some(id) = id {
                self.network(item, id, &networks, place.cluster, addresses);
            }
        }
        Ok(())
    }

    /// The OpenNebula cluster.
    ///
    /// # Errors
    /// The call.
    pub fn cluster(&mut self, id: u32) -> Result<(), Error> {
        match self.client.cluster_info(id, false) {
            Ok(cluster) if cluster.hosts.is_empty() => {
                self.add(
                    "cluster",
                    Verdict::Failed,
                    format!("{id} ({}) has no hosts", cluster.name),
                );
            }
            Ok(cluster) => {
                let hosts = cluster.hosts.len();
                self.add(
                    "cluster",
                    Verdict::Ok,
                    format!("{id} ({}), {hosts} hosts", cluster.name),
                );
            }
            Err(e) if e.is_not_found() => {
                self.add(
                    "cluster",
                    Verdict::Failed,
                    format!("there is no OpenNebula cluster {id}"),
                );
            }
            Err(e) if e.is_authorization() => {
                self.add(
                    "cluster",
                    Verdict::Unknown,
                    format!("you may not look at OpenNebula cluster {id}"),
                );
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn network(&mut self, item: &'static str, id: u32, all: &[Vnet], cluster: Option<u32>, addresses: u64) {
        let Some(network) = all.iter().find(|n| n.id == id) else {
            self.add(
                item,
                Verdict::Failed,
                format!("there is no network {id} that you may use (USE right)"),
            );
            return;
        };
        let name = &network.name;
        if let Some(cluster) = cluster.filter(|c| !network.clusters.contains(c)) {
            self.add(
                item,
                Verdict::Failed,
                format!("{id} ({name}) is not in OpenNebula cluster {cluster}"),
            );
            return;
        }
        if all.iter().filter(|n| n.name == *name).count() > 1 {
            let message = format!("there are several networks {name:?}; the cluster finds its own by name");
            self.add(item, Verdict::Failed, message);
            return;
        }
        let free = network.free_leases();
        if free < addresses {
            let message = format!("{id} ({name}) has {free} free addresses, {addresses} are needed");
            self.add(item, Verdict::Failed, message);
        } else {
            self.add(item, Verdict::Ok, format!("{id} ({name}), {free} free addresses"));
        }
    }

    /// The datastore, and the images that the profiles need.
    ///
    /// # Errors
    /// The calls.
    pub fn datastore(
        &mut self,
        id: u32,
        cluster: Option<u32>,
        catalog: Option<&Catalog>,
    ) -> Result<(), Error> {
        let datastores = self.client.datastorepool_info()?.items;
        match datastores.iter().find(|d| d.id == id) {
            None => self.add(
                "datastore",
                Verdict::Failed,
                format!("there is no datastore {id} that you may use"),
            ),
            Some(d) if d.datastore_type != DatastoreType::Image => {
                self.add(
                    "datastore",
                    Verdict::Failed,
                    format!("{id} ({}) is no datastore of images", d.name),
                );
            }
            Some(d) if cluster.is_some_and(|c| !d.clusters.contains(&c)) => {
                let message = format!(
                    "{id} ({}) is not in OpenNebula cluster {}",
                    d.name,
                    cluster.unwrap_or_default()
                );
                self.add("datastore", Verdict::Failed, message);
            }
            Some(d) => self.add("datastore", Verdict::Ok, format!("{id} ({})", d.name)),
        }
        let images = self
            .client
            .imagepool_info(PoolFilter::All, PoolRange::default())?
            .items;
        for purpose in catalog.iter().flat_map(|c| Purpose::of(c)) {
            let name = &purpose.name;
            let (verdict, message) = match purpose.find(&images, id) {
                Found::Ready(image) => (Verdict::Ok, format!("{name}: {} ({})", image.id, image.name)),
                Found::NotReady(image) => (
                    Verdict::Failed,
                    format!("{name}: {} ({}) can't be used now", image.id, image.name),
                ),
                Found::Missing => (
                    Verdict::Failed,
                    format!("{name}: none in datastore {id} has {}", purpose.marks()),
                ),
            };
            self.add("image", verdict, message);
        }
        Ok(())
    }

    /// May the user make what a cluster consists of?
    ///
    /// # Errors
    /// The call.
    pub fn rights(&mut self, user: &User) -> Result<(), Error> {
        if user.id == 0 || user.groups.contains(&0) {
            self.add("rights", Verdict::Ok, "oneadmin may do everything");
            return Ok(());
        }
        let rules = match self.client.acl_info() {
            Ok(rules) => rules,
            Err(e) if e.is_authorization() => {
                let message =
                    "you may not look at the rules; by default users may not CREATE VROUTER, which is needed";
                self.add("rights", Verdict::Unknown, message);
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let kinds = [
            ("DOCUMENT", Resource::Document),
            ("VM", Resource::Vm),
            ("TEMPLATE", Resource::Template),
            ("VROUTER", Resource::Vrouter),
        ];
        let may = |resource| {
            rules
                .iter()
                .any(|rule| rule.grants(user.id, &user.groups, resource, Right::Create, 0))
        };
        let missing: Vec<&str> = kinds
            .into_iter()
            .filter(|(_, r)| !may(*r))
            .map(|(name, _)| name)
            .collect();
        if missing.is_empty() {
            self.add("rights", Verdict::Ok, "CREATE DOCUMENT, VM, TEMPLATE, VROUTER");
        } else {
            let message = format!(
                "{} may not create {}; an administrator can grant it: oneacl create \"@{} {}/* CREATE *\"",
                user.name,
                missing.join(", "),
                user.gid,
                missing.join("+")
            );
            self.add("rights", Verdict::Failed, message);
        }
        Ok(())
    }

    /// May the user have that many machines more?
    pub fn quotas(&mut self, user: &User, machines: u32) {
        let limit = user
            .default_quotas
            .vms
            .first()
            .map(|q| q.vms.limit)
            .unwrap_or_default();
        let left = user
            .quotas
            .vms
            .iter()
            .filter_map(|q| q.vms.left(limit))
            .reduce(f64::min);
        match left {
            Some(left) if left < f64::from(machines) => {
                let message = format!(
                    "{left} more machines are allowed to {}, {machines} are needed",
                    user.name
                );
                self.add("quota", Verdict::Failed, message);
            }
            Some(left) => self.add("quota", Verdict::Ok, format!("{left} more machines are allowed")),
            None => self.add("quota", Verdict::Ok, "no limit for machines"),
        }
    }
}
