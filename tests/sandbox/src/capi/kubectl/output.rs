//! Output formats of `get`.

use serde_json::Value;

use super::super::kube::Object;
use super::super::kube::kinds::{self, Kind};
use super::super::kube::quantity::epoch;
use super::args::Args;
use super::jsonpath::Template;
use super::{Failure, Output};

/// An output format.
pub enum Format {
    /// A table for people.
    Table,
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
    /// `kind.group/name`.
    Name,
    /// A template.
    JsonPath(Template),
    /// Headers and paths.
    Columns(Vec<(String, Template)>),
}

impl Format {
    /// Reads what follows `-o`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let (name, body) = text.split_once('=').unwrap_or((text, ""));
        match name {
            "" | "wide" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            "jsonpath" if body.is_empty() => {
                Err(Failure::usage("template format specified but no template given"))
            }
            "jsonpath" => Ok(Self::JsonPath(template(body)?)),
            "custom-columns" => {
                let columns = body.split(',').map(|column| {
                    let (header, path) = column.split_once(':').ok_or_else(|| {
                        Failure::usage(format!(
                            "unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>"
                        ))
                    })?;
                    Ok((header.to_owned(), template(path)?))
                });
                Ok(Self::Columns(columns.collect::<Result<_, Failure>>()?))
            }
            _ => Err(Failure::usage(format!(
                "unable to match a printer suitable for the output format {name:?}, allowed formats are: \
                 custom-columns,json,jsonpath,name,wide,yaml"
            ))),
        }
    }

    /// Whether an empty result is worth a sentence.
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::Table | Self::Columns(_))
    }
}

/// Prints one object.
pub fn print_one(
    format: &Format,
    object: &Object,
    args: &Args,
    now: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    print_list(format, object, &[object], args, now, out)
}

/// Prints `whole`, which is a list of `objects` or the only one of them.
pub fn print_list(
    format: &Format,
    whole: &Object,
    objects: &[&Object],
    args: &Args,
    now: u64,
    out: &mut Output,
) -> Result<(), Failure> {
    match format {
        Format::Json => out.stdout.push_str(&indented(&whole.0)),
        Format::Yaml => out.stdout.push_str(&yaml(&whole.0)),
        Format::Name => {
            for object in objects {
                let kind =
                    kinds::named(object.kind()).map_or_else(|| object.kind().to_lowercase(), Kind::singular);
                out.say(format_args!("{kind}/{}", object.name()));
            }
        }
        Format::JsonPath(template) => {
            let text = template.render(&whole.0).map_err(|problem| {
                Failure(format!(
                    "error: error executing jsonpath {:?}: Error executing template: {problem}",
                    template.source
                ))
            })?;
            out.stdout.push_str(&text);
        }
        Format::Columns(columns) => {
            let mut rows: Vec<Vec<String>> = Vec::new();
            if !args.is_set("no-headers") {
                rows.push(columns.iter().map(|(header, _)| header.clone()).collect());
            }
            for object in objects {
                rows.push(columns.iter().map(|(_, path)| path.column(&object.0)).collect());
            }
            out.stdout.push_str(&table(&rows));
        }
        Format::Table => {
            let mut rows: Vec<Vec<String>> = Vec::new();
            for object in objects {
                let cells = cells(object, now);
                if rows.is_empty() && !args.is_set("no-headers") {
                    rows.push(cells.iter().map(|(header, _)| (*header).to_owned()).collect());
                }
                rows.push(cells.into_iter().map(|(_, cell)| cell).collect());
            }
            out.stdout.push_str(&table(&rows));
        }
    }
    Ok(())
}

/// Sorts by a path, as `--sort-by` does.
pub fn sort(objects: &mut [&Object], path: &str) -> Result<(), Failure> {
    let template = template(path)?;
    objects.sort_by_key(|object| template.render(&object.0).unwrap_or_default());
    Ok(())
}

/// JSON as kubectl indents it.
pub fn indented(value: &Value) -> String {
    use serde::Serialize as _;
    let mut buffer = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut buffer, formatter);
    let _ = value.serialize(&mut serializer);
    buffer.push(b'\n');
    String::from_utf8(buffer).unwrap_or_default()
}

/// YAML.
pub fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

fn template(text: &str) -> Result<Template, Failure> {
    Template::parse(text)
        .map_err(|problem| Failure::usage(format!("error parsing jsonpath {text}, {problem}")))
}

fn cells(object: &Object, now: u64) -> Vec<(&'static str, String)> {
    let created = epoch(object.text(&["metadata", "creationTimestamp"])).unwrap_or(now);
    let age = ("AGE", age(now.saturating_sub(created)));
    let text = |path: &[&str]| object.text(path).to_owned();
    let count = |path: &[&str]| object.number(path).unwrap_or_default().to_string();
    let mut cells = vec![("NAME", object.name().to_owned())];
    match object.kind() {
        "Node" => {
            let ready = object
                .list(&["status", "conditions"])
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            let control_plane = object.label("node-role.kubernetes.io/control-plane").is_some();
            cells.push(("STATUS", if ready { "Ready" } else { "NotReady" }.into()));
            cells.push((
                "ROLES",
                if control_plane {
                    "control-plane,etcd,master"
                } else {
                    "<none>"
                }
                .into(),
            ));
            cells.push(age);
            cells.push(("VERSION", text(&["status", "nodeInfo", "kubeletVersion"])));
            return cells;
        }
        "Machine" => {
            cells.push(("CLUSTER", text(&["spec", "clusterName"])));
            cells.push(("NODENAME", text(&["status", "nodeRef", "name"])));
            cells.push(("PROVIDERID", text(&["spec", "providerID"])));
            cells.push(("PHASE", text(&["status", "phase"])));
        }
        "MachineDeployment" | "MachineSet" => {
            cells.push(("CLUSTER", text(&["spec", "clusterName"])));
            cells.push(("REPLICAS", count(&["status", "replicas"])));
            cells.push(("READY", count(&["status", "readyReplicas"])));
            cells.push(("PHASE", text(&["status", "phase"])));
        }
        "Cluster" => cells.push(("PHASE", text(&["status", "phase"]))),
        _ => {}
    }
    cells.push(age);
    cells
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let pad = width(column).unwrap_or(0) + 3 - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        text.push('\n');
    }
    text
}
