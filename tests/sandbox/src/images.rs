//! Images.

use std::collections::BTreeSet;

use opennebula::template::{Template, vector_value};
use opennebula::xmlrpc::Value;

use crate::acl::{Caller, Request, Target};
use crate::agenda::Task;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::pool::Object;
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse, target};
use crate::xml::Xml;

/// State of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageState {
    /// Can be used.
    Ready = 1,
    /// A VM uses it.
    Used = 2,
    /// Must not be used.
    Disabled = 3,
    /// Is being made.
    Locked = 4,
    /// Could not be made.
    Error = 5,
    /// A VM uses it for itself.
    UsedPers = 8,
    /// Is being made, and a VM waits for it.
    LockedUsed = 9,
}

impl ImageState {
    /// The name in hooks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Used => "USED",
            Self::Disabled => "DISABLED",
            Self::Locked => "LOCKED",
            Self::Error => "ERROR",
            Self::UsedPers => "USED_PERS",
            Self::LockedUsed => "LOCKED_USED",
        }
    }
}

/// An image.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// State.
    pub state: ImageState,
    /// Datastore.
    pub datastore: u32,
    /// Size in MiB.
    pub size: u64,
    /// Whether the changes of a VM stay.
    pub persistent: bool,
    /// VMs that use it.
    pub vms: BTreeSet<u32>,
    pub(crate) kind: ImageType,
    pub(crate) prev_state: ImageState,
    pub(crate) registered: u64,
    pub(crate) path: String,
    pub(crate) datastore_name: String,
    pub(crate) template: Template,
}

/// Type of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageType {
    Os = 0,
    Cdrom = 1,
    Datablock = 2,
    Kernel = 3,
    Ramdisk = 4,
    Context = 5,
}

impl ImageType {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "" | "OS" => Self::Os,
            "CDROM" => Self::Cdrom,
            "DATABLOCK" => Self::Datablock,
            "KERNEL" => Self::Kernel,
            "RAMDISK" => Self::Ramdisk,
            "CONTEXT" => Self::Context,
            _ => return None,
        })
    }

    fn is_file(self) -> bool {
        matches!(self, Self::Kernel | Self::Ramdisk | Self::Context)
    }
}

impl Object for Image {
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
        xml.open("IMAGE");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        self.meta.write_lock(xml);
        xml.field("TYPE", self.kind as u8);
        xml.field("DISK_TYPE", 0);
        xml.field("PERSISTENT", u8::from(self.persistent));
        xml.field("REGTIME", self.registered);
        xml.field("MODTIME", self.registered);
        xml.cdata("SOURCE", "dummy_path");
        xml.cdata("PATH", &self.path);
        xml.cdata("FORMAT", "dummy_format");
        xml.cdata("FS", "");
        xml.field("SIZE", self.size);
        xml.field("STATE", self.state as u8);
        xml.field("PREV_STATE", self.prev_state as u8);
        xml.field("RUNNING_VMS", self.vms.len());
        xml.field("CLONING_OPS", 0);
        xml.field("CLONING_ID", -1);
        xml.field("TARGET_SNAPSHOT", -1);
        xml.field("DATASTORE_ID", self.datastore);
        xml.field("DATASTORE", &self.datastore_name);
        xml.ids("VMS", &self.vms);
        xml.ids("CLONES", []);
        xml.ids("APP_CLONES", []);
        xml.template("TEMPLATE", &self.template);
        xml.open("SNAPSHOTS");
        xml.cdata("ALLOW_ORPHANS", "NO");
        xml.cdata("CURRENT_BASE", -1);
        xml.cdata("NEXT_SNAPSHOT", 0);
        xml.close("SNAPSHOTS");
        xml.open("BACKUP_INCREMENTS");
        xml.close("BACKUP_INCREMENTS");
        xml.open("BACKUP_DISK_IDS");
        xml.close("BACKUP_DISK_IDS");
        xml.close("IMAGE");
    }
}

