//! Pull parsing of the XML that OpenNebula sends: elements and text, attributes ignored.
//!
//! Everything in this crate that reads XML goes through [`Parser`], so that it streams, never panics and reports an
//! error by position only: what oned sends may hold secrets.

mod ahead;

use std::borrow::Cow;
use std::io::BufRead;
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
    text: &'a str,
    reader: Reader<&'a [u8]>,
    depth: usize,
    last: Last,
}

/// What was read last.
#[derive(PartialEq)]
enum Last {
    /// A start tag: content follows.
    Start,
    /// The tag of an empty element: its end follows, which stands nowhere.
    Empty,
    Other,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            reader: Reader::from_str(text),
            depth: 0,
            last: Last::Other,
        }
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
        if let Some((all, length)) = self.ahead().and_then(ahead::text) {
            self.pass_over(length);
            text = all;
        }
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
        if let Some(length) = self.ahead().and_then(ahead::content) {
            self.pass_over(length);
        }
        self.leave(self.depth.saturating_sub(1))
    }

    /// What follows the start tag that was read last.
    fn ahead(&self) -> Option<&'a str> {
        let rest: &'a [u8] = self.reader.get_ref();
        let at = self.text.len().checked_sub(rest.len())?;
        self.text.get(at..).filter(|_| self.last == Last::Start)
    }

    /// Goes on so many bytes later. Nothing in between is an event any more.
    fn pass_over(&mut self, length: usize) {
        self.reader.stream().consume(length);
        self.last = Last::Other;
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
        if std::mem::replace(&mut self.last, Last::Other) == Last::Empty {
            self.depth = self.depth.saturating_sub(1);
            return Ok(Token::Close);
        }
        loop {
            let Ok(event) = self.reader.read_event() else {
                return Err(self.error("bad markup"));
            };
            return Ok(match event {
                Event::Start(start) => {
                    self.depth += 1;
                    self.last = Last::Start;
                    Token::Open(Name(start))
                }
                Event::Empty(start) => {
                    self.depth += 1;
                    self.last = Last::Empty;
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
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let reference = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'\r' => "&#13;",
            _ => continue,
        };
        // These are whole characters.
        out.push_str(text.get(done..at).unwrap_or_default());
        out.push_str(reference);
        done = at + 1;
    }
    out.push_str(text.get(done..).unwrap_or_default());
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

    /// The same as [`Parser::text`] and [`Parser::skip`], one event after the other.
    fn slowly(parser: &mut Parser<'_>, skips: bool) -> Result<String, XmlError> {
        parser.last = Last::Other;
        if skips {
            parser.leave(parser.depth - 1)?;
            return Ok(String::new());
        }
        let mut text = Cow::Borrowed("");
        let depth = parser.depth;
        loop {
            match parser.next()? {
                Token::Text(piece) | Token::CData(piece) => append(&mut text, piece),
                Token::Open(_) => parser.leave(depth)?,
                Token::Close => return Ok(text.into_owned()),
                Token::End => return Err(parser.error("ended inside an element")),
                Token::Remark => {}
            }
        }
    }

    /// Pieces of XML, some of them broken.
    const PIECES: [&str; 36] = [
        "<a>",
        "</a>",
        "<b>",
        "</b>",
        "<b/>",
        "<a />",
        "</a >",
        "<a c=\"</a>\">",
        "<a c='>'/>",
        "<![CDATA[",
        "]]>",
        "<!-- ",
        " -->",
        "<?p ?>",
        "&amp;",
        "&lt;",
        "&#13;",
        "&#x41;",
        "&nope;",
        "&",
        ";",
        "<",
        ">",
        "/",
        "\r\n",
        "\r",
        "x",
        "é",
        " ",
        "<!DOCTYPE a>",
        "<a>x</a>",
        "<a><b>1</b><b/>&lt;</a>",
        "<b><![CDATA[</e>]]></b>",
        "&lt;e&gt;",
        "<a>x</b>",
        "<a><!-- </e> --></a>",
    ];

    /// Reads these pieces in an element in both ways.
    fn at_once_as_slowly(pieces: &[&str], skips: bool, ends: bool) {
        let end = if ends { "</e>y</r>" } else { "" };
        let xml = format!("<r><e>{}{end}", pieces.concat());
        let read = |at_once: bool| {
            let mut parser = Parser::new(&xml);
            parser.root()?;
            parser.child()?;
            let text = match (at_once, skips) {
                (false, _) => slowly(&mut parser, skips)?,
                (true, true) => parser.skip().map(|()| String::new())?,
                (true, false) => parser.text()?.into_owned(),
            };
            let place = (parser.depth, parser.reader.buffer_position());
            let rest = slowly(&mut parser, false);
            Ok::<_, XmlError>((text, place, rest))
        };
        assert_eq!(read(true), read(false), "{xml}");
    }

    #[test]
    fn what_is_seen_at_once_is_what_events_tell() {
        let alone_too = PIECES.iter().copied().chain([""]);
        for (first, second) in alone_too.flat_map(|first| PIECES.map(|second| (first, second))) {
            for (skips, ends) in [(false, false), (false, true), (true, false), (true, true)] {
                at_once_as_slowly(&[first, second], skips, ends);
            }
        }
    }

    proptest! {
        #[test]
        fn however_many_pieces_follow_each_other(
            pieces in proptest::collection::vec(0..PIECES.len(), 3..14),
            skips in any::<bool>(),
            ends in any::<bool>(),
        ) {
            let pieces: Vec<&str> = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            at_once_as_slowly(&pieces, skips, ends);
        }

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
