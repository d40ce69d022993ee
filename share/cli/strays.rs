//! Objects that carry the mark or the name of a cluster that there is not.

use std::collections::{BTreeMap, BTreeSet};

use oneks_core::names::{DOCUMENT_TYPE, Names};
use opennebula::calls::{PoolFilter, PoolRange, VmStateFilter};
use opennebula::objects::LoginToken;
use opennebula::{Client, Secret, Tag};
use serde::Serialize;

use crate::failure::Failure;

/// An object that belongs to no cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Id of its owner.
    pub uid: u32,
    /// Its owner.
    pub user: String,
    /// The cluster that it claims to belong to.
    pub cluster: u32,
    /// Why it belongs to none.
    pub why: Why,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// Virtual machine.
    #[serde(rename = "VM")]
    Vm,
    /// Virtual router.
    #[serde(rename = "VROUTER")]
    Router,
    /// VM template.
    #[serde(rename = "TEMPLATE")]
    Template,
    /// Reserved addresses.
    #[serde(rename = "RESERVATION")]
    Reservation,
    /// Login token of a user, with which a cluster calls OpenNebula. Its id is its number among those of its cluster.
    #[serde(rename = "CREDENTIAL")]
    Credential,
}

/// Why an object belongs to no cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// There is no such cluster. This is what a cleaning removes.
    ClusterGone,
    /// The cluster is somebody else's.
    OtherOwner,
    /// There is such a cluster, but who asks can't read it: it may be theirs, or somebody else's.
    Hidden,
    /// There is no such cluster, and nothing but the name says that there was: it may be anybody's.
    NameAlone,
    /// Its name says another cluster than its mark.
    NameDiffers,
}

impl Kind {
    /// As OpenNebula calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vm => "VM",
            Self::Router => "VROUTER",
            Self::Template => "TEMPLATE",
            Self::Reservation => "RESERVATION",
            Self::Credential => "CREDENTIAL",
        }
    }
}

impl Why {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::ClusterGone => "there is no such cluster",
            Self::OtherOwner => "the cluster belongs to somebody else",
            Self::Hidden => "there is such a cluster, but you may not see it",
            Self::NameAlone => "there is no such cluster, but it has no mark either",
            Self::NameDiffers => "its name does not fit its mark",
        }
    }
}

/// Looks for strays: among all objects for oneadmin, among one's own for everybody else, since whether there is a
/// cluster of somebody else can't be known then. `proves` says whether a token is the credential of a cluster, which
/// only the server credential shows.
///
/// # Errors
/// A call.
pub fn find(client: &Client, now: u64, proves: &dyn Fn(u32, &Secret) -> bool) -> Result<Vec<Stray>, Failure> {
    let caller = client.user_info(None, false)?;
    let filter = if caller.id == 0 || caller.groups.contains(&0) {
        PoolFilter::All
    } else {
        PoolFilter::Mine
    };
    let range = PoolRange::default();
    // Objects first: one that is made together with its cluster in between must not look like a stray.
    let vms = client.every_vm(filter, VmStateFilter::NotDone, |_| true)?;
    let routers = client.vrouterpool_info(filter, range)?;
    let templates = client.templatepool_info(filter, range)?;
    let networks = client.vnpool_info(filter, range)?;
    let users = match filter {
        PoolFilter::All => client.userpool_info()?.items,
        _ => vec![caller],
    };
    let pool = client.every_document(PoolFilter::All, DOCUMENT_TYPE)?;
    let mut owners: BTreeMap<u32, Option<u32>> = pool.items.iter().map(|d| (d.id, Some(d.uid))).collect();
    // A document that can't be read exists all the same.
    owners.extend(pool.broken.iter().filter_map(|(id, _)| Some((((*id)?), None))));

    let mut strays = Vec::new();
    let mut add = |kind, id, name: &str, uid, user: &str, cluster, why| {
        strays.push(Stray {
            kind,
            id,
            name: name.to_owned(),
            uid,
            user: user.to_owned(),
            cluster,
            why,
        });
    };
    for vm in &vms {
        if let Some((cluster, why)) = judge(vm.oneks_tag(), &vm.name, vm.uid, &owners) {
            add(Kind::Vm, vm.id, &vm.name, vm.uid, &vm.uname, cluster, why);
        }
    }
    for router in &routers {
        let Some(cluster) = cluster_in(&router.name) else {
            continue;
        };
        let names = Names::new(cluster);
        if (router.name == names.router() || router.name == names.load_balancer())
            && let Some(why) = owned(cluster, router.uid, &owners)
        {
            add(
                Kind::Router,
                router.id,
                &router.name,
                router.uid,
                &router.uname,
                cluster,
                why,
            );
        }
    }
    for template in &templates {
        if let Some((cluster, why)) = judge(template.oneks_tag(), &template.name, template.uid, &owners) {
            add(
                Kind::Template,
                template.id,
                &template.name,
                template.uid,
                &template.uname,
                cluster,
                why,
            );
        }
    }
    for network in networks.iter().filter(|n| n.parent_network_id.is_some()) {
        let Some(cluster) = cluster_in(&network.name) else {
            continue;
        };
        if Names::new(cluster).reservations().contains(&network.name)
            && let Some(why) = owned(cluster, network.uid, &owners)
        {
            add(
                Kind::Reservation,
                network.id,
                &network.name,
                network.uid,
                &network.uname,
                cluster,
                why,
            );
        }
    }
    for user in &users {
        let valid = |token: &&LoginToken| token.expires.is_none_or(|at| at > now);
        for token in user.login_tokens.iter().filter(valid) {
            let Some((cluster, serial)) = credential_in(token.token.expose()) else {
                continue;
            };
            let why = match owned(cluster, user.id, &owners) {
                // Users may choose their tokens.
                Some(Why::ClusterGone) if !proves(cluster, &token.token) => Why::NameAlone,
                Some(why) => why,
                None => continue,
            };
            let name = format!("{}-{serial}", Names::new(cluster).cluster());
            add(Kind::Credential, serial, &name, user.id, &user.name, cluster, why);
        }
    }
    confirm(client, &mut strays)?;
    strays.sort_by_key(|s| (s.cluster, s.kind, s.id));
    Ok(strays)
}