/// `one.image.allocate`: template, datastore, skip the capacity check.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(0)).map_err(Failure::internal)?;
    let datastore = core
        .existing(ObjectKind::Datastore, args.int(1))
        .map_err(|_| Failure::no_exists_of(ObjectKind::Datastore, args.int(1)))?;
    if !ctx.caller.is_admin()
        && let Some(name) = restricted::first(restricted::of(ObjectKind::Image), &template)
    {
        return Err(Failure::authorization(format!(
            "Template includes a restricted attribute {name}"
        )));
    }
    let mut request = Request::new(core, &ctx.caller);
    request
        .need(Operation::Create, &Target::new_of(ObjectKind::Image, &ctx.caller))
        .need(Operation::Use, &target(ObjectKind::Datastore, datastore));
    request.finish()?;
    let datastore = datastore.meta().id;
    let caller = ctx.caller.clone();
    let id = core.insert_image(&caller, template, datastore)?;
    ctx.extra = core.images.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.image.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    if core.images.get(id).is_some_and(|image| !image.vms.is_empty()) {
        return Err(Failure::action("Cannot delete image. There are VMs using it."));
    }
    if let Some(image) = core.images.remove(id)
        && let Some(datastore) = core.datastores.get_mut(image.datastore)
    {
        datastore.images.remove(&id);
    }
    done(id)
}

/// `one.image.persistent`: id, flag.
pub(crate) fn persistent(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Image, id)?;
    if let Some(image) = u32::try_from(id).ok().and_then(|id| core.images.get_mut(id)) {
        image.persistent = args.flag(1);
    }
    Ok(Value::from(id))
}

/// `one.image.enable`: id, flag.
pub(crate) fn enable(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Manage, ObjectKind::Image, id)?;
    let id = core.existing(ObjectKind::Image, id)?.meta().id;
    let state = if args.flag(1) {
        ImageState::Ready
    } else {
        ImageState::Disabled
    };
    if core.images.get(id).is_some_and(|image| !image.vms.is_empty()) {
        return Err(Failure::internal(
            "Could not enable or disable image: Image cannot be in state USED.",
        ));
    }
    core.set_image_state(id, state);
    done(id)
}

impl Core {
    /// Makes an image. Its id.
    pub(crate) fn insert_image(
        &mut self,
        caller: &Caller,
        mut template: Template,
        datastore: u32,
    ) -> Result<u32, Failure> {
        let take = |template: &mut Template, name: &str| {
            let text = template.get(name).unwrap_or("").to_owned();
            template.remove(name);
            text
        };
        let name = take(&mut template, "NAME");
        shared::check_name(&name).map_err(Failure::internal)?;
        self.check_unique(ObjectKind::Image, &name, caller.uid)
            .map_err(Failure::internal)?;
        let kind = ImageType::parse(&take(&mut template, "TYPE"))
            .ok_or_else(|| Failure::internal("Unknown type in image template."))?;
        let persistent = take(&mut template, "PERSISTENT").eq_ignore_ascii_case("YES");
        let size = take(&mut template, "SIZE");
        if let Some(app) = template.get("FROM_APP").map(str::to_owned) {
            let app = app.parse().ok().and_then(|id| self.market_apps.get(id));
            let app = app.ok_or_else(|| Failure::internal("Cannot determine image SIZE."))?;
            let path = app
                .template
                .get("SOURCE")
                .unwrap_or("https://marketplace")
                .to_owned();
            let name = app.meta.name.clone();
            template.set("FROM_APP_NAME", name);
            template.set("PATH", path);
            template.set("FORMAT", "qcow2");
        }
        let (path, source) = (take(&mut template, "PATH"), take(&mut template, "SOURCE"));
        if path.is_empty() && source.is_empty() && kind != ImageType::Datablock {
            return Err(Failure::internal("No PATH nor SOURCE in template."));
        }
        if !kind.is_file() && template.get("DEV_PREFIX").is_none_or(str::is_empty) {
            template.set("DEV_PREFIX", "sd");
        }
        let id = self.images.next_id();
        let image = Image {
            meta: Self::new_meta(caller, id, name),
            state: ImageState::Locked,
            prev_state: ImageState::Locked,
            datastore,
            // The dummy driver says so of every image but empty ones.
            size: if kind == ImageType::Datablock {
                size.parse().unwrap_or(1024)
            } else {
                1024
            },
            persistent: persistent && !kind.is_file(),
            vms: BTreeSet::new(),
            kind,
            registered: self.now,
            path,
            datastore_name: self
                .datastores
                .get(datastore)
                .map(|known| known.meta.name.clone())
                .unwrap_or_default(),
            template,
        };
        self.images.insert(id, image);
        if let Some(datastore) = self.datastores.get_mut(datastore) {
            datastore.images.insert(id);
        }
        match self.config.timings.image {
            0 => self.image_ready(id),
            seconds => self.agenda.at(self.now + seconds, Task::Image { id }),
        }
        Ok(id)
    }

