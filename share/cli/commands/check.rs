//! `oneks check`: is everything there for a cluster in a certain place?

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks_core::profile::Catalog;
use opennebula::Client;
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::objects::{DatastoreType, Resource, Right, User, Vnet};
use serde::Serialize;

use crate::app::App;
use crate::cluster::Cluster;
use crate::commands::create::place::{Kind, Place};
use crate::complete;
use crate::doctor::OLDEST;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::images::{Found, Purpose};
use crate::table::{self, Column, TableArgs};
use crate::verdict::Verdict;
use crate::{select, validate};

/// `oneks check`.
#[derive(Debug, Subcommand)]
pub enum Check {
    /// Check whether a cluster could live in a place: versions, networks, datastore, images, rights, quotas
    ///
    /// The place is given by options, or is that of a cluster that there is. Nothing is created.
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  # The place of a cluster\n  oneks check cluster web\n  # A place for a new one\n  oneks check cluster --opennebula-cluster 0 --public-network public --private-network private --image-datastore default --machines 6"
    )]
    Cluster(CheckArgs),
}

/// What `check cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Check the place of this cluster
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    cluster: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Machines that the cluster shall have, routers included
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    machines: u32,
    #[command(flatten)]
    format: FormatArgs,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Item {
    #[serde(rename = "item")]
    about: &'static str,
    verdict: Verdict,
    message: String,
}

impl Check {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let mut place = args.place.clone();
        if let Some(cluster) = &args.cluster {
            let id = select::cluster(&client, cluster)?;
            place.fill(&Cluster::fetch(&client, id)?.spec["deployment"]);
        }
        let catalog = validate::catalog(app);
        let mut survey = Survey {
            client,
            items: Vec::new(),
        };
        survey.version()?;
        survey.profiles(catalog.as_ref());
        let user = survey.client.user_info(None, false)?;
        survey.place(app, &place, args.machines, catalog.as_ref())?;
        survey.rights(&user)?;
        survey.quotas(&user, args.machines);
        let items = survey.items;
        if args.format.any() {
            let value = serde_json::to_value(&items).map_err(|e| Failure::Other(e.to_string()))?;
            let xml = || Ok(format!("<CHECK>{}</CHECK>", format::xml_of("ITEM", &value)));
            args.format.write(&mut app.out, &value, xml)?;
        } else {
            table::show(&mut app.out, ITEMS, &TableArgs::default(), &items)?;
        }
        match items.iter().filter(|i| i.verdict == Verdict::Failed).count() {
            0 => Ok(()),
            1 => Err(Failure::Refused("1 check failed".to_owned())),
            count => Err(Failure::Refused(format!("{count} checks failed"))),
        }
    }
}

/// What was found so far.
struct Survey {
    client: Client,
    items: Vec<Item>,
}

impl Survey {
    fn add(&mut self, item: &'static str, verdict: Verdict, message: impl Into<String>) {
        self.items.push(Item {
            about: item,
            verdict,
            message: message.into(),
        });
    }

    fn version(&mut self) -> Result<(), Failure> {
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

    fn profiles(&mut self, catalog: Option<&Catalog>) {
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

    fn place(
        &mut self,
        app: &mut App,
        place: &Place,
        machines: u32,
        catalog: Option<&Catalog>,
    ) -> Result<(), Failure> {
        let cluster = self.id(app, "cluster", Kind::Cluster, place.opennebula_cluster.as_deref())?;
        let public = self.id(
            app,
            "public network",
            Kind::Network,
            place.public_network.as_deref(),
        )?;
        let private = self.id(
            app,
            "private network",
            Kind::Network,
            place.private_network.as_deref(),
        )?;
        let datastore = self.id(
            app,
            "datastore",
            Kind::Datastore,
            place.image_datastore.as_deref(),
        )?;
        if let Some(id) = cluster {
            self.cluster(id)?;
        }
        let networks = self
            .client
            .vnpool_info(PoolFilter::All, PoolRange::default())?
            .items;
        if public.is_some() && public == private {
            let message = "the private network must be another than the public one";
            self.add("private network", Verdict::Failed, message);
        }
        // The router's own address and the one that moves between its machines.
        let wanted = [
            ("public network", public, 2),
            ("private network", private, u64::from(machines) + 2),
        ];
        for (item, id, addresses) in wanted {
            if let Some(id) = id {
                self.network(item, id, &networks, cluster, addresses);
            }
        }
        if let Some(id) = datastore {
            self.datastore(id, cluster, catalog)?;
        }
        Ok(())
    }

    /// The id of something that was chosen; what was not chosen is told.
    fn id(
        &mut self,
        app: &mut App,
        item: &'static str,
        kind: Kind,
        given: Option<&str>,
    ) -> Result<Option<u32>, Failure> {
        let Some(text) = given else {
            self.add(item, Verdict::Warning, "not chosen, not checked");
            return Ok(None);
        };
        match kind.id(app, text) {
            Ok(id) => Ok(Some(id)),
            Err(Failure::NotFound(message) | Failure::Usage(message)) => {
                self.add(item, Verdict::Failed, message);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn cluster(&mut self, id: u32) -> Result<(), Failure> {
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
            Err(e) => return Err(e.into()),
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

    fn datastore(&mut self, id: u32, cluster: Option<u32>, catalog: Option<&Catalog>) -> Result<(), Failure> {
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

    fn rights(&mut self, user: &User) -> Result<(), Failure> {
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
            Err(e) => return Err(e.into()),
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

    fn quotas(&mut self, user: &User, machines: u32) {
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

const ITEMS: &[Column<Item>] = &[
    Column::new("ITEM", "What was looked at", |i: &Item| i.about.to_owned()),
    Column::new("VERDICT", "What came of it", |i: &Item| {
        i.verdict.as_str().to_owned()
    })
    .style(|i: &Item| i.verdict.style()),
    Column::new("MESSAGE", "Why", |i: &Item| i.message.clone()).wraps(),
];
