use std::fmt::Write;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // only what can't be read is of interest
struct Strict {
    count: u32,
    name: String,
}

fn read(text: &str) -> Value {
    from_str(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

#[test]
fn plain_words_mean_what_the_core_schema_says() {
    for (text, value) in [
        ("", Value::Null),
        ("# nothing\n", Value::Null),
        ("~", Value::Null),
        ("null", Value::Null),
        ("true", json!(true)),
        ("FALSE", json!(false)),
        ("yes", json!("yes")),
        ("off", json!("off")),
        ("0", json!(0)),
        ("-17", json!(-17)),
        ("+17", json!(17)),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("0x", json!("0x")),
        ("0x+1", json!("0x+1")),
        ("18446744073709551615", json!(u64::MAX)),
        ("1.5", json!(1.5)),
        ("1e3", json!(1000.0)),
        (".5", json!(0.5)),
        (".", json!(".")),
        ("1.2.3", json!("1.2.3")),
        ("1_000", json!("1_000")),
        ("inf", json!("inf")),
        ("infinity", json!("infinity")),
        ("v1.33.7", json!("v1.33.7")),
        ("'5'", json!("5")),
        ("\"true\"", json!("true")),
        ("!!str 5", json!("5")),
        ("|\n  a\n  b\n", json!("a\nb\n")),
        (">\n  a\n  b\n", json!("a b\n")),
        ("{a: 1, b: [x, {c: ~}]}", json!({"a": 1, "b": ["x", {"c": null}]})),
        ("1: one\ntrue: yes\n", json!({"1": "one", "true": "yes"})),
    ] {
        assert_eq!(read(text), value, "{text:?}");
    }
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text = "base: &b {cpu: 1, memory: 2}\nbig:\n  <<: *b\n  memory: 8\nsame: *b\n";
    let small = json!({"cpu": 1, "memory": 2});
    assert_eq!(
        read(text),
        json!({"base": small, "big": {"cpu": 1, "memory": 8}, "same": small})
    );
    let text = "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}\n";
    assert_eq!(read(text)["c"], json!({"x": 1, "y": 2, "z": 3}));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, line, reason) in [
        ("a: 1\nb: [\n", None, "no YAML"),
        ("a: 1\na: 2\n", Some(2), "duplicate mapping key: a"),
        ("a: 1\n---\nb: 1\n", Some(2), "second document"),
        ("a: *b\n", Some(1), "no YAML"),
        ("a: &a\n  - *a\n", Some(2), "not complete"),
        ("a:\n  <<: 5\n", Some(2), "needs a mapping"),
        ("? [a]\n: 1\n", Some(1), "a key must be a word"),
    ] {
        let error = from_str::<Value>(text).unwrap_err();
        assert!(error.reason().contains(reason), "{text:?}: {error}");
        assert!(line.is_none() || error.line() == line, "{text:?}: {error}");
    }
    for (text, line, reason) in [
        ("count: 1\nnome: x\n", 2, "unknown field `nome`"),
        (
            "count: many\nname: x\n",
            1,
            "invalid type: string \"many\", expected u32",
        ),
        ("name: x\ncount: -1\n", 2, "expected u32"),
        ("name: ~\ncount: 1\n", 1, "expected a string"),
        ("\n\nname: x\n", 3, "missing field `count`"),
    ] {
        let error = from_str::<Strict>(text).unwrap_err();
        assert_eq!(error.line(), Some(line), "{text:?}: {error}");
        assert!(error.reason().contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn places_are_those_of_the_values() {
    let list: Vec<At<String>> = from_str("- a\n-   b\n").unwrap();
    let places: Vec<_> = list
        .iter()
        .map(|at| (at.line, at.column, at.value.as_str()))
        .collect();
    assert_eq!(places, [(1, 2, "a"), (2, 4, "b")]);
}

/// A short text can't make much of itself.
#[test]
fn aliases_and_nesting_are_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let names = vec![format!("*a{}", i - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{i}: &a{i} [{names}]");
    }
    let error = from_str::<Value>(&bomb).unwrap_err();
    assert!(error.reason().contains("more than 100000"), "{error}");
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    let error = from_str::<Value>(&deep).unwrap_err();
    assert!(error.reason().contains("64 deep"), "{error}");
    let mut ladder = "a0: &a0 [x]\n".to_owned();
    for i in 1..100 {
        let _ = writeln!(ladder, "a{i}: &a{i} [*a{}]", i - 1);
    }
    assert!(from_str::<Value>(&ladder).is_err());
}

/// Any value, as JSON has it; YAML is a superset of that.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z0-9 :#-]{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_and_yaml_that_a_library_wrote_are_read_as_they_were(value in value()) {
        prop_assert_eq!(&read(&value.to_string()), &value);
        let written = serde_saphyr::to_string(&value).unwrap();
        prop_assert_eq!(&read(&written), &value, "{}", written);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c:#&*<>{}\\[\\],|!'\"~ 0-9\n]{0,60}") {
        let _ = from_str::<Value>(&text);
    }
}
