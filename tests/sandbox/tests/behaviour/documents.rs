//! Documents: updates, rights, locks, names.

use opennebula::xmlrpc::Value;
use proptest::prelude::*;

use crate::support::{ADMIN, ALICE, MALLORY, ask, cloud, code, element, id, number, refused, text};

fn document(cloud: &oneks_sandbox::Sandbox, body: &str) -> u32 {
    id(cloud, ALICE, "one.document.allocate", &[body.into(), 120.into()])
}

fn update(cloud: &oneks_sandbox::Sandbox, document: u32, body: &str, append: i64) {
    ask(
        cloud,
        ALICE,
        "one.document.update",
        &[number(document), body.into(), append.into()],
    );
}

#[test]
fn an_update_replaces_or_merges() {
    let cloud = cloud();
    let a = document(&cloud, "NAME=\"a\"\nX=\"1\"\nY=\"2\"\nY=\"3\"");
    let values = |key: &str| {
        let documents = cloud.documents();
        let found = documents.iter().find(|document| document.meta.id == a).unwrap();
        found.template.get_all(key).map(str::to_owned).collect::<Vec<_>>()
    };
    update(&cloud, a, "Y=\"4\"\nZ=\"5\"", 1);
    assert_eq!(
        (values("X"), values("Y"), values("Z")),
        (vec!["1".into()], vec!["4".into()], vec!["5".into()])
    );
    // A name in an update renames nothing.
    update(&cloud, a, "NAME=\"b\"\nX=\"6\"", 0);
    assert_eq!((values("X"), values("Y")), (vec!["6".into()], vec![]));
    assert_eq!(cloud.documents()[0].meta.name, "a");
    ask(&cloud, ALICE, "one.document.rename", &[number(a), "c".into()]);
    assert_eq!(cloud.documents()[0].meta.name, "c");
    let (code, _) = refused(
        &cloud,
        ALICE,
        "one.document.update",
        &[number(a), "X=\"7\"".into(), 2.into()],
    );
    assert_eq!(code, 4096);
}

#[test]
fn what_cannot_be_stored_is_lost_without_a_word() {
    let cloud = cloud();
    let a = document(&cloud, "NAME=\"a\"\nX=\"old\"");
    let stored = || cloud.documents()[0].template.get("X").map(str::to_owned);
    update(&cloud, a, "<T><X>a]]&gt;b</X></T>", 0);
    assert_eq!(stored().as_deref(), Some("old"));
    update(&cloud, a, &format!("X=\"{}\"", "x".repeat(10_000_001)), 0);
    assert_eq!(stored().as_deref(), Some("old"));
    update(
        &cloud,
        a,
        "<T><X>  new \n</X><EMPTY></EMPTY><SPACED> <![CDATA[x]]></SPACED></T>",
        0,
    );
    let document = &cloud.documents()[0];
    assert_eq!(stored().as_deref(), Some("new"));
    assert_eq!(document.template.len(), 1, "{:?}", document.template);
    // At birth it is an error.
    let body = "<T><NAME>b</NAME><X>a]]&gt;b</X></T>";
    assert_eq!(
        code(&cloud, ALICE, "one.document.allocate", &[body.into(), 120.into()]),
        8192
    );
}

#[test]
fn only_the_owner_and_administrators_see_a_document() {
    let cloud = cloud();
    let a = document(&cloud, "NAME=\"a\"");
    for (method, params) in [
        ("one.document.info", vec![]),
        ("one.document.update", vec![Value::from("X=1"), 1.into()]),
        ("one.document.delete", vec![]),
        ("one.document.clone", vec!["copy".into()]),
        ("one.document.rename", vec!["mine".into()]),
        ("one.document.chown", vec![3.into(), Value::from(-1)]),
        ("one.document.lock", vec![3.into(), true.into()]),
        ("one.document.unlock", vec![]),
    ] {
        let params: Vec<Value> = std::iter::once(number(a)).chain(params).collect();
        assert_eq!(code(&cloud, MALLORY, method, &params), 512, "{method}");
    }
    let pool = |session: &str, kind: i64| {
        let params = [-2, -1, -1, kind].map(Value::from);
        text(&cloud, session, "one.documentpool.info", &params)
    };
    assert!(pool(ALICE, 120).contains("<DOCUMENT>"));
    assert!(
        !pool(ALICE, 121).contains("<DOCUMENT>"),
        "of that kind there is none"
    );
    assert!(!pool(MALLORY, 120).contains("<DOCUMENT>"));
    assert!(pool(ADMIN, 120).contains("<DOCUMENT>"));
    // The group may use it, if the owner says so.
    let bits: Vec<Value> = std::iter::once(number(a))
        .chain([-1, -1, -1, 1, -1, -1, -1, -1, -1].map(Value::from))
        .collect();
    ask(&cloud, ALICE, "one.document.chmod", &bits);
    assert!(pool(MALLORY, 120).contains("<DOCUMENT>"));
    assert_eq!(code(&cloud, MALLORY, "one.document.delete", &[number(a)]), 512);
    ask(
        &cloud,
        ADMIN,
        "one.document.chown",
        &[number(a), 3.into(), Value::from(-1)],
    );
    ask(&cloud, MALLORY, "one.document.delete", &[number(a)]);
    assert_eq!(code(&cloud, ADMIN, "one.document.info", &[number(a)]), 1024);
}

