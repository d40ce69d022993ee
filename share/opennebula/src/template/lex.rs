//! Tokens of the plain syntax.
//!
//! oned's scanner always takes the longest match, the first rule among equals, and drops a character that no rule
//! matches. The rules here do the same, so that what oned misreads is misread in the same way.

/// A token of the plain syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name.
    Variable(&'a str),
    /// `=` in front of a value.
    Equal,
    /// `=` at the end of a line: the value is empty.
    EqualEmpty,
    Comma,
    OpenBracket,
    CloseBracket,
    /// A value, still with its `\"`.
    Text(&'a str),
    /// A line of a value that holds `]]>`, which oned refuses.
    Cdata,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the rest begins.
    at: usize,
    /// Where its first line ends; the end of the text, if it is the last one.
    line_end: usize,
    /// Where its first `]]>` is; the end of the text, if there is none.
    cdata_end: usize,
    line: usize,
    in_value: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // oned reads a C string.
        let end = text.find('\0').unwrap_or(text.len());
        let text = &text[..end];
        Self {
            text,
            at: 0,
            line_end: find(text, 0, "\n"),
            cdata_end: find(text, 0, "]]>"),
            line: 1,
            in_value: false,
        }
    }

    /// Line of the token that comes next, from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        while self.at < self.text.len() {
            // Looked for once each, however many tokens a line has.
            if self.line_end < self.at {
                self.line_end = find(self.text, self.at, "\n");
            }
            if self.cdata_end < self.at {
                self.cdata_end = find(self.text, self.at, "]]>");
            }
            let (length, token) = if self.in_value { self.value() } else { self.name() };
            let matched = &self.text[self.at..self.at + length];
            self.at += length;
            self.line += matched.matches('\n').count();
            match token {
                Some(Token::Equal) => self.in_value = true,
                Some(Token::OpenBracket | Token::Text(_) | Token::Cdata) => self.in_value = false,
                _ => {}
            }
            if token.is_some() {
                return token;
            }
        }
        None
    }

    /// Outside values: length of the match and its token, if it makes one.
    fn name(&self) -> (usize, Option<Token<'a>>) {
        let text = &self.text[self.at..];
        let blanks = run(text, is_blank);
        let blanks_and_lines = run(text, is_blank_or_line);
        let mut best = (0, None);
        let mut offer = |length: usize, token: Option<Token<'a>>| {
            if length > best.0 {
                best = (length, token);
            }
        };
        let line = self.line_end - self.at;
        if text[blanks..].starts_with('#') && line < text.len() {
            offer(line + 1, None);
        }
        offer(blanks_and_lines, None);
        let name = run(text, |c| c.is_ascii_alphanumeric() || c == '_');
        offer(name, Some(Token::Variable(&text[..name])));
        if text[blanks..].starts_with('=') {
            let end = blanks + 1 + run(&text[blanks + 1..], is_blank);
            offer(end, Some(Token::Equal));
            if text[end..].starts_with('\n') {
                offer(end + 1, Some(Token::EqualEmpty));
            }
        }
        for (sign, token) in [(',', Token::Comma), (']', Token::CloseBracket)] {
            if text[blanks_and_lines..].starts_with(sign) {
                let end = blanks_and_lines + 1;
                offer(end + run(&text[end..], is_blank_or_line), Some(token));
            }
        }
        if best.0 == 0 {
            (first_char(text), None)
        } else {
            best
        }
    }

    /// Behind `=`.
    fn value(&self) -> (usize, Option<Token<'a>>) {
        let text = &self.text[self.at..];
        let mut best = (0, None);
        let mut offer = |length: usize, token: Token<'a>| {
            if length > best.0 {
                best = (length, Some(token));
            }
        };
        let blanks = run(text, is_blank);
        if text[blanks..].starts_with('[') {
            let end = blanks + 1;
            offer(end + run(&text[end..], is_blank_or_line), Token::OpenBracket);
        }
        if self.cdata_end < self.line_end {
            offer(self.line_end - self.at, Token::Cdata);
        }
        if let Some(end) = quoted(text) {
            offer(end, Token::Text(&text[1..end - 1]));
        }
        let bare = run(text, |c| {
            !matches!(c, '=' | '#' | ' ' | '\t' | '\n' | ',' | '[' | ']')
        });
        offer(bare, Token::Text(&text[..bare]));
        if best.0 == 0 {
            (first_char(text), None)
        } else {
            best
        }
    }
}

/// Where `what` is, from `at` on; the end of the text, if it is nowhere.
fn find(text: &str, at: usize, what: &str) -> usize {
    text[at..].find(what).map_or(text.len(), |found| at + found)
}

/// Length of the quoted string at the beginning. A `\"` may be read as a quote inside or as a backslash and the end;
/// the longest reading counts, so it ends only at the last resort.
fn quoted(text: &str) -> Option<usize> {
    let mut end = None;
    let mut escaped = false;
    for (index, char) in text.char_indices() {
        match char {
            _ if index == 0 && char != '"' => return None,
            '"' if index > 0 => {
                end = Some(index + 1);
                if !escaped {
                    break;
                }
            }
            _ => {}
        }
        escaped = index > 0 && char == '\\';
    }
    end
}

fn run(text: &str, accepts: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accepts(c)).unwrap_or(text.len())
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn is_blank_or_line(c: char) -> bool {
    is_blank(c) || c == '\n'
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_wins() {
        use Token::{CloseBracket, Comma, Equal, EqualEmpty, OpenBracket, Text, Variable};
        let v = Variable("A");
        for (text, tokens) in [
            ("A=b", vec![v, Equal, Text("b")]),
            (
                "A = \"b c\" # d\nB=\n",
                vec![v, Equal, Text("b c"), Variable("B"), EqualEmpty],
            ),
            ("A=\"b\"c", vec![v, Equal, Text("\"b\"c")]),
            ("A=\"b", vec![v, Equal, Text("\"b")]),
            ("A=\"b\\\"", vec![v, Equal, Text("b\\")]),
            (
                "A=\"b\\\"\nC=\"d\"",
                vec![v, Equal, Text("b\\\"\nC="), Variable("d")],
            ),
            ("A=\"b\\\\\"c\"", vec![v, Equal, Text("b\\\\\"c")]),
            ("A=[ \n]", vec![v, Equal, OpenBracket, CloseBracket]),
            (
                "A=[B=1 ,\n C=2 ]",
                vec![
                    v,
                    Equal,
                    OpenBracket,
                    Variable("B"),
                    Equal,
                    Text("1"),
                    Comma,
                    Variable("C"),
                    Equal,
                    Text("2"),
                    CloseBracket,
                ],
            ),
            ("A=x]]>\n", vec![v, Equal, Token::Cdata]),
            ("A=\"x\n]]>\"", vec![v, Equal, Text("x\n]]>")]),
            ("A_é=#b", vec![Variable("A_"), Equal, Text("b")]),
            ("# only\n\n", vec![]),
            ("A=\"b\0c\"", vec![v, Equal, Text("\"b")]),
        ] {
            let mut lexer = Lexer::new(text);
            let read: Vec<_> = std::iter::from_fn(|| lexer.next()).collect();
            assert_eq!(read, tokens, "{text:?}");
        }
    }
}
