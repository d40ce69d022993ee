//! Whole lives of clusters, driven from outside through the cloud and commands in guests.

use super::testing::{AUTH, Scene};
use super::{Fault, FaultKind, SeedPhase};
use crate::states::{LcmState, VmState};
use opennebula::template::Template;

pub(super) const PATH: &str =
    "export PATH=\"$PATH:/var/lib/rancher/rke2/bin\" KUBECONFIG=/etc/rancher/rke2/rke2.yaml\n";

/// What a driver renders for the seed: cluster `c`, so many servers.
pub(super) fn manifest(replicas: u32, auth: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Secret
metadata: {{name: c, labels: {{cluster.x-k8s.io/cluster-name: c}}}}
stringData: {{ONE_AUTH: "{auth}", ONE_XMLRPC: "http://169.254.16.9:2633/RPC2"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: c-ccm, labels: {{cluster.x-k8s.io/cluster-name: c}}}}
type: addons.cluster.x-k8s.io/resource-set
stringData:
  ccm.yaml: |
    apiVersion: v1
    kind: Secret
    metadata: {{name: cloud-config, namespace: kube-system}}
    stringData:
      config.yaml: |
        opennebula:
          endpoint: {{ONE_AUTH: "{auth}"}}
          publicNetwork: {{name: public}}
          virtualRouter: {{templateName: router}}
    ---
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {{name: ccm, namespace: kube-system}}
    spec:
      template:
        metadata: {{labels: {{k8s-app: ccm}}}}
        spec:
          containers:
          - command: [/opennebula-cloud-controller-manager, --cluster-name=c]
---
apiVersion: addons.cluster.x-k8s.io/v1beta1
kind: ClusterResourceSet
metadata: {{name: c-crs}}
spec:
  clusterSelector: {{matchLabels: {{cluster.x-k8s.io/cluster-name: c}}}}
  resources: [{{kind: Secret, name: c-ccm}}]
  strategy: Reconcile
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: Cluster
metadata: {{name: c, labels: {{cluster.x-k8s.io/cluster-name: c}}}}
spec:
  controlPlaneEndpoint: {{host: null, port: 6443}}
  controlPlaneRef: {{apiVersion: controlplane.cluster.x-k8s.io/v1beta1, kind: RKE2ControlPlane, name: c}}
  infrastructureRef: {{apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: ONECluster, name: c}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: ONECluster
metadata: {{name: c}}
spec:
  secretName: c
  publicNetwork: {{name: public}}
  privateNetwork: {{name: private}}
  virtualRouter: {{templateName: router, listenerPorts: [9345, 6443]}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: ONEMachineTemplate
metadata: {{name: c-cp}}
spec: {{template: {{spec: {{templateName: node}}}}}}
---
apiVersion: controlplane.cluster.x-k8s.io/v1beta1
kind: RKE2ControlPlane
metadata: {{name: c}}
spec:
  replicas: {replicas}
  version: v1.33.7+rke2r1
  registrationMethod: internal-first
  rolloutStrategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 1}}}}
  machineTemplate:
    infrastructureRef:
      {{apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: ONEMachineTemplate, name: c-cp}}
  serverConfig: {{cni: canal, cloudProviderName: external}}
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineHealthCheck
metadata: {{name: c-cp}}
spec:
  clusterName: c
  selector: {{matchLabels: {{cluster.x-k8s.io/control-plane: ""}}}}
  maxUnhealthy: 1
  nodeStartupTimeout: 15m
  unhealthyConditions:
  - {{type: Ready, status: "False", timeout: 5m}}
  - {{type: Ready, status: Unknown, timeout: 5m}}
"#
    )
}

