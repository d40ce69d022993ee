//! Nokogiri as the hook manager uses it: libxml2's forgiving parser, and the text that a node is turned into.
//!
//! Parameters of API calls reach the hook manager without any escaping. What its parser makes of text that is no XML
//! decides what a hook gets to see, forged parameters and lost text included.

use std::borrow::Cow;
use std::fmt::Write;

/// A node of the document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
    CData(String),
    Comment(String),
    Instruction(String),
}

/// An element.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Node>,
}

/// Reads a document and recovers from whatever is wrong with it. `None` if there is no element at all.
pub(crate) fn parse(text: &str) -> Option<Element> {
    let mut parser = Parser {
        text,
        at: 0,
        open: Vec::new(),
        root: None,
    };
    parser.run();
    while !parser.open.is_empty() {
        parser.close();
    }
    parser.root
}

impl Element {
    /// The first element of that name, itself included, in document order.
    pub(crate) fn find(&self, name: &str) -> Option<&Element> {
        if self.name == name {
            return Some(self);
        }
        self.elements().find_map(|child| child.find(name))
    }

    /// The text of everything inside.
    #[cfg(test)]
    fn text(&self) -> String {
        let pieces = self.children.iter().map(|child| match child {
            Node::Element(element) => element.text(),
            Node::Text(text) | Node::CData(text) => text.clone(),
            Node::Comment(_) | Node::Instruction(_) => String::new(),
        });
        pieces.collect()
    }

    fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|child| {
            if let Node::Element(element) = child {
                Some(element)
            } else {
                None
            }
        })
    }

    /// The element as text: indented by two blanks, but not inside an element that has text.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, true);
        out
    }

    fn write(&self, out: &mut String, depth: usize, format: bool) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value, true);
            out.push('"');
        }
        if self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        let format = format
            && !self
                .children
                .iter()
                .any(|child| matches!(child, Node::Text(_) | Node::CData(_)));
        for child in &self.children {
            if format {
                newline(out, depth + 1);
            }
            match child {
                Node::Element(element) => element.write(out, depth + 1, format),
                Node::Text(text) => escape(out, text, false),
                Node::CData(text) => {
                    // libxml2 splits a section where its end stands inside.
                    out.push_str("<![CDATA[");
                    out.push_str(&text.replace("]]>", "]]]]><![CDATA[>"));
                    out.push_str("]]>");
                }
                Node::Comment(text) => out.extend(["<!--", text, "-->"]),
                Node::Instruction(text) => out.extend(["<?", text, "?>"]),
            }
        }
        if format {
            newline(out, depth);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

fn newline(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// The document has no encoding of its own, so that everything beyond ASCII becomes a reference.
fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' if attribute => out.push_str("&quot;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            c if c.is_ascii() => out.push(c),
            // Writing to a string can't fail.
            c => drop(write!(out, "&#x{:X};", u32::from(c))),
        }
    }
}

