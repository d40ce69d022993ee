//! Virtual routers.

use std::collections::BTreeSet;

use opennebula::template::{Attribute, Template, vector_value};
use opennebula::xmlrpc::Value;

use crate::acl::{Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::leases::Holder;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::pool::Object;
use crate::quotas::Usage;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse, target};
use crate::templates::{VmTemplate, is_yes};
use crate::vms::{Trigger, set};
use crate::xml::{self, Xml};

/// A virtual router.
#[derive(Clone, Debug, PartialEq)]
pub struct VRouter {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// Its VMs.
    pub vms: BTreeSet<u32>,
    /// Attributes, the NICs among them.
    pub template: Template,
}

impl VRouter {
    /// The floating addresses, in the order of the NICs.
    pub fn addresses(&self) -> Vec<String> {
        let nics = self.template.get_vectors("NIC");
        nics.filter_map(|nic| vector_value(nic, "VROUTER_IP"))
            .map(str::to_owned)
            .collect()
    }

    /// What each VM of the router gets besides its template.
    fn vm_attributes(&self) -> Template {
        let mut attributes = Template::new();
        for nic in self.template.get_vectors("NIC") {
            let mut nic = nic.to_vec();
            nic.retain(|(key, _)| key != "NIC_ID");
            if is_yes(&nic, "FLOATING_IP") {
                // The address is the router's; each VM gets one of its own.
                nic.retain(|(key, _)| key != "IP" && key != "MAC");
            }
            attributes.push(Attribute::vector("NIC", nic));
        }
        attributes.set("VROUTER_ID", self.meta.id.to_string());
        let keepalived = self
            .template
            .get("KEEPALIVED_ID")
            .map_or_else(|| (self.meta.id % 255 + 1).to_string(), str::to_owned);
        attributes.set("VROUTER_KEEPALIVED_ID", keepalived);
        if let Some(password) = self
            .template
            .get("KEEPALIVED_PASSWORD")
            .filter(|text| !text.is_empty())
        {
            attributes.set("VROUTER_KEEPALIVED_PASSWORD", password);
        }
        attributes
    }
}

impl Object for VRouter {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn template(&self) -> &Template {
        &self.template
    }

    fn template_mut(&mut self) -> &mut Template {
        &mut self.template
    }

    fn write(&self, xml: &mut Xml) {
        xml.open("VROUTER");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        self.meta.write_lock(xml);
        xml.ids("VMS", &self.vms);
        xml.template("TEMPLATE", &self.template);
        xml.close("VROUTER");
    }
}

