//! OpenNebula templates: named attributes with a text or with a vector of named texts.
//!
//! A template travels in one of two syntaxes. Which one oned reads depends on the very first byte: `<` means XML.
//!
//! | | plain, [`Template::to_text`] | XML, [`Template::to_xml`] |
//! |---|---|---|
//! | quotes, newlines, `#`, `=`, `,` | yes | yes |
//! | a value that ends in a backslash | no | yes |
//! | `&` and `<` | yes, but API events of a hook lose them | yes |
//! | `]]>`, carriage return, control characters, 10 MB | no | no |
//! | names with `-` or `.` | no | yes |
//!
//! Both: blanks around a value are lost, names are upper-cased, vectors don't nest. JSON from [`json_for_cdata`] never
//! holds what neither syntax can carry.
//!
//! In a *merge* update (`append` = 1) every attribute that is named replaces all attributes of that name. An empty
//! vector removes the attribute; an empty text does not, it stays as an empty attribute.

mod lex;
mod read;
mod write;

use std::collections::BTreeSet;
use std::fmt;

pub use read::ParseError;
pub use write::{Problem, WriteError, json_for_cdata};

/// An ordered list of attributes. Names may repeat (`NIC`, `DISK`).
///
/// Names are upper-cased when they are put in and compared without regard to case, as oned does.
/// `Debug` shows names and lengths, no values: templates hold credentials.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Template {
    attributes: Vec<Attribute>,
}

/// One attribute.
#[derive(Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Upper-case name.
    pub name: String,
    /// Content.
    pub value: AttributeValue,
}

/// Content of an attribute.
#[derive(Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// `NAME = "text"`.
    Text(String),
    /// `NAME = [ KEY = "text", … ]`.
    Vector(Vec<(String, String)>),
}

impl Template {
    /// A template without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The text of the first attribute of that name that is no vector.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// The texts of all attributes of that name.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.named(name).filter_map(|attribute| attribute.value.as_text())
    }

    /// The pairs of the first vector of that name.
    pub fn get_vector(&self, name: &str) -> Option<&[(String, String)]> {
        self.get_vectors(name).next()
    }

    /// The pairs of each vector of that name.
    pub fn get_vectors(&self, name: &str) -> impl Iterator<Item = &[(String, String)]> {
        self.named(name)
            .filter_map(|attribute| attribute.value.as_vector())
    }

    /// One value inside the first vector of that name.
    pub fn get_in(&self, name: &str, key: &str) -> Option<&str> {
        self.get_vector(name).and_then(|pairs| vector_value(pairs, key))
    }

    /// Replaces all attributes of that name by one text, in the place of the first.
    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        self.replace(Attribute::text(name, text));
    }

    /// Replaces all attributes of that name by one vector, in the place of the first.
    pub fn set_vector<K: AsRef<str>, V: Into<String>>(
        &mut self,
        name: &str,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) {
        self.replace(Attribute::vector(name, pairs));
    }

    /// Sets one value in the first vector of that name, which is made if there is none.
    pub fn set_in(&mut self, name: &str, key: &str, text: impl Into<String>) {
        let key = key.to_ascii_uppercase();
        let text = text.into();
        for attribute in self.attributes.iter_mut().filter(|attribute| attribute.is(name)) {
            if let AttributeValue::Vector(pairs) = &mut attribute.value {
                match pairs.iter_mut().find(|(k, _)| k.eq_ignore_ascii_case(&key)) {
                    Some(pair) => pair.1 = text,
                    None => pairs.push((key, text)),
                }
                return;
            }
        }
        self.push(Attribute {
            name: name.to_ascii_uppercase(),
            value: AttributeValue::Vector(vec![(key, text)]),
        });
    }

    /// Adds an attribute, beside others of its name.
    pub fn push(&mut self, attribute: Attribute) {
        self.attributes.push(Attribute {
            name: attribute.name.to_ascii_uppercase(),
            value: attribute.value,
        });
    }

    /// Removes all attributes of that name. Whether there were any.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.attributes.len();
        self.attributes.retain(|attribute| !attribute.is(name));
        self.attributes.len() != before
    }

    /// Applies `other` as a merge update does: each name in it replaces all attributes of that name, an empty vector
    /// removes them.
    pub fn merge(&mut self, other: &Self) {
        for attribute in other {
            self.remove(&attribute.name);
        }
        let kept = other
            .iter()
            .filter(|attribute| attribute.value.as_vector() != Some(&[]));
        self.attributes.extend(kept.cloned());
    }

    /// Each name once, in the order of first use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut known = BTreeSet::new();
        let names = self.attributes.iter().map(|attribute| attribute.name.as_str());
        names.filter(move |name| known.insert(*name))
    }

    /// Whether there is an attribute of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// All attributes, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.attributes.iter()
    }

    /// Number of attributes.
    pub fn len(&self) -> usize {
        self.attributes.len()
    }

    /// Whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(move |attribute| attribute.is(name))
    }

    fn replace(&mut self, attribute: Attribute) {
        let place = self.attributes.iter().position(|old| old.is(&attribute.name));
        self.remove(&attribute.name);
        // Only later attributes went besides the one at `place`, so it is still in range.
        self.attributes
            .insert(place.unwrap_or(self.attributes.len()), attribute);
    }
}

