//! Clusters that run, for lives that begin there. Each is built once and forked for every test that runs at that time.

use std::sync::{Arc, Mutex, Weak};

use oneks_sandbox::{LcmState, Vm};
use serde_json::json;

use crate::support::life::ONEADMIN;
use crate::support::scene::{Scene, capone_spec, dummy_spec};

/// A running cluster; as long as somebody holds it, others get forks of the same.
pub type Base = Arc<Mutex<Scene>>;

static CAPONE: Mutex<Weak<Mutex<Scene>>> = Mutex::new(Weak::new());
static CAPONE_HA: Mutex<Weak<Mutex<Scene>>> = Mutex::new(Weak::new());
static EXPOSED: Mutex<Weak<Mutex<Scene>>> = Mutex::new(Weak::new());
static DUMMY: Mutex<Weak<Mutex<Scene>>> = Mutex::new(Weak::new());

/// One control-plane node and a group `workers` of one, v1.33.7, with `capone`.
pub fn capone() -> (Scene, Base) {
    fork_of(&CAPONE, || {
        Scene::new(&capone_spec("v1.33.7", "standalone", &[("workers", 1)]))
    })
}

/// Three control-plane nodes and a group `workers` of two, v1.33.7, with `capone`.
pub fn capone_ha() -> (Scene, Base) {
    fork_of(&CAPONE_HA, || {
        Scene::new(&capone_spec("v1.33.7", "ha", &[("workers", 2)]))
    })
}

/// One control-plane node and a group `workers` of one, v1.33.7, with `dummy`.
pub fn dummy() -> (Scene, Base) {
    fork_of(&DUMMY, || {
        Scene::new(&dummy_spec("v1.33.7", "standalone", &[("workers", 1)]))
    })
}

/// As [`capone`], and the cloud controller has made everything for a Service of type `LoadBalancer`.
///
/// It names networks by name alone, which OpenNebula looks for among those that its user owns: the private network is
/// alice's. The router's own addresses it takes from a second range of the public network.
pub fn exposed() -> (Scene, Base) {
    fork_of(&EXPOSED, || {
        let mut spec = capone_spec("v1.33.7", "standalone", &[("workers", 1)]);
        spec["deployment"]["networks"]["private"] = json!({"id": 2});
        let mut scene = Scene::prepared(&spec, None, |life| {
            let own = life.sandbox.add_vnet("own", &[0], "203.0.113.10", 50).unwrap();
            assert_eq!(own, 2);
            life.ask(ONEADMIN, "one.vn.chown", &[own.into(), 2.into(), 1.into()]);
            let range = "AR=[TYPE=\"ETHER\",SIZE=\"20\"]";
            life.ask(ONEADMIN, "one.vn.add_ar", &[0.into(), range.into()]);
        });
        scene.until_state("RUNNING", 7200);
        let guests = scene.guests.clone().unwrap();
        let output = guests.expose("oneks-1", "web");
        assert_eq!(output.code, 0, "{output:?}");
        scene.until("the load balancer runs", 1800, |scene| {
            let of = |vm: &Vm| vm.meta.name.starts_with("vr-oneks-1-lb");
            let routers = scene.vms("ROUTER");
            routers
                .iter()
                .any(|vm| of(vm) && vm.lcm_state == LcmState::Running)
        });
        scene.crowd();
        scene
    })
}

fn fork_of(store: &Mutex<Weak<Mutex<Scene>>>, make: impl FnOnce() -> Scene) -> (Scene, Base) {
    let mut known = store.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(base) = known.upgrade() {
        let fork = base.lock().unwrap().fork();
        return (fork, base);
    }
    let mut scene = make();
    scene.until_state("RUNNING", 7200);
    let fork = scene.fork();
    let base = Arc::new(Mutex::new(scene));
    *known = Arc::downgrade(&base);
    (fork, base)
}
