//! Several front-ends of one zone: only the leader acts, and a pass that a fail-over overtook does no harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use oneks::service::Service;
use oneks::sweep;
use oneks::zone::Zone;
use oneks_sandbox::{ALICE_PASSWORD, Sandbox};
use opennebula::transport::{Transport, TransportError};

use crate::plain_life;
use crate::support::life::{Life, front_end};
use crate::support::prefix::Prefix;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// Something that happens while a call is on its way.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// The way of the old leader to OpenNebula. Before its n-th call the new leader takes over.
struct Overtaken {
    sandbox: Sandbox,
    calls: AtomicU64,
    nth: u64,
    /// Its own oned follows from then on and takes nothing more.
    refuses: bool,
    meanwhile: Mutex<Option<Meanwhile>>,
    /// What it called.
    methods: Arc<Mutex<Vec<String>>>,
}

impl Transport for Overtaken {
    fn post(&self, body: &str) -> Result<String, TransportError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let method = body.split("<methodName>").nth(1).unwrap_or_default();
        let method = method.split('<').next().unwrap_or_default();
        self.methods.lock().unwrap().push(method.to_owned());
        if call == self.nth
            && let Some(meanwhile) = self.meanwhile.lock().unwrap().take()
        {
            meanwhile();
        }
        if self.refuses && call >= self.nth {
            let (endpoint, sent) = ("the old leader".to_owned(), false);
            let source = "not the leader".into();
            return Err(TransportError::Unreachable {
                endpoint,
                sent,
                source,
            });
        }
        self.sandbox.post(body)
    }
}

fn member(mut service: Service, name: &str) -> Service {
    service.zone = Zone::Several;
    name.clone_into(&mut service.actor);
    service
}

/// How often each name was given to a virtual machine, template or router.
fn allocations(life: &Life) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    let sandbox = &life.sandbox;
    let names = sandbox.vms().into_iter().map(|vm| vm.meta.name);
    let routers = sandbox.vrouters().into_iter().map(|r| r.meta.name);
    let templates = sandbox.templates().into_iter().map(|t| t.meta.name);
    for name in names.chain(routers).chain(templates) {
        *count.entry(name).or_default() += 1;
    }
    count
}

/// What a life was like in which the new leader took over before the old one's n-th call.
struct Told {
    /// What the old leader called, until the new one took over and after.
    methods: Vec<String>,
    /// Names that were given twice while the cluster came up.
    twice: Vec<String>,
}

fn life(nth: u64, refuses: bool) -> Told {
    let mut life = Life::plain();
    let (old_home, new_home) = (
        Prefix::new("http://127.0.0.1:1/RPC2"),
        Prefix::new("http://127.0.0.1:1/RPC2"),
    );
    let new = || member(front_end(&new_home, Arc::new(life.sandbox.clone())), "new");
    let (leader, sandbox) = (new(), life.sandbox.clone());
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    let methods = Arc::new(Mutex::new(Vec::new()));
    let old = Overtaken {
        sandbox: life.sandbox.clone(),
        calls: AtomicU64::new(0),
        nth,
        refuses,
        meanwhile: Mutex::new(Some(Box::new(move || {
            told.store(true, Ordering::SeqCst);
            sweep::sweep(&leader, sandbox.now()).unwrap();
        }))),
        methods: Arc::clone(&methods),
    };
    let successor = new();
    life.service = member(front_end(&old_home, Arc::new(old)), "old");

    let id = life.create(&alice(), "demo", &plain_life::spec(2));
    let goes = Arc::clone(&over);
    life.until("the new leader takes over, or the cluster runs", 4000, |life| {
        goes.load(Ordering::SeqCst) || life.state(id) == "RUNNING"
    });
    life.service = successor;
    life.until_state(id, "RUNNING", 4000);
    let twice = allocations(&life).into_iter().filter(|(_, n)| *n > 1);
    let twice: Vec<String> = twice.map(|(name, _)| name).collect();
    assert!(
        life.sandbox.live_vms().len() == 4 || !twice.is_empty(),
        "call {nth}\n{}",
        life.report()
    );
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 2000);
    life.pass_time(180);
    assert_eq!(life.left_over(), Vec::<String>::new(), "call {nth}");
    let methods = methods.lock().unwrap().clone();
    Told { methods, twice }
}

/// The calls that make what OpenNebula would make twice.
const CREATES: [&str; 3] = [
    "one.vm.allocate",
    "one.vrouter.allocate",
    "one.vrouter.instantiate",
];

/// What the old leader calls if nobody takes over.
fn alone() -> Vec<String> {
    let told = life(u64::MAX, false);
    assert!(
        told.methods.len() > 60 && told.twice.is_empty(),
        "{:?}",
        told.methods
    );
    told.methods
}

/// The numbers of the calls that create.
fn creations(methods: &[String]) -> Vec<u64> {
    let creates = |(i, m): (usize, &String)| CREATES.contains(&m.as_str()).then_some(i as u64 + 1);
    methods.iter().enumerate().filter_map(creates).collect()
}

