//! Appliances of a marketplace, to read only.

use opennebula::template::Template;

use crate::clusters::system_meta;
use crate::core::Core;
use crate::meta::{Meta, Permissions};
use crate::pool::Object;
use crate::xml::Xml;

/// An appliance.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketApp {
    /// Id, owner, name, rights.
    pub meta: Meta,
    pub(crate) registered: u64,
    pub(crate) template: Template,
}

impl Object for MarketApp {
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
        let attribute = |name: &str| self.template.get(name).unwrap_or("");
        xml.open("MARKETPLACEAPP");
        self.meta.write_head(xml);
        self.meta.write_lock(xml);
        xml.field("REGTIME", self.registered);
        xml.field("ORIGIN_ID", -1);
        xml.cdata("SOURCE", attribute("SOURCE"));
        xml.cdata("MD5", "");
        xml.field("SIZE", 1024);
        xml.cdata("DESCRIPTION", attribute("DESCRIPTION"));
        xml.cdata("VERSION", attribute("VERSION"));
        xml.cdata("FORMAT", "qcow2");
        xml.cdata("APPTEMPLATE64", attribute("APPTEMPLATE64"));
        xml.field("MARKETPLACE_ID", 0);
        xml.field("MARKETPLACE", "OpenNebula Public");
        // READY and IMAGE.
        xml.field("STATE", 1);
        xml.field("TYPE", 1);
        self.meta.write_permissions(xml);
        xml.template("TEMPLATE", &self.template);
        xml.close("MARKETPLACEAPP");
    }
}

impl Core {
    /// Makes an appliance that everybody may use. Its id.
    pub(crate) fn insert_market_app(&mut self, name: &str, template: Template) -> u32 {
        let id = self.market_apps.next_id();
        let mut meta = system_meta(id, name);
        meta.permissions = Permissions::from_umask(0o133);
        self.market_apps.insert(
            id,
            MarketApp {
                meta,
                registered: self.now,
                template,
            },
        );
        id
    }
}
