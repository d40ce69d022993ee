//! Asking for what the options leave open: on a terminal, with the profile's choices, defaults and limits.

use std::collections::BTreeMap;

use oneks_core::names::{RESERVED_KEYS, is_dns_label};
use oneks_core::profile::{Catalog, Family, UserInput};
use oneks_core::spec::MAX_KEY;
use oneks_driver::Role;
use opennebula::calls::{PoolFilter, PoolRange};
use opennebula::objects::DatastoreType;
use serde_json::{Value, json};

use super::cluster::at;
use super::family_of;
use crate::app::App;
use crate::failure::Failure;
use crate::format;
use oneks::orders::edit::set_input;

/// One of several answers.
struct Choice {
    /// What is shown.
    label: String,
    /// What it means.
    value: Value,
}

/// Asks for everything that the specification lacks, and whether it is to be used.
///
/// # Errors
/// The user gives up, or a call.
pub fn complete(
    app: &mut App,
    name: &mut Option<String>,
    spec: &mut Value,
    catalog: Option<&Catalog>,
) -> Result<(), Failure> {
    if name.is_none() {
        *name = Some(until(app, "Name of the cluster: ", |text| {
            if text.is_empty() {
                Err("a name is needed".to_owned())
            } else {
                Ok(text.to_owned())
            }
        })?);
    }
    if spec["kubernetes_version"].is_null() {
        spec["kubernetes_version"] = version(app, spec, catalog)?;
    }
    placement(app, spec)?;
    if spec["control_plane"]["flavour"].is_null() {
        group(app, at(spec, "/control_plane"), Role::ControlPlane, catalog)?;
    }
    if spec["node_groups"].is_null() {
        node_groups(app, spec, catalog)?;
    }
    app.out.note(&format!("\n{}", format::yaml(spec)?));
    if app.confirm("Create this cluster?")? {
        Ok(())
    } else {
        Err(Failure::Other("nothing was created".to_owned()))
    }
}

fn version(app: &mut App, spec: &Value, catalog: Option<&Catalog>) -> Result<Value, Failure> {
    let Some(family) = family_of(catalog, Role::ControlPlane, &spec["control_plane"]) else {
        return until(app, "Version of Kubernetes: ", |text| Ok(json!(text)));
    };
    let choices: Vec<Choice> = family
        .supported_k8s_versions
        .iter()
        .map(|version| Choice {
            label: version.clone(),
            value: json!(version),
        })
        .collect();
    let last = choices.len().saturating_sub(1);
    choose(app, "Version of Kubernetes", &choices, last)
}

fn placement(app: &mut App, spec: &mut Value) -> Result<(), Failure> {
    let client = app.client()?;
    let named = |id: u32, name: &str| Choice {
        label: format!("{id}  {name}"),
        value: json!({"id": id}),
    };
    if spec.pointer("/deployment/cluster").is_none() {
        let clusters: Vec<Choice> = client
            .clusterpool_info()?
            .iter()
            .map(|c| named(c.id, &c.name))
            .collect();
        *at(spec, "/deployment/cluster") = if clusters.is_empty() {
            // By default users may use OpenNebula clusters but see none.
            until(app, "Id of the OpenNebula cluster [0]: ", |text| {
                let id: u32 =
                    if text.is_empty() { Ok(0) } else { text.parse() }.map_err(|_| "a number is needed")?;
                Ok(json!({"id": id}))
            })?
        } else {
            choose(app, "OpenNebula cluster", &clusters, 0)?
        };
    }
    let cluster = spec["deployment"]["cluster"]["id"].as_u64();
    let inside = |clusters: &[u32]| cluster.is_none_or(|id| clusters.iter().any(|c| u64::from(*c) == id));
    let mut networks = client.vnpool_info(PoolFilter::All, PoolRange::default())?.items;
    networks.sort_by_key(|n| n.id);
    for (path, question) in [
        ("/deployment/networks/public", "Network of the API endpoint"),
        ("/deployment/networks/private", "Network of the nodes"),
    ] {
        if spec.pointer(path).is_some() {
            continue;
        }
        let public = spec["deployment"]["networks"]["public"]["id"].as_u64();
        let choices: Vec<Choice> = networks
            .iter()
            .filter(|n| n.parent_network_id.is_none() && inside(&n.clusters) && public != Some(n.id.into()))
            .map(|n| named(n.id, &format!("{} ({} free addresses)", n.name, n.free_leases())))
            .collect();
        if choices.is_empty() {
            return Err(Failure::NotFound(format!(
                "{question}: there is no network left that you may use"
            )));
        }
        *at(spec, path) = choose(app, question, &choices, 0)?;
    }
    if spec.pointer("/deployment/datastores/image").is_none() {
        let mut datastores = client.datastorepool_info()?.items;
        datastores.sort_by_key(|d| d.id);
        let usable = datastores
            .iter()
            .filter(|d| d.datastore_type == DatastoreType::Image && inside(&d.clusters));
        let choices: Vec<Choice> = usable.map(|d| named(d.id, &d.name)).collect();
        if !choices.is_empty() {
            *at(spec, "/deployment/datastores/image") =
                choose(app, "Datastore with the images", &choices, 0)?;
        }
    }
    Ok(())
}