/// The longest text that libxml2 reads in one piece.
const LONGEST: usize = 10_000_000;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Element>,
    root: Option<Element>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn run(&mut self) {
        self.skip_blanks();
        while !self.rest().is_empty() && self.root.is_none() {
            let rest = self.rest();
            if rest.starts_with("</") && !self.open.is_empty() {
                self.end_tag();
            } else if rest.starts_with("<![CDATA[") && !self.open.is_empty() {
                if !self.cdata() {
                    return;
                }
            } else if rest.starts_with("<!--") {
                let Some(end) = rest.find("-->") else { return };
                let comment = rest[4..end].to_owned();
                self.at += end + 3;
                self.add(Node::Comment(comment));
            } else if rest.starts_with("<?") {
                let Some(end) = rest.find("?>") else { return };
                let instruction = rest[2..end].to_owned();
                self.at += end + 2;
                self.add(Node::Instruction(instruction));
            } else if rest.starts_with('<') {
                self.start_tag();
            } else if self.open.is_empty() {
                // Text outside the root element.
                return;
            } else if rest.starts_with('&') {
                self.reference();
            } else {
                self.characters();
            }
        }
    }

    fn add(&mut self, node: Node) {
        let Some(parent) = self.open.last_mut() else {
            return;
        };
        match (node, parent.children.last_mut()) {
            // Neighbours of the same kind are one node.
            (Node::Text(more), Some(Node::Text(text))) | (Node::CData(more), Some(Node::CData(text))) => {
                text.push_str(&more);
            }
            (Node::Text(text), _) if text.is_empty() => {}
            (node, _) => parent.children.push(node),
        }
    }

    /// Closes the innermost element.
    fn close(&mut self) {
        let Some(element) = self.open.pop() else { return };
        if self.open.is_empty() {
            self.root = Some(element);
        } else {
            self.add(Node::Element(element));
        }
    }

    /// An end tag closes the innermost element, whatever its name.
    fn end_tag(&mut self) {
        self.at += 2;
        self.name();
        self.skip_blanks();
        if self.rest().starts_with('>') {
            self.at += 1;
        }
        self.close();
    }

    fn start_tag(&mut self) {
        self.at += 1;
        let Some(name) = self.name() else {
            // The sign alone is lost.
            return;
        };
        let mut element = Element {
            name,
            ..Element::default()
        };
        self.skip_blanks();
        while !self.rest().starts_with('>') && !self.rest().starts_with("/>") && !self.rest().is_empty() {
            let Some(attribute) = self.attribute() else { break };
            element.attributes.push(attribute);
            self.skip_blanks();
        }
        self.open.push(element);
        if self.rest().starts_with("/>") {
            self.at += 2;
            self.close();
        } else if self.rest().starts_with('>') {
            self.at += 1;
        } else {
            // The tag never ends: an element without content, and the rest is text behind it.
            self.close();
        }
    }

    fn attribute(&mut self) -> Option<(String, String)> {
        let name = self.name()?;
        self.skip_blanks();
        if !self.rest().starts_with('=') {
            return None;
        }
        self.at += 1;
        self.skip_blanks();
        let quote = self.rest().chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let rest = &self.rest()[1..];
        let end = rest.find([quote, '<'])?;
        if rest[end..].starts_with('<') {
            self.at += 1 + end;
            return None;
        }
        let value = rest[..end].to_owned();
        self.at += end + 2;
        Some((name, value))
    }

    fn name(&mut self) -> Option<String> {
        let rest = self.rest();
        let is_start = |c: char| c.is_alphabetic() || c == '_' || c == ':';
        if !rest.starts_with(is_start) {
            return None;
        }
        let is_part = |c: char| is_start(c) || c.is_numeric() || c == '-' || c == '.';
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += end;
        Some(rest[..end].to_owned())
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Whether parsing goes on: a section that is too long or never ends loses everything behind its beginning.
    fn cdata(&mut self) -> bool {
        let content = &self.rest()["<![CDATA[".len()..];
        match content.find("]]>") {
            Some(end) if end <= LONGEST => {
                let text = content[..end].to_owned();
                self.at += "<![CDATA[".len() + end + "]]>".len();
                self.add(Node::CData(text));
                true
            }
            _ => {
                self.at = self.text.len();
                false
            }
        }
    }

    /// `&name;`, or what begins like it: what isn't known is lost, without a semicolon too.
    fn reference(&mut self) {
        self.at += 1;
        if let Some(number) = self.rest().strip_prefix('#') {
            let end = number
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(number.len());
            let digits = &number[..end];
            let code = match digits.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => digits.parse(),
            };
            self.at += 1 + end;
            if self.rest().starts_with(';') {
                self.at += 1;
            }
            if let Some(c) = code.ok().and_then(char::from_u32) {
                self.add(Node::Text(c.into()));
            }
            return;
        }
        let Some(name) = self.name() else { return };
        if !self.rest().starts_with(';') {
            return;
        }
        self.at += 1;
        let text = match name.as_str() {
            "lt" => "<",
            "gt" => ">",
            "amp" => "&",
            "quot" => "\"",
            "apos" => "'",
            _ => return,
        };
        self.add(Node::Text(text.into()));
    }

    /// A run of text. `]]>` in it loses what stands in front of it since the run began, and its own first character.
    fn characters(&mut self) {
        let rest = self.rest();
        let end = rest.find(['<', '&']).unwrap_or(rest.len());
        let run = &rest[..end];
        // Text beyond ASCII is read by another routine, which loses nothing.
        let plain = run.find(|c: char| !c.is_ascii()).unwrap_or(run.len());
        if let Some(bad) = run[..plain].find("]]>") {
            self.at += bad + 1;
            return;
        }
        let run = if plain > 0 { &run[..plain] } else { run };
        self.at += run.len();
        let text: Cow<'_, str> = if run.chars().all(crate::xml::is_xml_char) {
            run.into()
        } else {
            run.replace(|c| !crate::xml::is_xml_char(c), "").into()
        };
        self.add(Node::Text(text.into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value_of(text: &str) -> String {
        let document = format!("<R><V>{text}</V><N>1</N></R>");
        parse(&document)
            .and_then(|root| root.find("V").map(Element::text))
            .unwrap_or_default()
    }

    #[test]
    fn what_is_lost() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a & b < c", "a  b  c"),
            ("a &amp; b &lt; c", "a & b < c"),
            ("x &unknown; y &half z", "x  y  z"),
            ("&#233;&#xE9;", "éé"),
            ("S=\"has ]]> inside\"", "]> inside\""),
            ("é ]]> x", "é ]]> x"),
            ("<![CDATA[a]]>b", "ab"),
        ] {
            assert_eq!(value_of(text), expected, "{text}");
        }
    }

    #[test]
    fn an_unclosed_tag_swallows_what_follows() {
        let root = parse("<R><P><V>a<b>c</V></P><P><V>d</V></P></R>").unwrap();
        assert_eq!(
            root.to_text(),
            "<R>\n  <P>\n    <V>a<b>c</b></V>\n    <P>\n      <V>d</V>\n    </P>\n  </P>\n</R>"
        );
    }

    #[test]
    fn forged_ends_cut_the_rest_off() {
        let root = parse("<M><C><P><V>x</V></P></C></M>tail</V></P></C></M>").unwrap();
        assert_eq!(
            root.to_text(),
            "<M>\n  <C>\n    <P>\n      <V>x</V>\n    </P>\n  </C>\n</M>"
        );
    }

    #[test]
    fn layout() {
        for (xml, expected) in [
            ("<A/>", "<A/>"),
            ("<A></A>", "<A/>"),
            (
                "<A><B><![CDATA[x <>]]></B></A>",
                "<A>\n  <B><![CDATA[x <>]]></B>\n</A>",
            ),
            ("<A>\n<B/></A>", "<A>\n<B/></A>"),
            ("<A>é<B>x</B></A>", "<A>&#xE9;<B>x</B></A>"),
            ("<A><B>1</B>text<C><D/></C></A>", "<A><B>1</B>text<C><D/></C></A>"),
            ("<A k=\"v\"><B/></A>", "<A k=\"v\">\n  <B/>\n</A>"),
        ] {
            assert_eq!(parse(xml).unwrap().to_text(), expected, "{xml}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,80}", noise in "[<>/&;!\\[\\]CDAT\"'= a-c-]{0,60}") {
            value_of(&text);
            value_of(&noise);
            if let Some(root) = parse(&noise) {
                root.to_text();
            }
        }
    }
}
