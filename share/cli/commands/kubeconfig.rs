//! `oneks kubeconfig`.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use oneks::orders::cluster::Cluster;
use oneks::orders::kubeconfig;
use serde_json::{Value, json};

use crate::app::App;
use crate::complete;
use crate::failure::{Failure, with_path};
use crate::select;

/// `oneks kubeconfig`.
#[derive(Debug, Subcommand)]
pub enum Kubeconfig {
    /// Print the kubeconfig of a cluster, or write it to a file
    #[command(
        after_help = "Examples:\n  oneks kubeconfig cluster web\n  # For kubectl, as context web\n  oneks kubeconfig cluster web --merge\n  oneks kubeconfig cluster web --output web.kubeconfig"
    )]
    Cluster(KubeconfigArgs),
}

/// What `kubeconfig cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct KubeconfigArgs {
    /// The cluster, by id or name
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    cluster: String,
    /// Write it to this file, readable by you only, instead of printing it
    #[arg(short, long, value_name = "FILE", conflicts_with = "merge")]
    output: Option<PathBuf>,
    /// Merge it into KUBECONFIG or ~/.kube/config, and make it the current context
    #[arg(short, long)]
    merge: bool,
    /// Name of the context, if not that of the cluster
    #[arg(long, value_name = "NAME", requires = "merge")]
    context: Option<String>,
    /// Leave the current context as it is
    #[arg(long, requires = "merge")]
    keep_current: bool,
}

impl Kubeconfig {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let id = select::cluster(&client, &args.cluster)?;
        let cluster = Cluster::fetch_decrypted(&client, id)?;
        let text = kubeconfig::of(&cluster)?;
        if args.merge {
            let context = args.context.as_deref().unwrap_or(cluster.name());
            let path = default_path(app)?;
            merge(&path, &text, id, context, args.keep_current)?;
            app.out
                .note(&format!("oneks: context {context} is in {}", path.display()));
            return Ok(());
        }
        match &args.output {
            None => app.out.data(&text),
            Some(path) => write(path, &text),
        }
    }
}

/// Writes a secret to a file that only the user can read.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(with_path(path))?;
    // A file that was there before may be open to others.
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(with_path(path))?;
    file.write_all(text.as_bytes()).map_err(with_path(path))
}

/// The file that kubectl writes to.
fn default_path(app: &App) -> Result<PathBuf, Failure> {
    if let Some(list) = app.environment.var("KUBECONFIG")
        && let Some(first) = list.split(':').find(|p| !p.is_empty())
    {
        return Ok(PathBuf::from(first));
    }
    let home = app.environment.var("HOME");
    let home = home.ok_or_else(|| Failure::Usage("HOME is not set; set KUBECONFIG".to_owned()))?;
    Ok(Path::new(&home).join(".kube/config"))
}

/// Puts the entries of a cluster into a file with others. The file is replaced in one step, or not at all.
fn merge(path: &Path, text: &str, id: u32, context: &str, keep_current: bool) -> Result<(), Failure> {
    let there = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(with_path(path)(e)),
    };
    let merged = merged(&there, text, id, context, keep_current)
        .map_err(|reason| Failure::Refused(format!("{}: {reason}", path.display())))?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(with_path(folder))?;
    // A temporary file is readable by the user only.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(with_path(folder))?;
    file.write_all(merged.as_bytes()).map_err(with_path(path))?;
    file.persist(path).map_err(|e| with_path(path)(e.error))?;
    Ok(())
}

