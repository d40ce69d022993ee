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

#[test]
fn the_templates_for_handles_are_installed_brought_up_to_date_and_removed() {
    let cloud = Cloud::new();
    let oneadmin = "oneadmin:opennebula";
    let templates = |cloud: &Cloud| -> Vec<String> {
        let all = cloud.life.sandbox.templates();
        all.iter().map(|t| t.meta.name.clone()).collect()
    };
    let quiet = cloud.run("oneadmin", "setup").good();
    assert!(!quiet.contains("template"), "{quiet}");
    let dry = cloud.run("oneadmin", "setup --handle all --dry-run").good();
    assert!(
        dry.contains("would be created  template \"Kubernetes Cluster\""),
        "{dry}"
    );
    assert!(templates(&cloud).is_empty());
    cloud.run("oneadmin", "setup --handle nobodys").failed(3);
    let said = cloud
        .run("oneadmin", "setup --handle users --handle-driver dummy")
        .good();
    assert_eq!(said.matches("created  ").count(), 3, "{said}");
    assert_eq!(
        templates(&cloud),
        ["Kubernetes Cluster", "Kubernetes Cluster (of a service)"]
    );
    let again = cloud.run("oneadmin", "setup").good();
    assert!(!again.contains("template"), "{again}");
    // Alice, of the group, can use it; nobody can change it but the administrator.
    let id = cloud.life.sandbox.templates()[0].meta.id;
    let alice = "alice:alicepw";
    let info = |session: &str| cloud.life.sandbox.ask(session, "one.template.info", &[id.into()]);
    info(alice).unwrap();
    let update = [id.into(), "A=1".into(), 1.into()];
    assert!(
        cloud
            .life
            .sandbox
            .ask(alice, "one.template.update", &update)
            .is_err()
    );
    let outsider = cloud.life.sandbox.add_group("others");
    cloud.life.sandbox.add_user("eve", "evepw", outsider);
    assert!(info("eve:evepw").is_err());
    cloud.run("oneadmin", "setup --handle all").good();
    info("eve:evepw").unwrap();
    // A copy of a user's own is not the administrator's.
    let text = "NAME=\"copy\"\nONEKS_TEMPLATE=\"VM\"\nCPU=\"1\"\nMEMORY=\"1\"";
    cloud.life.ask(alice, "one.template.allocate", &[text.into()]);
    // Profiles change.
    let root = cloud.prefix.root();
    let profiles = root.join("var/oneks/profiles");
    std::fs::remove_file(&profiles).unwrap();
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/profiles");
    let copied = std::process::Command::new("cp")
        .args(["-r", from])
        .arg(&profiles)
        .status();
    assert!(copied.unwrap().success());
    let conf = profiles.join("controlplanes/general/controlplane.conf");
    let old = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, old.replace("  - v1.32.9\n", "")).unwrap();
    let said = cloud.run("oneadmin", "setup").good();
    assert_eq!(said.matches("updated  ").count(), 2, "{said}");
    let inputs = cloud.life.sandbox.templates()[0].template.clone();
    let version = inputs
        .get_in("USER_INPUTS", "ONEAPP_KUBERNETES_CLUSTER_VERSION")
        .unwrap();
    assert!(version.contains("|v1.33.7,v1.34.2|v1.34.2"), "{version}");
    assert_eq!(inputs.get("ONEKS_DRIVER"), Some("dummy"), "the driver stays");
    // Somebody changed it by hand.
    cloud.life.ask(
        oneadmin,
        "one.template.update",
        &[id.into(), "ONEKS_HANDLE=\"NO\"".into(), 1.into()],
    );
    assert!(
        cloud
            .run("oneadmin", "setup")
            .good()
            .contains("updated  template")
    );
    let said = cloud.run("oneadmin", "setup --handle none").good();
    assert_eq!(said.matches("removed  ").count(), 3, "{said}");
    assert_eq!(templates(&cloud), ["copy"]);
    assert!(!cloud.run("oneadmin", "setup").good().contains("template"));
}
