//! Variables in CONTEXT and `SCHED_REQUIREMENTS`: `$NAME`, `$VECTOR[KEY]`, `$VECTOR[KEY,WHICH="value"]`.
//!
//! oned scans the whole text once. What follows a variable must not look like the variable's own syntax: a comma, an
//! equals sign or a closing bracket there is an error, and so is a `$` in front of anything but a name.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use opennebula::template::{AttributeValue, Template, vector_value};

use crate::core::Core;

/// What variables of one VM stand for.
pub(super) struct Variables<'a> {
    pub(super) core: &'a Core,
    pub(super) name: &'a str,
    /// User and group: ids and names.
    pub(super) owner: (u32, &'a str, u32, &'a str),
    pub(super) template: &'a Template,
    pub(super) user_template: &'a Template,
}

impl Variables<'_> {
    /// The text with values in place of variables, or oned's words for what is wrong.
    pub(super) fn replace(&self, text: &str) -> Result<String, String> {
        self.parse(text).map_err(|place| {
            let Place { line, from, to } = place;
            format!("Error parsing: {text}. syntax error at line {line}, columns {from}:{to}")
        })
    }

    fn parse(&self, text: &str) -> Result<String, Place> {
        let mut scanner = Scanner::new(text);
        let mut out = String::with_capacity(text.len());
        let mut is_empty = true;
        loop {
            match scanner.next() {
                Token::End if is_empty => return Err(scanner.place),
                Token::End => return Ok(out),
                Token::Plain(text) => out.push_str(text),
                Token::Word(name) => {
                    let name = name.to_ascii_uppercase();
                    let (value, end) = self.variable(&name, &mut scanner)?;
                    out.push_str(&value);
                    out.extend(end);
                }
                _ => return Err(scanner.place),
            }
            is_empty = false;
        }
    }

    /// The rest of a variable, and the character that ends it.
    fn variable(&self, name: &str, scanner: &mut Scanner<'_>) -> Result<(String, Option<char>), Place> {
        match scanner.next() {
            Token::Close(end) => return Ok((self.single(name), end)),
            Token::Open => {}
            _ => return Err(scanner.place),
        }
        let Token::Word(key) = scanner.next() else {
            return Err(scanner.place);
        };
        let key = key.to_ascii_uppercase();
        let mut which = None;
        let mut token = scanner.next();
        if token == Token::Comma {
            let Token::Word(which_key) = scanner.next() else {
                return Err(scanner.place);
            };
            if scanner.next() != Token::Equal {
                return Err(scanner.place);
            }
            let Token::Value(value) = scanner.next() else {
                return Err(scanner.place);
            };
            which = Some((which_key.to_ascii_uppercase(), value));
            token = scanner.next();
        }
        if token != Token::Bracket {
            return Err(scanner.place);
        }
        match scanner.next() {
            Token::Close(end) => {
                let which = which.as_ref().map(|(key, value)| (key.as_str(), *value));
                Ok((self.vector(name, &key, which), end))
            }
            _ => Err(scanner.place),
        }
    }

    fn single(&self, name: &str) -> String {
        let (uid, uname, gid, gname) = self.owner;
        match name {
            "NAME" => self.name.into(),
            "UID" => uid.to_string(),
            "UNAME" => uname.into(),
            "GID" => gid.to_string(),
            "GNAME" => gname.into(),
            "TEMPLATE" => BASE64.encode(self.template.to_xml("TEMPLATE").unwrap_or_default()),
            _ => text_of(self.template, name)
                .or_else(|| text_of(self.user_template, name))
                .unwrap_or_default()
                .to_owned(),
        }
    }

    fn vector(&self, name: &str, key: &str, which: Option<(&str, &str)>) -> String {
        let number = |pairs: &[(String, String)], key: &str| {
            vector_value(pairs, key).and_then(|text| text.parse::<u32>().ok())
        };
        let fits = |pairs: &[(String, String)]| {
            which.is_none_or(|(which, value)| vector_value(pairs, which).unwrap_or("") == value)
        };
        let first = |name: &str| self.template.get_vectors(name).find(|pairs| fits(pairs));
        let owned = |text: Option<&str>| text.unwrap_or("").to_owned();
        match (name, which) {
            ("NETWORK", Some(("NETWORK" | "NETWORK_ID" | "NIC_ID", _))) => {
                first("NIC").map_or_else(String::new, |nic| self.core.network_value(nic, key))
            }
            ("IMAGE", Some(("IMAGE" | "IMAGE_ID", _))) => {
                let image = first("DISK").and_then(|disk| number(disk, "IMAGE_ID"));
                let image = image.and_then(|id| self.core.images.get(id));
                owned(image.and_then(|image| text_of(&image.template, key)))
            }
            ("NETWORK" | "IMAGE", _) => String::new(),
            ("USER", _) => {
                let user = self.core.users.get(self.owner.0);
                owned(user.and_then(|user| text_of(&user.template, key)))
            }
            _ => owned(first(name).and_then(|pairs| vector_value(pairs, key))),
        }
    }
}

