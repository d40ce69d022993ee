//! Template to text, in either syntax, or a refusal: nothing is written that oned would read back otherwise.

use std::collections::BTreeSet;

use super::{AttributeValue, Template};
use crate::xml::is_xml_char;

/// A template can't be written in the syntax that was asked for. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attribute {attribute}: {problem}")]
pub struct WriteError {
    /// The attribute, as `NAME` or `NAME/KEY`.
    pub attribute: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Why oned could not read an attribute back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// oned would change or drop the name.
    #[error("a name is A to Z, 0 to 9 and _, begins with no digit nor with XML, and stands once in a vector")]
    Name,
    /// XML 1.0 lacks the character, and all values are stored as XML.
    #[error("the value holds the character U+{:04X}, which OpenNebula can't store: encode it (base64, JSON)", u32::from(*.0))]
    Character(char),
    /// The value holds `]]>`. oned stores values in CDATA sections and does not split them.
    #[error("the value holds ]]>, which OpenNebula can't store: write > as \\u003e in JSON, or use base64")]
    CdataEnd,
    /// The value has more than 10,000,000 bytes, which oned drops without a word.
    #[error("the value is longer than the 10,000,000 bytes that OpenNebula can store")]
    TooLong,
    /// The value ends in a backslash, which would escape the closing quote.
    #[error("the value ends in a backslash, which the plain syntax can't express: use the XML form")]
    FinalBackslash,
}

impl Template {
    /// The plain syntax: `NAME="text"` and `NAME=[KEY="text",…]`, one attribute a line.
    ///
    /// # Errors
    /// An attribute has a name or a value that would not come back, see [`Problem`]. Nothing is written then.
    pub fn to_text(&self) -> Result<String, WriteError> {
        self.check(Syntax::Plain)?;
        let mut out = String::new();
        for attribute in self {
            out.push_str(&attribute.name);
            out.push('=');
            match &attribute.value {
                AttributeValue::Text(text) => quote_into(&mut out, text),
                AttributeValue::Vector(pairs) => {
                    out.push('[');
                    for (index, (key, text)) in pairs.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        out.push_str(key);
                        out.push('=');
                        quote_into(&mut out, text);
                    }
                    out.push(']');
                }
            }
            out.push('\n');
        }
        Ok(out)
    }

    /// The XML form below an element `root` (oned accepts any name): each value in one CDATA section, no blanks.
    ///
    /// An empty text is written as an empty CDATA section, which oned keeps as an empty attribute; it drops an
    /// element with no node at all. An empty vector holds one empty element: merging it removes the attribute.
    ///
    /// # Errors
    /// An attribute has a name or a value that would not come back, see [`Problem`]. Nothing is written then.
    pub fn to_xml(&self, root: &str) -> Result<String, WriteError> {
        if !Syntax::Plain.keeps_key(root) {
            return Err(WriteError {
                attribute: root.into(),
                problem: Problem::Name,
            });
        }
        self.check(Syntax::Xml)?;
        let mut out = String::new();
        element_into(&mut out, root, |out| {
            for attribute in self {
                let name = &attribute.name;
                element_into(out, name, |out| match &attribute.value {
                    AttributeValue::Text(text) => cdata_into(out, text),
                    AttributeValue::Vector(pairs) if pairs.is_empty() => element_into(out, name, |_| {}),
                    AttributeValue::Vector(pairs) => {
                        for (key, text) in pairs {
                            element_into(out, key, |out| cdata_into(out, text));
                        }
                    }
                });
            }
        });
        Ok(out)
    }

    fn check(&self, syntax: Syntax) -> Result<(), WriteError> {
        for attribute in self {
            let name = &attribute.name;
            let refuse = |problem| {
                Err(WriteError {
                    attribute: name.clone(),
                    problem,
                })
            };
            if !syntax.keeps_name(name) {
                return refuse(Problem::Name);
            }
            match &attribute.value {
                AttributeValue::Text(text) => {
                    if let Some(problem) = syntax.problem(text) {
                        return refuse(problem);
                    }
                }
                AttributeValue::Vector(pairs) => check_pairs(name, pairs, syntax)?,
            }
        }
        Ok(())
    }
}

