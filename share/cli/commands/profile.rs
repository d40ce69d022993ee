//! `oneks profile`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use oneks_core::profile::{Catalog, Family};
use oneks_driver::Role;
use serde_json::{Value, json};

use crate::app::App;
use crate::failure::Failure;
use crate::format::{self, FormatArgs};
use crate::table::{self, Column, TableArgs};

/// `oneks profile`.
#[derive(Debug, Subcommand)]
pub enum Profile {
    /// List the flavours that can be chosen
    #[command(after_help = "Examples:\n  oneks profile list")]
    List(ListArgs),
    /// Show the inputs of a flavour, with types, limits and defaults
    #[command(after_help = "Examples:\n  oneks profile show small")]
    Show(ShowArgs),
    /// Check the files of profiles: each error with file, line and reason
    #[command(after_help = "Examples:\n  oneks profile check profiles")]
    Check(CheckArgs),
}

/// What `profile list` takes.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    table: TableArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// What `profile show` takes.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The flavour
    flavour: String,
    /// The family
    #[arg(long, default_value = "general")]
    family: String,
    /// Which of two, if a control plane and a node group have a flavour of this name
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    #[command(flatten)]
    format: FormatArgs,
}

/// What a flavour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RoleName {
    /// Control planes
    Controlplane,
    /// Node groups
    Nodegroup,
}

/// What `profile check` takes.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Folder with `controlplanes` and `nodegroups`; the installed ones unless given
    dir: Option<PathBuf>,
    /// Write JSON
    #[arg(short, long)]
    json: bool,
}

impl Profile {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::List(args) => list(app, args),
            Self::Show(args) => show(app, args),
            Self::Check(args) => check(app, args),
        }
    }
}

fn catalog(app: &mut App) -> Result<Catalog, Failure> {
    let folders = app.installation().profiles;
    let (catalog, errors) = oneks::catalog::load(&folders);
    for error in &errors {
        app.out.note(&format!("oneks: profile {error}"));
    }
    if catalog.control_planes.is_empty() && catalog.node_groups.is_empty() {
        return Err(Failure::NotFound(format!(
            "there are no profiles in {}; they are on the front-end, --profiles names another folder",
            listed(&folders)
        )));
    }
    Ok(catalog)
}

fn list(app: &mut App, args: &ListArgs) -> Result<(), Failure> {
    if args.table.describe {
        return table::describe(&mut app.out, FLAVOURS);
    }
    let catalog = catalog(app)?;
    let mut rows = Vec::new();
    for (role, families) in [
        ("CONTROLPLANE", &catalog.control_planes),
        ("NODEGROUP", &catalog.node_groups),
    ] {
        for family in families.values() {
            rows.extend(
                family
                    .flavours_in_order()
                    .into_iter()
                    .map(|(name, flavour)| FlavourRow {
                        role,
                        family: family.family.clone(),
                        flavour: name.to_owned(),
                        label: flavour.label.clone(),
                        versions: family.supported_k8s_versions.join(","),
                        defaults: Value::Object(flavour.defaults.clone().into_iter().collect()),
                    }),
            );
        }
    }
    let rows = table::filter(FLAVOURS, &args.table, rows)?;
    if args.format.any() {
        let value = Value::Array(rows.iter().map(FlavourRow::json).collect());
        let xml = || {
            Ok(format!(
                "<FLAVOURS>{}</FLAVOURS>",
                format::xml_of("FLAVOUR", &value)
            ))
        };
        return args.format.write(&mut app.out, &value, xml);
    }
    table::show(&mut app.out, FLAVOURS, &args.table, &rows)
}

fn show(app: &mut App, args: &ShowArgs) -> Result<(), Failure> {
    let catalog = catalog(app)?;
    let of_role = |role| {
        catalog
            .family(role, &args.family)
            .ok()
            .filter(|f| f.flavours.contains_key(&args.flavour))
    };
    let roles = match args.role {
        Some(RoleName::Controlplane) => vec![Role::ControlPlane],
        Some(RoleName::Nodegroup) => vec![Role::NodeGroup],
        None => vec![Role::ControlPlane, Role::NodeGroup],
    };
    let found: Vec<&Family> = roles.into_iter().filter_map(of_role).collect();
    let family = match found[..] {
        [family] => family,
        [] => {
            return Err(Failure::NotFound(format!(
                "{}: the family {} has no such flavour; `oneks profile list` shows those there are",
                args.flavour, args.family
            )));
        }
        _ => {
            return Err(Failure::Usage(format!(
                "{}: control planes and node groups have this flavour; give --role",
                args.flavour
            )));
        }
    };
    let Some(flavour) = family.flavours.get(&args.flavour) else {
        return Err(Failure::NotFound(args.flavour.clone()));
    };
    let inputs = family.inputs_of(flavour);
    if args.format.any() {
        let value = serde_json::to_value(&inputs).map_err(|e| Failure::Other(e.to_string()))?;
        let xml = || Ok(format!("<INPUTS>{}</INPUTS>", format::xml_of("INPUT", &value)));
        return args.format.write(&mut app.out, &value, xml);
    }
    let rows: Vec<InputRow> = inputs
        .into_iter()
        .map(|input| InputRow {
            fixed: !flavour.override_defaults && flavour.defaults.contains_key(&input.name),
            input: serde_json::to_value(&input).unwrap_or_default(),
        })
        .collect();
    table::show(&mut app.out, INPUTS, &TableArgs::default(), &rows)
}

