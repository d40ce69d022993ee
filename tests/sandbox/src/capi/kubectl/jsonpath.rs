//! The `JSONPath` templates of kubectl: fields, indexes, slices, wildcards, filters, recursion, `range`.

use serde_json::Value;

/// A parsed template.
pub struct Template {
    /// The text that it was read from.
    pub source: String,
    nodes: Vec<Node>,
}

enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    Recursive,
    Union(Vec<Step>),
    Filter(Vec<Step>, Option<(Comparison, Value)>),
}

#[derive(Clone, Copy)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Template {
    /// Reads a template. Without braces the whole text is one path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrapped = if text.contains('{') {
            text.to_owned()
        } else {
            format!("{{.{}}}", text.trim_start_matches('$').trim_start_matches('.'))
        };
        let mut pieces = pieces(&wrapped)?.into_iter();
        let nodes = nodes(&mut pieces, false)?;
        Ok(Self {
            source: text.to_owned(),
            nodes,
        })
    }

    /// The template's text for a value. Missing keys give nothing.
    pub fn render(&self, value: &Value) -> Result<String, String> {
        let mut text = String::new();
        render(&self.nodes, value, value, &mut text)?;
        Ok(text)
    }

    /// The cell of a column: values joined by commas, `<none>` if there are none.
    pub fn column(&self, value: &Value) -> String {
        let mut found = Vec::new();
        for node in &self.nodes {
            if let Node::Path(steps) = node {
                found.extend(
                    evaluate(steps, value, value)
                        .unwrap_or_default()
                        .into_iter()
                        .map(show),
                );
            }
        }
        if found.is_empty() {
            "<none>".into()
        } else {
            found.join(",")
        }
    }
}

enum Piece {
    Text(String),
    Braces(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        let body = &rest[open + 1..];
        let mut quote = None;
        let mut escaped = false;
        let close = body.char_indices().find_map(|(index, character)| {
            match (quote, character) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), _) if open == character => quote = None,
                (None, '\'' | '"') => quote = Some(character),
                (None, '}') => return Some(index),
                _ => {}
            }
            None
        });
        let close = close.ok_or("unclosed action")?;
        pieces.push(Piece::Braces(body[..close].trim().to_owned()));
        rest = &body[close + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn nodes(pieces: &mut impl Iterator<Item = Piece>, inside: bool) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let body = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Braces(body) => body,
        };
        if body == "end" {
            return if inside {
                Ok(nodes)
            } else {
                Err("not in range, nothing to end".into())
            };
        }
        if let Some(path) = body.strip_prefix("range ") {
            let steps = path_of(path.trim())?;
            nodes.push(Node::Range(steps, self::nodes(pieces, true)?));
        } else if body.starts_with('"') || body.starts_with('\'') {
            nodes.push(Node::Text(unquote(&body)?));
        } else {
            nodes.push(Node::Path(path_of(&body)?));
        }
    }
    if inside {
        Err("unterminated range".into())
    } else {
        Ok(nodes)
    }
}

fn unquote(text: &str) -> Result<String, String> {
    let inner = text.get(1..text.len() - 1).ok_or("unterminated quoted string")?;
    let mut out = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => return Err("unterminated quoted string".into()),
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

fn path_of(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text.trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Recursive);
            rest = after;
            if !after.starts_with('[') {
                let (step, after) = field(after);
                steps.extend(step);
                rest = after;
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            let (step, after) = field(after);
            steps.extend(step);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let close = closing_bracket(after).ok_or("unterminated array")?;
            steps.push(bracket(after[..close].trim())?);
            rest = &after[close + 1..];
        } else if steps.is_empty() {
            let (step, after) = field(rest);
            steps.extend(step);
            rest = after;
        } else {
            return Err(format!(
                "unrecognized character in action: {:?}",
                rest.chars().next().unwrap_or(' ')
            ));
        }
    }
    Ok(steps)
}

fn field(text: &str) -> (Option<Step>, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (named(name), &text[index..]),
            other => name.push(other),
        }
    }
    (named(name), "")
}

fn named(name: String) -> Option<Step> {
    match name.as_str() {
        "" => None,
        "*" => Some(Step::Wildcard),
        _ => Some(Step::Field(name)),
    }
}

fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(index),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::Wildcard);
    }
    if let Some(body) = text.strip_prefix("?(").and_then(|body| body.strip_suffix(')')) {
        return filter(body.trim());
    }
    if text.contains(',') {
        return text
            .split(',')
            .map(|part| bracket(part.trim()))
            .collect::<Result<_, _>>()
            .map(Step::Union);
    }
    if text.starts_with('\'') || text.starts_with('"') {
        return Ok(Step::Field(unquote(text)?));
    }
    let number = |text: &str| match text {
        "" => Ok(None),
        other => other
            .parse()
            .map(Some)
            .map_err(|_| format!("invalid array index {text}")),
    };
    if let Some((from, to)) = text.split_once(':') {
        return Ok(Step::Slice(number(from)?, number(to)?));
    }
    number(text)?
        .map(Step::Index)
        .ok_or_else(|| "invalid array index".into())
}

