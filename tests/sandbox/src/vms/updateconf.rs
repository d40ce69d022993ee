//! `one.vm.updateconf`: CONTEXT and what the hypervisor needs to know.

use std::collections::BTreeMap;

use opennebula::template::{Template, vector_value};
use opennebula::xmlrpc::Value;

use super::{Action, Hotplug, Vm};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::parse;
use crate::states::{LcmState, VmState};
use crate::xml;

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
    let (id, append) = (args.int(0), args.int_or(2, 0));
    if !(0..=1).contains(&append) {
        return Err(Failure::rpc_api("Wrong update type"));
    }
    let new = updateable(&parse(args.text(1)).map_err(Failure::internal)?);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, id)?;
    let vm_id = core.existing(ObjectKind::Vm, id)?.meta().id;
    let Some(vm) = core.vms.get(vm_id) else {
        return Err(Failure::no_exists(id));
    };
    if !ctx.caller.is_admin() {
        let found = restricted::changed(restricted::VM, &mut new.clone(), &vm.template, true);
        if let Some(name) = found {
            return Err(Failure::authorization(format!(
                "Template includes a restricted attribute {name}"
            )));
        }
    }
    let (template, context_changed) = core
        .configured(vm, &new, append == 1)
        .map_err(Failure::internal)?;
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

/// What of a template `updateconf` looks at.
fn updateable(template: &Template) -> Template {
    let mut new = Template::new();
    for (name, keys) in CONFIG {
        let pairs = template.get_vector(name).unwrap_or(&[]).iter();
        let pairs: Vec<(String, String)> = pairs
            .filter(|(key, text)| keys.contains(&key.as_str()) && (!text.is_empty() || key == "DISK_IDS"))
            .cloned()
            .collect();
        if !pairs.is_empty() {
            new.set_vector(name, pairs);
        }
    }
    if let Some(context) = template.get_vector("CONTEXT") {
        new.set_vector("CONTEXT", context.to_vec());
    }
    new
}

fn may_be_configured(vm: &Vm) -> bool {
    use LcmState as L;
    match vm.state {
        VmState::Pending
        | VmState::Hold
        | VmState::Poweroff
        | VmState::Undeployed
        | VmState::Cloning
        | VmState::CloningFailure => true,
        VmState::Active => matches!(
            vm.lcm_state,
            L::LcmInit
                | L::Prolog
                | L::Running
                | L::Epilog
                | L::Shutdown
                | L::CleanupResubmit
                | L::ShutdownPoweroff
                | L::CleanupDelete
                | L::ShutdownUndeploy
                | L::EpilogUndeploy
                | L::PrologUndeploy
                | L::BootFailure
                | L::PrologFailure
                | L::EpilogFailure
                | L::EpilogUndeployFailure
                | L::BootUndeployFailure
                | L::PrologUndeployFailure
        ),
        _ => false,
    }
}

impl Core {
    /// The VM's template with the new configuration, and whether CONTEXT is another one.
    fn configured(&self, vm: &Vm, new: &Template, append: bool) -> Result<(Template, bool), String> {
        if !may_be_configured(vm) {
            return Err(format!(
                "configuration cannot be updated in state {}",
                vm.state_name()
            ));
        }
        let mut template = vm.template.clone();
        for (name, keys) in CONFIG {
            configure(&mut template, new, name, keys, append);
        }
        let Some(wanted) = new.get_vector("CONTEXT") else {
            return Ok((template, false));
        };
        let Some(context) = vm.template.get_vector("CONTEXT") else {
            return Err("Virtual machine does not have context, cannot add a new one.".into());
        };
        let changes = changes(context, wanted, append)?;
        let mut parsed: Vec<(String, String)> = wanted
            .iter()
            .filter(|(key, _)| !changes.equal.contains_key(key) || (!append && key == "NETWORK"))
            .cloned()
            .collect();
        for key in ["TARGET", "DISK_ID"] {
            let old = vector_value(context, key).unwrap_or("").to_owned();
            super::set(&mut parsed, key, old);
        }
        template.set_vector("CONTEXT", parsed);
        self.parse_context(&vm.meta, &mut template, &vm.user_template)?;

        let parsed = template.get_vector("CONTEXT").unwrap_or(&[]).to_vec();
        let (mut result, over) = if append {
            (context.to_vec(), parsed)
        } else {
            (parsed, changes.equal.into_iter().collect())
        };
        for (key, text) in over {
            super::set(&mut result, &key, text);
        }
        template.set_vector("CONTEXT", result);
        Ok((template, changes.any))
    }
}

