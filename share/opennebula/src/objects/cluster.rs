//! OpenNebula clusters: hosts, datastores and networks that work together. Not to be confused with Kubernetes'.

use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `CLUSTER`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Ids of its hosts.
    pub hosts: Vec<u32>,
    /// Ids of its datastores.
    pub datastores: Vec<u32>,
    /// Ids of its virtual networks.
    pub vnets: Vec<u32>,
    /// Its attributes.
    pub template: Template,
}

impl Element for Cluster {
    const NAME: &'static str = "CLUSTER";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut hosts, mut datastores, mut vnets) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(name) = parser.child()? {
            match &*name {
                "HOSTS" => hosts = read::ids(parser)?,
                "DATASTORES" => datastores = read::ids(parser)?,
                "VNETS" => vnets = read::ids(parser)?,
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            name: head.name,
            hosts,
            datastores,
            vnets,
            template: head.template,
        })
    }
}
