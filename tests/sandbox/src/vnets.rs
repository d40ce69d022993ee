//! Virtual networks and reservations.

use std::collections::BTreeSet;

use opennebula::template::Template;

use crate::acl::{Caller, Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::leases::{AddressRange, Holder};
use crate::meta::{Meta, ObjectKind, Operation};
use crate::pool::Object;
use crate::quotas::Usage;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse, target};
use crate::xml::Xml;

/// A virtual network.
#[derive(Clone, Debug, PartialEq)]
pub struct Vnet {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// Clusters.
    pub clusters: Vec<u32>,
    /// The network that this is a reservation of.
    pub parent: Option<u32>,
    /// Address ranges.
    pub ranges: Vec<AddressRange>,
    /// Routers with an address in it.
    pub vrouters: BTreeSet<u32>,
    /// VMs with a NIC in it.
    pub vms: BTreeSet<u32>,
    pub(crate) next_range: u32,
    pub(crate) template: Template,
}

impl Object for Vnet {
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

    fn clusters(&self) -> &[u32] {
        &self.clusters
    }

    fn write(&self, xml: &mut Xml) {
        self.write_with(xml, |range, xml| range.write(xml, &|_| true));
    }
}

impl Vnet {
    fn write_with(&self, xml: &mut Xml, write_range: impl Fn(&AddressRange, &mut Xml)) {
        let attribute = |name: &str| self.template.get(name).unwrap_or("");
        xml.open("VNET");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        self.meta.write_lock(xml);
        xml.ids("CLUSTERS", &self.clusters);
        xml.cdata("BRIDGE", attribute("BRIDGE"));
        xml.cdata("BRIDGE_TYPE", attribute("BRIDGE_TYPE"));
        // READY.
        xml.cdata("STATE", 1);
        xml.cdata("PREV_STATE", 1);
        match self.parent {
            Some(parent) => xml.cdata("PARENT_NETWORK_ID", parent),
            None => xml.empty("PARENT_NETWORK_ID"),
        }
        xml.empty("TEMPLATE_ID");
        xml.cdata("VN_MAD", attribute("VN_MAD"));
        for name in ["PHYDEV", "VLAN_ID", "OUTER_VLAN_ID"] {
            match attribute(name) {
                "" => xml.empty(name),
                text => xml.cdata(name, text),
            }
        }
        xml.field("VLAN_ID_AUTOMATIC", 0);
        xml.field("OUTER_VLAN_ID_AUTOMATIC", 0);
        xml.field(
            "USED_LEASES",
            self.ranges.iter().map(AddressRange::used).sum::<usize>(),
        );
        xml.ids("VROUTERS", &self.vrouters);
        xml.ids("UPDATED_VMS", &self.vms);
        xml.ids("OUTDATED_VMS", []);
        xml.ids("UPDATING_VMS", []);
        xml.ids("ERROR_VMS", []);
        xml.template("TEMPLATE", &self.template);
        xml.open("AR_POOL");
        for range in &self.ranges {
            write_range(range, xml);
        }
        xml.close("AR_POOL");
        xml.close("VNET");
    }

    /// Adds a range from its vector.
    pub(crate) fn add_range(&mut self, pairs: &[(String, String)], random_mac: u32) -> Result<(), String> {
        let range = AddressRange::from_pairs(self.next_range, pairs, random_mac)?;
        self.next_range += 1;
        self.ranges.push(range);
        Ok(())
    }

    /// Frees everything that a holder has.
    pub(crate) fn release(&mut self, holder: Holder) {
        for range in &mut self.ranges {
            range.release(holder);
        }
        match holder {
            Holder::Vm(id) => {
                self.vms.remove(&id);
            }
            Holder::VRouter(id) => {
                self.vrouters.remove(&id);
            }
            Holder::Held | Holder::Vnet(_) => {}
        }
    }
}