/// `one.vrouter.allocate`: template.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let mut template = parse(args.text(0)).map_err(Failure::internal)?;
    let uid = ctx.caller.uid;
    let mut request = Request::new(core, &ctx.caller);
    request.need(
        Operation::Create,
        &Target::new_of(ObjectKind::VRouter, &ctx.caller),
    );
    core.need_resources(&mut request, uid, &template);
    request.finish()?;
    let usage = Usage {
        networks: core.floating_networks(&template, uid),
        ..Usage::default()
    };
    core.charge(uid, ctx.caller.gid, &usage)?;

    let id = core.vrouters.next_id();
    let name = template.get("NAME").unwrap_or("").to_owned();
    template.remove("NAME");
    let made = shared::check_name(&name).and_then(|()| core.lease_floating(id, uid, &mut template));
    if let Err(cause) = made {
        core.release_floating(id);
        core.discharge(uid, ctx.caller.gid, &usage);
        return Err(Failure::internal(cause));
    }
    if !xml::is_storable(&template) {
        core.release_floating(id);
        core.discharge(uid, ctx.caller.gid, &usage);
        return Err(Failure::internal("Error transforming the Virtual Router to XML."));
    }
    let meta = Core::new_meta(&ctx.caller, id, name);
    core.vrouters.insert(
        id,
        VRouter {
            meta,
            vms: BTreeSet::new(),
            template,
        },
    );
    ctx.extra = core.vrouters.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.vrouter.instantiate`: router, number of VMs, template (-1 for the router's own), name with `%i`, hold, more
/// attributes. The id of the router.
pub(crate) fn instantiate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    let router = core.existing(ObjectKind::VRouter, id)?;
    let router_id = router.meta().id;
    let Some(found) = core.vrouters.get(router_id) else {
        return Err(Failure::no_exists(id));
    };
    let own = found
        .template
        .get("TEMPLATE_ID")
        .and_then(|text| text.parse::<i64>().ok());
    let template_id = match args.int(2) {
        -1 => own.ok_or_else(|| {
            Failure::action(
                "A template ID was not provided, and the virtual router does not have a default one",
            )
        })?,
        id => id,
    };
    core.authorize(
        &ctx.caller,
        Operation::Manage,
        &target(ObjectKind::VRouter, router),
    )?;
    let missing = |_| Failure::no_exists_of(ObjectKind::Template, template_id);
    let template = core
        .existing(ObjectKind::Template, template_id)
        .map_err(missing)?
        .meta()
        .id;
    if !core.templates.get(template).is_some_and(VmTemplate::is_router) {
        return Err(Failure::action("Only virtual router templates are allowed"));
    }
    let forced = found.vm_attributes();
    let name = match args.text(3) {
        "" => format!("vr-{}-%i", found.meta.name),
        name => name.to_owned(),
    };
    let caller = ctx.caller.clone();
    let mut vms = Vec::new();
    for number in 0..args.int(1) {
        let name = name.replace("%i", &number.to_string());
        match core.instantiate_template(&caller, template, &name, true, args.text(5), Some(&forced)) {
            Ok(vm) => vms.push(vm),
            Err(refusal) => {
                for vm in vms {
                    core.vm_done(vm);
                }
                return Err(refusal);
            }
        }
    }
    if let Some(router) = core.vrouters.get_mut(router_id) {
        router.vms.extend(&vms);
        router.template.set("TEMPLATE_ID", template.to_string());
    }
    if !args.flag(4) {
        for vm in vms {
            core.release_vm(vm);
        }
    }
    Ok(Value::from(id))
}

/// `one.vrouter.delete`: the VMs are terminated afterwards.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    let Some(router) = core.vrouters.remove(id) else {
        return Err(Failure::no_exists(i64::from(id)));
    };
    core.release_floating(id);
    let usage = Usage {
        networks: core.floating_networks(&router.template, router.meta.uid),
        ..Usage::default()
    };
    core.discharge(router.meta.uid, router.meta.gid, &usage);
    for vm in router.vms {
        // A VM that can't be terminated now, because it is being copied or booted, is torn down.
        if core.terminate(vm, true, ctx).is_err() {
            let caller = Some(ctx.caller.clone());
            core.later(vm, Trigger::Delete { caller });
        }
    }
    done(id)
}

/// `one.vrouter.attachnic`: router, template with `NIC=[…]`.
pub(crate) fn attach_nic(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(1)).map_err(Failure::internal)?;
    let router = core.existing(ObjectKind::VRouter, args.int(0))?;
    let id = router.meta().id;
    let (uid, gid) = (router.meta().uid, router.meta().gid);
    let mut request = Request::new(core, &ctx.caller);
    request.need(Operation::Manage, &target(ObjectKind::VRouter, router));
    core.need_resources(&mut request, ctx.caller.uid, &template);
    request.finish()?;
    let Some(nic) = template.get_vector("NIC") else {
        return Err(Failure::action("The template has no NIC"));
    };
    let mut nic = nic.to_vec();
    let usage = Usage {
        networks: core.floating_networks(&template, uid),
        ..Usage::default()
    };
    core.charge(uid, gid, &usage)?;
    let next = core
        .vrouters
        .get(id)
        .map_or(0, |router| router.template.get_vectors("NIC").count());
    if let Err(cause) = core.lease_floating_nic(id, uid, next, &mut nic) {
        core.discharge(uid, gid, &usage);
        return Err(Failure::action(cause));
    }
    let vms: Vec<u32> = match core.vrouters.get_mut(id) {
        Some(router) => {
            router.template.push(Attribute::vector("NIC", nic.clone()));
            router.vms.iter().copied().collect()
        }
        None => Vec::new(),
    };
    nic.retain(|(key, _)| key != "NIC_ID");
    for vm in vms {
        core.add_nic(vm, nic.clone(), &ctx.caller.clone())?;
    }
    done(id)
}

/// `one.vrouter.detachnic`: router, NIC.
pub(crate) fn detach_nic(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let nic = args.int(1);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::VRouter, args.int(0))?;
    let id = core.existing(ObjectKind::VRouter, args.int(0))?.meta().id;
    let wanted = nic.to_string();
    let Some(router) = core.vrouters.get_mut(id) else {
        return Err(Failure::no_exists(i64::from(id)));
    };
    let is_it = |attribute: &Attribute| {
        let pairs = attribute.value.as_vector().unwrap_or(&[]);
        attribute.name == "NIC" && vector_value(pairs, "NIC_ID") == Some(&wanted)
    };
    let Some(found) = router.template.iter().find(|attribute| is_it(attribute)).cloned() else {
        return Err(Failure::action(format!("NIC with NIC_ID {nic} does not exist.")));
    };
    router.template = router
        .template
        .iter()
        .filter(|attribute| !is_it(attribute))
        .cloned()
        .collect();
    let (uid, gid, vms) = (router.meta.uid, router.meta.gid, router.vms.clone());
    let pairs = found.value.as_vector().unwrap_or(&[]);
    if let Some(vnet) = vector_value(pairs, "NETWORK_ID").and_then(|text| text.parse::<u32>().ok()) {
        if let (Some(vnet), Some(address)) = (core.vnets.get_mut(vnet), vector_value(pairs, "VROUTER_IP")) {
            for range in &mut vnet.ranges {
                range.release_at(address, Holder::VRouter(id));
            }
        }
        if is_yes(pairs, "FLOATING_IP") {
            core.discharge(
                uid,
                gid,
                &Usage {
                    networks: vec![vnet],
                    ..Usage::default()
                },
            );
        }
    }
    for vm in vms {
        core.remove_nic(vm, nic, &ctx.caller.clone())?;
    }
    done(id)
}

impl Core {
    /// The networks in which a router with this template has floating addresses.
    pub(crate) fn floating_networks(&self, template: &Template, uid: u32) -> Vec<u32> {
        let nics = template
            .get_vectors("NIC")
            .filter(|nic| is_yes(nic, "FLOATING_IP"));
        nics.filter_map(|nic| self.nic_vnet(nic, uid).ok().flatten())
            .collect()
    }

    fn lease_floating(&mut self, id: u32, uid: u32, template: &mut Template) -> Result<(), String> {
        let nics: Vec<Vec<(String, String)>> = template.get_vectors("NIC").map(<[_]>::to_vec).collect();
        template.remove("NIC");
        for (index, mut nic) in nics.into_iter().enumerate() {
            self.lease_floating_nic(id, uid, index, &mut nic)?;
            template.push(Attribute::vector("NIC", nic));
        }
        Ok(())
    }

    fn lease_floating_nic(
        &mut self,
        id: u32,
        uid: u32,
        index: usize,
        nic: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        set(nic, "NIC_ID", index.to_string());
        let Some(vnet_id) = self.nic_vnet(nic, uid)? else {
            return Ok(());
        };
        let Some(vnet) = self.vnets.get_mut(vnet_id) else {
            return Ok(());
        };
        set(nic, "NETWORK", vnet.meta.name.clone());
        set(nic, "NETWORK_ID", vnet_id.to_string());
        if is_yes(nic, "FLOATING_IP") {
            let wanted = ["IP", "MAC"]
                .into_iter()
                .find_map(|key| vector_value(nic, key))
                .map(str::to_owned);
            let mut leases = vnet.ranges.iter_mut().filter_map(|range| match &wanted {
                Some(address) => range.take_at(address, Holder::VRouter(id)),
                None => range.take(Holder::VRouter(id)),
            });
            let Some(lease) = leases.next() else {
                return Err(format!("Cannot get IP/MAC lease from virtual network {vnet_id}."));
            };
            drop(leases);
            nic.retain(|(key, _)| key != "IP" && key != "MAC");
            set(nic, "AR_ID", lease.range.to_string());
            set(nic, "VROUTER_MAC", lease.mac);
            if let Some(ip) = lease.ip {
                set(nic, "VROUTER_IP", ip.to_string());
            }
        }
        vnet.vrouters.insert(id);
        Ok(())
    }

    fn release_floating(&mut self, id: u32) {
        for vnet in self.vnets.values_mut() {
            vnet.release(Holder::VRouter(id));
        }
    }
}
