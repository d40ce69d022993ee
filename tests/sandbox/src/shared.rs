//! What oned does alike with objects of all kinds: info, update, rename, ownership, permissions, locks, pools.

use opennebula::template::Template;
use opennebula::xmlrpc::Value;

use crate::acl::{Caller, Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Lock, Meta, ObjectKind, Operation, Permissions};
use crate::pool::Object;
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::xml::{self, Xml};

/// Reads a template of either syntax, with oned's words for what it can't read.
pub(crate) fn parse(text: &str) -> Result<Template, String> {
    Template::parse(text).map_err(|_| {
        let what = if text.starts_with('<') {
            "Parse error: XML Template malformed."
        } else {
            "Parse error."
        };
        what.to_owned()
    })
}

/// Refuses a name that is empty, too long or holds a character that breaks things elsewhere.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    const FORBIDDEN: &str = "&|:\\\";/'#{}$<>\t\n\u{b}\u{c}\r";
    if name.is_empty() {
        return Err("Invalid NAME, it cannot be empty".into());
    }
    if let Some(bad) = name.chars().find(|c| FORBIDDEN.contains(*c)) {
        return Err(format!("Invalid NAME, char '{bad}' is not allowed"));
    }
    if name.len() > 128 {
        return Err("Invalid NAME, max length is 128 chars".into());
    }
    Ok(())
}

/// The id as a result.
#[allow(clippy::unnecessary_wraps)] // What a method returns can fail.
pub(crate) fn done(id: u32) -> Outcome {
    Ok(Value::from(id))
}

impl Core {
    /// The metadata of an object that the caller is about to make.
    pub(crate) fn new_meta(caller: &Caller, id: u32, name: String) -> Meta {
        Meta {
            id,
            uid: caller.uid,
            gid: caller.gid,
            uname: caller.uname.clone(),
            gname: caller.gname.clone(),
            name,
            permissions: Permissions::from_umask(caller.umask),
            lock: None,
        }
    }

    /// Refuses unless the object exists and the caller may do this to it. A negative id means the pool.
    pub(crate) fn need(
        &self,
        caller: &Caller,
        operation: Operation,
        kind: ObjectKind,
        id: i64,
    ) -> Result<(), Failure> {
        if id < 0 {
            return self.authorize(caller, operation, &Target::pool(kind));
        }
        let object = self.existing(kind, id)?;
        self.authorize(caller, operation, &target(kind, object))
    }
}

/// The object as rights see it.
pub(crate) fn target(kind: ObjectKind, object: &dyn Object) -> Target<'_> {
    Target::of(kind, object.meta(), object.clusters())
}

/// Which right changes an object of this kind.
fn change_right(kind: ObjectKind) -> Operation {
    match kind {
        ObjectKind::Host | ObjectKind::Cluster | ObjectKind::Group => Operation::Admin,
        _ => Operation::Manage,
    }
}

/// `info`: the object itself. `-1` means the caller's user or group.
pub(crate) fn info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = match (args.int(0), ctx.kind) {
        (-1, ObjectKind::User) => i64::from(ctx.caller.uid),
        (-1, ObjectKind::Group) => i64::from(ctx.caller.gid),
        (id, _) => id,
    };
    core.need(&ctx.caller, Operation::UseNoLock, ctx.kind, id)?;
    let object = core.existing(ctx.kind, id)?;
    Ok(core
        .full_xml(ctx.kind, object, args.flag(1) && ctx.caller.is_admin())
        .into())
}

impl Core {
    /// The object as `info` shows it.
    fn full_xml(&self, kind: ObjectKind, object: &dyn Object, decrypt: bool) -> String {
        let id = object.meta().id;
        match kind {
            ObjectKind::User => self.user_xml(id),
            ObjectKind::Group => self.group_xml(id),
            ObjectKind::Net => self.vnet_xml(id),
            ObjectKind::Hook => self.hook_xml(id),
            ObjectKind::Document => self.document_xml(id, decrypt),
            ObjectKind::Vm => self.vm_xml(id),
            _ => object.to_xml(),
        }
    }
}

