//! What users are offered to make a handle from: the VM template *Kubernetes Cluster*, made of `templates/handle/handle.yaml`
//! and of the profiles.

use std::collections::BTreeMap;

use oneks_core::handle::{self, INPUT};
use oneks_core::profile::{Catalog, Family};
use oneks_core::version::Version;
use opennebula::template::{Attribute, Template};
use serde::Deserialize;

use super::machine;

/// The source of both templates.
const SOURCE: &str = include_str!("../../../templates/handle/handle.yaml");

/// Says of a template that `oneks setup` made it, and in which form.
pub const MARK: &str = "ONEKS_TEMPLATE";

/// What the source says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Name of the templates.
    pub name: String,
    /// Description of the VM template.
    pub description: String,
    /// Description of the service template.
    pub service_description: String,
    /// Title of the tab in Sunstone.
    pub title: String,
    /// The groups of inputs.
    pub groups: Vec<Group>,
    /// The inputs, in the order in which they are asked for.
    pub inputs: Vec<Input>,
}

/// A group of inputs: those whose names begin like it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: String,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name, without the prefix that all have.
    pub name: String,
    /// Must it be given?
    #[serde(default)]
    pub mandatory: bool,
    /// OpenNebula's type of it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is.
    pub description: String,
    /// Where a list is taken from.
    #[serde(default)]
    pub options: Option<Options>,
    /// What it is unless something else is given.
    #[serde(default)]
    pub default: String,
    /// In a service it is a network, and no input.
    #[serde(default)]
    pub network: bool,
}

/// Lists that follow from the profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Options {
    /// Versions of Kubernetes.
    Versions,
    /// Flavours of control planes.
    ControlPlanes,
    /// Flavours of node groups.
    NodeGroups,
}

/// The source, read.
///
/// # Errors
/// It is not what it must be; a test sees that.
pub fn offer() -> Result<Offer, String> {
    oneks_core::yaml::from_str(SOURCE).map_err(|e| e.to_string())
}

impl Input {
    /// The name of its attribute.
    pub fn attribute(&self) -> String {
        format!("{INPUT}{}", self.name)
    }

    /// It as OpenNebula writes user inputs: `M|list|What it is|a,b|a`.
    pub fn text(&self, catalog: &Catalog) -> String {
        let options = self.options.map(|o| o.of(catalog)).unwrap_or_default();
        let usual = match self.options {
            Some(Options::Versions) => options.last(),
            Some(_) => options.first(),
            None => None,
        };
        format!(
            "{}|{}|{}|{}|{}",
            if self.mandatory { "M" } else { "O" },
            self.kind,
            self.description,
            // oned drops blanks at the end, and the command wants all five parts.
            if options.is_empty() {
                " ".to_owned()
            } else {
                options.join(",")
            },
            usual.unwrap_or(&self.default)
        )
    }
}

impl Options {
    /// The list, by these profiles.
    fn of(self, catalog: &Catalog) -> Vec<String> {
        match self {
            Self::Versions => versions(catalog),
            Self::ControlPlanes => flavours(&catalog.control_planes),
            Self::NodeGroups => flavours(&catalog.node_groups),
        }
    }
}

/// The versions that are offered for control planes and nodes, the newest last.
fn versions(catalog: &Catalog) -> Vec<String> {
    let of = |families: &BTreeMap<String, Family>| -> Vec<String> {
        let all = families.values().flat_map(|f| f.supported_k8s_versions.clone());
        all.collect()
    };
    let nodes = of(&catalog.node_groups);
    let mut versions = of(&catalog.control_planes);
    versions.retain(|version| nodes.is_empty() || nodes.contains(version));
    versions.sort_by_key(|version| Version::parse(version));
    versions.dedup();
    versions
}

/// `small` of the usual family, `bigmem/small` of others; the usual family's first.
fn flavours(families: &BTreeMap<String, Family>) -> Vec<String> {
    let mut families: Vec<&Family> = families.values().collect();
    families.sort_by_key(|family| family.family != "general");
    let names = families.into_iter().flat_map(|family| {
        let flavours = family.flavours_in_order().into_iter();
        flavours.map(|(name, _)| match family.family.as_str() {
            "general" => name.to_owned(),
            other => format!("{other}/{name}"),
        })
    });
    // A comma would end the name in the list.
    names.filter(|name| !name.contains([',', '|'])).collect()
}

impl Offer {
    /// The VM template, for these profiles and with this driver.
    pub fn vm_template(&self, catalog: &Catalog, driver: Option<&str>) -> Template {
        let mut template = machine::template(&self.name);
        template.set("DESCRIPTION", self.description.as_str());
        let names: Vec<String> = self.inputs.iter().map(Input::attribute).collect();
        template.set_vector(
            "USER_INPUTS",
            self.inputs
                .iter()
                .map(|input| (input.attribute(), input.text(catalog))),
        );
        template.set("INPUTS_ORDER", names.join(","));
        let app = INPUT
            .trim_start_matches("ONEAPP_")
            .trim_end_matches('_')
            .to_owned();
        let mut about = |kind: &str, name: &str, title: &str, description: &str| {
            template.push(Attribute::vector(
                "USER_INPUTS_METADATA",
                [
                    ("NAME", name),
                    ("TYPE", kind),
                    ("TITLE", title),
                    ("DESCRIPTION", description),
                ],
            ));
        };
        about("APP", &app, &self.title, &self.description);
        for group in &self.groups {
            about("GROUP", &group.name, &group.title, &group.description);
        }
        if let Some(driver) = driver {
            template.set(handle::DRIVER, driver);
        }
        template.set(MARK, "VM");
        template
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/profiles");
        let (catalog, errors) = crate::catalog::load(&[folder.into()]);
        assert_eq!(errors, []);
        catalog
    }

    #[test]
    fn the_template_asks_for_what_there_is_in_order() {
        let offer = offer().unwrap();
        let template = offer.vm_template(&catalog(), None);
        let inputs = template.get_vector("USER_INPUTS").unwrap();
        let names: Vec<&str> = inputs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(template.get("INPUTS_ORDER"), Some(names.join(",").as_str()));
        assert!(names.len() >= 8, "{names:?}");
        for (name, text) in inputs {
            let parts: Vec<&str> = text.split('|').collect();
            assert_eq!(parts.len(), 5, "{name}: {text}");
            // Sunstone groups what is called so: ONEAPP_<app>_<group>_<field>.
            let group = name.split('_').nth(2).unwrap();
            assert!(offer.groups.iter().any(|g| g.name == group), "{name}");
            if parts[1] == "list" {
                assert!(parts[3].split(',').any(|option| option == parts[4]), "{text}");
            }
        }
        let version = template.get_in("USER_INPUTS", "ONEAPP_KUBERNETES_CLUSTER_VERSION");
        assert_eq!(
            version,
            Some("M|list|Version of Kubernetes|v1.32.9,v1.33.7,v1.34.2|v1.34.2")
        );
        let flavour = template
            .get_in("USER_INPUTS", "ONEAPP_KUBERNETES_NODES_FLAVOUR")
            .unwrap();
        assert!(flavour.ends_with("|small,medium,large|small"), "{flavour}");
        assert!(template.get_vector("DISK").is_none() && template.get_vector("NIC").is_none());
        // Both syntaxes can carry it.
        assert_eq!(
            Template::parse_text(&template.to_text().unwrap()),
            Ok(template.clone())
        );
    }
}