pub(super) fn group(replicas: u32, version: &str) -> String {
    format!(
        r"apiVersion: bootstrap.cluster.x-k8s.io/v1beta1
kind: RKE2ConfigTemplate
metadata: {{name: c-a}}
spec: {{template: {{spec: {{agentConfig: {{kubelet: {{extraArgs: [--cloud-provider=external]}}, nodeLabels: [pool=a]}}}}}}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta1
kind: ONEMachineTemplate
metadata: {{name: c-a}}
spec: {{template: {{spec: {{templateName: node}}}}}}
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineDeployment
metadata: {{name: c-a}}
spec:
  clusterName: c
  replicas: {replicas}
  selector: {{matchLabels: {{}}}}
  template:
    spec:
      clusterName: c
      version: {version}
      bootstrap: {{configRef: {{apiVersion: bootstrap.cluster.x-k8s.io/v1beta1, kind: RKE2ConfigTemplate, name: c-a}}}}
      infrastructureRef:
        {{apiVersion: infrastructure.cluster.x-k8s.io/v1beta1, kind: ONEMachineTemplate, name: c-a}}
---
apiVersion: cluster.x-k8s.io/v1beta1
kind: MachineHealthCheck
metadata: {{name: c-a}}
spec:
  clusterName: c
  selector: {{matchLabels: {{cluster.x-k8s.io/deployment-name: c-a}}}}
  maxUnhealthy: 100%
  nodeStartupTimeout: 15m
  unhealthyConditions:
  - {{type: Ready, status: 'False', timeout: 5m}}
  - {{type: Ready, status: Unknown, timeout: 5m}}
"
    )
}

fn seed(scene: &mut Scene, manifest: &str) -> u32 {
    use base64::Engine as _;
    let mut template = Template::new();
    template.set_in("CONTEXT", "TOKEN", "YES");
    template.set_in("CONTEXT", "ONEAPP_ONEKS_CLUSTER_NAME", "c");
    let encoded = base64::engine::general_purpose::STANDARD.encode(manifest);
    template.set_in("CONTEXT", "ONEAPP_ONEKS_CLUSTER_SPEC", encoded);
    scene.fake.start("c-seed", template)
}

fn reports(scene: &Scene) -> Vec<String> {
    let reports = scene
        .fake
        .calls
        .iter()
        .filter_map(|(_, call)| call.strip_prefix("onegate ONEKS_STATE="));
    reports.map(str::to_owned).collect()
}

fn state(scene: &Scene) -> String {
    reports(scene).pop().unwrap_or_default()
}

/// A cluster that has pivoted; its seed is gone. Returns the id of a VM of its control plane.
fn running(replicas: u32) -> (Scene, u32) {
    let mut scene = Scene::new();
    let id = seed(&mut scene, &manifest(replicas, AUTH));
    scene.until(4000, "the cluster runs", |scene| state(scene) == "RUNNING");
    scene.fake.terminate(id);
    scene.pass(60);
    let server = servers(&scene)[0];
    (scene, server)
}

/// Ids of the VMs of the control plane, oldest first.
fn servers(scene: &Scene) -> Vec<u32> {
    let alive = scene
        .fake
        .vms
        .values()
        .filter(|vm| vm.facts.state != VmState::Done);
    alive
        .filter(|vm| vm.facts.name.starts_with("c-") && vm.facts.context("BACKEND") == Some("YES"))
        .map(|vm| vm.facts.id)
        .collect()
}

fn workers(scene: &Scene) -> Vec<String> {
    scene.fake.alive("c-a-")
}

fn status(scene: &Scene, kind: &str, name: &str, field: &str) -> String {
    let objects = scene.handle.objects("c", false, kind);
    let object = objects.iter().find(|object| object.name() == name);
    object
        .and_then(|object| object.at(&["status", field]))
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn settled(scene: &Scene, count: usize) -> bool {
    let text = count.to_string();
    workers(scene).len() == count
        && ["replicas", "updatedReplicas", "readyReplicas"]
            .iter()
            .all(|field| status(scene, "MachineDeployment", "c-a", field) == text)
}

fn apply(scene: &mut Scene, server: u32, manifest: &str) {
    let result = scene.script(
        server,
        &format!("{PATH}kubectl apply -f - <<'END'\n{manifest}END\n"),
    );
    let (out, err) = (
        String::from_utf8_lossy(&result.stdout),
        String::from_utf8_lossy(&result.stderr),
    );
    assert_eq!(result.return_code, 0, "{out}{err}");
}

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
fn scripts_find_what_a_node_has() {
    let (mut scene, server) = running(1);
    apply(&mut scene, server, &group(1, "v1.33.7+rke2r1"));
    scene.until(900, "a worker", |scene| settled(scene, 1));
    let name = workers(&scene)[0].clone();
    let worker = scene
        .fake
        .vms
        .values()
        .find(|vm| vm.facts.name == name)
        .unwrap()
        .facts
        .id;
    for (vm, script, code, stdout, stderr) in [
        (
            server,
            format!("{PATH}kubectl get nodes -o name | sort | head -n 1 | cut -c1-7"),
            0,
            "node/c-",
            "",
        ),
        (
            server,
            format!("{PATH}kubectl config view --raw -o jsonpath='{{.clusters[0].cluster.server}}'"),
            0,
            "https://127.0.0.1:6443",
            "",
        ),
        (
            server,
            "cat /etc/rancher/rke2/rke2.yaml | head -n 1".into(),
            0,
            "apiVersion: v1",
            "",
        ),
        (server, "kubectl get nodes".into(), 127, "", "kubectl: not found"),
        (
            server,
            "/var/lib/rancher/rke2/bin/kubectl get nodes".into(),
            1,
            "",
            "localhost:8080 was refused",
        ),
        (
            server,
            format!("{PATH}kubectl get machine none; echo $?"),
            0,
            "1",
            "(NotFound)",
        ),
        (
            worker,
            format!("{PATH}kubectl get nodes"),
            127,
            "",
            "kubectl: not found",
        ),
        (
            worker,
            format!("{PATH}command -v kubectl || echo none"),
            0,
            "none",
            "",
        ),
        (
            server,
            "sleep 10; date +%s; kubectl 2>/dev/null || systemctl 2>/dev/null || echo clean".into(),
            0,
            "clean",
            "",
        ),
        (
            server,
            format!("{PATH}kubectl get machines -o json | kubectl apply -f - >/dev/null; echo $?"),
            0,
            "0",
            "",
        ),
        (worker, "echo plain; exit 3".into(), 3, "plain", ""),
    ] {
        let result = scene.script(vm, &script);
        let (out, err) = (
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr),
        );
        assert_eq!(result.return_code, code, "{script}\n{out}{err}");
        assert!(
            out.contains(stdout) && err.contains(stderr),
            "{script}\n{out}{err}"
        );
    }
    let result = scene.script(server, "sleep 20; sleep 1m; echo done");
    assert_eq!(
        (result.seconds, result.stdout.as_slice()),
        (82, b"done\n".as_slice())
    );
    let endless = scene.script(server, "while true; do sleep 600; done");
    assert!(endless.seconds > 1_000_000);
}

#[test]
fn commands_can_go_wrong() {
    for (kind, code, seconds, out) in [
        (
            FaultKind::CommandFails {
                code: 1,
                stderr: "no".into(),
            },
            1,
            2,
            0,
        ),
        (FaultKind::CommandFloods { bytes: 60_000 }, 0, 2, 60_003),
        (FaultKind::CommandSlow { seconds: 100 }, 0, 102, 3),
    ] {
        let (mut scene, server) = running(1);
        scene.handle.break_it(Fault {
            on: "c-".into(),
            kind,
            times: Some(1),
        });
        let result = scene.script(server, "echo ok");
        assert_eq!(
            (result.return_code, result.seconds, result.stdout.len()),
            (code, seconds, out)
        );
        assert_eq!(scene.script(server, "echo ok").stdout, b"ok\n");
    }
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
