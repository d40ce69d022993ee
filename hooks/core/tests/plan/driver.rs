//! Three drivers as functions: `guest` works through scripts and leaves the router to the cluster, `routed` works through
//! scripts and has the hooks make the router, `plain` works through VMs alone.

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::{
    Action, Bootstrap, Capabilities, Cluster, DriverError, Endpoint, Group, Info, Kubeconfig, Node, Nodes,
    Observation, Role, Router, Script, Seed, SeedDone, Steps, TemplateText, Validation, VmCondition, VmText,
    answer, secret,
};
use serde_json::{Value, json};

/// Which driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Guest,
    Routed,
    Plain,
}

/// Answers a question, with no memory of earlier ones.
pub fn ask(kind: Kind, action: &Action) -> Result<Value, DriverError> {
    let guest = kind != Kind::Plain;
    match action {
        Action::Info => answer(&Info {
            name: "model".to_owned(),
            version: "1".to_owned(),
            capabilities: Capabilities {
                guest,
                upgrade: true,
                resize_control_plane: true,
                rotate: guest,
            },
        }),
        Action::Validate { .. } => answer(&Validation::default()),
        Action::Bootstrap { cluster, group } => answer(&bootstrap(kind, cluster, group)),
        Action::Provision { group, .. } | Action::Scale { group, .. } | Action::Upgrade { group, .. }
            if !guest =>
        {
            answer(&plain_steps(action_cluster(action), group))
        }
        Action::Deprovision { group, .. } if !guest => answer(&Steps {
            remove: group.vms.iter().map(|vm| vm.id).collect(),
            ..Steps::default()
        }),
        Action::Provision { group, .. } if group.role == Role::ControlPlane => answer(&Steps::default()),
        Action::Provision { group, .. } => answer(&Steps {
            templates: vec![TemplateText {
                name: group.name.clone(),
                text: text(group, "NODE"),
            }],
            script: Some(script(&json!({
                "apply": group.name, "id": group.id, "replicas": group.replicas, "version": group.version
            }))),
            ..Steps::default()
        }),
        Action::Scale { group, .. } => answer(&scripted(
            &json!({ "scale": group.name, "replicas": group.replicas, "labels": group.labels }),
        )),
        Action::Upgrade { group, .. } => answer(&scripted(
            &json!({ "upgrade": group.name, "version": group.version }),
        )),
        Action::Deprovision { group, .. } => answer(&Steps {
            obsolete_templates: vec![group.name.clone()],
            ..scripted(&json!({ "delete": group.name }))
        }),
        Action::Probe { group, wait, .. } => answer(&Script {
            timeout: 120 + wait,
            ..script(&json!({
                "probe": group.name, "wait": wait, "replicas": group.replicas, "version": group.version,
                "vms": group.vms.iter().map(|vm| vm.id).collect::<Vec<_>>()
            }))
        }),
        Action::Observe { group, output, .. } => match output {
            Some(output) => observe_guest(group, &output.stdout),
            None => answer(&observe_plain(group)),
        },
        Action::Kubeconfig {
            output: Some(output), ..
        } => {
            let mut parts = output.stdout.split('|').map(str::to_owned);
            answer(&Kubeconfig {
                kubeconfig: parts.next().unwrap(),
                endpoint: parts.next().map(|host| Endpoint { host, port: 6443 }),
                gateway: parts.next(),
            })
        }
        Action::Kubeconfig { cluster, .. } if guest => answer(&script(
            &json!({ "kubeconfig": true, "addresses": cluster.endpoint.is_none() }),
        )),
        Action::Kubeconfig { .. } => answer(&Kubeconfig {
            kubeconfig: "a kubeconfig".to_owned(),
            endpoint: None,
            gateway: None,
        }),
        Action::Rotate { cluster, .. } if guest => answer(&script(&json!({
            "rotate": cluster.credential, "secret": secret::ONE_AUTH_BASE64
        }))),
        other => Err(DriverError::fatal("UnknownAction", other.name())),
    }
}

fn script(value: &Value) -> Script {
    Script {
        text: value.to_string(),
        timeout: 120,
    }
}

fn scripted(value: &Value) -> Steps {
    Steps {
        script: Some(script(value)),
        ..Steps::default()
    }
}

fn text(group: &Group, kind: &str) -> String {
    let cluster = group.id / 1000;
    format!(
        "CPU=1\nONEKS=[CLUSTER_ID=\"{cluster}\",GROUP_ID=\"{}\",TYPE=\"{kind}\"]\n",
        group.id
    )
}

fn action_cluster(action: &Action) -> &Cluster {
    match action {
        Action::Provision { cluster, .. }
        | Action::Scale { cluster, .. }
        | Action::Upgrade { cluster, .. } => cluster,
        _ => unreachable!(),
    }
}

/// The addresses that a node knows, as its VM says them.
fn addresses(cluster: &Cluster) -> String {
    let endpoint = cluster
        .endpoint
        .as_ref()
        .map(|e| format!("ONEKS_ENDPOINT=\"{}\"\n", e.host));
    let gateway = cluster
        .gateway
        .as_ref()
        .map(|g| format!("ONEKS_GATEWAY=\"{g}\"\n"));
    endpoint.into_iter().chain(gateway).collect()
}

