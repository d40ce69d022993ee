//! `oneks show`.

use clap::builder::styling::Style;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks_core::status::{Condition, Entry, Group, Status, Truth};
use opennebula::objects::Access;
use serde_json::Value;

use crate::app::App;
use crate::commands::each;
use crate::commands::list::{GroupRow, group_id, nodes};
use crate::complete;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::out::Out;
use crate::table::{self, Column, TableArgs, state_style};
use crate::{select, time};
use oneks::orders::cluster::{Cluster, NodeGroup};

/// `oneks show`.
#[derive(Debug, Subcommand)]
pub enum Show {
    /// Show all about clusters
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  oneks show cluster web\n  # As the JSON that SPEC and STATUS are\n  oneks show cluster web -j"
    )]
    Cluster(ShowClusterArgs),
    /// Show all about node groups
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(
        after_help = "Examples:\n  # By cluster and name, or by name where only one cluster has such a group\n  oneks show nodegroup web/workers\n  oneks show nodegroup workers -y"
    )]
    Nodegroup(ShowGroupArgs),
}

/// What `show cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ShowClusterArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(required = true, value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    clusters: Vec<String>,
    /// Print the kubeconfig, as `oneks kubeconfig` does
    #[arg(short, long)]
    kubeconfig: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// What `show nodegroup` takes.
#[derive(Debug, Clone, Args)]
pub struct ShowGroupArgs {
    /// Node groups: 24001, web/workers, lists and ranges
    #[arg(required = true, value_name = "NODEGROUP", add = ArgValueCandidates::new(complete::groups))]
    groups: Vec<String>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Entries of history that are shown.
const HISTORY: usize = 10;

impl Show {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let client = app.client()?;
        match self {
            Self::Cluster(args) => {
                let ids = select::clusters(&client, &args.clusters)?;
                each(app, &ids, |app, id| {
                    if args.kubeconfig {
                        let text = oneks::orders::kubeconfig::of(&Cluster::fetch_decrypted(&client, *id)?)?;
                        return app.out.data(&text);
                    }
                    let cluster = Cluster::fetch(&client, *id)?;
                    if args.format.any() {
                        let value = format::cluster(&cluster);
                        return args
                            .format
                            .write(&mut app.out, &value, || format::cluster_xml(&cluster));
                    }
                    show_cluster(&mut app.out, &cluster)
                })
            }
            Self::Nodegroup(args) => {
                let groups = select::groups(&client, &args.groups)?;
                each(app, &groups, |app, wanted| {
                    let cluster = Cluster::fetch(&client, wanted.cluster)?;
                    let group = cluster.group(&wanted.group)?;
                    if args.format.any() {
                        let value = format::node_group(&cluster, &group);
                        return args
                            .format
                            .write(&mut app.out, &value, || Ok(format::xml_of("NODEGROUP", &value)));
                    }
                    show_group(&mut app.out, &cluster, &group)
                })
            }
        }
    }
}

