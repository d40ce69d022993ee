//! Control planes that change and break.

use super::*;

#[test]
fn a_control_plane_grows_and_shrinks_one_by_one() {
    let (mut scene, server) = running(1);
    for count in [3_usize, 5, 3] {
        let patch = format!(
            "{PATH}kubectl patch rke2controlplane c --type merge -p '{{\"spec\":{{\"replicas\":{count}}}}}'"
        );
        let alive = servers(&scene);
        let server = if alive.contains(&server) { server } else { alive[0] };
        assert_eq!(scene.script(server, &patch).return_code, 0);
        let before = servers(&scene).len();
        for _ in 0..2000 {
            scene.pass(1);
            let now = servers(&scene).len();
            assert!(now >= before.min(count) && now <= before.max(count));
            if now == count && status(&scene, "RKE2ControlPlane", "c", "readyReplicas") == count.to_string() {
                break;
            }
        }
        assert_eq!(servers(&scene).len(), count, "{}", scene.story());
        scene.pass(200);
    }
}

#[test]
fn a_control_plane_is_only_healed_with_a_majority() {
    let (mut scene, _) = running(3);
    let ids = servers(&scene);
    scene
        .fake
        .transit(ids[0], &[(0, VmState::Poweroff, LcmState::LcmInit)]);
    scene.until(2000, "a replacement", |scene| {
        servers(scene).len() == 3 && !servers(scene).contains(&ids[0])
    });
    scene.until(2000, "it joins", |scene| {
        status(scene, "RKE2ControlPlane", "c", "readyReplicas") == "3"
    });
    scene.pass(200);

    let ids = servers(&scene);
    for id in &ids[..2] {
        scene
            .fake
            .transit(*id, &[(0, VmState::Poweroff, LcmState::LcmInit)]);
    }
    scene.pass(3600);
    assert_eq!(servers(&scene), ids, "without a majority nothing happens");
    let result = scene.script(ids[2], &format!("{PATH}kubectl get nodes"));
    assert_eq!(result.return_code, 1);
    assert!(String::from_utf8_lossy(&result.stderr).contains("127.0.0.1:6443 was refused"));
}

#[test]
fn a_single_server_is_never_replaced() {
    let (mut scene, server) = running(1);
    scene
        .fake
        .transit(server, &[(0, VmState::Poweroff, LcmState::LcmInit)]);
    scene.pass(3600);
    assert_eq!(servers(&scene), [server]);
    scene.fake.transit(
        server,
        &[
            (0, VmState::Active, LcmState::Boot),
            (5, VmState::Active, LcmState::Running),
        ],
    );
    scene.pass(600);
    assert_eq!(servers(&scene), [server]);
    assert_eq!(status(&scene, "Cluster", "c", "phase"), "\"Provisioned\"");
}

#[test]
fn without_servers_nothing_is_recreated() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(2, "v1.33.7+rke2r1"));
    scene.until(900, "two workers", |scene| settled(scene, 2));
    scene.fake.terminate(server);
    scene.pass(10);
    let ids: Vec<u32> = scene
        .fake
        .vms
        .values()
        .filter(|vm| vm.facts.name.starts_with("c-a-"))
        .map(|vm| vm.facts.id)
        .collect();
    for id in ids {
        scene.fake.terminate(id);
    }
    scene.pass(3600);
    assert_eq!(scene.fake.alive("c-"), Vec::<String>::new());
}
