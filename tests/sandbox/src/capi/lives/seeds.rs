//! Seeds: how a cluster comes into being, and what can go wrong until then.

use super::*;

#[test]
fn a_seed_builds_a_cluster_that_runs_itself() {
    for replicas in [1, 3] {
        let mut scene = Scene::new();
        let id = seed(&mut scene, &manifest(replicas, AUTH));
        scene.until(4000, "the cluster runs", |scene| state(scene) == "RUNNING");
        assert_eq!(
            reports(&scene),
            [
                "PROVISIONING_MGMT",
                "PROVISIONING_CP",
                "PIVOTING_CLUSTER",
                "RUNNING"
            ]
        );
        assert_eq!(scene.fake.alive("vr-c-cp-"), ["vr-c-cp-0"]);
        let names = scene
            .fake
            .alive("c-")
            .into_iter()
            .filter(|name| name != "c-seed")
            .collect::<Vec<_>>();
        assert_eq!(names.len(), usize::try_from(replicas).unwrap());
        assert!(
            names.iter().all(|name| name.len() == "c-xxxxx".len()),
            "{names:?}"
        );

        // One machine after another: the second is allocated after the first has joined.
        let allocated: Vec<u64> = scene
            .fake
            .calls
            .iter()
            .filter(|(_, call)| call == "one.vm.allocate")
            .map(|(time, _)| *time)
            .collect();
        assert!(
            allocated.windows(2).all(|pair| pair[1] - pair[0] > 60),
            "{allocated:?}"
        );

        scene.fake.terminate(id);
        scene.pass(300);
        assert_eq!(status(&scene, "Cluster", "c", "phase"), "\"Provisioned\"");
        assert_eq!(
            status(&scene, "RKE2ControlPlane", "c", "readyReplicas"),
            replicas.to_string()
        );
        assert_eq!(servers(&scene).len(), usize::try_from(replicas).unwrap());
    }
}

#[test]
fn capone_calls_opennebula_as_it_does() {
    let mut scene = Scene::new();
    seed(&mut scene, &manifest(1, AUTH));
    scene.until(4000, "the first machine", |scene| !servers(scene).is_empty());
    scene.pass(1);
    let calls: Vec<&str> = scene
        .fake
        .calls
        .iter()
        .map(|(_, call)| call.as_str())
        .filter(|call| call.starts_with("one.") && !call.contains("info"))
        .collect();
    assert_eq!(
        calls,
        [
            "one.vrouter.allocate",
            "one.vrouter.instantiate",
            "one.vm.allocate",
            "one.vm.update"
        ]
    );

    let (name, router, vms) = scene.fake.vrouters.values().next().unwrap();
    assert_eq!((name.as_str(), vms.len()), ("c-cp", 1));
    let nics: Vec<_> = router
        .get_vectors("NIC")
        .map(|nic| opennebula::template::vector_value(nic, "FLOATING_ONLY"))
        .collect();
    assert_eq!(nics, [Some("YES"), Some("NO")]);
    let vr = &scene.fake.vms[&vms[0]].facts;
    assert_eq!(vr.context("ONEAPP_VNF_HAPROXY_LB0_PORT"), Some("6443"));
    assert_eq!(vr.context("ONEAPP_VNF_HAPROXY_LB1_PORT"), Some("9345"));

    let server = &scene.fake.vms[&servers(&scene)[0]].facts;
    assert_eq!(server.template.get_in("NIC", "NETWORK"), Some("private"));
    assert_eq!(
        server.template.get_in("NIC", "GATEWAY"),
        router
            .get_vectors("NIC")
            .nth(1)
            .and_then(|nic| opennebula::template::vector_value(nic, "VROUTER_IP"))
    );
    assert_eq!(
        server.user_template.get("ONEGATE_HAPROXY_LB0_IP"),
        Some("<ETH0_EP0>")
    );
    assert_eq!(server.template.get_in("ONEKS", "CLUSTER_ID"), Some("1"));
}

#[test]
fn a_seed_that_goes_early_leaves_everything_as_it_is() {
    let mut scene = Scene::new();
    let id = seed(&mut scene, &manifest(3, AUTH));
    scene.until(2000, "the first machine", |scene| !servers(scene).is_empty());
    scene.fake.terminate(id);
    scene.pass(4000);
    assert_eq!(
        (servers(&scene).len(), state(&scene).as_str()),
        (1, "PROVISIONING_CP")
    );
    assert_eq!(scene.fake.alive("vr-").len(), 1);
}

