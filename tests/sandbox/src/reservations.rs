//! Addresses apart from VMs: held ones, reservations, more ranges.

use opennebula::template::{Attribute, vector_value};
use opennebula::xmlrpc::Value;

use crate::acl::Request;
use crate::core::Core;
use crate::failure::Failure;
use crate::leases::Holder;
use crate::meta::{ObjectKind, Operation};
use crate::quotas::Usage;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{done, parse, target};

/// `one.vn.hold` and `one.vn.release`: id, template with `LEASES=[IP=…]`.
pub(crate) fn hold(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, address) = lease(core, ctx, args)?;
    let vnet = core.vnets.get_mut(id);
    let held = vnet.is_some_and(|vnet| {
        vnet.ranges
            .iter_mut()
            .filter(|range| address.range.is_none_or(|id| id == range.id))
            .any(|range| range.take_at(&address.text, Holder::Held).is_some())
    });
    if held {
        done(id)
    } else {
        Err(Failure::internal(
            "Address is not part of the address range or in use.",
        ))
    }
}

/// See [`hold`].
pub(crate) fn release(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, address) = lease(core, ctx, args)?;
    if let Some(vnet) = core.vnets.get_mut(id) {
        for range in vnet
            .ranges
            .iter_mut()
            .filter(|range| address.range.is_none_or(|id| id == range.id))
        {
            range.release_at(&address.text, Holder::Held);
        }
    }
    done(id)
}

struct LeaseAddress {
    range: Option<u32>,
    text: String,
}

fn lease(core: &Core, ctx: &Context, args: &Args<'_>) -> Result<(u32, LeaseAddress), Failure> {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Net, id)?;
    let template = parse(args.text(1)).map_err(Failure::internal)?;
    let Some(pairs) = template.get_vector("LEASES") else {
        return Err(Failure::internal("Empty lease description."));
    };
    let mut given = ["MAC", "IP", "IP6"]
        .into_iter()
        .filter_map(|key| vector_value(pairs, key));
    let Some(text) = given.next() else {
        return Err(Failure::internal("Missing MAC, IP or IP6."));
    };
    if given.next().is_some() {
        return Err(Failure::internal("Only one attribute MAC, IP or IP6 can be set."));
    }
    let range = vector_value(pairs, "AR_ID").and_then(|text| text.parse().ok());
    let id = core.existing(ObjectKind::Net, id)?.meta().id;
    Ok((
        id,
        LeaseAddress {
            range,
            text: text.into(),
        },
    ))
}

/// `one.vn.reserve`: id, template with size, name or network, range, first address.
pub(crate) fn reserve(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(1)).map_err(Failure::action)?;
    let number = |name: &str| template.get(name).and_then(|text| text.parse::<i64>().ok());
    let Some(size) = number("SIZE")
        .and_then(|size| u32::try_from(size).ok())
        .filter(|size| *size > 0)
    else {
        return Err(Failure::action("Reservation SIZE must be a greater than 0"));
    };
    let id = args.int(0);
    let existing = number("NETWORK_ID");
    if let Some(into) = existing {
        if into < 0 {
            return Err(Failure::action("NETWORK_ID must be equal or greater than 0"));
        }
        if into == id {
            return Err(Failure::action("Cannot add a reservation from the same network"));
        }
        let into_id = core.existing(ObjectKind::Net, into)?.meta().id;
        match core.vnets.get(into_id).and_then(|vnet| vnet.parent) {
            None => {
                return Err(Failure::action(
                    "Cannot add reservations to a non-reservation VNET",
                ));
            }
            Some(parent) if i64::from(parent) != id => {
                return Err(Failure::action(format!(
                    "New reservations for virtual network {into} have to be from network {parent}"
                )));
            }
            Some(_) => {}
        }
    }
    let name = template.get("NAME").unwrap_or("");
    if name.is_empty() && existing.is_none() {
        return Err(Failure::action("NAME for reservation has to be set"));
    }
    let range = number("AR_ID");
    if range.is_some_and(|range| range < 0) {
        return Err(Failure::action("AR_ID must be equal or greater than 0"));
    }
    let first = ["IP", "IP6", "MAC"]
        .into_iter()
        .find_map(|key| template.get(key))
        .map(str::to_owned);
    if range.is_none() && first.is_some() {
        return Err(Failure::action(
            "AR_ID must be specified for IP/MAC based reservations",
        ));
    }
    let parent = core.existing(ObjectKind::Net, id)?;
    let parent_id = parent.meta().id;
    if core
        .vnets
        .get(parent_id)
        .is_some_and(|vnet| vnet.parent.is_some())
    {
        return Err(Failure::action("Cannot reserve addresses from a reserved VNET"));
    }
    let mut request = Request::new(core, &ctx.caller);
    request.need(Operation::Use, &target(ObjectKind::Net, parent));
    if let Some(into) = existing {
        request.need(
            Operation::Manage,
            &target(ObjectKind::Net, core.existing(ObjectKind::Net, into)?),
        );
    }
    request.finish()?;

    let reservation = if let Some(into) = existing.and_then(|into| u32::try_from(into).ok()) {
        into
    } else {
        let mut copy = parent.template().clone();
        let clusters = parent.clusters().to_vec();
        copy.push(Attribute::text("NAME", name));
        let caller = ctx.caller.clone();
        let made = core.insert_vnet(&caller, copy, clusters)?;
        if let Some(vnet) = core.vnets.get_mut(made) {
            vnet.parent = Some(parent_id);
        }
        made
    };
    let owner = core
        .vnets
        .get(reservation)
        .map_or((0, 0), |vnet| (vnet.meta.uid, vnet.meta.gid));
    let usage = Usage {
        networks: vec![parent_id; size as usize],
        ..Usage::default()
    };
    let undo = |core: &mut Core| {
        if existing.is_none() {
            core.remove_vnet(reservation);
        }
    };
    if let Err(refusal) = core.charge(owner.0, owner.1, &usage) {
        undo(core);
        return Err(refusal);
    }
    let range = range.and_then(|range| u32::try_from(range).ok());
    let parent = core.vnets.get_mut(parent_id);
    let cut = parent.and_then(|vnet| {
        vnet.ranges
            .iter_mut()
            .filter(|candidate| range.is_none_or(|id| id == candidate.id))
            .find_map(|candidate| candidate.cut(size, first.as_deref(), Holder::Vnet(reservation)))
    });
    let Some(cut) = cut else {
        core.discharge(owner.0, owner.1, &usage);
        undo(core);
        return Err(Failure::action(match range {
            Some(range) => {
                format!("Not enough free addresses in address range {range}, or it does not exist")
            }
            None => "Not enough free addresses in an address range".to_owned(),
        }));
    };
    if let Some(vnet) = core.vnets.get_mut(reservation) {
        let id = vnet.next_range;
        vnet.next_range += 1;
        vnet.ranges.push(cut.with_id(id));
    }
    Ok(Value::from(reservation))
}

/// `one.vn.add_ar`: id, template with `AR=[…]`.
pub(crate) fn add_range(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Admin, ObjectKind::Net, id)?;
    let template = parse(args.text(1)).map_err(Failure::internal)?;
    let Some(pairs) = template.get_vector("AR") else {
        return Err(Failure::internal(
            "Wrong AR definition. AR vector attribute is missing.",
        ));
    };
    let mac = u32::try_from(core.rng.next() & 0xffff_ffff).unwrap_or(0);
    let id = core.existing(ObjectKind::Net, id)?.meta().id;
    if let Some(vnet) = core.vnets.get_mut(id) {
        vnet.add_range(pairs, mac).map_err(Failure::internal)?;
    }
    done(id)
}