fn show_cluster(out: &mut Out, cluster: &Cluster) -> Result<(), Failure> {
    let document = &cluster.document;
    title(out, &format!("CLUSTER {} INFORMATION", cluster.id()))?;
    field(out, "ID", &cluster.id().to_string())?;
    field(out, "NAME", cluster.name())?;
    field(out, "USER", &document.uname)?;
    field(out, "GROUP", &document.gname)?;
    let state = cluster.state();
    styled_field(out, "STATE", &state, state_style(&state))?;
    field(out, "VERSION", &cluster.version())?;
    optional(out, "WANTED VERSION", cluster.wanted_version())?;
    field(out, "NODES", &nodes(cluster.nodes()))?;
    field(out, "ENDPOINT", cluster.endpoint())?;
    optional(out, "DESCRIPTION", cluster.spec["description"].as_str())?;
    optional(out, "REGISTER TIME", cluster.created().map(time::long).as_deref())?;
    let error = cluster.error();
    optional(out, "LAST ERROR", Some(error.as_str()))?;

    title(out, "\nPERMISSIONS")?;
    let rights = document.permissions;
    for (who, access) in [
        ("OWNER", rights.owner),
        ("GROUP", rights.group),
        ("OTHER", rights.other),
    ] {
        field(out, who, &access_text(access))?;
    }

    let status = cluster.status.as_ref();
    title(out, "\nDEPLOYMENT")?;
    deployment(out, cluster, status)?;
    if let Some(credential) = status.and_then(Status::credential_in_use) {
        let ends = credential.expires.map_or_else(
            || "never ends".to_owned(),
            |at| format!("ends {}", time::long(at)),
        );
        let since = time::long(credential.issued);
        field(
            out,
            "CREDENTIAL",
            &format!("{} of {since}, {ends}", credential.serial),
        )?;
    }

    if let Some(operation) = status.and_then(|s| s.operation.as_ref()) {
        title(out, "\nOPERATION")?;
        field(out, "KIND", &operation.kind)?;
        field(out, "STARTED", &time::long(operation.started))?;
        if operation.deadline > 0 {
            field(out, "DEADLINE", &time::long(operation.deadline))?;
        }
        field(out, "STEP", &operation.step)?;
    }
    title(out, "\nGROUPS")?;
    table::show(out, GROUPS, &TableArgs::default(), &GroupRow::of(cluster))?;

    let vms: Vec<NodeRow> = cluster.groups().iter().flat_map(rows).collect();
    if !vms.is_empty() {
        title(out, "\nVIRTUAL MACHINES")?;
        table::show(out, NODES, &TableArgs::default(), &vms)?;
    }
    if let Some(status) = status {
        conditions(out, status)?;
        history(out, status)?;
    }
    Ok(())
}

fn deployment(out: &mut Out, cluster: &Cluster, status: Option<&Status>) -> Result<(), Failure> {
    let deployment = &cluster.spec["deployment"];
    let id = |value: &Value| {
        value["id"]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |id| id.to_string())
    };
    let placement = status.and_then(|s| s.placed.as_ref()).map(|p| &p.placement);
    let network = |value: &Value, name: Option<&str>| match name {
        Some(name) => format!("{} ({name})", id(value)),
        None => id(value),
    };
    let networks = &deployment["networks"];
    field(out, "CLUSTER", &id(&deployment["cluster"]))?;
    field(
        out,
        "PUBLIC NETWORK",
        &network(&networks["public"], placement.map(|p| p.public.name.as_str())),
    )?;
    field(
        out,
        "PRIVATE NETWORK",
        &network(&networks["private"], placement.map(|p| p.private.name.as_str())),
    )?;
    field(out, "IMAGE DATASTORE", &id(&deployment["datastores"]["image"]))?;
    field(out, "DRIVER", cluster.spec["driver"].as_str().unwrap_or("capone"))
}