impl Attribute {
    /// A text attribute.
    pub fn text(name: &str, text: impl Into<String>) -> Self {
        Self {
            name: name.to_ascii_uppercase(),
            value: AttributeValue::Text(text.into()),
        }
    }

    /// A vector attribute. Without pairs it removes the attribute when it is merged.
    pub fn vector<K: AsRef<str>, V: Into<String>>(
        name: &str,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(key, text)| (key.as_ref().to_ascii_uppercase(), text.into()))
            .collect();
        Self {
            name: name.to_ascii_uppercase(),
            value: AttributeValue::Vector(pairs),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl AttributeValue {
    /// The text, if this is no vector.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The pairs, if this is a vector.
    pub fn as_vector(&self) -> Option<&[(String, String)]> {
        if let Self::Vector(pairs) = self {
            Some(pairs)
        } else {
            None
        }
    }
}

/// The value of a key in the pairs of a vector.
pub fn vector_value<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(k, _)| k.eq_ignore_ascii_case(key))
        .map(|(_, text)| text.as_str())
}

impl FromIterator<Attribute> for Template {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        let mut template = Self::new();
        template.extend(attributes);
        template
    }
}

impl Extend<Attribute> for Template {
    fn extend<I: IntoIterator<Item = Attribute>>(&mut self, attributes: I) {
        attributes.into_iter().for_each(|attribute| self.push(attribute));
    }
}

impl<'a> IntoIterator for &'a Template {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.attributes).finish()
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.name, self.value)
    }
}

impl fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "<{} bytes>", text.len()),
            Self::Vector(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(key, text)| format!("{key}=<{} bytes>", text.len()));
                write!(f, "[{}]", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Template {
        Template::parse_text("NAME=\"a\"\nNIC=[NETWORK_ID=\"1\"]\nnic=[NETWORK_ID=\"2\",IP=\"x\"]\nCPU=1")
            .unwrap()
    }

    #[test]
    fn look_up_ignores_case_and_kind_matters() {
        let template = sample();
        assert_eq!(template.get("name"), Some("a"));
        assert_eq!(template.get("NIC"), None);
        assert_eq!(template.get_in("Nic", "network_id"), Some("1"));
        assert_eq!(
            template
                .get_vectors("NIC")
                .filter_map(|nic| vector_value(nic, "IP"))
                .collect::<Vec<_>>(),
            ["x"]
        );
        assert_eq!(template.names().collect::<Vec<_>>(), ["NAME", "NIC", "CPU"]);
        assert!(template.contains("cpu") && !template.contains("MEMORY"));
    }

    #[test]
    fn set_replaces_all_of_a_name_in_place() {
        let mut template = sample();
        template.set("NIC", "none");
        assert_eq!(
            template.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
            ["NAME", "NIC", "CPU"]
        );
        template.set_in("context", "token", "YES");
        template.set_in("CONTEXT", "TOKEN", "NO");
        assert_eq!(
            template.get_vector("CONTEXT").unwrap(),
            [("TOKEN".to_owned(), "NO".to_owned())]
        );
        assert!(template.remove("nic") && !template.remove("nic"));
    }

    #[test]
    fn merge_replaces_by_name_and_an_empty_vector_removes() {
        let mut template = sample();
        template.merge(&Template::parse_text("CPU=[]\nNIC=[NETWORK_ID=\"9\"]\nB=\"2\"\nNAME=\"\"").unwrap());
        let expected = Template::parse_text("NIC=[NETWORK_ID=\"9\"]\nB=\"2\"\nNAME=\"\"").unwrap();
        assert!(template == expected, "{template:?}");
    }

    #[test]
    fn debug_shows_no_value() {
        let template = Template::parse_text("KUBECONFIG=\"secret\"\nCONTEXT=[PASSWORD=\"secret\"]").unwrap();
        assert_eq!(
            format!("{template:?}"),
            "[KUBECONFIG=<6 bytes>, CONTEXT=[PASSWORD=<6 bytes>]]"
        );
    }
}
