//! What bodies of requests look like. The same table checks them, with the path of whatever is wrong, and describes them in
//! the `OpenAPI` document.

use oneks::orders::rights::octet;
use oneks_core::names::{MAX_ID, is_dns_label};
use oneks_driver::Invalid;
use serde_json::{Map, Value, json};

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Must it be there?
    pub required: bool,
    /// What it holds.
    pub kind: Kind,
    /// What it is, for people.
    pub about: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A DNS label.
    Label,
    /// Text of some length.
    Text,
    /// True or false.
    Bool,
    /// Id of an object of OpenNebula.
    Id,
    /// The same, also as text; -1 leaves what there is.
    IdOrNone,
    /// A number of nodes.
    Count,
    /// Permission bits such as 640, as text.
    Octet,
    /// Values by name, checked by the profile.
    Values,
    /// Texts by name.
    Texts,
    /// A list of objects with these fields.
    Objects(&'static [Field]),
    /// An object with these fields.
    Object(&'static [Field]),
}

/// Most characters of a text.
const LONGEST: usize = 10_000;

/// A field that must be there.
pub const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        required: true,
        kind,
        about,
    }
}

/// A field that may be left out, or be null.
pub const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        required: false,
        kind,
        about,
    }
}

/// Everything that is wrong with a body. Fields that are not in the table are nobody's business, as in the old server.
pub fn check(fields: &[Field], body: &Value) -> Vec<Invalid> {
    let mut errors = Vec::new();
    object(fields, body, "", &mut errors);
    errors
}

fn object(fields: &[Field], value: &Value, path: &str, errors: &mut Vec<Invalid>) {
    let Some(object) = value.as_object() else {
        errors.push(Invalid {
            path: path.to_owned(),
            message: "must be an object".to_owned(),
        });
        return;
    };
    for field in fields {
        let path = if path.is_empty() {
            field.name.to_owned()
        } else {
            format!("{path}.{}", field.name)
        };
        match object.get(field.name) {
            Some(Value::Null) | None if !field.required => {}
            Some(Value::Null) | None => errors.push(Invalid {
                path,
                message: "is missing".to_owned(),
            }),
            Some(value) => field.kind.check(value, path, errors),
        }
    }
}

