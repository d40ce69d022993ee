//! Guest commands whose record was lost, with a STATUS that was lost or not written: the VM still shows their token.

use crate::action::Action;
use crate::observed::Progress as CommandProgress;
use crate::plan::context::Context;
use crate::plan::work::group_mut;
use crate::status::{GuestExec, Purpose, Status};

/// Seconds that a command gets whose record was lost, and with it its limit.
const ADOPTED: u64 = 1200;

/// Takes up commands whose record was lost with a STATUS that was not written, and ends those that were given up.
pub(super) fn adopt(context: &mut Context<'_>, status: &mut Status) {
    for vm in context.vms() {
        let Some((token, progress)) = vm
            .command
            .as_ref()
            .and_then(|c| Some((c.token.as_ref()?, c.progress)))
        else {
            continue;
        };
        let text = token.to_string();
        let recorded = status
            .guest_exec
            .as_ref()
            .is_some_and(|e| e.token == text && e.vm == vm.id);
        // No command of ours comes so far, and none could come after it: it would be taken up again for ever.
        let last = token.serial == u64::MAX;
        if token.cluster != context.desired.document || recorded || last {
            continue;
        }
        let executing = progress == CommandProgress::Executing;
        if token.serial < status.commands {
            if executing && vm.steady {
                context.act(Action::CancelExec { vm: vm.id });
            }
            continue;
        }
        let Some((purpose, id, script)) = parts(&token.purpose) else {
            continue;
        };
        let Some(group) = group_mut(status, id) else {
            continue;
        };
        if purpose == Purpose::Apply {
            // What it has changed is not known; the wanted script is run again.
            group.begun = true;
            group.applied = None;
        }
        if executing && status.guest_exec.is_none() {
            status.guest_exec = Some(GuestExec {
                vm: vm.id,
                group: id,
                purpose,
                token: text,
                script,
                probe: None,
                // It may be one that waits.
                wait: 1,
                given_up: false,
                issued: context.now,
                deadline: context.now.saturating_add(ADOPTED),
            });
        }
        if !executing || status.guest_exec.as_ref().is_some_and(|e| e.vm == vm.id) {
            status.commands = token.serial.saturating_add(1);
        }
    }
}

/// The parts of a token's purpose: `apply-24001-0123456789abcdef`.
fn parts(text: &str) -> Option<(Purpose, u32, String)> {
    let mut parts = text.splitn(3, '-');
    let purpose = parts.next()?;
    let all = [
        Purpose::Kubeconfig,
        Purpose::Apply,
        Purpose::Rotate,
        Purpose::Probe,
    ];
    let purpose = all.into_iter().find(|p| p.as_str() == purpose)?;
    Some((purpose, parts.next()?.parse().ok()?, parts.next()?.to_owned()))
}
