//! Broken documents, machines and events beside clusters that are well: those don't notice, and each broken one is named
//! once.

// How to run a failed case again is said when it fails.
#![allow(clippy::print_stderr)]

mod documents;
mod events;
mod machines;
mod random;

use std::collections::{BTreeMap, BTreeSet};

use log::Level;
use oneks::hook;
use oneks_sandbox::{ALICE_PASSWORD, MALLORY_PASSWORD};

use self::random::Random;
use crate::cli::Cloud;
use crate::plain_life::spec;
use crate::support::life::Life;
use crate::support::log as kept;

/// How many seeds are tried if everything is asked for.
const SEEDS: u64 = 4;

fn alice() -> String {
    format!("alice:{ALICE_PASSWORD}")
}

fn mallory() -> String {
    format!("mallory:{MALLORY_PASSWORD}")
}

/// A seed, and how many documents are made from it; a third as many machines, and twice as many events.
type Case = (u64, usize);

/// Two documents of each kind, or all that `ONEKS_TESTS=all` asks for. `ONEKS_CASE='poison SEED
/// DOCUMENTS'` asks for one case, as a failure says it.
fn cases() -> Vec<Case> {
    if let Ok(case) = std::env::var("ONEKS_CASE") {
        let words: Vec<&str> = case.split_whitespace().collect();
        return match words[..] {
            ["poison", seed, documents] => vec![(seed.parse().unwrap(), documents.parse().unwrap())],
            _ => Vec::new(),
        };
    }
    if std::env::var("ONEKS_TESTS").is_ok_and(|t| t == "all") {
        (1..=SEEDS).map(|seed| (seed, 1000)).collect()
    } else {
        vec![(1, 2 * documents::KINDS)]
    }
}

/// Says which case it was, should it fail.
struct Named(Case);

impl Drop for Named {
    fn drop(&mut self) {
        let (seed, documents) = self.0;
        if std::thread::panicking() {
            eprintln!(
                "FAILED poison, seed {seed}\n  again: ONEKS_CASE='poison {seed} {documents}' cargo test --locked --test it \
                 poison::"
            );
        }
    }
}

/// What somebody puts beside the clusters in the course of their lives.
#[derive(Default)]
struct Poison {
    random: Option<Random>,
    /// Documents of the cluster's type that are broken.
    documents: BTreeSet<u32>,
    /// Documents of other types.
    foreign: BTreeSet<u32>,
    machines: Vec<u32>,
    made: usize,
}

impl Poison {
    /// A part of it. `victim` is a cluster of somebody else.
    fn add(&mut self, life: &mut Life, victim: u32, documents: usize) {
        let Some(random) = &mut self.random else { return };
        for _ in 0..documents {
            let poison = documents::document(self.made, victim, random);
            let text = poison.text.into();
            let id = life.ask(&mallory(), "one.document.allocate", &[text, poison.kind.into()]);
            let id = u32::try_from(id.as_int().unwrap()).unwrap();
            if poison.kind == 120 {
                self.documents.insert(id);
            } else {
                self.foreign.insert(id);
            }
            if let Some(text) = poison.update {
                life.ask(
                    &mallory(),
                    "one.document.update",
                    &[id.into(), text.into(), 1.into()],
                );
            }
            if let Some(level) = poison.lock {
                life.ask(
                    &mallory(),
                    "one.document.lock",
                    &[id.into(), level.into(), false.into()],
                );
            }
            if self.made.is_multiple_of(3) {
                let text = machines::machine(self.made / 3, victim, random);
                let hold = self.made.is_multiple_of(2);
                let vm = life.ask(&mallory(), "one.vm.allocate", &[text.into(), hold.into()]);
                self.machines.push(u32::try_from(vm.as_int().unwrap()).unwrap());
            }
            self.made += 1;
        }
        // What is ended, and what guests say, makes events too.
        for vm in self.machines.iter().skip(self.made % 5).step_by(5) {
            let report = "READY=\"YES\"\nONEKS_STATE=\"x\"".into();
            let _ = life
                .sandbox
                .ask(&mallory(), "one.vm.update", &[(*vm).into(), report, 1.into()]);
            let _ = life.sandbox.ask(
                &mallory(),
                "one.vm.action",
                &["terminate-hard".into(), (*vm).into()],
            );
        }
        let names = events::names();
        for _ in 0..2 * documents {
            let (kind, input) = events::event(random, &names, 999_999);
            let now = life.sandbox.now();
            hook::event(&life.service, kind, input.as_slice(), now)
                .unwrap_or_else(|e| panic!("{kind:?}: {e:#}\n{}", String::from_utf8_lossy(&input)));
        }
    }
}

/// Who made which call for which of the clusters that are well: `read the document` and so on, by cluster; all that was
/// done as their owner under no name.
type Calls = BTreeMap<(String, String), usize>;

fn calls(life: &Life, clusters: &BTreeMap<String, u32>) -> Calls {
    let mut count = Calls::new();
    for call in life.sandbox.calls().calls {
        let of = clusters
            .iter()
            .find(|(_, id)| call.object == Some(i64::from(**id)));
        let name = match call.user.as_str() {
            "alice" => String::new(),
            "oneadmin" if call.method.starts_with("one.document.") => match of {
                Some((name, _)) => name.clone(),
                None => continue,
            },
            _ => continue,
        };
        *count.entry((name, call.method)).or_default() += 1;
    }
    count
}

