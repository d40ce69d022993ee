//! Which objects a command is about: ids, names, lists and ranges.
//!
//! `24`, `web`, `1,3..5,web`. A node group is named by its id (`24001`), by cluster and key (`web/workers`), or by its
//! key where only one cluster has such a group.

use std::collections::BTreeSet;

use oneks_core::names::cluster_of_group;
use opennebula::Client;
use opennebula::calls::PoolFilter;

use crate::failure::Failure;
use oneks::orders::cluster::{Cluster, not_found};

/// One part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Id(u32),
    /// Both ends belong to it.
    Range(u32, u32),
    Name(String),
}

/// A node group of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupRef {
    /// The cluster's id.
    pub cluster: u32,
    /// Key or id of the group.
    pub group: String,
}

fn parts(list: &str) -> Result<Vec<Part>, Failure> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(part)
        .collect()
}

fn part(text: &str) -> Result<Part, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(Part::Id(id));
    }
    if let Some((from, to)) = text.split_once("..")
        && let (Ok(from), Ok(to)) = (from.parse(), to.parse())
    {
        if from > to {
            return Err(Failure::Usage(format!("the range {text} ends before it begins")));
        }
        return Ok(Part::Range(from, to));
    }
    Ok(Part::Name(text.to_owned()))
}

/// The ids of the clusters that are meant, without repetition, in the order given. Single ids cost no call.
///
/// # Errors
/// A name that no cluster has, or several; a range in which there is no cluster.
pub fn clusters(client: &Client, lists: &[String]) -> Result<Vec<u32>, Failure> {
    let mut wanted = Vec::new();
    for list in lists {
        wanted.extend(parts(list)?);
    }
    if wanted.is_empty() {
        return Err(Failure::Usage("no cluster was named".to_owned()));
    }
    let pool = if wanted.iter().all(|p| matches!(p, Part::Id(_))) {
        Vec::new()
    } else {
        Cluster::pool(client, PoolFilter::All)?
    };
    let mut ids = Vec::new();
    for part in wanted {
        match part {
            Part::Id(id) => ids.push(id),
            Part::Range(from, to) => {
                let inside: Vec<u32> = pool
                    .iter()
                    .map(Cluster::id)
                    .filter(|id| (from..=to).contains(id))
                    .collect();
                if inside.is_empty() {
                    return Err(not_found(&format!("from {from} to {to}")).into());
                }
                ids.extend(inside);
            }
            Part::Name(name) => ids.push(by_name(&pool, &name)?),
        }
    }
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    Ok(ids)
}

/// The one cluster that is meant.
///
/// # Errors
/// As [`clusters`], and more than one.
pub fn cluster(client: &Client, text: &str) -> Result<u32, Failure> {
    match clusters(client, std::slice::from_ref(&text.to_owned()))?[..] {
        [id] => Ok(id),
        _ => Err(Failure::Usage(format!(
            "{text}: one cluster is wanted here, not several"
        ))),
    }
}

fn by_name(pool: &[Cluster], name: &str) -> Result<u32, Failure> {
    let found: Vec<u32> = pool
        .iter()
        .filter(|c| c.name() == name)
        .map(Cluster::id)
        .collect();
    match found[..] {
        [] => Err(not_found(name).into()),
        [id] => Ok(id),
        _ => {
            let ids: Vec<String> = found.iter().map(u32::to_string).collect();
            Err(Failure::Usage(format!(
                "several clusters are called {name}: {}; give an id",
                ids.join(", ")
            )))
        }
    }
}

/// The node groups that are meant.
///
/// # Errors
/// A name that no cluster or group has, or several.
pub fn groups(client: &Client, lists: &[String]) -> Result<Vec<GroupRef>, Failure> {
    let mut found = Vec::new();
    let mut pool = None;
    for text in lists
        .iter()
        .flat_map(|l| l.split(','))
        .map(str::trim)
        .filter(|t| !t.is_empty())
    {
        if let Some((of, key)) = text.split_once('/') {
            found.push(GroupRef {
                cluster: cluster(client, of)?,
                group: key.to_owned(),
            });
            continue;
        }
        match part(text)? {
            Part::Id(id) => found.push(GroupRef {
                cluster: cluster_of_group(id),
                group: id.to_string(),
            }),
            Part::Range(from, to) => {
                let pool = look(&mut pool, client)?;
                let all = pool
                    .iter()
                    .flat_map(|c| c.groups().into_iter().map(move |g| (c.id(), g.id())));
                let inside = all.filter_map(|(cluster, id)| Some((cluster, id?)));
                let inside = inside.filter(|(_, id)| (from..=to).contains(id));
                let before = found.len();
                found.extend(inside.map(|(cluster, id)| GroupRef {
                    cluster,
                    group: id.to_string(),
                }));
                if found.len() == before {
                    return Err(Failure::NotFound(format!(
                        "there is no node group from {from} to {to}"
                    )));
                }
            }
            Part::Name(key) => {
                let pool = look(&mut pool, client)?;
                let with = pool
                    .iter()
                    .filter(|c| c.groups().iter().any(|g| g.key == key && !g.is_control_plane()));
                let with: Vec<u32> = with.map(Cluster::id).collect();
                match with[..] {
                    [cluster] => found.push(GroupRef { cluster, group: key }),
                    [] => {
                        return Err(Failure::NotFound(format!(
                            "no cluster has a node group {key}; `oneks list nodegroup` shows those there are"
                        )));
                    }
                    _ => {
                        let choices: Vec<String> = with.iter().map(|id| format!("{id}/{key}")).collect();
                        return Err(Failure::Usage(format!(
                            "several clusters have a node group {key}; choose {}",
                            choices.join(", ")
                        )));
                    }
                }
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::Usage("no node group was named".to_owned()));
    }
    let mut seen = BTreeSet::new();
    found.retain(|g| seen.insert(g.clone()));
    Ok(found)
}

fn look<'a>(pool: &'a mut Option<Vec<Cluster>>, client: &Client) -> Result<&'a [Cluster], Failure> {
    if pool.is_none() {
        *pool = Some(Cluster::pool(client, PoolFilter::All)?);
    }
    Ok(pool.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart() {
        for (text, wanted) in [
            ("24", vec![Part::Id(24)]),
            (
                "1,3..5,web",
                vec![Part::Id(1), Part::Range(3, 5), Part::Name("web".into())],
            ),
            ("7..7", vec![Part::Range(7, 7)]),
            (" 2 , 3 ", vec![Part::Id(2), Part::Id(3)]),
            ("a..b", vec![Part::Name("a..b".into())]),
            ("-1", vec![Part::Name("-1".into())]),
            ("", vec![]),
        ] {
            assert_eq!(parts(text).unwrap(), wanted, "{text}");
        }
        assert!(parts("5..3").unwrap_err().to_string().contains("5..3"));
    }
}
