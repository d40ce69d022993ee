//! `one.vm.update` and `one.vm.resize`.

use opennebula::xmlrpc::Value;

use super::usage_of;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, parse};
use crate::states::VmState;

/// `one.vm.update`: the user template. What can't be parsed is a wrong action here.
pub(crate) fn update(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Vm, args.int(0))?;
    if (0..=1).contains(&args.int_or(2, 0)) {
        parse(args.text(1)).map_err(Failure::action)?;
    }
    shared::update(core, ctx, args)
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
