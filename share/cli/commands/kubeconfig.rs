//! `oneks kubeconfig`.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};

use crate::app::App;
use crate::cluster::Cluster;
use crate::failure::{Failure, with_path};
use crate::select;

/// `oneks kubeconfig`.
#[derive(Debug, Subcommand)]
pub enum Kubeconfig {
    /// Print the kubeconfig of a cluster, or write it to a file
    Cluster(KubeconfigArgs),
}

/// What `kubeconfig cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct KubeconfigArgs {
    /// The cluster's id or name
    cluster: String,
    /// Write it to this file, readable by you only, instead of printing it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Kubeconfig {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let id = select::cluster(&client, &args.cluster)?;
        let text = of(&Cluster::fetch_decrypted(&client, id)?)?;
        match &args.output {
            None => app.out.data(&text),
            Some(path) => write(path, &text),
        }
    }
}

/// The kubeconfig of a cluster.
///
/// # Errors
/// There is none yet, or it is encrypted and the user may not read it.
pub fn of(cluster: &Cluster) -> Result<String, Failure> {
    let Some(stored) = cluster
        .document
        .template
        .get("KUBECONFIG")
        .filter(|t| !t.trim().is_empty())
    else {
        return Err(Failure::NotFound(format!(
            "{} has no kubeconfig yet; it is {}, and gets one when its control plane runs",
            cluster.title(),
            cluster.state()
        )));
    };
    let bytes = STANDARD
        .decode(stored.split_whitespace().collect::<String>())
        .ok();
    let text = bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|t| t.contains("clusters:"));
    text.ok_or_else(|| {
        Failure::Other(format!(
            "the kubeconfig of {} can't be read: OpenNebula stores it encrypted (DOCUMENT_ENCRYPTED_ATTR), and \
             shows it to administrators only",
            cluster.title()
        ))
    })
}

/// Writes a secret to a file that only the user can read.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
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
