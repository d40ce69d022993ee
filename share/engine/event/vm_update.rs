//! `one.vm.update`: among much else, what a guest reports through OneGate.

use std::cell::Cell;
use std::io::Read;

use oneks_core::{attribute, handle};

use super::call::{Call, Part};
use super::names::{Named, named};
use super::xml::{Damaged, Xml};
use super::{Reason, Verdict};

pub(super) fn look<R: Read>(xml: Xml<R>) -> Verdict {
    read(&mut Call::new(xml)).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

/// IN 2 is the id, before any string; IN 3 is the template, and IN 4 is 1 if it is merged. What the hooks write on a handle is
/// merged and begins with the handle's record, which no guest reports. A template that replaces the old one takes away what
/// it does not name.
fn read<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut vm = None;
    let mut found = None;
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::In(2)) if vm.is_none() => vm = Some(call.id()?.ok_or(Damaged)?),
            Ok(Part::In(3)) if found.is_none() => {
                let vm = vm.ok_or(Damaged)?;
                let own = Cell::new(None);
                let wanted = |name: &str| {
                    let wanted = is_report(name);
                    if wanted && own.get().is_none() {
                        own.set(Some(name.eq_ignore_ascii_case(handle::SHOWN)));
                    }
                    wanted
                };
                found = match named(&mut call.xml, &wanted) {
                    Named::Wanted if own.get() == Some(true) => Some(Found::Record),
                    Named::Wanted | Named::Doubt => return Ok(Verdict::LookVm { vm }),
                    Named::Others => Some(Found::Nothing),
                };
            }
            Ok(Part::In(4)) if found.is_some() => {
                let vm = vm.ok_or(Damaged)?;
                let merged = call.id()? == Some(1);
                return Ok(match found {
                    Some(Found::Record) if merged => Verdict::Drop(Reason::OurOwn),
                    Some(Found::Nothing) if merged => Verdict::Drop(Reason::NothingAsked),
                    Some(Found::Nothing) => Verdict::LookIfHandle { vm },
                    _ => Verdict::LookVm { vm },
                });
            }
            Ok(Part::End) | Err(Damaged) => {
                let vm = vm.ok_or(Damaged)?;
                return Ok(match found {
                    Some(Found::Nothing) => Verdict::LookIfHandle { vm },
                    _ => Verdict::LookVm { vm },
                });
            }
            Ok(_) => {}
        }
    }
}

/// What the template names.
enum Found {
    /// A handle's record, before anything else of ours.
    Record,
    /// Nothing of ours.
    Nothing,
}

/// Our tag and reports, what is written on handles, and OpenNebula's own word for "booted".
fn is_report(name: &str) -> bool {
    let input = name
        .get(..handle::INPUT.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(handle::INPUT));
    attribute::is_ours(name) || input || name.eq_ignore_ascii_case("READY")
}
