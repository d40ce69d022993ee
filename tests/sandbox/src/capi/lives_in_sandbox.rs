//! The same lives in the whole sandbox: rights, quotas, leases, the scheduler and the probes of OpenNebula included.

use base64::Engine as _;
use opennebula::xmlrpc::Value;

use super::lives::{PATH, group, manifest};
use super::testing::shim_program;
use super::{Guests, Handle};
use crate::{ALICE_PASSWORD, Sandbox, VmState};

struct Life {
    sandbox: Sandbox,
    handle: Handle,
    session: String,
    _programs: tempfile::TempDir,
}

impl Life {
    fn new() -> Self {
        let programs = tempfile::tempdir().unwrap();
        let config = super::Config {
            shim: Some(shim_program(programs.path())),
            ..super::Config::default()
        };
        let guests = Guests::new(config);
        let handle = guests.handle();
        let sandbox = Sandbox::with_guests(crate::Config::default(), Box::new(guests));
        sandbox.standard_cloud().unwrap();
        let front = "NAME=front\nVN_MAD=dummy\nBRIDGE=br2\nAR=[TYPE=IP4,IP=203.0.113.10,SIZE=50]\nAR=[TYPE=ETHER,SIZE=50]";
        sandbox.add_vnet_from(front, &[0]).unwrap();
        // CAPONE names networks without their owner: OpenNebula then looks among the caller's own.
        for network in 0..3_u32 {
            let params = [network.into(), 2.into(), (-1).into()];
            sandbox
                .ask("oneadmin:opennebula", "one.vn.chown", &params)
                .unwrap();
        }
        let session = format!("alice:{ALICE_PASSWORD}");
        let life = Self {
            sandbox,
            handle,
            session,
            _programs: programs,
        };
        let context = "CONTEXT=[NETWORK=\"YES\",TOKEN=\"YES\",SET_HOSTNAME=\"$NAME\"]\nONEKS=[CLUSTER_ID=\"1\",TYPE=\"NODE\"]";
        life.ask(
            "one.template.allocate",
            &[format!(
                "NAME=node\nCPU=1\nMEMORY=1024\nDISK=[IMAGE=\"oneks-node\",IMAGE_UID=\"0\"]\n{context}"
            )
            .into()],
        );
        life.ask(
            "one.template.allocate",
            &[format!(
                "NAME=router\nCPU=1\nMEMORY=512\nVROUTER=YES\nDISK=[IMAGE=\"oneks-router\",IMAGE_UID=\"0\"]\n{context}"
            )
            .into()],
        );
        life
    }

