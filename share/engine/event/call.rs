//! An API event: the call's result, parameters and object, as far as they can be told apart.

use std::io::Read;

use super::xml::{Damaged, Token, Xml};

/// A part of the event whose content comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Whether the call succeeded. It comes first and has no further content.
    Result(bool),
    /// The value of an input parameter, by its position.
    In(u32),
    /// The value of an output parameter, by its position.
    Out(u32),
    /// The object that was made or deleted.
    Extra,
    /// Nothing more.
    End,
}

/// Walks over the parts of an API event.
///
/// Elements are recognised at any depth: where a caller's string broke the XML, what follows is nested too deep.
pub(super) struct Call<R: Read> {
    /// What is left of the event.
    pub(super) xml: Xml<R>,
    position: u32,
    direction: Option<Direction>,
    judged: bool,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    In,
    Out,
}

enum Tag {
    Result,
    Parameter,
    Position,
    Type,
    Value,
    Extra,
}

impl<R: Read> Call<R> {
    pub(super) fn new(xml: Xml<R>) -> Self {
        Self {
            xml,
            position: 0,
            direction: None,
            judged: false,
        }
    }

    /// Goes on to the next part. What is left of the present one's content is passed over.
    pub(super) fn next(&mut self) -> Result<Part, Damaged> {
        loop {
            let tag = match self.xml.next()? {
                Token::Open("RESULT") if !self.judged => Tag::Result,
                Token::Open("PARAMETER") => Tag::Parameter,
                Token::Open("POSITION") => Tag::Position,
                Token::Open("TYPE") => Tag::Type,
                Token::Open("VALUE") => Tag::Value,
                Token::Open("EXTRA") => Tag::Extra,
                Token::End => return Ok(Part::End),
                _ => continue,
            };
            match tag {
                Tag::Result => {
                    self.judged = true;
                    return Ok(Part::Result(self.word()?.as_deref() == Some("1")));
                }
                Tag::Parameter => (self.position, self.direction) = (0, None),
                Tag::Position => self.position = self.word()?.and_then(|p| p.parse().ok()).unwrap_or(0),
                Tag::Type => {
                    self.direction = match self.word()?.as_deref() {
                        Some("IN") => Some(Direction::In),
                        Some("OUT") => Some(Direction::Out),
                        _ => None,
                    };
                }
                Tag::Value => match self.direction.take() {
                    Some(Direction::In) => return Ok(Part::In(self.position)),
                    Some(Direction::Out) => return Ok(Part::Out(self.position)),
                    None => {}
                },
                Tag::Extra => return Ok(Part::Extra),
            }
        }
    }

    /// The id that is the whole content of the present part.
    pub(super) fn id(&mut self) -> Result<Option<u32>, Damaged> {
        Ok(self.word()?.and_then(|text| super::id(&text)))
    }

    fn word(&mut self) -> Result<Option<String>, Damaged> {
        Ok(self.xml.text(64)?.map(|text| text.trim().to_owned()))
    }
}
