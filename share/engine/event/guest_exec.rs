//! `one.internal.vmmonitor`: the result of a command that ran in a guest.

use std::io::Read;

use oneks_core::names::{COMMAND_PREFIX, CommandToken};

use crate::gate::Hints;

use super::call::{Call, Part};
use super::xml::{Damaged, Token, Xml};
use super::{Reason, Verdict, id};

/// Longer than any command of ours.
const COMMAND: usize = 512;

pub(super) fn look<R: Read>(xml: Xml<R>) -> Verdict {
    read(&mut Call::new(xml)).unwrap_or(Verdict::Drop(Reason::Unreadable))
}

/// The inputs are `KEY=value` in alphabetical order, COMMAND first, all of them the guest's or the caller's; the VM's id
/// is in EXTRA.
fn read<R: Read>(call: &mut Call<R>) -> Result<Verdict, Damaged> {
    let mut cluster = None;
    let mut vm = None;
    let mut ours = false;
    loop {
        match call.next() {
            Ok(Part::Result(false)) => return Ok(Verdict::Drop(Reason::CallFailed)),
            Ok(Part::In(_)) => {
                let Ok(text) = call.xml.text(COMMAND) else { break };
                let text = text.unwrap_or_default();
                if let Some(command) = text.strip_prefix("COMMAND=").filter(|_| !ours) {
                    if !is_ours(command) {
                        return Ok(Verdict::Drop(Reason::NotOurs));
                    }
                    ours = true;
                    cluster = CommandToken::of_command(command).map(|token| token.cluster);
                } else if !ours {
                    return Ok(Verdict::Drop(Reason::NotOurs));
                } else if text.trim() == "STATUS=EXECUTING" {
                    return Ok(Verdict::Drop(Reason::StillExecuting));
                }
            }
            Ok(Part::Extra) => vm = vm_id(&mut call.xml).unwrap_or(vm),
            Ok(Part::Result(true) | Part::Out(_)) => {}
            Ok(Part::End) | Err(Damaged) => break,
        }
    }
    match (ours, cluster, vm) {
        (true, Some(cluster), vm) => Ok(Verdict::Look {
            clusters: vec![cluster],
            hints: vm.map_or_else(Hints::none, Hints::vm),
        }),
        (true, None, Some(vm)) => Ok(Verdict::LookVm { vm }),
        _ => Err(Damaged),
    }
}

/// Ours, even if the token is damaged: then the VM tells the cluster.
fn is_ours(command: &str) -> bool {
    command
        .strip_prefix(COMMAND_PREFIX)
        .is_some_and(|token| token.trim_start().starts_with("oneks:"))
}

fn vm_id<R: Read>(xml: &mut Xml<R>) -> Result<Option<u32>, Damaged> {
    let extra = xml.depth();
    loop {
        let found = matches!(xml.next()?, Token::Open("VM_ID"));
        if found {
            return Ok(xml.text(64)?.and_then(|text| id(&text)));
        }
        if xml.depth() < extra {
            return Ok(None);
        }
    }
}
