//! `oneks update`.

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks_driver::Role;
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::create::{family_of, inputs, pair, read_file, taint};
use crate::complete;
use crate::edit::Changed;
use crate::failure::{Failure, with_path};
use crate::wait::{self, Goal, WaitArgs};
use crate::{edit, format, select, validate};
use oneks::orders::cluster::Cluster;
use oneks::orders::edit::set_input;

/// `oneks update`.
#[derive(Debug, Subcommand)]
pub enum Update {
    /// Change the specification of a cluster
    ///
    /// By options, from a file, or, with neither, in an editor (VISUAL, EDITOR).
    #[command(alias = "clusters")]
    #[command(
        after_help = "Examples:\n  oneks update cluster web --description production --deletion-protection true\n  # Start nothing for a while\n  oneks update cluster web --paused true\n  # Change only what the file names\n  oneks update cluster web --file change.yaml --append"
    )]
    Cluster(UpdateClusterArgs),
    /// Change the specification of a node group
    ///
    /// By options, from a file, or, with neither, in an editor (VISUAL, EDITOR).
    #[command(aliases = ["nodegroups", "group", "groups"])]
    #[command(
        after_help = "Examples:\n  # Set one label and remove another\n  oneks update nodegroup web/workers --label tier=backend --label old-\n  oneks update nodegroup web/workers --description batch"
    )]
    Nodegroup(UpdateGroupArgs),
}

/// Where the new specification comes from.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// Take the specification from a file, JSON or YAML; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file only names what changes; null removes a setting
    #[arg(short, long, requires = "file")]
    append: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// An input of the profile; may be repeated
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = pair)]
    inputs: Vec<(String, String)>,
}

/// What `update cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct UpdateClusterArgs {
    /// The cluster, by id or name
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    cluster: String,
    #[command(flatten)]
    source: Source,
    /// Start nothing while this is true; what is under way goes on
    #[arg(long, value_name = "BOOL")]
    paused: Option<bool>,
    /// Refuse to delete the cluster while this is true
    #[arg(long, value_name = "BOOL")]
    deletion_protection: Option<bool>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// What `update nodegroup` takes.
#[derive(Debug, Clone, Args)]
pub struct UpdateGroupArgs {
    /// The node group: 24001, web/workers
    #[arg(add = ArgValueCandidates::new(complete::groups))]
    group: String,
    #[command(flatten)]
    source: Source,
    /// Set a label of the nodes, or remove it with NAME-; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Set a taint of the nodes, or remove it with KEY-; may be repeated
    #[arg(long = "taint", value_name = "KEY=VALUE:EFFECT")]
    taints: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Update {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        match self {
            Self::Cluster(args) => args.run(app),
            Self::Nodegroup(args) => args.run(app),
        }
    }
}

impl UpdateClusterArgs {
    fn run(&self, app: &mut App) -> Result<(), Failure> {
        let client = app.client()?;
        let id = select::cluster(&client, &self.cluster)?;
        let options =
            self.source.has_options() || self.paused.is_some() || self.deletion_protection.is_some();
        let file = self.source.read()?;
        let changed = if options || self.source.append {
            let catalog = validate::catalog(app);
            edit::spec(app, id, |_, spec| {
                if let Some(file) = &file {
                    merge(spec, file);
                }
                if let Some(text) = &self.source.description {
                    spec["description"] = json!(text);
                }
                let flags = [
                    ("paused", self.paused),
                    ("deletion_protection", self.deletion_protection),
                ];
                for (name, value) in flags {
                    if let Some(value) = value {
                        spec[name] = json!(value);
                    }
                }
                let family = family_of(catalog.as_ref(), Role::ControlPlane, &spec["control_plane"]);
                for (name, value) in inputs(family, &self.source.inputs) {
                    set_input(&mut spec["control_plane"], &name, value);
                }
                Ok(())
            })?
        } else {
            let cluster = Cluster::fetch(&client, id)?;
            let seen = cluster
                .document
                .template
                .get("SPEC")
                .unwrap_or_default()
                .to_owned();
            let new = match file {
                Some(mut file) => {
                    // A file for `create` names the cluster too; the name of a document is no part of SPEC.
                    file.as_object_mut().map(|map| map.remove("name"));
                    file
                }
                None => edited(app, &cluster.spec)?,
            };
            edit::replace(app, id, &seen, &new)?
        };
        finish(app, id, changed, &self.wait)
    }
}