/// Asks for each cluster that is not in the list whether there is none: a list has only what the caller may see, and not
/// what can't be read.
fn confirm(client: &Client, strays: &mut [Stray]) -> Result<(), Failure> {
    let missing = |why| matches!(why, Why::ClusterGone | Why::NameAlone);
    let clusters: BTreeSet<u32> = strays
        .iter()
        .filter(|s| missing(s.why))
        .map(|s| s.cluster)
        .collect();
    for cluster in clusters {
        let there = match client.document_info(cluster, false) {
            Ok(document) => document.kind == DOCUMENT_TYPE,
            Err(e) if e.is_not_found() => false,
            Err(e) if e.is_transient() || e.is_authentication() => return Err(e.into()),
            Err(_) => true,
        };
        for stray in strays.iter_mut().filter(|s| there && s.cluster == cluster) {
            stray.why = Why::Hidden;
        }
    }
    Ok(())
}

/// Is an object with a mark, or with such a name, a stray?
fn judge(tag: Option<Tag>, name: &str, uid: u32, owners: &BTreeMap<u32, Option<u32>>) -> Option<(u32, Why)> {
    let Some(tag) = tag else {
        // Anybody may call a machine like this; of clusters that there are it says nothing.
        let cluster = cluster_in(name).filter(|cluster| !owners.contains_key(cluster))?;
        return Names::new(cluster)
            .owns(name)
            .then_some((cluster, Why::NameAlone));
    };
    let cluster = tag.cluster_id;
    let why = if Names::new(cluster).owns(name) {
        owned(cluster, uid, owners)?
    } else {
        Why::NameDiffers
    };
    Some((cluster, why))
}

fn owned(cluster: u32, uid: u32, owners: &BTreeMap<u32, Option<u32>>) -> Option<Why> {
    match owners.get(&cluster) {
        None => Some(Why::ClusterGone),
        Some(Some(owner)) if *owner != uid => Some(Why::OtherOwner),
        Some(_) => None,
    }
}

/// The cluster and the number in a credential: 24 and 1 in `oneks-24-1-…`. The rest is secret.
fn credential_in(token: &str) -> Option<(u32, u32)> {
    let cluster = cluster_in(token)?;
    let rest = token.strip_prefix(&format!("{}-", Names::new(cluster).cluster()))?;
    let (serial, _) = rest.split_once('-')?;
    Some((cluster, serial.parse().ok()?))
}

/// The cluster in a name of ours: 24 in `oneks-24-cp`.
fn cluster_in(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("oneks-")?.split('-').next()?;
    let cluster: u32 = digits.parse().ok()?;
    (cluster.to_string() == digits).then_some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps)] // objects have a tag or none
    fn tag(cluster: u32) -> Option<Tag> {
        Some(Tag {
            cluster_id: cluster,
            group_id: None,
            kind: "NODE".into(),
            cluster_name: String::new(),
        })
    }

    #[test]
    fn strays_are_told_from_others() {
        let owners = BTreeMap::from([(24, Some(2)), (25, None)]);
        for (tag, name, uid, wanted) in [
            (tag(24), "oneks-24-workers-x", 2, None),
            (tag(25), "oneks-25-workers-x", 2, None),
            (tag(24), "oneks-24-workers-x", 3, Some((24, Why::OtherOwner))),
            (tag(24), "oneks-2-workers-x", 2, Some((24, Why::NameDiffers))),
            (tag(7), "oneks-7-seed", 2, Some((7, Why::ClusterGone))),
            (tag(7), "vr-oneks-7-cp-0", 2, Some((7, Why::ClusterGone))),
            (None, "oneks-7-seed", 2, Some((7, Why::NameAlone))),
            (None, "oneks-24-seed", 3, None),
            (None, "oneks-seed", 2, None),
        ] {
            assert_eq!(judge(tag, name, uid, &owners), wanted, "{name} of {uid}");
        }
    }

    #[test]
    fn clusters_are_found_in_names() {
        for (name, wanted) in [
            ("oneks-24-cp", Some(24)),
            ("oneks-24", Some(24)),
            ("oneks-024-cp", None),
            ("oneks-x-cp", None),
            ("web", None),
        ] {
            assert_eq!(cluster_in(name), wanted, "{name}");
        }
        for (token, wanted) in [
            ("oneks-24-1-ab", Some((24, 1))),
            ("oneks-24-ab", None),
            ("oneks-24-x-ab", None),
            ("0123", None),
        ] {
            assert_eq!(credential_in(token), wanted, "{token}");
        }
    }
}
