use proptest::prelude::*;

use super::super::testing::{attributes, catalog, cluster};
use super::super::{Shown, changes, picture, refusals};
use super::*;

const WORKERS: &str = "ONEKS_GROUP_WORKERS";

/// What comes of these changes on a handle that showed `base`, where SPEC has become this meanwhile.
fn edited(written: &[(&str, Option<&str>)], base: Option<&Spec>, spec: &Spec) -> Edit {
    let (_, status) = cluster();
    let catalog = catalog();
    let base = base.map(|base| wishes(base, &status));
    let mut now: Attributes = base.iter().flat_map(|b| b.groups.clone()).collect();
    if let Some(base) = &base {
        now.insert(VERSION.to_owned(), base.version.clone());
    }
    for (name, value) in written {
        match value {
            Some(value) => drop(now.insert((*name).to_owned(), (*value).to_owned())),
            None => drop(now.remove(*name)),
        }
    }
    let check = |spec: &Spec| refusals(&catalog, &status, spec);
    edit(&now, base.as_ref(), spec, &status, &catalog, &check)
}

fn counts(spec: &Spec) -> Vec<(String, String)> {
    let groups = spec.node_groups.iter();
    groups.map(|g| (g.name.clone(), group::text(g, None))).collect()
}

#[test]
fn good_changes_are_taken() {
    let (spec, _) = cluster();
    for (written, version, groups) in [
        (
            vec![(WORKERS, Some("5"))],
            "v1.33.7",
            vec![("workers", "5 small")],
        ),
        (
            vec![(WORKERS, Some("small 0"))],
            "v1.33.7",
            vec![("workers", "0 small")],
        ),
        (
            vec![(VERSION, Some("v1.34.2"))],
            "v1.34.2",
            vec![("workers", "2 small")],
        ),
        (
            vec![("ONEKS_GROUP_GPU_A", Some("1 large")), (VERSION, Some("v1.34.2"))],
            "v1.34.2",
            vec![("workers", "2 small"), ("gpu-a", "1 large")],
        ),
        (
            vec![("ONEKS_GROUP_MORE", Some("3"))],
            "v1.33.7",
            vec![("workers", "2 small"), ("more", "3 small")],
        ),
        (vec![(WORKERS, Some("delete"))], "v1.33.7", vec![]),
    ] {
        let edit = edited(&written, Some(&spec), &spec);
        assert_eq!(edit.answers, Vec::<String>::new(), "{written:?}");
        let wanted = edit.spec.unwrap();
        assert_eq!(wanted.kubernetes_version, version);
        let groups: Vec<_> = groups
            .iter()
            .map(|(n, t)| ((*n).to_owned(), (*t).to_owned()))
            .collect();
        assert_eq!(counts(&wanted), groups);
    }
    let edit = edited(&[(PROTECTION, Some("yes"))], Some(&spec), &spec);
    assert!(edit.spec.unwrap().deletion_protection);
    for (text, order) in [("recover", Order::Recover), ("ROTATE_credentials", Order::Rotate)] {
        let edit = edited(&[(ACTION, Some(text))], Some(&spec), &spec);
        assert_eq!((edit.order, edit.spec, edit.answers), (Some(order), None, vec![]));
    }
}

#[test]
fn wrong_values_are_answered_with_their_path_and_do_not_keep_good_ones() {
    let (spec, _) = cluster();
    for (name, value, what) in [
        (WORKERS, "many", "no flavour"),
        (WORKERS, "2 3", "must be a number of nodes"),
        (WORKERS, "500", "node_groups[0].user_inputs_values.count"),
        (WORKERS, "2 large", "can't be changed"),
        (VERSION, "v9.9.9", "kubernetes_version"),
        (VERSION, "v1.32.9", "kubernetes_version"),
        (VERSION, "nonsense", "is not a version"),
        ("ONEKS_GROUP_SEED", "1", "reserved"),
        ("ONEKS_GROUP_NEW", "1 huge", "no flavour"),
        (PROTECTION, "perhaps", "YES or NO"),
        (ACTION, "explode", "recover or rotate-credentials"),
    ] {
        let good = ("ONEKS_GROUP_ZZ", Some("1"));
        let edit = edited(&[(name, Some(value)), good], Some(&spec), &spec);
        let [answer] = &edit.answers[..] else {
            panic!("{name}={value}: {:?}", edit.answers)
        };
        assert!(answer.starts_with(name) && answer.contains(what), "{answer}");
        let wanted = edit.spec.unwrap();
        assert_eq!(wanted.node_groups.len(), 2, "{name}: the good value is taken");
        assert_eq!(wanted.kubernetes_version, spec.kubernetes_version);
    }
}

