//! A family's file as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::family::{DependencyKind, DependencyOptions};
use crate::yaml::At;

/// The file as it is written. Keys that it must not have are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) description: String,
    #[serde(default)]
    pub(super) family: Option<At<String>>,
    pub(super) supported_k8s_versions: Vec<At<String>>,
    #[serde(default)]
    pub(super) dependencies: Vec<At<FileDependency>>,
    pub(super) user_inputs: Vec<At<FileInput>>,
    pub(super) flavours: BTreeMap<String, At<FileFlavour>>,
    #[serde(default)]
    pub(super) settings: Option<At<Value>>,
    #[serde(default)]
    pub(super) metadata: Value,
}

/// A dependency.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDependency {
    pub(super) object: DependencyKind,
    #[serde(default)]
    pub(super) options: DependencyOptions,
}

/// An input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileInput {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) mandatory: bool,
    #[serde(default)]
    pub(super) default: Option<Value>,
    #[serde(default, rename = "match")]
    pub(super) limits: Option<At<FileMatch>>,
}

/// Limits of an input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMatch {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) values: Value,
}

/// A flavour.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFlavour {
    #[serde(default)]
    pub(super) label: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default = "yes")]
    pub(super) override_defaults: bool,
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, Value>,
}

fn yes() -> bool {
    true
}
