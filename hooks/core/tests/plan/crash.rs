//! A pass may be killed between any two actions, and STATUS may be lost at any time: the end is the same, nothing is
//! made twice, and nothing is left after the deletion. That nothing is made twice, the model itself sees to.

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::ClusterState as S;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const KINDS: [Kind; 2] = [Kind::Guest, Kind::Plain];

/// What a user asks for, one after another.
fn wishes() -> Vec<String> {
    vec![
        spec("v1.33.7", 3, &[("a", 2), ("b", 1)]),
        spec("v1.33.7", 1, &[("a", 0), ("c", 1)]),
        spec("v1.34.2", 1, &[("a", 1), ("c", 1)]),
    ]
}

/// Something that happens to a cluster once.
#[derive(Debug, Clone, Copy)]
enum Accident {
    None,
    /// The pass that comes after so many actions is killed there, its STATUS lost.
    Kill(usize),
    /// Before this pass STATUS is erased.
    Erase(usize),
    /// Both, one after the other.
    KillAndErase(usize),
}

struct Life {
    world: World,
    accident: Accident,
    passes: usize,
    struck: bool,
}

impl Life {
    fn pass(&mut self) {
        self.passes += 1;
        let actions = self.world.log.len();
        match self.accident {
            Accident::Kill(at) | Accident::KillAndErase(at) if !self.struck && at >= actions => {
                if !self.world.pass(Some(at - actions)) {
                    self.struck = true;
                    if matches!(self.accident, Accident::KillAndErase(_)) {
                        self.world.doc().status = None;
                    }
                }
            }
            Accident::Erase(at) if at == self.passes && self.world.doc.is_some() => {
                self.struck = true;
                self.world.doc().status = None;
                self.world.pass(None);
            }
            _ => {
                self.world.pass(None);
            }
        }
    }

    fn until(&mut self, state: S) {
        let end = self.world.now + 4 * 3600;
        self.pass();
        while self.world.state() != state {
            let status = || self.world.status().to_json();
            assert!(
                self.world.now < end,
                "{:?}: never {state}: {}",
                self.accident,
                status()
            );
            self.world.tick(10);
            self.pass();
        }
    }
}

/// Lives through it all; the nodes of every group after each wish, and the number of actions and passes.
fn live(kind: Kind, accident: Accident) -> (Vec<Vec<Vec<String>>>, usize, usize, bool) {
    let wishes = wishes();
    let mut life = Life {
        world: World::new(kind, &wishes[0]),
        accident,
        passes: 0,
        struck: false,
    };
    let mut ends = Vec::new();
    for wish in wishes {
        life.world.doc().spec = wish;
        life.until(S::Running);
        // What was lost may come to light a little later.
        for _ in 0..6 {
            life.world.tick(30);
            life.pass();
        }
        life.until(S::Running);
        let status = life.world.status();
        let keys = ["control-plane", "a", "b", "c"];
        let id = |key: &str| status.groups().find(|g| g.key == key).map_or(0, |g| g.id);
        ends.push(keys.map(|key| life.world.nodes(id(key))).to_vec());
        let nodes = life.world.alive(VmKind::Node).len() + life.world.alive(VmKind::ControlPlane).len();
        assert_eq!(
            ends.last().unwrap().iter().map(Vec::len).sum::<usize>(),
            nodes,
            "{accident:?}: nodes of nobody",
        );
        assert_eq!(life.world.routers.len(), 1);
        assert_eq!(life.world.doc().kubeconfig.as_deref(), Some("a kubeconfig"));
        // One that only has to run leaves nothing behind and may be made again; never two at once.
        let most = if kind == Kind::Plain && life.struck { 2 } else { 1 };
        let seeds = life.world.done("allocate VM oneks-24-seed");
        assert!((1..=most).contains(&seeds), "{accident:?}: {seeds} seeds");
    }
    life.world.doc().delete = Some("YES".to_owned());
    life.until(S::Done);
    life.world.run_for(60);
    assert!(life.world.is_empty(), "{accident:?}");
    (ends, life.world.log.len(), life.passes, life.struck)
}

#[test]
fn a_pass_may_be_killed_after_any_action() {
    for kind in KINDS {
        let (ends, actions, ..) = live(kind, Accident::None);
        for at in 0..actions {
            let (now, .., struck) = live(kind, Accident::Kill(at));
            assert!(struck || at + 1 == actions, "{at} of {actions}");
            assert_eq!(now, ends, "{kind:?} killed at {at}");
        }
    }
}

#[test]
fn status_may_be_erased_before_any_pass() {
    for kind in KINDS {
        let (ends, _, passes, _) = live(kind, Accident::None);
        for at in 1..passes {
            assert_eq!(
                live(kind, Accident::Erase(at)).0,
                ends,
                "{kind:?} erased before pass {at}"
            );
        }
    }
}

#[test]
fn a_pass_may_be_killed_and_status_be_erased() {
    for kind in KINDS {
        let (ends, actions, ..) = live(kind, Accident::None);
        for at in 0..actions {
            assert_eq!(
                live(kind, Accident::KillAndErase(at)).0,
                ends,
                "{kind:?} killed and erased at {at}"
            );
        }
    }
}