fn node_groups(app: &mut App, spec: &mut Value, catalog: Option<&Catalog>) -> Result<(), Failure> {
    let mut groups: Vec<Value> = Vec::new();
    loop {
        let (question, usual) = if groups.is_empty() {
            ("Add a node group? [Y/n] ", true)
        } else {
            ("Add another node group? [y/N] ", false)
        };
        if !yes(app, question, usual)? {
            break;
        }
        let default = if groups.is_empty() { "workers" } else { "" };
        let shown = if default.is_empty() {
            String::new()
        } else {
            format!(" [{default}]")
        };
        let name = until(app, &format!("Name of the node group{shown}: "), |text| {
            let text = if text.is_empty() { default } else { text };
            if !is_dns_label(text) || text.len() > MAX_KEY {
                return Err(format!("a-z, 0-9 and -, at most {MAX_KEY} characters"));
            }
            if RESERVED_KEYS.contains(&text) {
                return Err("this name is reserved".to_owned());
            }
            if groups.iter().any(|g| g["name"] == text) {
                return Err("there is a node group of that name".to_owned());
            }
            Ok(text.to_owned())
        })?;
        let mut entry = json!({"name": name});
        group(app, &mut entry, Role::NodeGroup, catalog)?;
        groups.push(entry);
    }
    spec["node_groups"] = Value::Array(groups);
    Ok(())
}

/// Flavour and inputs of a group.
fn group(app: &mut App, entry: &mut Value, role: Role, catalog: Option<&Catalog>) -> Result<(), Failure> {
    let what = if role == Role::ControlPlane {
        "control plane"
    } else {
        "node group"
    };
    let Some(family) = family_of(catalog, role, entry) else {
        entry["flavour"] = until(app, &format!("Flavour of the {what}: "), |text| Ok(json!(text)))?;
        return Ok(());
    };
    let flavours = family.flavours_in_order();
    let choices: Vec<Choice> = flavours
        .iter()
        .map(|(name, flavour)| {
            let defaults: Vec<String> = flavour
                .defaults
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            Choice {
                label: format!("{name:<12} {} ({})", flavour.label, defaults.join(" ")),
                value: json!(name),
            }
        })
        .collect();
    let chosen = choose(app, &format!("Flavour of the {what}"), &choices, 0)?;
    let flavour = flavours
        .iter()
        .find(|(name, _)| chosen == *name)
        .map(|(_, flavour)| *flavour);
    entry["flavour"] = chosen;
    let Some(flavour) = flavour else { return Ok(()) };
    for input in family.inputs_of(flavour) {
        let preset = flavour.defaults.contains_key(&input.name);
        if preset && !flavour.override_defaults {
            continue;
        }
        if let Some(value) = ask_input(app, family, &entry["flavour"], &input)? {
            set_input(entry, &input.name, value);
        }
    }
    Ok(())
}

/// A value for an input; `None` to leave it at its default.
fn ask_input(
    app: &mut App,
    family: &Family,
    flavour: &Value,
    input: &UserInput,
) -> Result<Option<Value>, Failure> {
    let default = input
        .default
        .as_ref()
        .map_or_else(String::new, |value| format!(" [{value}]"));
    let about = if input.description.is_empty() {
        &input.name
    } else {
        &input.description
    };
    let question = format!("{about} ({}){default}: ", input.name);
    until(app, &question, |text| {
        if text.is_empty() {
            return if input.default.is_some() || !input.mandatory {
                Ok(None)
            } else {
                Err("a value is needed".to_owned())
            };
        }
        let value = input.parse(text)?;
        // The whole profile judges: the number of nodes has rules of its own.
        let values = BTreeMap::from([(input.name.clone(), value.clone())]);
        let errors = family
            .resolve(flavour.as_str().unwrap_or_default(), &values, "")
            .err()
            .unwrap_or_default();
        let path = format!(".user_inputs_values.{}", input.name);
        match errors.into_iter().find(|e| e.path == path) {
            Some(error) => Err(error.message),
            None => Ok(Some(value)),
        }
    })
}

