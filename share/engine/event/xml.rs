//! Tokens of an event, each of bounded length.

use std::io::Read;

use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;

use super::bounded::Bounded;

/// Deeper than any object; the hook manager's parser stops at 256.
const DEPTH: usize = 300;

/// The event can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// One token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An element begins.
    Open(&'a str),
    /// A piece of text. A text may come in several pieces.
    Text(&'a str),
    /// An element ends.
    Close,
    /// The document ends.
    End,
}

/// Pulls tokens from an event.
pub(super) struct Xml<R: Read> {
    reader: quick_xml::Reader<Bounded<R>>,
    raw: Vec<u8>,
    /// Name or text of the last token.
    content: String,
    depth: usize,
    /// Give the last token, which opened an element, once more.
    again: bool,
}

enum What {
    Open,
    Text,
    Close,
    End,
}

impl<R: Read> Xml<R> {
    pub(super) fn new(input: R) -> Self {
        let mut reader = quick_xml::Reader::from_reader(Bounded::new(input));
        reader.config_mut().expand_empty_elements = true;
        Self {
            reader,
            raw: Vec::new(),
            content: String::new(),
            depth: 0,
            again: false,
        }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token<'_>, Damaged> {
        if std::mem::take(&mut self.again) {
            return Ok(Token::Open(&self.content));
        }
        Ok(match self.advance()? {
            What::Open => Token::Open(&self.content),
            What::Text => Token::Text(&self.content),
            What::Close => Token::Close,
            What::End => Token::End,
        })
    }

    /// The text of the open element, which is closed; `None` if it is longer than `limit` bytes. A child element, which
    /// has no business there, ends the text and stays to be read.
    pub(super) fn text(&mut self, limit: usize) -> Result<Option<String>, Damaged> {
        let mut text = Some(String::new());
        loop {
            match self.next()? {
                Token::Text(piece) => {
                    text = text.filter(|text| text.len() + piece.len() <= limit);
                    if let Some(text) = &mut text {
                        text.push_str(piece);
                    }
                }
                Token::Open(_) => {
                    self.again = true;
                    return Ok(text);
                }
                Token::Close => return Ok(text),
                Token::End => return Err(Damaged),
            }
        }
    }

    fn advance(&mut self) -> Result<What, Damaged> {
        loop {
            self.raw.clear();
            let event = self.reader.read_event_into(&mut self.raw).map_err(|_| Damaged)?;
            self.content.clear();
            return Ok(match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.content.push_str(start.name().as_ref());
                    self.depth += 1;
                    if self.depth > DEPTH {
                        return Err(Damaged);
                    }
                    What::Open
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    What::Close
                }
                Event::Text(text) => {
                    self.content.push_str(&text);
                    What::Text
                }
                Event::CData(text) => {
                    self.content.push_str(&text);
                    What::Text
                }
                Event::GeneralRef(reference) => {
                    match reference.resolve_char_ref() {
                        Ok(Some(char)) => self.content.push(char),
                        Ok(None) => self
                            .content
                            .push_str(resolve_xml_entity(&reference).ok_or(Damaged)?),
                        Err(_) => return Err(Damaged),
                    }
                    What::Text
                }
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => continue,
                Event::Eof if self.depth > 0 => return Err(Damaged),
                Event::Eof => What::End,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(xml: &str) -> Vec<String> {
        let mut xml = Xml::new(xml.as_bytes());
        let mut all = Vec::new();
        loop {
            match xml.next() {
                Ok(Token::End) => return all,
                Ok(token) => all.push(format!("{token:?}")),
                Err(Damaged) => {
                    all.push("damaged".to_owned());
                    return all;
                }
            }
        }
    }

    #[test]
    fn tokens_come_in_order() {
        assert_eq!(
            tokens("<a>x&amp;&#xE9;<!-- no --><b/><![CDATA[<c>]]></a>"),
            [
                "Open(\"a\")",
                "Text(\"x\")",
                "Text(\"&\")",
                "Text(\"é\")",
                "Open(\"b\")",
                "Close",
                "Text(\"<c>\")",
                "Close",
            ]
        );
    }

    #[test]
    fn damage_ends_the_reading() {
        for xml in [
            "<a>",
            "<a></b>",
            "</a>",
            "<a>&nope;</a>",
            "<a>&",
            "<a",
            "<a>\u{0}<",
        ] {
            assert_eq!(tokens(xml).last().map(String::as_str), Some("damaged"), "{xml}");
        }
        assert_eq!(
            tokens(&"<a>".repeat(DEPTH + 1)).last().map(String::as_str),
            Some("damaged")
        );
    }

    #[test]
    fn a_text_is_whole_or_too_long() {
        let read = |xml: &str, limit| {
            let mut xml = Xml::new(xml.as_bytes());
            assert_eq!(xml.next(), Ok(Token::Open("a")));
            let text = xml.text(limit).unwrap();
            (text, format!("{:?}", xml.next()))
        };
        assert_eq!(
            read("<a>x&lt;y</a>", 3),
            (Some("x<y".to_owned()), "Ok(End)".to_owned())
        );
        assert_eq!(read("<a>x&lt;y</a>", 2), (None, "Ok(End)".to_owned()));
        assert_eq!(
            read("<a>x<b>y</b></a>", 9),
            (Some("x".to_owned()), "Ok(Open(\"b\"))".to_owned())
        );
    }
}