    /// The image is complete.
    pub(crate) fn image_ready(&mut self, id: u32) {
        let Some(image) = self.images.get(id) else { return };
        let waiting: Vec<u32> = image.vms.iter().copied().collect();
        let state = match (waiting.is_empty(), image.persistent) {
            (true, _) => ImageState::Ready,
            (false, true) => ImageState::UsedPers,
            (false, false) => ImageState::Used,
        };
        self.set_image_state(id, state);
        for vm in waiting {
            self.image_copied(vm);
        }
    }

    pub(crate) fn set_image_state(&mut self, id: u32, state: ImageState) {
        let Some(image) = self.images.get_mut(id) else {
            return;
        };
        if image.state == state {
            return;
        }
        image.state = state;
        self.publish_image(id);
        if let Some(image) = self.images.get_mut(id) {
            image.prev_state = image.state;
        }
    }

    /// The image that a DISK means, by id or by name and owner.
    pub(crate) fn disk_image(&self, pairs: &[(String, String)], uid: u32) -> Result<Option<u32>, String> {
        if let Some(text) = vector_value(pairs, "IMAGE_ID") {
            let id = text
                .parse::<u32>()
                .ok()
                .filter(|id| self.images.get(*id).is_some());
            return id
                .map(Some)
                .ok_or_else(|| format!("Image with ID: {text} does not exist"));
        }
        let Some(name) = vector_value(pairs, "IMAGE") else {
            return Ok(None);
        };
        let owner = match (
            vector_value(pairs, "IMAGE_UID"),
            vector_value(pairs, "IMAGE_UNAME"),
        ) {
            (Some(text), _) => text.parse().ok(),
            (None, Some(name)) => self.user_named(name).map(|user| user.meta.id),
            (None, None) => Some(uid),
        };
        let found = owner.and_then(|owner| self.images.find(name, owner));
        let owner = owner.unwrap_or(uid);
        found.map(Some).ok_or_else(|| {
            format!("User {owner} does not own an image with name: {name} . Set IMAGE_UNAME or IMAGE_UID of owner in DISK.")
        })
    }

    /// Lets a VM use an image.
    pub(crate) fn acquire_image(&mut self, id: u32, vm: u32) -> Result<(), String> {
        let Some(image) = self.images.get_mut(id) else {
            return Err(format!("Image with ID: {id} does not exist"));
        };
        if image.kind.is_file() {
            return Err(format!(
                "Image {id} ({}) of type CONTEXT cannot be used as DISK.",
                image.meta.name
            ));
        }
        let state = match image.state {
            ImageState::Ready if image.persistent => ImageState::UsedPers,
            ImageState::Ready | ImageState::Used if !image.persistent => ImageState::Used,
            ImageState::Locked | ImageState::LockedUsed if !image.persistent => ImageState::LockedUsed,
            ImageState::UsedPers => {
                return Err(format!(
                    "Cannot acquire image {id}, it is persistent and already in use"
                ));
            }
            ImageState::Disabled => return Err(format!("Cannot acquire image {id}, it is disabled")),
            _ => return Err(format!("Cannot acquire image {id}, it is in an ERROR state")),
        };
        image.vms.insert(vm);
        self.set_image_state(id, state);
        Ok(())
    }

    pub(crate) fn release_image(&mut self, id: u32, vm: u32) {
        let Some(image) = self.images.get_mut(id) else {
            return;
        };
        image.vms.remove(&vm);
        if image.vms.is_empty() {
            match image.state {
                ImageState::Used | ImageState::UsedPers => self.set_image_state(id, ImageState::Ready),
                ImageState::LockedUsed => self.set_image_state(id, ImageState::Locked),
                _ => {}
            }
        }
    }
}
