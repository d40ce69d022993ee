//! What a handle shows.

use std::collections::BTreeMap;

use super::{
    ACTION, Attributes, CLUSTER_ID, ENDPOINT, ERROR, GROUP, INPUT, MESSAGE, NO_HOST, NODES, PROTECTION,
    QUESTIONS, REPLACES, REQUIREMENTS, Record, SHOWN, STATE, TAG, VERSION, group,
};
use crate::spec::Spec;
use crate::state::ClusterState;
use crate::status::{Status, Truth};
use crate::text::shorten;

/// Most bytes of a message. It is read in a column of Sunstone.
const MAX_MESSAGE: usize = 800;

/// What the attributes are to be; `None` for one that must not be there.
pub type Picture = BTreeMap<String, Option<String>>;

/// What is known of the handle besides its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The VM.
    pub vm: u32,
    /// The proof for it and the cluster.
    pub proof: &'a str,
    /// How many orders were taken from it.
    pub turn: u32,
    /// The answer to what was written on it last, if that needs one.
    pub answer: Option<&'a str>,
}

/// What can be edited, as SPEC has it.
pub fn wishes(spec: &Spec, status: &Status) -> Record {
    let groups = spec.node_groups.iter().map(|g| {
        let known = status.node_groups.iter().find(|s| s.key == g.name && !s.removed);
        let replicas = known.and_then(|s| s.target.as_ref()).map(|goal| goal.replicas);
        (group::attribute(&g.name), group::text(g, replicas))
    });
    Record {
        version: spec.kubernetes_version.clone(),
        protected: spec.deletion_protection,
        groups: groups.collect(),
        ..Record::default()
    }
}

/// What the handle of a cluster is to show. `spec` is what the document says, or what was accepted where that can't be read;
/// `there` is what the handle has or is known to have.
pub fn picture(spec: Option<&Spec>, status: &Status, shown: &Shown<'_>, there: &Attributes) -> Picture {
    let mut picture = Picture::new();
    let record = Record {
        vm: shown.vm,
        cluster: status.document,
        proof: shown.proof.to_owned(),
        turn: shown.turn,
        ..spec.map(|spec| wishes(spec, status)).unwrap_or_default()
    };
    let mut set = |name: &str, value: Option<String>| {
        picture.insert(name.to_owned(), value.filter(|text| !text.is_empty()));
    };
    set(TAG, Some("YES".to_owned()));
    set(CLUSTER_ID, Some(status.document.to_string()));
    set(STATE, Some(status.state.to_string()));
    let endpoint = status.endpoint.as_ref();
    set(
        ENDPOINT,
        endpoint.map(|e| format!("https://{}:{}", e.host, e.port)),
    );
    set(NODES, Some(nodes(status)));
    let trouble = trouble(status);
    let message = shown.answer.map(str::to_owned).or_else(|| trouble.clone());
    set(
        MESSAGE,
        Some(shorten(message.unwrap_or_else(|| progress(status)), MAX_MESSAGE)),
    );
    let error = trouble.filter(|_| is_error(status));
    set(ERROR, error.map(|text| shorten(text, MAX_MESSAGE)));
    for name in [ACTION, REPLACES].iter().chain(&QUESTIONS) {
        set(name, None);
    }
    set(REQUIREMENTS, Some(NO_HOST.to_owned()));
    // Without a SPEC nobody knows what groups are to be, and what the handle says of them stays.
    if spec.is_some() {
        set(VERSION, Some(record.version.clone()));
        set(PROTECTION, record.protected.then(|| "YES".to_owned()));
        for name in there.keys().filter(|name| name.starts_with(GROUP)) {
            set(name, None);
        }
        for (name, text) in &record.groups {
            set(name, Some(text.clone()));
        }
    }
    for name in there.keys().filter(|name| name.starts_with(INPUT)) {
        set(name, None);
    }
    set(SHOWN, Some(record.to_text()));
    picture
}

