//! What somebody has changed on a handle, told from what changed elsewhere.
//!
//! | on the handle | in SPEC | then |
//! |---|---|---|
//! | as it was shown | changed | SPEC counts, the handle shows it |
//! | changed | as it was shown | SPEC is changed, if the value is good; else it is put back, and answered |
//! | changed | changed to the same | nothing is left to do |
//! | changed | changed to something else | SPEC counts, and the answer says so |
//! | missing or empty | | put back: only `delete` removes a group |
//! | what was shown is not known | | put back, and answered if it differs |

use std::collections::{BTreeMap, BTreeSet};

use oneks_driver::Invalid;
use serde_json::json;

use super::group::{self, Wish};
use super::picture::wishes;
use super::{ACTION, Attributes, GROUP, PROTECTION, Record, VERSION};
use crate::profile::Catalog;
use crate::spec::{NodeGroup, Spec};
use crate::status::Status;
use crate::text::shorten;

/// An order that is no part of SPEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Try again what failed.
    Recover,
    /// Replace the credential.
    Rotate,
}

/// What follows from the attributes of a handle.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    /// What SPEC is to be, if it is to be another.
    pub spec: Option<Spec>,
    /// An order.
    pub order: Option<Order>,
    /// What is to be answered, in the order of the attributes.
    pub answers: Vec<String>,
}

/// What was changed on the handle since it showed `base`. `check` says what is wrong with a SPEC.
pub fn edit(
    now: &Attributes,
    base: Option<&Record>,
    spec: &Spec,
    status: &Status,
    catalog: &Catalog,
    check: &dyn Fn(&Spec) -> Vec<Invalid>,
) -> Edit {
    let mut work = Work {
        wanted: spec.clone(),
        answers: Vec::new(),
        catalog,
        check,
    };
    let theirs = wishes(spec, status);
    let texts = |record: &Record| {
        let mut texts = record.groups.clone();
        texts.insert(VERSION.to_owned(), record.version.clone());
        texts.insert(PROTECTION.to_owned(), yes_no(record.protected).to_owned());
        texts
    };
    let (theirs, base) = (texts(&theirs), base.map(texts));
    for name in names(now, &theirs) {
        let there = now
            .get(&name)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty());
        let Some(mine) = there else { continue };
        let before = base.as_ref().map(|base| base.get(&name).map(String::as_str));
        let elsewhere = theirs.get(&name).map(String::as_str);
        if elsewhere.is_some_and(|text| same(&name, text, mine)) {
            continue;
        }
        match before {
            // What was shown is gone with its group.
            Some(Some(before)) if same(&name, before, mine) => {}
            Some(before) if before == elsewhere => work.take(&name, mine, elsewhere),
            // A group that was not there; nobody can have changed it elsewhere.
            None if elsewhere.is_none() => work.take(&name, mine, None),
            Some(_) => work.answers.push(format!(
                "{name}={}: was changed to {} elsewhere meanwhile, and stays so; write it again if you want it",
                quoted(mine),
                elsewhere.map_or_else(|| "nothing".to_owned(), quoted)
            )),
            None => work.answers.push(format!(
                "{name}={}: what this virtual machine showed last was lost, so nobody knows whether you changed it; it is \
                 put back to {}, write it again if you want it",
                quoted(mine),
                elsewhere.map_or_else(|| "nothing".to_owned(), quoted)
            )),
        }
    }
    let order = now
        .get(ACTION)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty());
    let order = order.and_then(|text| work.order(text));
    Edit {
        spec: (work.wanted != *spec).then_some(work.wanted),
        order,
        answers: work.answers,
    }
}

fn names(now: &Attributes, theirs: &BTreeMap<String, String>) -> BTreeSet<String> {
    let groups = now.keys().filter(|name| name.starts_with(GROUP));
    groups.chain(theirs.keys()).cloned().collect()
}

fn yes_no(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

fn quoted(text: &str) -> String {
    format!("{:?}", shorten(text, 80))
}

/// Do two texts of an attribute mean the same? `3 small` and `small,3` do.
fn same(name: &str, a: &str, b: &str) -> bool {
    if a.trim() == b.trim() {
        return true;
    }
    match name {
        VERSION => false,
        PROTECTION => a.trim().eq_ignore_ascii_case(b.trim()),
        _ => group::parse(a).is_ok_and(|a| group::parse(b) == Ok(a)),
    }
}

struct Work<'a> {
    wanted: Spec,
    answers: Vec<String>,
    catalog: &'a Catalog,
    check: &'a dyn Fn(&Spec) -> Vec<Invalid>,
}