fn check_pairs(name: &str, pairs: &[(String, String)], syntax: Syntax) -> Result<(), WriteError> {
    let mut known = BTreeSet::new();
    for (key, text) in pairs {
        let twice = !known.insert(key);
        let problem = if twice || !syntax.keeps_key(key) {
            Some(Problem::Name)
        } else {
            syntax.problem(text)
        };
        if let Some(problem) = problem {
            return Err(WriteError {
                attribute: format!("{name}/{key}"),
                problem,
            });
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Syntax {
    Plain,
    Xml,
}

impl Syntax {
    fn keeps_name(self, name: &str) -> bool {
        self.keeps_key(name)
            && !name.starts_with("XML")
            && !name.bytes().any(|byte| byte.is_ascii_lowercase())
    }

    /// The XML form leaves keys of vectors as they are.
    fn keeps_key(self, key: &str) -> bool {
        let legal = |byte: u8| match byte {
            b'A'..=b'Z' | b'0'..=b'9' | b'_' => true,
            b'a'..=b'z' | b'-' | b'.' => self == Self::Xml,
            _ => false,
        };
        key.bytes().all(legal)
            && key
                .bytes()
                .next()
                .is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
    }

    fn problem(self, text: &str) -> Option<Problem> {
        if let Some(char) = text.chars().find(|c| !is_xml_char(*c) || *c == '\r') {
            return Some(Problem::Character(char));
        }
        if text.contains("]]>") {
            return Some(Problem::CdataEnd);
        }
        if text.len() > MAX_VALUE {
            return Some(Problem::TooLong);
        }
        (self == Self::Plain && text.ends_with('\\')).then_some(Problem::FinalBackslash)
    }
}

/// Bytes. oned's XML library reads no longer text, and oned does not notice that nothing was stored.
const MAX_VALUE: usize = 10_000_000;

/// JSON that both syntaxes can carry: `>` and the two characters that XML lacks are written as `\u` escapes.
pub fn json_for_cdata(value: &serde_json::Value) -> String {
    // In JSON these characters stand inside strings only, where an escape means the same.
    value
        .to_string()
        .replace('>', "\\u003e")
        .replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff")
}

fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(&text.replace('"', "\\\""));
    out.push('"');
}

fn element_into(out: &mut String, name: &str, content: impl FnOnce(&mut String)) {
    for part in ["<", name, ">"] {
        out.push_str(part);
    }
    content(out);
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

fn cdata_into(out: &mut String, text: &str) {
    out.push_str("<![CDATA[");
    out.push_str(text);
    out.push_str("]]>");
}

#[cfg(test)]
mod tests {
    use super::super::Attribute;
    use super::super::read::trim;
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Template {
        [Attribute::text("A", text)].into_iter().collect()
    }

    #[test]
    fn both_forms() {
        let mut template = one("say \"hi\" & <go>\nC:\\x");
        template.push(Attribute::vector("nic", [("network_id", "1"), ("IP", "")]));
        template.push(Attribute::vector::<&str, &str>("GONE", []));
        assert_eq!(
            template.to_text().unwrap(),
            "A=\"say \\\"hi\\\" & <go>\nC:\\x\"\nNIC=[NETWORK_ID=\"1\",IP=\"\"]\nGONE=[]\n"
        );
        assert_eq!(
            template.to_xml("TEMPLATE").unwrap(),
            "<TEMPLATE><A><![CDATA[say \"hi\" & <go>\nC:\\x]]></A><NIC><NETWORK_ID><![CDATA[1]]></NETWORK_ID>\
             <IP><![CDATA[]]></IP></NIC><GONE><GONE></GONE></GONE></TEMPLATE>"
        );
    }

    #[test]
    fn refusals_name_the_attribute_and_hide_the_value() {
        let vector = |key: &str, text: &str| {
            [Attribute::vector("V", [(key, text)])]
                .into_iter()
                .collect::<Template>()
        };
        for (template, attribute, problem) in [
            (one("a]]>b"), "A", Problem::CdataEnd),
            (one("a\rb"), "A", Problem::Character('\r')),
            (one("a\u{1b}b"), "A", Problem::Character('\u{1b}')),
            (one("a\0b"), "A", Problem::Character('\0')),
            (vector("K", "]]>"), "V/K", Problem::CdataEnd),
            (vector("9", "x"), "V/9", Problem::Name),
            (
                [Attribute::text("XMLA", "x")].into_iter().collect(),
                "XMLA",
                Problem::Name,
            ),
            (
                [Attribute::text("A:B", "x")].into_iter().collect(),
                "A:B",
                Problem::Name,
            ),
            (one(&"x".repeat(10_000_001)), "A", Problem::TooLong),
            (
                [Attribute::text("", "x")].into_iter().collect(),
                "",
                Problem::Name,
            ),
            (
                [Attribute::vector("V", [("K", "1"), ("k", "2")])]
                    .into_iter()
                    .collect(),
                "V/K",
                Problem::Name,
            ),
        ] {
            let error = WriteError {
                attribute: attribute.into(),
                problem,
            };
            assert_eq!(template.to_text(), Err(error.clone()), "{template:?}");
            assert_eq!(template.to_xml("TEMPLATE"), Err(error), "{template:?}");
        }
        let error = one("ends in \\").to_text().unwrap_err();
        assert_eq!(
            error,
            WriteError {
                attribute: "A".into(),
                problem: Problem::FinalBackslash
            }
        );
        assert!(one("ends in \\").to_xml("T").is_ok());
        assert!(one("x").to_xml("1").is_err());
    }

    #[test]
    fn names_that_only_xml_keeps() {
        let xml = "<T><A-B.C><![CDATA[1]]></A-B.C><V><key.x><![CDATA[2]]></key.x></V></T>";
        let template = Template::parse_xml(xml).unwrap();
        assert_eq!(template.to_xml("T").unwrap(), xml);
        assert_eq!(template.to_text().unwrap_err().attribute, "A-B.C");
    }

    #[test]
    fn json_survives_both_forms() {
        let json = serde_json::json!({"a>": "]]>\u{ffff}\r\n\t\u{1b}\\", "b": [1, "é\"<&\u{fffe}"]});
        let template = one(&json_for_cdata(&json));
        for text in [template.to_text().unwrap(), template.to_xml("T").unwrap()] {
            let read = Template::parse(&text).unwrap();
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(read.get("A").unwrap()).unwrap(),
                json
            );
        }
    }

    /// Text with much of what has a meaning in one of the syntaxes.
    fn tricky() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a\"\\\\\n &<>=,#\\[\\]é😀\t\r\u{7}]{0,24}",
            any::<String>(),
            "(\\]\\]>|\\\\|\"| |x|\\]){0,8}"
        ]
    }

    fn attribute() -> impl Strategy<Value = Attribute> {
        let name = "[A-Z_][A-Z0-9_]{0,6}";
        prop_oneof![
            (name, tricky()).prop_map(|(name, text)| Attribute::text(&name, text)),
            (name, prop::collection::btree_map(name, tricky(), 0..4))
                .prop_map(|(name, pairs)| Attribute::vector(&name, pairs)),
        ]
    }

    fn trimmed(template: &Template) -> Template {
        let trim_value = |value: &AttributeValue| match value {
            AttributeValue::Text(text) => AttributeValue::Text(trim(text).into()),
            AttributeValue::Vector(pairs) => {
                AttributeValue::Vector(pairs.iter().map(|(k, v)| (k.clone(), trim(v).into())).collect())
            }
        };
        template
            .iter()
            .map(|a| Attribute {
                name: a.name.clone(),
                value: trim_value(&a.value),
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_written_comes_back(attributes in prop::collection::vec(attribute(), 0..5)) {
            let template: Template = attributes.into_iter().collect();
            for written in [template.to_text(), template.to_xml("TEMPLATE")] {
                match written {
                    Ok(text) => {
                        let read = Template::parse(&text).unwrap();
                        prop_assert!(read == trimmed(&template), "{} read as {:?}", text, read);
                    }
                    Err(error) => {
                        let name = error.attribute.split('/').next().unwrap();
                        prop_assert!(template.contains(name));
                    }
                }
            }
        }

        #[test]
        fn only_the_uncarriable_is_refused(text in tricky()) {
            let uncarriable = text.contains("]]>") || text.chars().any(|c| !is_xml_char(c) || c == '\r');
            prop_assert_eq!(one(&text).to_xml("T").is_err(), uncarriable);
            prop_assert_eq!(one(&text).to_text().is_err(), uncarriable || text.ends_with('\\'));
        }
    }
}
