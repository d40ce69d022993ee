//! Documents: generic objects of any type, without unique names.

use opennebula::template::Template;

use crate::acl::Target;
use crate::core::Core;
use crate::failure::Failure;
use crate::meta::{Meta, ObjectKind, Operation};
use crate::pool::Object;
use crate::rpc::{Args, Context, Outcome};
use crate::shared::{self, done, parse};
use crate::xml::{self, Xml};

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Id, owner, name, rights.
    pub meta: Meta,
    /// Type, such as 120 for a cluster.
    pub kind: i64,
    /// Attributes, not encrypted.
    pub template: Template,
}

impl Object for Document {
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
        xml.open("DOCUMENT");
        self.meta.write_head(xml);
        xml.field("TYPE", self.kind);
        self.meta.write_permissions(xml);
        self.meta.write_lock(xml);
        xml.template("TEMPLATE", &self.template);
        xml.close("DOCUMENT");
    }
}

/// `one.document.allocate`: template, type.
pub(crate) fn allocate(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let template = parse(args.text(0)).map_err(Failure::internal)?;
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Document, &ctx.caller),
    )?;
    let id = core.add_document(ctx, template, args.int(1))?;
    ctx.extra = core.document_xml(id, false);
    done(id)
}

/// `one.document.clone`: id, name. Copies everything but rights and lock.
pub(crate) fn clone(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = args.int(0);
    let source = core.existing(ObjectKind::Document, id)?;
    core.authorize(
        &ctx.caller,
        Operation::Use,
        &shared::target(ObjectKind::Document, source),
    )?;
    core.authorize(
        &ctx.caller,
        Operation::Create,
        &Target::new_of(ObjectKind::Document, &ctx.caller),
    )?;
    let mut template = source.template().clone();
    let kind = core
        .documents
        .get(source.meta().id)
        .map_or(0, |document| document.kind);
    template.remove("NAME");
    template.set("NAME", args.text(1));
    let copy = core.add_document(ctx, template, kind)?;
    done(copy)
}

/// `one.document.delete`.
pub(crate) fn delete(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let id = shared::before_delete(core, ctx, args)?;
    core.documents.remove(id);
    done(id)
}

/// `one.documentpool.info`: filter, first, last, type.
pub(crate) fn pool_info(core: &mut Core, ctx: &mut Context, args: &Args<'_>) -> Outcome {
    let kind = args.int(3);
    let range = (args.int(1), args.int(2));
    let of_type = |id| {
        core.documents
            .get(id)
            .is_some_and(|document: &Document| document.kind == kind)
    };
    let ids = core.listed(ObjectKind::Document, &ctx.caller, args.int(0), range, of_type)?;
    let mut xml = Xml::new();
    xml.open("DOCUMENT_POOL");
    for id in ids {
        xml.raw(&core.document_xml(id, false));
    }
    xml.close("DOCUMENT_POOL");
    Ok(xml.into_string().into())
}

impl Core {
    fn add_document(&mut self, ctx: &Context, mut template: Template, kind: i64) -> Result<u32, Failure> {
        let name = template.get("NAME").unwrap_or("").to_owned();
        template.remove("NAME");
        if name.len() > 128 {
            return Err(Failure::internal("NAME is too long; max length is 128 chars."));
        }
        let id = self.documents.next_id();
        let name = if name.is_empty() {
            format!("document-{id}")
        } else {
            name
        };
        if !xml::is_storable(&template) || !xml::is_storable_name(&name) {
            return Err(Failure::internal("Error transforming the Document to XML."));
        }
        let meta = Self::new_meta(&ctx.caller, id, name);
        self.documents.insert(id, Document { meta, kind, template });
        Ok(id)
    }

    /// The document with its secrets encrypted, unless `decrypt`.
    pub(crate) fn document_xml(&self, id: u32, decrypt: bool) -> String {
        let Some(document) = self.documents.get(id) else {
            return String::new();
        };
        if decrypt
            || !self
                .config
                .document_encrypted
                .iter()
                .any(|name| document.template.contains(name))
        {
            return document.to_xml();
        }
        let mut shown = document.clone();
        for name in &self.config.document_encrypted {
            if let Some(text) = document.template.get(name) {
                shown.template.set(name, encrypted(text));
            }
        }
        shown.to_xml()
    }
}

/// Stands for oned's AES: as long, as unreadable, and the same for the same text.
fn encrypted(text: &str) -> String {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let mut bytes = Vec::new();
    let mut block = Sha256::digest(text.as_bytes());
    while bytes.len() <= text.len() {
        bytes.extend_from_slice(&block[..16]);
        block = Sha256::digest(block);
    }
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
