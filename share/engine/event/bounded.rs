//! XML in short pieces: long texts are cut by marks that mean nothing, so that no token is long.

use std::io::{self, BufRead, Read};

/// Longest run of text, and longest tag, comment or other markup.
const LIMIT: usize = 8 * 1024;

/// Cuts a text.
const TEXT_CUT: &[u8] = b"<?c?>";

/// Cuts a CDATA section.
const CDATA_CUT: &[u8] = b"]]><![CDATA[";

const CDATA_START: &[u8] = b"<![CDATA[";
const COMMENT_START: &[u8] = b"<!--";

/// The same document as the inner reader's with cuts in long texts. Markup beyond the limit is an error.
pub(super) struct Bounded<R> {
    inner: R,
    raw: Box<[u8]>,
    out: Vec<u8>,
    taken: usize,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Text {
        run: usize,
    },
    /// In `&…;`
    Reference {
        length: usize,
    },
    /// In `<…`; how many bytes agree with the start of a CDATA section and of a comment.
    Markup {
        length: usize,
        cdata: usize,
        comment: usize,
    },
    Comment {
        length: usize,
        dashes: usize,
    },
    Cdata {
        run: usize,
        brackets: usize,
    },
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            raw: vec![0; LIMIT].into_boxed_slice(),
            out: Vec::with_capacity(LIMIT + 64),
            taken: 0,
            state: State::Text { run: 0 },
        }
    }

    /// Copies as much of the raw bytes as changes nothing but the length of a run; how many.
    fn copy_plain(&mut self, start: usize, end: usize) -> usize {
        let rest = &self.raw[start..end];
        let (run, special) = match &mut self.state {
            State::Text { run } => (run, memchr::memchr2(b'<', b'&', rest)),
            State::Cdata { run, brackets: 0 } => (run, memchr::memchr(b']', rest)),
            _ => return 0,
        };
        let length = special.unwrap_or(rest.len()).min(LIMIT.saturating_sub(*run));
        *run += length;
        self.out.extend_from_slice(&rest[..length]);
        length
    }

    fn push(&mut self, b: u8) -> io::Result<()> {
        let starts_char = b & 0b1100_0000 != 0b1000_0000;
        self.state = match self.state {
            State::Text { .. } if b == b'<' => State::Markup {
                length: 1,
                cdata: 1,
                comment: 1,
            },
            State::Text { .. } if b == b'&' => State::Reference { length: 1 },
            State::Text { run } if run >= LIMIT && starts_char => {
                self.out.extend_from_slice(TEXT_CUT);
                State::Text { run: 1 }
            }
            State::Text { run } => State::Text { run: run + 1 },
            State::Reference { .. } if b == b';' => State::Text { run: 0 },
            State::Reference { length } => State::Reference { length: length + 1 },
            State::Markup {
                length,
                cdata,
                comment,
            } => {
                let cdata = agrees(CDATA_START, length, cdata, b);
                let comment = agrees(COMMENT_START, length, comment, b);
                if cdata == CDATA_START.len() {
                    State::Cdata { run: 0, brackets: 0 }
                } else if comment == COMMENT_START.len() {
                    State::Comment { length: 0, dashes: 0 }
                } else if b == b'>' {
                    State::Text { run: 0 }
                } else {
                    State::Markup {
                        length: length + 1,
                        cdata,
                        comment,
                    }
                }
            }
            State::Comment { dashes, .. } if b == b'>' && dashes >= 2 => State::Text { run: 0 },
            State::Comment { length, dashes } => State::Comment {
                length: length + 1,
                dashes: if b == b'-' { dashes + 1 } else { 0 },
            },
            State::Cdata { brackets, .. } if b == b'>' && brackets >= 2 => State::Text { run: 0 },
            State::Cdata { run, brackets: 0 } if run >= LIMIT && b != b']' && starts_char => {
                self.out.extend_from_slice(CDATA_CUT);
                State::Cdata { run: 1, brackets: 0 }
            }
            State::Cdata { run, brackets } => State::Cdata {
                run: run + 1,
                brackets: if b == b']' { brackets + 1 } else { 0 },
            },
        };
        self.out.push(b);
        let length = match self.state {
            State::Text { run } | State::Cdata { run, .. } => run / 2,
            State::Reference { length } | State::Markup { length, .. } | State::Comment { length, .. } => {
                length
            }
        };
        if length > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "markup without end"));
        }
        Ok(())
    }
}

/// How many bytes agree with `start`, if all before did.
fn agrees(start: &[u8], length: usize, so_far: usize, b: u8) -> usize {
    if so_far == length && start.get(length) == Some(&b) {
        length + 1
    } else {
        0
    }
}

impl<R: Read> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.out.len() {
            self.out.clear();
            self.taken = 0;
            let n = loop {
                match self.inner.read(&mut self.raw) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
            let mut at = 0;
            while at < n {
                let whole = self.copy_plain(at, n);
                at += whole;
                if whole == 0 {
                    self.push(self.raw[at])?;
                    at += 1;
                }
            }
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken = (self.taken + amount).min(self.out.len());
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let n = there.len().min(buf.len());
        buf[..n].copy_from_slice(&there[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounded(xml: &str) -> io::Result<String> {
        let mut out = String::new();
        Bounded::new(xml.as_bytes()).read_to_string(&mut out)?;
        Ok(out)
    }

    #[test]
    fn short_pieces_are_left_alone() {
        let xml =
            "<?xml version=\"1.0\"?><a b=\"c\"><!-- d --> e &#xE9; <![CDATA[f ]] > ]]]]><!DOCTYPE g><h/></a>";
        assert_eq!(bounded(xml).unwrap(), xml);
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_outside_references() {
        let text = "é&#xE9;".repeat(LIMIT);
        let cut = bounded(&format!("<a>{text}</a>")).unwrap();
        assert_eq!(cut.replace("<?c?>", ""), format!("<a>{text}</a>"));
        let text = "é".repeat(LIMIT * 3);
        let cut = bounded(&format!("<a>{text}</a>")).unwrap();
        assert!(cut.matches("<?c?>").count() >= 5);
        assert_eq!(cut.replace("<?c?>", ""), format!("<a>{text}</a>"));
        let text = "é]] ".repeat(LIMIT * 3);
        let cut = bounded(&format!("<![CDATA[{text}]]>")).unwrap();
        assert!(cut.matches("]]><![CDATA[").count() >= 5);
        assert_eq!(cut.replace("]]><![CDATA[", ""), format!("<![CDATA[{text}]]>"));
    }

    #[test]
    fn markup_without_end_is_an_error() {
        let long = "x".repeat(LIMIT * 4);
        for start in ["<", "<a b=\"", "<!--", "<?", "&", "<!DOCTYPE "] {
            assert!(bounded(&format!("{start}{long}")).is_err(), "{start}");
        }
        assert!(bounded(&format!("<![CDATA[{}", "]".repeat(LIMIT * 4))).is_err());
    }

    proptest! {
        #[test]
        fn nothing_but_cuts_is_added(xml in "[<>!\\[\\]CDATA&;a é-]{0,400}") {
            if let Ok(out) = bounded(&xml) {
                prop_assert_eq!(out, xml);
            }
        }
    }
}
