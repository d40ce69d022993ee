//! Figures for Prometheus, computed from the documents that the one who asks may see.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use oneks::orders::cluster::Cluster;
use oneks_core::state::ClusterState;
use oneks_core::status::Truth;

/// The figures in Prometheus' text form.
pub fn text(clusters: &[Cluster]) -> String {
    let mut states: BTreeMap<String, usize> = ClusterState::ALL
        .iter()
        .map(|s| (s.as_str().to_owned(), 0))
        .collect();
    for cluster in clusters {
        *states.entry(cluster.state()).or_default() += 1;
    }
    let mut out = String::new();
    family(&mut out, "oneks_clusters", "Clusters by state.");
    for (state, count) in &states {
        sample(&mut out, "oneks_clusters", &[("state", state)], *count as u64);
    }
    family(
        &mut out,
        "oneks_clusters_unreadable",
        "Clusters whose STATUS or SPEC can't be read.",
    );
    let unreadable = clusters
        .iter()
        .filter(|c| c.trouble.is_some() || !c.spec.is_object());
    sample(
        &mut out,
        "oneks_clusters_unreadable",
        &[],
        unreadable.count() as u64,
    );
    for (name, help, value) in FIGURES {
        family(&mut out, name, help);
        for cluster in clusters {
            let Some(value) = value(cluster) else { continue };
            let id = cluster.id().to_string();
            sample(
                &mut out,
                name,
                &[("cluster", &id), ("name", cluster.name())],
                value,
            );
        }
    }
    out
}

/// A figure of a cluster.
type Figure = fn(&Cluster) -> Option<u64>;

const FIGURES: [(&str, &str, Figure); 4] = [
    (
        "oneks_cluster_nodes_wanted",
        "Nodes that the cluster shall have.",
        |c| c.nodes().map(|(_, wanted)| u64::from(wanted)),
    ),
    (
        "oneks_cluster_nodes_ready",
        "Nodes that were ready when last asked.",
        |c| c.nodes().map(|(ready, _)| u64::from(ready)),
    ),
    (
        "oneks_cluster_ready",
        "1 if the cluster is usable, 0 if not.",
        |c| {
            let ready = c.status.as_ref()?.condition("Ready")?;
            Some(u64::from(ready.status == Truth::True))
        },
    ),
    (
        "oneks_cluster_ready_since_seconds",
        "Since when the cluster is usable or not, seconds since the epoch.",
        |c| Some(c.status.as_ref()?.condition("Ready")?.since),
    ),
];

fn family(out: &mut String, name: &str, help: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
        .collect();
    let labels = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", labels.join(","))
    };
    let _ = writeln!(out, "{name}{labels} {value}");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_users_stay_in_their_label() {
        let mut out = String::new();
        sample(&mut out, "m", &[("name", "a\"} 9\nevil{x=\"\\")], 1);
        assert_eq!(out, "m{name=\"a\\\"} 9\\nevil{x=\\\"\\\\\"} 1\n");
        let none = text(&[]);
        assert!(none.contains("oneks_clusters{state=\"RUNNING\"} 0\n"), "{none}");
    }
}
