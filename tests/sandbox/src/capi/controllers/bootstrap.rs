//! The bootstrap provider: what a node's first boot does, as its user data.

use serde_json::{Value, json};

use super::super::kube::quantity::timestamp;
use super::super::kube::store::{secret, secret_value};
use super::super::kube::{Key, Object};
use super::super::world::{Ctx, Home, PlaneId, Workload};
use super::conditions::{self, Condition};
use super::{cluster_of, is_control_plane, is_paused};

pub(crate) fn reconcile(ctx: &mut Ctx<'_>) {
    for key in ctx.store().keys("RKE2Config") {
        let Some(config) = ctx.get(&key) else { continue };
        let Some((machine, _)) = config.owner("Machine") else {
            continue;
        };
        let Some(machine) = ctx.get(&Key::new("Machine", machine)) else {
            continue;
        };
        let Some(cluster) = cluster_of(ctx, &machine) else {
            continue;
        };
        if config.is_deleting() || config.flag(&["status", "ready"]) || is_paused(&cluster, &config) {
            continue;
        }
        let existing = machine.text(&["spec", "bootstrap", "dataSecretName"]);
        let outcome = if existing.is_empty() {
            generate(ctx, &cluster, &machine, &config)
        } else {
            Ok(existing.into())
        };
        let now = ctx.now;
        match outcome {
            Ok(name) => {
                ctx.modify(&key, |config| {
                    config.set(&["status", "ready"], true);
                    config.set(&["status", "dataSecretName"], name.clone());
                    conditions::set(config, now, &Condition::yes("DataSecretAvailable"));
                    conditions::summarize(config, now, &["DataSecretAvailable"]);
                });
            }
            Err(reason) => {
                ctx.modify(&key, |config| {
                    let condition = Condition::no("DataSecretAvailable", "Info", reason, "");
                    conditions::set(config, now, &condition);
                    conditions::summarize(config, now, &["DataSecretAvailable"]);
                });
                ctx.at(now + 20);
            }
        }
    }
}

/// The name of the Secret with the user data, or what is waited for.
fn generate(
    ctx: &mut Ctx<'_>,
    cluster: &Object,
    machine: &Object,
    config: &Object,
) -> Result<String, &'static str> {
    if !cluster.flag(&["status", "infrastructureReady"]) {
        return Err("WaitingForClusterInfrastructure");
    }
    let server = is_control_plane(machine);
    let initialized = conditions::is_true(cluster, "ControlPlaneInitialized");
    if !initialized && !server {
        return Err("WaitingForControlPlaneAvailable");
    }
    let control_plane = ctx
        .get(&Key::new(
            "RKE2ControlPlane",
            cluster.text(&["spec", "controlPlaneRef", "name"]),
        ))
        .ok_or("WaitingForControlPlaneAvailable")?;
    let registration = if initialized {
        let addresses = control_plane.list(&["status", "availableServerIPs"]);
        Some(
            addresses
                .first()
                .and_then(Value::as_str)
                .ok_or("WaitingForControlPlaneAvailable")?
                .to_owned(),
        )
    } else {
        if !lock(ctx, cluster, machine) {
            return Err("WaitingForControlPlaneAvailable");
        }
        None
    };
    let token = token(ctx, cluster, &control_plane);
    let version = match machine.text(&["spec", "version"]) {
        "" => control_plane.text(&["spec", "version"]),
        version => version,
    };
    let provider = control_plane.text(&["spec", "serverConfig", "cloudProviderName"]);
    let data = user_data(&UserData {
        config,
        server,
        registration: registration.as_deref(),
        token: &token,
        version,
        cloud_provider: if server { provider } else { "" },
    });
    let name = config.name().to_owned();
    let mut data = secret("default", &name, "cluster.x-k8s.io/secret", "value", &data);
    data.set(&["metadata", "labels", super::CLUSTER_NAME], cluster.name());
    data.add_owner(config, true);
    if ctx.get(&Key::new("Secret", &name)).is_none() {
        ctx.store_mut().insert(data);
    }
    Ok(name)
}

