//! Which attributes does a template text name, without reading it whole?

use std::io::Read;

use super::xml::{Token, Xml};

/// What a template names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// One of the wanted attributes.
    Wanted,
    /// Others only.
    Others,
    /// The text was damaged on its way: oned accepted it, and it can't have been like this.
    Doubt,
}

/// Looks for wanted names in the template that is the content of the open element, in either syntax.
pub(super) fn named<R: Read>(xml: &mut Xml<R>, wanted: &dyn Fn(&str) -> bool) -> Named {
    let value = xml.depth();
    let mut form = Form::Unknown;
    loop {
        let Ok(token) = xml.next() else {
            return Named::Doubt;
        };
        match (token, &mut form) {
            (Token::End, _) => return Named::Doubt,
            (Token::Text(text), Form::Unknown) if text.trim().is_empty() => {}
            (Token::Text(text), Form::Unknown) => {
                let mut scanner = Scanner::new(wanted);
                scanner.feed(text);
                form = Form::Plain(scanner);
            }
            (Token::Text(text), Form::Plain(scanner)) => scanner.feed(text),
            (Token::Text(_), Form::Xml) => {}
            // Plain text with markup in it.
            (Token::Open(_), Form::Plain(scanner)) => return scanner.end().unless_wanted(Named::Doubt),
            (Token::Open(_), Form::Unknown) => form = Form::Xml,
            (Token::Open(name), Form::Xml) => {
                let name = name.to_owned();
                if xml.depth() == value + 2 && wanted(&name) {
                    return Named::Wanted;
                }
            }
            (Token::Close, form) => {
                if xml.depth() < value {
                    return match form {
                        Form::Plain(scanner) => scanner.end(),
                        Form::Unknown | Form::Xml => Named::Others,
                    };
                }
            }
        }
        if let Form::Plain(Scanner {
            state: State::Found, ..
        }) = form
        {
            return Named::Wanted;
        }
    }
}

enum Form<'a> {
    Unknown,
    Plain(Scanner<'a>),
    Xml,
}

impl Named {
    fn unless_wanted(self, other: Self) -> Self {
        if self == Self::Wanted { self } else { other }
    }
}

/// Longest part of a name that is looked at.
const NAME: usize = 64;

/// The plain syntax, as oned's scanner reads it: `NAME="text"`, `NAME=text`, `NAME=[KEY="text",…]`, `#` comments.
struct Scanner<'a> {
    wanted: &'a dyn Fn(&str) -> bool,
    state: State,
    name: String,
    /// What it would be if the quote that is open now had no partner: then oned takes it for a plain character.
    unpaired: Option<Box<Self>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Comment,
    Name,
    AfterName,
    /// After `=`.
    Value,
    Bare,
    Quoted,
    /// After a backslash in a quoted value.
    Escape,
    Vector,
    /// After `=` in a vector.
    VectorValue,
    VectorQuoted,
    VectorEscape,
    Found,
    Doubt,
}

