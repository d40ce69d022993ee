//! Every interleaving of a few hooks, a sweep and a clean-up, with a kill at any step.
//!
//! The real [`Gate`](super::Gate) runs over a made-up file system. Its code is deterministic, so what a process does
//! next follows from the answers that it got so far: the code is run again over a script of those answers until it
//! asks for one more operation. That makes a step function out of the real code, and the states reachable by it are
//! searched exhaustively. A fault makes the file system lie in one place, as if a step of the protocol were left out;
//! the search must then find what that step is for.

mod script;
mod state;
mod steps;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Kind;
use script::{Asked, Op, Role};
use state::{Fault, Process, State};
use steps::Steps;

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
    let mut lines = Vec::new();
    let mut state = start;
    for (_, me, ends) in taken.into_iter().rev() {
        if ends {
            lines.push(format!("{me} ends"));
            state.end(me);
        } else {
            let op = steps.asked(state.processes[me].node).unwrap().op.clone();
            lines.push(format!("{me} {op:?}"));
            state = state.after(me, &op, fault, steps).unwrap();
        }
        state = state.canonical();
    }
    lines.join("\n")
}

#[test]
fn no_mark_is_lost_and_no_two_passes_run_at_once() {
    use Role::{Cleaner, FailingHook, Hook, PlainHook, Sweep};
    for (roles, kills) in [
        (&[Hook, Hook][..], 1),
        (&[Hook, PlainHook], 1),
        (&[Hook, Hook, Sweep], 0),
        (&[Hook, Hook, Cleaner], 0),
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
