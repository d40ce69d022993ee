//! Whole lives: what users do to a cluster, from creation to deletion.

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::{ClusterState as S, GroupState};

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const KINDS: [Kind; 2] = [Kind::Guest, Kind::Plain];
const V33: &str = "v1.33.7";
const V34: &str = "v1.34.2";

#[test]
fn clusters_of_every_shape_are_made_and_removed() {
    for kind in KINDS {
        for control_plane in [1, 3] {
            for groups in 0..4 {
                let names = [("a", 1), ("b", 0), ("web-a", 3)];
                let mut world = World::new(kind, &spec(V33, control_plane, &names[..groups]));
                world.until(S::Running);
                assert_eq!(world.nodes(24000), vec![V33; control_plane as usize]);
                for (n, (_, count)) in (1..).zip(&names[..groups]) {
                    assert_eq!(world.nodes(24000 + n).len(), *count as usize);
                }
                assert!(world.alive(VmKind::Seed).is_empty());
                assert_eq!(world.routers.len(), 1);
                assert_eq!(world.doc().kubeconfig.as_deref(), Some("a kubeconfig"));
                let (writes, looks) = (world.writes, world.looks);
                world.run_for(600);
                assert_eq!((world.writes, world.looks), (writes, looks), "a cluster at rest costs nothing");
                world.doc().delete = Some("YES".to_owned());
                world.until(S::Done);
                world.run_for(60);
                assert!(world.is_empty());
            }
        }
    }
}
