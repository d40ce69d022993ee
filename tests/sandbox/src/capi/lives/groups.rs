//! Groups of workers.

use super::*;

#[test]
fn a_group_lives_grows_is_upgraded_and_goes() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(3, "v1.33.7+rke2r1"));
    scene.until(900, "three workers", |scene| settled(scene, 3));
    let names = workers(&scene);
    assert!(
        names.iter().all(|name| name.len() == "c-a-xxxxx-xxxxx".len()),
        "{names:?}"
    );
    assert_eq!(
        names
            .iter()
            .map(|name| &name[..9])
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        1,
        "one machine set"
    );
    let node = scene
        .handle
        .objects("c", false, "Node")
        .into_iter()
        .find(|node| node.name() == names[0])
        .unwrap();
    assert_eq!(node.label("pool"), Some("a"));

    let result = scene.script(
        server,
        &format!("{PATH}kubectl scale machinedeployment c-a --replicas=5"),
    );
    assert_eq!(
        String::from_utf8_lossy(&result.stdout),
        "machinedeployment.cluster.x-k8s.io/c-a scaled\n"
    );
    scene.until(900, "five workers", |scene| settled(scene, 5));

    // A newer version for both: workers wait for the control plane, and both surge by one.
    let upgrade = "v1.34.2+rke2r1";
    let script = format!(
        "{PATH}kubectl patch rke2controlplane c --type merge -p '{{\"spec\":{{\"version\":\"{upgrade}\"}}}}'\n\
         kubectl patch md c-a --type merge -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"version\":\"{upgrade}\"}}}}}}}}'\n"
    );
    assert_eq!(scene.script(server, &script).return_code, 0);
    let (mut most_servers, mut most_workers, mut workers_waited) = (0, 0, true);
    for _ in 0..4000 {
        scene.pass(1);
        most_servers = most_servers.max(servers(&scene).len());
        most_workers = most_workers.max(workers(&scene).len());
        let upgraded = status(&scene, "RKE2ControlPlane", "c", "version") == format!("{upgrade:?}");
        workers_waited &= upgraded || workers(&scene).len() <= 5;
        if upgraded && settled(&scene, 5) && servers(&scene).len() == 1 {
            break;
        }
    }
    assert!(settled(&scene, 5), "{}", scene.story());
    assert_eq!((most_servers, most_workers, workers_waited), (2, 6, true));
    let versions: std::collections::BTreeSet<String> = scene
        .handle
        .objects("c", false, "Node")
        .iter()
        .map(|node| node.text(&["status", "nodeInfo", "kubeletVersion"]).to_owned())
        .collect();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), [upgrade]);

    let server = servers(&scene)[0];
    let script = format!(
        "{PATH}kubectl delete --ignore-not-found --wait=false MachineDeployment/c-a MachineHealthCheck/c-a RKE2ConfigTemplate/c-a ONEMachineTemplate/c-a"
    );
    assert_eq!(scene.script(server, &script).return_code, 0);
    scene.until(600, "no workers", |scene| workers(scene).is_empty());
    scene.pass(300);
    assert_eq!(workers(&scene), Vec::<String>::new());
    assert_eq!(scene.handle.objects("c", false, "Machine").len(), 1);
}

#[test]
fn lost_and_stopped_workers_are_replaced() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(2, "v1.33.7+rke2r1"));
    scene.until(900, "two workers", |scene| settled(scene, 2));
    let lost = |scene: &Scene, index: usize| {
        let name = workers(scene)[index].clone();
        scene
            .fake
            .vms
            .values()
            .find(|vm| vm.facts.name == name)
            .unwrap()
            .facts
            .id
    };
    let (first, second) = (lost(&scene, 0), lost(&scene, 1));
    scene.fake.terminate(first);
    scene.pass(30);
    assert_eq!(workers(&scene).len(), 1);
    scene.until(900, "a replacement for the terminated VM", |scene| {
        settled(scene, 2)
    });

    let stopped = scene.fake.now;
    scene
        .fake
        .transit(second, &[(0, VmState::Poweroff, LcmState::LcmInit)]);
    scene.until(1200, "the stopped VM is terminated", |scene| {
        scene.fake.vms[&second].facts.state == VmState::Done
    });
    let waited = scene.fake.now - stopped;
    assert!((300..500).contains(&waited), "{waited}");
    scene.until(900, "a replacement for the stopped VM", |scene| settled(scene, 2));
}