fn bootstrap(kind: Kind, cluster: &Cluster, group: &Group) -> Bootstrap {
    let name = &group.name;
    let template = TemplateText {
        name: format!("{name}-cp"),
        text: text(group, "CONTROL_PLANE"),
    };
    let manifest = json!({
        "id": group.id, "replicas": group.replicas, "version": group.version,
        "endpoint": cluster.endpoint.as_ref().map(|e| &e.host), "gateway": cluster.gateway,
        "credential": cluster.credential,
    });
    let attachments = BTreeMap::from([(
        "manifest".to_owned(),
        format!("{} {manifest}", secret::ONE_AUTH_BASE64),
    )]);
    let done = match kind {
        Kind::Guest | Kind::Routed => SeedDone::Report {
            attribute: "ONEKS_STATE".to_owned(),
            success: "READY".to_owned(),
            failure: "FAILED".to_owned(),
            cause: Some("ONEKS_ERROR".to_owned()),
        },
        Kind::Plain => SeedDone::Running,
    };
    let router = format!("{name}-cp");
    Bootstrap {
        seed: Some(Seed {
            vm: VmText {
                name: format!("{name}-seed"),
                text: text(group, "SEED"),
                attachments,
            },
            done,
            first_report: 600,
            total: 1800,
        }),
        router: match kind {
            Kind::Guest => Router::Cluster {
                name: router,
                repair_after: 300,
            },
            Kind::Plain | Kind::Routed => Router::Hooks {
                name: router,
                text: text(group, "ROUTER"),
                template: template.name.clone(),
                replicas: 1,
            },
        },
        nodes: if kind == Kind::Plain {
            Nodes::Hooks
        } else {
            Nodes::Cluster
        },
        templates: vec![template],
    }
}

/// The version in a plain VM's name.
fn version_of(name: &str) -> Option<String> {
    let (_, last) = name.rsplit_once('-')?;
    let digits = last.strip_prefix('v')?.split_once('n')?.0;
    Some(format!("v1.{}.{}", digits.get(1..3)?, digits.get(3..)?))
}

/// The same, or nothing.
pub fn plain_version(name: &str) -> String {
    version_of(name).unwrap_or_default()
}

fn plain_names(group: &Group) -> Vec<String> {
    let version = group.version.replace('.', "");
    (0..group.replicas)
        .map(|i| format!("{}-{version}n{i}", group.name))
        .collect()
}

fn plain_steps(cluster: &Cluster, group: &Group) -> Steps {
    let kind = if group.role == Role::ControlPlane {
        "CONTROL_PLANE"
    } else {
        "NODE"
    };
    let names = plain_names(group);
    let wanted: BTreeSet<&String> = names.iter().collect();
    let runs = |name: &&String| {
        group
            .vms
            .iter()
            .any(|vm| vm.name == **name && vm.condition == VmCondition::Running)
    };
    let complete = wanted.iter().all(runs);
    let old = group
        .vms
        .iter()
        .filter(|vm| !wanted.contains(&vm.name))
        .map(|vm| vm.id);
    Steps {
        remove: if complete { old.collect() } else { Vec::new() },
        vms: names
            .iter()
            .map(|name| VmText {
                name: name.clone(),
                text: text(group, kind) + &addresses(cluster),
                attachments: BTreeMap::new(),
            })
            .collect(),
        ..Steps::default()
    }
}

fn observe_plain(group: &Group) -> Observation {
    let wanted: BTreeSet<String> = plain_names(group).into_iter().collect();
    let there: BTreeSet<String> = group.vms.iter().map(|vm| vm.name.clone()).collect();
    let running = group
        .vms
        .iter()
        .filter(|vm| vm.condition == VmCondition::Running)
        .count();
    let nodes = group.vms.iter().map(|vm| Node {
        name: vm.name.clone(),
        vm: Some(vm.id),
        ready: vm.condition == VmCondition::Running,
        version: version_of(&vm.name),
    });
    Observation {
        settled: wanted == there && running == group.vms.len(),
        ready: u32::try_from(running).unwrap(),
        nodes: nodes.collect(),
        ..Observation::default()
    }
}

fn observe_guest(group: &Group, stdout: &str) -> Result<Value, DriverError> {
    let seen: Value =
        serde_json::from_str(stdout).map_err(|e| DriverError::retry("BadOutput", e.to_string()))?;
    let nodes: Vec<Node> = serde_json::from_value(seen["nodes"].clone()).unwrap_or_default();
    let wanted = seen["replicas"].as_u64() == Some(u64::from(group.replicas));
    let version = seen["version"].as_str() == Some(group.version.as_str());
    let fit = |n: &&Node| n.ready && n.version.as_deref() == Some(group.version.as_str());
    let complete = nodes.len() == group.replicas as usize && nodes.iter().filter(fit).count() == nodes.len();
    let removed = group.replicas == 0 && seen.get("replicas").is_none();
    let forgotten: Option<Vec<u32>> = serde_json::from_value(seen["forgotten"].clone()).unwrap_or_default();
    let ready = nodes.iter().filter(|n| n.ready).count();
    let sick = nodes.iter().find(|n| !n.ready);
    answer(&Observation {
        unmanaged: group.role == Role::ControlPlane && seen.get("replicas").is_none(),
        message: sick.map(|n| format!("the node of {} is not ready: kubelet stopped", n.name)),
        settled: wanted && version && complete,
        forgotten: forgotten.filter(|_| wanted && version && complete || removed),
        replicas: u32::try_from(nodes.len()).unwrap(),
        ready: u32::try_from(ready).unwrap(),
        version: nodes.iter().filter_map(|n| n.version.clone()).min(),
        nodes,
        ..Observation::default()
    })
}
