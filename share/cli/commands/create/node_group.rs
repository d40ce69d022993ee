//! `oneks create nodegroup`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCandidates;
use oneks_driver::Role;
use serde_json::{Map, Value, json};

use super::{family_of, inputs, pair, read_file, taint};
use crate::app::App;
use crate::complete;
use crate::failure::Failure;
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, select, validate};
use oneks::orders::edit::set_input;

/// What `create nodegroup` takes. Options win over the file.
#[derive(Debug, Clone, Args)]
pub struct GroupArgs {
    /// Name of the node group, part of its machines' names
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The cluster, by id or name
    #[arg(short, long, alias = "cluster-id", value_name = "CLUSTER", add = ArgValueCandidates::new(complete::clusters))]
    cluster: String,
    /// Read the node group from a file, JSON or YAML; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Flavour
    #[arg(long, value_name = "FLAVOUR", add = ArgValueCandidates::new(complete::node_group_flavours))]
    flavour: Option<String>,
    /// Profile family
    #[arg(long, value_name = "FAMILY")]
    family: Option<String>,
    /// Number of nodes
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u32>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// An input of the profile; may be repeated
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// A label of the nodes; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// A taint of the nodes, such as gpu=yes:NoSchedule; may be repeated
    #[arg(long = "taint", value_name = "KEY=VALUE:EFFECT", value_parser = taint)]
    taints: Vec<Value>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl GroupArgs {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let group = self.group(app)?;
        let id = select::cluster(&app.client()?, &self.cluster)?;
        let changed = edit::spec(app, id, |cluster, spec| {
            Ok(oneks::orders::edit::add_group(cluster, spec, &group)?)
        })?;
        wait::follow(app, id, &Goal::Settled(changed.text), &self.wait)
    }

    /// The entry in SPEC.
    fn group(&self, app: &mut App) -> Result<Value, Failure> {
        let mut group = match &self.file {
            Some(path) => Value::Object(read_file(path)?),
            None => Value::Object(Map::new()),
        };
        let texts = [
            ("name", &self.name),
            ("flavour", &self.flavour),
            ("family", &self.family),
            ("description", &self.description),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                group[key] = json!(text);
            }
        }
        if group["name"].as_str().is_none_or(str::is_empty) {
            return Err(Failure::Usage("the node group needs a name".to_owned()));
        }
        if group["flavour"].is_null() {
            return Err(Failure::Usage(
                "missing: --flavour; or give the node group with --file".to_owned(),
            ));
        }
        let catalog = validate::catalog(app);
        let family = family_of(catalog.as_ref(), Role::NodeGroup, &group);
        for (name, value) in inputs(family, &self.inputs) {
            set_input(&mut group, &name, value);
        }
        if let Some(count) = self.count {
            set_input(&mut group, "count", json!(count));
        }
        for (name, value) in &self.labels {
            if !group["labels"].is_object() {
                group["labels"] = json!({});
            }
            group["labels"][name] = json!(value);
        }
        if !self.taints.is_empty() {
            let mut taints = group["taints"].as_array().cloned().unwrap_or_default();
            taints.extend(self.taints.iter().cloned());
            group["taints"] = Value::Array(taints);
        }
        Ok(group)
    }
}
