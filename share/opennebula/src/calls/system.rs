//! `one.system.*`, `one.zone.raftstatus`

use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::RaftStatus;
use crate::template::Template;

impl Client {
    /// OpenNebula's version, such as `7.0.1`.
    pub fn system_version(&self) -> Result<String, Error> {
        self.text("one.system.version", vec![], Repeat::Reads)
    }

    /// oned's configuration. For administrators.
    pub fn system_config(&self) -> Result<Template, Error> {
        let xml = self.text("one.system.config", vec![], Repeat::Reads)?;
        Template::parse_xml(&xml).map_err(|error| Error::Reply {
            method: "one.system.config".into(),
            what: error.to_string(),
        })
    }

    /// What the front-end that answers is among the front-ends of its zone.
    pub fn zone_raftstatus(&self) -> Result<RaftStatus, Error> {
        self.object("one.zone.raftstatus", vec![], RaftStatus::from_xml)
    }
}
