//! `oneks list` and `oneks top`.

use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use opennebula::Client;
use opennebula::calls::PoolFilter;
use serde_json::Value;

use crate::app::App;
use crate::complete;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::table::{self, Column, TableArgs, state_style};
use crate::{select, time};
use oneks::orders::cluster::Cluster;

/// `oneks list`.
#[derive(Debug, Subcommand)]
pub enum List {
    /// List clusters
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  # All clusters that you may see\n  oneks list\n  # Yours that do not run, with the reason\n  oneks list cluster m -f STATE!=RUNNING -l ID,NAME,STATE,LAST_ERROR\n  # For other programs\n  oneks list cluster --csv\n  oneks list cluster -j"
    )]
    Cluster(ClusterArgs),
    /// List node groups
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(
        after_help = "Examples:\n  # The node groups of one cluster\n  oneks list nodegroup web\n  oneks list nodegroup -l CLUSTER,NAME,NODES -f ROLE=NODEGROUP"
    )]
    Nodegroup(GroupArgs),
}

/// `oneks top`.
#[derive(Debug, Subcommand)]
pub enum Top {
    /// List clusters again and again
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks top -d 2")]
    Cluster {
        /// What is listed.
        #[command(flatten)]
        args: ClusterArgs,
        /// How often.
        #[command(flatten)]
        delay: Delay,
    },
    /// List node groups again and again
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(after_help = "Examples:\n  oneks top nodegroup web -d 2")]
    Nodegroup {
        /// What is listed.
        #[command(flatten)]
        args: GroupArgs,
        /// How often.
        #[command(flatten)]
        delay: Delay,
    },
}

/// How often a list is shown again.
#[derive(Debug, Clone, Copy, Args)]
pub struct Delay {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    delay: u32,
    /// End after so many looks
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u32>,
}

/// What `list cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// Whose clusters: `a` all that you may see, `m` yours, `g` those of your group, or a user's id
    #[arg(value_name = "FILTER", default_value = "a", value_parser = pool_filter)]
    whose: PoolFilter,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What `list nodegroup` takes.
#[derive(Debug, Clone, Args)]
pub struct GroupArgs {
    /// Only those of these clusters
    #[arg(value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    clusters: Vec<String>,
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

fn pool_filter(text: &str) -> Result<PoolFilter, String> {
    Ok(match text {
        "a" | "all" => PoolFilter::All,
        "m" | "mine" => PoolFilter::Mine,
        "g" | "group" => PoolFilter::MineAndGroups,
        "G" | "primary-group" => PoolFilter::PrimaryGroup,
        id => PoolFilter::User(
            id.parse()
                .map_err(|_| "expected a, m, g, G or the id of a user".to_owned())?,
        ),
    })
}

impl List {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::Cluster(args) => clusters(app, args),
            Self::Nodegroup(args) => groups(app, args),
        }
    }
}

impl Top {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::Cluster { args, delay } => again(app, *delay, |app| clusters(app, args)),
            Self::Nodegroup { args, delay } => again(app, *delay, |app| groups(app, args)),
        }
    }
}

/// Shows something until it is interrupted.
fn again(app: &mut App, delay: Delay, show: impl Fn(&mut App) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut looks: u32 = 0;
    loop {
        if app.out.width().is_some() {
            // Clears the screen and goes to its first line.
            app.out.data("\u{1b}[2J\u{1b}[H")?;
        }
        match show(app) {
            Err(Failure::Call(e)) if e.is_transient() => app.out.failure(&Failure::Call(e)),
            result => result?,
        }
        looks += 1;
        if delay.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        (app.pace.sleep)(Duration::from_secs(delay.delay.into()));
    }
}

fn clusters(app: &mut App, args: &ClusterArgs) -> Result<(), Failure> {
    if args.table.describe {
        return table::describe(&mut app.out, CLUSTER_COLUMNS);
    }
    let rows = table::filter(
        CLUSTER_COLUMNS,
        &args.table,
        Cluster::pool(&app.client()?, args.whose)?,
    )?;
    if args.format.any() {
        let value = Value::Array(rows.iter().map(format::cluster).collect());
        return args.format.write(&mut app.out, &value, || {
            let documents: Result<String, Failure> = rows.iter().map(format::cluster_xml).collect();
            Ok(format!("<DOCUMENT_POOL>{}</DOCUMENT_POOL>", documents?))
        });
    }
    table::show(&mut app.out, CLUSTER_COLUMNS, &args.table, &rows)
}

fn groups(app: &mut App, args: &GroupArgs) -> Result<(), Failure> {
    if args.table.describe {
        return table::describe(&mut app.out, GROUP_COLUMNS);
    }
    let rows = table::filter(
        GROUP_COLUMNS,
        &args.table,
        group_rows(&app.client()?, &args.clusters)?,
    )?;
    if args.format.any() {
        let value = Value::Array(rows.iter().map(|r| r.json.clone()).collect());
        return args.format.write(&mut app.out, &value, || {
            let groups: String = rows
                .iter()
                .map(|r| format::xml_of("NODEGROUP", &r.json))
                .collect();
            Ok(format!("<NODEGROUP_POOL>{groups}</NODEGROUP_POOL>"))
        });
    }
    table::show(&mut app.out, GROUP_COLUMNS, &args.table, &rows)
}

