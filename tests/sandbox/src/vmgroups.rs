//! VM groups: roles whose VMs keep together or apart.

use std::collections::BTreeSet;

use opennebula::template::{Template, vector_value};

use crate::acl::Target;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse};
use crate::xml::Xml;

/// A VM group.
#[derive(Clone, Debug, PartialEq)]
pub struct VmGroup {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// Roles, by their place.
    pub roles: Vec<Role>,
    pub(crate) template: Template,
}

/// A role.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// Name.
    pub name: String,
    /// VMs that have it.
    pub vms: BTreeSet<u32>,
    pub(crate) pairs: Vec<(String, String)>,
}

impl Object for VmGroup {
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
        xml.open("VM_GROUP");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        self.meta.write_lock(xml);
        xml.open("ROLES");
        for (id, role) in self.roles.iter().enumerate() {
            let mut pairs = role.pairs.clone();
            pairs.push(("ID".into(), id.to_string()));
            if !role.vms.is_empty() {
                let vms: Vec<String> = role.vms.iter().map(u32::to_string).collect();
                pairs.push(("VMS".into(), vms.join(",")));
            }
            xml.vector("ROLE", &pairs);
        }
        xml.close("ROLES");
        xml.template("TEMPLATE", &self.template);
        xml.close("VM_GROUP");
    }
}

impl Core {
    /// The VM group that a VM's template means, by name and owner or by id.
    pub(crate) fn vm_group_of(&self, pairs: &[(String, String)], uid: u32) -> Option<u32> {
        let number = |key: &str| vector_value(pairs, key).and_then(|text| text.parse::<u32>().ok());
        match vector_value(pairs, "VMGROUP_NAME").filter(|name| !name.is_empty()) {
            Some(name) => self.vmgroups.find(name, number("VMGROUP_UID").unwrap_or(uid)),
            None => number("VMGROUP_ID").filter(|id| self.vmgroups.get(*id).is_some()),
        }
    }

    /// Gives a new VM its role in the group that it asks for.
    pub(crate) fn join_vm_group(&mut self, id: u32, uid: u32, template: &mut Template) -> Result<(), String> {
        let Some(pairs) = template.get_vector("VMGROUP") else {
            return Ok(());
        };
        let Some(role) = vector_value(pairs, "ROLE").filter(|role| !role.is_empty()) else {
            return Err("Missing role name in VM Group definition".into());
        };
        let found = self.vm_group_of(pairs, uid);
        let Some(group) = found.and_then(|id| self.vmgroups.get_mut(id)) else {
            return Err("Cannot find VM Group to associate the VM".into());
        };
        let Some(role) = group.roles.iter_mut().find(|known| known.name == role) else {
            return Err("Role does not exist in VM Group".into());
        };
        role.vms.insert(id);
        template.set_in("VMGROUP", "VMGROUP_ID", group.meta.id.to_string());
        Ok(())
    }
}

/// `one.vmgroup.allocate`: template.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let mut template = parse(args.text(0)).map_err(Failure::internal)?;
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::VmGroup, &ctx.caller),
    )?;
    let name = template.get("NAME").unwrap_or("").to_owned();
    shared::check_name(&name).map_err(Failure::internal)?;
    core.check_unique(ObjectKind::VmGroup, &name, ctx.caller.uid)
        .map_err(Failure::internal)?;
    let roles = template.get_vectors("ROLE").map(|pairs| Role {
        name: vector_value(pairs, "NAME").unwrap_or("").to_owned(),
        vms: BTreeSet::new(),
        pairs: pairs.to_vec(),
    });
    let roles: Vec<Role> = roles.collect();
    template.remove("NAME");
    template.remove("ROLE");
    let id = core.vmgroups.next_id();
    let meta = Core::new_meta(&ctx.caller, id, name);
    core.vmgroups.insert(
        id,
        VmGroup {
            meta,
            roles,
            template,
        },
    );
    ctx.extra = core.vmgroups.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.vmgroup.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    if core
        .vmgroups
        .get(id)
        .is_some_and(|group| group.roles.iter().any(|role| !role.vms.is_empty()))
    {
        return Err(Failure::action(
            "Cannot delete vm group. The VM group has VMs running",
        ));
    }
    core.vmgroups.remove(id);
    done(id)
}
