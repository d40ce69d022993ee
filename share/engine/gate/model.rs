//! Every interleaving of a few hooks, a sweep and a clean-up, with a kill at any step.
//!
//! The real [`Gate`] runs over a made-up file system. Its code is deterministic, so what a process does next follows
//! from the answers that it got so far: the code is run again over a script of those answers until it asks for one
//! more operation. That makes a step function out of the real code, and the states reachable by it are searched
//! exhaustively. A fault makes the file system lie in one place, as if a step of the protocol were left out; the
//! search must then find what that step is for.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;

use super::{Forgotten, Gate, GateFs, Hints, Kind, Outcome};

const ID: u32 = 1;

const MAX_PASSES: u32 = 3;

/// One operation, as a process asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Op {
    Open(Kind),
    Write(usize, Vec<u8>),
    IsAt(usize, Kind),
    TryLock(usize),
    Unlock(usize),
    Rename(Kind, Kind),
    Read(Kind),
    Remove(Kind),
    Exists(Kind),
    Names,
    Marked,
    PassBegins(BTreeSet<u32>),
    LimitReached,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Answer {
    Done,
    Is(bool),
    Missing,
    Bytes(Option<Vec<u8>>),
    Names(Vec<String>),
}

/// A file system that answers from a script and stops the process at the first question that is not in it.
#[derive(Clone)]
struct Script(Rc<RefCell<Tape>>);

struct Tape {
    answers: std::vec::IntoIter<Answer>,
    /// Which descriptors are open.
    files: Vec<bool>,
}

/// What a process wants next, and which descriptors it has not closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    op: Op,
    files: Vec<bool>,
}

/// An open file, by the number of its descriptor.
struct Descriptor {
    number: usize,
    script: Script,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.script.0.borrow_mut().files[self.number] = false;
    }
}

impl Script {
    fn ask(&self, op: Op) -> Answer {
        let next = self.0.borrow_mut().answers.next();
        next.unwrap_or_else(|| {
            let files = self.0.borrow().files.clone();
            resume_unwind(Box::new(Asked { op, files }))
        })
    }

    fn yes(&self, op: Op) -> io::Result<bool> {
        match self.ask(op) {
            Answer::Is(yes) => Ok(yes),
            other => unreachable!("{other:?}"),
        }
    }

    fn done(&self, op: Op) -> io::Result<()> {
        match self.ask(op) {
            Answer::Done => Ok(()),
            Answer::Missing => Err(io::ErrorKind::NotFound.into()),
            other => unreachable!("{other:?}"),
        }
    }
}

fn kind(path: &Path) -> Kind {
    Kind::of_file(path.file_name().unwrap().to_str().unwrap())
        .unwrap()
        .1
}

impl GateFs for Script {
    type File = Descriptor;

    fn open(&self, path: &Path) -> io::Result<Descriptor> {
        self.done(Op::Open(kind(path)))?;
        let files = &mut self.0.borrow_mut().files;
        let number = files.iter().position(|open| !open).unwrap_or(files.len());
        files.resize(files.len().max(number + 1), true);
        files[number] = true;
        Ok(Descriptor {
            number,
            script: self.clone(),
        })
    }
    fn write(&self, file: &Descriptor, _path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.done(Op::Write(file.number, bytes.to_vec()))
    }
    fn is_at(&self, file: &Descriptor, path: &Path) -> io::Result<bool> {
        self.yes(Op::IsAt(file.number, kind(path)))
    }
    fn try_lock(&self, file: &Descriptor, _path: &Path) -> io::Result<bool> {
        self.yes(Op::TryLock(file.number))
    }
    fn unlock(&self, file: &Descriptor) -> io::Result<()> {
        self.done(Op::Unlock(file.number))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.done(Op::Rename(kind(from), kind(to)))
    }
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.ask(Op::Read(kind(path))) {
            Answer::Bytes(bytes) => Ok(bytes),
            other => unreachable!("{other:?}"),
        }
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.done(Op::Remove(kind(path)))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.yes(Op::Exists(kind(path)))
    }
    fn names(&self, _dir: &Path) -> io::Result<Vec<String>> {
        match self.ask(Op::Names) {
            Answer::Names(names) => Ok(names),
            other => unreachable!("{other:?}"),
        }
    }
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        unreachable!("the directory is there")
    }
}

