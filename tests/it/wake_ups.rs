//! No wake-up is lost: between two steps of a hook or a sweep, or with the hook that had it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oneks::event::Kind;
use oneks::gate::{Gate, Hints};
use oneks::{hook, sweep};
use oneks_sandbox::{ALICE_PASSWORD, CallFault, Effect, When};

use crate::gate::{Step, Watched as WatchedFiles};
use crate::plain_life::spec;
use crate::support::life::{Life, front_end};
use crate::support::prefix::Prefix;
use crate::support::watched::Watched;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

/// A call as the hook manager tells of it.
fn told(call: &str, inputs: &[&str]) -> String {
    let parameters: Vec<String> = (1..)
        .zip(inputs)
        .map(|(i, value)| {
            format!("<PARAMETER><POSITION>{i}</POSITION><TYPE>IN</TYPE><VALUE>{value}</VALUE></PARAMETER>")
        })
        .collect();
    let parameters = parameters.concat();
    let xml =
        format!("<CALL_INFO><RESULT>1</RESULT><PARAMETERS>{parameters}</PARAMETERS><EXTRA/></CALL_INFO>");
    format!("{call} {}", STANDARD.encode(xml))
}

/// A hook for "VM 7 reports".
fn report(life: &Life, vm: u32) -> anyhow::Result<()> {
    let input = told("one.vm.update", &["****", &vm.to_string(), "READY=\"YES\"", "1"]);
    hook::event(
        &life.service,
        Kind::VmUpdate,
        input.as_bytes(),
        life.sandbox.now(),
    )
}

#[test]
fn a_hook_that_dies_before_it_knows_the_cluster_leaves_a_note_for_the_sweep() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &spec(1));
    life.until_state(id, "RUNNING", 600);
    let vm = life.sandbox.live_vms()[0].meta.id;
    let dying = CallFault::of("one.vm.info", When::First(1), Effect::DieBefore);
    life.sandbox.faults(|f| f.calls.push(dying));
    assert!(
        catch_unwind(AssertUnwindSafe(|| report(&life, vm))).is_err(),
        "it was not killed"
    );
    let notes = life.service.gate.notes().unwrap();
    assert_eq!(notes.iter().map(|note| note.vm).collect::<Vec<_>>(), [vm]);

    // As long as the VM can't be read, the note stays.
    let refused = Effect::RefuseConnection;
    life.sandbox
        .faults(|f| f.calls = vec![CallFault::of("one.vm.info", When::Always, refused)]);
    life.sweep();
    assert_eq!(life.service.gate.notes().unwrap().len(), 1);
    assert!(
        life.errors
            .pop()
            .unwrap()
            .contains(&format!("VM {vm} can't be read"))
    );

    life.sandbox.faults(|f| f.calls.clear());
    life.sandbox.reset_calls();
    life.sweep();
    assert_eq!(life.service.gate.notes().unwrap(), []);
    let calls = life.sandbox.calls();
    let looked =
        |c: &&oneks_sandbox::CallRecord| c.method == "one.document.info" && c.object == Some(id.into());
    assert_eq!(calls.calls.iter().filter(looked).count(), 1);
    assert_eq!(life.errors, Vec::<String>::new());
}

#[test]
fn notes_of_vms_that_are_nobodys_are_dropped() {
    let life = Life::plain();
    report(&life, 4711).unwrap();
    assert_eq!(life.service.gate.notes().unwrap(), []);
    assert_eq!(life.service.gate.known().unwrap(), [0; 0]);
}

#[test]
fn a_mark_that_comes_while_a_cluster_is_forgotten_is_served_by_that_sweep() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &spec(1));
    life.until_state(id, "RUNNING", 600);
    life.set(&alice(), id, "DELETE", "YES");
    life.until_state(id, "GONE", 600);
    assert_eq!(life.service.gate.known().unwrap(), [id]);
    // The event comes when nothing was pending any more and the lock file is about to go. Its hook finds the lock taken
    // and leaves.
    let dir = life.service.gate.dir().to_owned();
    // The sweep reads everything again, and has to find out by itself that nothing is left.
    for note in ["swept".to_owned(), format!("{id}.ended")] {
        std::fs::remove_file(dir.join(note)).unwrap();
    }
    let (disk, marked) = (Gate::new(&dir), AtomicU32::new(0));
    let meddling = |step: Step, after: bool| {
        let last = step == Step::Remove && !after && disk.pending().unwrap().is_empty();
        if last && marked.fetch_add(1, Ordering::SeqCst) == 0 {
            disk.mark(id, &Hints::none()).unwrap();
        }
    };
    let gate = Gate::with_fs(&dir, WatchedFiles(meddling));
    life.sandbox.reset_calls();
    sweep::sweep_through(&life.service, &gate, life.sandbox.now()).unwrap();
    assert_eq!(marked.load(Ordering::SeqCst), 1, "the lock file was not removed");
    assert_eq!(disk.pending().unwrap(), [0; 0]);
    assert_eq!(
        life.sandbox.calls().count("one.document.info"),
        2,
        "the mark was not served"
    );
    std::fs::remove_file(dir.join("swept")).unwrap();
    life.sweep();
    assert_eq!(disk.known().unwrap(), [0; 0]);
}

