//! `oneks chmod` and `oneks chgrp`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use opennebula::Client;
use opennebula::calls::{AccessChange, PermissionChange};

use crate::app::App;
use crate::cluster::Cluster;
use crate::commands::each;
use crate::complete;
use crate::failure::Failure;
use crate::select;

/// `oneks chmod`.
#[derive(Debug, Subcommand)]
pub enum Chmod {
    /// Change who may use, manage and administrate clusters
    ///
    /// USE lets others look, the kubeconfig included; MANAGE lets them change and delete the cluster.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  # Let the group look at it\n  oneks chmod cluster web 640")]
    Cluster(ChmodArgs),
}

/// `oneks chgrp`.
#[derive(Debug, Subcommand)]
pub enum Chgrp {
    /// Give clusters to another group
    ///
    /// Only the document changes hands: machines and networks stay with their owner.
    #[command(alias = "clusters")]
    #[command(after_help = "Examples:\n  oneks chgrp cluster web users")]
    Cluster(ChgrpArgs),
}

/// What `chmod cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ChmodArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    clusters: String,
    /// Rights of owner, group and others, such as 640: 4 USE, 2 MANAGE, 1 ADMIN
    #[arg(value_name = "OCTET", value_parser = octet)]
    rights: PermissionChange,
}

/// What `chgrp cluster` takes.
#[derive(Debug, Clone, Args)]
pub struct ChgrpArgs {
    /// Clusters: ids, names, lists and ranges
    #[arg(add = ArgValueCandidates::new(complete::clusters))]
    clusters: String,
    /// The group, by id or name
    group: String,
}

fn octet(text: &str) -> Result<PermissionChange, String> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(8)).collect();
    let [owner, group, other] = digits[..] else {
        return Err("expected three digits from 0 to 7, such as 640".to_owned());
    };
    if text.chars().count() != 3 {
        return Err("expected three digits from 0 to 7, such as 640".to_owned());
    }
    let access = |digit: u32| AccessChange {
        r#use: Some(digit & 4 != 0),
        manage: Some(digit & 2 != 0),
        admin: Some(digit & 1 != 0),
    };
    Ok(PermissionChange {
        owner: access(owner),
        group: access(group),
        other: access(other),
    })
}

impl Chmod {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let ids = select::clusters(&client, std::slice::from_ref(&args.clusters))?;
        each(app, &ids, |_, id| {
            Cluster::fetch(&client, *id)?;
            Ok(client.document_chmod(*id, args.rights)?)
        })
    }
}

impl Chgrp {
    /// Runs the command.
    pub fn run(&self, app: &mut App) -> Result<(), Failure> {
        let Self::Cluster(args) = self;
        let client = app.client()?;
        let group = group(&client, &args.group)?;
        let ids = select::clusters(&client, std::slice::from_ref(&args.clusters))?;
        each(app, &ids, |_, id| {
            Cluster::fetch(&client, *id)?;
            Ok(client.document_chown(*id, None, Some(group))?)
        })
    }
}

/// A group by id, or by name among those that the user is a member of.
fn group(client: &Client, text: &str) -> Result<u32, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    for id in client.user_info(None, false)?.groups {
        if client.group_info(id, false)?.name == text {
            return Ok(id);
        }
    }
    Err(Failure::NotFound(format!(
        "you are in no group {text}; give the id of any other (`onegroup list`)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_read() {
        let change = octet("640").unwrap();
        assert_eq!(
            (change.owner.r#use, change.owner.manage, change.owner.admin),
            (Some(true), Some(true), Some(false))
        );
        assert_eq!(
            (change.group.r#use, change.group.manage),
            (Some(true), Some(false))
        );
        assert_eq!(change.other.r#use, Some(false));
        for wrong in ["", "64", "6400", "648", "u+r", "64x0", "６４０"] {
            assert!(octet(wrong).is_err(), "{wrong}");
        }
    }
}
