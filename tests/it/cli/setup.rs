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
fn without_oned_setup_says_so_and_where_it_looked() {
    let cloud = Cloud::new();
    let told = cloud
        .run("oneadmin", "setup --endpoint http://127.0.0.1:1/RPC2")
        .failed(1);
    assert!(
        told.contains("http://127.0.0.1:1/RPC2") && told.contains("is oned running?"),
        "{told}"
    );
}

#[test]
fn a_follower_leaves_the_hooks_of_all_front_ends_alone() {
    let cloud = Cloud::new();
    let before = hooks(&cloud);
    cloud.life.sandbox.faults(|f| f.follower = true);
    let said = cloud.run("oneadmin", "setup --remove --only-leader").good();
    assert!(said.contains("not the leader"), "{said}");
    assert_eq!(hooks(&cloud), before);
    cloud.life.sandbox.faults(|f| f.follower = false);
    cloud.run("oneadmin", "setup --remove --only-leader").good();
    assert_eq!(hooks(&cloud), []);
}

#[test]
fn clusters_live_on_without_us_and_a_new_installation_takes_them_over() {
    let (mut cloud, id) = Cloud::with_web();
    cloud.run("oneadmin", "setup --remove").good();
    std::fs::remove_dir_all(cloud.life.service.gate.dir()).unwrap();
    cloud.life.sweeping = false;
    let vms = |cloud: &Cloud| -> Vec<u32> {
        let all = cloud.life.sandbox.live_vms();
        all.iter().map(|vm| vm.meta.id).collect()
    };
    let before = vms(&cloud);
    cloud.life.pass_time(3 * 24 * 3600);
    assert_eq!((cloud.life.state(id).as_str(), vms(&cloud)), ("RUNNING", before));
    // What happens meanwhile is not lost either: a user orders, a node goes.
    cloud.alice("scale nodegroup web/workers --target 3").good();
    let gone = *vms(&cloud).last().unwrap();
    let action = ["terminate-hard".into(), gone.into()];
    cloud.life.ask("alice:alicepw", "one.vm.action", &action);
    cloud.life.pass_time(3600);
    assert_eq!(cloud.life.state(id), "RUNNING", "nobody looked");

    cloud.run("oneadmin", "setup").good();
    cloud.life.sweeping = true;
    cloud
        .life
        .until("the new installation has done what was ordered", 1800, |life| {
            let status = life.status(id);
            life.state(id) == "RUNNING" && status.node_groups.iter().all(|g| g.vms.len() == 3)
        });
    cloud.alice("delete cluster web").good();
    cloud.life.until_state(id, "GONE", 1800);
    assert_eq!(cloud.life.left_over(), Vec::<String>::new());
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
