//! Sessions, tokens, groups and access rules.

use oneks_sandbox::ObjectKind;
use opennebula::{ServerCredential, xmlrpc::Value};

use crate::support::{ADMIN, ALICE, MALLORY, ask, cloud, code, element, id, new_vm, number, refused, text};

#[test]
fn sessions_are_passwords_tokens_or_delegations() {
    let cloud = cloud();
    let allowed = |session: &str| cloud.ask(session, "one.user.info", &[Value::from(-1)]).is_ok();
    assert!(allowed(ALICE));
    for session in [
        "alice:wrong",
        "nobody:alicepw",
        "alice",
        "",
        ":",
        "serveradmin:server-secret",
    ] {
        let (code, message) = refused(&cloud, session, "one.user.info", &[Value::from(-1)]);
        assert_eq!(code, 256, "{session}");
        assert_eq!(
            message,
            "[one.user.info] User couldn't be authenticated, aborting call."
        );
    }
    let login = |seconds: i64, token: &str| {
        let params = ["alice".into(), token.into(), seconds.into(), Value::from(-1)];
        text(&cloud, ALICE, "one.user.login", &params)
    };
    let token = login(60, "");
    assert!(allowed(&format!("alice:{token}")));
    assert!(!allowed(&format!("mallory:{token}")));
    // The caller may choose the text.
    assert_eq!(login(60, "chosen"), "chosen");
    assert_eq!(cloud.tokens("alice").len(), 2);
    cloud.advance(61);
    assert!(!allowed(&format!("alice:{token}")) && !allowed("alice:chosen"));
    assert!(cloud.tokens("alice").is_empty());
    let token = login(-1, "");
    cloud.advance(1_000_000);
    assert!(allowed(&format!("alice:{token}")));
    login(0, &token);
    assert!(!allowed(&format!("alice:{token}")));
    let params = ["alice".into(), "".into(), 60.into(), Value::from(-1)];
    assert_eq!(code(&cloud, MALLORY, "one.user.login", &params), 512);
}

#[test]
fn a_server_speaks_for_users_until_its_token_ends() {
    let cloud = cloud();
    let credential = ServerCredential::parse("serveradmin:server-secret").unwrap();
    let session = credential.session_for("alice", None, cloud.now() + 60);
    let a = id(
        &cloud,
        session.expose(),
        "one.document.allocate",
        &["NAME=\"a\"".into(), 120.into()],
    );
    assert_eq!(cloud.documents()[0].meta.uname, "alice");
    ask(&cloud, ALICE, "one.document.delete", &[number(a)]);
    cloud.advance(60);
    assert_eq!(
        code(&cloud, session.expose(), "one.user.info", &[Value::from(-1)]),
        256
    );
    let forged = ServerCredential::parse("serveradmin:other-secret").unwrap();
    let session = forged.session_for("alice", None, cloud.now() + 60);
    assert_eq!(
        code(&cloud, session.expose(), "one.user.info", &[Value::from(-1)]),
        256
    );
}

#[test]
fn a_token_for_one_group_is_that_group_s() {
    let cloud = cloud();
    let group = cloud.add_group("tenants");
    ask(&cloud, ADMIN, "one.user.addgroup", &[2.into(), number(group)]);
    let params = ["alice".into(), "".into(), 600.into(), number(group)];
    let session = format!("alice:{}", text(&cloud, ALICE, "one.user.login", &params));
    cloud.add_acl(&format!("@{group} DOCUMENT/* CREATE *")).unwrap();
    let template = ["NAME=\"a\"".into(), 120.into()];
    id(&cloud, &session, "one.document.allocate", &template);
    assert_eq!(cloud.documents()[0].meta.gname, "tenants");
    // The group has no right to make a VM.
    let vm = ["NAME=\"vm\"\nCPU=1\nMEMORY=1".into()];
    assert_eq!(code(&cloud, &session, "one.vm.allocate", &vm), 512);
    id(&cloud, ALICE, "one.vm.allocate", &vm);
    let other = ["alice".into(), "".into(), 600.into(), 0.into()];
    assert_eq!(code(&cloud, ALICE, "one.user.login", &other), 4096);
}

