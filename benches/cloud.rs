//! Clouds with many clusters. They came to be through the hooks' own code in this process; of the largest clouds only one
//! did, and the others are its copies.

use oneks_sandbox::{ObjectKind, Sandbox, Timings};
use serde_json::{Value, json};

use crate::support::copies::Model;
use crate::support::life::Life;
use crate::support::prefix::SERVER_SECRET;

/// Clusters of each user.
const EACH: usize = 10;

/// A spec for the driver `dummy` with so many VMs beside the router.
pub fn spec(vms: usize) -> Value {
    json!({
        "kubernetes_version": "v1.33.7",
        "driver": "dummy",
        "deployment": {"cluster": {"id": 0}, "networks": {"public": {"id": 2}, "private": {"id": 3}}},
        "control_plane": {"flavour": "standalone"},
        "node_groups": [{"name": "workers", "flavour": "small", "user_inputs_values": {"count": vms - 1}}],
    })
}

/// A cloud with room, in which nothing takes long.
fn roomy() -> Life {
    let config = oneks_sandbox::Config {
        server_secret: SERVER_SECRET.to_owned(),
        timings: Timings::instant(),
        ..Default::default()
    };
    let life = Life::of(Sandbox::new(config));
    for number in 0..16 {
        life.sandbox
            .add_host(&format!("big{number}"), 0, 100_000, 1 << 40);
    }
    for (name, first) in [("wide-public", "10.64.0.10"), ("wide-private", "10.128.0.10")] {
        let text = format!(
            "NAME=\"{name}\"\nVN_MAD=\"dummy\"\nBRIDGE=\"{name}\"\nGATEWAY=\"{first}\"\nDNS=\"{first}\"\n\
             NETWORK_MASK=\"255.192.0.0\"\nAR=[TYPE=\"IP4\",IP=\"{first}\",SIZE=\"400000\"]"
        );
        life.sandbox.add_vnet_from(&text, &[0]).unwrap();
    }
    life
}

/// A cloud in which so many clusters with so many VMs each run, ten of each user, beside so many VMs of others.
pub fn with(clusters: usize, vms: usize, foreign: usize) -> Life {
    let mut life = roomy();
    let spec = spec(vms);
    let start = life.sandbox.now();
    for number in 0..clusters {
        let user = format!("user{}", number / EACH);
        if number % EACH == 0 {
            life.sandbox.add_user(&user, "pw", 1);
        }
        life.create(&format!("{user}:pw"), &format!("c{number}"), &spec);
    }
    // Only when nothing happens by itself any more: to look at all documents takes long.
    while running(&life) < clusters {
        assert!(life.sandbox.now() < start + 24 * 3600, "{}", life.report());
        life.pass_time(120);
    }
    let text = "NAME=\"web\"\nCPU=\"0.1\"\nMEMORY=\"64\"";
    for _ in 0..foreign {
        life.ask(
            "mallory:mallorypw",
            "one.vm.allocate",
            &[text.into(), false.into()],
        );
    }
    life.pass_time(200);
    assert_eq!(life.errors, Vec::<String>::new());
    life
}

/// A cloud in which so many clusters with so many VMs each run, ten of each user, beside so many VMs of others. The
/// front-end knows none of them yet.
pub fn of_copies(clusters: usize, vms: usize, foreign: usize) -> Life {
    let mut life = roomy();
    let mut model = Model::new(&mut life, &spec(vms));
    for number in 1..clusters {
        model.copy(&life, u32::try_from(number - 1).unwrap());
    }
    if foreign > 0 {
        let text = "NAME=\"web\"\nCPU=\"0.1\"\nMEMORY=\"64\"";
        let params = [text.into(), false.into()];
        let vm = life.ask("mallory:mallorypw", "one.vm.allocate", &params);
        life.pass_time(200);
        let model = [(ObjectKind::Vm, u32::try_from(vm.as_int().unwrap()).unwrap())];
        let owner = life.sandbox.vm(model[0].1).unwrap().meta.uid;
        for _ in 1..foreign {
            life.sandbox.copy(&model, owner, |_| {}).unwrap();
        }
    }
    assert_eq!(life.errors, Vec::<String>::new());
    life.forget_notes();
    life
}

/// How many clusters run.
pub fn running(life: &Life) -> usize {
    let documents = life.sandbox.documents();
    documents
        .iter()
        .filter(|d| d.template.get("STATE") == Some("RUNNING"))
        .count()
}