/// `update`: replaces (0) or merges (1) the template.
pub(crate) fn update(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, mode) = (args.int(0), args.int_or(2, 0));
    core.need(&ctx.caller, change_right(ctx.kind), ctx.kind, id)?;
    if !(0..=1).contains(&mode) {
        return Err(Failure::rpc_api("Wrong update type"));
    }
    let refuse = |cause: String| Failure::internal(format!("Cannot update template. {cause}"));
    let mut new = parse(args.text(1)).map_err(refuse)?;
    let old = core.existing(ctx.kind, id)?.template().clone();
    if !ctx.caller.is_admin() {
        let list = restricted::of(ctx.kind);
        if let Some(name) = restricted::changed(list, &mut new, &old, mode == 1) {
            return Err(refuse(if mode == 1 {
                format!("User Template includes a restricted attribute {name}")
            } else {
                format!("Tried to change restricted attribute: {name}")
            }));
        }
    }
    let mut template = if mode == 1 { old.clone() } else { Template::new() };
    if mode == 1 {
        template.merge(&new);
    } else {
        template = new;
    }
    core.after_update(ctx.kind, id, &mut template, &old)
        .map_err(refuse)?;
    // oned ignores that the row could not be written: success, and the old row stays.
    if xml::is_storable(&template)
        && let Some(object) = u32::try_from(id)
            .ok()
            .and_then(|id| core.object_mut(ctx.kind, id))
    {
        *object.template_mut() = template;
    }
    Ok(Value::from(id))
}

/// `rename`.
pub(crate) fn rename(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, name) = (args.int(0), args.text(1));
    let object = core.existing(ctx.kind, id)?;
    if object.meta().name == name {
        return Ok(Value::from(id));
    }
    core.authorize(&ctx.caller, change_right(ctx.kind), &target(ctx.kind, object))?;
    if let Some(holder) = core.holder_of(ctx.kind, name, object.meta().uid) {
        let title = ctx.kind.title();
        return Err(Failure::action(format!(
            "{title} cannot be renamed to {name} because it collides with {title} {holder}"
        )));
    }
    check_name(name).map_err(Failure::action)?;
    if let Some(object) = u32::try_from(id)
        .ok()
        .and_then(|id| core.object_mut(ctx.kind, id))
    {
        name.clone_into(&mut object.meta_mut().name);
    }
    core.after_rename(ctx.kind, id);
    Ok(Value::from(id))
}

/// `chown`: user, group; -1 leaves it.
pub(crate) fn chown(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    let (mut uid, mut gid) = (args.int(1), args.int(2));
    if uid >= 0 && core.existing(ObjectKind::User, uid).is_err() {
        return Err(Failure::no_exists_of(ObjectKind::User, uid));
    }
    if gid >= 0 && core.existing(ObjectKind::Group, gid).is_err() {
        return Err(Failure::no_exists_of(ObjectKind::Group, gid));
    }
    let object = core.existing(ctx.kind, id)?;
    if uid == i64::from(object.meta().uid) {
        uid = -1;
    }
    if gid == i64::from(object.meta().gid) {
        gid = -1;
    }
    let mut request = Request::new(core, &ctx.caller);
    request.need(Operation::Manage, &target(ctx.kind, object));
    if uid >= 0 {
        let user = core.existing(ObjectKind::User, uid)?;
        request.need(Operation::Manage, &target(ObjectKind::User, user));
    }
    if gid >= 0 {
        let group = core.existing(ObjectKind::Group, gid)?;
        request.need(Operation::Use, &target(ObjectKind::Group, group));
    }
    request.finish()?;
    let (user, group) = (u32::try_from(uid).ok(), u32::try_from(gid).ok());
    if let Some(user) = user
        && let Some(holder) = core.holder_of(ctx.kind, &object.meta().name, user)
    {
        return Err(Failure::internal(format!(
            "user [{user}] already owns {} [{holder}] with NAME {}",
            ctx.kind.title(),
            object.meta().name
        )));
    }
    let object_id = object.meta().id;
    core.check_chown_quota(ctx.kind, object_id, user, group)?;
    core.give(ctx.kind, object_id, user, group);
    if ctx.kind == ObjectKind::VRouter {
        let vms = core
            .vrouters
            .get(object_id)
            .map(|router| router.vms.clone())
            .unwrap_or_default();
        for vm in vms {
            core.check_chown_quota(ObjectKind::Vm, vm, user, group)?;
            core.give(ObjectKind::Vm, vm, user, group);
        }
    }
    Ok(Value::from(id))
}

