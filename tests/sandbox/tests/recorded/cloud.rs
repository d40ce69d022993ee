//! The installation on which the files were recorded.

use oneks_sandbox::{Config, DatastoreKind, ObjectKind, Sandbox, Timings};
use opennebula::xmlrpc::Value;

/// Epoch second at which the story begins.
pub const START: u64 = 1_795_351_900;

/// The cloud as it was at `start`. Drivers are the dummy ones and take no time.
pub fn recorded(start: u64) -> Sandbox {
    let config = Config {
        start,
        timings: Timings {
            exec_probe: 5,
            scheduler_window: 10,
            ..Timings::instant()
        },
        ..Config::default()
    };
    let sandbox = Sandbox::new(config);
    assert_eq!(sandbox.add_user("alice", "alicepw", 1), 2);
    assert_eq!(sandbox.add_user("mallory", "mallorypw", 1), 3);
    sandbox.add_acl("@1 VROUTER/* CREATE #0").unwrap();
    sandbox.add_host("host0", 0, 8, 16 * 1024);
    let vnet = |name: &str, bridge: &str, first: &str| {
        let text = format!(
            "NAME=\"{name}\"\nVN_MAD=\"dummy\"\nBRIDGE=\"{bridge}\"\nAR=[TYPE=\"IP4\",IP=\"{first}\",SIZE=\"100\"]"
        );
        sandbox.add_vnet_from(&text, &[0]).unwrap()
    };
    assert_eq!(vnet("public", "br0", "192.0.2.10"), 0);
    assert_eq!(vnet("private", "br1", "198.51.100.10"), 1);
    for (name, attributes) in [
        ("img", ""),
        ("OneKS Appliance", ""),
        ("oneks-general-router", "DEV_PREFIX=\"vd\""),
        ("oneks-general-node", "DEV_PREFIX=\"vd\""),
    ] {
        sandbox.add_image(name, 1, attributes).unwrap();
    }
    let _ = DatastoreKind::Image;
    let node = "NAME=\"node\"\nCPU=1\nVCPU=1\nMEMORY=128\nDISK=[IMAGE_ID=\"0\"]\nNIC=[NETWORK_ID=\"1\"]\n\
                CONTEXT=[NETWORK=\"YES\",TOKEN=\"YES\"]\n\
                ONEKS=[CLUSTER_ID=\"7\",GROUP_ID=\"3\",TYPE=\"NodeGroup\",CLUSTER_NAME=\"x\"]";
    ask(&sandbox, "one.template.allocate", &[node.into()]);
    let appliance = "NAME=\"OneKS Appliance\"\nCPU=1\nMEMORY=256\nDISK=[IMAGE_ID=\"1\"]\n\
                     CONTEXT=[NETWORK=\"YES\",TOKEN=\"YES\",\
                     ONEAPP_ONEKS_CLUSTER_NAME=\"$ONEAPP_ONEKS_CLUSTER_NAME\",\
                     ONEAPP_ONEKS_CLUSTER_SPEC=\"$ONEAPP_ONEKS_CLUSTER_SPEC\"]";
    ask(&sandbox, "one.template.allocate", &[appliance.into()]);
    for template in 0..2 {
        let mut bits: Vec<Value> = vec![template.into()];
        bits.extend([1, 1, 0, 0, 0, 0, 1, 0, 0].map(Value::from));
        ask(&sandbox, "one.template.chmod", &bits);
    }
    for image in 2..4 {
        let mut bits: Vec<Value> = vec![image.into()];
        bits.extend([1, 1, 0, 0, 0, 0, 0, 0, 0].map(Value::from));
        ask(&sandbox, "one.image.chmod", &bits);
    }
    sandbox
}

/// Makes the next objects get the ids that they had.
pub fn skip(sandbox: &Sandbox, ids: &[(ObjectKind, u32)]) {
    for (kind, next) in ids {
        sandbox.skip_ids(*kind, *next);
    }
}

/// Takes and frees addresses until the next one of a network is the one that was next.
pub fn use_addresses(sandbox: &Sandbox, vnet: i64, count: usize) {
    let vm = format!("NAME=\"taker\"\nCPU=1\nMEMORY=1\nNIC=[NETWORK_ID=\"{vnet}\"]");
    for _ in 0..count {
        let id = ask(sandbox, "one.vm.allocate", &[vm.as_str().into(), true.into()]);
        ask(sandbox, "one.vm.recover", &[id, 3.into()]);
    }
}

pub fn ask(sandbox: &Sandbox, method: &str, params: &[Value]) -> Value {
    sandbox
        .ask("oneadmin:opennebula", method, params)
        .unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Registers the hooks that recorded what hooks read.
pub fn register_hooks(sandbox: &Sandbox) {
    for call in [
        "one.document.allocate",
        "one.document.update",
        "one.document.delete",
        "one.document.clone",
        "one.document.lock",
        "one.vm.allocate",
        "one.vm.update",
        "one.vm.action",
        "one.vm.exec",
        "one.template.instantiate",
        "one.vrouter.allocate",
        "one.vrouter.instantiate",
        "one.vrouter.update",
        "one.vrouter.delete",
        "one.internal.vmmonitor",
    ] {
        let hook = format!(
            "NAME=\"{call}\"\nTYPE=\"api\"\nCOMMAND=\"/bin/true\"\nARGUMENTS=\"$API\"\nARGUMENTS_STDIN=\"YES\"\n\
             CALL=\"{call}\""
        );
        ask(sandbox, "one.hook.allocate", &[hook.into()]);
    }
    for (state, lcm_state) in [
        ("PENDING", "LCM_INIT"),
        ("HOLD", "LCM_INIT"),
        ("DONE", "LCM_INIT"),
        ("POWEROFF", "LCM_INIT"),
        ("ACTIVE", "PROLOG"),
        ("ACTIVE", "BOOT"),
        ("ACTIVE", "RUNNING"),
        ("ACTIVE", "HOTPLUG"),
        ("ACTIVE", "EPILOG"),
        ("ACTIVE", "BOOT_FAILURE"),
    ] {
        let hook = format!(
            "NAME=\"vm-{state}-{lcm_state}\"\nTYPE=\"state\"\nRESOURCE=\"VM\"\nON=\"CUSTOM\"\nSTATE=\"{state}\"\n\
             LCM_STATE=\"{lcm_state}\"\nCOMMAND=\"/bin/true\"\nARGUMENTS=\"$TEMPLATE\"\nARGUMENTS_STDIN=\"YES\""
        );
        ask(sandbox, "one.hook.allocate", &[hook.into()]);
    }
}
