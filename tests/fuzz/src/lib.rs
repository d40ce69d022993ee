//! What must hold for any input, as functions of bytes that panic where it doesn't.
//!
//! `fuzz/` feeds them from a coverage-guided fuzzer; the tests of this crate feed them with the corpus that it left and
//! with seeds that [`seeds`] makes from recorded traffic. Every body ends quickly for any input of sane size: a time-out
//! is a finding.

// All of this is test code; clippy recognises only the functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

pub mod choice;
mod cursor;
mod documents;
mod driver_replies;
mod events;
mod plans;
mod profiles;
mod responses;
pub mod seeds;
mod templates;

/// A word that stands for a secret: the password of the session, and what some seeds have in KUBECONFIG.
pub(crate) const SECRET: &str = "s3cr3t-w0rd";

/// Says nothing that is secret, whatever was in the input. Where the word stands elsewhere, anything may quote it.
pub(crate) fn keeps_secret(input: &str, said: &str) {
    let hidden = [
        format!("<KUBECONFIG>{SECRET}</KUBECONFIG>"),
        format!("\"kubeconfig\":\"{SECRET}\""),
    ];
    let places: usize = hidden.iter().map(|place| input.matches(place).count()).sum();
    if input.matches(SECRET).count() == places {
        assert!(!said.contains(SECRET), "a secret is told: {said}");
    }
}

/// A target: what the fuzzer, its folder of corpus and its dictionary call it, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("event", events::event),
    ("stdin", events::stdin),
    ("response", responses::response),
    ("object", responses::object),
    ("template_text", templates::text),
    ("template_xml", templates::xml),
    ("spec", documents::spec),
    ("status", documents::status),
    ("driver_reply", driver_replies::reply),
    ("profile", profiles::profile),
    ("plan", plans::life),
];

/// Runs the body of a target.
///
/// # Panics
/// There is no such target, or what must hold does not.
pub fn run(target: &str, data: &[u8]) {
    let (_, body) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    body(data);
}