/// The first attribute of that name, if it is a text that is not empty.
fn text_of<'a>(template: &'a Template, name: &str) -> Option<&'a str> {
    let mut found = template.iter().filter(|attribute| attribute.name == name);
    found.find_map(|attribute| match &attribute.value {
        AttributeValue::Text(text) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    /// Text outside of variables.
    Plain(&'a str),
    Word(&'a str),
    Value(&'a str),
    Open,
    Bracket,
    Comma,
    Equal,
    /// The end of a variable, by a character that belongs to the text or none.
    Close(Option<char>),
    End,
}

/// Where a token is, as error messages name it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    line: usize,
    from: usize,
    to: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Plain,
    Variable,
    Value,
}

struct Scanner<'a> {
    rest: &'a str,
    mode: Mode,
    place: Place,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            mode: Mode::Plain,
            place: Place {
                line: 1,
                from: 1,
                to: 1,
            },
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.place.line += taken.matches('\n').count();
        self.place.from = self.place.to;
        self.place.to += length;
        taken
    }

    fn next(&mut self) -> Token<'a> {
        loop {
            let token = match self.mode {
                Mode::Plain => self.plain(),
                Mode::Variable => self.in_variable(),
                Mode::Value => self.value(),
            };
            if let Some(token) = token {
                return token;
            }
        }
    }

    fn plain(&mut self) -> Option<Token<'a>> {
        let mut length = 0;
        let mut chars = self.rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '$' => break,
                // A backslash belongs to what follows it, a dollar too. At the very end it is lost.
                '\\' => match chars.next() {
                    Some((next, follower)) => length = next + follower.len_utf8(),
                    None => break,
                },
                c => length = at + c.len_utf8(),
            }
        }
        if length > 0 {
            return Some(Token::Plain(self.take(length)));
        }
        match self.rest.chars().next() {
            None => Some(Token::End),
            Some('$') => {
                self.take(1);
                self.mode = Mode::Variable;
                None
            }
            Some(_) => {
                self.take(1);
                None
            }
        }
    }

    fn in_variable(&mut self) -> Option<Token<'a>> {
        let rest = self.rest;
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let blanks_after = |at: usize| {
            let rest = &rest[at..];
            rest.len() - rest.trim_start_matches([' ', '\t']).len()
        };
        match rest[blanks..].chars().next() {
            Some('=') => {
                self.take(blanks + 1 + blanks_after(blanks + 1));
                self.mode = Mode::Value;
                return Some(Token::Equal);
            }
            Some(',') => {
                self.take(blanks + 1 + blanks_after(blanks + 1));
                return Some(Token::Comma);
            }
            Some(']') => {
                self.take(blanks + 1);
                return Some(Token::Bracket);
            }
            _ => {}
        }
        let word = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if word > 0 {
            return Some(Token::Word(self.take(word)));
        }
        match rest.chars().next() {
            None => {
                self.mode = Mode::Plain;
                Some(Token::Close(None))
            }
            Some('[') => {
                self.take(1 + blanks_after(1));
                Some(Token::Open)
            }
            // The next variable begins at once.
            Some('$') => {
                self.take(1);
                Some(Token::Close(None))
            }
            Some('\n') => {
                self.take(1);
                None
            }
            Some(c) => {
                self.take(c.len_utf8());
                self.mode = Mode::Plain;
                Some(Token::Close(Some(c)))
            }
        }
    }

    fn value(&mut self) -> Option<Token<'a>> {
        let rest = self.rest;
        if let Some(end) = rest.strip_prefix('"').and_then(|rest| rest.find('"')) {
            let quoted = self.take(end + 2);
            self.mode = Mode::Variable;
            return Some(Token::Value(&quoted[1..=end]));
        }
        let word = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        if word > 0 {
            self.mode = Mode::Variable;
            return Some(Token::Value(self.take(word)));
        }
        match rest.chars().next() {
            None => Some(Token::End),
            Some(c) => {
                self.take(c.len_utf8());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn replaced(text: &str) -> Result<String, String> {
        let core = Core::new(Config::default(), None);
        let template =
            Template::parse_text("VMID=7\nNIC=[IP=\"10.0.0.1\",NIC_ID=0]\nNIC=[IP=\"10.0.0.2\",NIC_ID=1]");
        let user_template = Template::parse_text("CLUSTER=\"demo\"\nSIGN=\"@\"");
        Variables {
            core: &core,
            name: "vm",
            owner: (2, "alice", 1, "users"),
            template: &template.unwrap(),
            user_template: &user_template.unwrap(),
        }
        .replace(text)
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected) in [
            ("plain", "plain"),
            ("id $VMID of $CLUSTER", "id 7 of demo"),
            ("$cluster$vmid", "demo7"),
            ("$NIC[IP] and $NIC[MAC].", "10.0.0.1 and ."),
            ("$NIC[IP, NIC_ID=1]", "10.0.0.2"),
            ("$NIC[ IP, NIC_ID=\"1\"].", "10.0.0.2."),
            ("$NIC[IP,NIC_ID=2].", "."),
            ("$UNKNOWN.", "."),
            ("$NAME/$UID/$UNAME/$GID/$GNAME", "vm/2/alice/1/users"),
            ("5\\$ and \\\\$VMID", "5\\$ and \\\\7"),
            ("end\\", "end"),
            ("$VMID\n", "7"),
            ("$VMID é", "7 é"),
            ("$USER[SSH_PUBLIC_KEY].", "."),
        ] {
            assert_eq!(replaced(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_variable_must_be_one() {
        for text in [
            "",
            "costs 5$ a day",
            "$",
            "$VMID, next",
            "$VMID=1",
            "$VMID]",
            "$VMID\nnext",
            "$NIC[IP",
            "$NIC[IP,NIC_ID]",
            "$NIC[$IP]",
        ] {
            let error = replaced(text).unwrap_err();
            assert!(error.contains("syntax error at line"), "{error}");
        }
        assert_eq!(
            replaced("ab$ ").unwrap_err(),
            "Error parsing: ab$ . syntax error at line 1, columns 4:5"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "[$A-C\\[\\],=\"\\\\ \n@é]{0,30}") {
            let _ = replaced(&text);
        }

        #[test]
        fn text_without_dollars_stays(text in "[a-z =,\\[\\]\"@\n]{1,30}") {
            proptest::prop_assert_eq!(replaced(&text), Ok(text));
        }
    }
}
