//! Families and flavours.

use std::collections::BTreeMap;

use oneks_driver::{Profile, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::input::UserInput;

/// All families that could be read, by role and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// Families of control planes.
    pub control_planes: BTreeMap<String, Family>,
    /// Families of node groups.
    pub node_groups: BTreeMap<String, Family>,
}

impl Catalog {
    /// The family of that name.
    ///
    /// # Errors
    /// If there is none; the message names those there are.
    pub fn family(&self, role: Role, name: &str) -> Result<&Family, UnknownFamily> {
        let families = match role {
            Role::ControlPlane => &self.control_planes,
            Role::NodeGroup => &self.node_groups,
        };
        families.get(name).ok_or_else(|| UnknownFamily {
            role,
            name: name.to_owned(),
            known: families.keys().cloned().collect(),
        })
    }
}

/// There is no family of that name, or its file is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {} family {name:?}; {}", role_name(*.role), one_of(.known))]
pub struct UnknownFamily {
    /// What the family was wanted for.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Those there are.
    pub known: Vec<String>,
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "control plane",
        Role::NodeGroup => "node group",
    }
}

/// "choose one of a, b", or that there is nothing to choose from.
pub(super) fn one_of(known: &[String]) -> String {
    if known.is_empty() {
        "none is installed".to_owned()
    } else {
        format!("choose one of {}", known.join(", "))
    }
}

/// Something is wrong with a profile file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}{}: {reason}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct ProfileError {
    /// The file, relative to the folder of the profiles.
    pub file: String,
    /// The line, counted from 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// A family: what its flavours have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its folder's name, by which it is chosen.
    pub family: String,
    /// Its title.
    pub name: String,
    /// What it is good for; may hold HTML.
    pub description: String,
    /// What its groups are for.
    pub role: Role,
    /// Versions on offer, `v1.34.2`, as the file lists them.
    pub supported_k8s_versions: Vec<String>,
    /// What can be chosen, in the order of the file.
    pub user_inputs: Vec<UserInput>,
    /// The presets. [`Family::flavours_in_order`] has the file's order.
    pub flavours: BTreeMap<String, Flavour>,
    /// What is made and removed with a control plane.
    pub dependencies: Vec<Dependency>,
    /// How the images are recognised, by purpose (`seed`, `node`, `router`): `settings.images`. Of several marks
    /// the first that an image has decides.
    pub images: BTreeMap<String, Vec<ImageMark>>,
    /// Everything that the driver's texts need besides inputs.
    pub settings: Value,
    /// For user interfaces; not interpreted.
    pub metadata: Value,
    /// Template texts by file name.
    pub texts: BTreeMap<String, String>,
}

impl Family {
    /// The flavours in the order of the file.
    pub fn flavours_in_order(&self) -> Vec<(&str, &Flavour)> {
        let mut flavours: Vec<_> = self.flavours.iter().map(|(name, f)| (name.as_str(), f)).collect();
        flavours.sort_by_key(|(_, f)| f.position);
        flavours
    }

    /// The dependency of that kind.
    pub fn dependency(&self, kind: DependencyKind) -> Option<&Dependency> {
        self.dependencies.iter().find(|d| d.object == kind)
    }

    /// The inputs with this flavour's presets as their defaults: what a form shows.
    pub fn inputs_of(&self, flavour: &Flavour) -> Vec<UserInput> {
        self.user_inputs
            .iter()
            .map(|input| {
                let mut input = input.clone();
                if let Some(preset) = flavour.defaults.get(&input.name) {
                    input.default = Some(preset.clone());
                }
                input
            })
            .collect()
    }

    /// What a driver gets to see: the settings with the dependencies' options under `dependencies`, and the texts.
    pub fn driver_profile(&self, flavour: &str) -> Profile {
        let mut settings = match &self.settings {
            Value::Object(map) => map.clone(),
            _ => Map::new(),
        };
        let dependencies: Map<String, Value> = self
            .dependencies
            .iter()
            .filter_map(|d| Some((d.object.name().to_owned(), serde_json::to_value(&d.options).ok()?)))
            .collect();
        settings.insert("dependencies".to_owned(), Value::Object(dependencies));
        Profile {
            family: self.family.clone(),
            flavour: flavour.to_owned(),
            settings: Value::Object(settings),
            texts: self.texts.clone(),
        }
    }
}

/// A preset of inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flavour {
    /// Its title.
    pub label: String,
    /// What it is good for; may hold HTML.
    pub description: String,
    /// May users change what it presets?
    pub override_defaults: bool,
    /// The presets.
    pub defaults: BTreeMap<String, Value>,
    /// Its place in the file, counted from 0.
    #[serde(skip)]
    pub position: usize,
}

/// Something that is made and removed with a control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// What it is.
    pub object: DependencyKind,
    /// How it is treated.
    pub options: DependencyOptions,
}

/// The kinds of dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyKind {
    /// Temporary VM that builds the control plane.
    SeedVm,
    /// Virtual router.
    ClusterRouter,
}

impl DependencyKind {
    /// The name in profiles and in the REST interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::SeedVm => "seed_vm",
            Self::ClusterRouter => "cluster_router",
        }
    }
}

/// Options of a dependency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependencyOptions {
    /// Seconds within which it must be ready. For the seed VM a least value: the number of nodes may need more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timeout: Option<u64>,
    /// Is it removed once the cluster runs? `true` for the seed VM, `false` for the router; anything else is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_on_running: Option<bool>,
    /// Marketplace id of the seed's image, `ONEKS_APPLIANCE_ID` on the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appliance_id: Option<String>,
}

/// How an image is recognised: it has this attribute with this value. `NAME` is the image's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageMark {
    /// The attribute.
    pub attribute: String,
    /// Its value.
    pub value: String,
}