impl<'a> Scanner<'a> {
    fn new(wanted: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            wanted,
            state: State::Between,
            name: String::new(),
            unpaired: None,
        }
    }

    fn feed(&mut self, text: &str) {
        for b in text.bytes() {
            self.byte(b);
        }
    }

    fn byte(&mut self, b: u8) {
        let before = std::mem::replace(&mut self.state, State::Doubt);
        self.state = self.step(before, b);
        match (before, self.state) {
            (State::Value, State::Quoted) => {
                let wanted = self.wanted;
                let unpaired = self.unpaired.get_or_insert_with(|| Box::new(Self::new(wanted)));
                unpaired.state = State::Bare;
            }
            (State::Quoted | State::Escape, _) => {
                if let Some(unpaired) = &mut self.unpaired {
                    if b == b'"' {
                        unpaired.state = State::Doubt;
                    } else {
                        unpaired.byte(b);
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, state: State, b: u8) -> State {
        let is_name = b.is_ascii_alphanumeric() || b == b'_';
        match state {
            State::Between if is_name => {
                self.name.clear();
                self.name.push(char::from(b));
                State::Name
            }
            State::Name if is_name => {
                if self.name.len() < NAME {
                    self.name.push(char::from(b));
                }
                State::Name
            }
            State::Name if (self.wanted)(&self.name) => State::Found,
            State::Between | State::Bare if b == b'#' => State::Comment,
            State::Between => match b {
                b'=' | b'"' | b'[' | b']' | b',' => State::Doubt,
                // Bytes that fit nowhere are passed over.
                _ => State::Between,
            },
            State::Comment => between_if(b == b'\n', State::Comment),
            State::Name | State::AfterName => match b {
                b'=' => State::Value,
                b'"' | b'[' | b']' | b',' | b'#' => State::Doubt,
                _ if is_name => State::Doubt,
                _ => State::AfterName,
            },
            State::Value => match b {
                b' ' | b'\t' => State::Value,
                b'\n' => State::Between,
                b'"' => State::Quoted,
                b'[' => State::Vector,
                b'=' | b']' | b',' | b'#' => State::Doubt,
                _ => State::Bare,
            },
            State::Bare => match b {
                b' ' | b'\t' | b'\n' => State::Between,
                b'=' | b'[' | b']' | b',' => State::Doubt,
                _ => State::Bare,
            },
            State::Quoted | State::Escape => match b {
                b'\\' => State::Escape,
                b'"' if state == State::Quoted => State::Between,
                _ => State::Quoted,
            },
            State::Vector => match b {
                b'=' => State::VectorValue,
                b']' => State::Between,
                // A quote that begins no value is passed over or is a part of it, and a comment may hide what ends the
                // vector.
                b'"' | b'[' | b'#' => State::Doubt,
                _ => State::Vector,
            },
            State::VectorValue => match b {
                b' ' | b'\t' => State::VectorValue,
                b'"' => State::VectorQuoted,
                b'=' | b'[' | b']' | b',' | b'#' | b'\n' => State::Doubt,
                _ => State::Vector,
            },
            State::VectorQuoted | State::VectorEscape => match b {
                b'\\' => State::VectorEscape,
                b'"' if state == State::VectorQuoted => State::Vector,
                _ => State::VectorQuoted,
            },
            State::Found => State::Found,
            State::Doubt => State::Doubt,
        }
    }

    fn end(&self) -> Named {
        match self.state {
            State::Found => Named::Wanted,
            State::Name if (self.wanted)(&self.name) => Named::Wanted,
            State::Between | State::Value | State::Bare => Named::Others,
            State::Quoted => self
                .unpaired
                .as_ref()
                .map_or(Named::Doubt, |unpaired| unpaired.end()),
            // A comment without the end of its line is none to oned: it passes over the sign and reads what follows.
            _ => Named::Doubt,
        }
    }
}

fn between_if(ended: bool, otherwise: State) -> State {
    if ended { State::Between } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn look(value: &str) -> Named {
        let event = format!("<VALUE>{value}</VALUE><NEXT/>");
        let mut xml = Xml::new(event.as_bytes());
        xml.next().unwrap();
        named(&mut xml, &|name| name.eq_ignore_ascii_case("SPEC"))
    }

    #[test]
    fn names_are_found_in_both_syntaxes_and_only_there() {
        for (text, expected) in [
            ("", Named::Others),
            (" \n ", Named::Others),
            ("SPEC=\"x\"", Named::Wanted),
            ("spec = x", Named::Wanted),
            ("\n  SPEC\t=\n[A=\"1\"]", Named::Wanted),
            ("A=1\nB=[C=\"SPEC\"]\nSPEC=\"\"", Named::Wanted),
            ("SPEC=", Named::Wanted),
            ("éSPEC=1", Named::Wanted),
            ("STATUS=\"SPEC=\\\"1\\\"\nSPEC=2\"", Named::Others),
            ("A=[SPEC=\"1\",B=\"]\"]", Named::Others),
            ("# SPEC=1\nA=SPEC", Named::Others),
            ("A=SPEC # SPEC=1\nB=\"1\"", Named::Others),
            ("SPECS=\"1\"\nMY_SPEC=1", Named::Others),
            ("A=\"a &#xE9; b\"", Named::Others),
            ("A=\nSPEC=1", Named::Wanted),
            ("A=1\n# SPEC=1", Named::Doubt),
            ("A=1 # SPEC=1", Named::Doubt),
            ("A=[\"]\nSPEC=[\"]", Named::Doubt),
            ("A=[B=1, # ]\n C=\"x\"]", Named::Doubt),
            ("A=[B=1, C = \"x\" ,\n D=\"y ] # \\\"\"]\nE=1", Named::Others),
            ("A=\"ends in a backslash\\\"\nSPEC=\"1\"", Named::Doubt),
            ("]&gt; inside\"", Named::Doubt),
            ("\"\nSPEC=1", Named::Doubt),
            ("A=\"x", Named::Others),
            ("A=\"x\nB=\"y\"\nSPEC=1", Named::Doubt),
            ("A=\"x\nSPEC=1", Named::Wanted),
            ("A=\"x y", Named::Doubt),
            ("A=\"x\\\"\nB=1", Named::Doubt),
            ("A", Named::Doubt),
            ("A B=1", Named::Doubt),
            ("A=\"x <b>y</b>\"\nB=1", Named::Doubt),
            ("SPEC=\"x <b>y</b>\"", Named::Wanted),
            ("<T><SPEC>x</SPEC></T>", Named::Wanted),
            (" \n<T>\n <A><![CDATA[SPEC=1]]></A> <spec/></T>", Named::Wanted),
            ("<T><A><SPEC>x</SPEC></A>SPEC=1</T>", Named::Others),
            ("<SPEC><A>x</A></SPEC>", Named::Others),
            ("<T><A>x</A>", Named::Doubt),
        ] {
            assert_eq!(look(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_wanted_name_is_found_behind_any_attributes(
            attributes in prop::collection::vec(
                ("[A-Z][A-Z0-9_]{0,9}", "[a-zA-Z=\\[\\], #\n]{0,40}", any::<bool>()), 0..6),
        ) {
            prop_assume!(attributes.iter().all(|(name, _, _)| name != "SPEC"));
            let lines = attributes.iter().map(|(name, value, vector)| match vector {
                true => format!("{name}=[K=\"{value}\", L=\"\\\"\"]\n"),
                false => format!("{name}=\"{value}\"\n"),
            });
            let text = lines.collect::<Vec<_>>().concat();
            prop_assert_eq!(look(&text), Named::Others);
            prop_assert_eq!(look(&format!("{text}SPEC=\"1\"")), Named::Wanted);
        }
    }
}