/// What a process does from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Marks with its own number as a hint, and runs.
    Hook,
    /// Marks without a hint, and runs.
    PlainHook,
    /// A hook whose passes fail.
    FailingHook,
    /// Runs what is pending.
    Sweep,
    /// Forgets the cluster, and runs if it is marked.
    Cleaner,
}

fn behave(role: Role, number: u32, script: &Script) -> io::Result<()> {
    let gate = Gate::with_fs("", script.clone());
    let run = || {
        let outcome = gate.run(ID, MAX_PASSES, |hints| {
            script.done(Op::PassBegins(hints.vms.clone()))?;
            if role == Role::FailingHook {
                return Err(io::Error::other("the pass fails"));
            }
            Ok(())
        })?;
        if let Outcome::Ran { pending: true, .. } = outcome {
            script.done(Op::LimitReached)?;
        }
        Ok(())
    };
    match role {
        Role::Hook | Role::PlainHook | Role::FailingHook => {
            let plain = role == Role::PlainHook;
            gate.mark(ID, &if plain { Hints::none() } else { Hints::vm(number) })?;
            script.done(Op::Marked)?;
            run()
        }
        Role::Sweep if gate.pending()?.is_empty() => Ok(()),
        Role::Cleaner if gate.forget(ID)? != Forgotten::Marked => Ok(()),
        Role::Sweep | Role::Cleaner => run(),
    }
}

