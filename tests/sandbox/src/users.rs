//! Users, their sessions and their login tokens.

use std::collections::{BTreeMap, BTreeSet};

use opennebula::template::Template;
use opennebula::xmlrpc::Value;

use crate::acl::{Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation, Permissions};
use crate::pool::Object;
use crate::quotas::Quotas;
use crate::rpc::{Args, Context, Outcome};
use crate::sessions::digest;
use crate::shared::{self, done, parse};
use crate::xml::Xml;

/// A user.
#[derive(Clone)]
pub struct User {
    /// Id, primary group, name.
    pub meta: Meta,
    /// All groups.
    pub groups: BTreeSet<u32>,
    pub(crate) password: String,
    pub(crate) driver: String,
    pub(crate) enabled: bool,
    /// Login tokens by their text.
    pub tokens: BTreeMap<String, LoginToken>,
    pub(crate) template: Template,
    pub(crate) quotas: Quotas,
}

/// A login token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginToken {
    /// Epoch second at which it ends; `None` for never.
    pub expires: Option<u64>,
    /// The only group that it gives, if it is limited to one.
    pub group: Option<u32>,
}

impl Object for User {
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
        xml.open("USER");
        self.write_body(xml);
        xml.close("USER");
    }
}

impl User {
    fn write_body(&self, xml: &mut Xml) {
        xml.field("ID", self.meta.id);
        xml.field("GID", self.meta.gid);
        xml.ids("GROUPS", &self.groups);
        xml.field("GNAME", &self.meta.gname);
        xml.field("NAME", &self.meta.name);
        xml.cdata("PASSWORD", &self.password);
        xml.cdata("AUTH_DRIVER", &self.driver);
        xml.field("ENABLED", u8::from(self.enabled));
        for (text, token) in &self.tokens {
            xml.open("LOGIN_TOKEN");
            xml.field("TOKEN", text);
            xml.field(
                "EXPIRATION_TIME",
                token.expires.map_or("-1".into(), |time| time.to_string()),
            );
            xml.field("EGID", token.group.map_or("-1".into(), |gid| gid.to_string()));
            xml.close("LOGIN_TOKEN");
        }
        xml.template("TEMPLATE", &self.template);
    }
}

impl Core {
    /// Makes a user in a group. Its id.
    pub(crate) fn insert_user(&mut self, name: &str, password: &str, driver: &str, gid: u32) -> u32 {
        let id = self.users.next_id();
        let gname = self
            .groups
            .get(gid)
            .map(|group| group.meta.name.clone())
            .unwrap_or_default();
        let mut template = Template::new();
        template.set("TOKEN_PASSWORD", self.rng.hex(64));
        let meta = Meta {
            id,
            uid: id,
            gid,
            uname: name.into(),
            gname,
            name: name.into(),
            permissions: Permissions::from_umask(0o177),
            lock: None,
        };
        let user = User {
            meta,
            groups: BTreeSet::from([gid]),
            password: digest(password),
            driver: if driver.is_empty() {
                "core".into()
            } else {
                driver.into()
            },
            enabled: true,
            tokens: BTreeMap::new(),
            template,
            quotas: Quotas::default(),
        };
        self.users.insert(id, user);
        if let Some(group) = self.groups.get_mut(gid) {
            group.users.insert(id);
        }
        id
    }

    pub(crate) fn user_named(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.meta.name == name)
    }

    pub(crate) fn user_xml(&self, id: u32) -> String {
        let Some(user) = self.users.get(id) else {
            return String::new();
        };
        let mut xml = Xml::new();
        xml.open("USER");
        user.write_body(&mut xml);
        user.quotas.write(&mut xml);
        write_default_quotas(&mut xml, "DEFAULT_USER_QUOTAS");
        xml.close("USER");
        xml.into_string()
    }
}

fn write_default_quotas(xml: &mut Xml, name: &str) {
    xml.open(name);
    Quotas::default().write(xml);
    xml.close(name);
}

/// `one.user.allocate`: name, password, driver, groups.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::User, &ctx.caller),
    )?;
    let (name, password, driver) = (args.text(0), args.text(1), args.text(2));
    if password.is_empty() {
        return Err(Failure::internal("Invalid password, it cannot be empty."));
    }
    shared::check_name(name).map_err(|cause| Failure::internal(format!("{cause}.")))?;
    if name.contains([' ', ':']) {
        return Err(Failure::internal("Invalid NAME, char ' ' is not allowed."));
    }
    core.check_unique(ObjectKind::User, name, 0)
        .map_err(Failure::internal)?;
    let groups = args.ints(3);
    let gid = groups.first().copied().unwrap_or(1);
    let gid = u32::try_from(gid)
        .ok()
        .filter(|gid| core.groups.get(*gid).is_some());
    let Some(gid) = gid else {
        return Err(Failure::no_exists_of(
            ObjectKind::Group,
            groups.first().copied().unwrap_or(-1),
        ));
    };
    let id = core.insert_user(name, password, driver, gid);
    for gid in groups.iter().skip(1).filter_map(|gid| u32::try_from(*gid).ok()) {
        if let Some(user) = core.users.get_mut(id) {
            user.groups.insert(gid);
        }
        if let Some(group) = core.groups.get_mut(gid) {
            group.users.insert(id);
        }
    }
    ctx.extra = core.users.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.user.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    if id <= 1 {
        return Err(Failure::action("Cannot delete user. oneadmin cannot be deleted."));
    }
    core.users.remove(id);
    for group in core.groups.values_mut() {
        group.users.remove(&id);
    }
    done(id)
}

