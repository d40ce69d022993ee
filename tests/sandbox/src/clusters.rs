//! OpenNebula clusters: groups of hosts, datastores and networks.

use std::collections::BTreeSet;

use opennebula::template::Template;

use crate::acl::Target;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation, Permissions};
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done};
use crate::xml::Xml;

/// A cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Id and name.
    pub meta: Meta,
    /// Hosts.
    pub hosts: BTreeSet<u32>,
    /// Datastores.
    pub datastores: BTreeSet<u32>,
    /// Networks.
    pub vnets: BTreeSet<u32>,
    pub(crate) template: Template,
}

impl Object for Cluster {
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
        xml.open("CLUSTER");
        xml.field("ID", self.meta.id);
        xml.field("NAME", &self.meta.name);
        xml.ids("HOSTS", &self.hosts);
        xml.ids("DATASTORES", &self.datastores);
        xml.ids("VNETS", &self.vnets);
        xml.template("TEMPLATE", &self.template);
        xml.close("CLUSTER");
    }
}

impl Core {
    /// Makes an empty cluster. Its id.
    pub(crate) fn insert_cluster(&mut self, name: &str) -> u32 {
        // Ids below 100 belong to the installation, as in oned.
        let id = self.clusters.next_id();
        self.clusters.skip_to(100);
        let mut template = Template::new();
        template.set("RESERVED_CPU", "");
        template.set("RESERVED_MEM", "");
        let cluster = Cluster {
            meta: system_meta(id, name),
            hosts: BTreeSet::new(),
            datastores: BTreeSet::new(),
            vnets: BTreeSet::new(),
            template,
        };
        self.clusters.insert(id, cluster);
        id
    }
}

/// The metadata of what belongs to the installation.
pub(crate) fn system_meta(id: u32, name: &str) -> Meta {
    Meta {
        id,
        uid: 0,
        gid: 0,
        uname: "oneadmin".into(),
        gname: "oneadmin".into(),
        name: name.into(),
        permissions: Permissions::from_umask(0o177),
        lock: None,
    }
}

/// `one.cluster.allocate`: name.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Cluster, &ctx.caller),
    )?;
    shared::check_name(args.text(0)).map_err(Failure::internal)?;
    let id = core.insert_cluster(args.text(0));
    ctx.extra = core.clusters.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.cluster.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    let in_use = core.clusters.get(id).is_some_and(|cluster| {
        !cluster.hosts.is_empty() || !cluster.datastores.is_empty() || !cluster.vnets.is_empty()
    });
    if id < 100 {
        return Err(Failure::action(
            "Cannot delete cluster. System clusters (ID < 100) cannot be deleted.",
        ));
    }
    if in_use {
        return Err(Failure::action(format!(
            "Cannot delete cluster. Cluster {id} is not empty."
        )));
    }
    core.clusters.remove(id);
    done(id)
}
