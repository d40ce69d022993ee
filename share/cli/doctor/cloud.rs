//! Checks of what OpenNebula says.

use std::path::Path;

use oneks::registration::Change;
use opennebula::objects::{Acl, Datastore, HookExecution, Image, RaftState, RaftStatus, Resource, Right};
use opennebula::template::Template;

use super::facts::{ImageFacts, RightFacts, Subject};
use super::{Check, Fact, Finding};
use oneks::orders::images::{Found, Purpose};
use oneks::orders::survey::OLDEST;

/// Seconds within which a hook that ran shows that the hook manager is alive.
pub const RECENT: u64 = 900;

/// Records per hook that are enough to look into a problem, and more than make sense.
const RETENTION: (u32, u32) = (5, 200);

/// The kinds of objects that an owner must be allowed to make.
pub const KINDS: [(&str, Resource); 4] = [
    ("DOCUMENT", Resource::Document),
    ("VM", Resource::Vm),
    ("TEMPLATE", Resource::Template),
    ("VROUTER", Resource::Vrouter),
];

pub(super) fn version(version: &Fact<String>) -> Finding {
    let check = Check(
        "version",
        "older versions can't run commands in guests, which is how nodes are asked",
    );
    let version = match version {
        Ok(version) => version,
        Err(reason) => return check.failed(reason.clone(), "systemctl start opennebula"),
    };
    let mut numbers = version.split('.').map_while(|n| n.parse::<u32>().ok());
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST {
        return check.ok(format!("OpenNebula {version}"));
    }
    let (major, minor) = OLDEST;
    check.failed(
        format!("OpenNebula {version}; {major}.{minor} or later is needed"),
        format!("upgrade OpenNebula to {major}.{minor} or later"),
    )
}

pub(super) fn role(raft: &Fact<RaftStatus>, oned: &Fact<Template>) -> Finding {
    let check = Check(
        "front-end",
        "only the leader acts; the hook manager must follow the leadership, or events are served by a front-end that \
         can't write",
    );
    let status = match raft {
        Ok(status) => status,
        Err(reason) => return check.unknown(reason.clone()),
    };
    let name = match status.state {
        RaftState::Solo => return check.ok("the only one"),
        RaftState::Leader => "leader",
        RaftState::Follower => "follower: the leader runs the hooks and sweeps",
        RaftState::Candidate => {
            return check.warning("an election is under way", "onezone show 0");
        }
        RaftState::Other(number) => return check.unknown(format!("RAFT state {number} is not known here")),
    };
    match oned {
        Ok(config) if !config.contains("RAFT_LEADER_HOOK") => check.warning(
            format!("{name}; oned.conf has no RAFT_LEADER_HOOK"),
            "set RAFT_LEADER_HOOK and RAFT_FOLLOWER_HOOK in /etc/one/oned.conf, see the operations guide",
        ),
        _ => check.ok(name),
    }
}

pub(super) fn hooks(changes: &Fact<(usize, Vec<Change>)>, folder: &Path) -> Finding {
    let check = Check(
        "hooks",
        "without a hook its events are noticed only by the sweep, late or not at all",
    );
    let (count, changes) = match changes {
        Ok(known) => known,
        Err(reason) => return check.unknown(reason.clone()),
    };
    if changes.is_empty() {
        return check.ok(format!("all {count} registered, for {}", folder.display()));
    }
    let mut told: Vec<String> = Vec::new();
    for (what, list) in [
        (
            "missing",
            changes
                .iter()
                .filter(|c| matches!(c, Change::Create(_)))
                .collect::<Vec<_>>(),
        ),
        (
            "changed",
            changes
                .iter()
                .filter(|c| matches!(c, Change::Update(..) | Change::Replace(..)))
                .collect(),
        ),
        (
            "of another version",
            changes
                .iter()
                .filter(|c| matches!(c, Change::Delete(..)))
                .collect(),
        ),
    ] {
        match list[..] {
            [] => {}
            [first] => told.push(format!("{} is {what}", first.name())),
            [first, ..] => told.push(format!("{} are {what}, {} among them", list.len(), first.name())),
        }
    }
    check.failed(told.join("; "), "oneks setup")
}