fn show_group(out: &mut Out, cluster: &Cluster, group: &NodeGroup<'_>) -> Result<(), Failure> {
    title(out, &format!("NODE GROUP {} INFORMATION", group_id(group)))?;
    field(out, "ID", &group_id(group))?;
    field(out, "NAME", group.name())?;
    field(out, "CLUSTER", &format!("{} ({})", cluster.id(), cluster.name()))?;
    field(out, "ROLE", format::role(group))?;
    styled_field(out, "STATE", group.state(), state_style(group.state()))?;
    field(out, "VERSION", group.version())?;
    optional(out, "WANTED VERSION", group.wanted_version())?;
    field(out, "NODES", &nodes(group.nodes()))?;
    optional(out, "DESCRIPTION", group.text("description"))?;
    optional(out, "LAST ERROR", Some(group.error()))?;
    optional(
        out,
        "STEP",
        group
            .status
            .and_then(|s| s.work.as_ref())
            .map(|w| w.step.as_str()),
    )?;

    title(out, "\nCONFIGURATION")?;
    field(out, "FAMILY", group.text("family").unwrap_or("general"))?;
    field(out, "FLAVOUR", group.text("flavour").unwrap_or("-"))?;
    for (section, prefix) in [("user_inputs_values", ""), ("labels", "LABEL ")] {
        for (name, value) in group
            .spec
            .and_then(|s| s[section].as_object())
            .into_iter()
            .flatten()
        {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            field(out, &format!("{prefix}{name}"), &value)?;
        }
    }
    for taint in group
        .spec
        .and_then(|s| s["taints"].as_array())
        .into_iter()
        .flatten()
    {
        let text = |name: &str| taint[name].as_str().unwrap_or_default().to_owned();
        field(
            out,
            "TAINT",
            &format!("{}={}:{}", text("key"), text("value"), text("effect")),
        )?;
    }
    if let Some(status) = group.status {
        let dependencies: Vec<DependencyRow> = dependencies(status);
        if !dependencies.is_empty() {
            title(out, "\nDEPENDENCIES")?;
            table::show(out, DEPENDENCIES, &TableArgs::default(), &dependencies)?;
        }
    }
    let vms = rows(group);
    if !vms.is_empty() {
        title(out, "\nVIRTUAL MACHINES")?;
        table::show(out, NODES, &TableArgs::default(), &vms)?;
    }
    Ok(())
}

fn conditions(out: &mut Out, status: &Status) -> Result<(), Failure> {
    if status.conditions.is_empty() {
        return Ok(());
    }
    title(out, "\nCONDITIONS")?;
    table::show(out, CONDITIONS, &TableArgs::default(), &status.conditions)
}

fn history(out: &mut Out, status: &Status) -> Result<(), Failure> {
    if status.history.is_empty() {
        return Ok(());
    }
    title(out, "\nHISTORY")?;
    let skipped = status.history.len().saturating_sub(HISTORY);
    table::show(out, EVENTS, &TableArgs::default(), &status.history[skipped..])
}

fn title(out: &mut Out, text: &str) -> Result<(), Failure> {
    if !out.colour() {
        return out.line(text);
    }
    let (blank, words) = text.strip_prefix('\n').map_or(("", text), |words| ("\n", words));
    let style = Style::new().bold().underline();
    out.line(&format!("{blank}{style}{words}{style:#}"))
}

fn field(out: &mut Out, name: &str, value: &str) -> Result<(), Failure> {
    styled_field(out, name, value, Style::new())
}

fn styled_field(out: &mut Out, name: &str, value: &str, style: Style) -> Result<(), Failure> {
    let value = table::one_line(value);
    if out.colour() && style != Style::new() {
        return out.line(&format!("{name:<20}: {style}{value}{style:#}"));
    }
    out.line(format!("{name:<20}: {value}").trim_end())
}

/// A field that is shown if it says something.
fn optional(out: &mut Out, name: &str, value: Option<&str>) -> Result<(), Failure> {
    value
        .filter(|v| !v.is_empty())
        .map_or(Ok(()), |value| field(out, name, value))
}

