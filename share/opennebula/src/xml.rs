//! Pull parsing of the XML that OpenNebula sends: elements and text, attributes ignored.
//!
//! Everything in this crate that reads XML goes through [`Parser`], so that it streams, never panics and reports an
//! error by position only: what oned sends may hold secrets.

use std::borrow::Cow;
use std::ops::Deref;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

/// The text is not well-formed XML, or ended too early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed XML at byte {position}: {what}")]
pub struct XmlError {
    /// Offset in the text.
    pub position: u64,
    /// What is wrong, without any of the text.
    pub what: &'static str,
}

/// One step of the parser. Adjacent pieces of text are not joined here.
pub(crate) enum Token<'a> {
    Open(Name<'a>),
    Text(Cow<'a, str>),
    CData(Cow<'a, str>),
    /// A comment or a processing instruction: no content, but a node all the same.
    Remark,
    Close,
    End,
}

/// The name of an element.
pub(crate) struct Name<'a>(BytesStart<'a>);

impl Deref for Name<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.name().into_inner()
    }
}

/// A cursor over elements. "The open element" is the one that was opened last and is not closed yet.
pub(crate) struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, depth: 0 }
    }

    /// Opens the document's root element. Text in front of it is ignored.
    pub(crate) fn root(&mut self) -> Result<Name<'a>, XmlError> {
        loop {
            match self.next()? {
                Token::Open(name) => return Ok(name),
                Token::End => return Err(self.error("no element")),
                _ => {}
            }
        }
    }

    /// Opens the next child of the open element, or closes that element and returns `None`.
    pub(crate) fn child(&mut self) -> Result<Option<Name<'a>>, XmlError> {
        loop {
            match self.next()? {
                Token::Open(name) => return Ok(Some(name)),
                Token::Close => return Ok(None),
                Token::End => return Err(self.error("ended inside an element")),
                Token::Text(_) | Token::CData(_) | Token::Remark => {}
            }
        }
    }

    /// The text of the open element, which is closed. Child elements don't count.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, XmlError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.next()? {
                Token::Text(piece) | Token::CData(piece) => append(&mut text, piece),
                Token::Open(_) => self.skip()?,
                Token::Close => return Ok(text),
                Token::End => return Err(self.error("ended inside an element")),
                Token::Remark => {}
            }
        }
    }

    /// Closes the open element without looking at its content.
    pub(crate) fn skip(&mut self) -> Result<(), XmlError> {
        self.leave(self.depth.saturating_sub(1))
    }

    /// Number of open elements.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Closes elements until no more than `depth` are open.
    pub(crate) fn leave(&mut self, depth: usize) -> Result<(), XmlError> {
        while self.depth > depth {
            if let Token::End = self.next()? {
                return Err(self.error("ended inside an element"));
            }
        }
        Ok(())
    }

    /// Checks that nothing but blanks and remarks follows the root element.
    pub(crate) fn finish(&mut self) -> Result<(), XmlError> {
        loop {
            match self.next()? {
                Token::End => return Ok(()),
                Token::Open(_) | Token::CData(_) => return Err(self.error("content after the root element")),
                Token::Text(text) if !text.trim().is_empty() => {
                    return Err(self.error("text after the root element"));
                }
                Token::Text(_) | Token::Remark | Token::Close => {}
            }
        }
    }

    pub(crate) fn next(&mut self) -> Result<Token<'a>, XmlError> {
        loop {
            let Ok(event) = self.reader.read_event() else {
                return Err(self.error("bad markup"));
            };
            return Ok(match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.depth += 1;
                    Token::Open(Name(start))
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    Token::Close
                }
                Event::Text(text) => Token::Text(text.xml10_content()),
                Event::CData(text) => Token::CData(text.xml10_content()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(char)) => Token::Text(Cow::Owned(char.into())),
                    Ok(None) => match resolve_xml_entity(&reference) {
                        Some(text) => Token::Text(Cow::Borrowed(text)),
                        None => return Err(self.error("unknown entity")),
                    },
                    Err(_) => return Err(self.error("bad character reference")),
                },
                Event::Comment(_) | Event::PI(_) => Token::Remark,
                Event::Decl(_) | Event::DocType(_) => continue,
                Event::Eof if self.depth > 0 => return Err(self.error("ended inside an element")),
                Event::Eof => Token::End,
            });
        }
    }

    pub(crate) fn error(&self, what: &'static str) -> XmlError {
        XmlError {
            position: self.reader.buffer_position(),
            what,
        }
    }
}

pub(crate) fn append<'a>(text: &mut Cow<'a, str>, piece: Cow<'a, str>) {
    if text.is_empty() {
        *text = piece;
    } else {
        text.to_mut().push_str(&piece);
    }
}

/// Whether XML 1.0 can carry the character at all, escaped or not.
pub(crate) fn is_xml_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Appends `text` as element content. A carriage return becomes a reference: readers turn a bare one into a newline.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            _ => out.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(text: &str) -> Result<String, XmlError> {
        let mut parser = Parser::new(text);
        parser.root()?;
        let content = parser.text()?.into_owned();
        parser.finish()?;
        Ok(content)
    }

    #[test]
    fn text_joins_its_pieces() {
        for (xml, text) in [
            ("<a/>", ""),
            ("<a></a>", ""),
            ("<a>x&amp;y&lt;&#233;&#x41;</a>", "x&y<éA"),
            ("<a>x<!-- no --><![CDATA[<b>]]>y<c>z<d/></c>!</a>", "x<b>y!"),
            (
                "<?xml version=\"1.0\"?>\n<a z=\"&lt;\">1\r\n2&#13;</a>\n",
                "1\n2\r",
            ),
        ] {
            assert_eq!(content(xml).as_deref(), Ok(text), "{xml}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        for xml in [
            "",
            "x",
            "<a>",
            "<a><b></a>",
            "<a>&nope;</a>",
            "<a>& b</a>",
            "<a></a><b/>",
            "<a></a>x",
            "<a",
        ] {
            assert!(content(xml).is_err(), "{xml}");
        }
    }

    #[test]
    fn skip_leaves_the_parent_open() {
        let mut parser = Parser::new("<a><b><c>1</c></b><d>2</d></a>");
        parser.root().unwrap();
        assert_eq!(parser.child().unwrap().as_deref(), Some("b"));
        parser.skip().unwrap();
        assert_eq!(parser.child().unwrap().as_deref(), Some("d"));
        assert_eq!(parser.text().unwrap(), "2");
        assert!(parser.child().unwrap().is_none());
        parser.finish().unwrap();
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in any::<String>()) {
            prop_assume!(text.chars().all(is_xml_char));
            let mut xml = String::from("<a>");
            escape_into(&mut xml, &text);
            xml.push_str("</a>");
            prop_assert_eq!(content(&xml).unwrap(), text);
        }

        #[test]
        fn arbitrary_input_does_not_panic(text in any::<String>()) {
            let _ = content(&text);
            let _ = content(&format!("<a>{text}</a>"));
        }
    }
}
