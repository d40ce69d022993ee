//! `oneks check`: is everything there for a cluster in a certain place?

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks::orders::survey::{Chosen, Item, Survey, Verdict};
use oneks_core::profile::Catalog;

use crate::app::App;
use crate::commands::create::place::{Kind, Place};
use crate::complete;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::table::{self, Column, TableArgs};
use crate::verdict;
use crate::{select, validate};
use oneks::orders::cluster::Cluster;

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
        let user = client.user_info(None, false)?;
        let mut survey = Survey::new(client);
        survey.version()?;
        survey.profiles(catalog.as_ref());
        place_of(&mut survey, app, &place, args.machines, catalog.as_ref())?;
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

/// Looks at a place that was given by ids and names.
fn place_of(
    survey: &mut Survey,
    app: &mut App,
    place: &Place,
    machines: u32,
    catalog: Option<&Catalog>,
) -> Result<(), Failure> {
    let mut id = |item, kind, given| chosen(survey, app, item, kind, given);
    let chosen = Chosen {
        cluster: id("cluster", Kind::Cluster, place.opennebula_cluster.as_deref())?,
        public: id("public network", Kind::Network, place.public_network.as_deref())?,
        private: id("private network", Kind::Network, place.private_network.as_deref())?,
        datastore: id("datastore", Kind::Datastore, place.image_datastore.as_deref())?,
    };
    if let Some(id) = chosen.cluster {
        survey.cluster(id)?;
    }
    survey.networks(chosen, machines)?;
    if let Some(id) = chosen.datastore {
        survey.datastore(id, chosen.cluster, catalog)?;
    }
    Ok(())
}

/// The id of something that was chosen; what was not chosen is told.
fn chosen(
    survey: &mut Survey,
    app: &mut App,
    item: &'static str,
    kind: Kind,
    given: Option<&str>,
) -> Result<Option<u32>, Failure> {
    let Some(text) = given else {
        survey.add(item, Verdict::Warning, "not chosen, not checked");
        return Ok(None);
    };
    match kind.id(app, text) {
        Ok(id) => Ok(Some(id)),
        Err(Failure::NotFound(message) | Failure::Usage(message)) => {
            survey.add(item, Verdict::Failed, message);
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

const ITEMS: &[Column<Item>] = &[
    Column::new("ITEM", "What was looked at", |i: &Item| i.about.to_owned()),
    Column::new("VERDICT", "What came of it", |i: &Item| {
        i.verdict.as_str().to_owned()
    })
    .style(|i: &Item| verdict::style(i.verdict)),
    Column::new("MESSAGE", "Why", |i: &Item| i.message.clone()).wraps(),
];
