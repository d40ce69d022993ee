//! JSON, YAML and XML of clusters and node groups. Secrets are left out.

use clap::Args;
use opennebula::Template;
use opennebula::objects::{Access, Permissions};
use opennebula::template::AttributeValue;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::out::Out;
use oneks::orders::cluster::{Cluster, NodeGroup, SECRET_ATTRIBUTES};

/// Options for output that programs read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct FormatArgs {
    /// Write JSON
    #[arg(short, long, conflicts_with_all = ["yaml", "xml"])]
    pub json: bool,
    /// Write YAML
    #[arg(short, long, conflicts_with = "xml")]
    pub yaml: bool,
    /// Write XML, as OpenNebula has it
    #[arg(short, long)]
    pub xml: bool,
}

impl FormatArgs {
    /// Was one of them chosen?
    pub fn any(self) -> bool {
        self.json || self.yaml || self.xml
    }

    /// Writes the chosen form.
    ///
    /// # Errors
    /// The XML can't be made, or nobody reads the output.
    pub fn write(
        self,
        out: &mut Out,
        value: &Value,
        xml: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        if self.xml {
            return out.line(&xml()?);
        }
        if self.yaml {
            out.data(&yaml(value)?)
        } else {
            out.line(&pretty(value))
        }
    }
}

/// JSON for people and programs.
pub fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// YAML.
///
/// # Errors
/// The value can't be written, which would be a defect.
pub fn yaml(value: &Value) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|e| Failure::Other(format!("YAML: {e}")))
}

/// A cluster as JSON: the document in OpenNebula's form, SPEC and STATUS as the JSON that they are.
pub fn cluster(cluster: &Cluster) -> Value {
    let document = &cluster.document;
    let mut value = json!({
        "ID": document.id,
        "UID": document.uid,
        "GID": document.gid,
        "UNAME": document.uname,
        "GNAME": document.gname,
        "NAME": document.name,
        "TYPE": document.kind,
        "PERMISSIONS": permissions(document.permissions),
        "TEMPLATE": template(&document.template),
    });
    if let (Some(lock), Value::Object(map)) = (document.lock, &mut value) {
        map.insert(
            "LOCK".to_owned(),
            json!({"LOCKED": lock.level, "OWNER": lock.owner, "TIME": lock.time}),
        );
    }
    value
}

/// A node group as JSON.
pub fn node_group(cluster: &Cluster, group: &NodeGroup<'_>) -> Value {
    json!({
        "ID": group.id(),
        "CLUSTER_ID": cluster.id(),
        "CLUSTER_NAME": cluster.name(),
        "UNAME": cluster.document.uname,
        "GNAME": cluster.document.gname,
        "NAME": group.key,
        "ROLE": role(group),
        "STATE": group.state(),
        "SPEC": group.spec,
        "STATUS": group.status,
    })
}

/// `CONTROLPLANE` or `NODEGROUP`.
pub fn role(group: &NodeGroup<'_>) -> &'static str {
    if group.is_control_plane() {
        "CONTROLPLANE"
    } else {
        "NODEGROUP"
    }
}

/// A cluster as OpenNebula's XML, without secrets.
///
/// # Errors
/// The document has content that XML can't carry.
pub fn cluster_xml(cluster: &Cluster) -> Result<String, Failure> {
    let document = &cluster.document;
    let mut content = document.template.clone();
    for name in SECRET_ATTRIBUTES {
        content.remove(name);
    }
    let content = content
        .to_xml("TEMPLATE")
        .map_err(|e| Failure::Other(format!("{}: {e}", cluster.title())))?;
    let mut permissions = String::new();
    for (name, bit) in bits(document.permissions) {
        permissions.push_str(&element(name, &bit.to_string()));
    }
    Ok(format!(
        "<DOCUMENT><ID>{}</ID><UID>{}</UID><GID>{}</GID><UNAME>{}</UNAME><GNAME>{}</GNAME><NAME>{}</NAME>\
         <TYPE>{}</TYPE><PERMISSIONS>{permissions}</PERMISSIONS>{content}</DOCUMENT>",
        document.id,
        document.uid,
        document.gid,
        escape(&document.uname),
        escape(&document.gname),
        escape(&document.name),
        document.kind,
    ))
}

/// Any JSON as XML: names as elements, lists as repeated elements.
pub fn xml_of(name: &str, value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(|item| xml_of(name, item)).collect(),
        Value::Object(map) => {
            let inner: String = map.iter().map(|(key, value)| xml_of(key, value)).collect();
            element(name, &inner)
        }
        Value::Null => element(name, ""),
        Value::String(text) => element(name, &escape(text)),
        other => element(name, &other.to_string()),
    }
}

/// Keys of JSON may be anything; an element's name may not.
fn element(name: &str, inner: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.chars().all(legal) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        format!("<{name}>{inner}</{name}>")
    } else {
        format!("<ENTRY key=\"{}\">{inner}</ENTRY>", escape(name))
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            // XML 1.0 has no way to write these.
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

fn template(template: &Template) -> Value {
    let mut map = Map::new();
    for name in template.names().filter(|name| !SECRET_ATTRIBUTES.contains(name)) {
        let attributes = template.iter().filter(|a| a.name == name);
        let mut values: Vec<Value> = attributes.map(|a| attribute(&a.name, &a.value)).collect();
        let value = if values.len() == 1 {
            values.remove(0)
        } else {
            Value::Array(values)
        };
        map.insert(name.to_owned(), value);
    }
    Value::Object(map)
}

fn attribute(name: &str, value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Vector(pairs) => Value::Object(
            pairs
                .iter()
                .map(|(key, text)| (key.clone(), Value::from(text.as_str())))
                .collect(),
        ),
        AttributeValue::Text(text) if matches!(name, "SPEC" | "STATUS") => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()))
        }
        AttributeValue::Text(text) => Value::from(text.as_str()),
    }
}

fn permissions(permissions: Permissions) -> Value {
    Value::Object(
        bits(permissions)
            .into_iter()
            .map(|(name, bit)| (name.to_owned(), Value::from(bit)))
            .collect(),
    )
}

fn bits(permissions: Permissions) -> Vec<(&'static str, u8)> {
    let names = [
        ["OWNER_U", "OWNER_M", "OWNER_A"],
        ["GROUP_U", "GROUP_M", "GROUP_A"],
        ["OTHER_U", "OTHER_M", "OTHER_A"],
    ];
    let access = [permissions.owner, permissions.group, permissions.other];
    let pairs = names.into_iter().zip(access);
    pairs
        .flat_map(|(names, access)| names.into_iter().zip(rights(access)))
        .collect()
}

fn rights(access: Access) -> [u8; 3] {
    [access.r#use, access.manage, access.admin].map(u8::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_becomes_xml() {
        let value = json!({"A": [1, {"b": "x<y"}], "node.io/role": true, "N": null});
        assert_eq!(
            xml_of("R", &value),
            "<R><A>1</A><A><b>x&lt;y</b></A><N></N><ENTRY key=\"node.io/role\">true</ENTRY></R>"
        );
    }
}