/// Replaces or merges one of the vectors of [`CONFIG`].
fn configure(template: &mut Template, new: &Template, name: &str, keys: &[&str], append: bool) {
    let Some(wanted) = new.get_vector(name) else {
        if !append {
            template.remove(name);
        }
        return;
    };
    let mut pairs = template.get_vector(name).unwrap_or(&[]).to_vec();
    if !append {
        pairs.retain(|(key, _)| !keys.contains(&key.as_str()));
    }
    for (key, text) in wanted {
        super::set(&mut pairs, key, text.clone());
    }
    template.set_vector(name, pairs);
}

/// What a new CONTEXT changes.
#[derive(Debug)]
struct Changes {
    /// Pairs that are in both.
    equal: BTreeMap<String, String>,
    /// Whether the VM has to be told.
    any: bool,
}

/// Compares as oned does: by name, and only until the old one ends.
fn changes(old: &[(String, String)], new: &[(String, String)], append: bool) -> Result<Changes, String> {
    let sorted = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
    let (old, new) = (sorted(old), sorted(new));
    let last = old.keys().next_back();
    let mut changes = Changes {
        equal: BTreeMap::new(),
        any: false,
    };
    for (key, text) in &new {
        let refused = is_network(key) && last.is_some_and(|last| key < last);
        match old.get(key) {
            Some(known) if known == text => {
                changes.equal.insert(key.clone(), text.clone());
                continue;
            }
            Some(_) if is_network(key) => {
                return Err(format!(
                    "Unable to update {key}, update NIC to update network context"
                ));
            }
            None if refused => {
                return Err(format!(
                    "Unable to add {key}, update NIC to update network context"
                ));
            }
            _ => {}
        }
        changes.any = true;
    }
    let until = new.keys().next_back();
    let dropped = |key: &String| !new.contains_key(key) && until.is_some_and(|until| key < until);
    changes.any |= !append && old.keys().any(dropped);
    Ok(changes)
}

/// Whether the name is `ETHn_…`.
fn is_network(key: &str) -> bool {
    let rest = key.strip_prefix("ETH").unwrap_or("");
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    digits > 0 && rest[digits..].starts_with('_') && rest.len() > digits + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let template = Template::parse(&format!("CONTEXT=[{text}]")).unwrap();
        template.get_vector("CONTEXT").unwrap().to_vec()
    }

    #[test]
    fn contexts_are_compared_by_name() {
        let old = pairs("A=1,ETH0_IP=\"10.0.0.1\",NETWORK=YES,TARGET=hda");
        for (new, append, any, equal) in [
            ("A=1", true, false, 1),
            ("A=2", true, true, 0),
            ("B=2", true, true, 0),
            ("Z=2", true, true, 0),
            ("A=1,ETH0_IP=\"10.0.0.1\"", true, false, 2),
            // What is missing at the end counts for nothing.
            ("A=1,ETH0_IP=\"10.0.0.1\"", false, false, 2),
            ("A=1,NETWORK=YES", false, true, 2),
        ] {
            let changes = changes(&old, &pairs(new), append).unwrap();
            assert_eq!((changes.any, changes.equal.len()), (any, equal), "{new}");
        }
    }

    #[test]
    fn addresses_are_the_nics_business() {
        let old = pairs("ETH0_IP=\"10.0.0.1\",TARGET=hda");
        for (new, words) in [
            ("ETH0_IP=\"10.0.0.2\"", "update"),
            ("ETH1_IP=\"10.0.0.2\"", "add"),
        ] {
            let error = changes(&old, &pairs(new), true).unwrap_err();
            assert!(error.starts_with(&format!("Unable to {words} ETH")), "{error}");
        }
    }

    #[test]
    fn vectors_are_replaced_or_merged() {
        let old = Template::parse("OS=[UUID=u,BOOT=disk0,OTHER=x]").unwrap();
        let keys = CONFIG[0].1;
        for (new, append, expected) in [
            (
                "OS=[ARCH=x86_64]",
                true,
                "OS=[UUID=u,BOOT=disk0,OTHER=x,ARCH=x86_64]",
            ),
            ("OS=[ARCH=x86_64]", false, "OS=[OTHER=x,ARCH=x86_64]"),
            ("CPU=1", true, "OS=[UUID=u,BOOT=disk0,OTHER=x]"),
            ("CPU=1", false, ""),
        ] {
            let mut template = old.clone();
            configure(&mut template, &Template::parse(new).unwrap(), "OS", keys, append);
            assert_eq!(template, Template::parse(expected).unwrap_or_default(), "{new}");
        }
    }
}