impl Core {
    /// Makes a network. Its id.
    pub(crate) fn insert_vnet(
        &mut self,
        caller: &Caller,
        mut template: Template,
        clusters: Vec<u32>,
    ) -> Result<u32, Failure> {
        let name = template.get("NAME").unwrap_or("").to_owned();
        shared::check_name(&name).map_err(Failure::internal)?;
        self.check_unique(ObjectKind::Net, &name, caller.uid)
            .map_err(Failure::internal)?;
        let id = self.vnets.next_id();
        let ranges: Vec<Vec<(String, String)>> = template.get_vectors("AR").map(<[_]>::to_vec).collect();
        for known in ["NAME", "AR"] {
            template.remove(known);
        }
        let is_empty = |template: &Template, name: &str| template.get(name).is_none_or(str::is_empty);
        if is_empty(&template, "VN_MAD") {
            return Err(Failure::internal("No VN_MAD in template for Virtual Network."));
        }
        for (name, default) in [("BRIDGE_TYPE", "linux"), ("SECURITY_GROUPS", "0")] {
            if is_empty(&template, name) {
                template.set(name, default);
            }
        }
        if is_empty(&template, "BRIDGE") {
            template.set("BRIDGE", format!("onebr{id}"));
        }
        for name in ["OUTER_VLAN_ID", "PHYDEV", "VLAN_ID"] {
            if is_empty(&template, name) {
                template.set(name, "");
            }
        }
        let mut vnet = Vnet {
            meta: Self::new_meta(caller, id, name),
            clusters: clusters.clone(),
            parent: None,
            ranges: Vec::new(),
            vrouters: BTreeSet::new(),
            vms: BTreeSet::new(),
            next_range: 0,
            template,
        };
        for pairs in &ranges {
            let mac = u32::try_from(self.rng.next() & 0xffff_ffff).unwrap_or(0);
            vnet.add_range(pairs, mac).map_err(Failure::internal)?;
        }
        self.vnets.insert(id, vnet);
        for cluster in clusters {
            if let Some(cluster) = self.clusters.get_mut(cluster) {
                cluster.vnets.insert(id);
            }
        }
        Ok(id)
    }

    pub(crate) fn vnet_xml(&self, id: u32) -> String {
        self.vnets.get(id).map(Object::to_xml).unwrap_or_default()
    }

    /// The network as a pool shows it: leases as the database keeps them.
    pub(crate) fn vnet_pool_xml(&self, id: u32) -> String {
        let Some(vnet) = self.vnets.get(id) else {
            return String::new();
        };
        let mut xml = Xml::new();
        vnet.write_with(&mut xml, AddressRange::write_stored);
        xml.into_string()
    }

    pub(crate) fn remove_vnet(&mut self, id: u32) {
        let Some(vnet) = self.vnets.remove(id) else { return };
        for cluster in &vnet.clusters {
            if let Some(cluster) = self.clusters.get_mut(*cluster) {
                cluster.vnets.remove(&id);
            }
        }
        let Some(parent_id) = vnet.parent else { return };
        let mut freed = 0;
        if let Some(parent) = self.vnets.get_mut(parent_id) {
            let before: usize = parent.ranges.iter().map(AddressRange::used).sum();
            parent.release(Holder::Vnet(id));
            freed = before - parent.ranges.iter().map(AddressRange::used).sum::<usize>();
        }
        let usage = Usage {
            networks: vec![parent_id; freed],
            ..Usage::default()
        };
        self.discharge(vnet.meta.uid, vnet.meta.gid, &usage);
    }
}

/// `one.vn.info`: the caller sees leases of what it may use.
pub(crate) fn info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::UseNoLock, ObjectKind::Net, id)?;
    let id = core.existing(ObjectKind::Net, id)?.meta().id;
    let Some(vnet) = core.vnets.get(id) else {
        return Err(Failure::no_exists(i64::from(id)));
    };
    let shows = |kind, id: u32| {
        core.object(kind, id)
            .is_some_and(|object| core.is_visible(&ctx.caller, &target(kind, object)))
    };
    let may_see = |holder: Holder| match holder {
        Holder::Held => ctx.caller.is_admin() || vnet.meta.uid == ctx.caller.uid,
        Holder::Vm(id) => shows(ObjectKind::Vm, id),
        Holder::VRouter(id) => shows(ObjectKind::VRouter, id),
        Holder::Vnet(id) => shows(ObjectKind::Net, id),
    };
    let mut xml = Xml::new();
    vnet.write_with(&mut xml, |range, xml| range.write(xml, &may_see));
    Ok(xml.into_string().into())
}

/// `one.vn.allocate`: template, cluster (-1 for the default one).
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(0)).map_err(Failure::internal)?;
    let cluster = args.int_or(1, -1).max(0);
    let found = core.existing(ObjectKind::Cluster, cluster);
    let mut request = Request::new(core, &ctx.caller);
    request.need(Operation::Create, &Target::new_of(ObjectKind::Net, &ctx.caller));
    match found {
        Ok(object) if args.int_or(1, -1) >= 0 => {
            request.need(Operation::Admin, &target(ObjectKind::Cluster, object));
        }
        Ok(_) => {}
        Err(_) => return Err(Failure::no_exists_of(ObjectKind::Cluster, cluster)),
    }
    request.finish()?;
    let caller = ctx.caller.clone();
    let id = core.insert_vnet(&caller, template, vec![u32::try_from(cluster).unwrap_or(0)])?;
    ctx.extra = core.vnet_pool_xml(id);
    done(id)
}

/// `one.vn.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    let used: usize = core
        .vnets
        .get(id)
        .map_or(0, |vnet| vnet.ranges.iter().map(AddressRange::used).sum());
    if used > 0 {
        return Err(Failure::action(
            "Cannot delete virtual network. Can not remove a virtual network with leases in use",
        ));
    }
    core.remove_vnet(id);
    done(id)
}
