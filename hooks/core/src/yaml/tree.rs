//! From events to a tree.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle};

use super::{Error, MAX_DEPTH, MAX_NODES};

/// A value as it is written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A text; a plain one may be a number, a truth value or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::Sequence(items) => items.iter().map(Self::count).sum(),
            Kind::Mapping(pairs) => pairs.iter().map(|(k, v)| k.count() + v.count()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::Sequence(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Kind::Mapping(pairs) => pairs.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        }
    }

    fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// A sequence or mapping that is not complete.
struct Open {
    node: Node,
    /// A key whose value comes next.
    key: Option<Node>,
    /// The keys so far.
    keys: BTreeSet<String>,
    anchor: usize,
}

fn wrong(line: u64, reason: impl Into<String>) -> Error {
    Error {
        line: Some(line),
        reason: reason.into(),
    }
}

/// Reads the one document of a text. Without any it is nothing.
pub(super) fn read(text: &str) -> Result<Node, Error> {
    let mut tree = Tree {
        open: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
        nodes: 0,
    };
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|e| {
            let line = u64::try_from(e.marker().line()).unwrap_or(0);
            wrong(line, format!("no YAML: {}", e.info()))
        })?;
        let place = span.start;
        let node = |kind| Node {
            line: u64::try_from(place.line()).unwrap_or(0),
            column: u64::try_from(place.col()).unwrap_or(0),
            kind,
        };
        match event {
            Event::DocumentStart(..) if tree.root.is_some() => {
                return Err(wrong(
                    node(Kind::Sequence(Vec::new())).line,
                    "a second document begins",
                ));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let said_text = tag.is_some_and(|t| t.is_yaml_core_schema_tag("str"));
                tree.add(
                    node(Kind::Scalar {
                        text: text.into_owned(),
                        plain: style == ScalarStyle::Plain && !said_text,
                    }),
                    anchor,
                )?;
            }
            Event::SequenceStart(_, anchor, _) => tree.begin(node(Kind::Sequence(Vec::new())), anchor)?,
            Event::MappingStart(_, anchor, _) => tree.begin(node(Kind::Mapping(Vec::new())), anchor)?,
            Event::SequenceEnd | Event::MappingEnd => tree.end()?,
            Event::Alias(anchor) => {
                let here = node(Kind::Sequence(Vec::new()));
                let Some(there) = tree.anchors.get(&anchor) else {
                    return Err(wrong(here.line, "an alias names something that is not complete"));
                };
                let copy = Node {
                    kind: there.kind.clone(),
                    ..here
                };
                if tree.open.len() + copy.depth() > MAX_DEPTH {
                    return Err(wrong(copy.line, format!("nested more than {MAX_DEPTH} deep")));
                }
                tree.nodes += copy.count() - 1;
                tree.add(copy, 0)?;
            }
            _ => {}
        }
    }
    Ok(tree.root.unwrap_or(Node {
        line: 1,
        column: 0,
        kind: Kind::Scalar {
            text: String::new(),
            plain: true,
        },
    }))
}

struct Tree {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
}

impl Tree {
    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            return Err(wrong(node.line, format!("nested more than {MAX_DEPTH} deep")));
        }
        self.open.push(Open {
            node,
            key: None,
            keys: BTreeSet::new(),
            anchor,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(mut open) = self.open.pop() else {
            return Ok(());
        };
        if let Kind::Mapping(pairs) = &mut open.node.kind {
            merge(pairs)?;
        }
        self.add(open.node, open.anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(wrong(node.line, format!("more than {MAX_NODES} values")));
        }
        if anchor != 0 {
            // The copy that is kept counts too.
            self.nodes += node.count();
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(pairs) => {
                if let Some(key) = open.key.take() {
                    pairs.push((key, node));
                    return Ok(());
                }
                if let Kind::Scalar { text, .. } = &node.kind
                    && !open.keys.insert(text.clone())
                {
                    return Err(wrong(node.line, format!("duplicate mapping key: {text}")));
                }
                open.key = Some(node);
            }
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

/// Puts the entries of `<<` into their mapping; what the mapping says itself goes before.
fn merge(pairs: &mut Vec<(Node, Node)>) -> Result<(), Error> {
    let is_merge =
        |(key, _): &(Node, Node)| matches!(&key.kind, Kind::Scalar { text, plain: true } if text == "<<");
    let Some(position) = pairs.iter().position(is_merge) else {
        return Ok(());
    };
    let (key, value) = pairs.remove(position);
    let sources = match value.kind {
        Kind::Sequence(items) => items,
        _ => vec![value],
    };
    let mut said: BTreeSet<String> = pairs
        .iter()
        .filter_map(|(k, _)| k.word())
        .map(str::to_owned)
        .collect();
    for source in sources {
        let Kind::Mapping(entries) = source.kind else {
            return Err(wrong(key.line, "<< needs a mapping"));
        };
        for entry in entries {
            if entry.0.word().is_none_or(|word| said.insert(word.to_owned())) {
                pairs.push(entry);
            }
        }
    }
    Ok(())
}
