//! VM templates.

use opennebula::template::{Attribute, Template, vector_value};

use crate::acl::{Caller, Request, Target};
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::pool::Object;
use crate::restricted;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse, target};
use crate::xml::{self, Xml};

/// A VM template.
#[derive(Clone, Debug, PartialEq)]
pub struct VmTemplate {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// Attributes.
    pub template: Template,
    pub(crate) registered: u64,
}

impl Object for VmTemplate {
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
        self.write_with(xml, &self.template);
    }
}

impl VmTemplate {
    fn write_with(&self, xml: &mut Xml, template: &Template) {
        xml.open("VMTEMPLATE");
        self.meta.write_head(xml);
        self.meta.write_permissions(xml);
        self.meta.write_lock(xml);
        xml.field("REGTIME", self.registered);
        xml.template("TEMPLATE", template);
        xml.close("VMTEMPLATE");
    }

    /// Whether only routers may be made of it.
    pub(crate) fn is_router(&self) -> bool {
        self.template
            .get("VROUTER")
            .is_some_and(|text| text.eq_ignore_ascii_case("YES"))
    }
}

/// `one.template.allocate`: template.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(0)).map_err(Failure::internal)?;
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Template, &ctx.caller),
    )?;
    let id = core.add_template(&ctx.caller.clone(), template)?;
    ctx.extra = core.templates.get(id).map(Object::to_xml).unwrap_or_default();
    done(id)
}

/// `one.template.clone`: id, name.
pub(crate) fn clone(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let source = core.existing(ObjectKind::Template, args.int(0))?;
    let mut template = source.template().clone();
    let mut request = Request::new(core, &ctx.caller);
    request
        .need(Operation::Use, &target(ObjectKind::Template, source))
        .need(
            Operation::Create,
            &Target::new_of(ObjectKind::Template, &ctx.caller),
        );
    request.finish()?;
    template.set("NAME", args.text(1));
    let id = core.add_template(&ctx.caller.clone(), template)?;
    done(id)
}

/// `one.template.delete`: id, with its images.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    core.templates.remove(id);
    done(id)
}

/// `one.template.info`: id, extended by what images and networks say, decrypted.
pub(crate) fn info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    core.need(
        &ctx.caller,
        Operation::UseNoLock,
        ObjectKind::Template,
        args.int(0),
    )?;
    let id = core.existing(ObjectKind::Template, args.int(0))?.meta().id;
    let Some(found) = core.templates.get(id) else {
        return Err(Failure::no_exists(i64::from(id)));
    };
    if !args.flag(1) {
        return Ok(found.to_xml().into());
    }
    let mut request = Request::new(core, &ctx.caller);
    core.need_resources(&mut request, ctx.caller.uid, &found.template);
    request.finish()?;
    let mut extended = found.template.clone();
    extended.remove("DISK");
    for (index, disk) in found.template.get_vectors("DISK").enumerate() {
        let mut disk = disk.to_vec();
        if let Ok(Some(image)) = core.disk_image(&disk, ctx.caller.uid) {
            // The description of an image that exists can't fail but by its size, which shows at instantiation.
            let _ = core.describe_disk(image, &mut disk, &mut false);
        }
        crate::vms::set(&mut disk, "DISK_ID", index.to_string());
        extended.push(Attribute::vector("DISK", disk));
    }
    let mut xml = Xml::new();
    found.write_with(&mut xml, &extended);
    Ok(xml.into_string().into())
}

/// `one.template.instantiate`: id, name, hold, more attributes, persistent copy. The id of the VM.
pub(crate) fn instantiate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = core.existing(ObjectKind::Template, args.int(0))?.meta().id;
    if core.templates.get(id).is_some_and(VmTemplate::is_router) {
        return Err(Failure::action("Virtual router templates cannot be instantiated"));
    }
    let caller = ctx.caller.clone();
    let vm = core.instantiate_template(&caller, id, args.text(1), args.flag(2), args.text(3), None)?;
    done(vm)
}

impl Core {
    pub(crate) fn add_template(&mut self, caller: &Caller, mut template: Template) -> Result<u32, Failure> {
        let name = template.get("NAME").unwrap_or("").to_owned();
        template.remove("NAME");
        let id = self.templates.next_id();
        let name = if name.is_empty() {
            format!("template-{id}")
        } else {
            name
        };
        shared::check_name(&name).map_err(Failure::internal)?;
        self.check_unique(ObjectKind::Template, &name, caller.uid)
            .map_err(Failure::internal)?;
        if !xml::is_storable(&template) {
            return Err(Failure::internal("Error transforming the Template to XML."));
        }
        let meta = Self::new_meta(caller, id, name);
        self.templates.insert(
            id,
            VmTemplate {
                meta,
                template,
                registered: self.now,
            },
        );
        Ok(id)
    }

    /// Makes a VM of a template. `forced` attributes win over all others.
    pub(crate) fn instantiate_template(
        &mut self,
        caller: &Caller,
        id: u32,
        name: &str,
        hold: bool,
        more: &str,
        forced: Option<&Template>,
    ) -> Result<u32, Failure> {
        let Some(found) = self.templates.get(id) else {
            return Err(Failure::no_exists(i64::from(id)));
        };
        let (mut template, template_name) = (found.template.clone(), found.meta.name.clone());
        let mut attributes = parse(more).map_err(Failure::internal)?;
        if !attributes.is_empty() {
            if !caller.is_admin()
                && let Some(name) = restricted::changed(restricted::VM, &mut attributes, &template, true)
            {
                return Err(Failure::authorization(format!(
                    "User Template includes a restricted attribute {name}"
                )));
            }
            template.merge(&attributes);
        }
        if let Some(forced) = forced {
            template.merge(forced);
        }
        template.remove("NAME");
        template.set("TEMPLATE_NAME", template_name);
        template.set("TEMPLATE_ID", id.to_string());
        if !name.is_empty() {
            template.set("NAME", name);
        }
        let mut request = Request::new(self, caller);
        request.need(Operation::Use, &target(ObjectKind::Template, found));
        if !more.is_empty() {
            request.need(Operation::Create, &Target::new_of(ObjectKind::Template, caller));
        }
        self.need_resources(&mut request, caller.uid, &template);
        request.finish()?;
        self.create_vm(caller, template, hold, Failure::allocate)
    }
}

/// Whether a vector has `YES` under a key.
pub(crate) fn is_yes(pairs: &[(String, String)], key: &str) -> bool {
    vector_value(pairs, key).is_some_and(|text| text.eq_ignore_ascii_case("YES"))
}