/// `one.user.passwd`: id, password.
pub(crate) fn passwd(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = match args.int(0) {
        -1 => i64::from(ctx.caller.uid),
        id => id,
    };
    core.need(&ctx.caller, Operation::Manage, ObjectKind::User, id)?;
    if let Some(user) = u32::try_from(id).ok().and_then(|id| core.users.get_mut(id)) {
        user.password = digest(args.text(1));
    }
    Ok(Value::from(id))
}

/// `one.user.enable`: id, flag.
pub(crate) fn enable(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Admin, ObjectKind::User, id)?;
    if let Some(user) = u32::try_from(id).ok().and_then(|id| core.users.get_mut(id)) {
        user.enabled = args.flag(1);
    }
    Ok(Value::from(id))
}

/// `one.user.addgroup`, `one.user.delgroup` and `one.user.chgrp`: id, group.
pub(crate) fn add_group(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, gid) = membership(core, ctx, args)?;
    if let Some(user) = core.users.get_mut(id) {
        user.groups.insert(gid);
    }
    if let Some(group) = core.groups.get_mut(gid) {
        group.users.insert(id);
    }
    done(id)
}

/// See [`add_group`].
pub(crate) fn delete_group(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, gid) = membership(core, ctx, args)?;
    if core.users.get(id).is_some_and(|user| user.meta.gid == gid) {
        return Err(Failure::internal("Cannot remove user from the primary group."));
    }
    if let Some(user) = core.users.get_mut(id) {
        user.groups.remove(&gid);
    }
    if let Some(group) = core.groups.get_mut(gid) {
        group.users.remove(&id);
    }
    done(id)
}

/// See [`add_group`].
pub(crate) fn change_group(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let (id, gid) = membership(core, ctx, args)?;
    let gname = core
        .groups
        .get(gid)
        .map(|group| group.meta.name.clone())
        .unwrap_or_default();
    let mut old = None;
    if let Some(user) = core.users.get_mut(id) {
        old = Some(user.meta.gid);
        user.groups.remove(&user.meta.gid);
        user.groups.insert(gid);
        (user.meta.gid, user.meta.gname) = (gid, gname);
    }
    if let Some(group) = old.and_then(|old| core.groups.get_mut(old)) {
        group.users.remove(&id);
    }
    if let Some(group) = core.groups.get_mut(gid) {
        group.users.insert(id);
    }
    done(id)
}

fn membership(core: &Core, ctx: &Context, args: &Args<'_>) -> Result<(u32, u32), Failure> {
    let id = args.id(0)?;
    let gid = args.int(1);
    let user = core.existing(ObjectKind::User, i64::from(id))?;
    let group = core
        .existing(ObjectKind::Group, gid)
        .map_err(|_| Failure::no_exists_of(ObjectKind::Group, gid))?;
    let mut request = Request::new(core, &ctx.caller);
    request
        .need(Operation::Manage, &shared::target(ObjectKind::User, user))
        .need(Operation::Manage, &shared::target(ObjectKind::Group, group));
    request.finish()?;
    Ok((id, group.meta().id))
}

/// `one.user.quota`: id, template.
pub(crate) fn quota(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Admin, ObjectKind::User, id)?;
    if id == 0 {
        return Err(Failure::action("Cannot set quotas for oneadmin user"));
    }
    let template = parse(args.text(1)).map_err(Failure::action)?;
    if let Some(user) = u32::try_from(id).ok().and_then(|id| core.users.get_mut(id)) {
        user.quotas.set(&template).map_err(Failure::action)?;
    }
    Ok(Value::from(id))
}

/// `one.userpool.info`.
pub(crate) fn pool_info(core: &mut Core, ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    let ids = core.listed(ObjectKind::User, &ctx.caller, -2, (-1, -1), |_| true)?;
    let mut xml = Xml::new();
    xml.open("USER_POOL");
    for user in ids.into_iter().filter_map(|id| core.users.get(id)) {
        user.write(&mut xml);
        xml.open("QUOTAS");
        xml.field("ID", user.meta.id);
        user.quotas.write(&mut xml);
        xml.close("QUOTAS");
    }
    write_default_quotas(&mut xml, "DEFAULT_USER_QUOTAS");
    xml.close("USER_POOL");
    Ok(xml.into_string().into())
}
