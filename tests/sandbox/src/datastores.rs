//! Datastores, all of them with the dummy drivers.

use std::collections::BTreeSet;

use opennebula::template::Template;

use crate::acl::Target;
use crate::clusters::system_meta;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation, Permissions};
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse};
use crate::xml::Xml;

/// What a datastore holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatastoreKind {
    /// Images.
    Image = 0,
    /// Disks of running VMs.
    System = 1,
    /// Kernels and files.
    File = 2,
}

/// A datastore.
#[derive(Clone, Debug, PartialEq)]
pub struct Datastore {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// What it holds.
    pub kind: DatastoreKind,
    /// Clusters.
    pub clusters: Vec<u32>,
    /// Images.
    pub images: BTreeSet<u32>,
    pub(crate) template: Template,
}

impl Object for Datastore {
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
        xml.open("DATASTORE");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        xml.cdata("DS_MAD", self.template.get("DS_MAD").unwrap_or("-"));
        xml.cdata("TM_MAD", self.template.get("TM_MAD").unwrap_or("dummy"));
        xml.cdata(
            "BASE_PATH",
            format_args!("/var/lib/one//datastores/{}", self.meta.id),
        );
        xml.field("TYPE", self.kind as u8);
        xml.field("DISK_TYPE", 0);
        xml.field("STATE", 0);
        xml.ids("CLUSTERS", &self.clusters);
        xml.field("TOTAL_MB", 20480);
        xml.field("FREE_MB", 20480);
        xml.field("USED_MB", 9720);
        xml.ids("IMAGES", &self.images);
        xml.template("TEMPLATE", &self.template);
        xml.close("DATASTORE");
    }
}

impl Core {
    /// Makes a datastore in some clusters. Its id.
    pub(crate) fn insert_datastore(&mut self, name: &str, kind: DatastoreKind, clusters: Vec<u32>) -> u32 {
        let id = self.datastores.next_id();
        let mut template = Template::new();
        let mut attributes = vec![
            ("ALLOW_ORPHANS", "NO"),
            ("DISK_TYPE", "FILE"),
            ("PERSISTENT_SNAPSHOTS", "YES"),
            ("RESTRICTED_DIRS", "/"),
            ("SAFE_DIRS", "/var/tmp"),
            ("TM_MAD", "dummy"),
        ];
        attributes.extend(match kind {
            DatastoreKind::Image => [
                ("CLONE_TARGET", "SYSTEM"),
                ("DS_MAD", "dummy"),
                ("LN_TARGET", "NONE"),
                ("TYPE", "IMAGE_DS"),
            ]
            .to_vec(),
            DatastoreKind::System => [("SHARED", "YES"), ("TYPE", "SYSTEM_DS")].to_vec(),
            DatastoreKind::File => [
                ("CLONE_TARGET", "SYSTEM"),
                ("DS_MAD", "fs"),
                ("LN_TARGET", "SYSTEM"),
                ("TYPE", "FILE_DS"),
            ]
            .to_vec(),
        });
        for (name, text) in attributes {
            template.set(name, text);
        }
        let mut meta = system_meta(id, name);
        // Datastores are made with umask 0137.
        meta.permissions = Permissions::from_umask(0o137);
        let datastore = Datastore {
            meta,
            kind,
            clusters: clusters.clone(),
            images: BTreeSet::new(),
            template,
        };
        self.datastores.insert(id, datastore);
        for cluster in clusters {
            if let Some(cluster) = self.clusters.get_mut(cluster) {
                cluster.datastores.insert(id);
            }
        }
        // Ids below 100 belong to the installation.
        if id >= 2 {
            self.datastores.skip_to(100);
        }
        id
    }
}

/// `one.datastore.allocate`: template, cluster.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Datastore, &ctx.caller),
    )?;
    let template = parse(args.text(0)).map_err(Failure::internal)?;
    let name = template.get("NAME").unwrap_or("").to_owned();
    shared::check_name(&name).map_err(Failure::internal)?;
    let kind = match template.get("TYPE").unwrap_or("IMAGE_DS") {
        "SYSTEM_DS" => DatastoreKind::System,
        "FILE_DS" => DatastoreKind::File,
        _ => DatastoreKind::Image,
    };
    let cluster = u32::try_from(args.int_or(1, 0)).unwrap_or(0);
    let id = core.insert_datastore(&name, kind, vec![cluster]);
    if let Some(datastore) = core.datastores.get_mut(id) {
        let mut own = template;
        own.remove("NAME");
        datastore.template.merge(&own);
    }
    ctx.extra = core.datastores.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.datastore.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    if core
        .datastores
        .get(id)
        .is_some_and(|datastore| !datastore.images.is_empty())
    {
        return Err(Failure::action(format!(
            "Cannot delete datastore. Datastore {id} is not empty."
        )));
    }
    if let Some(datastore) = core.datastores.remove(id) {
        for cluster in datastore.clusters {
            if let Some(cluster) = core.clusters.get_mut(cluster) {
                cluster.datastores.remove(&id);
            }
        }
    }
    done(id)
}