    fn ask(&self, method: &str, params: &[Value]) -> Value {
        self.sandbox
            .ask(&self.session, method, params)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Starts a seed as the owner.
    fn seed(&self, manifest: &str) -> u32 {
        self.seed_on("NETWORK=\"public\"", manifest)
    }

    fn seed_on(&self, network: &str, manifest: &str) -> u32 {
        let spec = base64::engine::general_purpose::STANDARD.encode(manifest);
        let template = format!(
            "NAME=c-seed\nCPU=1\nMEMORY=1024\nNIC=[{network}]\nCONTEXT=[NETWORK=\"YES\",TOKEN=\"YES\",\
             ONEAPP_ONEKS_CLUSTER_NAME=\"c\",ONEAPP_ONEKS_CLUSTER_SPEC=\"{spec}\"]"
        );
        let id = self.ask("one.vm.allocate", &[template.into(), false.into()]);
        u32::try_from(id.as_int().unwrap()).unwrap()
    }

    fn until(&self, seconds: u64, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.sandbox.now() + seconds;
        while !done(self) {
            assert!(self.sandbox.now() < end, "never: {what}\n{}", self.story());
            self.sandbox.advance(1);
        }
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let vms = self.sandbox.live_vms();
        vms.into_iter()
            .map(|vm| vm.meta.name)
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    fn state(&self, seed: u32) -> String {
        let vm = self.sandbox.vm(seed).unwrap();
        vm.user_template.get("ONEKS_STATE").unwrap_or_default().to_owned()
    }

    /// A running VM of the control plane.
    fn server(&self) -> u32 {
        let vms = self.sandbox.live_vms();
        let found = vms.into_iter().find(|vm| {
            vm.template.get_in("CONTEXT", "BACKEND") == Some("YES") && vm.state == VmState::Active
        });
        found.unwrap().meta.id
    }

    /// Runs a script by the guest agent and waits for its result.
    fn script(&self, vm: u32, script: &str) -> (String, String) {
        let stdin = base64::engine::general_purpose::STANDARD.encode(script);
        self.ask("one.vm.exec", &[vm.into(), "/bin/sh -s".into(), stdin.into()]);
        let block = |key: &str| {
            let vm = self.sandbox.vm(vm).unwrap();
            vm.template
                .get_in("QEMU_GA_EXEC", key)
                .unwrap_or_default()
                .to_owned()
        };
        self.until(200, "the result of a command", |_| block("STATUS") == "DONE");
        let text = |key: &str| {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(block(key))
                .unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(block("RETURN_CODE"), "0", "{}{}", text("STDOUT"), text("STDERR"));
        (text("STDOUT"), text("STDERR"))
    }

    fn number(&self, kind: &str, name: &str, field: &str) -> Option<i64> {
        let objects = self.handle.objects("c", false, kind);
        objects
            .iter()
            .find(|object| object.name() == name)?
            .number(&["status", field])
    }

    fn settled(&self, count: usize) -> bool {
        let wanted = i64::try_from(count).ok();
        self.names("c-a-").len() == count
            && ["replicas", "updatedReplicas", "readyReplicas"]
                .iter()
                .all(|field| self.number("MachineDeployment", "c-a", field) == wanted)
    }

    fn story(&self) -> String {
        // What is said again and again is said once.
        let mut log = self.handle.log();
        log.dedup_by(|later, earlier| later.message == earlier.message);
        let lines: Vec<String> = log
            .iter()
            .rev()
            .take(30)
            .rev()
            .map(|line| {
                format!(
                    "{} {} {}: {}\n",
                    line.time, line.controller, line.object, line.message
                )
            })
            .collect();
        let vms = self.sandbox.live_vms();
        let vms: Vec<String> = vms
            .iter()
            .map(|vm| format!("{} {:?} {:?}\n", vm.meta.name, vm.state, vm.lcm_state))
            .collect();
        lines.concat() + &vms.concat()
    }

    fn running(replicas: u32) -> Self {
        let life = Self::new();
        life.build(&manifest(replicas, &life.session));
        life
    }

    fn build(&self, manifest: &str) {
        let seed = self.seed(manifest);
        self.until(4000, "the cluster runs", |life| life.state(seed) == "RUNNING");
        self.ask("one.vm.action", &["terminate-hard".into(), seed.into()]);
        self.sandbox.advance(60);
    }
}

#[test]
fn a_whole_life() {
    for replicas in [1, 3] {
        let life = Life::running(replicas);
        assert_eq!(life.names("vr-"), ["vr-c-cp-0"]);
        let servers = life.names("c-");
        assert_eq!(servers.len(), usize::try_from(replicas).unwrap());
        assert!(servers.iter().all(|name| name.len() == 7), "{servers:?}");

        life.script(
            life.server(),
            &format!(
                "{PATH}kubectl apply -f - <<'END'\n{}END\n",
                group(3, "v1.33.7+rke2r1")
            ),
        );
        life.until(900, "three workers", |life| life.settled(3));
        let (out, _) = life.script(life.server(), &format!("{PATH}kubectl scale md c-a --replicas=5"));
        assert_eq!(out, "machinedeployment.cluster.x-k8s.io/c-a scaled\n");
        life.until(900, "five workers", |life| life.settled(5));

        let script = format!(
            "{PATH}kubectl patch rke2controlplane c --type merge -p '{{\"spec\":{{\"version\":\"v1.34.2+rke2r1\"}}}}'\n\
             kubectl patch md c-a --type merge \
             -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"version\":\"v1.34.2+rke2r1\"}}}}}}}}'\n"
        );
        life.script(life.server(), &script);
        let (mut servers, mut workers) = (0, 0);
        life.until(10, "the upgrade begins", |life| {
            life.handle
                .log()
                .iter()
                .any(|line| line.controller == "rke2controlplane")
        });
        let end = life.sandbox.now() + 6000;
        let count = usize::try_from(replicas).unwrap();
        let versions = |life: &Life| {
            let nodes = life.handle.objects("c", false, "Node");
            nodes
                .iter()
                .all(|node| node.text(&["status", "nodeInfo", "kubeletVersion"]) == "v1.34.2+rke2r1")
        };
        while !(life.settled(5) && versions(&life) && life.names("c-").len() == count + 5) {
            assert!(life.sandbox.now() < end, "{}", life.story());
            life.sandbox.advance(1);
            workers = workers.max(life.names("c-a-").len());
            servers = servers.max(life.names("c-").len() - life.names("c-a-").len());
        }
        assert_eq!(
            (servers, workers),
            (count + 1, 6),
            "one too many of each, never more"
        );

        let script = format!(
            "{PATH}kubectl delete --ignore-not-found --wait=false MachineDeployment/c-a MachineHealthCheck/c-a \
             RKE2ConfigTemplate/c-a ONEMachineTemplate/c-a"
        );
        life.script(life.server(), &script);
        life.until(900, "no workers", |life| life.names("c-a-").is_empty());
        life.sandbox.advance(600);
        assert_eq!(life.names("c-").len(), count);
    }
}

#[test]
fn load_balancers_leave_a_router_and_reservations() {
    let life = Life::new();
    life.build(&manifest(1, &life.session).replace("name: public", "name: front"));
    assert_eq!(life.handle.expose("c", "web").stdout, "service/web created\n");
    life.sandbox.advance(120);
    let mut routers: Vec<String> = life
        .sandbox
        .vrouters()
        .into_iter()
        .map(|router| router.meta.name)
        .collect();
    routers.sort();
    assert_eq!(routers, ["c-cp", "c-lb"], "{}", life.story());
    assert_eq!(life.names("vr-c-lb-"), ["vr-c-lb-0"]);
    let networks: Vec<String> = life
        .sandbox
        .vnets()
        .into_iter()
        .map(|network| network.meta.name)
        .collect();
    for name in ["c-vr", "c-lb"] {
        assert!(networks.iter().any(|network| network == name), "{networks:?}");
    }
}

#[test]
fn networks_of_somebody_else_are_not_found_by_name() {
    let life = Life::new();
    for network in 0..3_u32 {
        let params = [network.into(), 0.into(), (-1).into()];
        life.sandbox
            .ask("oneadmin:opennebula", "one.vn.chown", &params)
            .unwrap();
    }
    let seed = life.seed_on("NETWORK_ID=\"0\"", &manifest(1, &life.session));
    life.until(2500, "the failure", |life| {
        life.state(seed) == "PROVISIONING_FAILURE"
    });
    assert!(
        life.story()
            .contains("User 2 does not own a network with name: public"),
        "{}",
        life.story()
    );
}

#[test]
fn a_wrong_credential_builds_nothing() {
    let life = Life::new();
    let seed = life.seed(&manifest(1, "mallory:wrong"));
    life.until(2500, "the failure", |life| {
        life.state(seed) == "PROVISIONING_FAILURE"
    });
    assert_eq!(life.names("vr-"), Vec::<String>::new());
}
