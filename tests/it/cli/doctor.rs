//! `oneks doctor`, on a front-end and elsewhere.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use super::Cloud;

/// Verdict and words of each check; several findings of one check are joined.
fn examined(cloud: &Cloud, user: &str, arguments: &str, code: i32) -> BTreeMap<String, (String, String)> {
    let answer = cloud.run(user, &format!("doctor --json {arguments}"));
    assert_eq!(answer.code, code, "{}\n{}", answer.out, answer.err);
    let findings: Vec<Value> = serde_json::from_str(&answer.out).unwrap();
    let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        assert!(!text("why").is_empty());
        assert!(
            !matches!(text("verdict").as_str(), "failed" | "warning") || finding["mend"].is_string(),
            "{finding}"
        );
        let (verdict, found) = all.entry(text("check")).or_default();
        *verdict = text("verdict");
        found.push_str(&text("found"));
    }
    all
}

/// A front-end as it should be, as far as a test can have one.
fn healthy() -> Cloud {
    let cloud = Cloud::new();
    let root = cloud.prefix.root();
    let write = |path: &str, text: &str| -> PathBuf {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    for name in ["one_auth", "oneks_auth"] {
        let path = root.join("var/.one").join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    write(
        "var/remotes/etc/vnm/OpenNebulaNetwork.conf",
        ":tproxy:\n- :service_port: 5030\n  :remote_addr: 10.0.0.1\n  :remote_port: 5030\n\
         - :service_port: 2633\n  :remote_addr: 10.0.0.1\n  :remote_port: 2633\n",
    );
    write(
        "var/oneks/locks/last-sweep",
        &cloud.life.sandbox.now().to_string(),
    );
    cloud.run("oneadmin", "setup").good();
    cloud
}

#[test]
fn what_is_well_and_what_is_not_is_told() {
    let cloud = healthy();
    // There is neither OneGate nor hook manager where tests run.
    let found = examined(&cloud, "oneadmin", "", 4);
    for good in [
        "version",
        "front-end",
        "configuration",
        "server credential",
        "files",
        "drivers",
        "profiles",
        "hooks",
        "hook results",
        "hook log",
        "sweep",
        "tproxy",
        "images",
    ] {
        assert_eq!(found[good].0, "ok", "{good}: {found:?}");
    }
    assert_eq!(found["OneGate"].0, "failed", "{found:?}");
    let text = cloud.run("oneadmin", "doctor");
    assert_eq!(text.code, 4);
    assert!(
        text.out.contains("systemctl enable --now opennebula-gate"),
        "{}",
        text.out
    );

    let root = cloud.prefix.root();
    let auth = root.join("var/.one/oneks_auth");
    std::fs::set_permissions(&auth, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::remove_file(root.join("lib/oneks/hooks/vrouter")).unwrap();
    std::fs::write(root.join("etc/oneks.conf"), "log_level: loud\n").unwrap();
    std::fs::remove_file(root.join("var/remotes/etc/vnm/OpenNebulaNetwork.conf")).unwrap();
    let id = cloud.life.sandbox.now() - 3600;
    std::fs::write(root.join("var/oneks/locks/last-sweep"), id.to_string()).unwrap();
    cloud.run("oneadmin", "setup --remove").good();
    let found = examined(&cloud, "oneadmin", "", 4);
    for (check, words) in [
        ("server credential", "can be read by others"),
        ("files", "vrouter is missing"),
        ("configuration", "oneks.conf:1"),
        ("hooks", "34 are missing"),
        ("sweep", "3600 s ago"),
    ] {
        let (verdict, said) = &found[check];
        assert_eq!(verdict, "failed", "{check}: {found:?}");
        assert!(said.contains(words), "{check}: {said}");
    }
    assert_eq!(found["tproxy"].0, "unknown");
}

#[test]
fn who_may_not_look_is_told_so() {
    let cloud = healthy();
    let found = examined(&cloud, "alice", "", 4);
    for check in ["hooks", "hook results", "rights"] {
        assert_eq!(found[check].0, "unknown", "{found:?}");
        assert!(found[check].1.contains("needs oneadmin"), "{found:?}");
    }
    assert_eq!(found["version"].0, "ok");
}

#[test]
fn rights_are_those_of_whom_they_are_asked_for() {
    let cloud = healthy();
    let rights = |arguments: &str| examined(&cloud, "oneadmin", arguments, 4)["rights"].clone();
    assert_eq!(rights("--for-user alice").0, "ok");
    assert_eq!(rights("--for-group users").0, "ok");
    cloud
        .life
        .ask("oneadmin:opennebula", "one.group.allocate", &["newcomers".into()]);
    let (verdict, found) = rights("--for-group newcomers");
    assert_eq!(verdict, "failed");
    assert_eq!(
        found,
        "group newcomers may not create DOCUMENT, VM, TEMPLATE, VROUTER"
    );
    let told = cloud.run("oneadmin", "doctor --for-user nobody").failed(3);
    assert!(told.contains("nobody"), "{told}");
}

#[test]
fn without_oned_the_files_are_still_looked_at() {
    let cloud = healthy();
    let found = examined(&cloud, "oneadmin", "--endpoint http://127.0.0.1:1/RPC2", 4);
    assert_eq!(found["version"].0, "failed");
    assert!(found["version"].1.contains("can't reach OpenNebula"), "{found:?}");
    assert_eq!(found["files"].0, "ok");
    for check in ["hooks", "OneGate", "images", "rights"] {
        assert_eq!(found[check].0, "unknown", "{found:?}");
    }
}
