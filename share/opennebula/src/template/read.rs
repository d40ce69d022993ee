//! Text to template, as oned reads it.

use super::lex::{Lexer, Token};
use super::{Attribute, AttributeValue, Template};
use crate::xml::{self, Parser, XmlError};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The text is no template. Never holds any of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The plain text breaks the syntax.
    #[error("template line {line}: {what}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The XML is not well-formed.
    #[error("template: {0}")]
    Xml(#[from] XmlError),
}

impl Template {
    /// Reads either syntax: XML if the very first byte is `<`, plain text otherwise.
    ///
    /// # Errors
    /// oned would refuse the text as well.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.starts_with('<') {
            Self::parse_xml(text)
        } else {
            Self::parse_text(text)
        }
    }

    /// Reads the plain syntax with oned's habits: names are upper-cased, values trimmed, `#` begins a comment, quotes
    /// span lines, a value without quotes ends at a blank or one of `,[]#=`, characters outside `[A-Za-z0-9_]` vanish
    /// from names, and a name that begins with a digit or `XML` gets the prefix `ONE_`.
    ///
    /// # Errors
    /// oned would refuse the text as well.
    pub fn parse_text(text: &str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(text);
        let mut template = Self::new();
        while let Some(token) = lexer.next() {
            let Token::Variable(name) = token else {
                return Err(syntax(&lexer, "expected a name"));
            };
            let value = match lexer.next() {
                Some(Token::EqualEmpty) => AttributeValue::Text(String::new()),
                Some(Token::Equal) => match lexer.next() {
                    Some(Token::Text(text)) => AttributeValue::Text(plain_value(text)),
                    Some(Token::OpenBracket) => AttributeValue::Vector(pairs(&mut lexer)?),
                    Some(Token::Cdata) => return Err(syntax(&lexer, "a value with ]]>")),
                    _ => return Err(syntax(&lexer, "expected a value")),
                },
                _ => return Err(syntax(&lexer, "expected = after a name")),
            };
            template.attributes.push(Attribute {
                name: stored_name(name),
                value,
            });
        }
        Ok(template)
    }

    /// Reads the XML form with oned's habits: the name of the root does not matter, an element with exactly one text
    /// or CDATA node is a text, one with child elements is a vector of their texts, and any other vanishes, such as
    /// an element without content or with blanks beside a CDATA section. Values are trimmed.
    ///
    /// # Errors
    /// The XML is not well-formed.
    pub fn parse_xml(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::new(text);
        parser.root()?;
        let template = Self::from_element(&mut parser)?;
        parser.finish()?;
        Ok(template)
    }

    /// Reads the attributes inside the open element, which is closed.
    pub(crate) fn from_element(parser: &mut Parser<'_>) -> Result<Self, XmlError> {
        let mut template = Self::new();
        while let Some(name) = parser.child()? {
            if let Some(value) = element_value(parser)? {
                template.attributes.push(Attribute {
                    name: stored_name(&name),
                    value,
                });
            }
        }
        Ok(template)
    }
}

/// The pairs up to the closing bracket. Of a repeated key the first counts.
fn pairs(lexer: &mut Lexer<'_>) -> Result<Vec<(String, String)>, ParseError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut known = BTreeSet::new();
    let mut token = lexer.next();
    if token == Some(Token::CloseBracket) {
        return Ok(pairs);
    }
    loop {
        let Some(Token::Variable(key)) = token else {
            return Err(syntax(lexer, "expected a name in a vector"));
        };
        if lexer.next() != Some(Token::Equal) {
            return Err(syntax(lexer, "expected = and a value in a vector"));
        }
        let Some(Token::Text(text)) = lexer.next() else {
            return Err(syntax(lexer, "expected a value in a vector"));
        };
        let key = key.to_ascii_uppercase();
        if known.insert(key.clone()) {
            pairs.push((key, plain_value(text)));
        }
        match lexer.next() {
            Some(Token::Comma) => token = lexer.next(),
            Some(Token::CloseBracket) => return Ok(pairs),
            _ => return Err(syntax(lexer, "expected , or ] in a vector")),
        }
    }
}

