//! `one.vm.update`: among much else, what a guest reports through OneGate.

use std::io::Read;

use super::call::{Call, Part};
use super::names::{Named, named};
use super::xml::{Damaged, Xml};
use super::{Reason, Verdict};

pub(super) fn look<R: Read>(xml: Xml<R>) -> Verdict {
    read(&mut Call::new(xml)).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

/// IN 2 is the id, before any string; IN 3 is the template.
fn read<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut vm = None;
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::In(2)) if vm.is_none() => vm = Some(call.id()?.ok_or(Damaged)?),
            Ok(Part::In(3)) => {
                let vm = vm.ok_or(Damaged)?;
                return Ok(match named(&mut call.xml, is_report) {
                    Named::Wanted | Named::Doubt => Verdict::LookVm { vm },
                    Named::Others => Verdict::Drop(Reason::NothingAsked),
                });
            }
            Ok(Part::End) | Err(Damaged) => return vm.map(|vm| Verdict::LookVm { vm }).ok_or(Damaged),
            Ok(_) => {}
        }
    }
}

/// Our tag and reports, and OpenNebula's own word for "booted".
fn is_report(name: &str) -> bool {
    let ours = name
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("ONEKS"));
    ours || name.eq_ignore_ascii_case("READY")
}