impl Kind {
    fn check(self, value: &Value, path: String, errors: &mut Vec<Invalid>) {
        let wrong = match self {
            Self::Object(fields) => {
                object(fields, value, &path, errors);
                return;
            }
            Self::Objects(fields) => {
                if let Some(items) = value.as_array() {
                    for (i, item) in items.iter().enumerate() {
                        object(fields, item, &format!("{path}[{i}]"), errors);
                    }
                    return;
                }
                "must be a list"
            }
            Self::Label if value.as_str().is_some_and(is_dns_label) => return,
            Self::Label => {
                "must be an RFC 1123 label: a-z, 0-9 and -, no - at either end, at most 63 characters"
            }
            Self::Text if value.as_str().is_some_and(|t| t.chars().count() <= LONGEST) => return,
            Self::Text if value.is_string() => "is too long",
            Self::Text => "must be text",
            Self::Bool if value.is_boolean() => return,
            Self::Bool => "must be true or false",
            Self::Id if id(value).is_some() && value.is_number() => return,
            Self::Id => "must be the id of an object of OpenNebula",
            Self::IdOrNone if id(value).is_some() || is_none(value) => return,
            Self::IdOrNone => "must be an id, or -1 for no change",
            Self::Count if value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()) => return,
            Self::Count => "must be an integer greater than or equal to 0",
            Self::Octet if value.as_str().is_some_and(|t| octet(t).is_ok()) => return,
            Self::Octet => "must be text of three digits from 0 to 7, such as \"640\"",
            Self::Values if value.is_object() => return,
            Self::Texts
                if value
                    .as_object()
                    .is_some_and(|o| o.values().all(Value::is_string)) =>
            {
                return;
            }
            Self::Values => "must be an object",
            Self::Texts => "must be an object of texts",
        };
        errors.push(Invalid {
            path,
            message: wrong.to_owned(),
        });
    }

    /// As `OpenAPI` has it.
    fn schema(self) -> Value {
        match self {
            Self::Label => json!({
                "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            }),
            Self::Text => json!({"type": "string", "maxLength": LONGEST}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Id => json!({"type": "integer", "minimum": 0, "maximum": MAX_ID}),
            Self::IdOrNone => json!({"anyOf": [
                {"type": "integer", "minimum": -1, "maximum": MAX_ID},
                {"type": "string", "pattern": "^(-1|0|[1-9][0-9]{0,8})$"},
            ]}),
            Self::Count => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            Self::Octet => json!({"type": "string", "pattern": "^[0-7]{3}$"}),
            Self::Values => json!({"type": "object"}),
            Self::Texts => json!({"type": "object", "additionalProperties": {"type": "string"}}),
            Self::Objects(fields) => json!({"type": "array", "items": schema(fields)}),
            Self::Object(fields) => schema(fields),
        }
    }
}

/// An object with these fields, as `OpenAPI` has it.
pub fn schema(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = field.kind.schema();
        if !field.required {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        schema["description"] = json!(field.about);
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// An id, as a number or as text.
pub fn id(value: &Value) -> Option<u32> {
    let id = match value {
        Value::String(text) if is_plain(text) => text.parse().ok()?,
        Value::Number(_) => u32::try_from(value.as_u64()?).ok()?,
        _ => return None,
    };
    (id <= MAX_ID).then_some(id)
}

/// Digits as a number is written: no sign, no zeros in front.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

fn is_none(value: &Value) -> bool {
    value.as_i64() == Some(-1) || value.as_str() == Some("-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &[Field] = &[required("id", Kind::Id, "")];
    const FIELDS: &[Field] = &[
        required("name", Kind::Label, ""),
        optional("place", Kind::Object(INNER), ""),
        optional("list", Kind::Objects(INNER), ""),
        optional("owner", Kind::IdOrNone, ""),
        optional("octet", Kind::Octet, ""),
        optional("count", Kind::Count, ""),
        optional("text", Kind::Text, ""),
        optional("texts", Kind::Texts, ""),
        optional("on", Kind::Bool, ""),
    ];

    #[test]
    fn what_is_wrong_is_told_by_its_path() {
        let paths =
            |body: Value| -> Vec<String> { check(FIELDS, &body).into_iter().map(|e| e.path).collect() };
        assert_eq!(paths(json!({"name": "a", "more": 1, "text": null})), [""; 0]);
        assert_eq!(paths(json!([])), [""]);
        assert_eq!(paths(json!({})), ["name"]);
        for (body, wrong) in [
            (json!({"name": "A"}), "name"),
            (json!({"name": "a", "place": 1}), "place"),
            (json!({"name": "a", "place": {}}), "place.id"),
            (json!({"name": "a", "place": {"id": -1}}), "place.id"),
            (json!({"name": "a", "place": {"id": "1"}}), "place.id"),
            (json!({"name": "a", "place": {"id": 1.5}}), "place.id"),
            (
                json!({"name": "a", "place": {"id": 3_000_000_000_u32}}),
                "place.id",
            ),
            (
                json!({"name": "a", "list": [{"id": 1}, {"id": null}]}),
                "list[1].id",
            ),
            (json!({"name": "a", "owner": "-2"}), "owner"),
            (json!({"name": "a", "owner": "+2"}), "owner"),
            (json!({"name": "a", "octet": "648"}), "octet"),
            (json!({"name": "a", "octet": 640}), "octet"),
            (json!({"name": "a", "owner": "07"}), "owner"),
            (json!({"name": "a", "count": -1}), "count"),
            (json!({"name": "a", "count": true}), "count"),
            (json!({"name": "a", "text": 1}), "text"),
            (json!({"name": "a", "text": "x".repeat(LONGEST + 1)}), "text"),
            (json!({"name": "a", "texts": {"a": 1}}), "texts"),
            (json!({"name": "a", "on": "yes"}), "on"),
        ] {
            assert_eq!(paths(body.clone()), [wrong], "{body}");
        }
        for good in [
            json!({"name": "a", "owner": -1, "octet": "640", "count": 0}),
            json!({"name": "a", "owner": "7", "octet": "007", "place": {"id": 0}}),
        ] {
            assert_eq!(paths(good.clone()), [""; 0], "{good}");
        }
    }
}
