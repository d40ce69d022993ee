//! From OpenNebula's objects to what the plan looks at.

use std::collections::BTreeMap;

use oneks_core::names::CommandToken;
use oneks_core::observed as seen;
use oneks_core::text::shorten;
use oneks_driver::{Output, VmCondition};
use opennebula::objects::{
    GuestExec, GuestExecStatus, LcmState, Tag, Vm, VmState, VmTemplate, Vnet, Vrouter,
};
use opennebula::template::Template;

/// Most bytes of a guest command's output that are looked at. The hypervisor's agent can't deliver more in one report.
const MAX_OUTPUT: usize = 256 * 1024;

/// Most bytes of a report or of an error, which are stored in STATUS: whoever owns the VM, and its guest, writes them.
const MAX_TEXT: usize = 1000;

/// Attributes of a VM's user template that are reports to us.
const REPORT_PREFIX: &str = "ONEKS_";

/// A virtual machine. `private` is the cluster's private network, where it is known.
pub fn vm(vm: &Vm, private: Option<u32>) -> seen::Vm {
    let nics = vm.nics();
    let nic = nics
        .iter()
        .find(|n| private.is_some() && n.network_id == private)
        .or(nics.first());
    let active = vm.state == VmState::Active;
    seen::Vm {
        id: vm.id,
        uid: vm.uid,
        name: vm.name.clone(),
        tag: vm.oneks_tag().as_ref().map(tag),
        condition: condition(vm.state, vm.lcm_state),
        steady: active && vm.lcm_state == LcmState::Running,
        state: if active {
            format!("{}/{}", vm.state.as_str(), vm.lcm_state.as_str())
        } else {
            vm.state.as_str().to_owned()
        },
        created: vm.stime,
        ip: nic.and_then(|n| n.ip).map(|ip| ip.to_string()),
        vrouter: vm.vrouter_id(),
        error: vm
            .error_text()
            .or_else(|| vm.sched_message())
            .map(|text| shorten(undated(text), MAX_TEXT)),
        reports: reports(&vm.user_template),
        command: vm.guest_exec().as_ref().map(command),
    }
}

/// A message without the time in front that OpenNebula sets anew with every attempt: what stays the same must look the same.
fn undated(text: &str) -> &str {
    const TIME: usize = "Mon Jan  1 00:00:00 2024".len();
    let clock = |part: &str| {
        part.bytes().filter(|b| *b == b':').count() == 2 && part.ends_with(|c: char| c.is_ascii_digit())
    };
    match text.split_at_checked(TIME) {
        Some((time, rest)) if clock(time) => rest.trim_start_matches([' ', ':']),
        _ => text,
    }
}

/// What a state means for a cluster.
pub fn condition(state: VmState, lcm: LcmState) -> VmCondition {
    use LcmState as L;
    match state {
        VmState::Done => VmCondition::Ending,
        VmState::Stopped | VmState::Suspended | VmState::Poweroff | VmState::Undeployed => VmCondition::Down,
        VmState::CloningFailure => VmCondition::Failed,
        VmState::Active => match lcm {
            _ if lcm.is_failure() => VmCondition::Failed,
            L::Shutdown | L::Epilog | L::CleanupDelete => VmCondition::Ending,
            L::LcmInit
            | L::Prolog
            | L::Boot
            | L::CleanupResubmit
            | L::PrologResume
            | L::PrologUndeploy
            | L::BootUnknown
            | L::BootPoweroff
            | L::BootSuspended
            | L::BootStopped
            | L::BootUndeploy
            | L::Restore => VmCondition::Starting,
            L::Unknown
            | L::SaveStop
            | L::SaveSuspend
            | L::EpilogStop
            | L::ShutdownPoweroff
            | L::ShutdownUndeploy
            | L::EpilogUndeploy
            | L::PrologMigratePoweroff
            | L::PrologMigrateSuspend
            | L::PrologMigrateUnknown
            | L::BackupPoweroff => VmCondition::Down,
            // Hot-plugging, migrating, backing up, resizing: it runs meanwhile.
            _ => VmCondition::Running,
        },
        _ => VmCondition::Starting,
    }
}