#[test]
fn the_annotated_machine_goes_first() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(3, "v1.33.7+rke2r1"));
    scene.until(900, "three workers", |scene| settled(scene, 3));
    let mut names = workers(&scene);
    names.sort();
    let script = format!(
        "{PATH}kubectl annotate machine {} cluster.x-k8s.io/delete-machine=yes && kubectl scale md c-a --replicas=2",
        names[2]
    );
    assert_eq!(scene.script(server, &script).return_code, 0);
    scene.until(600, "two workers", |scene| settled(scene, 2));
    let mut rest = workers(&scene);
    rest.sort();
    assert_eq!(rest, names[..2]);
}

#[test]
fn a_paused_cluster_leaves_stopped_nodes_alone() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(1, "v1.33.7+rke2r1"));
    scene.until(900, "a worker", |scene| settled(scene, 1));
    let script = format!("{PATH}kubectl patch cluster c --type merge -p '{{\"spec\":{{\"paused\":true}}}}'");
    assert_eq!(scene.script(server, &script).return_code, 0);
    let name = workers(&scene)[0].clone();
    let id = scene
        .fake
        .vms
        .values()
        .find(|vm| vm.facts.name == name)
        .unwrap()
        .facts
        .id;
    scene
        .fake
        .transit(id, &[(0, VmState::Poweroff, LcmState::LcmInit)]);
    scene.pass(3600);
    assert_eq!(scene.fake.vms[&id].facts.state, VmState::Poweroff);
}

#[test]
fn an_expired_credential_stops_everything_quietly() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(1, "v1.33.7+rke2r1"));
    scene.until(900, "a worker", |scene| settled(scene, 1));
    scene.fake.auth = "alice:another".into();
    apply(&mut scene, server, &group(3, "v1.33.7+rke2r1"));
    scene.pass(900);
    assert_eq!(workers(&scene).len(), 1);
    assert!(
        scene.story().contains("User couldn't be authenticated"),
        "{}",
        scene.story()
    );
    assert_eq!(
        scene.handle.objects("c", false, "Node").len(),
        2,
        "no node is dropped for it"
    );
}

#[test]
fn a_new_credential_reaches_the_cloud_controller_with_new_pods() {
    let (mut scene, server) = running(1);
    scene.fake.auth = "alice:another".into();
    let rotated = manifest(1, "alice:another");
    let secrets: Vec<&str> = rotated.split("---\napiVersion: addons").take(1).collect();
    apply(&mut scene, server, secrets[0]);
    apply(&mut scene, server, &group(1, "v1.33.7+rke2r1"));
    scene.pass(600);
    assert_eq!(workers(&scene).len(), 1, "CAPONE reads its Secret each time");
    assert!(!settled(&scene, 1), "the cloud controller does not");
    let script = format!("{PATH}kubectl delete pods -n kube-system -l k8s-app=ccm --wait=false");
    assert_eq!(scene.script(server, &script).return_code, 0);
    scene.until(300, "the node gets its id", |scene| settled(scene, 1));
}

#[test]
fn equal_seeds_give_equal_lives() {
    let life = || {
        let (mut scene, server) = running(3);
        apply(&mut scene, server, &group(2, "v1.33.7+rke2r1"));
        scene.until(900, "two workers", |scene| settled(scene, 2));
        (scene.fake.calls.clone(), scene.fake.alive(""), scene.handle.log())
    };
    assert_eq!(life(), life());
}