/// Content of the open element, which is closed; `None` if oned would not see an attribute in it.
fn element_value(parser: &mut Parser<'_>) -> Result<Option<AttributeValue>, XmlError> {
    let mut nodes = 0;
    let mut last = Node::Other;
    let mut text = Cow::Borrowed("");
    let mut pairs: Option<Vec<(String, String)>> = None;
    loop {
        let (node, piece) = match parser.next()? {
            xml::Token::Text(piece) => (Node::Text, Some(piece)),
            xml::Token::CData(piece) => (Node::CData, Some(piece)),
            xml::Token::Remark => (Node::Other, None),
            xml::Token::Open(name) => {
                let pairs = pairs.get_or_insert_default();
                if let Some(text) = first_text(parser)? {
                    pairs.push((name.to_owned(), trim(&text).to_owned()));
                }
                (Node::Other, None)
            }
            xml::Token::Close | xml::Token::End => break,
        };
        // Neighbours of the same kind are one node.
        if nodes == 0 || node == Node::Other || node != last {
            nodes += 1;
        }
        last = node;
        if let Some(piece) = piece {
            xml::append(&mut text, piece);
        }
    }
    Ok(match pairs {
        Some(pairs) => Some(AttributeValue::Vector(last_of_each(pairs))),
        None if nodes == 1 && last != Node::Other => Some(AttributeValue::Text(trim(&text).to_owned())),
        None => None,
    })
}

/// Of a repeated key the last counts in XML. Whoever writes a vector decides how many keys there are.
fn last_of_each(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut later = BTreeSet::new();
    let keep: Vec<bool> = pairs
        .iter()
        .rev()
        .map(|(key, _)| later.insert(key.clone()))
        .collect();
    let mut keep = keep.into_iter().rev();
    pairs.retain(|_| keep.next().unwrap_or(true));
    pairs
}

#[derive(Clone, Copy, PartialEq)]
enum Node {
    Text,
    CData,
    Other,
}

/// The first node of the open element if that is text; the element is closed.
fn first_text<'a>(parser: &mut Parser<'a>) -> Result<Option<Cow<'a, str>>, XmlError> {
    let mut first: Option<(Node, Cow<'a, str>)> = None;
    let mut complete = false;
    loop {
        let (node, piece) = match parser.next()? {
            xml::Token::Text(piece) => (Node::Text, piece),
            xml::Token::CData(piece) => (Node::CData, piece),
            xml::Token::Open(_) => {
                parser.skip()?;
                complete = true;
                continue;
            }
            xml::Token::Remark => {
                complete = true;
                continue;
            }
            xml::Token::Close | xml::Token::End => return Ok(first.map(|(_, text)| text)),
        };
        match &mut first {
            Some((kind, text)) if !complete && *kind == node => xml::append(text, piece),
            None if !complete => first = Some((node, piece)),
            _ => complete = true,
        }
    }
}

/// A name as oned stores it.
fn stored_name(name: &str) -> String {
    let stored = name.to_ascii_uppercase();
    let first = stored.as_bytes().first();
    let legal = first.is_none_or(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    if legal && !name.starts_with("XML") {
        stored
    } else {
        format!("ONE_{stored}")
    }
}

fn plain_value(text: &str) -> String {
    trim(&text.replace("\\\"", "\"")).to_owned()
}

/// What C's `isspace` strips.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r'])
}

