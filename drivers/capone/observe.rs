//! What the probe's output says.

use oneks_driver::{DriverError, Group, Node, Observation, Output, Role, reason};

use crate::probe::{ClusterReport, GroupReport, Machine, Report};
use crate::settings::Settings;

/// The probe could not ask Kubernetes.
const PROBE_FAILED: &str = "ProbeFailed";

/// Most causes in a message.
const CAUSES: usize = 4;

/// Answers `observe`.
///
/// # Errors
/// `ProbeFailed` and `BadOutput`, both to be tried again.
pub fn observe(group: &Group, output: Option<&Output>) -> Result<Observation, DriverError> {
    let report = read(group, output)?;
    let wanted_version = Settings::of(group)?.rke2.version(&group.version);
    let live: Vec<&Machine> = report.machines.iter().filter(|m| !m.deleting).collect();
    let causes = causes(group, &report, &wanted_version);
    Ok(Observation {
        forgotten: forgotten(group, &report, causes.is_empty()),
        settled: causes.is_empty(),
        unmanaged: group.role == Role::ControlPlane && report.cluster.is_none() && report.group.is_none(),
        replicas: count(report.machines.len()),
        ready: count(live.iter().filter(|m| m.ready).count()),
        updated: count(live.iter().filter(|m| runs(m, &wanted_version)).count()),
        version: lowest(&report.machines),
        nodes: report.machines.iter().map(node).collect(),
        message: (!causes.is_empty()).then(|| summary(causes)),
    })
}

/// The VMs that nothing stands for, where nothing can be on its way: the group is what it is to be, or was removed to its
/// last machine. While the cluster is paused, deleted or moved elsewhere, nobody can say.
fn forgotten(group: &Group, report: &Report, settled: bool) -> Option<Vec<u32>> {
    let works = |c: &ClusterReport| !c.paused && !c.deleting;
    let removed = group.role == Role::NodeGroup
        && group.replicas == 0
        && report.group.is_none()
        && report.machines.is_empty();
    let certain = report.cluster.as_ref().is_some_and(works) && (settled || removed);
    report.forgotten.clone().filter(|_| certain)
}

fn read(group: &Group, output: Option<&Output>) -> Result<Report, DriverError> {
    let Some(output) = output else {
        return Err(DriverError::fatal(
            reason::BAD_REQUEST,
            "capone observes by the output of its probe; there is none",
        ));
    };
    if output.return_code != 0 {
        return Err(DriverError::retry(
            PROBE_FAILED,
            format!(
                "Kubernetes could not be asked about {}: {}",
                group.name,
                last_line(output)
            ),
        ));
    }
    serde_json::from_str(&output.stdout).map_err(|e| {
        DriverError::retry(
            reason::BAD_OUTPUT,
            format!("the probe's answer about {} can't be read: {e}", group.name),
        )
    })
}

/// The last line of what a script said on standard error, cut to a readable length.
pub fn last_line(output: &Output) -> String {
    let line = output
        .stderr
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty());
    match line {
        Some(line) => line.chars().take(300).collect(),
        None => format!("exit status {}", output.return_code),
    }
}

/// Everything that keeps the group from being settled, the most telling first.
fn causes(group: &Group, report: &Report, wanted_version: &str) -> Vec<String> {
    let kind = match group.role {
        Role::ControlPlane => "RKE2ControlPlane",
        Role::NodeGroup => "MachineDeployment",
    };
    let Some(object) = &report.group else {
        return vec![format!("{kind} {} does not exist", group.name)];
    };
    let mut causes = Vec::new();
    if !object.failure.is_empty() {
        causes.push(format!("{kind} has failed: {}", object.failure));
    }
    match &report.cluster {
        None => causes.push("the Cluster API cluster does not exist".to_owned()),
        Some(cluster) if cluster.deleting => {
            causes.push("the Cluster API cluster is being deleted".to_owned());
        }
        Some(cluster) if cluster.paused => {
            causes.push("the Cluster API cluster is paused: its controllers do nothing".to_owned());
        }
        Some(_) => {}
    }
    if object.deleting {
        causes.push(format!("{kind} {} is being deleted", group.name));
    }
    match object.wanted {
        Some(wanted) if wanted == group.replicas => {}
        Some(wanted) => causes.push(format!("{kind} asks for {wanted} nodes, not {}", group.replicas)),
        None => causes.push(format!("{kind} does not say how many nodes it wants")),
    }
    if object.version != wanted_version {
        causes.push(format!(
            "{kind} asks for {:?}, not {wanted_version}",
            object.version
        ));
    }
    if object.generation.is_none() || object.observed != object.generation {
        causes.push(format!(
            "the controller has not yet seen the last change of {kind}"
        ));
    }
    causes.extend(counts(group, object));
    causes.extend(report.machines.iter().filter_map(|m| unfit(m, wanted_version)));
    causes.extend(outdated(&report.machines, wanted_version));
    let machines = count(report.machines.len());
    if machines != group.replicas && object.replicas == Some(group.replicas) {
        causes.push(format!("machines: {} wanted, {machines} there", group.replicas));
    }
    if !causes.is_empty() {
        causes.extend(report.conditions.iter().map(|c| {
            let detail = if c.message.is_empty() {
                &c.reason
            } else {
                &c.message
            };
            format!("{} is {}: {detail}", c.kind, c.status)
        }));
    }
    causes
}

