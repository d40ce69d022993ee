//! The virtual router of a living cluster is lost: it is made again as its nodes know it, or not at all.

use oneks_core::observed::Kind as VmKind;
use oneks_core::state::ClusterState as S;
use oneks_driver::VmCondition;

use crate::driver::Kind;
use crate::pass::spec;
use crate::world::World;

const V33: &str = "v1.33.7";

/// The drivers that have the hooks make the router.
const KINDS: [Kind; 2] = [Kind::Routed, Kind::Plain];

fn running(kind: Kind) -> World {
    let mut world = World::new(kind, &spec(V33, 1, &[("a", 1)]));
    world.until(S::Running);
    world
}

/// Deletes the router as its owner would.
fn lose(world: &mut World) {
    let router = world.routers[0].clone();
    world.execute(&oneks_core::Action::DeleteRouter {
        id: router.id,
        name: router.name,
    });
}

fn endpoint(world: &World) -> String {
    world.status().endpoint.unwrap().host
}

fn trouble(world: &World) -> oneks_core::status::LastError {
    world.status().control_plane.error.unwrap()
}

/// Nothing but the router is made anew.
fn whole(world: &World, before: &World) {
    let (status, old) = (world.status(), before.status());
    assert_eq!(status.endpoint, old.endpoint, "{}", status.to_json());
    assert_eq!(status.gateway, old.gateway);
    assert_eq!(world.routers.len(), 1);
    assert_eq!(world.routers[0].addresses, before.routers[0].addresses);
    assert_eq!(world.alive(VmKind::Router).len(), 1);
    for kind in [VmKind::ControlPlane, VmKind::Node] {
        assert_eq!(world.alive(kind), before.alive(kind));
    }
    assert_eq!(world.done("-seed"), before.done("-seed"));
    assert_eq!(world.templates.len(), before.templates.len());
}

/// The cluster's states until it runs again, each once.
fn states_until_running(world: &mut World) -> Vec<S> {
    let mut states = Vec::new();
    for _ in 0..200 {
        world.pass(None);
        if states.last() != Some(&world.state()) {
            states.push(world.state());
        }
        if states.len() > 1 && world.state() == S::Running {
            return states;
        }
        world.tick(10);
    }
    panic!("never runs again: {states:?} {}", world.status().to_json());
}

#[test]
fn a_lost_router_is_made_again_with_the_addresses_that_the_nodes_know() {
    for kind in KINDS {
        let before = running(kind);
        let mut world = before.clone();
        lose(&mut world);
        assert_eq!(
            states_until_running(&mut world),
            [S::Warning, S::Running],
            "{kind:?}"
        );
        whole(&world, &before);
        assert_ne!(world.routers[0].id, before.routers[0].id);
        let (writes, looks) = (world.writes, world.looks);
        world.run_for(600);
        assert_eq!((world.writes, world.looks), (writes, looks));
    }
}

#[test]
fn a_router_without_vms_gets_others() {
    for kind in KINDS {
        for template_gone in [false, true] {
            let before = running(kind);
            let mut world = before.clone();
            let vm = world.alive(VmKind::Router)[0];
            world.end(vm);
            if template_gone {
                let router_vms = before.status().control_plane.templates["oneks-24-cp"].id;
                world.templates.retain(|t| t.id != router_vms);
            }
            assert_eq!(
                states_until_running(&mut world),
                [S::Warning, S::Running],
                "{kind:?}"
            );
            whole(&world, &before);
            assert_eq!(world.routers[0].id, before.routers[0].id);
        }
    }
}

#[test]
fn a_router_that_is_lost_with_the_status_is_made_again_from_what_lives() {
    for kind in KINDS {
        let before = running(kind);
        let mut world = before.clone();
        lose(&mut world);
        world.doc().status = None;
        world.until(S::Running);
        world.run_for(300);
        assert_eq!(world.state(), S::Running);
        whole(&world, &before);
    }
}

/// While nobody can say which addresses the nodes know, none is invented.
#[test]
fn no_other_endpoint_is_invented() {
    let before = running(Kind::Routed);
    let mut world = before.clone();
    lose(&mut world);
    world.doc().status = None;
    world.commands = crate::world::CommandMood::Fails;
    world.until(S::ProvisioningFailure);
    world.run_for(600);
    assert!(world.routers.is_empty() && world.status().endpoint.is_none());
    world.commands = crate::world::CommandMood::Works;
    world.doc().recover = Some("1".to_owned());
    world.until(S::Running);
    whole(&world, &before);
}