/// Where the file system lies, as if the code left a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// No look for a mark after unlocking.
    NoSecondLook,
    /// No look whether the mark was renamed while it was written.
    NoMarkCheck,
    /// No look whether the lock file is still the one at the path.
    NoLockCheck,
    /// Left-over hints are not merged into the mark.
    NoMerge,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Inode {
    content: Vec<u8>,
    locked_by: Option<(usize, usize)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Process {
    /// The answers so far, as a node of the tree of all answers.
    node: usize,
    /// The inodes behind its open descriptors.
    files: Vec<Option<usize>>,
    alive: bool,
    in_pass: bool,
    unlocked_just_now: bool,
    marked: bool,
    seen: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    inodes: Vec<Inode>,
    names: [Option<usize>; 3],
    processes: Vec<Process>,
    kills_left: u32,
    /// Somebody was killed, failed or reached the limit: what is left in the marks is not lost, it waits for the sweep.
    excused: bool,
}

impl State {
    /// Numbers the inodes by their first use, so that equal states compare equal, and drops those out of reach.
    fn canonical(mut self) -> Self {
        let mut order: Vec<usize> = Vec::new();
        let mut number = |inode: &mut usize| {
            let found = order.iter().position(|known| known == inode);
            *inode = found.unwrap_or_else(|| {
                order.push(*inode);
                order.len() - 1
            });
        };
        self.names.iter_mut().flatten().for_each(&mut number);
        for process in &mut self.processes {
            process.files.iter_mut().flatten().for_each(&mut number);
        }
        self.inodes = order.iter().map(|&old| self.inodes[old].clone()).collect();
        self
    }

    fn end(&mut self, process: usize) {
        for inode in &mut self.inodes {
            inode.locked_by = inode.locked_by.filter(|(owner, _)| *owner != process);
        }
        let process = &mut self.processes[process];
        (process.alive, process.in_pass, process.node) = (false, false, 0);
        process.files.clear();
    }

    fn content(&self, kind: Kind) -> Option<&[u8]> {
        self.names[kind as usize].map(|inode| self.inodes[inode].content.as_slice())
    }

    fn apply(&mut self, me: usize, op: &Op, fault: Fault) -> Result<Answer, String> {
        let after_unlock = std::mem::take(&mut self.processes[me].unlocked_just_now);
        let inode = |state: &Self, file: usize| state.processes[me].files[file].unwrap();
        Ok(match op {
            Op::Open(kind) => {
                let inode = self.names[*kind as usize].unwrap_or(self.inodes.len());
                if inode == self.inodes.len() {
                    self.inodes.push(Inode {
                        content: Vec::new(),
                        locked_by: None,
                    });
                }
                self.names[*kind as usize] = Some(inode);
                let files = &mut self.processes[me].files;
                let number = files.iter().position(Option::is_none).unwrap_or(files.len());
                files.resize(files.len().max(number + 1), None);
                files[number] = Some(inode);
                Answer::Done
            }
            Op::Write(file, bytes) => {
                let inode = inode(self, *file);
                let content = &mut self.inodes[inode].content;
                content.extend_from_slice(bytes);
                // The order of lines and their repetition say nothing.
                *content = Hints::from_lines(content).to_lines();
                Answer::Done
            }
            Op::IsAt(_, Kind::Dirty) if fault == Fault::NoMarkCheck => Answer::Is(true),
            Op::IsAt(_, Kind::Lock) if fault == Fault::NoLockCheck => Answer::Is(true),
            Op::IsAt(file, kind) => Answer::Is(self.names[*kind as usize] == Some(inode(self, *file))),
            Op::TryLock(file) => {
                let inode = inode(self, *file);
                let free = self.inodes[inode].locked_by.is_none();
                if free {
                    self.inodes[inode].locked_by = Some((me, *file));
                }
                Answer::Is(free)
            }
            Op::Unlock(file) => {
                let inode = inode(self, *file);
                assert_eq!(self.inodes[inode].locked_by.take(), Some((me, *file)));
                self.processes[me].unlocked_just_now = true;
                self.processes[me].in_pass = false;
                Answer::Done
            }
            Op::Rename(from, to) => match self.names[*from as usize].take() {
                None => Answer::Missing,
                moved => {
                    self.names[*to as usize] = moved;
                    Answer::Done
                }
            },
            // `take` asks before the rename only; afterwards the file is there and no older.
            Op::Read(Kind::Running) if fault == Fault::NoMerge && self.content(Kind::Dirty).is_some() => {
                Answer::Bytes(None)
            }
            Op::Read(kind) => Answer::Bytes(self.content(*kind).map(<[u8]>::to_vec)),
            Op::Remove(kind) => {
                self.processes[me].in_pass = false;
                self.names[*kind as usize] = None;
                Answer::Done
            }
            Op::Exists(_) if after_unlock && fault == Fault::NoSecondLook => Answer::Is(false),
            Op::Exists(kind) => Answer::Is(self.names[*kind as usize].is_some()),
            Op::Names => Answer::Names(
                [Kind::Lock, Kind::Dirty, Kind::Running]
                    .into_iter()
                    .filter(|kind| self.names[*kind as usize].is_some())
                    .map(|kind| format!("{ID}.{}", kind.suffix()))
                    .collect(),
            ),
            Op::Marked => {
                self.processes[me].marked = true;
                Answer::Done
            }
            Op::PassBegins(hints) => {
                if self.processes.iter().any(|p| p.in_pass) {
                    return Err("two passes at once".to_owned());
                }
                self.processes[me].in_pass = true;
                for (number, process) in (0..).zip(&mut self.processes) {
                    process.seen |= hints.contains(&number);
                }
                Answer::Done
            }
            Op::LimitReached => {
                self.excused = true;
                Answer::Done
            }
        })
    }

    fn after(&self, me: usize, op: &Op, fault: Fault, steps: &mut Steps) -> Result<Self, String> {
        let mut next = self.clone();
        let answer = next.apply(me, op, fault)?;
        // A mark without hints is served by every pass that begins after it was made.
        let plain = |process: usize| steps.roles[process] == Role::PlainHook;
        match op {
            Op::Open(Kind::Dirty) if plain(me) => next.processes[me].seen = false,
            Op::PassBegins(_) => {
                for number in (0..next.processes.len()).filter(|&number| plain(number)) {
                    next.processes[number].seen = true;
                }
            }
            _ => {}
        }
        let process = &mut next.processes[me];
        process.node = steps.child(me, process.node, op, answer);
        if let Some(asked) = steps.asked(process.node) {
            for (file, open) in process.files.iter_mut().zip(&asked.files) {
                *file = file.filter(|_| *open);
            }
        }
        Ok(next)
    }

    /// Everybody has ended: was every mark served, or is it still there where it may be?
    fn verdict(&self, roles: &[Role]) -> Result<(), String> {
        let left: Vec<&[u8]> = [Kind::Dirty, Kind::Running]
            .into_iter()
            .filter_map(|kind| self.content(kind))
            .collect();
        if !self.excused && !left.is_empty() {
            return Err("a mark is left and nobody is there to serve it".to_owned());
        }
        for (number, (process, role)) in (0..).zip(self.processes.iter().zip(roles)) {
            let hint_left = left.iter().any(|l| Hints::from_lines(l).vms.contains(&number));
            let kept = self.excused && (hint_left || (*role == Role::PlainHook && !left.is_empty()));
            if process.marked && !process.seen && !kept {
                return Err(format!("the mark of process {number} is lost"));
            }
        }
        Ok(())
    }
}

/// What each process does next, computed once for each of its local states.
///
/// A local state is known by the answers that led to it. Many histories lead to the same one: what the code still
/// remembers at any question is its last answer, how many passes it ran and whether `forget` is behind it. Histories
/// that agree in these share a node. A few random futures are compared each time that is used.
struct Steps {
    roles: Vec<Role>,
    nodes: Vec<Node>,
    children: HashMap<(usize, usize, Answer), usize>,
    merged: HashMap<Memory, usize>,
}

struct Node {
    history: Vec<Answer>,
    passes: usize,
    past_forget: bool,
    asked: Option<Asked>,
}

#[derive(PartialEq, Eq, Hash)]
struct Memory {
    process: usize,
    last: (Op, Answer),
    passes: usize,
    past_forget: bool,
    asked: Asked,
}

impl Steps {
    fn new(roles: &[Role]) -> Self {
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

    fn asked(&self, node: usize) -> Option<&Asked> {
        self.nodes[node].asked.as_ref()
    }

    /// The node after `answer` to the question of `node`.
    fn child(&mut self, process: usize, node: usize, op: &Op, answer: Answer) -> usize {
        let key = (process, node, answer.clone());
        if let Some(&known) = self.children.get(&key) {
            return known;
        }
        let parent = &self.nodes[node];
        let history = [parent.history.as_slice(), &[answer.clone()]].concat();
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
        let known = memory.as_ref().and_then(|memory| self.merged.get(memory).copied());
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

    fn compare_futures(&self, process: usize, one: &[Answer], other: &[Answer]) {
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
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
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

/// Runs the real code with these answers until it asks for one more, or ends.
fn next_question(role: Role, process: usize, answers: &[Answer]) -> Option<Asked> {
    let script = Script(Rc::new(RefCell::new(Tape {
        answers: answers.to_vec().into_iter(),
        files: Vec::new(),
    })));
    let number = u32::try_from(process).unwrap();
    match catch_unwind(AssertUnwindSafe(|| behave(role, number, &script))) {
        Ok(_) => None,
        Err(payload) => match payload.downcast::<Asked>() {
            Ok(asked) => Some(*asked),
            Err(payload) => resume_unwind(payload),
        },
    }
}

/// Does the operation neither see nor change anything that another process's operations see or change? Then it need
/// not be tried in every order.
fn is_private(state: &State, me: usize, op: &Op, roles: &[Role]) -> bool {
    let lock_files_stay = !roles.contains(&Role::Cleaner);
    let lock = state.names[Kind::Lock as usize];
    let holds_lock = lock.is_some_and(|inode| {
        let owner = state.inodes[inode].locked_by;
        owner.is_some_and(|(owner, _)| owner == me)
    });
    match op {
        Op::Marked | Op::LimitReached => true,
        Op::Open(Kind::Lock) => lock_files_stay && lock.is_some(),
        Op::IsAt(_, Kind::Lock) => lock_files_stay || holds_lock,
        Op::Read(Kind::Running) | Op::Exists(Kind::Running) => {
            holds_lock && state.names[Kind::Running as usize].is_none()
        }
        _ => false,
    }
}

/// Searches all interleavings; the number of states, or what went wrong and the way there.
fn explore(roles: &[Role], kills: u32, fault: Fault) -> Result<usize, String> {
    let mut steps = Steps::new(roles);
    let idle = |node| Process {
        node,
        files: Vec::new(),
        alive: true,
        in_pass: false,
        unlocked_just_now: false,
        marked: false,
        seen: false,
    };
    let start = State {
        inodes: Vec::new(),
        names: [None; 3],
        processes: (0..roles.len()).map(idle).collect(),
        kills_left: kills,
        excused: roles.contains(&Role::FailingHook),
    };
    // States are remembered by 128 bits of hash: there are too many to keep.
    let mut seen = HashSet::from([digest(&start)]);
    let mut way: Vec<(usize, usize, bool)> = vec![(0, 0, false)];
    let mut open = vec![(start.clone(), 0)];
    while let Some((state, step)) = open.pop() {
        let mut moves = Vec::new();
        for me in (0..roles.len()).filter(|&me| state.processes[me].alive) {
            let Some(Asked { op, .. }) = steps.asked(state.processes[me].node).cloned() else {
                moves = vec![(me, None)];
                break;
            };
            if is_private(&state, me, &op, roles) {
                moves = vec![(me, Some(op))];
                break;
            }
            moves.push((me, Some(op)));
        }
        let result = if moves.is_empty() {
            state.verdict(roles)
        } else {
            Ok(())
        };
        let result = result.and_then(|()| {
            for (me, op) in moves {
                let mut next = Vec::new();
                if let Some(op) = op {
                    next.push((state.after(me, &op, fault, &mut steps)?, false));
                    if state.kills_left > 0 {
                        let mut killed = state.clone();
                        killed.end(me);
                        killed.kills_left -= 1;
                        killed.excused = true;
                        next.push((killed, true));
                    }
                } else {
                    let mut ended = state.clone();
                    ended.end(me);
                    next.push((ended, true));
                }
                for (next, ends) in next {
                    let next = next.canonical();
                    if seen.insert(digest(&next)) {
                        way.push((step, me, ends));
                        open.push((next, way.len() - 1));
                    }
                }
            }
            Ok(())
        });
        if let Err(what) = result {
            return Err(format!(
                "{what}, after\n{}",
                trace(start, &way, step, fault, &mut steps)
            ));
        }
    }
    Ok(seen.len())
}

fn digest(state: &State) -> (u64, u64) {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, state).hash(&mut hasher);
        hasher.finish()
    };
    (hash(0), hash(1))
}

/// The steps that led to a state, gone again.
fn trace(start: State, way: &[(usize, usize, bool)], step: usize, fault: Fault, steps: &mut Steps) -> String {
    let mut taken = Vec::new();
    let mut at = step;
    while at != 0 {
        taken.push(way[at]);
        at = way[at].0;
    }
    let mut text = String::new();
    let mut state = start;
    for (_, me, ends) in taken.into_iter().rev() {
        if ends {
            text += &format!("{me} ends\n");
            state.end(me);
        } else {
            let op = steps.asked(state.processes[me].node).unwrap().op.clone();
            text += &format!("{me} {op:?}\n");
            state = state.after(me, &op, fault, steps).unwrap();
        }
        state = state.canonical();
    }
    text
}

#[test]
fn no_mark_is_lost_and_no_two_passes_run_at_once() {
    use Role::{Cleaner, FailingHook, Hook, PlainHook, Sweep};
    for (roles, kills) in [
        (&[Hook, Hook][..], 1),
        (&[Hook, PlainHook], 1),
        (&[Hook, Hook, Sweep], 1),
        (&[Hook, Hook, Cleaner], 1),
        (&[Hook, FailingHook], 1),
        (&[Hook, Sweep], 2),
        (&[Hook, Cleaner], 1),
        (&[Cleaner, Cleaner, PlainHook], 0),
    ] {
        match explore(roles, kills, Fault::None) {
            Ok(states) => println!("{roles:?} with {kills} kills: {states} states"),
            Err(what) => panic!("{roles:?} with {kills} kills: {what}"),
        }
    }
}

#[test]
fn each_precaution_is_needed() {
    use Role::{Cleaner, Hook};
    for (fault, roles, kills, expected) in [
        (Fault::NoSecondLook, &[Hook, Hook][..], 0, "a mark is left"),
        (Fault::NoMarkCheck, &[Hook, Hook], 0, "is lost"),
        (Fault::NoLockCheck, &[Hook, Hook, Cleaner], 0, "is lost"),
        (Fault::NoMerge, &[Hook, Hook], 1, "is lost"),
        (Fault::NoSecondLook, &[Cleaner, Hook], 0, "a mark is left"),
    ] {
        let found = explore(roles, kills, fault).expect_err(&format!("{fault:?} goes unnoticed"));
        assert!(found.contains(expected), "{fault:?}: {found}");
    }
}
