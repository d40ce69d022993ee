use opennebula::objects::ImageState;

use super::*;
use crate::verdict::Verdict::{self, Failed, Ok as Good, Unknown, Warning};

#[allow(clippy::unnecessary_wraps)] // a fact that is known
fn config(text: &str) -> Fact<Template> {
    Ok(Template::parse(text).unwrap())
}

fn hidden<T>() -> Fact<T> {
    Err("needs oneadmin: OpenNebula shows it to administrators only".to_owned())
}

#[allow(clippy::unnecessary_wraps)] // a fact that is known
fn raft(state: RaftState) -> Fact<RaftStatus> {
    Ok(RaftStatus {
        server_id: (state != RaftState::Solo).then_some(1),
        state,
        term: 3,
    })
}

fn run(hook_id: u32, time: u64, code: i32) -> HookExecution {
    HookExecution {
        hook_id,
        execution_id: 4,
        time,
        code,
    }
}

/// Each finding has the verdict, says the words, and offers a way out where it is bad.
fn check(cases: Vec<(Finding, Verdict, &str)>) {
    for (finding, verdict, words) in cases {
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(
            finding.found.contains(words),
            "{finding:?} does not say {words:?}"
        );
        assert!(!finding.why.is_empty());
        if verdict > Unknown {
            assert!(finding.mend.is_some(), "{finding:?} has no way out");
        }
    }
}

#[test]
fn what_opennebula_says_is_judged() {
    let none = config("");
    let solo = raft(RaftState::Solo);
    check(vec![
        (version(&Ok("7.2.0".into())), Good, "7.2.0"),
        (version(&Ok("10.0".into())), Good, "10.0"),
        (version(&Ok("7.1.9".into())), Failed, "7.2 or later"),
        (version(&Ok("6.10.4".into())), Failed, "6.10.4"),
        (version(&Ok("nonsense".into())), Failed, "nonsense"),
        (version(&Err("no answer".into())), Failed, "no answer"),
        (role(&solo, &none), Good, "the only one"),
        (role(&raft(RaftState::Leader), &none), Warning, "RAFT_LEADER_HOOK"),
        (
            role(
                &raft(RaftState::Follower),
                &config("RAFT_LEADER_HOOK=[COMMAND=\"x\"]"),
            ),
            Good,
            "follower",
        ),
        (role(&raft(RaftState::Follower), &hidden()), Good, "follower"),
        (role(&raft(RaftState::Candidate), &none), Warning, "election"),
        (role(&raft(RaftState::Other(9)), &none), Unknown, "9"),
        (role(&hidden(), &none), Unknown, "oneadmin"),
        (hook_log(&none), Good, "10 records"),
        (
            hook_log(&config("HOOK_LOG_CONF=[LOG_RETENTION=\"20\"]")),
            Good,
            "20 records",
        ),
        (
            hook_log(&config("HOOK_LOG_CONF=[LOG_RETENTION=\"1\"]")),
            Warning,
            "too few",
        ),
        (
            hook_log(&config("HOOK_LOG_CONF=[LOG_RETENTION=\"5000\"]")),
            Warning,
            "grow",
        ),
        (hook_log(&hidden()), Unknown, "oneadmin"),
        (
            onegate(&none, &Ok("answers".into())),
            Failed,
            "no ONEGATE_ENDPOINT",
        ),
        (
            onegate(&config("ONEGATE_ENDPOINT=\"\""), &Ok("answers".into())),
            Failed,
            "no ONEGATE",
        ),
        (
            onegate(
                &config("ONEGATE_ENDPOINT=\"http://a:5030\""),
                &Ok("answers".into()),
            ),
            Good,
            "http://a:5030, answers",
        ),
        (
            onegate(
                &config("ONEGATE_ENDPOINT=\"http://a:5030\""),
                &Err("refused".into()),
            ),
            Failed,
            "refused",
        ),
        (onegate(&hidden(), &hidden()), Unknown, "oneadmin"),
        (kubeconfig(&none), Good, "clear text"),
        (
            kubeconfig(&config(
                "DOCUMENT_ENCRYPTED_ATTR=\"A\"\nDOCUMENT_ENCRYPTED_ATTR=\"KUBECONFIG\"",
            )),
            Good,
            "encrypted",
        ),
        (kubeconfig(&hidden()), Unknown, "oneadmin"),
        // What OpenNebula ships names an attribute outside of the context, where it is not.
        (
            manifest(&config("VM_ENCRYPTED_ATTR=\"ONEAPP_ONEKS_CLUSTER_SPEC\"")),
            Warning,
            "not encrypted",
        ),
        (
            manifest(&config("VM_ENCRYPTED_ATTR=\"CONTEXT/ONEAPP_ONEKS_CLUSTER_SPEC\"")),
            Good,
            "encrypted",
        ),
        (manifest(&hidden()), Unknown, "oneadmin"),
    ]);
}