#[test]
fn locks_stop_what_their_level_says() {
    // Level, and whether info, update and chown are stopped.
    for (level, stopped) in [
        (1, [false, true, true]),
        (2, [false, true, true]),
        (3, [false, false, false]),
        (4, [false, true, true]),
    ] {
        let cloud = cloud();
        let a = document(&cloud, "NAME=\"a\"");
        ask(&cloud, ALICE, "one.document.lock", &[number(a), level.into()]);
        let results = [
            cloud.ask(ALICE, "one.document.info", &[number(a)]),
            cloud.ask(ALICE, "one.document.update", &[number(a), "X=1".into(), 1.into()]),
            cloud.ask(ADMIN, "one.document.chown", &[number(a), 3.into(), 1.into()]),
        ];
        for (result, stopped) in results.iter().zip(stopped) {
            assert_eq!(
                result.as_ref().err().map(|error| error.code),
                stopped.then_some(512),
                "level {level}"
            );
        }
        ask(&cloud, ADMIN, "one.document.unlock", &[number(a)]);
        ask(
            &cloud,
            ADMIN,
            "one.document.update",
            &[number(a), "X=1".into(), 1.into()],
        );
    }
}

#[test]
fn a_lock_can_be_tried() {
    let cloud = cloud();
    let a = document(&cloud, "NAME=\"a\"");
    let attempt = [number(a), 3.into(), true.into()];
    ask(&cloud, ALICE, "one.document.lock", &attempt);
    let time = cloud.now();
    cloud.advance(5);
    let (code, message) = refused(&cloud, ALICE, "one.document.lock", &attempt);
    assert_eq!((code, message), (2048, format!("[one.document.lock] {time}")));
    // An administrator takes it over, and so does the owner.
    ask(
        &cloud,
        ADMIN,
        "one.document.lock",
        &[number(a), 3.into(), false.into()],
    );
    let xml = text(&cloud, ALICE, "one.document.info", &[number(a)]);
    assert_eq!(element(&xml, "OWNER").as_deref(), Some("0"));
    ask(&cloud, ADMIN, "one.document.unlock", &[number(a)]);
    ask(&cloud, ALICE, "one.document.lock", &attempt);
}

#[test]
fn names_have_rules() {
    let cloud = cloud();
    let long = "n".repeat(129);
    for name in ["a<b", "a&b", long.as_str()] {
        let body = format!("NAME=\"{name}\"");
        let code = code(&cloud, ALICE, "one.document.allocate", &[body.into(), 120.into()]);
        assert!(matches!(code, 16384 | 8192), "{name}: {code}");
    }
    let unnamed = document(&cloud, "X=1");
    let xml = text(&cloud, ALICE, "one.document.info", &[number(unnamed)]);
    assert_eq!(element(&xml, "NAME"), Some(format!("document-{unnamed}")));
    // Two may have one name, and any kind is a kind.
    document(&cloud, "NAME=\"twin\"");
    document(&cloud, "NAME=\"twin\"");
    let a = id(
        &cloud,
        ALICE,
        "one.document.allocate",
        &["NAME=\"k\"".into(), 99_999.into()],
    );
    let copy = id(&cloud, ALICE, "one.document.clone", &[number(a), "copy".into()]);
    let xml = text(&cloud, ALICE, "one.document.info", &[number(copy)]);
    assert_eq!(element(&xml, "TYPE").as_deref(), Some("99999"));
}

proptest! {
    /// Whatever the client's writers make of a text is what comes back.
    #[test]
    fn what_clients_write_comes_back(value in "[ -~äß€\n]{0,40}") {
        let cloud = cloud();
        let mut template = opennebula::Template::new();
        template.set("NAME", "a");
        template.set("BODY", value.as_str());
        let Ok(written) = template.to_xml("TEMPLATE") else {
            return Ok(());
        };
        let a = document(&cloud, &written);
        let documents = cloud.documents();
        let stored = documents.iter().find(|document| document.meta.id == a).unwrap();
        let trimmed = value.trim();
        prop_assert_eq!(stored.template.get("BODY").unwrap_or(""), trimmed);
    }
}