/// Three clusters are made, one is scaled, one deleted; beside them the poison, a quarter at a time. What was called for
/// them.
fn life_beside(poison: &mut Poison, part: usize) -> (Life, Calls) {
    let mut life = Life::plain();
    kept::keep();
    // The recorded events name documents of low ids, and so does the poison.
    poison.add(&mut life, 4, part);
    let before = life.sandbox.now() + 120;
    life.pass_time(120);
    assert_eq!(life.sandbox.now(), before);
    life.sandbox.reset_calls();
    let mut clusters = BTreeMap::new();
    for name in ["a", "b", "c"] {
        clusters.insert(name.to_owned(), life.create(&alice(), name, &spec(1)));
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| clusters[name]);
    poison.add(&mut life, a, part);
    for id in [a, b, c] {
        life.until_state(id, "RUNNING", 600);
    }
    let at = life.sandbox.now().next_multiple_of(1200);
    life.pass_time(at - life.sandbox.now());
    poison.add(&mut life, b, part);
    life.set(&alice(), a, "SPEC", &spec(3).to_string());
    life.until_state(a, "SCALING", 60);
    life.until_state(a, "RUNNING", 600);
    poison.add(&mut life, a, part);
    life.set(&alice(), b, "DELETE", "YES");
    life.until_state(b, "GONE", 600);
    let at = life.sandbox.now().next_multiple_of(1200) + 1200;
    life.pass_time(at - life.sandbox.now());
    assert_eq!(
        (life.state(a), life.state(c)),
        ("RUNNING".to_owned(), "RUNNING".to_owned())
    );
    let count = calls(&life, &clusters);
    (life, count)
}

#[test]
fn clusters_that_are_well_do_not_notice_broken_ones() {
    let (_, alone) = life_beside(&mut Poison::default(), 0);
    assert!(alone.len() > 10, "{alone:?}");
    for (seed, documents) in cases() {
        let named = Named((seed, documents));
        let mut poison = Poison {
            random: Some(Random::new(seed)),
            ..Poison::default()
        };
        let (mut life, beside) = life_beside(&mut poison, documents / 4);
        assert_eq!(beside, alone);
        assert!(poison.documents.len() > documents / 2);
        assert_eq!(life.errors, [""; 0]);

        let said = kept::take();
        for id in &poison.documents {
            let of = lines(&said, *id);
            assert!(!of.is_empty(), "document {id} was never named");
            let different: BTreeSet<_> = of.iter().collect();
            assert_eq!(different.len(), of.len(), "document {id}: {of:#?}");
            assert!(of.len() <= 3, "document {id}: {of:#?}");
        }
        for id in &poison.foreign {
            assert_eq!(lines(&said, *id), [""; 0], "document {id} is none of ours");
        }
        // From now on nothing is said of them, nor of anything else: they are as broken as they were.
        life.pass_time(3600);
        let again: Vec<_> = kept::take()
            .into_iter()
            .filter(|(level, _)| *level <= Level::Info)
            .collect();
        assert_eq!(again, [], "{} of {}", again.len(), poison.documents.len());
        drop(named);
    }
}

/// The lines that name a document.
fn lines(said: &[(Level, String)], id: u32) -> Vec<&str> {
    let (cluster, document) = (format!("cluster {id}:"), format!("document {id} "));
    said.iter()
        .map(|(_, line)| line.as_str())
        .filter(|line| line.contains(&cluster) || line.contains(&document))
        .collect()
}

#[test]
fn a_list_has_the_clusters_that_are_well_and_says_what_is_wrong_with_the_others() {
    let (mut cloud, web) = Cloud::with_web();
    let mut poison = Poison {
        random: Some(Random::new(2)),
        ..Poison::default()
    };
    poison.add(&mut cloud.life, web, 2 * documents::KINDS);
    cloud.life.pass_time(120);
    let listed = cloud
        .run("oneadmin", "list -l ID,NAME,STATE,LAST_ERROR --csv --no-header")
        .good();
    assert!(
        listed.lines().any(|line| line == format!("{web},web,RUNNING,")),
        "{listed}"
    );
    for id in &poison.documents {
        let line = listed.lines().find(|line| line.starts_with(&format!("{id},")));
        let line = line.unwrap_or_else(|| panic!("{id} is not listed: {listed}"));
        let error = line.splitn(4, ',').nth(3).unwrap_or_default();
        assert!(!error.is_empty() && !line.contains("RUNNING"), "{line}");
    }
}

#[test]
fn a_locked_document_waits_for_its_key() {
    let mut life = Life::plain();
    kept::keep();
    let id = life.create(&alice(), "demo", &spec(1));
    life.ask(
        &alice(),
        "one.document.lock",
        &[id.into(), 1.into(), false.into()],
    );
    life.sandbox.reset_calls();
    life.pass_time(1200);
    assert_eq!(life.attribute(id, "STATUS"), None);
    assert_eq!(
        life.sandbox.calls().by_user().keys().collect::<Vec<_>>(),
        [&"oneadmin"]
    );
    assert!(life.sandbox.live_vms().is_empty());
    let said = kept::take();
    let of = lines(&said, id);
    assert!(of.len() == 1 && of[0].contains("locked"), "{said:?}");
    assert_eq!(life.errors, Vec::<String>::new());
    life.ask(&alice(), "one.document.unlock", &[id.into()]);
    life.until_state(id, "RUNNING", 900);
}
