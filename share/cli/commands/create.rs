//! `oneks create`.

mod cluster;
mod dialog;
mod node_group;
pub mod place;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use oneks_core::profile::{Catalog, Family};
use oneks_driver::Role;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::failure::{Failure, with_path};

/// `oneks create`.
#[derive(Debug, Subcommand)]
pub enum Create {
    /// Create a cluster from a file, from options, or by answering questions
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  # From a file, and watch until it runs\n  oneks create cluster --file cluster.yaml --wait --timeout 30m\n  # From options\n  oneks create cluster dev -k v1.34.2 --opennebula-cluster 0 --public-network public --private-network private --image-datastore default --flavour standalone --nodegroup name=workers,flavour=small,count=2\n  # See what would be stored\n  oneks create cluster --file cluster.yaml --dry-run"
    )]
    Cluster(Box<cluster::ClusterArgs>),
    /// Add a node group to a cluster
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(
        after_help = "Examples:\n  oneks create nodegroup gpu --cluster web --flavour large --count 2 --label accelerator=gpu --taint gpu=yes:NoSchedule\n  oneks create nodegroup --cluster web --file group.yaml"
    )]
    Nodegroup(Box<node_group::GroupArgs>),
}

impl Create {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::Cluster(args) => args.run(app),
            Self::Nodegroup(args) => args.run(app),
        }
    }
}

/// Reads JSON or YAML from a file, `-` for standard input.
///
/// # Errors
/// The file can't be read or is neither.
pub fn read_file(path: &PathBuf) -> Result<Map<String, Value>, Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(path).map_err(with_path(path))?
    };
    let wrong = |reason: String| Failure::Refused(format!("{}: {reason}", path.display()));
    let value: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|e| wrong(format!("not JSON: {e}")))?
    } else {
        oneks_core::yaml::from_str(&text).map_err(|e| wrong(e.to_string()))?
    };
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(wrong(
            "expected a map of settings, such as kubernetes_version: v1.34.2".to_owned(),
        )),
    }
}

/// `KEY=VALUE`
///
/// # Errors
/// There is no `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// `KEY=VALUE:EFFECT` or `KEY:EFFECT`, as kubectl has it.
///
/// # Errors
/// There is no effect.
pub fn taint(text: &str) -> Result<Value, String> {
    let (left, effect) = text
        .rsplit_once(':')
        .ok_or("expected KEY=VALUE:EFFECT, such as gpu=yes:NoSchedule")?;
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    Ok(json!({"key": key.trim(), "value": value.trim(), "effect": effect.trim()}))
}

/// The values of inputs as the profile's types want them; without a profile, as JSON if they are, else as text. What is
/// wrong with them is found when the whole specification is checked.
pub fn inputs(family: Option<&Family>, given: &[(String, String)]) -> Map<String, Value> {
    let value = |name: &str, text: &str| {
        let input = family.and_then(|f| f.user_inputs.iter().find(|i| i.name == name));
        let typed = input.and_then(|input| input.parse(text).ok());
        typed.unwrap_or_else(|| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)))
    };
    given
        .iter()
        .map(|(name, text)| (name.clone(), value(name, text)))
        .collect()
}

/// The family that a group chooses.
pub fn family_of<'a>(catalog: Option<&'a Catalog>, role: Role, group: &Value) -> Option<&'a Family> {
    catalog?
        .family(role, group["family"].as_str().unwrap_or("general"))
        .ok()
}