/// Only one machine makes a cluster: the others wait until it is there.
fn lock(ctx: &mut Ctx<'_>, cluster: &Object, machine: &Object) -> bool {
    let key = Key::new("ConfigMap", &format!("{}-lock", cluster.name()));
    if let Some(lock) = ctx.get(&key) {
        return lock.text(&["data", "machine"]) == machine.name();
    }
    let mut lock = Object::new("v1", "ConfigMap", "default", &key.name);
    lock.set(&["data", "machine"], machine.name());
    lock.add_owner(cluster, false);
    ctx.store_mut().insert(lock);
    true
}

/// The secret with which nodes join, made once. With it the cluster comes into being.
fn token(ctx: &mut Ctx<'_>, cluster: &Object, control_plane: &Object) -> String {
    let name = format!("{}-token", cluster.name());
    if let Some(token) = ctx
        .get(&Key::new("Secret", &name))
        .and_then(|object| secret_value(&object, "value"))
    {
        return token;
    }
    let token = ctx.store_mut().secret(32);
    let mut object = secret("default", &name, "cluster.x-k8s.io/secret", "value", &token);
    object.set(&["metadata", "labels", super::CLUSTER_NAME], cluster.name());
    object.add_owner(control_plane, true);
    ctx.store_mut().insert(object);
    add_workload(ctx, cluster, &token);
    token
}

fn add_workload(ctx: &mut Ctx<'_>, cluster: &Object, token: &str) -> PlaneId {
    let workload = Workload {
        cluster: cluster.name().into(),
        token: token.into(),
        kubeconfig: kubeconfig(token),
        ..Workload::default()
    };
    let plane = ctx.world.add_plane(Home::Nodes(workload), ctx.cloud);
    ctx.world.planes[ctx.plane]
        .clusters
        .insert(cluster.name().into(), plane);
    plane
}

/// What a server of RKE2 writes for its administrators.
fn kubeconfig(token: &str) -> String {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let pem = |kind: &str, body: &str| {
        encode(format!(
            "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
            encode(format!("{body} {token}"))
        ))
    };
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: https://127.0.0.1:6443\n  \
         name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\n\
         current-context: default\nkind: Config\npreferences: {{}}\nusers:\n- name: default\n  user:\n    \
         client-certificate-data: {}\n    client-key-data: {}\n",
        pem("CERTIFICATE", "made-up authority"),
        pem("CERTIFICATE", "made-up client"),
        pem("EC PRIVATE KEY", "made-up key"),
    )
}

struct UserData<'a> {
    config: &'a Object,
    server: bool,
    registration: Option<&'a str>,
    token: &'a str,
    version: &'a str,
    cloud_provider: &'a str,
}

/// The cloud-config, in the form that the context packages of OpenNebula can carry out.
fn user_data(data: &UserData<'_>) -> String {
    let agent = |path: &[&str]| {
        let mut full = vec!["spec", "agentConfig"];
        full.extend(path);
        data.config.at(&full).cloned()
    };
    let mut rke2 = json!({ "token": data.token });
    if let Some(address) = data.registration {
        rke2["server"] = json!(format!("https://{address}:9345"));
    }
    if !data.cloud_provider.is_empty() {
        rke2["cloud-provider-name"] = json!(data.cloud_provider);
    }
    for (key, path) in [
        ("kubelet-arg", &["kubelet", "extraArgs"][..]),
        ("node-label", &["nodeLabels"]),
        ("node-taint", &["nodeTaints"]),
    ] {
        if let Some(list) = agent(path) {
            rke2[key] = list;
        }
    }
    let service = if data.server { "server" } else { "agent" };
    let kind = if data.server { "server" } else { "agent" };
    let mut commands: Vec<Value> = data.config.list(&["spec", "preRKE2Commands"]).to_vec();
    commands.push(json!(format!(
        "curl -sfL https://get.rke2.io | INSTALL_RKE2_VERSION={} INSTALL_RKE2_TYPE={kind} sh -s -",
        data.version
    )));
    commands.push(json!(format!("systemctl enable rke2-{service}.service")));
    commands.push(json!(format!("systemctl start rke2-{service}.service")));
    commands.push(json!("mkdir -p /run/cluster-api"));
    commands.push(json!(
        "echo success > /run/cluster-api/bootstrap-success.complete"
    ));
    commands.extend(data.config.list(&["spec", "postRKE2Commands"]).to_vec());
    let file = json!({
        "path": "/etc/rancher/rke2/config.yaml", "owner": "root:root", "permissions": "0640",
        "content": rke2.to_string(),
    });
    let body = json!({ "write_files": [file], "runcmd": commands });
    format!(
        "#cloud-config\n{}",
        serde_saphyr::to_string(&body).unwrap_or_default()
    )
}

