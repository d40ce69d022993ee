//! What must be true at the end of an operation, whatever happened on the way.

use std::collections::{BTreeMap, BTreeSet};

use oneks_core::names::Names;
use oneks_core::state::GroupState;
use oneks_core::status::{Status, Truth};
use oneks_sandbox::{CallLog, Remains, VRouter, Vm, VmState, VmTemplate};

use super::operation::{ID, Wanted};
use super::stage::Stage;

/// What was there before the cluster, and objects that are none of the cluster's although they look like it.
#[derive(Clone)]
pub struct Before {
    remains: Remains,
    foreign: Foreign,
}

/// Objects that are none of the cluster's.
#[derive(Clone)]
struct Foreign {
    vms: Vec<Vm>,
    templates: Vec<VmTemplate>,
    routers: Vec<VRouter>,
}

impl Foreign {
    fn of(stage: &Stage, known: &Remains) -> Self {
        let sandbox = &stage.sandbox;
        let (vms, templates, routers) = (sandbox.vms(), sandbox.templates(), sandbox.vrouters());
        let vms = vms.into_iter();
        let templates = templates.into_iter();
        let routers = routers.into_iter();
        Self {
            vms: vms.filter(|o| known.vms.contains_key(&o.meta.id)).collect(),
            templates: templates
                .filter(|o| known.templates.contains_key(&o.meta.id))
                .collect(),
            routers: routers
                .filter(|o| known.vrouters.contains_key(&o.meta.id))
                .collect(),
        }
    }
}

impl Before {
    /// The cloud as it is now, without any cluster.
    pub fn of(stage: &Stage) -> Self {
        let remains = stage.sandbox.remains();
        let foreign = Foreign::of(stage, &remains);
        Self { remains, foreign }
    }

    /// What is there that was not there before.
    pub fn left_over(&self, stage: &Stage) -> Vec<String> {
        stage.sandbox.remains().since(&self.remains)
    }

    /// What of the objects that are none of the cluster's is no longer as it was.
    pub fn touched(&self, stage: &Stage) -> Vec<String> {
        let now = Foreign::of(stage, &self.remains);
        let was = &self.foreign;
        let vms = was
            .vms
            .iter()
            .filter(|o| !now.vms.contains(o))
            .map(|o| &o.meta.name);
        let templates = was.templates.iter().filter(|o| !now.templates.contains(o));
        let routers = was.routers.iter().filter(|o| !now.routers.contains(o));
        vms.map(|name| format!("VM {name}"))
            .chain(templates.map(|o| format!("template {}", o.meta.name)))
            .chain(routers.map(|o| format!("virtual router {}", o.meta.name)))
            .collect()
    }
}

/// Is the cluster as wanted, or, if none is wanted, gone with everything?
pub fn is_done(wanted: Option<&Wanted>, stage: &Stage, before: &Before) -> bool {
    match wanted {
        Some(wanted) => {
            stage.state(ID) == "RUNNING" && stage.status(ID).is_some_and(|status| accepted(&status, wanted))
        }
        None => stage.state(ID) == "GONE" && before.left_over(stage).is_empty(),
    }
}

fn accepted(status: &Status, wanted: &Wanted) -> bool {
    let Some(spec) = &status.accepted else {
        return false;
    };
    let count = |name: &str| status.node_groups.iter().find(|g| g.key == name).map(|g| g.want);
    let rotated = status.rotated.is_some() && status.rotation.is_none();
    spec.kubernetes_version == wanted.version
        && (rotated || !wanted.rotated)
        && status.node_groups.len() == wanted.groups.len()
        && wanted
            .groups
            .iter()
            .all(|(name, want)| count(name) == Some(*want))
}