fn filter(text: &str) -> Result<Step, String> {
    const OPERATORS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::Unequal),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    for (operator, comparison) in OPERATORS {
        if let Some((left, right)) = text.split_once(operator) {
            let right = right.trim();
            let literal = if right.starts_with('\'') || right.starts_with('"') {
                Value::String(unquote(right)?)
            } else {
                serde_json::from_str(right).map_err(|_| format!("unrecognized identifier {right}"))?
            };
            return Ok(Step::Filter(path_of(left.trim())?, Some((comparison, literal))));
        }
    }
    Ok(Step::Filter(path_of(text)?, None))
}

fn render(nodes: &[Node], value: &Value, root: &Value, text: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(literal) => text.push_str(literal),
            Node::Path(steps) => {
                let found: Vec<String> = evaluate(steps, value, root)?.into_iter().map(show).collect();
                text.push_str(&found.join(" "));
            }
            Node::Range(steps, body) => {
                for item in evaluate(steps, value, root)? {
                    render(body, item, root, text)?;
                }
            }
        }
    }
    Ok(())
}

fn evaluate<'a>(steps: &[Step], value: &'a Value, root: &'a Value) -> Result<Vec<&'a Value>, String> {
    let mut current = vec![value];
    for step in steps {
        let mut next = Vec::new();
        for value in current {
            advance(step, value, root, &mut next)?;
        }
        current = next;
    }
    Ok(current.into_iter().filter(|value| !value.is_null()).collect())
}

fn advance<'a>(
    step: &Step,
    value: &'a Value,
    root: &'a Value,
    next: &mut Vec<&'a Value>,
) -> Result<(), String> {
    match step {
        Step::Field(name) => next.extend(value.get(name)),
        Step::Wildcard => next.extend(children(value)),
        Step::Index(index) => {
            let Some(items) = value.as_array() else {
                return Ok(());
            };
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let position = if *index < 0 { index + length } else { *index };
            let found = usize::try_from(position)
                .ok()
                .and_then(|position| items.get(position));
            next.push(
                found.ok_or_else(|| format!("array index out of bounds: index {index}, length {length}"))?,
            );
        }
        Step::Slice(from, to) => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = |position: i64| {
                let position = if position < 0 { position + length } else { position };
                usize::try_from(position.clamp(0, length)).unwrap_or(0)
            };
            let (from, to) = (at(from.unwrap_or(0)), at(to.unwrap_or(length)));
            next.extend(items.get(from..to).unwrap_or_default());
        }
        Step::Recursive => descend(value, next),
        Step::Union(steps) => {
            for step in steps {
                advance(step, value, root, next)?;
            }
        }
        Step::Filter(path, condition) => {
            for item in value.as_array().into_iter().flatten() {
                let found = evaluate(path, item, root)?;
                let passes = match condition {
                    None => !found.is_empty(),
                    Some((comparison, literal)) => found
                        .first()
                        .is_some_and(|found| holds(*comparison, found, literal)),
                };
                if passes {
                    next.push(item);
                }
            }
        }
    }
    Ok(())
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, next: &mut Vec<&'a Value>) {
    next.push(value);
    for child in children(value) {
        descend(child, next);
    }
}

fn holds(comparison: Comparison, found: &Value, literal: &Value) -> bool {
    let order = match (found, literal) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) => (left == right).then_some(std::cmp::Ordering::Equal),
    };
    match comparison {
        Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Unequal => !order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_of_kubectl() {
        let value = json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "labels": {"x.io/y": "1"}}, "n": 1,
                 "c": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
                {"metadata": {"name": "b"}, "n": 2, "c": [{"type": "Ready", "status": "False"}]}
            ]
        });
        for (template, wanted) in [
            ("{.kind}", "List"),
            (".kind", "List"),
            ("kind", "List"),
            ("{$.kind}", "List"),
            ("{.items[0].metadata.name}", "a"),
            ("{.items[-1].metadata.name}", "b"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0:1].n}", "1"),
            ("{.items[0].metadata.labels.x\\.io/y}", "1"),
            ("{.items[0].metadata.labels['x.io/y']}", "1"),
            ("{.items[*].c[?(@.type==\"Ready\")].status}", "True False"),
            ("{.items[?(@.n>1)].metadata.name}", "b"),
            ("{.items[?(@.metadata.labels)].metadata.name}", "a"),
            ("{..name}", "a b"),
            ("{.items[0]['n','kind']}", "1"),
            (
                "{range .items[*]}{.metadata.name}={.n}{\"\\n\"}{end}done",
                "a=1\nb=2\ndone",
            ),
            ("{.items[0].none.deeper}", ""),
            ("{.items[1].metadata}", "{\"name\":\"b\"}"),
            ("name: {.items[1].metadata.name}", "name: b"),
        ] {
            let rendered = Template::parse(template).and_then(|parsed| parsed.render(&value));
            assert_eq!(rendered.as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (template, wanted) in [
            ("{.items[0]}", "array index out of bounds: index 0, length 0"),
            ("{.items", "unclosed action"),
            ("{.items[0}", "unterminated array"),
            ("{range .items[*]}", "unterminated range"),
            ("{end}", "not in range, nothing to end"),
        ] {
            let rendered = Template::parse(template).and_then(|parsed| parsed.render(&json!({"items": []})));
            assert_eq!(rendered, Err(wanted.to_owned()), "{template}");
        }
    }
}