/// The file's new text.
fn merged(there: &str, text: &str, id: u32, context: &str, keep_current: bool) -> Result<String, String> {
    let mut config = if there.trim().is_empty() {
        json!({"apiVersion": "v1", "kind": "Config", "preferences": {}})
    } else {
        serde_saphyr::from_str::<Value>(there).map_err(|e| format!("not YAML: {}", e.without_snippet()))?
    };
    let new: Value =
        serde_saphyr::from_str(text).map_err(|_| "the kubeconfig of the cluster is not YAML".to_owned())?;
    if !config.is_object() || !new.is_object() {
        return Err("this is no kubeconfig".to_owned());
    }
    let used = new["contexts"].as_array().and_then(|all| {
        let current = new["current-context"].as_str();
        all.iter()
            .find(|c| current.is_none() || c["name"].as_str() == current)
    });
    let used = used.ok_or("the kubeconfig of the cluster has no context")?;
    let entry = |list: &str, kind: &str| {
        let name = &used["context"][kind];
        let all = new[list].as_array().into_iter().flatten();
        let found = all
            .into_iter()
            .find(|e| e["name"] == *name)
            .map(|e| e[kind].clone());
        found.ok_or_else(|| format!("the kubeconfig of the cluster has no {kind} {name}"))
    };
    let name = format!("oneks-{id}");
    let taken = config["contexts"].as_array().into_iter().flatten();
    if taken
        .into_iter()
        .any(|c| c["name"] == context && c["context"]["cluster"] != name.as_str())
    {
        return Err(format!(
            "there is another context {context}; choose a name with --context"
        ));
    }
    let namespace = used["context"].get("namespace").cloned();
    let mut of_context = json!({"cluster": name, "user": name});
    if let Some(namespace) = namespace {
        of_context["namespace"] = namespace;
    }
    put(
        &mut config,
        "clusters",
        &name,
        "cluster",
        &entry("clusters", "cluster")?,
    );
    put(&mut config, "users", &name, "user", &entry("users", "user")?);
    put(&mut config, "contexts", context, "context", &of_context);
    if !keep_current {
        config["current-context"] = json!(context);
    }
    serde_saphyr::to_string(&config).map_err(|e| e.to_string())
}

/// Puts an entry into a list of named ones, in the place of the old one.
fn put(config: &mut Value, list: &str, name: &str, kind: &str, value: &Value) {
    if !config[list].is_array() {
        config[list] = json!([]);
    }
    if let Some(entries) = config[list].as_array_mut() {
        let new = json!({"name": name, kind: value});
        match entries.iter_mut().find(|e| e["name"] == name) {
            Some(old) => *old = new,
            None => entries.push(new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "apiVersion: v1\nkind: Config\ncurrent-context: default\nclusters:\n- name: default\n  cluster:\n    \
                       server: https://192.0.2.10:6443\nusers:\n- name: default\n  user: {token: abc}\ncontexts:\n- name: \
                       default\n  context: {cluster: default, user: default}\n";

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn an_empty_file_becomes_a_kubeconfig() {
        let config = read(&merged("", NEW, 24, "web", false).unwrap());
        assert_eq!(config["current-context"], "web");
        assert_eq!(config["clusters"][0]["name"], "oneks-24");
        assert_eq!(
            config["clusters"][0]["cluster"]["server"],
            "https://192.0.2.10:6443"
        );
        assert_eq!(
            config["users"][0],
            json!({"name": "oneks-24", "user": {"token": "abc"}})
        );
        assert_eq!(
            config["contexts"][0]["context"],
            json!({"cluster": "oneks-24", "user": "oneks-24"})
        );
    }

    #[test]
    fn other_entries_stay_and_a_second_time_changes_nothing() {
        let once = merged("", NEW, 24, "web", false).unwrap();
        let both = merged(&once, NEW, 25, "other", true).unwrap();
        let config = read(&both);
        assert_eq!(config["current-context"], "web");
        assert_eq!(config["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(merged(&both, NEW, 25, "other", true).unwrap(), both);
    }

    #[test]
    fn somebody_elses_context_is_not_overwritten() {
        let once = merged("", NEW, 24, "web", false).unwrap();
        assert!(
            merged(&once, NEW, 25, "web", false)
                .unwrap_err()
                .contains("--context")
        );
        assert!(merged("- a list", NEW, 25, "web", false).is_err());
        assert!(merged("", "kind: Config", 25, "web", false).is_err());
    }
}
