//! `one.vrouter.{allocate,delete}`

use std::io::Read;

use crate::gate::Hints;

use super::call::{Call, Part};
use super::xml::{Damaged, Token, Xml};
use super::{Reason, Verdict, id};

/// Longest name of a virtual router.
const NAME: usize = 1024;

pub(super) fn look<R: Read>(call: &str, xml: Xml<R>) -> Verdict {
    let made = match call {
        "one.vrouter.allocate" => Some(true),
        "one.vrouter.delete" => Some(false),
        _ => None,
    };
    read(&mut Call::new(xml), made).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

/// The router is in EXTRA; in front of it an allocation has the caller's template. The genuine one comes last.
fn read<R: Read>(call: &mut Call<R>, made: Option<bool>) -> Result<Verdict, Damaged> {
    let mut router = None;
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::Extra) => router = named_router(&mut call.xml).ok().flatten().or(router),
            Ok(Part::End) | Err(Damaged) => break,
            Ok(_) => {}
        }
    }
    let (id, name) = router.ok_or(Damaged)?;
    Ok(match cluster_of(&name) {
        Some(cluster) => Verdict::Look {
            clusters: vec![cluster],
            hints: id
                .zip(made)
                .map_or_else(Hints::none, |(id, made)| Hints::router(id, made)),
        },
        None => Verdict::Drop(Reason::NotOurs),
    })
}

/// The cluster of `oneks-<id>-…`.
fn cluster_of(name: &str) -> Option<u32> {
    let (cluster, rest) = name.strip_prefix("oneks-")?.split_once('-')?;
    id(cluster).filter(|_| !rest.is_empty())
}

/// Its id, if that can be read, and its name.
fn named_router<R: Read>(xml: &mut Xml<R>) -> Result<Option<(Option<u32>, String)>, Damaged> {
    let extra = xml.depth();
    let mut in_router = false;
    let mut found = None;
    loop {
        let (router, is_id, is_name) = match xml.next()? {
            Token::Open(tag) => (tag == "VROUTER", tag == "ID", tag == "NAME"),
            Token::End => return Err(Damaged),
            _ => (false, false, false),
        };
        let depth = xml.depth();
        in_router |= router && depth == extra + 1;
        if in_router && depth == extra + 2 {
            if is_id {
                found = xml.text(64)?.and_then(|text| id(&text));
            } else if is_name {
                return Ok(xml.text(NAME)?.map(|name| (found, name)));
            }
        }
        if depth < extra {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_ours() {
        for (name, cluster) in [
            ("oneks-24-cp", Some(24)),
            ("oneks-0-lb", Some(0)),
            ("oneks-24", None),
            ("oneks-24-", None),
            ("oneks--cp", None),
            ("oneks-x-cp", None),
            ("oneks-99999999999-cp", None),
            ("demo-cp", None),
        ] {
            assert_eq!(cluster_of(name), cluster, "{name}");
        }
    }
}
