//! `oneks images`: the images that clusters are made of.

mod import;

use clap::builder::styling::Style;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use opennebula::Client;
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::objects::{Datastore, DatastoreType, Image, ImageState};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::commands::create::place::Kind;
use crate::complete;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::table::{self, Column, TableArgs};
use crate::verdict::Verdict;
use oneks::orders::images::{Found, Purpose};

/// `oneks images`.
#[derive(Debug, Subcommand)]
pub enum Images {
    /// List the images of each datastore, by purpose
    #[command(after_help = "Examples:\n  oneks images list")]
    List(ListArgs),
    /// Say which images a datastore lacks, and how to get them
    #[command(after_help = "Examples:\n  oneks images check --datastore default")]
    Check(CheckArgs),
    /// Bring images into a datastore, from the marketplace, from files or from the web, and mark them
    ///
    /// What is there already is left alone. Every user may use the images. Without --from, the seed, the nodes' and the
    /// router's image come from OpenNebula's public marketplace.
    #[command(
        after_help = "Examples:\n  # All that the datastore lacks\n  oneks images import --datastore default\n  # Without Internet: from files of the front-end, in a folder that the datastore accepts\n  oneks images import --datastore default --from node=/var/tmp/node.qcow2 --from router=/var/tmp/router.qcow2\n  # An appliance by name or id, or an image that is there and only lacks the mark\n  oneks images import --datastore default --from node=app:Debian --from router=image:12"
    )]
    Import(import::ImportArgs),
}

/// What `images list` takes.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only this datastore, by id or name
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(complete::datastores))]
    datastore: Option<String>,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What `images check` takes.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The datastore, by id or name
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(complete::datastores))]
    datastore: String,
    #[command(flatten)]
    format: FormatArgs,
}

/// What a datastore has for a purpose.
#[derive(Debug, Clone, Serialize)]
struct Row {
    datastore: String,
    purpose: String,
    verdict: Verdict,
    id: Option<u32>,
    name: String,
    state: String,
    /// MiB.
    size: u64,
    /// How such an image is recognised.
    marks: String,
}

impl Images {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::List(args) => args.run(app),
            Self::Check(args) => args.run(app),
            Self::Import(args) => args.run(app),
        }
    }
}

/// What the profiles of this machine ask for.
fn purposes(app: &App) -> Result<Vec<Purpose>, Failure> {
    let (catalog, _) = oneks::catalog::load(&app.installation().profiles);
    let purposes = Purpose::of(&catalog);
    if purposes.is_empty() {
        return Err(Failure::NotFound(
            "no profile of this machine says which images there must be; --profiles names another folder"
                .to_owned(),
        ));
    }
    Ok(purposes)
}

fn all_images(client: &Client) -> Result<Vec<Image>, Failure> {
    Ok(client
        .imagepool_info(PoolFilter::All, PoolRange::default())?
        .items)
}

/// The datastore of images with this id or name.
fn datastore(app: &mut App, text: &str) -> Result<Datastore, Failure> {
    let id = Kind::Datastore.id(app, text)?;
    let datastore = app.client()?.datastore_info(id, false)?;
    if datastore.datastore_type != DatastoreType::Image {
        return Err(Failure::Refused(format!(
            "{id} ({}) is no datastore of images",
            datastore.name
        )));
    }
    Ok(datastore)
}

fn row(datastore: &Datastore, purpose: &Purpose, images: &[Image]) -> Row {
    let found = purpose.find(images, datastore.id);
    let (verdict, image) = match found {
        Found::Ready(image) => (Verdict::Ok, Some(image)),
        Found::NotReady(image) => (Verdict::Failed, Some(image)),
        Found::Missing => (Verdict::Failed, None),
    };
    Row {
        datastore: format!("{} ({})", datastore.id, datastore.name),
        purpose: purpose.name.clone(),
        verdict,
        id: image.map(|i| i.id),
        name: image.map_or_else(|| "-".to_owned(), |i| i.name.clone()),
        state: image.map_or_else(|| "missing".to_owned(), |i| state(i.state)),
        size: image.map_or(0, |i| i.size),
        marks: purpose.marks(),
    }
}