fn check(app: &mut App, args: &CheckArgs) -> Result<(), Failure> {
    let folders = match &args.dir {
        Some(folder) if !folder.is_dir() => {
            return Err(Failure::NotFound(format!("{} is no folder", folder.display())));
        }
        Some(folder) => vec![folder.clone()],
        None => app.installation().profiles,
    };
    let (catalog, errors) = oneks::catalog::load(&folders);
    let families = catalog.control_planes.len() + catalog.node_groups.len();
    if args.json {
        let list: Vec<Value> = errors
            .iter()
            .map(|e| json!({"file": e.file, "line": e.line, "reason": e.reason}))
            .collect();
        app.out
            .line(&format::pretty(&json!({"families": families, "errors": list})))?;
    } else {
        for error in &errors {
            app.out.line(&error.to_string())?;
        }
        if errors.is_empty() {
            app.out.line(&format!("{families} families, no errors"))?;
        }
    }
    match (errors.len(), families) {
        (0, 0) => Err(Failure::Refused(format!(
            "{} holds no profiles; expected controlplanes/<family>/controlplane.conf and \
             nodegroups/<family>/nodegroup.conf",
            listed(&folders)
        ))),
        (0, _) => Ok(()),
        (count, _) => Err(Failure::Refused(format!("{count} errors"))),
    }
}

fn listed(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    folders.join(" and ")
}

/// A flavour in a list.
struct FlavourRow {
    role: &'static str,
    family: String,
    flavour: String,
    label: String,
    versions: String,
    defaults: Value,
}

impl FlavourRow {
    fn json(&self) -> Value {
        json!({
            "ROLE": self.role,
            "FAMILY": self.family,
            "FLAVOUR": self.flavour,
            "LABEL": self.label,
            "VERSIONS": self.versions.split(',').collect::<Vec<_>>(),
            "DEFAULTS": self.defaults,
        })
    }
}

/// An input of a flavour.
struct InputRow {
    input: Value,
    fixed: bool,
}

const FLAVOURS: &[Column<FlavourRow>] = &[
    Column::new("ROLE", "CONTROLPLANE or NODEGROUP", |f: &FlavourRow| {
        f.role.to_owned()
    }),
    Column::new("FAMILY", "Family of profiles", |f: &FlavourRow| f.family.clone()).least(8),
    Column::new("FLAVOUR", "Flavour", |f: &FlavourRow| f.flavour.clone()),
    Column::new("LABEL", "Its title", |f: &FlavourRow| f.label.clone())
        .least(12)
        .spare(1),
    Column::new("DEFAULTS", "What it presets", |f: &FlavourRow| {
        settings(&f.defaults)
    })
    .least(16)
    .spare(2),
    Column::new(
        "VERSIONS",
        "Versions of Kubernetes that are offered",
        |f: &FlavourRow| f.versions.clone(),
    )
    .least(12)
    .spare(3),
];

const INPUTS: &[Column<InputRow>] = &[
    Column::new("NAME", "Its name", |i: &InputRow| text(&i.input["name"])),
    Column::new("TYPE", "Its type", |i: &InputRow| text(&i.input["type"])),
    Column::new("DEFAULT", "Its value unless another is given", |i: &InputRow| {
        text(&i.input["default"])
    }),
    Column::new("LIMITS", "Which values it takes", |i: &InputRow| {
        if i.fixed {
            "fixed".to_owned()
        } else {
            settings(&i.input["match"]["values"])
        }
    }),
    Column::new("DESCRIPTION", "What it is", |i: &InputRow| {
        text(&i.input["description"])
    })
    .wraps(),
];

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `count=1 cpu=2`
fn settings(value: &Value) -> String {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={}", text(value)))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => text(other),
    }
}
