//! `oneks setup`: exactly the hooks of the table, whatever was there before.

use super::Cloud;

fn hooks(cloud: &Cloud) -> Vec<(String, String)> {
    let client = opennebula::Client::new(
        cloud.life.sandbox.clone(),
        opennebula::Session::parse("oneadmin:opennebula").unwrap(),
    );
    let mut hooks: Vec<_> = client
        .hookpool_info()
        .unwrap()
        .into_iter()
        .map(|h| (h.name, h.template.get("COMMAND").unwrap_or_default().to_owned()))
        .collect();
    hooks.sort();
    hooks
}

#[test]
fn hooks_are_registered_corrected_and_removed() {
    let cloud = Cloud::new();
    cloud.run("oneadmin", "setup --remove").good();
    assert_eq!(hooks(&cloud), []);
    let said = cloud.run("oneadmin", "setup").good();
    assert!(said.contains("created  oneks-document-update"), "{said}");
    let there = hooks(&cloud);
    assert!(there.iter().any(|(name, _)| name == "oneks-vm-state-running"));
    let folder = cloud.prefix.root().join("lib/oneks/hooks").display().to_string();
    for (name, command) in &there {
        assert!(
            name.starts_with("oneks-") && command.starts_with(&folder),
            "{name} {command}"
        );
    }
    let again = cloud.run("oneadmin", "setup").good();
    assert_eq!(again, format!("all {} hooks are registered\n", there.len()));

    cloud.life.ask(
        "oneadmin:opennebula",
        "one.hook.allocate",
        &["NAME=\"mine\"\nTYPE=\"api\"\nCALL=\"one.vm.update\"\nCOMMAND=\"/bin/true\"".into()],
    );
    let dry = cloud.run("oneadmin", "setup --remove --dry-run").good();
    assert!(dry.lines().all(|l| l.starts_with("would be removed")), "{dry}");
    assert_eq!(hooks(&cloud).len(), there.len() + 1);
    cloud.run("oneadmin", "setup --remove").good();
    assert_eq!(hooks(&cloud), [("mine".to_owned(), "/bin/true".to_owned())]);
    assert_eq!(
        cloud.run("oneadmin", "setup --remove").good(),
        "no hooks of OneKS are registered\n"
    );
}

#[test]
fn only_what_can_be_started_by_whom_it_may_concern_is_registered() {
    let cloud = Cloud::new();
    let before = hooks(&cloud);
    let told = cloud.alice("setup --remove").failed(7);
    assert!(told.contains("oneadmin"), "{told}");
    let told = cloud.run("oneadmin", "setup --hooks-dir /nonexistent").failed(1);
    assert!(
        told.contains("/nonexistent/document") && told.contains("--hooks-dir"),
        "{told}"
    );
    assert_eq!(hooks(&cloud), before);
}