/// What is wrong with a cluster that should be as wanted. Empty if nothing is.
pub fn complaints(stage: &Stage, wanted: &Wanted) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(status) = stage.status(ID) else {
        return vec![format!(
            "STATUS can't be read: {:?}",
            stage.attribute(ID, "STATUS")
        )];
    };
    let names = Names::new(ID);
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    must(
        stage.state(ID) == "RUNNING" && status.state.as_str() == "RUNNING",
        "STATE is not RUNNING",
    );
    let ready = status.condition("Ready");
    must(
        ready.is_some_and(|c| c.status == Truth::True),
        "the condition Ready is not true",
    );
    for condition in &status.conditions {
        let kind = condition.kind.as_str();
        let good = ["Ready", "Accepted", "ControlPlaneReady"].contains(&kind)
            || kind == "CredentialRotated" && condition.status == Truth::True;
        must(good, &format!("a condition is left: {condition:?}"));
    }
    must(status.guest_exec.is_none(), "STATUS has a guest command");
    must(status.operation.is_none(), "STATUS has an operation");
    must(status.rotation.is_none(), "STATUS has a rotation");
    must(status.deletion.is_none(), "STATUS has a deletion");
    must(status.kubeconfig, "STATUS says that there is no kubeconfig");
    must(
        stage.attribute(ID, "KUBECONFIG").is_some(),
        "KUBECONFIG is missing",
    );

    let vms = ours(stage);
    let mut groups: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let mut routers = BTreeSet::new();
    for (vm, kind, group) in &vms {
        must(
            vm.state == VmState::Active,
            &format!("VM {} does not run", vm.meta.name),
        );
        match kind.as_str() {
            "CONTROL_PLANE" | "NODE" => drop(
                groups
                    .entry(group.unwrap_or(u32::MAX))
                    .or_default()
                    .insert(vm.meta.id),
            ),
            "ROUTER" | "CLUSTER_ROUTER" => drop(routers.insert(vm.meta.id)),
            _ => must(false, &format!("VM {} ({kind}) is left", vm.meta.name)),
        }
    }
    let noted: BTreeMap<u32, BTreeSet<u32>> = status
        .groups()
        .map(|group| (group.id, group.vms.iter().map(|vm| vm.id).collect()))
        .collect();
    must(
        groups == noted,
        &format!("STATUS notes the nodes {noted:?}, there are {groups:?}"),
    );
    let noted: BTreeSet<u32> = status
        .control_plane
        .router
        .iter()
        .flat_map(|r| r.vms.iter().map(|vm| vm.id))
        .collect();
    must(
        routers == noted && routers.len() == 1,
        &format!("STATUS notes the router's VMs {noted:?}, there are {routers:?}"),
    );

    let mut sizes: BTreeMap<&str, usize> = wanted
        .groups
        .iter()
        .map(|(name, n)| (*name, *n as usize))
        .collect();
    sizes.insert("control-plane", 1);
    for group in status.groups() {
        let key = group.key.as_str();
        must(
            group.state == GroupState::Running,
            &format!("group {key} is in {}", group.state),
        );
        must(
            sizes.remove(key) == Some(group.vms.len()),
            &format!("group {key} has {} nodes", group.vms.len()),
        );
        must(
            group.version.as_deref() == Some(wanted.version),
            &format!("group {key} has version {:?}", group.version),
        );
        must(
            group.work.is_none() && group.error.is_none(),
            &format!("group {key}: {:?} {:?}", group.work, group.error),
        );
    }
    must(sizes.is_empty(), &format!("groups are missing: {sizes:?}"));
    for version in versions(stage) {
        must(
            version.contains(wanted.version),
            &format!("a node has version {version}"),
        );
    }

    let router: Vec<_> = stage
        .sandbox
        .vrouters()
        .into_iter()
        .filter(|r| names.owns(&r.meta.name) && r.meta.uid == OWNER)
        .collect();
    must(router.len() == 1, &format!("there are {} routers", router.len()));
    let endpoint = stage.attribute(ID, "ENDPOINT").unwrap_or_default();
    let address = status
        .endpoint
        .as_ref()
        .map(|e| e.host.clone())
        .unwrap_or_default();
    must(
        !address.is_empty() && endpoint.contains(&address),
        &format!("ENDPOINT is {endpoint:?}, in STATUS {address:?}"),
    );
    let leased = stage.sandbox.leases(0).into_iter().any(|(ip, _)| ip == address);
    must(leased, &format!("the endpoint's address {address} is nobody's"));
    let tokens = stage.sandbox.tokens("alice").len();
    must(tokens <= 1, &format!("there are {tokens} login tokens"));
    wrong
}

/// User id of the cluster's owner.
pub const OWNER: u32 = 2;

/// The live VMs that carry the cluster's tag and name and are the owner's, with TYPE and group of the tag.
fn ours(stage: &Stage) -> Vec<(Vm, String, Option<u32>)> {
    let names = Names::new(ID);
    let ours = |vm: &Vm| vm.meta.uid == OWNER && names.owns(&vm.meta.name);
    let tag = |vm: &Vm, key: &str| vm.user_template.get_in("ONEKS", key).map(str::to_owned);
    let vms = stage.sandbox.live_vms().into_iter().filter(ours);
    vms.filter(|vm| tag(vm, "CLUSTER_ID").as_deref() == Some("0"))
        .map(|vm| {
            let kind = tag(&vm, "TYPE").unwrap_or_default();
            let group = tag(&vm, "GROUP_ID").and_then(|id| id.parse().ok());
            (vm, kind, group)
        })
        .collect()
}

/// The versions of all nodes, as those say who make them.
fn versions(stage: &Stage) -> Vec<String> {
    match &stage.guests {
        Some(guests) => {
            let nodes = guests.objects(&Names::new(ID).cluster(), false, "Node");
            nodes
                .iter()
                .map(|node| node.text(&["status", "nodeInfo", "kubeletVersion"]).to_owned())
                .collect()
        }
        None => ours(stage)
            .iter()
            .filter(|(_, kind, _)| kind == "NODE" || kind == "CONTROL_PLANE")
            .map(|(vm, ..)| {
                vm.user_template
                    .get("ONEKS_KUBERNETES_VERSION")
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect(),
    }
}

/// How often objects of each kind were made, by the calls that make them.
pub fn made(log: &CallLog) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for call in log.calls.iter().filter(|call| call.code == 0) {
        let makes = call.method.ends_with(".allocate") || call.method == "one.vrouter.instantiate";
        if makes && call.method != "one.document.allocate" {
            *count.entry(call.method.clone()).or_default() += 1;
        }
    }
    count
}

/// Calls that were made with the rights of somebody else than the owner, where the owner's are enough. Reading as
/// oneadmin changes nothing; documents are the hooks' own to write.
pub fn overreach(log: &CallLog) -> Vec<String> {
    let harmless = ["one.zone.raftstatus", "one.system.version"];
    let reads = |method: &str| method.contains("info") || harmless.contains(&method);
    let good = |user: &str, method: &str, failed: bool| match user {
        "oneadmin" => reads(method) || ["one.document.update", "one.document.delete"].contains(&method),
        "alice" => true,
        // A fault refused it before OpenNebula looked for whom the server speaks.
        "serveradmin" => failed,
        _ => false,
    };
    let bad = log
        .calls
        .iter()
        .filter(|call| !good(&call.user, &call.method, call.code != 0));
    bad.map(|call| format!("{} as {:?}", call.method, call.user))
        .collect()
}
