//! `one.vm.update`, `one.vm.updateconf`, `one.vm.resize`.

use opennebula::template::{Template, vector_value};
use opennebula::xmlrpc::Value;

use super::{Action, Hotplug, usage_of};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, parse};
use crate::states::{LcmState, VmState};
use crate::xml;

/// `one.vm.update`: the user template. What can't be parsed is a wrong action here.
pub(crate) fn update(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, args.int(0))?;
    if (0..=1).contains(&args.int_or(2, 0)) {
        parse(args.text(1)).map_err(Failure::action)?;
    }
    shared::update(core, ctx, args)
}

/// What `updateconf` may change besides CONTEXT.
const CONFIG: [(&str, &[&str]); 8] = [
    (
        "OS",
        &[
            "ARCH",
            "MACHINE",
            "KERNEL",
            "INITRD",
            "BOOTLOADER",
            "BOOT",
            "KERNEL_CMD",
            "ROOT",
            "SD_DISK_BUS",
            "UUID",
            "FIRMWARE",
            "FIRMWARE_FORMAT",
        ],
    ),
    (
        "FEATURES",
        &[
            "PAE",
            "ACPI",
            "APIC",
            "LOCALTIME",
            "HYPERV",
            "GUEST_AGENT",
            "VIRTIO_SCSI_QUEUES",
            "VIRTIO_BLK_QUEUES",
            "IOTHREADS",
            "GIC",
            "RAS",
            "MIGRATE_AUTO_CONVERGE",
            "MIGRATE_COMPRESSED",
        ],
    ),
    ("INPUT", &["TYPE", "BUS"]),
    ("GRAPHICS", &["TYPE", "LISTEN", "PASSWD", "KEYMAP", "COMMAND"]),
    ("VIDEO", &["IOMMU", "ATS", "TYPE", "VRAM", "RESOLUTION"]),
    ("RAW", &["TYPE", "DATA", "VALIDATE", "DATA_VMX"]),
    ("CPU_MODEL", &["MODEL", "FEATURES"]),
    (
        "BACKUP_CONFIG",
        &[
            "FS_FREEZE",
            "KEEP_LAST",
            "BACKUP_VOLATILE",
            "INCREMENT_MODE",
            "MODE",
            "DISK_IDS",
            "INTERACTIVE",
        ],
    ),
];

/// `one.vm.updateconf`: id, template, 1 to merge.
pub(crate) fn update_conf(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, append) = (args.int(0), args.int_or(2, 0) == 1);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    let new = parse(args.text(1)).map_err(Failure::internal)?;
    let Some(vm) = core.vms.get(vm_id) else {
        return Err(Failure::no_exists(id));
    };
    let refuse = |cause: String| Failure::internal(format!("Error updating VM {id} configuration: {cause}"));
    if !ctx.caller.is_admin() {
        let found = restricted::changed(restricted::VM, &mut new.clone(), &vm.template, true);
        if let Some(name) = found {
            return Err(Failure::authorization(format!(
                "Tried to change restricted attribute: {name}"
            )));
        }
    }
    let allowed = match vm.state {
        VmState::Pending
        | VmState::Hold
        | VmState::Poweroff
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => true,
        VmState::Active => !matches!(
            vm.lcm_state,
            LcmState::Boot
                | LcmState::BootPoweroff
                | LcmState::BootSuspended
                | LcmState::BootStopped
                | LcmState::BootUndeploy
                | LcmState::BootUnknown
                | LcmState::Unknown
                | LcmState::Hotplug
                | LcmState::HotplugNic
                | LcmState::SaveStop
                | LcmState::SaveSuspend
        ),
        _ => false,
    };
    if !allowed {
        return Err(refuse(format!(
            "configuration cannot be updated in state {}",
            vm.state_name()
        )));
    }
    let (template, context_changed) = configured(&vm.template, &new, append).map_err(refuse)?;
    let running = vm.is_running();
    if xml::is_storable(&template)
        && let Some(vm) = core.vms.get_mut(vm_id)
    {
        vm.template = template;
    }
    if running && context_changed {
        if let Some(vm) = core.vms.get_mut(vm_id) {
            vm.hotplug = Hotplug::Config;
        }
        core.next_record(vm_id, Some((Action::Updateconf, Some(&ctx.caller))), None);
        core.set_vm_state(vm_id, VmState::Active, LcmState::Hotplug);
        core.drive(vm_id, core.config.timings.hotplug);
    }
    Ok(Value::from(id))
}