/// Shows the choices with numbers and asks for one.
fn choose(app: &mut App, question: &str, choices: &[Choice], default: usize) -> Result<Value, Failure> {
    if let [only] = choices {
        app.out.note(&format!("{question}: {}", only.label));
        return Ok(only.value.clone());
    }
    app.out.note(&format!("{question}:"));
    for (number, choice) in (1..).zip(choices) {
        app.out.note(&format!("  {number}) {}", choice.label));
    }
    until(app, &format!("Number [{}]: ", default + 1), |text| {
        let number = if text.is_empty() {
            Some(default + 1)
        } else {
            text.parse().ok()
        };
        let chosen = number.and_then(|n| n.checked_sub(1)).and_then(|n| choices.get(n));
        chosen
            .map(|c| c.value.clone())
            .ok_or_else(|| format!("choose a number from 1 to {}", choices.len()))
    })
}

fn yes(app: &mut App, question: &str, usual: bool) -> Result<bool, Failure> {
    until(app, question, |text| match text.to_ascii_lowercase().as_str() {
        "" => Ok(usual),
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("y or n".to_owned()),
    })
}

/// Asks until the answer can be taken.
fn until<T>(app: &mut App, question: &str, take: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    loop {
        let text = app.ask(question)?;
        match take(&text) {
            Ok(value) => return Ok(value),
            Err(reason) => app.out.note(&format!("  {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;
    use oneks_sandbox::{ALICE_PASSWORD, Config, Sandbox};
    use opennebula::Session;

    use crate::app::App;
    use crate::args::Cli;
    use crate::connect::Connection;
    use crate::failure::Failure;
    use crate::out::Out;

    /// What is stored, and what was said, after these answers.
    fn answered(arguments: &[&str], answers: &str) -> (Result<serde_json::Value, Failure>, String) {
        let sandbox = Sandbox::new(Config::default());
        sandbox.standard_cloud().unwrap();
        let session = Session::parse(&format!("alice:{ALICE_PASSWORD}")).unwrap();
        let (out, _, stderr) = Out::captured(None);
        let connection = Connection {
            transport: Arc::new(sandbox.clone()),
            session,
        };
        let mut app = App::for_tests(out, connection, Some(answers));
        let words = ["oneks", "create", "cluster"].iter().chain(arguments);
        let result = crate::run(&mut app, &Cli::parse_from(words).command);
        let stored = result.map(|()| {
            let document = sandbox.documents().remove(0);
            assert_eq!(document.meta.name, "dev");
            serde_json::from_str(document.template.get("SPEC").unwrap()).unwrap()
        });
        (stored, stderr.text())
    }

    #[test]
    fn the_usual_answers_make_a_cluster() {
        let (spec, said) = answered(&[], "dev\n\n\n\n\ny\n\n\n2\nn\ny\n");
        let spec = spec.unwrap_or_else(|e| panic!("{e}\n{said}"));
        assert_eq!(spec["deployment"]["networks"]["public"]["id"], 0);
        assert_eq!(spec["deployment"]["networks"]["private"]["id"], 1);
        assert_eq!(spec["control_plane"]["flavour"], "standalone");
        assert_eq!(spec["node_groups"][0]["name"], "workers");
        assert_eq!(spec["node_groups"][0]["user_inputs_values"]["count"], 2);
    }

    #[test]
    fn wrong_answers_are_asked_again_and_options_are_not_asked() {
        let options = [
            "dev",
            "-k",
            "v1.34.2",
            "--opennebula-cluster",
            "0",
            "--public-network",
            "public",
        ];
        let (spec, said) = answered(&options, "7\n2\nmaybe\ny\nSEED\nx\n\nmany\n-1\n\n3\nn\ny\n");
        let spec = spec.unwrap_or_else(|e| panic!("{e}\n{said}"));
        assert_eq!(spec["control_plane"]["flavour"], "ha");
        assert_eq!(spec["node_groups"][0]["name"], "x");
        assert_eq!(spec["node_groups"][0]["user_inputs_values"]["count"], 3);
        for reason in [
            "choose a number from 1 to 2",
            "y or n",
            "at most 32",
            "must be a number",
            "less than 0",
            "a value",
        ] {
            assert!(said.contains(reason), "{reason}: {said}");
        }
    }

    #[test]
    fn who_says_no_or_nothing_gets_no_cluster() {
        for answers in ["dev\n\n\n\n\nn\nn\n", "dev\n"] {
            let (spec, said) = answered(&[], answers);
            assert!(spec.is_err(), "{said}");
        }
    }
}