/// What user data makes of the VM that boots with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Boot {
    pub(crate) token: String,
    pub(crate) server: bool,
    pub(crate) version: String,
    pub(crate) labels: Vec<String>,
    pub(crate) taints: Vec<String>,
    pub(crate) external_cloud: bool,
}

/// Reads user data as the node would. `None`: it is no node's.
pub(crate) fn read(user_data: &str) -> Option<Boot> {
    let body = user_data.strip_prefix("#cloud-config\n")?;
    let value: Value = serde_saphyr::from_str(body).ok()?;
    let file = value["write_files"]
        .as_array()?
        .iter()
        .find(|file| file["path"] == "/etc/rancher/rke2/config.yaml")?;
    let rke2: Value = serde_json::from_str(file["content"].as_str()?).ok()?;
    let install = value["runcmd"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|command| command.contains("INSTALL_RKE2_VERSION="))?;
    let part = |key: &str| {
        let rest = install.split_once(key)?.1;
        Some(rest.split_whitespace().next().unwrap_or_default().to_owned())
    };
    let list = |key: &str| -> Vec<String> {
        rke2[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let external = list("kubelet-arg")
        .iter()
        .any(|argument| argument.trim_start_matches('-') == "cloud-provider=external");
    Some(Boot {
        token: rke2["token"].as_str()?.to_owned(),
        server: part("INSTALL_RKE2_TYPE=")? == "server",
        version: part("INSTALL_RKE2_VERSION=")?,
        labels: list("node-label"),
        taints: list("node-taint"),
        external_cloud: external || rke2["cloud-provider-name"] == "external",
    })
}

/// A moment for a status.
pub(crate) fn moment(now: u64) -> Value {
    json!(timestamp(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_reads_what_was_generated() {
        let mut config = Object::new("bootstrap.cluster.x-k8s.io/v1beta1", "RKE2Config", "default", "c");
        config.set(
            &["spec", "agentConfig", "kubelet", "extraArgs"],
            json!(["--cloud-provider=external"]),
        );
        config.set(&["spec", "agentConfig", "nodeLabels"], json!(["pool=a"]));
        config.set(
            &["spec", "preRKE2Commands"],
            json!(["(RETRY=60; while ! nslookup \"x: y\"; do :; done)"]),
        );
        let data = UserData {
            config: &config,
            server: false,
            registration: Some("192.0.2.1"),
            token: "t0",
            version: "v1.33.7+rke2r1",
            cloud_provider: "",
        };
        let boot = read(&user_data(&data)).unwrap();
        assert_eq!(
            boot,
            Boot {
                token: "t0".into(),
                server: false,
                version: "v1.33.7+rke2r1".into(),
                labels: vec!["pool=a".into()],
                taints: vec![],
                external_cloud: true,
            }
        );
        let server = read(&user_data(&UserData {
            server: true,
            cloud_provider: "external",
            registration: None,
            ..data
        }))
        .unwrap();
        assert!(server.server && server.external_cloud);
        assert_eq!(read("#!/bin/sh\necho"), None);
    }

    #[test]
    fn the_kubeconfig_is_yaml() {
        let value: Value = serde_saphyr::from_str(&kubeconfig("t0")).unwrap();
        assert_eq!(
            value["clusters"][0]["cluster"]["server"],
            "https://127.0.0.1:6443"
        );
    }
}