impl Core {
    fn give(&mut self, kind: ObjectKind, id: u32, uid: Option<u32>, gid: Option<u32>) {
        let uname = uid
            .and_then(|uid| self.users.get(uid))
            .map(|user| user.meta.name.clone());
        let gname = gid
            .and_then(|gid| self.groups.get(gid))
            .map(|group| group.meta.name.clone());
        let Some(object) = self.object_mut(kind, id) else {
            return;
        };
        let meta = object.meta_mut();
        if let (Some(uid), Some(uname)) = (uid, uname) {
            (meta.uid, meta.uname) = (uid, uname);
        }
        if let (Some(gid), Some(gname)) = (gid, gname) {
            (meta.gid, meta.gname) = (gid, gname);
        }
    }
}

/// `chmod`: nine bits, -1 leaves one.
pub(crate) fn chmod(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    let object = core.existing(ctx.kind, id)?;
    let old = object.meta().permissions;
    let mut new = old;
    let mut admin = false;
    for index in 0..9 {
        let value = args.int_or(index + 1, -1);
        if !(-1..=1).contains(&value) {
            return Err(Failure::internal(
                "New permission values must be -1, 0 or 1".to_owned(),
            ));
        }
        if value >= 0 {
            new.0[index] = value == 1;
            // Only the admin bits need the right to administer.
            admin |= index % 3 == 2 && new.0[index] != old.0[index];
        }
    }
    let operation = if admin {
        Operation::Admin
    } else {
        Operation::Manage
    };
    core.authorize(&ctx.caller, operation, &target(ctx.kind, object))?;
    let object_id = object.meta().id;
    if let Some(object) = core.object_mut(ctx.kind, object_id) {
        object.meta_mut().permissions = new;
    }
    Ok(Value::from(id))
}

/// `lock`: level, and whether to fail if it is locked already.
pub(crate) fn lock(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, level, test) = (args.int(0), args.int(1), args.flag(2));
    core.need(&ctx.caller, Operation::ManageNoLock, ctx.kind, id)?;
    let level = match level {
        1 | 4 => 1,
        2 => 2,
        3 => 3,
        _ => return Err(Failure::action("Wrong lock level specified")),
    };
    let meta = core.existing(ctx.kind, id)?.meta();
    if let Some(known) = meta.lock {
        if test {
            return Err(Failure::action(known.time.to_string()));
        }
        if known.owner != ctx.caller.uid && !ctx.caller.is_admin() {
            return Err(Failure::action("Error trying to lock the resource."));
        }
    }
    let lock = Lock {
        level,
        owner: ctx.caller.uid,
        time: core.now,
        request_id: ctx.caller.request_id,
    };
    let object_id = meta.id;
    if let Some(object) = core.object_mut(ctx.kind, object_id) {
        object.meta_mut().lock = Some(lock);
    }
    Ok(Value::from(id))
}

/// `unlock`: by whoever locked it, or an admin.
pub(crate) fn unlock(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::ManageNoLock, ctx.kind, id)?;
    let meta = core.existing(ctx.kind, id)?.meta();
    let is_owner = meta.lock.is_some_and(|lock| lock.owner == ctx.caller.uid);
    if !is_owner && !ctx.caller.is_admin() {
        return Err(Failure::action("Cannot unlock: Lock is owned by another user"));
    }
    let object_id = meta.id;
    if let Some(object) = core.object_mut(ctx.kind, object_id) {
        object.meta_mut().lock = None;
    }
    Ok(Value::from(id))
}