/// The name of a service whose VM stands for a cluster: the name that people gave it, where the cluster is reached, and what
/// is wrong. OneFlow shows nothing else of a cluster; it changes twice in a good life.
pub fn service_name(given: &str, status: &Status) -> String {
    let host = status.endpoint.as_ref().filter(|_| status.provisioned);
    let state = status.state.as_str();
    let quiet = status.provisioned && !state.ends_with("_FAILURE") && status.deletion.is_none();
    let state = match state {
        "PENDING" => "PROVISIONING",
        other => other,
    };
    // What we said before is no part of the name.
    let given = given.split(" (").next().unwrap_or_default();
    let mut name = shorten(given, 60);
    match host {
        Some(host) if quiet => name = format!("{name} ({})", host.host),
        Some(host) => name = format!("{name} ({}, {state})", host.host),
        None => name = format!("{name} ({state})"),
    }
    // What oned allows in names.
    name.retain(|c| !"&|:\\\";/'#{}$<>".contains(c) && !c.is_control());
    name
}

/// What must be written so that the handle shows the picture.
pub fn changes(picture: &Picture, there: &Attributes) -> Picture {
    let differs = |(name, value): &(&String, &Option<String>)| {
        // oned keeps an attribute that was emptied, and trims what is stored.
        let has = there.get(*name).map(|text| text.trim());
        match value {
            Some(value) => has != Some(value.trim()),
            None => has.is_some(),
        }
    };
    let changed = picture.iter().filter(differs);
    changed
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn nodes(status: &Status) -> String {
    let groups = status
        .groups()
        .filter(|g| g.want > 0 || g.ready > 0 || !g.vms.is_empty());
    let all: Vec<String> = groups
        .map(|g| format!("{} {}/{}", g.key, g.ready, g.want))
        .collect();
    shorten(all.join(", "), MAX_MESSAGE)
}

/// Is the cluster in a state that Sunstone is to show in red?
fn is_error(status: &Status) -> bool {
    let refused = status.state == ClusterState::Pending
        && status
            .condition("Accepted")
            .is_some_and(|c| c.status == Truth::False);
    refused || status.state.as_str().ends_with("_FAILURE") || status.condition("OwnerChanged").is_some()
}

/// What is wrong, with its cause.
pub(super) fn trouble(status: &Status) -> Option<String> {
    let told = |kind: &str, truth: Truth| {
        let condition = status.condition(kind).filter(|c| c.status == truth);
        condition.map(|c| c.message.clone())
    };
    if let Some(text) = told("OwnerChanged", Truth::True) {
        return Some(text);
    }
    let group = status.groups().find_map(|g| {
        let error = g.error.as_ref()?;
        Some(format!("{}: {}", g.key, error.message))
    });
    let failed = status.state.as_str().ends_with("_FAILURE");
    let last = status.last_error.as_ref().filter(|_| failed);
    group
        .or_else(|| last.map(|error| error.message.clone()))
        .or_else(|| told("Accepted", Truth::False))
        .or_else(|| told("Observed", Truth::False))
        .or_else(|| told("DeletionProtected", Truth::True))
        .or_else(|| told("Retrying", Truth::True))
        .or_else(|| {
            let warned = status.state == ClusterState::Warning;
            told("Ready", Truth::False).filter(|text| warned && !text.is_empty())
        })
}

fn progress(status: &Status) -> String {
    let step = status.operation.as_ref().map(|o| o.step.as_str());
    match step.filter(|step| !step.is_empty()) {
        Some(step) => step.to_owned(),
        None if status.state == ClusterState::Running && status.kubeconfig => {
            format!(
                "complete; for access: oneks kubeconfig cluster {}",
                status.document
            )
        }
        None if status.state == ClusterState::Running => "complete".to_owned(),
        None if status.condition("Paused").is_some() => "paused".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::LastError;

    fn spec() -> Spec {
        Spec::parse(
            r#"{"kubernetes_version":"v1.33.7","deployment":{"cluster":{"id":0},"networks":{"public":{"id":0},"private":{"id":1}}},
            "control_plane":{"flavour":"standalone"},"node_groups":[{"name":"workers","flavour":"small","user_inputs_values":{"count":2}}]}"#,
        )
        .unwrap()
    }

    fn draw(status: &Status, answer: Option<&str>, there: &Attributes) -> Picture {
        let shown = Shown {
            vm: 42,
            proof: "p",
            turn: 1,
            answer,
        };
        picture(Some(&spec()), status, &shown, there)
    }

    fn attributes(picture: &Picture) -> Attributes {
        let there = picture.iter().filter_map(|(n, v)| Some((n.clone(), v.clone()?)));
        there.collect()
    }

    #[test]
    fn what_is_shown_needs_no_further_write() {
        let mut status = Status::new(7);
        status.state = ClusterState::Running;
        let old = Attributes::from([
            ("ONEAPP_KUBERNETES_CLUSTER_NAME".to_owned(), "shop".to_owned()),
            ("ONEKS_GROUP_GONE".to_owned(), "2 small".to_owned()),
            ("ONEKS_ACTION".to_owned(), "recover".to_owned()),
            ("ERROR".to_owned(), "of yesterday".to_owned()),
        ]);
        let first = changes(&draw(&status, None, &old), &old);
        for gone in old.keys() {
            assert_eq!(first.get(gone), Some(&None), "{gone}");
        }
        let now = attributes(&first);
        assert_eq!(now["ONEKS_GROUP_WORKERS"], "2 small");
        assert_eq!(now["ONEKS_KUBERNETES_VERSION"], "v1.33.7");
        assert_eq!(changes(&draw(&status, None, &now), &now), Picture::new());
        // An answer, and then a state: no more than what changed.
        let told = changes(&draw(&status, Some("no"), &now), &now);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["ONEKS_MESSAGE"]);
        status.state = ClusterState::Scaling;
        let scaled = changes(&draw(&status, None, &now), &now);
        assert!(
            scaled.contains_key("ONEKS_STATE") && !scaled.contains_key(SHOWN),
            "{scaled:?}"
        );
    }

    #[test]
    fn failures_are_red_and_only_those() {
        let mut status = Status::new(7);
        let none = Attributes::new();
        assert_eq!(draw(&status, None, &none)["ERROR"], None);
        status.set_condition(
            5,
            "Accepted",
            Truth::False,
            "InvalidSpec",
            "kubernetes_version: no",
        );
        assert_eq!(
            draw(&status, None, &none)["ERROR"].as_deref(),
            Some("kubernetes_version: no")
        );
        status.state = ClusterState::Running;
        let refused = draw(&status, None, &none);
        assert_eq!(
            (&refused["ERROR"], refused["ONEKS_MESSAGE"].as_deref()),
            (&None, Some("kubernetes_version: no"))
        );
        status.clear_condition("Accepted");
        status.state = ClusterState::ScalingFailure;
        status.control_plane.error = Some(LastError {
            reason: "X".into(),
            message: "VM 3 failed".into(),
            object: None,
            since: 1,
        });
        let failed = draw(&status, None, &none);
        assert_eq!(failed["ERROR"].as_deref(), Some("control-plane: VM 3 failed"));
        assert_eq!(failed["ERROR"], failed["ONEKS_MESSAGE"]);
    }

    #[test]
    fn a_service_sees_where_the_cluster_is_and_whether_it_failed() {
        let mut status = Status::new(7);
        assert_eq!(service_name("a:b", &status), "ab (PROVISIONING)");
        status.endpoint = Some(oneks_driver::Endpoint {
            host: "192.0.2.7".into(),
            port: 6443,
        });
        status.state = ClusterState::Provisioning;
        assert_eq!(service_name("shop (PENDING)", &status), "shop (PROVISIONING)");
        status.provisioned = true;
        for state in [
            ClusterState::Running,
            ClusterState::Scaling,
            ClusterState::Warning,
        ] {
            status.state = state;
            assert_eq!(service_name("shop (PROVISIONING)", &status), "shop (192.0.2.7)");
        }
        status.state = ClusterState::UpgradingFailure;
        assert_eq!(
            service_name("shop (192.0.2.7)", &status),
            "shop (192.0.2.7, UPGRADING_FAILURE)"
        );
    }

    #[test]
    fn without_a_spec_groups_stay_as_they_are() {
        let there = Attributes::from([("ONEKS_GROUP_WORKERS".to_owned(), "2".to_owned())]);
        let shown = Shown::default();
        let picture = picture(None, &Status::new(7), &shown, &there);
        assert!(!picture.contains_key("ONEKS_GROUP_WORKERS") && !picture.contains_key(VERSION));
    }
}