#[test]
fn a_pass_that_was_overtaken_makes_nothing_twice() {
    let methods = alone();
    let all = std::env::var("ONEKS_TESTS").is_ok_and(|t| t == "all");
    let moments: Vec<u64> = if all {
        let creations = creations(&methods);
        (1..=methods.len() as u64)
            .filter(|n| !creations.contains(n))
            .collect()
    } else {
        // The last look before each creation.
        creations(&methods).into_iter().map(|n| n - 1).collect()
    };
    assert!(moments.len() >= 6, "{moments:?}");
    for nth in moments {
        assert_eq!(
            life(nth, false).twice,
            Vec::<String>::new(),
            "overtaken before call {nth}"
        );
    }
}

#[test]
fn only_the_call_on_its_way_may_be_one_too_many_and_none_if_its_oned_follows() {
    // Without a conditional write a call may have left when the other front-end looks.
    let (mut lives, mut windows) = (0, 0);
    for nth in creations(&alone()) {
        lives += 1;
        windows += usize::from(!life(nth, false).twice.is_empty());
        assert_eq!(life(nth, true).twice, Vec::<String>::new(), "refused call {nth}");
    }
    assert!(lives >= 6 && windows > 0, "{windows} of {lives}");
}

#[test]
fn a_follower_leaves_everything_to_the_leader() {
    let mut life = Life::plain();
    let home = Prefix::new("http://127.0.0.1:1/RPC2");
    life.service = member(front_end(&home, Arc::new(life.sandbox.clone())), "a");
    life.sandbox.faults(|f| f.follower = true);
    let id = life.create(&alice(), "demo", &plain_life::spec(1));
    life.pass_time(300);
    assert_eq!(
        (life.attribute(id, "STATUS"), life.left_over().len()),
        (None, 1),
        "{}",
        life.report()
    );
    let methods: Vec<String> = life
        .sandbox
        .calls()
        .calls
        .iter()
        .map(|c| c.method.clone())
        .collect();
    assert!(
        methods.iter().all(|m| [
            "one.zone.raftstatus",
            "one.documentpool.info",
            "one.document.allocate"
        ]
        .contains(&m.as_str())),
        "{methods:?}"
    );
    // Once it leads, what was marked meanwhile is done, without a further event.
    life.sandbox.faults(|f| f.follower = false);
    life.until_state(id, "RUNNING", 1200);
}

#[test]
fn a_front_end_that_is_alone_pays_nothing_for_others() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &plain_life::spec(1));
    life.until_state(id, "RUNNING", 1200);
    let calls = life.sandbox.calls();
    assert!(calls.calls.iter().all(|c| c.method != "one.zone.raftstatus"));
    assert_eq!(life.status(id).claim, None);
}

/// A cluster at rest on a front-end that led, until a moment ago another did, and leads again. What came meanwhile reached
/// the other one only.
fn leads_again() -> (Life, u32, Prefix) {
    let mut life = Life::plain();
    let home = Prefix::new("http://127.0.0.1:1/RPC2");
    life.service = member(front_end(&home, Arc::new(life.sandbox.clone())), "a");
    let id = life.create(&alice(), "demo", &plain_life::spec(1));
    life.until_state(id, "RUNNING", 1200);
    life.pass_time(1500);
    // It has just read everything, and has noted that.
    sweep::sweep_all(&life.service, life.sandbox.now()).unwrap();
    life.sandbox.faults(|f| f.events.lose = 100);
    (life, id, home)
}

#[test]
fn a_new_leader_looks_at_what_only_the_old_one_heard_of() {
    let (mut life, id, _home) = leads_again();
    life.set(&alice(), id, "SPEC", &plain_life::spec(2).to_string());
    life.sandbox.faults(|f| f.events.lose = 0);
    let now = life.sandbox.now() + 5;
    let timed = sweep::sweep(&life.service, now).unwrap();
    assert_eq!(
        (timed.clusters, timed.looked_at),
        (0, 0),
        "its notes say that nothing is due"
    );
    assert_eq!(sweep::sweep_all(&life.service, now).unwrap().looked_at, 1);
    assert_eq!(life.state(id), "SCALING", "{}", life.report());
    life.until_state(id, "RUNNING", 600);
    assert_eq!(life.status(id).node_groups[0].vms.len(), 2);

    // A cluster at rest that lost a machine.
    let (life, id, _home) = leads_again();
    let vm = life.status(id).node_groups[0].vms[0].id;
    life.ask(&alice(), "one.vm.action", &["poweroff-hard".into(), vm.into()]);
    life.sandbox.advance(30);
    let now = life.sandbox.now();
    assert_eq!(sweep::sweep(&life.service, now).unwrap().looked_at, 0);
    assert_eq!(sweep::sweep_all(&life.service, now).unwrap().looked_at, 1);
    assert_eq!(life.state(id), "WARNING", "{}", life.report());
}

#[test]
fn a_new_leader_whose_oned_does_not_lead_yet_looks_with_its_next_sweep() {
    let (life, id, _home) = leads_again();
    life.set(&alice(), id, "SPEC", &plain_life::spec(2).to_string());
    life.sandbox.faults(|f| f.follower = true);
    let now = life.sandbox.now();
    let early = sweep::sweep_all(&life.service, now).unwrap();
    assert!(early.not_leader && early.looked_at == 0, "{early:?}");
    assert_eq!(life.state(id), "RUNNING");
    life.sandbox.faults(|f| f.follower = false);
    assert_eq!(sweep::sweep(&life.service, now + 60).unwrap().looked_at, 1);
    assert_eq!(life.state(id), "SCALING", "{}", life.report());
}
