//! Datastores.

use super::permissions::Permissions;
use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `DATASTORE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Datastore {
    /// Id.
    pub id: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name of the owner.
    pub uname: String,
    /// Name of the group.
    pub gname: String,
    /// Name.
    pub name: String,
    /// Permission bits.
    pub permissions: Permissions,
    /// What it is for.
    pub datastore_type: DatastoreType,
    /// Whether it is enabled.
    pub ready: bool,
    /// Ids of the clusters that it belongs to.
    pub clusters: Vec<u32>,
    /// Ids of its images.
    pub images: Vec<u32>,
    /// Free space in MiB, as far as monitoring knows.
    pub free_mb: Option<u64>,
    /// Its attributes.
    pub template: Template,
}

/// What a datastore is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatastoreType {
    /// Disk images.
    Image,
    /// Disks of running VMs.
    System,
    /// Files: kernels, context.
    File,
    /// Backups.
    Backup,
    /// A type that this crate does not know.
    Other(u32),
}

impl Element for Datastore {
    const NAME: &'static str = "DATASTORE";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut datastore_type = None;
        let (mut clusters, mut images) = (Vec::new(), Vec::new());
        let mut ready = false;
        let mut free_mb = None;
        while let Some(name) = parser.child()? {
            match &*name {
                "TYPE" => datastore_type = Some(DatastoreType::from_number(read::number(parser, "TYPE")?)),
                "STATE" => ready = read::number::<u32>(parser, "STATE")? == 0,
                "CLUSTERS" => clusters = read::ids(parser)?,
                "IMAGES" => images = read::ids(parser)?,
                "FREE_MB" => free_mb = read::maybe(parser)?,
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            uid: head.uid(Self::NAME)?,
            gid: head.gid(Self::NAME)?,
            uname: head.uname,
            gname: head.gname,
            name: head.name,
            permissions: head.permissions.unwrap_or_default(),
            datastore_type: datastore_type.ok_or(ObjectError::Missing {
                object: Self::NAME,
                field: "TYPE",
            })?,
            ready,
            clusters,
            images,
            free_mb,
            template: head.template,
        })
    }
}

impl DatastoreType {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Image,
            1 => Self::System,
            2 => Self::File,
            3 => Self::Backup,
            other => Self::Other(other),
        }
    }
}