fn group_rows(client: &Client, clusters: &[String]) -> Result<Vec<GroupRow>, Failure> {
    let clusters = if clusters.is_empty() {
        Cluster::pool(client, PoolFilter::All)?
    } else {
        let ids = select::clusters(client, clusters)?;
        ids.into_iter()
            .map(|id| Cluster::fetch(client, id))
            .collect::<Result<_, _>>()?
    };
    Ok(clusters.iter().flat_map(GroupRow::of).collect())
}

/// `2/3`, or nothing while nobody knows.
pub fn nodes(nodes: Option<(u32, u32)>) -> String {
    nodes.map_or_else(|| "-".to_owned(), |(ready, want)| format!("{ready}/{want}"))
}

/// A node group in a list.
pub struct GroupRow {
    /// Its id, `-` while it has none.
    pub id: String,
    user: String,
    group: String,
    cluster: String,
    /// What people call it.
    pub name: String,
    role: &'static str,
    /// Flavour of the profile.
    pub flavour: String,
    /// Its state.
    pub state: &'static str,
    /// Version that its nodes run.
    pub version: String,
    /// Nodes that are ready, and that are wanted.
    pub nodes: String,
    /// Why it is in a failure or warning.
    pub error: String,
    json: Value,
}

impl GroupRow {
    /// The groups of a cluster.
    pub fn of(cluster: &Cluster) -> Vec<Self> {
        let row = |group| Self {
            id: group_id(&group),
            user: cluster.document.uname.clone(),
            group: cluster.document.gname.clone(),
            cluster: cluster.name().to_owned(),
            name: group.name().to_owned(),
            role: format::role(&group),
            flavour: group.text("flavour").unwrap_or_default().to_owned(),
            state: group.state(),
            version: group.version().to_owned(),
            nodes: nodes(group.nodes()),
            error: group.error().to_owned(),
            json: format::node_group(cluster, &group),
        };
        cluster.groups().into_iter().map(row).collect()
    }
}

/// The id of a node group; `-` while it has none.
pub fn group_id(group: &oneks::orders::cluster::NodeGroup<'_>) -> String {
    group.id().map_or_else(|| "-".to_owned(), |id| id.to_string())
}

/// Columns of clusters.
const CLUSTER_COLUMNS: &[Column<Cluster>] = &[
    Column::new(
        "ID",
        "Id of the cluster, which is that of its document",
        |c: &Cluster| c.id().to_string(),
    )
    .right(),
    Column::new("USER", "The owner", |c: &Cluster| c.document.uname.clone())
        .least(5)
        .spare(3),
    Column::new("GROUP", "The group", |c: &Cluster| c.document.gname.clone())
        .least(5)
        .spare(4),
    Column::new("NAME", "Name of the cluster", |c: &Cluster| c.name().to_owned()).least(12),
    Column::new("STATE", "State of the cluster", Cluster::state).style(|c: &Cluster| state_style(&c.state())),
    Column::new("VERSION", "Version of Kubernetes", Cluster::version).spare(1),
    Column::new(
        "NODES",
        "Nodes that are ready, and that are wanted, of all groups",
        |c: &Cluster| nodes(c.nodes()),
    )
    .right()
    .spare(1),
    Column::new("ENDPOINT", "Address of the Kubernetes API", |c: &Cluster| {
        c.endpoint().to_owned()
    })
    .spare(5),
    Column::new("REGTIME", "When the cluster was made", |c: &Cluster| {
        c.created().map_or_else(|| "-".to_owned(), time::short)
    })
    .spare(6),
    Column::new("LAST_ERROR", "What is wrong with it", Cluster::error)
        .least(16)
        .spare(2),
    Column::new("DRIVER", "How the cluster is realised", |c: &Cluster| {
        c.spec["driver"].as_str().unwrap_or("capone").to_owned()
    })
    .extra(),
    Column::new("DESCRIPTION", "What the owner wrote about it", |c: &Cluster| {
        c.spec["description"].as_str().unwrap_or_default().to_owned()
    })
    .least(16)
    .extra(),
];

/// Columns of node groups.
const GROUP_COLUMNS: &[Column<GroupRow>] = &[
    Column::new("ID", "Id of the node group", |g: &GroupRow| g.id.clone()).right(),
    Column::new("USER", "The cluster's owner", |g: &GroupRow| g.user.clone())
        .least(5)
        .spare(3),
    Column::new("GROUP", "The cluster's group", |g: &GroupRow| g.group.clone())
        .least(5)
        .spare(4),
    Column::new("CLUSTER", "Name of the cluster", |g: &GroupRow| g.cluster.clone()).least(8),
    Column::new("NAME", "Name of the node group", |g: &GroupRow| g.name.clone()).least(8),
    Column::new("ROLE", "CONTROLPLANE or NODEGROUP", |g: &GroupRow| {
        g.role.to_owned()
    })
    .spare(6),
    Column::new("FLAVOUR", "Flavour of the profile", |g: &GroupRow| {
        g.flavour.clone()
    })
    .least(7)
    .spare(5),
    Column::new("STATE", "State of the node group", |g: &GroupRow| {
        g.state.to_owned()
    })
    .style(|g: &GroupRow| state_style(g.state)),
    Column::new(
        "VERSION",
        "Version of Kubernetes that its nodes run",
        |g: &GroupRow| g.version.clone(),
    )
    .spare(1),
    Column::new(
        "NODES",
        "Nodes that are ready, and that are wanted",
        |g: &GroupRow| g.nodes.clone(),
    )
    .right()
    .spare(1),
    Column::new(
        "LAST_ERROR",
        "Why it is in a failure or warning",
        |g: &GroupRow| g.error.clone(),
    )
    .least(16)
    .spare(2),
];