#[test]
fn what_changed_elsewhere_meanwhile_stays() {
    let (base, _) = cluster();
    let mut spec = base.clone();
    spec.node_groups[0]
        .user_inputs_values
        .insert("count".into(), json!(7));
    spec.kubernetes_version = "v1.34.2".into();
    // Nothing was written on the handle, or another thing.
    assert_eq!(edited(&[], Some(&base), &spec), Edit::default());
    let edit = edited(&[("ONEKS_GROUP_MORE", Some("1"))], Some(&base), &spec);
    let wanted = edit.spec.unwrap();
    assert_eq!(wanted.kubernetes_version, "v1.34.2");
    assert_eq!(counts(&wanted)[0].1, "7 small");
    assert_eq!(wanted.node_groups.len(), 2);
    // The same thing: to the same, and to something else.
    assert_eq!(edited(&[(WORKERS, Some("7"))], Some(&base), &spec).spec, None);
    let edit = edited(&[(WORKERS, Some("3"))], Some(&base), &spec);
    assert_eq!(edit.spec, None);
    assert!(edit.answers[0].contains("elsewhere"), "{:?}", edit.answers);
    // The group was removed elsewhere, or came from elsewhere.
    spec.node_groups.clear();
    assert_eq!(edited(&[], Some(&base), &spec), Edit::default());
    assert_eq!(edited(&[(WORKERS, Some("9"))], Some(&base), &spec).spec, None);
    assert_eq!(edited(&[(WORKERS, Some("9"))], Some(&spec), &base).spec, None);
}

#[test]
fn nothing_is_removed_because_an_attribute_is_missing() {
    let (spec, _) = cluster();
    for written in [
        vec![(WORKERS, None)],
        vec![(WORKERS, Some(""))],
        vec![(WORKERS, Some("  ")), (VERSION, None), (PROTECTION, Some(""))],
    ] {
        assert_eq!(
            edited(&written, Some(&spec), &spec),
            Edit::default(),
            "{written:?}"
        );
    }
    // With the record everything that differs is in doubt, and new groups are not.
    let edit = edited(
        &[(WORKERS, Some("9")), ("ONEKS_GROUP_NEW", Some("1"))],
        None,
        &spec,
    );
    assert_eq!(edit.answers.len(), 1, "{:?}", edit.answers);
    assert_eq!(counts(&edit.spec.unwrap()).len(), 2);
}

proptest! {
    /// Whatever is written, the handle shows SPEC afterwards, and says nothing more when it is looked at again.
    #[test]
    fn after_an_edit_the_handle_shows_spec_and_that_is_no_edit(
        written in prop::collection::btree_map(
            prop_oneof![
                Just(WORKERS.to_owned()), Just(VERSION.to_owned()), Just(PROTECTION.to_owned()),
                Just(ACTION.to_owned()), "ONEKS_GROUP_[A-Z_]{0,4}",
            ],
            prop_oneof![
                "[0-9]{1,3}", "[0-9] (small|large)", Just("delete".to_owned()), Just("v1.34.2".to_owned()),
                Just("YES".to_owned()), Just("recover".to_owned()), "\\PC{0,12}",
            ],
            0..5),
        known in any::<bool>(),
        elsewhere in 0..4u32,
    ) {
        let (base, status) = cluster();
        let catalog = catalog();
        let mut spec = base.clone();
        spec.node_groups[0].user_inputs_values.insert("count".into(), json!(elsewhere));
        let check = |spec: &Spec| refusals(&catalog, &status, spec);
        let record = known.then(|| wishes(&base, &status));
        let mut now = attributes(&[(VERSION, "v1.33.7"), (WORKERS, "2 small")]);
        now.extend(written);
        let edit = edit(&now, record.as_ref(), &spec, &status, &catalog, &check);
        let wanted = edit.spec.unwrap_or_else(|| spec.clone());
        // What is taken is good.
        prop_assert_eq!(check(&wanted), vec![]);
        let shown = Shown { vm: 42, proof: "p", turn: 0, answer: None };
        let picture = picture(Some(&wanted), &status, &shown, &now);
        for (name, value) in changes(&picture, &now) {
            match value {
                Some(value) => drop(now.insert(name, value)),
                None => drop(now.remove(&name)),
            }
        }
        prop_assert_eq!(changes(&picture, &now), super::super::Picture::new());
        let record = Record::of(&now);
        prop_assert!(record.is_some());
        let again = super::edit(&now, record.as_ref(), &wanted, &status, &catalog, &check);
        prop_assert_eq!(again, Edit::default());
    }
}
