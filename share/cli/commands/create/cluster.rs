//! `oneks create cluster`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCandidates;
use oneks_core::names::DOCUMENT_TYPE;
use oneks_core::profile::Catalog;
use oneks_driver::Role;
use opennebula::template::{Template, json_for_cdata};
use serde_json::{Map, Value, json};

use super::place::Place;
use super::{dialog, family_of, inputs, pair, read_file};
use crate::app::App;
use crate::commands::upgrade::version;
use crate::complete;
use crate::failure::Failure;
use crate::format;
use crate::validate;
use crate::wait::{self, Goal, WaitArgs};

/// What `create cluster` takes. Options win over the file.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// Name of the cluster
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Read the specification from a file, JSON or YAML; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the cluster is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Version of Kubernetes, such as v1.34.2
    #[arg(short = 'k', long, alias = "k8s-version", value_name = "VERSION", add = ArgValueCandidates::new(complete::versions))]
    kubernetes_version: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Flavour of the control plane
    #[arg(long, value_name = "FLAVOUR", help_heading = "Control plane",
          add = ArgValueCandidates::new(complete::control_plane_flavours))]
    flavour: Option<String>,
    /// Profile family of the control plane
    #[arg(long, value_name = "FAMILY", help_heading = "Control plane")]
    family: Option<String>,
    /// An input of the control plane's profile; may be repeated
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = pair, help_heading = "Control plane")]
    inputs: Vec<(String, String)>,
    /// A node group, such as name=workers,flavour=small,count=3; may be repeated
    ///
    /// `family` and every input of the profile can be given too. A comma in a value is not possible here; use a file.
    #[arg(long = "nodegroup", visible_alias = "node-group", value_name = "SETTINGS", value_parser = group_settings,
          help_heading = "Node groups")]
    node_groups: Vec<Settings>,
    /// Driver
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Refuse to delete the cluster until this is taken back
    #[arg(long)]
    deletion_protection: bool,
    /// Check everything and print the specification, but create nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// `name=workers,flavour=small,count=3`, taken apart.
type Settings = Vec<(String, String)>;

fn group_settings(text: &str) -> Result<Settings, String> {
    text.split(',')
        .map(pair)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{text:?} is no list of settings; expected name=workers,flavour=small,count=3"))
}

impl ClusterArgs {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let mut spec = match &self.file {
            Some(path) => read_file(path)?,
            None => Map::new(),
        };
        let given = spec.remove("name").and_then(|v| v.as_str().map(str::to_owned));
        let mut name = self.name.clone().or(given).filter(|n| !n.trim().is_empty());
        // Requests to the REST interface name the control plane so.
        if let Some(control_plane) = spec.remove("spec") {
            spec.entry("control_plane").or_insert(control_plane);
        }
        let mut spec = Value::Object(spec);
        let catalog = validate::catalog(app);
        self.apply(app, &mut spec, catalog.as_ref())?;
        let missing = self.missing(&spec);
        if app.is_interactive() && self.file.is_none() && (name.is_none() || !missing.is_empty()) {
            dialog::complete(app, &mut name, &mut spec, catalog.as_ref())?;
        } else if !missing.is_empty() {
            return Err(Failure::Usage(format!(
                "missing: {}; or give the whole specification with --file",
                missing.join(", ")
            )));
        }
        let Some(name) = name else {
            return Err(Failure::Usage("the cluster needs a name".to_owned()));
        };
        let text = json_for_cdata(&spec);
        validate::check(app, &text, None)?;
        if self.dry_run {
            return app.out.line(&format::pretty(&spec));
        }
        let mut template = Template::new();
        template.set("NAME", name.as_str());
        template.set("SPEC", text.as_str());
        let xml = template
            .to_xml("TEMPLATE")
            .map_err(|e| Failure::Refused(e.to_string()))?;
        let id = app.client()?.document_allocate(&xml, DOCUMENT_TYPE)?;
        if !self.wait.json {
            app.out.line(&format!("ID: {id}"))?;
        }
        wait::follow(app, id, &Goal::Settled(text), &self.wait)
    }

    /// Puts the options into the specification.
    fn apply(&self, app: &mut App, spec: &mut Value, catalog: Option<&Catalog>) -> Result<(), Failure> {
        if let Some(text) = &self.description {
            spec["description"] = json!(text);
        }
        if let Some(text) = &self.kubernetes_version {
            spec["kubernetes_version"] = json!(version(text));
        }
        if let Some(text) = &self.driver {
            spec["driver"] = json!(text);
        }
        if self.deletion_protection {
            spec["deletion_protection"] = json!(true);
        }
        for (given, kind, path) in self.place.parts() {
            if let Some(text) = given {
                let id = kind.id(app, text)?;
                *at(spec, path) = json!({"id": id});
            }
        }
        if let Some(family) = &self.family {
            *at(spec, "/control_plane/family") = json!(family);
        }
        if let Some(flavour) = &self.flavour {
            *at(spec, "/control_plane/flavour") = json!(flavour);
        }
        if !self.inputs.is_empty() {
            let family = family_of(catalog, Role::ControlPlane, &spec["control_plane"]);
            for (name, value) in inputs(family, &self.inputs) {
                *at(spec, &format!("/control_plane/user_inputs_values/{name}")) = value;
            }
        }
        for settings in &self.node_groups {
            let group = node_group(catalog, settings)?;
            match at(spec, "/node_groups") {
                Value::Array(groups) => groups.push(group),
                other => *other = json!([group]),
            }
        }
        Ok(())
    }

    /// What is missing, by the names of the options rather than by paths.
    fn missing(&self, spec: &Value) -> Vec<&'static str> {
        let needed = [
            ("/kubernetes_version", "--kubernetes-version"),
            ("/deployment/cluster", "--opennebula-cluster"),
            ("/deployment/networks/public", "--public-network"),
            ("/deployment/networks/private", "--private-network"),
            ("/control_plane/flavour", "--flavour"),
        ];
        if self.file.is_some() {
            return Vec::new();
        }
        let missing = needed.iter().filter(|(path, _)| spec.pointer(path).is_none());
        missing.map(|(_, option)| *option).collect()
    }
}

/// The place in a JSON value, made if it is not there.
pub(super) fn at<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('/').skip(1).fold(value, |value, key| {
        if !value.is_object() {
            *value = json!({});
        }
        &mut value[key]
    })
}

/// The entry of a node group from its settings.
fn node_group(catalog: Option<&Catalog>, settings: &Settings) -> Result<Value, Failure> {
    let mut group = json!({});
    let mut values = Vec::new();
    for (key, value) in settings {
        match key.as_str() {
            "name" | "flavour" | "family" | "display_name" | "description" => group[key] = json!(value),
            _ => values.push((key.clone(), value.clone())),
        }
    }
    for (key, example) in [("name", "name=workers"), ("flavour", "flavour=small")] {
        if group[key].is_null() {
            return Err(Failure::Usage(format!(
                "--nodegroup: {key} is missing, such as {example}"
            )));
        }
    }
    let family = family_of(catalog, Role::NodeGroup, &group);
    let values = inputs(family, &values);
    if !values.is_empty() {
        group["user_inputs_values"] = Value::Object(values);
    }
    Ok(group)
}