/// Keeps the object for the event and checks that the caller may delete it. The event carries the object even if the
/// deletion is refused.
pub(crate) fn before_delete(core: &Core, ctx: &mut Context, args: &Args<'_>) -> Result<u32, Failure> {
    let id = args.int(0);
    if let Ok(object) = core.existing(ctx.kind, id) {
        ctx.extra = core.full_xml_for_event(ctx.kind, object);
    }
    let object = core.existing(ctx.kind, id)?;
    core.authorize(&ctx.caller, change_right(ctx.kind), &target(ctx.kind, object))?;
    Ok(object.meta().id)
}

impl Core {
    /// The object as `EXTRA` shows it.
    pub(crate) fn full_xml_for_event(&self, kind: ObjectKind, object: &dyn Object) -> String {
        match kind {
            ObjectKind::Document => self.document_xml(object.meta().id, false),
            ObjectKind::Vm => self.vm_xml(object.meta().id),
            _ => object.to_xml(),
        }
    }
}

/// `<X>pool.info`: filter, first, last. Shows what the caller may use.
pub(crate) fn pool_info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let root = match ctx.kind {
        ObjectKind::Net => "VNET_POOL",
        ObjectKind::Image => "IMAGE_POOL",
        ObjectKind::Template => "VMTEMPLATE_POOL",
        ObjectKind::Datastore => "DATASTORE_POOL",
        ObjectKind::Cluster => "CLUSTER_POOL",
        ObjectKind::Host => "HOST_POOL",
        ObjectKind::VRouter => "VROUTER_POOL",
        ObjectKind::VmGroup => "VM_GROUP_POOL",
        ObjectKind::MarketplaceApp => "MARKETPLACEAPP_POOL",
        ObjectKind::Group => "GROUP_POOL",
        _ => "POOL",
    };
    // Pools of what belongs to the installation have no filter.
    let has_filter = !matches!(
        ctx.kind,
        ObjectKind::Cluster | ObjectKind::Host | ObjectKind::Group | ObjectKind::Datastore
    );
    let filter = if has_filter { args.int_or(0, -2) } else { -2 };
    let range = if has_filter {
        (args.int_or(1, -1), args.int_or(2, -1))
    } else {
        (-1, -1)
    };
    let ids = core.listed(ctx.kind, &ctx.caller, filter, range, |_| true)?;
    let mut xml = Xml::new();
    xml.open(root);
    for id in ids {
        if let Some(object) = core.object(ctx.kind, id) {
            match ctx.kind {
                ObjectKind::Net => xml.raw(&core.vnet_pool_xml(id)),
                ObjectKind::Group => xml.raw(&core.group_pool_xml(id)),
                _ => object.write(&mut xml),
            }
        }
    }
    xml.close(root);
    Ok(xml.into_string().into())
}

impl Core {
    /// Ids of what a pool call shows, the newest first.
    ///
    /// `filter`: -4 the caller's primary group, -3 the caller's own, -2 all, -1 own and the groups', or a user's id.
    pub(crate) fn listed(
        &self,
        kind: ObjectKind,
        caller: &Caller,
        filter: i64,
        (start, end): (i64, i64),
        keep: impl Fn(u32) -> bool,
    ) -> Result<Vec<u32>, Failure> {
        if filter < -4 {
            return Err(Failure::rpc_api("Incorrect filter_flag"));
        }
        let fits = |meta: &Meta| match filter {
            -4 => meta.gid == caller.gid,
            -3 => meta.uid == caller.uid,
            -2 => true,
            -1 => meta.uid == caller.uid || caller.groups.contains(&meta.gid),
            uid => i64::from(meta.uid) == uid,
        };
        let shown = self.ids(kind).into_iter().filter(|id| keep(*id)).filter(|id| {
            self.object(kind, *id)
                .is_some_and(|object| fits(object.meta()) && self.is_visible(caller, &target(kind, object)))
        });
        Ok(match (start, end) {
            (first, last) if last < -1 => {
                // An offset and the size of a page.
                let offset = usize::try_from(first).unwrap_or(0);
                shown
                    .skip(offset)
                    .take(usize::try_from(-last).unwrap_or(0))
                    .collect()
            }
            (first, last) => shown
                .filter(|id| first < 0 || i64::from(*id) >= first)
                .filter(|id| last < 0 || i64::from(*id) <= last)
                .collect(),
        })
    }
}