impl UpdateGroupArgs {
    fn run(&self, app: &mut App) -> Result<(), Failure> {
        let client = app.client()?;
        let groups = select::groups(&client, std::slice::from_ref(&self.group))?;
        let [wanted] = &groups[..] else {
            return Err(Failure::Usage(format!(
                "{}: one node group is wanted here, not several",
                self.group
            )));
        };
        let id = wanted.cluster;
        let mut file = self.source.read()?;
        let options = self.source.has_options() || !self.labels.is_empty() || !self.taints.is_empty();
        let replaces = file.is_some() && !self.source.append;
        if file.is_none() && !options {
            let cluster = Cluster::fetch(&client, id)?;
            let group = cluster.group(&wanted.group)?;
            file = Some(edited(app, group.spec.unwrap_or(&Value::Null))?);
        }
        let catalog = validate::catalog(app);
        let changed = edit::spec(app, id, |cluster, spec| {
            let key = cluster.group(&wanted.group)?.key.to_owned();
            if key == oneks_core::names::CONTROL_PLANE_KEY {
                return Err(Failure::Refused(format!(
                    "the control plane is changed with `oneks update cluster {}`",
                    cluster.id()
                )));
            }
            let group = edit::group_mut(spec, &key, cluster)?;
            match &file {
                Some(file) if replaces || !options && !self.source.append => *group = file.clone(),
                Some(file) => merge(group, file),
                None => {}
            }
            if group["name"].is_null() {
                group["name"] = json!(key);
            }
            if let Some(text) = &self.source.description {
                group["description"] = json!(text);
            }
            let family = family_of(catalog.as_ref(), Role::NodeGroup, group);
            for (name, value) in inputs(family, &self.source.inputs) {
                set_input(group, &name, value);
            }
            for text in &self.labels {
                label(group, text)?;
            }
            for text in &self.taints {
                set_taint(group, text)?;
            }
            Ok(())
        })?;
        finish(app, id, changed, &self.wait)
    }
}

fn finish(app: &mut App, id: u32, changed: Changed, wait: &WaitArgs) -> Result<(), Failure> {
    if !changed.written {
        app.out.note("oneks: nothing has changed");
    }
    wait::follow(app, id, &Goal::Settled(changed.text), wait)
}

impl Source {
    fn has_options(&self) -> bool {
        self.description.is_some() || !self.inputs.is_empty()
    }

    fn read(&self) -> Result<Option<Value>, Failure> {
        self.file
            .as_ref()
            .map(|path| read_file(path).map(Value::Object))
            .transpose()
    }
}

/// JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|map| map.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn label(group: &mut Value, text: &str) -> Result<(), Failure> {
    if !group["labels"].is_object() {
        group["labels"] = json!({});
    }
    if let Some(name) = text.strip_suffix('-').filter(|name| !name.contains('=')) {
        group["labels"].as_object_mut().map(|map| map.remove(name));
        return Ok(());
    }
    let (name, value) = pair(text).map_err(|e| Failure::Usage(format!("--label {text}: {e}")))?;
    group["labels"][name] = json!(value);
    Ok(())
}

/// Sets the taint of a key and effect, or removes all of a key.
fn set_taint(group: &mut Value, text: &str) -> Result<(), Failure> {
    let mut taints = group["taints"].as_array().cloned().unwrap_or_default();
    if let Some(key) = text.strip_suffix('-').filter(|key| !key.contains([':', '='])) {
        taints.retain(|t| t["key"] != key);
    } else {
        let new = taint(text).map_err(|e| Failure::Usage(format!("--taint {text}: {e}")))?;
        taints.retain(|t| t["key"] != new["key"] || t["effect"] != new["effect"]);
        taints.push(new);
    }
    group["taints"] = Value::Array(taints);
    Ok(())
}

/// The value after the user has changed it in an editor.
fn edited(app: &mut App, value: &Value) -> Result<Value, Failure> {
    if !app.is_interactive() {
        return Err(Failure::Usage(
            "nothing to change: give options or --file".to_owned(),
        ));
    }
    let set = |name| app.environment.var(name);
    let editor = set("VISUAL")
        .or_else(|| set("EDITOR"))
        .unwrap_or_else(|| "vi".to_owned());
    let file = tempfile::Builder::new()
        .prefix("oneks-")
        .suffix(".yaml")
        .tempfile()?;
    let path = file.path().to_owned();
    std::fs::write(&path, format::yaml(value)?).map_err(with_path(&path))?;
    // An editor may come with options, as in "code --wait".
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(&path).status();
    let status = status.map_err(|e| Failure::Other(format!("the editor {editor} can't be started: {e}")))?;
    if !status.success() {
        return Err(Failure::Other(format!(
            "the editor {editor} failed; nothing was changed"
        )));
    }
    Ok(Value::Object(read_file(&path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let mut value = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]});
        merge(
            &mut value,
            &json!({"b": {"c": null, "x": {"y": 1}}, "e": [9], "a": null}),
        );
        assert_eq!(value, json!({"b": {"d": 3, "x": {"y": 1}}, "e": [9]}));
    }

    #[test]
    fn labels_and_taints_come_and_go() {
        let mut group = json!({"name": "workers"});
        label(&mut group, "tier=db").unwrap();
        label(&mut group, "a=b").unwrap();
        label(&mut group, "a-").unwrap();
        set_taint(&mut group, "gpu=yes:NoSchedule").unwrap();
        set_taint(&mut group, "gpu=no:NoSchedule").unwrap();
        set_taint(&mut group, "x:NoExecute").unwrap();
        assert_eq!(
            group,
            json!({
                "name": "workers",
                "labels": {"tier": "db"},
                "taints": [
                    {"key": "gpu", "value": "no", "effect": "NoSchedule"},
                    {"key": "x", "value": "", "effect": "NoExecute"},
                ],
            })
        );
        set_taint(&mut group, "gpu-").unwrap();
        assert_eq!(group["taints"].as_array().unwrap().len(), 1);
        assert!(label(&mut group, "nonsense").is_err());
        assert!(set_taint(&mut group, "nonsense").is_err());
    }
}
