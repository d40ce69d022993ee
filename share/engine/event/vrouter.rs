//! `one.vrouter.{allocate,delete}`

use std::io::Read;

use crate::gate::Hints;

use super::call::{Call, Part};
use super::xml::{Damaged, Token, Xml};
use super::{Reason, Verdict, id};

/// Longest name of a virtual router.
const NAME: usize = 1024;

pub(super) fn look<R: Read>(xml: Xml<R>) -> Verdict {
    read(&mut Call::new(xml)).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

/// The router is in EXTRA; in front of it an allocation has the caller's template. The genuine one comes last.
fn read<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut name = None;
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::Extra) => name = router_name(&mut call.xml).ok().flatten().or(name),
            Ok(Part::End) | Err(Damaged) => break,
            Ok(_) => {}
        }
    }
    let name = name.ok_or(Damaged)?;
    Ok(match cluster_of(&name) {
        Some(cluster) => Verdict::Look {
            clusters: vec![cluster],
            hints: Hints::none(),
        },
        None => Verdict::Drop(Reason::NotOurs),
    })
}

/// The cluster of `oneks-<id>-…`.
fn cluster_of(name: &str) -> Option<u32> {
    let (cluster, rest) = name.strip_prefix("oneks-")?.split_once('-')?;
    id(cluster).filter(|_| !rest.is_empty())
}

fn router_name<R: Read>(xml: &mut Xml<R>) -> Result<Option<String>, Damaged> {
    let extra = xml.depth();
    let mut in_router = false;
    loop {
        let (router, name) = match xml.next()? {
            Token::Open(tag) => (tag == "VROUTER", tag == "NAME"),
            Token::End => return Err(Damaged),
            _ => (false, false),
        };
        let depth = xml.depth();
        in_router |= router && depth == extra + 1;
        if name && in_router && depth == extra + 2 {
            return xml.text(NAME);
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