/// Evidence that hooks are run: the process on this machine, or executions that were recorded.
pub(super) fn hook_manager(process: &Fact<bool>, executions: &Fact<Vec<HookExecution>>, now: u64) -> Finding {
    let check = Check(
        "hook manager",
        "it starts the hooks; while it is down, only the sweep moves clusters on",
    );
    let last = executions
        .as_ref()
        .ok()
        .and_then(|all| all.iter().map(|e| e.time).max());
    let ran = last
        .map(|time| now.saturating_sub(time))
        .filter(|age| *age <= RECENT);
    match (process, ran, executions) {
        (Ok(true), _, _) => check.ok("runs here"),
        (_, Some(age), _) => check.ok(format!("ran a hook {age} s ago")),
        (Ok(false), None, _) => check.failed(
            format!(
                "no process onehem-server here, and no hook ran in the last {} minutes",
                RECENT / 60
            ),
            "systemctl enable --now opennebula-hem",
        ),
        (Err(reason), None, _) => check.unknown(reason.clone()),
    }
}

pub(super) fn hook_failures(failures: &Fact<Vec<(String, HookExecution)>>) -> Finding {
    let check = Check(
        "hook results",
        "a hook that can't run leaves its clusters to the sweep",
    );
    match failures {
        Err(reason) => check.unknown(reason.clone()),
        Ok(failures) if failures.is_empty() => check.ok("none failed in the last hour"),
        Ok(failures) => {
            let last = failures.iter().max_by_key(|(_, e)| e.time);
            let (name, id, execution, code) = last.map_or(("", 0, 0, 0), |(name, e)| {
                (name.as_str(), e.hook_id, e.execution_id, e.code)
            });
            check.warning(
                format!(
                    "{} failed in the last hour, last {name} with code {code}",
                    failures.len()
                ),
                format!("onehook show {id} -e {execution}"),
            )
        }
    }
}

pub(super) fn hook_log(oned: &Fact<Template>) -> Finding {
    let check = Check(
        "hook log",
        "oned keeps so many records of each hook; each holds the whole event, which may be large",
    );
    let config = match oned {
        Ok(config) => config,
        Err(reason) => return check.unknown(reason.clone()),
    };
    let retention = config
        .get_in("HOOK_LOG_CONF", "LOG_RETENTION")
        .and_then(|text| text.trim().parse::<u32>().ok());
    let mend =
        "HOOK_LOG_CONF = [ LOG_RETENTION = 20 ] in /etc/one/oned.conf, then systemctl restart opennebula";
    match retention {
        // oned's own default.
        None => check.ok("10 records per hook"),
        Some(n) if n < RETENTION.0 => check.warning(
            format!("{n} records per hook are too few to look into a problem"),
            mend,
        ),
        Some(n) if n > RETENTION.1 => {
            check.warning(format!("{n} records per hook let the database grow"), mend)
        }
        Some(n) => check.ok(format!("{n} records per hook")),
    }
}

pub(super) fn onegate(oned: &Fact<Template>, answer: &Fact<String>) -> Finding {
    let check = Check(
        "OneGate",
        "the seed of a new cluster reports by it; without it every creation ends in a time-out",
    );
    let config = match oned {
        Ok(config) => config,
        Err(reason) => return check.unknown(reason.clone()),
    };
    let Some(endpoint) = config.get("ONEGATE_ENDPOINT").filter(|e| !e.trim().is_empty()) else {
        return check.failed(
            "oned.conf has no ONEGATE_ENDPOINT",
            "ONEGATE_ENDPOINT = \"http://169.254.16.9:5030\" in /etc/one/oned.conf, then systemctl restart opennebula",
        );
    };
    match answer {
        Ok(how) => check.ok(format!("{endpoint}, {how}")),
        Err(reason) => check.failed(
            format!("{endpoint} does not answer: {reason}"),
            "systemctl enable --now opennebula-gate",
        ),
    }
}

pub(super) fn kubeconfig(oned: &Fact<Template>) -> Finding {
    let check = Check(
        "kubeconfig",
        "it gives all rights in a cluster; encrypted, it can't be read from the database or a backup, and only \
         administrators can hand it out",
    );
    match encrypts(oned, "DOCUMENT_ENCRYPTED_ATTR", &["KUBECONFIG"]) {
        Err(reason) => check.unknown(reason),
        Ok(true) => check.ok("encrypted in the database; users get it from an administrator"),
        Ok(false) => check.finding(
            crate::verdict::Verdict::Ok,
            "in clear text in the database, so that users can read their own",
            Some(
                "DOCUMENT_ENCRYPTED_ATTR = \"KUBECONFIG\" in /etc/one/oned.conf would encrypt it".to_owned(),
            ),
        ),
    }
}

