//! What a process does next, for each of its local states.

use std::collections::HashMap;

use super::script::{Answer, Asked, ID, Op, Role, next_question};

/// What each process does next, computed once for each of its local states.
///
/// A local state is known by the answers that led to it. Many histories lead to the same one: what the code still
/// remembers at any question is its last answer, how many passes it ran and whether `forget` is behind it. Histories
/// that agree in these share a node. A few random futures are compared each time that is used.
pub(super) struct Steps {
    pub(super) roles: Vec<Role>,
    pub(super) nodes: Vec<Node>,
    pub(super) children: HashMap<(usize, usize, Answer), usize>,
    pub(super) merged: HashMap<Memory, usize>,
}

pub(super) struct Node {
    history: Vec<Answer>,
    passes: usize,
    past_forget: bool,
    asked: Option<Asked>,
}

#[derive(PartialEq, Eq, Hash)]
pub(super) struct Memory {
    process: usize,
    last: (Op, Answer),
    passes: usize,
    past_forget: bool,
    asked: Asked,
}

impl Steps {
    pub(super) fn new(roles: &[Role]) -> Self {
        let first = |process: usize| Node {
            history: Vec::new(),
            passes: 0,
            past_forget: false,
            asked: next_question(roles[process], process, &[]),
        };
        Self {
            roles: roles.to_vec(),
            nodes: (0..roles.len()).map(first).collect(),
            children: HashMap::new(),
            merged: HashMap::new(),
        }
    }

    pub(super) fn asked(&self, node: usize) -> Option<&Asked> {
        self.nodes[node].asked.as_ref()
    }

    /// The node after `answer` to the question of `node`.
    pub(super) fn child(&mut self, process: usize, node: usize, op: &Op, answer: Answer) -> usize {
        let key = (process, node, answer.clone());
        if let Some(&known) = self.children.get(&key) {
            return known;
        }
        let parent = &self.nodes[node];
        let history = [parent.history.as_slice(), std::slice::from_ref(&answer)].concat();
        let asked = next_question(self.roles[process], process, &history);
        let passes = parent.passes + usize::from(matches!(op, Op::PassBegins(_)));
        let past_forget = parent.past_forget || matches!((op, &answer), (Op::Exists(_), Answer::Is(true)));
        let memory = asked.clone().map(|asked| Memory {
            process,
            last: (op.clone(), answer),
            passes,
            past_forget,
            asked,
        });
        let known = memory
            .as_ref()
            .and_then(|memory| self.merged.get(memory).copied());
        let child = known.unwrap_or(self.nodes.len());
        if known.is_some() {
            self.compare_futures(process, &self.nodes[child].history, &history);
        } else {
            self.nodes.push(Node {
                history,
                passes,
                past_forget,
                asked,
            });
        }
        self.merged.extend(memory.map(|memory| (memory, child)));
        self.children.insert(key, child);
        child
    }

    pub(super) fn compare_futures(&self, process: usize, one: &[Answer], other: &[Answer]) {
        let mut dice = one.len() * 31 + other.len();
        for _ in 0..4 {
            let (mut one, mut other) = (one.to_vec(), other.to_vec());
            for _ in 0..16 {
                let next = next_question(self.roles[process], process, &one);
                assert_eq!(
                    next,
                    next_question(self.roles[process], process, &other),
                    "local states differ"
                );
                let Some(Asked { op, .. }) = next else { break };
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695);
                let heads = dice >> 40 & 1 == 0;
                let answer = match op {
                    Op::IsAt(..) | Op::TryLock(_) | Op::Exists(_) => Answer::Is(heads),
                    Op::Read(_) => Answer::Bytes(heads.then(|| b"\nvm 0\n".to_vec())),
                    Op::Names => Answer::Names(vec![format!("{ID}.dirty")]),
                    Op::Rename(..) if heads => Answer::Missing,
                    _ => Answer::Done,
                };
                one.push(answer.clone());
                other.push(answer);
            }
        }
    }
}
