//! What users are offered to make a handle from: the VM template *Kubernetes Cluster*, made of `templates/handle/handle.yaml`
//! and of the profiles.

use std::collections::BTreeMap;

use oneks_core::handle::{self, INPUT};
use oneks_core::profile::{Catalog, Family};
use oneks_core::version::Version;
use opennebula::template::{Attribute, Template};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::machine;

/// The source of both templates.
const SOURCE: &str = include_str!("../../../templates/handle/handle.yaml");

/// Says of a template that `oneks setup` made it, and which of them it is.
pub const MARK: &str = "ONEKS_TEMPLATE";

/// The mark of the VM template.
pub const VM: &str = "VM";

/// The mark of the VM template of services.
pub const ROLE_VM: &str = "ROLE";

/// The mark of the service template.
pub const SERVICE: &str = "SERVICE";

/// Document type of OneFlow's service templates.
pub const SERVICE_TEMPLATE: u32 = 101;

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

/// Name of the only role of a service.
const ROLE: &str = "cluster";

impl Offer {
    /// The VM template, for these profiles and with this driver.
    pub fn vm_template(&self, catalog: &Catalog, driver: Option<&str>) -> Template {
        let mut template = self.bare(&self.name, driver, VM);
        template.set_vector(
            "USER_INPUTS",
            self.inputs
                .iter()
                .map(|input| (input.attribute(), input.text(catalog))),
        );
        let names: Vec<String> = self.inputs.iter().map(Input::attribute).collect();
        template.set("INPUTS_ORDER", names.join(","));
        for [kind, name, title, description] in self.about() {
            template.push(Attribute::vector(
                "USER_INPUTS_METADATA",
                [
                    ("NAME", name),
                    ("TYPE", kind),
                    ("TITLE", title),
                    ("DESCRIPTION", description),
                ],
            ));
        }
        template
    }

    /// The VM template of the service's role, which asks for nothing: the service does.
    pub fn role_template(&self, driver: Option<&str>) -> Template {
        self.bare(&format!("{} (of a service)", self.name), driver, ROLE_VM)
    }

    fn bare(&self, name: &str, driver: Option<&str>, mark: &str) -> Template {
        let mut template = machine::template(name);
        template.set("DESCRIPTION", self.description.as_str());
        if let Some(driver) = driver {
            template.set(handle::DRIVER, driver);
        }
        template.set(MARK, mark);
        template
    }

    /// Type, name, title and description of the inputs' application and groups.
    fn about(&self) -> Vec<[&str; 4]> {
        let app = INPUT.trim_start_matches("ONEAPP_").trim_end_matches('_');
        let groups = self.groups.iter();
        let groups = groups.map(|g| ["GROUP", &g.name, &g.title, &g.description]);
        std::iter::once(["APP", app, &self.title, &self.description])
            .chain(groups)
            .collect()
    }

    /// The service template, whose only role is made from this VM template. Networks arrive as NICs of the VM: there is no
    /// other way in which OneFlow passes them on.
    pub fn service_template(&self, catalog: &Catalog, role_template: u32) -> Value {
        let networks: Vec<&Input> = self.inputs.iter().filter(|input| input.network).collect();
        let inputs = self.inputs.iter().filter(|input| !input.network);
        let inputs: Map<String, Value> = inputs
            .map(|input| (input.attribute(), input.text(catalog).into()))
            .collect();
        let name = |input: &Input| {
            let word = input.name.rsplit('_').next().unwrap_or_default();
            format!("{}{}", &word[..1], word[1..].to_lowercase())
        };
        let nics: Vec<Value> = networks
            .iter()
            .map(|input| json!({"NETWORK_ID": format!("${}", name(input))}))
            .collect();
        let networks: Map<String, Value> = networks
            .iter()
            .map(|input| {
                let about = input.description.trim_end_matches(" (name or id)");
                (name(input), format!("M|network|{about}| |id:").into())
            })
            .collect();
        let about: Vec<Value> = self
            .about()
            .into_iter()
            .map(|[kind, name, title, description]| {
                json!({"type": kind, "name": name, "title": title, "description": description})
            })
            .collect();
        json!({
            "name": self.name,
            "description": self.service_description,
            "deployment": "straight",
            "ready_status_gate": false,
            "automatic_deletion": true,
            "on_hold": false,
            "networks": networks,
            "user_inputs": inputs,
            "user_inputs_metadata": about,
            "roles": [{
                "name": ROLE,
                "type": "vm",
                "cardinality": 1,
                "min_vms": 1,
                "max_vms": 1,
                "on_hold": true,
                "template_id": role_template,
                "template_contents": {"NIC": nics},
                "elasticity_policies": [],
                "scheduled_policies": [],
            }],
            MARK: SERVICE,
        })
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

    #[test]
    fn the_service_asks_for_the_same_and_for_networks() {
        let offer = offer().unwrap();
        let service = offer.service_template(&catalog(), 7);
        let inputs = service["user_inputs"].as_object().unwrap();
        let networks = service["networks"].as_object().unwrap();
        assert_eq!(inputs.len() + networks.len(), offer.inputs.len());
        assert_eq!(networks.keys().collect::<Vec<_>>(), ["Private", "Public"]);
        let role = &service["roles"][0];
        assert_eq!(role["template_id"], 7);
        assert_eq!(role["on_hold"], true);
        // The public one first: that is how the hooks tell them apart.
        let nics = json!([{"NETWORK_ID": "$Public"}, {"NETWORK_ID": "$Private"}]);
        assert_eq!(role["template_contents"]["NIC"], nics);
        let template = offer.role_template(Some("dummy"));
        assert_eq!(
            (template.get("USER_INPUTS"), template.get("ONEKS_DRIVER")),
            (None, Some("dummy"))
        );
    }
}