/// A state as OpenNebula's own commands write it.
fn state(state: ImageState) -> String {
    match state {
        ImageState::Init => "init",
        ImageState::Ready => "ready",
        ImageState::Used => "used",
        ImageState::Disabled => "disabled",
        ImageState::Locked => "locked",
        ImageState::Error => "error",
        ImageState::Clone => "clone",
        ImageState::Delete => "delete",
        ImageState::UsedPersistent => "used (persistent)",
        ImageState::LockedUsed | ImageState::LockedUsedPersistent => "locked (used)",
        ImageState::Other(number) => return number.to_string(),
    }
    .to_owned()
}

impl ListArgs {
    fn run(&self, app: &mut App) -> Result<(), Failure> {
        if self.table.describe {
            return table::describe(&mut app.out, ROWS);
        }
        let purposes = purposes(app)?;
        let client = app.client()?;
        let datastores = if let Some(text) = &self.datastore {
            vec![datastore(app, text)?]
        } else {
            let pool = client.datastorepool_info()?.into_iter();
            pool.filter(|d| d.datastore_type == DatastoreType::Image)
                .collect()
        };
        let images = all_images(&client)?;
        let rows: Vec<Row> = datastores
            .iter()
            .flat_map(|d| purposes.iter().map(|p| row(d, p, &images)))
            .collect();
        let rows = table::filter(ROWS, &self.table, rows)?;
        if self.format.any() {
            let value = serde_json::to_value(&rows).map_err(|e| Failure::Other(e.to_string()))?;
            let xml = || Ok(format!("<IMAGES>{}</IMAGES>", format::xml_of("IMAGE", &value)));
            return self.format.write(&mut app.out, &value, xml);
        }
        table::show(&mut app.out, ROWS, &self.table, &rows)
    }
}

impl CheckArgs {
    fn run(&self, app: &mut App) -> Result<(), Failure> {
        let purposes = purposes(app)?;
        let datastore = datastore(app, &self.datastore)?;
        let images = all_images(&app.client()?)?;
        let rows: Vec<Row> = purposes.iter().map(|p| row(&datastore, p, &images)).collect();
        let lacking: Vec<&Row> = rows.iter().filter(|r| r.verdict == Verdict::Failed).collect();
        if self.format.any() {
            let value = json!({"datastore": datastore.id, "images": &rows, "complete": lacking.is_empty()});
            let xml = || Ok(format::xml_of("CHECK", &value));
            self.format.write(&mut app.out, &value, xml)?;
        } else {
            table::show(&mut app.out, ROWS, &TableArgs::default(), &rows)?;
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let each: Vec<String> = lacking
            .iter()
            .map(|row| match row.id {
                Some(id) => format!(
                    "{}: image {id} is {}; oneimage show {id} says why",
                    row.purpose, row.state
                ),
                None => format!("{}: no image has {}", row.purpose, row.marks),
            })
            .collect();
        Err(Failure::Refused(format!(
            "datastore {} ({}) lacks images:\n  {}\n  bring them with: oneks images import --datastore {}",
            datastore.id,
            datastore.name,
            each.join("\n  "),
            datastore.id
        )))
    }
}

const ROWS: &[Column<Row>] = &[
    Column::new("DATASTORE", "Id and name of the datastore", |r: &Row| {
        r.datastore.clone()
    }),
    Column::new("PURPOSE", "What the image is for", |r: &Row| r.purpose.clone()),
    Column::new("ID", "Id of the image", |r: &Row| {
        r.id.map_or_else(|| "-".to_owned(), |id| id.to_string())
    })
    .right(),
    Column::new("NAME", "Its name", |r: &Row| r.name.clone()).least(8),
    Column::new("SIZE", "Its size in MiB", |r: &Row| r.size.to_string()).right(),
    Column::new("STATE", "Its state", |r: &Row| r.state.clone()).style(style),
    Column::new("MARK", "How such an image is recognised", |r: &Row| {
        r.marks.clone()
    })
    .least(12)
    .spare(1),
];

fn style(row: &Row) -> Style {
    crate::verdict::style(row.verdict)
}
