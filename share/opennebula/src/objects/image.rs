//! Disk images.

use super::permissions::{Lock, Permissions};
use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `IMAGE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
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
    /// Name, unique for its owner.
    pub name: String,
    /// Permission bits.
    pub permissions: Permissions,
    /// The lock on it, if there is one.
    pub lock: Option<Lock>,
    /// What it is.
    pub image_type: ImageType,
    /// State.
    pub state: ImageState,
    /// Whether one VM at a time owns it.
    pub persistent: bool,
    /// Size in MiB.
    pub size: u64,
    /// Id of its datastore.
    pub datastore_id: Option<u32>,
    /// Name of its datastore.
    pub datastore: String,
    /// Number of VMs that use it.
    pub running_vms: u32,
    /// Its attributes.
    pub template: Template,
}

/// State of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Being made.
    Init,
    /// Usable.
    Ready,
    /// In use; a non-persistent one can be used further.
    Used,
    /// Switched off.
    Disabled,
    /// An operation is under way.
    Locked,
    /// An operation failed; see `ERROR` in the template.
    Error,
    /// Being cloned.
    Clone,
    /// Being deleted.
    Delete,
    /// In use and persistent.
    UsedPersistent,
    /// An operation is under way and VMs wait for it.
    LockedUsed,
    /// The same for a persistent one.
    LockedUsedPersistent,
    /// A state that this crate does not know.
    Other(u32),
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageType {
    /// Bootable disk.
    Os,
    /// CD-ROM.
    Cdrom,
    /// Data disk.
    Datablock,
    /// Kernel file.
    Kernel,
    /// Initial RAM disk.
    Ramdisk,
    /// Context file.
    Context,
    /// Backup.
    Backup,
    /// Shared file system.
    Filesystem,
    /// A type that this crate does not know.
    Other(u32),
}

impl Element for Image {
    const NAME: &'static str = "IMAGE";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut image_type, mut state, mut datastore_id) = (None, None, None);
        let mut persistent = false;
        let mut size = 0;
        let mut running_vms = 0;
        let mut datastore = String::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "TYPE" => image_type = Some(ImageType::from_number(read::number(parser, "TYPE")?)),
                "STATE" => state = Some(ImageState::from_number(read::number(parser, "STATE")?)),
                "PERSISTENT" => persistent = parser.text()?.trim() == "1",
                "SIZE" => size = read::maybe(parser)?.unwrap_or_default(),
                "DATASTORE_ID" => datastore_id = read::maybe(parser)?,
                "DATASTORE" => datastore = read::text(parser)?,
                "RUNNING_VMS" => running_vms = read::maybe(parser)?.unwrap_or_default(),
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        let missing = |field| ObjectError::Missing {
            object: Self::NAME,
            field,
        };
        Ok(Self {
            id: head.id(Self::NAME)?,
            uid: head.uid(Self::NAME)?,
            gid: head.gid(Self::NAME)?,
            uname: head.uname,
            gname: head.gname,
            name: head.name,
            permissions: head.permissions.unwrap_or_default(),
            lock: head.lock,
            image_type: image_type.ok_or(missing("TYPE"))?,
            state: state.ok_or(missing("STATE"))?,
            persistent,
            size,
            datastore_id,
            datastore,
            running_vms,
            template: head.template,
        })
    }
}

impl ImageState {
    /// Whether a new VM can use the image now or, if it is in use, without waiting for others to stop.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Ready | Self::Used)
    }

    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Init,
            1 => Self::Ready,
            2 => Self::Used,
            3 => Self::Disabled,
            4 => Self::Locked,
            5 => Self::Error,
            6 => Self::Clone,
            7 => Self::Delete,
            8 => Self::UsedPersistent,
            9 => Self::LockedUsed,
            10 => Self::LockedUsedPersistent,
            other => Self::Other(other),
        }
    }
}

impl ImageType {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Os,
            1 => Self::Cdrom,
            2 => Self::Datablock,
            3 => Self::Kernel,
            4 => Self::Ramdisk,
            5 => Self::Context,
            6 => Self::Backup,
            7 => Self::Filesystem,
            other => Self::Other(other),
        }
    }
}