#[test]
fn others_see_nothing_and_may_do_nothing() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "");
    for (method, params) in [
        ("one.vm.info", vec![number(vm)]),
        ("one.vm.update", vec![number(vm), "X=1".into(), 1.into()]),
        ("one.vm.action", vec!["terminate".into(), number(vm)]),
        (
            "one.vm.chmod",
            std::iter::once(number(vm))
                .chain([1; 9].map(Value::from))
                .collect(),
        ),
        (
            "one.vm.updateconf",
            vec![number(vm), "CONTEXT=[A=1]".into(), 1.into()],
        ),
        ("one.vm.recover", vec![number(vm), 3.into()]),
        ("one.vm.deploy", vec![number(vm), 0.into()]),
    ] {
        let (code, message) = refused(&cloud, MALLORY, method, &params);
        assert_eq!(code, 512, "{method}");
        assert!(
            message.starts_with(&format!("[{method}] User [3] : Not authorized to perform")),
            "{message}"
        );
    }
    let pool = |session: &str, filter: i64| {
        let params = [filter, -1, -1, -1].map(Value::from);
        text(&cloud, session, "one.vmpool.info", &params)
            .matches("<VM>")
            .count()
    };
    assert_eq!([pool(ALICE, -2), pool(ALICE, -3), pool(MALLORY, -2)], [1, 1, 0]);
    assert_eq!([pool(ADMIN, -2), pool(ADMIN, -3), pool(ADMIN, 2)], [1, 0, 1]);
    let set = |session: &str| {
        let params = [format!("{vm},77").into(), true.into()];
        text(&cloud, session, "one.vmpool.infoset", &params)
            .matches("<VM>")
            .count()
    };
    assert_eq!([set(ALICE), set(MALLORY)], [1, 0]);
}

#[test]
fn rules_give_rights_and_their_end_takes_them() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "");
    let rule = cloud.add_acl(&format!("#3 VM/#{vm} USE+MANAGE *")).unwrap();
    ask(
        &cloud,
        MALLORY,
        "one.vm.update",
        &[number(vm), "X=1".into(), 1.into()],
    );
    assert!(cloud.remove_acl(rule));
    assert_eq!(code(&cloud, MALLORY, "one.vm.info", &[number(vm)]), 512);
    assert!(!cloud.remove_acl(rule));
    // Without the right to create routers there are none.
    let rules = text(&cloud, ADMIN, "one.acl.info", &[]);
    assert!(
        rules.contains("<STRING><![CDATA[@1 VROUTER/* CREATE #0]]></STRING>") || rules.contains("VROUTER/*"),
        "{rules}"
    );
}

#[test]
fn ordinary_users_may_not_set_what_is_restricted() {
    let cloud = cloud();
    let vm = |more: &str| {
        let template = format!("NAME=\"a\"\nCPU=1\nMEMORY=1\n{more}");
        cloud
            .ask(ALICE, "one.vm.allocate", &[template.into()])
            .map_err(|error| error.code)
    };
    for refused in [
        "RAW=[TYPE=\"kvm\",DATA=\"<x/>\"]",
        "CONTEXT=[FILES=\"/etc/passwd\"]",
        "NIC=[NETWORK_ID=1,MAC=\"02:00:00:00:00:01\"]",
        "DISK=[IMAGE_ID=0,TOTAL_BYTES_SEC=\"1\"]",
        "EMULATOR=\"/bin/sh\"",
    ] {
        assert_eq!(vm(refused), Err(512), "{refused}");
    }
    assert!(vm("NIC=[NETWORK_ID=1]\nCONTEXT=[A=\"1\"]").is_ok());
    let template = "NAME=\"a\"\nCPU=1\nMEMORY=1\nRAW=[TYPE=\"kvm\",DATA=\"x\"]";
    id(&cloud, ADMIN, "one.vm.allocate", &[template.into()]);
    let a = new_vm(&cloud, "b", "");
    assert_eq!(
        code(
            &cloud,
            ALICE,
            "one.vm.update",
            &[number(a), "EMULATOR=\"/bin/sh\"".into(), 1.into()]
        ),
        8192
    );
}

#[test]
fn an_owner_gives_a_vm_away_only_as_an_administrator() {
    let cloud = cloud();
    let vm = new_vm(&cloud, "a", "NIC=[NETWORK_ID=1]");
    assert_eq!(
        code(
            &cloud,
            ALICE,
            "one.vm.chown",
            &[number(vm), 3.into(), Value::from(-1)]
        ),
        512
    );
    ask(
        &cloud,
        ADMIN,
        "one.vm.chown",
        &[number(vm), 3.into(), Value::from(-1)],
    );
    let meta = cloud.vm(vm).unwrap().meta;
    assert_eq!((meta.uid, meta.uname.as_str(), meta.gid), (3, "mallory", 1));
    assert_eq!(code(&cloud, ALICE, "one.vm.info", &[number(vm)]), 512);
    let user = text(&cloud, MALLORY, "one.user.info", &[Value::from(-1)]);
    assert_eq!(element(&user, "VMS_USED").as_deref(), Some("1"));
}

#[test]
fn missing_objects_are_named() {
    let cloud = cloud();
    let (code, message) = refused(&cloud, ALICE, "one.vm.info", &[77.into()]);
    assert_eq!(
        (code, message.as_str()),
        (1024, "[one.vm.info] Error getting virtual machine [77].")
    );
    cloud.skip_ids(ObjectKind::Vm, 77);
    assert_eq!(new_vm(&cloud, "a", ""), 77);
}
