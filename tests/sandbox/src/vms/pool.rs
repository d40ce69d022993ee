//! Looking at VMs.

use std::collections::BTreeSet;

use super::Vm;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{ObjectKind, Operation};
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::target;
use crate::states::VmState;
use crate::xml::Xml;

/// `one.vm.info`.
pub(crate) fn info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.need(&ctx.caller, Operation::UseNoLock, ObjectKind::Vm, args.int(0))?;
    let id = core.existing(ObjectKind::Vm, args.int(0))?.meta().id;
    Ok(core.vm_xml(id).into())
}

/// `one.vmpool.info`: filter, first, last, state (-2 all, -1 all but DONE).
pub(crate) fn pool_info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    pool(core, ctx, args, Vm::write_short)
}

/// `one.vmpool.infoextended`.
pub(crate) fn pool_info_extended(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    pool(core, ctx, args, |vm, xml| vm.write_full(xml, true))
}

fn pool(core: &Core, ctx: &Context, args: &Args<'_>, write: impl Fn(&Vm, &mut Xml)) -> Outcome {
    let state = args.int_or(3, -1);
    let wanted = |vm: &Vm| match state {
        -2 => true,
        -1 => vm.state != VmState::Done,
        number => vm.state as i64 == number,
    };
    if !(-2..=11).contains(&state) {
        return Err(Failure::rpc_api("Incorrect filter_flag, state"));
    }
    let range = (args.int_or(1, -1), args.int_or(2, -1));
    let keep = |id| core.vms.get(id).is_some_and(wanted);
    let ids = core.listed(ObjectKind::Vm, &ctx.caller, args.int_or(0, -2), range, keep)?;
    Ok(written(core, &ids, write))
}

/// `one.vmpool.infoset`: ids joined by commas, extended. What doesn't exist or may not be seen is left out.
#[allow(clippy::unnecessary_wraps)] // Other methods can fail.
pub(crate) fn pool_info_set(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let wanted: BTreeSet<u32> = args
        .text(0)
        .split(',')
        .filter_map(|id| id.trim().parse().ok())
        .collect();
    let visible = |id: &u32| {
        let vm = core.vms.get(*id);
        vm.is_some_and(|vm| core.is_visible(&ctx.caller, &target(ObjectKind::Vm, vm)))
    };
    let ids: Vec<u32> = wanted.into_iter().rev().filter(visible).collect();
    let extended = args.flag(1);
    Ok(written(core, &ids, |vm, xml| {
        if extended {
            vm.write_full(xml, true);
        } else {
            vm.write_short(xml);
        }
    }))
}

fn written(core: &Core, ids: &[u32], write: impl Fn(&Vm, &mut Xml)) -> opennebula::xmlrpc::Value {
    let mut xml = Xml::new();
    xml.open("VM_POOL");
    for vm in ids.iter().filter_map(|id| core.vms.get(*id)) {
        write(vm, &mut xml);
    }
    xml.close("VM_POOL");
    xml.into_string().into()
}

impl Core {
    /// The whole VM.
    pub(crate) fn vm_xml(&self, id: u32) -> String {
        self.vms.get(id).map(Object::to_xml).unwrap_or_default()
    }
}
