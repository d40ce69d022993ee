//! The order of an upgrade, whatever happens meanwhile: the control plane first, then group after group, one node more
//! than wanted, and no node back to the old version.

use oneks_core::state::ClusterState as S;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const KINDS: [Kind; 3] = [Kind::Guest, Kind::Routed, Kind::Plain];
const V33: &str = "v1.33.7";
const V34: &str = "v1.34.2";
const GROUPS: [(&str, u32); 2] = [("a", 2), ("b", 2)];
const IDS: [u32; 3] = [24000, 24001, 24002];

/// Watches an upgrade.
struct Watch {
    /// Nodes of the new version, by group, when last seen.
    new: [usize; 3],
    what: String,
}

impl Watch {
    fn new(what: String) -> Self {
        Self { new: [0; 3], what }
    }

    fn look(&mut self, world: &World) {
        let what = &self.what;
        let count = |id: u32, version: &str| world.nodes(id).iter().filter(|v| *v == version).count();
        let new = IDS.map(|id| count(id, V34));
        let old = IDS.map(|id| count(id, V33));
        for n in 1..3 {
            assert!(new[n] == 0 || old[n - 1] == 0, "{what}: {new:?} of {old:?}");
        }
        for (n, most) in [4, 3, 3].into_iter().enumerate() {
            assert!(
                new[n] >= self.new[n],
                "{what}: a node went back: {new:?} after {:?}",
                self.new
            );
            // The model's driver without guests makes a group's new nodes at once.
            assert!(
                world.kind == Kind::Plain || new[n] + old[n] <= most,
                "{what}: {new:?} {old:?}"
            );
        }
        self.new = new;
    }
}

fn upgrading(kind: Kind) -> World {
    let mut world = World::new(kind, &spec(V33, 3, &GROUPS));
    world.until(S::Running);
    world.doc().spec = spec(V34, 3, &GROUPS);
    world.pass(None);
    world
}

/// Goes on to the end, watched.
fn end(world: &mut World, watch: &mut Watch) {
    let end = world.now + 4 * 3600;
    while world.state() != S::Running || IDS.iter().any(|id| world.nodes(*id).iter().any(|v| v != V34)) {
        assert!(
            world.now < end,
            "{}: never: {}",
            watch.what,
            world.status().to_json()
        );
        world.tick(10);
        watch.look(world);
        world.pass(None);
    }
    assert!(world.status().groups().all(|g| g.version.as_deref() == Some(V34)));
}

#[test]
fn the_order_is_kept_when_the_status_is_lost_at_any_time() {
    for kind in KINDS {
        let mut world = upgrading(kind);
        let mut watch = Watch::new(format!("{kind:?}"));
        let mut at = 0;
        while world.state() != S::Running {
            at += 1;
            let mut lost = world.clone();
            let mut what = Watch::new(format!("{kind:?} lost at {at}"));
            lost.doc().status = None;
            lost.pass(None);
            end(&mut lost, &mut what);
            world.tick(10);
            watch.look(&world);
            world.pass(None);
        }
        assert!(at > if kind == Kind::Plain { 5 } else { 20 }, "{at} moments");
    }
}