fn syntax(lexer: &Lexer<'_>, what: &'static str) -> ParseError {
    ParseError::Syntax {
        line: lexer.line(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `NAME=text` or `NAME=[KEY=text,…]`, separated by `;`.
    fn shown(template: &Template) -> String {
        let show = |attribute: &Attribute| match &attribute.value {
            AttributeValue::Text(text) => format!("{}={text}", attribute.name),
            AttributeValue::Vector(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, text)| format!("{key}={text}")).collect();
                format!("{}=[{}]", attribute.name, pairs.join(","))
            }
        };
        template.iter().map(show).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn plain_text_is_read_as_oned_does() {
        for (text, expected) in [
            ("", ""),
            ("# nothing\n  \n", ""),
            ("a = b\nB=\" c \"", "A=b;B=c"),
            (
                "A=\"line 1\nline 2\" B=\"say \\\"hi\\\"\"",
                "A=line 1\nline 2;B=say \"hi\"",
            ),
            ("A=\"1\" # not this\nB=2", "A=1;B=2"),
            ("A=\nB=\"\"", "A=;B="),
            (
                "NIC=[ NETWORK_ID = 1,\n  ip=\"x\" ]\nNIC=[A=1,A=2]",
                "NIC=[NETWORK_ID=1,IP=x];NIC=[A=1]",
            ),
            ("C=[]", "C=[]"),
            (
                "A_é=1\n2B=2\nXMLY=3\nxmlz=4\n_=5",
                "A_=1;ONE_2B=2;ONE_XMLY=3;XMLZ=4;_=5",
            ),
            ("BAD=\"unterminated", "BAD=\"unterminated"),
            ("A=\"tail\\\"", "A=tail\\"),
            ("A=\"C:\\dir\\n\"", "A=C:\\dir\\n"),
            ("A=\"x\n]]>\"", "A=x\n]]>"),
        ] {
            assert_eq!(shown(&Template::parse_text(text).unwrap()), expected, "{text:?}");
        }
    }

    #[test]
    fn plain_text_that_oned_refuses() {
        for (text, line) in [
            ("A", 1),
            ("A B=1", 1),
            ("A=", 1),
            ("\n=1", 2),
            ("A=1\nB=\"x ]]> y\"", 2),
            ("A=[B=[C=1]]", 1),
            ("A=[B=1", 1),
            ("A=[B=1,]", 1),
            ("A-B=1", 1),
            ("<A>1</A>", 1),
            ("A=\"tail\\\"\nB=\"1\"", 2),
        ] {
            match Template::parse_text(text) {
                Err(ParseError::Syntax { line: at, .. }) => assert_eq!(at, line, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn xml_is_read_as_oned_does() {
        for (xml, expected) in [
            ("<T/>", ""),
            ("<T><a>1</a><B><![CDATA[ 2 ]]></B></T>", "A=1;B=2"),
            ("<T><A>a&amp;b&#233;</A></T>", "A=a&bé"),
            ("<T><A></A><B/><C><![CDATA[]]></C><D> </D></T>", "C=;D="),
            (
                "<T><A> <![CDATA[x]]></A><B>\n<![CDATA[x]]>\n</B><C>x<!-- --></C></T>",
                "",
            ),
            (
                "<T><S><![CDATA[has ]]]]><![CDATA[> inside]]></S></T>",
                "S=has ]]> inside",
            ),
            (
                "<T><NIC>\n <IP>1</IP>\n <ip>2</ip><X/><Y><Z>deep</Z></Y></NIC></T>",
                "NIC=[IP=1,ip=2]",
            ),
            ("<T><V><A>1</A><A>2</A></V><V><A/></V></T>", "V=[A=2];V=[]"),
            ("<T><V><A> <![CDATA[x]]></A><B>1<c/>2</B></V></T>", "V=[A=,B=1]"),
            ("<T>\n <A>1</A>\n text\n</T>\n", "A=1"),
            ("<T><XMLA>1</XMLA><_1>2</_1></T>", "ONE_XMLA=1;_1=2"),
        ] {
            assert_eq!(shown(&Template::parse(xml).unwrap()), expected, "{xml}");
        }
        for xml in ["<T>", "<T><A></T>", "<T/><T/>", "<T>&x;</T>"] {
            assert!(matches!(Template::parse(xml), Err(ParseError::Xml(_))), "{xml}");
        }
    }

    #[test]
    fn a_vector_of_very_many_keys_is_read_all_the_same() {
        let keys = 100_000;
        let xml: Vec<String> = (0..keys).map(|i| format!("<K{i}>1</K{i}><K>{i}</K>")).collect();
        let xml = xml.concat();
        let template = Template::parse_xml(&format!("<T><V>{xml}</V></T>")).unwrap();
        let pairs = template.get_vector("V").unwrap();
        assert_eq!(pairs.len(), keys + 1);
        assert_eq!(pairs[keys].1, (keys - 1).to_string());
        let text: Vec<String> = (0..keys).map(|i| format!("K{i}=1,K={i},")).collect();
        let text = text.concat();
        let template = Template::parse_text(&format!("V=[{text}L=1]")).unwrap();
        assert_eq!(template.get_vector("V").unwrap().len(), keys + 2);
        assert!(template.to_text().is_ok() && template.to_xml("T").is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_input_does_not_panic(text in any::<String>(), noise in "[A-Z=\"\\\\#,\\[\\]\\n >é0]{0,60}") {
            let _ = Template::parse(&text);
            let _ = Template::parse_text(&noise);
            let _ = Template::parse_xml(&format!("<T>{text}</T>"));
        }
    }
}