#[test]
fn an_address_that_somebody_took_is_named_and_waited_for() {
    for kind in KINDS {
        let before = running(kind);
        let mut world = before.clone();
        lose(&mut world);
        world.taken.insert(endpoint(&before));
        world.run_for(60);
        let error = trouble(&world);
        assert_eq!((world.state(), error.reason.as_str()), (S::Warning, "RouterGone"));
        assert!(error.object.as_ref().unwrap().starts_with("virtual router"));
        for part in [endpoint(&before).as_str(), "free it", "tried again by itself"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        let tries = world.done("allocate virtual router");
        world.run_for(7200);
        let more = world.done("allocate virtual router") - tries;
        assert!((10..=16).contains(&more), "{more} more tries in two hours");
        assert_eq!(trouble(&world), error, "what lasts is told once");
        assert!(world.routers.is_empty());
        world.taken.clear();
        world.until(S::Running);
        whole(&world, &before);
    }
}

#[test]
fn a_router_elsewhere_is_told_and_does_not_move_the_endpoint() {
    for kind in KINDS {
        let before = running(kind);
        let mut world = before.clone();
        lose(&mut world);
        world.taken.insert(endpoint(&before));
        world.run_for(60);
        let name = before.routers[0].name.clone();
        world.execute(&oneks_core::Action::AllocateRouter {
            name,
            text: String::new(),
            addresses: std::collections::BTreeMap::new(),
        });
        world.run_for(900);
        let error = trouble(&world);
        assert_eq!(
            (world.state(), error.reason.as_str()),
            (S::Warning, "RouterElsewhere")
        );
        assert!(error.message.contains("onevrouter delete"), "{}", error.message);
        assert_eq!(endpoint(&world), endpoint(&before));
        world.taken.clear();
        lose(&mut world);
        world.until(S::Running);
        whole(&world, &before);
    }
}

#[test]
fn a_router_is_made_again_while_something_else_is_under_way() {
    for kind in KINDS {
        for (version, count) in [(V33, 3), ("v1.34.2", 1)] {
            let before = running(kind);
            let mut world = before.clone();
            world.doc().spec = spec(version, 1, &[("a", count)]);
            world.pass(None);
            lose(&mut world);
            world.until(S::Running);
            assert_eq!(world.status().endpoint, before.status().endpoint);
            assert_eq!(world.routers[0].addresses, before.routers[0].addresses);
            assert_eq!(world.nodes(24001), vec![version; count as usize]);
        }
    }
}

/// The seed's manifest names the addresses already.
#[test]
fn a_router_that_is_lost_during_the_bootstrap_comes_back_as_the_seed_knows_it() {
    for kind in KINDS {
        let mut world = World::new(kind, &spec(V33, 1, &[]));
        while world.alive(VmKind::Seed).is_empty() {
            world.pass(None);
            world.tick(5);
        }
        let (endpoint, addresses) = (endpoint(&world), world.routers[0].addresses.clone());
        lose(&mut world);
        world.until(S::Running);
        assert_eq!(world.status().endpoint.unwrap().host, endpoint);
        assert_eq!(world.routers[0].addresses, addresses);
    }
}

#[test]
fn a_pass_may_be_killed_while_a_router_is_made_again() {
    for kind in KINDS {
        let before = running(kind);
        for at in 0..4 {
            for erase in [false, true] {
                let mut world = before.clone();
                lose(&mut world);
                let mut killed = false;
                for _ in 0..60 {
                    killed |= !killed && !world.pass(Some(at));
                    if killed && erase {
                        world.doc().status = None;
                    }
                    if killed {
                        break;
                    }
                    world.tick(10);
                }
                world.until(S::Running);
                world.run_for(120);
                whole(&world, &before);
            }
        }
    }
}

#[test]
fn a_router_that_is_ending_is_not_counted() {
    let mut world = running(Kind::Plain);
    let vm = world.alive(VmKind::Router)[0];
    world.end(vm);
    world.pass(None);
    let ending = |w: &World| w.machines[&vm].vm.condition == VmCondition::Ending;
    assert!(ending(&world) && world.alive(VmKind::Router).len() == 1);
}