#[test]
fn hooks_and_who_runs_them() {
    let table = oneks::registration::table().unwrap();
    let folder = Path::new("/usr/lib/one/oneks/hooks");
    let wrong = vec![
        Change::Create(table[0].clone()),
        Change::Create(table[1].clone()),
        Change::Update(7, table[2].clone(), vec!["COMMAND".into()]),
        Change::Delete(8, "oneks-old".into()),
    ];
    let old = Ok(vec![run(1, 1000, 0), run(2, 99_000, 0)]);
    let recent = Ok(vec![run(1, 99_900, 0)]);
    check(vec![
        (hooks(&Ok((33, vec![])), folder), Good, "all 33 registered"),
        (
            hooks(&Ok((33, wrong)), folder),
            Failed,
            "2 are missing, oneks-document-allocate among them; oneks-",
        ),
        (hooks(&hidden(), folder), Unknown, "oneadmin"),
        (hook_manager(&Ok(true), &hidden(), 100_000), Good, "runs here"),
        (hook_manager(&Ok(false), &recent, 100_000), Good, "100 s ago"),
        (hook_manager(&hidden(), &recent, 100_000), Good, "100 s ago"),
        (
            hook_manager(&Ok(false), &old, 100_000),
            Failed,
            "no process onehem-server",
        ),
        (hook_manager(&Ok(false), &hidden(), 100_000), Failed, "no process"),
        (hook_manager(&hidden(), &old, 100_000), Unknown, "oneadmin"),
        (hook_failures(&Ok(vec![])), Good, "none failed"),
        (
            hook_failures(&Ok(vec![
                ("oneks-a".into(), run(1, 10, 1)),
                ("oneks-b".into(), run(2, 20, 255)),
            ])),
            Warning,
            "2 failed in the last hour, last oneks-b with code 255",
        ),
        (hook_failures(&hidden()), Unknown, "oneadmin"),
    ]);
    let last = hook_failures(&Ok(vec![("oneks-b".into(), run(2, 20, 255))]));
    assert_eq!(last.mend.as_deref(), Some("onehook show 2 -e 4"));
}

fn catalog() -> oneks_core::profile::Catalog {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/profiles");
    oneks::catalog::load(&[folder]).0
}

fn image(id: u32, datastore: u32, attribute: &str, state: ImageState) -> Image {
    let xml = "<IMAGE><ID>0</ID><UID>0</UID><GID>0</GID><NAME>i</NAME><TYPE>0</TYPE><STATE>1</STATE></IMAGE>";
    let mut image = Image::from_xml(xml).unwrap();
    image.id = id;
    image.state = state;
    image.datastore_id = Some(datastore);
    image.template.set("ONEKS_IMAGE", attribute);
    image
}

fn datastore(id: u32) -> Datastore {
    let xml = format!(
        "<DATASTORE><ID>{id}</ID><UID>0</UID><GID>0</GID><NAME>ds{id}</NAME><TYPE>0</TYPE></DATASTORE>"
    );
    Datastore::from_xml(&xml).unwrap()
}

#[test]
fn images_are_judged_per_datastore() {
    let all = |datastore: u32| -> Vec<Image> {
        let kinds = ["seed", "node", "router"];
        (0..)
            .zip(kinds)
            .map(|(id, kind)| image(datastore * 10 + id, datastore, kind, ImageState::Ready))
            .collect()
    };
    let judge = |images: Vec<Image>| -> Vec<(Verdict, String)> {
        let facts = ImageFacts {
            catalog: catalog(),
            datastores: vec![datastore(1), datastore(100)],
            images,
        };
        let findings = super::images(&Ok(facts));
        findings.into_iter().map(|f| (f.verdict, f.found)).collect()
    };
    let text = |verdict, found: &str| (verdict, found.to_owned());
    // The other datastore is not meant for clusters.
    assert_eq!(judge(all(1)), [text(Good, "datastore 1 (ds1) has all")]);
    assert_eq!(
        judge(vec![]),
        [
            text(Failed, "datastore 1 (ds1) lacks node, router, seed"),
            text(Failed, "datastore 100 (ds100) lacks node, router, seed"),
        ]
    );
    let mut some = all(1);
    some.push(image(50, 100, "node", ImageState::Ready));
    some.push(image(51, 100, "seed", ImageState::Locked));
    assert_eq!(
        judge(some),
        [
            text(Good, "datastore 1 (ds1) has all"),
            text(
                Failed,
                "datastore 100 (ds100) lacks router, seed (image 51 is not ready)"
            ),
        ]
    );
    assert_eq!(super::images(&hidden())[0].verdict, Unknown);
}

#[test]
fn rights_are_judged_for_whom_they_are_asked() {
    // What OpenNebula grants to the group users at its first start: everything but routers.
    let rule = |resource: u64| Acl {
        id: 0,
        user: 0x2_0000_0001,
        resource,
        rights: 8,
        zone: 0x4_0000_0000,
        text: String::new(),
    };
    let vms = rule(0x4294_0000_0000 | 0x10_0000_0000);
    let routers = rule(0x4_0004_0000_0000);
    let subject = |group: u32| Subject {
        name: "group g".to_owned(),
        user: None,
        groups: vec![group],
        rule: format!("@{group}"),
    };
    let judge = |rules: Vec<Acl>, group: u32, asked: bool| {
        let facts = RightFacts {
            rules,
            subjects: vec![subject(group)],
            asked,
        };
        super::rights(&Ok(facts)).remove(0)
    };
    let finding = judge(vec![vms.clone()], 1, true);
    assert_eq!(
        (finding.verdict, finding.found.as_str(), finding.mend.as_deref()),
        (
            Failed,
            "group g may not create VROUTER",
            Some("oneacl create \"@1 VROUTER/* CREATE *\"")
        )
    );
    assert_eq!(judge(vec![vms.clone()], 1, false).verdict, Warning);
    assert_eq!(judge(vec![vms.clone(), routers.clone()], 1, true).verdict, Good);
    assert_eq!(judge(vec![vms, routers], 7, true).verdict, Failed);
    assert_eq!(judge(vec![], 0, true).verdict, Good, "administrators");
    assert_eq!(super::rights(&hidden())[0].verdict, Unknown);
}
