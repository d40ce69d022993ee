//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands::{
    audit, check, create, delete, doctor, events, explain, generate, images, kubeconfig, list, plan, profile,
    recover, rename, rights, rotate, scale, setup, show, simulate, update, upgrade,
};
use crate::failure::Code;

/// Kubernetes clusters on OpenNebula.
///
/// Talks straight to OpenNebula as the user who calls, as all OpenNebula commands do: the session comes from ONE_AUTH or
/// ~/.one/one_auth, the address from ONE_XMLRPC or ~/.one/one_endpoint.
///
/// Clusters are named by id or name, node groups by id, by CLUSTER/NAME, or by name where that is unambiguous. Most
/// commands take lists and ranges: 24,30..35,web. Without `cluster` or `nodegroup`, a cluster is meant.
#[derive(Debug, Parser)]
#[command(name = "oneks", version, arg_required_else_help = true, after_help = exit_codes())]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Address of OpenNebula's XML-RPC server, http:// or https://
    #[arg(long, global = true, value_name = "URL", help_heading = "OpenNebula")]
    pub endpoint: Option<String>,
    /// User; the password is asked for unless it is given
    #[arg(long, global = true, value_name = "NAME", help_heading = "OpenNebula")]
    pub user: Option<String>,
    /// Password or token; other users of this machine can see it in the list of processes
    #[arg(long, global = true, value_name = "PASSWORD", help_heading = "OpenNebula")]
    pub password: Option<String>,
    /// Folder of the profiles, if not the installed one
    #[arg(long, global = true, value_name = "DIR", help_heading = "OpenNebula")]
    pub profiles: Option<PathBuf>,
    /// Say more about what is done
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// The commands. What has no text here has it where its options are.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List clusters or node groups
    #[command(subcommand)]
    List(list::List),
    /// List clusters or node groups again and again
    #[command(subcommand)]
    Top(list::Top),
    /// Show all about clusters or node groups
    #[command(subcommand)]
    Show(show::Show),
    /// Create a cluster, or add a node group to one
    #[command(subcommand)]
    Create(create::Create),
    /// Change the number of nodes
    #[command(subcommand)]
    Scale(scale::Scale),
    /// Bring a cluster to another version of Kubernetes
    #[command(subcommand)]
    Upgrade(upgrade::Upgrade),
    /// Try again what failed
    #[command(subcommand)]
    Recover(recover::Recover),
    /// Replace the credential with which a cluster calls OpenNebula
    #[command(subcommand)]
    Rotate(rotate::Rotate),
    /// Delete clusters or node groups
    #[command(subcommand)]
    Delete(delete::Delete),
    /// Print a cluster's kubeconfig
    #[command(subcommand)]
    Kubeconfig(kubeconfig::Kubeconfig),
    /// Change the specification of a cluster or node group
    #[command(subcommand)]
    Update(update::Update),
    /// Rename a cluster or node group
    #[command(subcommand)]
    Rename(rename::Rename),
    /// Change who may use and manage a cluster
    #[command(subcommand)]
    Chmod(rights::Chmod),
    /// Give a cluster to another group
    #[command(subcommand)]
    Chgrp(rights::Chgrp),
    /// Explain why a cluster is in its state
    #[command(subcommand)]
    Explain(explain::Explain),
    /// Show what the hooks would do next
    #[command(subcommand)]
    Plan(plan::PlanCommand),
    /// Show what happened to a cluster
    #[command(subcommand)]
    Events(events::Events),
    /// Show what the hooks wrote about a cluster
    #[command(subcommand)]
    Logs(events::Logs),
    /// Check whether a cluster could live in a place
    #[command(subcommand)]
    Check(check::Check),
    /// List flavours, show their inputs, check profiles
    #[command(subcommand)]
    Profile(profile::Profile),
    Simulate(simulate::Simulate),
    Audit(audit::Audit),
    Gc(audit::Gc),
    Setup(setup::Setup),
    /// Bring and check the images that clusters are made of
    #[command(subcommand)]
    Images(images::Images),
    Doctor(doctor::Doctor),
    /// Write man pages and completions
    #[command(subcommand, hide = true)]
    Generate(generate::Generate),
}

/// The table of exit codes, as the help shows it.
fn exit_codes() -> String {
    let lines = Code::TABLE
        .iter()
        .map(|(code, meaning)| format!("  {}  {meaning}", code.number()));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The command line with `cluster` put in where the resource was left out: `oneks list`, `oneks show 24`.
///
/// A word that is neither option nor number stays what it is, so that a mistyped resource is called one.
pub fn with_resource(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(at) = place_of_resource(&arguments) {
        let left_out = match arguments.get(at) {
            None => true,
            Some(next) => next
                .to_str()
                .filter(|next| !matches!(*next, "-h" | "--help"))
                .is_some_and(|next| next.starts_with(|c: char| c == '-' || c.is_ascii_digit())),
        };
        if left_out {
            arguments.insert(at, "cluster".into());
        }
    }
    arguments
}

/// The command line with `cluster` before the word in its place, as somebody may have meant it.
pub fn with_cluster(arguments: &[OsString]) -> Option<String> {
    let at = place_of_resource(arguments)?;
    let word = arguments.get(at)?.to_str()?;
    let command = arguments.get(at - 1)?.to_str()?;
    Some(format!("oneks {command} cluster {word}"))
}

/// Where the resource stands, or should: behind the name of a command that has clusters for one.
fn place_of_resource(arguments: &[OsString]) -> Option<usize> {
    let root = Cli::command();
    let text = |at: usize| arguments.get(at).and_then(|a| a.to_str());
    let mut at = 1;
    while let Some(option) = text(at).filter(|a| a.starts_with('-')) {
        let takes_value = root.get_arguments().any(|a| {
            a.get_action().takes_values() && a.get_long().is_some_and(|long| option == format!("--{long}"))
        });
        at += if takes_value { 2 } else { 1 };
    }
    let command = text(at).and_then(|name| root.find_subcommand(name))?;
    command.find_subcommand("cluster").map(|_| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_resource_that_was_left_out_is_a_cluster() {
        for (given, wanted) in [
            ("list", "list cluster"),
            ("list -j", "list cluster -j"),
            (
                "--endpoint http://x:1/RPC2 -v list --csv",
                "--endpoint http://x:1/RPC2 -v list cluster --csv",
            ),
            ("show 24", "show cluster 24"),
            ("delete 24..30 --force", "delete cluster 24..30 --force"),
            ("list nodegroup", "list nodegroup"),
            ("show web", "show web"),
            ("list --help", "list --help"),
            ("setup --remove", "setup --remove"),
            ("nonsense 1", "nonsense 1"),
            ("", ""),
        ] {
            let words = |text: &str| -> Vec<OsString> {
                std::iter::once("oneks")
                    .chain(text.split_whitespace())
                    .map(OsString::from)
                    .collect()
            };
            assert_eq!(with_resource(words(given)), words(wanted), "{given}");
        }
    }
}