#[test]
fn a_rebooted_seed_does_its_damage() {
    let pinned = manifest(1, AUTH)
        .replace(
            "publicNetwork: {name: public}\n  private",
            "publicNetwork: {name: public, floatingIP: 192.0.2.200}\n  private",
        )
        .replace(
            "  secretName: c\n",
            "  secretName: c\n  controlPlaneEndpoint: {host: 192.0.2.200, port: 6443}\n",
        );
    for (manifest, machines) in [(manifest(1, AUTH), 1), (pinned, 2)] {
        let mut scene = Scene::new();
        let id = seed(&mut scene, &manifest);
        scene.until(4000, "the cluster runs", |scene| state(scene) == "RUNNING");
        assert_eq!(servers(&scene).len(), 1);
        scene.fake.transit(
            id,
            &[
                (0, VmState::Poweroff, LcmState::LcmInit),
                (10, VmState::Active, LcmState::BootPoweroff),
                (15, VmState::Active, LcmState::Running),
            ],
        );
        scene.pass(2000);
        // The finished cluster is built again. Only without a known endpoint does CAPONE get stuck at the router that
        // it finds by its name.
        assert_eq!(reports(&scene)[4..6], ["PROVISIONING_MGMT", "PROVISIONING_CP"]);
        assert_eq!(
            (servers(&scene).len(), scene.fake.vrouters.len()),
            (machines, 1),
            "{}",
            scene.story()
        );
    }
}

#[test]
fn what_can_go_wrong_with_a_seed() {
    let failing = |phase| FaultKind::SeedFails {
        phase,
        cause: Some("CONTROL_PLANE_TIMEOUT".into()),
    };
    for (fault, wanted) in [
        (
            failing(SeedPhase::Management),
            vec!["PROVISIONING_MGMT", "PROVISIONING_FAILURE"],
        ),
        (
            failing(SeedPhase::ControlPlane),
            vec!["PROVISIONING_MGMT", "PROVISIONING_CP", "PROVISIONING_FAILURE"],
        ),
        (
            failing(SeedPhase::Pivoting),
            vec![
                "PROVISIONING_MGMT",
                "PROVISIONING_CP",
                "PIVOTING_CLUSTER",
                "PIVOTING_FAILURE",
            ],
        ),
        (
            FaultKind::SeedHangs {
                phase: SeedPhase::ControlPlane,
            },
            vec!["PROVISIONING_MGMT", "PROVISIONING_CP"],
        ),
        (FaultKind::SeedSilent, vec![]),
        (FaultKind::OneGateDown, vec![]),
        (
            FaultKind::NodeNeverJoins,
            vec!["PROVISIONING_MGMT", "PROVISIONING_CP", "PROVISIONING_FAILURE"],
        ),
        (
            FaultKind::CaponeStuck,
            vec!["PROVISIONING_MGMT", "PROVISIONING_CP", "PROVISIONING_FAILURE"],
        ),
    ] {
        let mut scene = Scene::new();
        scene.handle.break_it(Fault {
            on: String::new(),
            kind: fault.clone(),
            times: None,
        });
        seed(&mut scene, &manifest(1, AUTH));
        scene.pass(2500);
        assert_eq!(reports(&scene), wanted, "{fault:?}\n{}", scene.story());
    }
}

#[test]
fn a_wrong_manifest_or_credential_is_a_silence_and_a_timeout() {
    for (manifest, calls) in [
        (manifest(1, "alice:wrong"), 0),
        (
            manifest(1, AUTH).replace("rolloutStrategy", "rolloutStrategies"),
            0,
        ),
        (
            manifest(1, AUTH).replace("templateName: router", "templateName: none"),
            0,
        ),
        // Without an external cloud provider no node gets the id that its machine waits for.
        (manifest(1, AUTH).replace(", cloudProviderName: external", ""), 1),
    ] {
        let mut scene = Scene::new();
        seed(&mut scene, &manifest);
        scene.pass(2500);
        assert!(
            state(&scene).ends_with("FAILURE"),
            "{}\n{}",
            state(&scene),
            scene.story()
        );
        assert_eq!(
            scene
                .fake
                .calls
                .iter()
                .filter(|(_, call)| call == "one.vm.allocate")
                .count(),
            calls
        );
    }
    let mut scene = Scene::new();
    seed(&mut scene, " ");
    scene.pass(500);
    assert_eq!(
        state(&scene),
        "PROVISIONING_FAILURE",
        "a blank manifest is applied and refused, again and again"
    );
    let mut scene = Scene::new();
    seed(&mut scene, "");
    scene.pass(500);
    assert_eq!(reports(&scene), ["BOOTSTRAP_FAILURE"]);
}

#[test]
fn a_router_without_vms_is_never_completed() {
    let mut scene = Scene::new();
    scene.fake.refused = vec!["one.vrouter.instantiate".into()];
    let id = seed(&mut scene, &manifest(1, AUTH));
    scene.until(600, "the router", |scene| !scene.fake.vrouters.is_empty());
    scene.fake.refused.clear();
    scene.pass(600);
    assert_eq!(
        (scene.fake.vrouters.len(), scene.fake.alive("vr-").len()),
        (1, 0),
        "{}",
        scene.story()
    );
    assert!(
        scene
            .story()
            .contains("Spec.ControlPlaneEndpoint.Host must not be empty")
    );
    let _ = id;
    let router = *scene.fake.vrouters.keys().next().unwrap();
    scene.fake.vrouters.remove(&router);
    scene.until(900, "the router is made anew", |scene| {
        scene.fake.alive("vr-").len() == 1
    });
}
