//! Groups.

use std::collections::BTreeSet;

use opennebula::template::Template;
use opennebula::xmlrpc::Value;

use crate::acl::Target;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation, Permissions};
use crate::pool::Object;
use crate::quotas::Quotas;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse};
use crate::xml::Xml;

/// A group.
#[derive(Clone)]
pub struct Group {
    /// Id and name.
    pub meta: Meta,
    /// Members.
    pub users: BTreeSet<u32>,
    pub(crate) template: Template,
    pub(crate) quotas: Quotas,
}

impl Object for Group {
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
        xml.open("GROUP");
        self.write_body(xml);
        xml.close("GROUP");
    }
}

impl Group {
    fn write_body(&self, xml: &mut Xml) {
        xml.field("ID", self.meta.id);
        xml.field("NAME", &self.meta.name);
        xml.template("TEMPLATE", &self.template);
        xml.ids("USERS", &self.users);
        xml.ids("ADMINS", []);
    }

    /// Every group has a set of VLAN rules; none holds any.
    fn write_vlan_rules(&self, xml: &mut Xml) {
        xml.open("VLAN_RULES");
        xml.cdata("ID", self.meta.id);
        xml.close("VLAN_RULES");
    }
}

fn write_default_quotas(xml: &mut Xml) {
    xml.open("DEFAULT_GROUP_QUOTAS");
    Quotas::default().write(xml);
    xml.close("DEFAULT_GROUP_QUOTAS");
}

impl Core {
    /// Makes a group. Its id.
    pub(crate) fn insert_group(&mut self, name: &str) -> u32 {
        let id = self.groups.next_id();
        let meta = Meta {
            id,
            uid: 0,
            gid: id,
            uname: "oneadmin".into(),
            gname: name.into(),
            name: name.into(),
            permissions: Permissions([true, true, false, true, false, false, false, false, false]),
            lock: None,
        };
        let mut template = Template::new();
        if name == "users" {
            // What oned writes at its first start.
            template.set_vector(
                "SUNSTONE",
                [
                    ("DEFAULT_VIEW", "cloud"),
                    ("GROUP_ADMIN_DEFAULT_VIEW", "groupadmin"),
                    ("GROUP_ADMIN_VIEWS", "groupadmin,cloud"),
                    ("VIEWS", "cloud"),
                ],
            );
        }
        let group = Group {
            meta,
            users: BTreeSet::new(),
            template,
            quotas: Quotas::default(),
        };
        self.groups.insert(id, group);
        id
    }

    pub(crate) fn group_xml(&self, id: u32) -> String {
        let Some(group) = self.groups.get(id) else {
            return String::new();
        };
        let mut xml = Xml::new();
        xml.open("GROUP");
        group.write_body(&mut xml);
        group.quotas.write(&mut xml);
        group.write_vlan_rules(&mut xml);
        write_default_quotas(&mut xml);
        xml.close("GROUP");
        xml.into_string()
    }

    pub(crate) fn group_pool_xml(&self, id: u32) -> String {
        self.groups.get(id).map(Object::to_xml).unwrap_or_default()
    }
}

/// `one.grouppool.info`.
pub(crate) fn pool_info(core: &mut Core, ctx: &mut Context, _args: &Args<'_>) -> Outcome {
    let ids = core.listed(ObjectKind::Group, &ctx.caller, -2, (-1, -1), |_| true)?;
    let mut xml = Xml::new();
    xml.open("GROUP_POOL");
    for group in ids.into_iter().filter_map(|id| core.groups.get(id)) {
        group.write(&mut xml);
        xml.open("QUOTAS");
        xml.field("ID", group.meta.id);
        group.quotas.write(&mut xml);
        xml.close("QUOTAS");
        group.write_vlan_rules(&mut xml);
    }
    write_default_quotas(&mut xml);
    xml.close("GROUP_POOL");
    Ok(xml.into_string().into())
}

/// `one.group.allocate`: name.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Group, &ctx.caller),
    )?;
    shared::check_name(args.text(0)).map_err(Failure::internal)?;
    core.check_unique(ObjectKind::Group, args.text(0), 0)
        .map_err(Failure::internal)?;
    let id = core.insert_group(args.text(0));
    ctx.extra = core.group_pool_xml(id);
    done(id)
}

/// `one.group.quota`: id, template.
pub(crate) fn quota(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    core.need(&ctx.caller, Operation::Admin, ObjectKind::Group, id)?;
    if id == 0 {
        return Err(Failure::action("Cannot set quotas for oneadmin group"));
    }
    let template = parse(args.text(1)).map_err(Failure::action)?;
    if let Some(group) = u32::try_from(id).ok().and_then(|id| core.groups.get_mut(id)) {
        group.quotas.set(&template).map_err(Failure::action)?;
    }
    Ok(Value::from(id))
}