/// The counts of the status that differ from what is wanted.
fn counts(group: &Group, object: &GroupReport) -> Option<String> {
    let wanted = group.replicas;
    let [replicas, updated, ready] =
        [object.replicas, object.updated, object.ready].map(Option::unwrap_or_default);
    let unavailable = object.unavailable.unwrap_or_default();
    if [replicas, updated, ready] == [wanted; 3] && unavailable == 0 {
        return None;
    }
    Some(format!(
        "nodes: {wanted} wanted, {replicas} there, {ready} ready, {updated} up to date"
    ))
}

/// Why a machine is not as it should be.
fn unfit(machine: &Machine, wanted_version: &str) -> Option<String> {
    let name = &machine.name;
    let why = if machine.message.is_empty() {
        &machine.reason
    } else {
        &machine.message
    };
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    if machine.deleting {
        Some(format!("{name} is being deleted{why}"))
    } else if machine.node.is_empty() {
        Some(format!("{name} has no node yet ({}){why}", machine.phase))
    } else if !machine.ready {
        Some(format!("the node of {name} is not ready{why}"))
    } else if machine.version == wanted_version && machine.kubelet != wanted_version {
        Some(format!("the node of {name} runs {}", machine.kubelet))
    } else if machine.phase != "Running" {
        Some(format!("{name} is {}{why}", machine.phase))
    } else {
        None
    }
}

/// How many machines are still of another version.
fn outdated(machines: &[Machine], wanted_version: &str) -> Option<String> {
    let mut old: Vec<&str> = machines
        .iter()
        .filter(|m| !m.deleting && m.version != wanted_version)
        .map(|m| m.version.as_str())
        .collect();
    let number = old.len();
    old.sort_unstable();
    old.dedup();
    (number > 0).then(|| format!("nodes still of version {}: {number}", old.join(", ")))
}

fn summary(mut causes: Vec<String>) -> String {
    let more = causes.len().saturating_sub(CAUSES);
    causes.truncate(CAUSES);
    let text = causes.join("; ");
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    let text = format!("{text}{rest}");
    text.chars().filter(|c| !c.is_control()).take(800).collect()
}

fn runs(machine: &Machine, version: &str) -> bool {
    machine.version == version && machine.kubelet == version
}

fn node(machine: &Machine) -> Node {
    Node {
        name: if machine.node.is_empty() {
            &machine.name
        } else {
            &machine.node
        }
        .clone(),
        vm: vm_id(&machine.provider).or_else(|| vm_id(&machine.node_provider)),
        ready: machine.ready && !machine.deleting,
        version: (!machine.kubelet.is_empty()).then(|| plain(&machine.kubelet).to_owned()),
    }
}

/// The VM of `one://<id>`.
fn vm_id(provider: &str) -> Option<u32> {
    provider.strip_prefix("one://")?.parse().ok()
}

/// A version without its distribution's release.
fn plain(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

/// The lowest version among the nodes.
fn lowest(machines: &[Machine]) -> Option<String> {
    machines
        .iter()
        .map(|m| plain(&m.kubelet))
        .filter_map(|version| {
            let numbers = version.strip_prefix('v')?.split('.').map(str::parse::<u32>);
            Some((numbers.collect::<Result<Vec<_>, _>>().ok()?, version))
        })
        .min()
        .map(|(_, version)| version.to_owned())
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