/// The template with the new configuration, and whether CONTEXT is another one.
fn configured(old: &Template, new: &Template, append: bool) -> Result<(Template, bool), String> {
    let mut template = old.clone();
    for (name, keys) in CONFIG {
        let Some(wanted) = new.get_vector(name) else {
            if !append {
                template.remove(name);
                // The UUID of a VM never changes.
                if let (true, Some(uuid)) = (name == "OS", old.get_in("OS", "UUID")) {
                    template.set_in("OS", "UUID", uuid);
                }
            }
            continue;
        };
        if !append {
            let kept: Vec<(String, String)> = old
                .get_vector(name)
                .unwrap_or(&[])
                .iter()
                .filter(|(key, _)| !keys.contains(&key.as_str()) || key == "UUID")
                .cloned()
                .collect();
            template.set_vector(name, kept);
        }
        for (key, text) in wanted.iter().filter(|(key, _)| keys.contains(&key.as_str())) {
            template.set_in(name, key, text.clone());
        }
    }
    let Some(wanted) = new.get_vector("CONTEXT") else {
        return Ok((template, false));
    };
    let Some(context) = old.get_vector("CONTEXT") else {
        return Err("Virtual machine does not have context, cannot add a new one.".into());
    };
    let is_network = |key: &str| {
        let rest = key.strip_prefix("ETH").unwrap_or("");
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        digits > 0 && rest[digits..].starts_with('_') && rest.len() > digits + 1
    };
    for (key, text) in wanted.iter().filter(|(key, _)| is_network(key)) {
        match vector_value(context, key) {
            None => {
                return Err(format!(
                    "Unable to add {key}, update NIC to update network context"
                ));
            }
            Some(known) if known != text => {
                return Err(format!(
                    "Unable to change {key}, update NIC to update network context"
                ));
            }
            Some(_) => {}
        }
    }
    let is_kept = |key: &str| {
        is_network(key)
            || matches!(key, "DISK_ID" | "TARGET" | "ONEGATE_ENDPOINT" | "VMID")
            || key.starts_with("VROUTER_")
    };
    let mut result: Vec<(String, String)> = context
        .iter()
        .filter(|(key, _)| append || is_kept(key))
        .cloned()
        .collect();
    for (key, text) in wanted {
        super::create::set(&mut result, key, text.clone());
    }
    let mut before = context.to_vec();
    let mut after = result.clone();
    before.sort();
    after.sort();
    template.set_vector("CONTEXT", result);
    Ok((template, before != after))
}

/// `one.vm.resize`: id, template with CPU, VCPU, MEMORY, enforce. Only of a VM that is off.
pub(crate) fn resize(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let new = parse(args.text(1)).map_err(Failure::internal)?;
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    let Some(vm) = core.vms.get(vm_id) else {
        return Err(Failure::no_exists(id));
    };
    if !matches!(
        vm.state,
        VmState::Pending | VmState::Hold | VmState::Poweroff | VmState::Undeployed
    ) {
        return Err(Failure::action(format!(
            "Resize is not available for state {}",
            vm.state_name()
        )));
    }
    let mut template = vm.template.clone();
    for name in ["CPU", "VCPU", "MEMORY"] {
        if let Some(text) = new.get(name) {
            if text.parse::<f64>().is_ok_and(|number| number < 0.0) || text.parse::<f64>().is_err() {
                return Err(Failure::action(format!(
                    "{name} must be a positive float or integer value"
                )));
            }
            template.set(name, text);
        }
    }
    let (old_usage, uid, gid, running) = (vm.usage(), vm.meta.uid, vm.meta.gid, vm.runs_on_quota);
    let mut new_usage = usage_of(&template);
    if !running {
        new_usage.vm.retain(|(name, _)| !name.starts_with("RUNNING_"));
    }
    let host = vm.host().filter(|_| vm.state == VmState::Poweroff);
    core.discharge(uid, gid, &old_usage);
    if let Err(refusal) = core.charge(uid, gid, &new_usage) {
        // It had this before.
        let _ = core.charge(uid, gid, &old_usage);
        return Err(refusal);
    }
    if let Some(host) = host {
        core.occupy(vm_id, host, false);
    }
    if let Some(vm) = core.vms.get_mut(vm_id) {
        vm.template = template;
    }
    if let Some(host) = host {
        core.occupy(vm_id, host, true);
    }
    Ok(Value::from(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    #[test]
    fn context_is_merged_or_rebuilt() {
        let old = template("OS=[UUID=u,BOOT=disk0]\nCONTEXT=[NETWORK=YES,A=1,ETH0_IP=\"10.0.0.1\",VMID=7]");
        let (merged, changed) = configured(&old, &template("CONTEXT=[B=2]"), true).unwrap();
        assert!(changed);
        assert_eq!(merged.get_in("CONTEXT", "A"), Some("1"));
        assert_eq!(merged.get_in("CONTEXT", "B"), Some("2"));
        assert_eq!(merged.get_in("OS", "BOOT"), Some("disk0"));
        let (rebuilt, _) = configured(&old, &template("CONTEXT=[B=2]"), false).unwrap();
        assert_eq!(rebuilt.get_in("CONTEXT", "A"), None);
        assert_eq!(rebuilt.get_in("CONTEXT", "ETH0_IP"), Some("10.0.0.1"));
        assert_eq!(rebuilt.get_in("OS", "UUID"), Some("u"));
        assert!(!configured(&old, &template("CONTEXT=[A=1]"), true).unwrap().1);
    }

    #[test]
    fn addresses_and_missing_contexts_are_refused() {
        let old = template("CONTEXT=[ETH0_IP=\"10.0.0.1\"]");
        assert!(configured(&old, &template("CONTEXT=[ETH0_IP=\"10.0.0.2\"]"), true).is_err());
        assert!(configured(&old, &template("CONTEXT=[ETH1_IP=\"10.0.0.2\"]"), true).is_err());
        assert!(configured(&template("CPU=1"), &template("CONTEXT=[A=1]"), true).is_err());
    }
}