/// `um-`
fn access_text(access: Access) -> String {
    let letter = |set, letter| if set { letter } else { '-' };
    [
        letter(access.r#use, 'u'),
        letter(access.manage, 'm'),
        letter(access.admin, 'a'),
    ]
    .iter()
    .collect()
}

/// A virtual machine of a group.
struct NodeRow {
    id: u32,
    name: String,
    group: String,
    condition: String,
    ready: &'static str,
    version: String,
}

fn rows(group: &NodeGroup<'_>) -> Vec<NodeRow> {
    let Some(status) = group.status else {
        return Vec::new();
    };
    let router = status
        .router
        .iter()
        .flat_map(|r| r.vms.iter().map(|vm| ("router", vm)));
    let vms = status.vms.iter().map(|vm| (group.key, vm)).chain(router);
    vms.map(|(group, vm)| NodeRow {
        id: vm.id,
        name: vm.name.clone(),
        group: group.to_owned(),
        condition: word(&vm.condition),
        ready: match vm.ready {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        },
        version: vm.version.clone().unwrap_or_default(),
    })
    .collect()
}

/// A dependency of a group.
struct DependencyRow {
    name: &'static str,
    id: Option<u32>,
    state: &'static str,
    report: String,
}

fn dependencies(group: &Group) -> Vec<DependencyRow> {
    let seed = group.seed.iter().map(|s| DependencyRow {
        name: "seed VM",
        id: s.vm,
        state: s.state.as_str(),
        report: s.report.clone().unwrap_or_default(),
    });
    let router = group.router.iter().map(|r| DependencyRow {
        name: "virtual router",
        id: r.id,
        state: r.state.as_str(),
        report: String::new(),
    });
    seed.chain(router).collect()
}

/// The word that a value has in JSON, in capitals.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|v| v.as_str().map(str::to_uppercase))
        .unwrap_or_default()
}

const GROUPS: &[Column<GroupRow>] = &[
    Column::new("ID", "Id", |g: &GroupRow| g.id.clone()).right(),
    Column::new("NAME", "Name", |g: &GroupRow| g.name.clone()).least(10),
    Column::new("FLAVOUR", "Flavour", |g: &GroupRow| g.flavour.clone())
        .least(7)
        .spare(2),
    Column::new("STATE", "State", |g: &GroupRow| g.state.to_owned()).style(|g| state_style(g.state)),
    Column::new("VERSION", "Version", |g: &GroupRow| g.version.clone()),
    Column::new("NODES", "Nodes", |g: &GroupRow| g.nodes.clone()).right(),
    Column::new("LAST_ERROR", "What is wrong", |g: &GroupRow| g.error.clone()).wraps(),
];

const NODES: &[Column<NodeRow>] = &[
    Column::new("VM", "Id", |n: &NodeRow| n.id.to_string()).right(),
    Column::new("NAME", "Name", |n: &NodeRow| n.name.clone()).least(12),
    Column::new("GROUP", "Group", |n: &NodeRow| n.group.clone()).least(8),
    Column::new("STATE", "State", |n: &NodeRow| n.condition.clone()).style(|n| state_style(&n.condition)),
    Column::new("READY", "Is the node ready?", |n: &NodeRow| n.ready.to_owned()),
    Column::new("VERSION", "Version", |n: &NodeRow| n.version.clone()),
];

const DEPENDENCIES: &[Column<DependencyRow>] = &[
    Column::new("NAME", "Name", |d: &DependencyRow| d.name.to_owned()),
    Column::new("ID", "Id", |d: &DependencyRow| {
        d.id.map_or_else(|| "-".to_owned(), |id| id.to_string())
    })
    .right(),
    Column::new("STATE", "State", |d: &DependencyRow| d.state.to_owned()).style(|d| state_style(d.state)),
    Column::new("REPORT", "What it reported last", |d: &DependencyRow| {
        d.report.clone()
    })
    .wraps(),
];

const CONDITIONS: &[Column<Condition>] = &[
    Column::new("CONDITION", "Type", |c: &Condition| c.kind.clone()),
    Column::new("STATUS", "Status", |c: &Condition| truth(c.status).to_owned()),
    Column::new("REASON", "Reason", |c: &Condition| c.reason.clone())
        .least(10)
        .spare(1),
    Column::new("SINCE", "Since", |c: &Condition| time::short(c.since)).spare(2),
    Column::new("MESSAGE", "Message", |c: &Condition| c.message.clone()).wraps(),
];

const EVENTS: &[Column<Entry>] = &[
    Column::new("TIME", "When", |e: &Entry| time::short(e.at)),
    Column::new("EVENT", "What happened", |e: &Entry| e.text.clone()).wraps(),
];

fn truth(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    }
}