fn tag(tag: &Tag) -> seen::Tag {
    seen::Tag {
        cluster: tag.cluster_id,
        group: tag.group_id,
        kind: seen::Kind::parse(&tag.kind),
    }
}

fn reports(template: &Template) -> BTreeMap<String, String> {
    template
        .iter()
        .filter(|a| a.name.starts_with(REPORT_PREFIX))
        .filter_map(|a| Some((a.name.clone(), shorten(a.value.as_text()?, MAX_TEXT))))
        .collect()
}

fn command(exec: &GuestExec) -> seen::GuestCommand {
    let progress = match exec.status {
        GuestExecStatus::Done => seen::Progress::Done,
        GuestExecStatus::Error | GuestExecStatus::Cancelled => seen::Progress::Failed,
        _ => seen::Progress::Executing,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_OUTPUT)]).into_owned();
    let output = (progress == seen::Progress::Done).then(|| Output {
        return_code: exec.return_code.unwrap_or(-1),
        stdout: text(&exec.stdout),
        stderr: text(&exec.stderr),
    });
    seen::GuestCommand {
        token: CommandToken::of_command(&exec.command),
        progress,
        output,
    }
}

/// A virtual router.
pub fn router(router: &Vrouter) -> seen::Router {
    let addresses = router
        .nics()
        .into_iter()
        .filter_map(|nic| Some((nic.network_id?, nic.vrouter_ip?.to_string())))
        .collect();
    seen::Router {
        id: router.id,
        uid: router.uid,
        name: router.name.clone(),
        vms: router.vms.clone(),
        addresses,
    }
}

/// A VM template.
pub fn template(template: &VmTemplate) -> seen::Template {
    seen::Template {
        id: template.id,
        uid: template.uid,
        name: template.name.clone(),
        tag: template.oneks_tag().as_ref().map(tag),
        fingerprint: template
            .template
            .get(oneks_core::plan::FINGERPRINT_ATTRIBUTE)
            .map(str::to_owned),
    }
}

/// A reserved network.
pub fn reservation(network: &Vnet) -> seen::Reservation {
    let held = network
        .address_ranges
        .iter()
        .flat_map(|range| &range.leases)
        .filter(|lease| lease.vm.is_none() && lease.vnet.is_none() && lease.vrouter.is_none())
        .filter_map(|lease| lease.ip.map(|ip| ip.to_string()))
        .collect();
    seen::Reservation {
        id: network.id,
        uid: network.uid,
        name: network.name.clone(),
        held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_no_time() {
        for (text, expected) in [
            ("Sun Nov  2 10:00:05 2025: No hosts enabled", "No hosts enabled"),
            ("Sun Nov 22 10:00:05 2025 : Error: no KVM", "Error: no KVM"),
            (
                "Cannot get IP/MAC lease: from network",
                "Cannot get IP/MAC lease: from network",
            ),
            ("short", "short"),
            ("ééééééééééééééééééééééééé", "ééééééééééééééééééééééééé"),
        ] {
            assert_eq!(undated(text), expected);
        }
    }

    #[test]
    fn every_state_means_something_and_failures_are_failures() {
        for &lcm in LcmState::ALL {
            let got = condition(VmState::Active, lcm);
            assert_eq!(
                got == VmCondition::Failed,
                lcm.as_str().ends_with("FAILURE"),
                "{}",
                lcm.as_str()
            );
        }
        for (state, lcm, expected) in [
            (VmState::Pending, LcmState::LcmInit, VmCondition::Starting),
            (VmState::Hold, LcmState::LcmInit, VmCondition::Starting),
            (VmState::Active, LcmState::Running, VmCondition::Running),
            (VmState::Active, LcmState::Hotplug, VmCondition::Running),
            (VmState::Active, LcmState::Unknown, VmCondition::Down),
            (VmState::Active, LcmState::Epilog, VmCondition::Ending),
            (VmState::Poweroff, LcmState::LcmInit, VmCondition::Down),
            (VmState::Done, LcmState::LcmInit, VmCondition::Ending),
        ] {
            assert_eq!(
                condition(state, lcm),
                expected,
                "{} {}",
                state.as_str(),
                lcm.as_str()
            );
        }
    }
}