impl Work<'_> {
    /// Takes one change, if SPEC stays good; otherwise the answer says what is wrong with it.
    fn take(&mut self, name: &str, value: &str, before: Option<&str>) {
        let result = self.changed(name, value).and_then(|wanted| {
            let known: Vec<Invalid> = (self.check)(&self.wanted);
            let errors = (self.check)(&wanted);
            // What was wrong before is not this change's fault.
            let new: Vec<String> = errors
                .into_iter()
                .filter(|e| !known.contains(e))
                .map(|e| format!("{}: {}", e.path, e.message))
                .collect();
            if new.is_empty() {
                Ok(wanted)
            } else {
                Err(new.join("; "))
            }
        });
        match result {
            Ok(wanted) => self.wanted = wanted,
            Err(reason) => {
                let back = before.map_or_else(
                    || "it is removed again".to_owned(),
                    |before| format!("it is put back to {}", quoted(before)),
                );
                self.answers
                    .push(format!("{name}={}: {reason}; {back}", quoted(value)));
            }
        }
    }

    fn changed(&self, name: &str, value: &str) -> Result<Spec, String> {
        let mut wanted = self.wanted.clone();
        match name {
            VERSION => value.clone_into(&mut wanted.kubernetes_version),
            PROTECTION => {
                wanted.deletion_protection = match value.to_ascii_uppercase().as_str() {
                    "YES" => true,
                    "NO" => false,
                    _ => return Err("must be YES or NO".to_owned()),
                }
            }
            _ => self.change_group(&mut wanted, name, value)?,
        }
        Ok(wanted)
    }

    fn change_group(&self, wanted: &mut Spec, attribute: &str, value: &str) -> Result<(), String> {
        let name = group::name(attribute).ok_or("has no name")?;
        let place = wanted.node_groups.iter().position(|g| g.name == name);
        let (count, family, flavour) = match (group::parse(value)?, place) {
            (Wish::Delete, Some(place)) => {
                wanted.node_groups.remove(place);
                return Ok(());
            }
            (Wish::Delete, None) => return Ok(()),
            (
                Wish::Be {
                    count,
                    family,
                    flavour,
                },
                _,
            ) => (count, family, flavour),
        };
        let group = if let Some(group) = place.and_then(|place| wanted.node_groups.get_mut(place)) {
            if let Some(flavour) = flavour {
                group.flavour = flavour;
                group.family = family.unwrap_or_else(|| group.family.clone());
            }
            group
        } else {
            let group = new_group(name, family, flavour, self.catalog)?;
            wanted.node_groups.push(group);
            wanted.node_groups.last_mut().ok_or("was not added")?
        };
        if let Some(count) = count {
            group.user_inputs_values.insert("count".to_owned(), json!(count));
        }
        Ok(())
    }

    fn order(&mut self, text: &str) -> Option<Order> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "recover" => Some(Order::Recover),
            "rotate-credentials" | "rotate" => Some(Order::Rotate),
            _ => {
                self.answers.push(format!(
                    "{ACTION}={}: must be recover or rotate-credentials",
                    quoted(text)
                ));
                None
            }
        }
    }
}

/// A group that is new: what is not said is the usual.
pub(super) fn new_group(
    name: String,
    family: Option<String>,
    flavour: Option<String>,
    catalog: &Catalog,
) -> Result<NodeGroup, String> {
    let families = &catalog.node_groups;
    let usual = families.get("general").or_else(|| families.values().next());
    let family = family.or_else(|| usual.map(|f| f.family.clone()));
    let family = family.ok_or("there are no profiles of node groups")?;
    let first = families
        .get(&family)
        .and_then(|f| f.flavours_in_order().first().map(|(name, _)| (*name).to_owned()));
    let flavour = flavour.or(first);
    Ok(NodeGroup {
        name,
        display_name: None,
        description: String::new(),
        flavour: flavour.ok_or_else(|| format!("family {family:?} has no flavour"))?,
        family,
        user_inputs_values: BTreeMap::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
