//! The language of `SCHED_REQUIREMENTS`: comparisons joined by `&`, `|`, `!` and parentheses.

/// Whether the expression holds for what `value` says of a host. An empty one holds; one that can't be read does not.
pub(crate) fn holds(expression: &str, value: &dyn Fn(&str) -> Option<String>) -> bool {
    if expression.trim().is_empty() {
        return true;
    }
    let tokens = tokens(expression);
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        value,
    };
    let result = parser.or();
    result.is_some_and(|holds| holds && parser.at == tokens.len())
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
    /// `@>`: the list on the left has the value on the right.
    Contains,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '"' | '\'' => {
                let mut word = String::new();
                for next in chars.by_ref() {
                    if next == c {
                        break;
                    }
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            '@' if chars.peek() == Some(&'>') => {
                chars.next();
                tokens.push(Token::Contains);
            }
            '&' | '|' | '!' | '(' | ')' | '=' | '<' | '>' => {
                // `&&`, `||` and `==` mean the same as one sign.
                if matches!(c, '&' | '|' | '=') && chars.peek() == Some(&c) {
                    chars.next();
                }
                tokens.push(Token::Sign(c));
            }
            first => {
                let mut word = String::from(first);
                while let Some(next) = chars.peek() {
                    if next.is_whitespace() || "&|!()=<>@\"'".contains(*next) {
                        break;
                    }
                    word.push(*next);
                    chars.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    value: &'a dyn Fn(&str) -> Option<String>,
}

impl Parser<'_> {
    fn or(&mut self) -> Option<bool> {
        let mut result = self.and()?;
        while self.take(&Token::Sign('|')) {
            result |= self.and()?;
        }
        Some(result)
    }

    fn and(&mut self) -> Option<bool> {
        let mut result = self.not()?;
        while self.take(&Token::Sign('&')) {
            result &= self.not()?;
        }
        Some(result)
    }

    fn not(&mut self) -> Option<bool> {
        if self.take(&Token::Sign('!')) {
            return self.not().map(|result| !result);
        }
        if self.take(&Token::Sign('(')) {
            let result = self.or()?;
            return self.take(&Token::Sign(')')).then_some(result);
        }
        let name = self.word()?;
        let own = (self.value)(&name);
        if self.take(&Token::Contains) {
            let wanted = self.word()?;
            return Some(own.is_some_and(|list| list.split(',').any(|item| item.trim() == wanted)));
        }
        let negated = self.take(&Token::Sign('!'));
        let sign = match self.tokens.get(self.at) {
            Some(Token::Sign(sign @ ('=' | '<' | '>'))) => *sign,
            _ => return None,
        };
        self.at += 1;
        let wanted = self.word()?;
        let Some(own) = own else { return Some(negated) };
        let result = match (sign, own.parse::<f64>(), wanted.parse::<f64>()) {
            ('=', Ok(own), Ok(wanted)) => (own - wanted).abs() < f64::EPSILON,
            ('<', Ok(own), Ok(wanted)) => own < wanted,
            ('>', Ok(own), Ok(wanted)) => own > wanted,
            ('=', _, _) => matches_pattern(&wanted, &own),
            ('<', _, _) => own < wanted,
            _ => own > wanted,
        };
        Some(result != negated)
    }

    fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else {
            return None;
        };
        self.at += 1;
        Some(word.clone())
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(found);
        found
    }
}

/// Shell patterns with `*`.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let value = |name: &str| match name {
            "ID" => Some("3".to_owned()),
            "CLUSTER_ID" => Some("0".to_owned()),
            "NAME" => Some("host-3".to_owned()),
            "CLUSTERS/ID" => Some("0,100".to_owned()),
            _ => None,
        };
        for (expression, expected) in [
            ("", true),
            ("(CLUSTER_ID = 0) & !(PIN_POLICY = PINNED)", true),
            ("CLUSTER_ID=0", true),
            ("CLUSTER_ID = 100 | CLUSTER_ID = 0", true),
            ("CLUSTER_ID = 100", false),
            ("ID = \"3\"", true),
            ("ID=\"1\" | ID=\"3\"", true),
            ("(ID = 1 | ID = 2) & CLUSTER_ID = 0", false),
            ("ID > 2 & ID < 4", true),
            ("NAME = \"host*\"", true),
            ("NAME = \"*-4\"", false),
            ("ID != 3", false),
            ("UNKNOWN != 3", true),
            ("(\"CLUSTERS/ID\" @> 100)", true),
            ("nonsense", false),
            ("(ID = 3", false),
        ] {
            assert_eq!(holds(expression, &value), expected, "{expression}");
        }
    }
}
