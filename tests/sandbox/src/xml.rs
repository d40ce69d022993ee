//! XML as oned writes it: no declaration, no blanks, template values in CDATA sections.

use std::fmt::{Display, Write};

use opennebula::template::{AttributeValue, Template};

/// A growing document.
#[derive(Default)]
pub(crate) struct Xml(String);

impl Xml {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }

    pub(crate) fn open(&mut self, name: &str) {
        self.put(format_args!("<{name}>"));
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.put(format_args!("</{name}>"));
    }

    /// An element with raw text, which oned does not escape.
    pub(crate) fn field(&mut self, name: &str, value: impl Display) {
        self.put(format_args!("<{name}>{value}</{name}>"));
    }

    /// An element with a CDATA section. A `]]>` inside is not split, as in oned.
    pub(crate) fn cdata(&mut self, name: &str, value: impl Display) {
        self.put(format_args!("<{name}><![CDATA[{value}]]></{name}>"));
    }

    pub(crate) fn empty(&mut self, name: &str) {
        self.put(format_args!("<{name}/>"));
    }

    pub(crate) fn raw(&mut self, xml: &str) {
        self.0.push_str(xml);
    }

    /// `<name><ID>1</ID>…</name>`.
    pub(crate) fn ids<'a>(&mut self, name: &str, ids: impl IntoIterator<Item = &'a u32>) {
        self.open(name);
        for id in ids {
            self.field("ID", id);
        }
        self.close(name);
    }

    /// Attributes below `name`, sorted by name as oned keeps them; `extra` follows the last one.
    pub(crate) fn template(&mut self, name: &str, template: &Template) {
        self.template_with(name, template, "");
    }

    pub(crate) fn template_with(&mut self, name: &str, template: &Template, extra: &str) {
        self.open(name);
        for attribute in sorted(template) {
            match &attribute.value {
                AttributeValue::Text(text) => self.cdata(&attribute.name, text),
                AttributeValue::Vector(pairs) => self.vector(&attribute.name, pairs),
            }
        }
        self.raw(extra);
        self.close(name);
    }

    /// A vector, sorted by key.
    pub(crate) fn vector(&mut self, name: &str, pairs: &[(String, String)]) {
        let mut pairs: Vec<_> = pairs.iter().collect();
        pairs.sort();
        self.open(name);
        for (key, text) in pairs {
            self.cdata(key, text);
        }
        self.close(name);
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.0.write_fmt(arguments);
    }
}

/// The attributes by name; those of one name stay in order.
pub(crate) fn sorted(template: &Template) -> Vec<&opennebula::template::Attribute> {
    let mut attributes: Vec<_> = template.iter().collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}

/// The longest text that libxml2 reads in one piece.
const LARGEST_TEXT: usize = 10_000_000;

/// Whether oned could store the attributes, which it keeps as XML that it reads back.
pub(crate) fn is_storable(template: &Template) -> bool {
    template.iter().all(|attribute| match &attribute.value {
        AttributeValue::Text(text) => is_storable_text(text),
        AttributeValue::Vector(pairs) => pairs.iter().all(|(_, text)| is_storable_text(text)),
    })
}

fn is_storable_text(text: &str) -> bool {
    text.len() <= LARGEST_TEXT && !text.contains("]]>") && text.chars().all(is_xml_char)
}

/// Whether oned could store a name, which it does not escape.
pub(crate) fn is_storable_name(name: &str) -> bool {
    !name.contains(['<', '&']) && !name.contains("]]>") && name.chars().all(is_xml_char)
}

pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_sorted_and_repeated_names_stay_in_order() {
        let template = Template::parse_text("NIC=[B=1,A=2]\nA=\"x & <\"\nNIC=[C=3]").unwrap();
        let mut xml = Xml::new();
        xml.template("TEMPLATE", &template);
        assert_eq!(
            xml.into_string(),
            "<TEMPLATE><A><![CDATA[x & <]]></A><NIC><A><![CDATA[2]]></A><B><![CDATA[1]]></B></NIC>\
             <NIC><C><![CDATA[3]]></C></NIC></TEMPLATE>"
        );
    }

    #[test]
    fn what_oned_cannot_store() {
        let storable = |text: &str| {
            is_storable(
                &[opennebula::template::Attribute::text("A", text)]
                    .into_iter()
                    .collect(),
            )
        };
        assert!(storable("a & <b> ]] >"));
        assert!(!storable("a ]]> b"));
        assert!(!storable("\u{1}"));
        assert!(!storable(&"x".repeat(10_000_001)));
        assert!(is_storable_name("a\"b'c>") && !is_storable_name("a&b") && !is_storable_name("<"));
    }
}