#[test]
fn events_that_come_faster_than_they_are_served_are_left_to_the_sweep() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &spec(1));
    life.until_state(id, "RUNNING", 600);
    let prefix = Prefix::new("http://127.0.0.1:1/RPC2");
    let looks = Arc::new(AtomicU32::new(0));
    let gate: Gate = life.service.gate.clone();
    let before = {
        let looks = Arc::clone(&looks);
        move |method: &str| {
            // Each pass meets an event, for twenty passes.
            if method == "one.document.info" && looks.fetch_add(1, Ordering::SeqCst) < 20 {
                gate.mark(id, &Hints::none()).unwrap();
            }
        }
    };
    let sandbox = life.sandbox.clone();
    let mut service = front_end(&prefix, Arc::new(Watched { sandbox, before }));
    service.gate = life.service.gate.clone();
    let input = told(
        "one.document.update",
        &["****", &id.to_string(), "RECOVER=\"1\"", "1"],
    );
    let now = life.sandbox.now();
    hook::event(&service, Kind::Document, input.as_bytes(), now).unwrap();
    let served = looks.load(Ordering::SeqCst);
    assert!((2..20).contains(&served), "{served} passes in one hook");
    assert_eq!(service.gate.pending().unwrap(), [id]);
    while looks.load(Ordering::SeqCst) < 20 {
        let before = looks.load(Ordering::SeqCst);
        sweep::sweep(&service, now).unwrap();
        assert!(
            looks.load(Ordering::SeqCst) > before,
            "the sweep passed over the mark"
        );
    }
    sweep::sweep(&service, now).unwrap();
    assert_eq!(service.gate.pending().unwrap(), [0; 0]);
}

#[test]
fn a_replaced_document_is_looked_at_at_once_if_it_is_a_cluster_and_costs_nothing_if_it_is_not() {
    let mut life = Life::plain();
    let id = life.create(&alice(), "demo", &spec(1));
    life.until_state(id, "RUNNING", 600);
    let other = life.ask(
        &alice(),
        "one.document.allocate",
        &["BODY=\"{}\"".into(), 100.into()],
    );
    let other = u32::try_from(other.as_int().unwrap()).unwrap();
    life.pass_time(5);
    life.sweeping = false;
    life.sandbox.reset_calls();
    life.ask(
        &alice(),
        "one.document.update",
        &[other.into(), "BODY=\"{1}\"".into(), 0.into()],
    );
    life.pass_time(5);
    let only_the_users = life.sandbox.calls();
    assert_eq!(only_the_users.len(), 1, "{only_the_users:?}");
    assert!(!life.service.gate.knows(other).unwrap());

    // Without SPEC and STATUS, and without a sweep.
    life.ask(
        &alice(),
        "one.document.update",
        &[id.into(), "NOTE=\"x\"".into(), 0.into()],
    );
    life.until("STATUS is written again", 10, |life| {
        life.attribute(id, "STATUS").is_some()
    });
    let accepted = life.status(id).condition("Accepted").unwrap().clone();
    assert_eq!(accepted.reason, "NoSpec", "{}", accepted.message);
    assert_eq!(life.sandbox.live_vms().len(), 3, "nothing is removed for that");
}

#[test]
fn a_router_of_somebody_whose_name_fits_no_cluster_stays() {
    let mut life = Life::plain();
    let nic = "NIC=[NETWORK_ID=\"1\"]";
    for name in ["oneks-77-cp", "oneks-77-lb"] {
        life.ask(
            &alice(),
            "one.vrouter.allocate",
            &[format!("NAME=\"{name}\"\n{nic}").into()],
        );
    }
    life.pass_time(200);
    assert_eq!(life.sandbox.vrouters().len(), 2, "{}", life.report());
    assert_eq!(life.errors, Vec::<String>::new());
}