pub(super) fn manifest(oned: &Fact<Template>) -> Finding {
    let check = Check(
        "manifest",
        "while a cluster is built, its seed VM holds the cluster's credential for OpenNebula in its context",
    );
    match encrypts(
        oned,
        "VM_ENCRYPTED_ATTR",
        &["CONTEXT/ONEAPP_ONEKS_CLUSTER_SPEC"],
    ) {
        Err(reason) => check.unknown(reason),
        Ok(true) => check.ok("encrypted in the database"),
        Ok(false) => check.warning(
            "the seed VM's context is not encrypted",
            "VM_ENCRYPTED_ATTR = \"CONTEXT/ONEAPP_ONEKS_CLUSTER_SPEC\" in /etc/one/oned.conf, then systemctl restart \
             opennebula",
        ),
    }
}

fn encrypts(oned: &Fact<Template>, setting: &str, wanted: &[&str]) -> Fact<bool> {
    let config = oned.as_ref().map_err(Clone::clone)?;
    let mut named = config.get_all(setting);
    Ok(named.any(|value| wanted.iter().any(|w| value.trim().eq_ignore_ascii_case(w))))
}

pub(super) fn images(facts: &Fact<ImageFacts>) -> Vec<Finding> {
    let check = Check(
        "images",
        "a cluster is refused if its datastore lacks the image of the seed, the nodes or the router",
    );
    let facts = match facts {
        Ok(facts) => facts,
        Err(reason) => return vec![check.unknown(reason.clone())],
    };
    let purposes = Purpose::of(&facts.catalog);
    if purposes.is_empty() {
        return vec![check.unknown("no profile says which images there must be")];
    }
    let lacks = |d: &Datastore| -> Vec<String> {
        let missing = |p: &&Purpose| !matches!(p.find(&facts.images, d.id), Found::Ready(_));
        let mut names: Vec<String> = purposes
            .iter()
            .filter(missing)
            .map(|p| lack(p, &facts.images, d.id))
            .collect();
        names.dedup();
        names
    };
    let stores: Vec<(&Datastore, Vec<String>)> = facts.datastores.iter().map(|d| (d, lacks(d))).collect();
    let complete = stores.iter().filter(|(_, lacks)| lacks.is_empty()).count();
    // A datastore without a single image of ours is not meant for clusters, as long as another one is.
    let meant = |lacks: &[String]| complete == 0 || lacks.len() < purposes.len();
    let mut findings: Vec<Finding> = stores
        .iter()
        .filter(|(_, lacks)| lacks.is_empty() || meant(lacks))
        .map(|(d, lacks)| match &lacks[..] {
            [] => check.ok(format!("datastore {} ({}) has all", d.id, d.name)),
            lacks => check.failed(
                format!("datastore {} ({}) lacks {}", d.id, d.name, lacks.join(", ")),
                format!("oneks images import --datastore {}", d.id),
            ),
        })
        .collect();
    if findings.is_empty() {
        findings.push(check.failed("there is no datastore for images", "onedatastore create"));
    }
    findings
}

fn lack(purpose: &Purpose, images: &[Image], datastore: u32) -> String {
    match purpose.find(images, datastore) {
        Found::NotReady(image) => format!("{} (image {} is not ready)", purpose.name, image.id),
        _ => purpose.name.clone(),
    }
}

pub(super) fn rights(facts: &Fact<RightFacts>) -> Vec<Finding> {
    let check = Check(
        "rights",
        "everything is made as the cluster's owner, who needs the right to do so",
    );
    let facts = match facts {
        Ok(facts) => facts,
        Err(reason) => return vec![check.unknown(reason.clone())],
    };
    if facts.subjects.is_empty() {
        return vec![check.ok("there are no users but administrators")];
    }
    facts
        .subjects
        .iter()
        .map(|subject| {
            let missing = missing_rights(&facts.rules, subject);
            let name = &subject.name;
            if missing.is_empty() {
                return check.ok(format!("{name} may create what a cluster consists of"));
            }
            let found = format!("{name} may not create {}", missing.join(", "));
            let mend = format!(
                "oneacl create \"{} {}/* CREATE *\"",
                subject.rule,
                missing.join("+")
            );
            // Who was asked for must be able to; of all others only some may be meant to.
            if facts.asked {
                check.failed(found, mend)
            } else {
                check.warning(found, mend)
            }
        })
        .collect()
}

/// The kinds of objects that somebody may not make.
pub fn missing_rights(rules: &[Acl], subject: &Subject) -> Vec<&'static str> {
    if subject.user == Some(0) || subject.groups.contains(&0) {
        return Vec::new();
    }
    let may = |resource| {
        rules.iter().any(|rule| {
            // A user that there can't be stands for any member of a group.
            rule.grants(
                subject.user.unwrap_or(u32::MAX),
                &subject.groups,
                resource,
                Right::Create,
                0,
            )
        })
    };
    KINDS
        .into_iter()
        .filter(|(_, resource)| !may(*resource))
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests;
