//! Groups of users.

use super::quota::Quotas;
use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `GROUP`.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Ids of its members.
    pub users: Vec<u32>,
    /// Ids of its administrators.
    pub admins: Vec<u32>,
    /// Its quotas.
    pub quotas: Quotas,
    /// What counts where a quota says "default".
    pub default_quotas: Quotas,
    /// Its attributes.
    pub template: Template,
}

impl Element for Group {
    const NAME: &'static str = "GROUP";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut users, mut admins) = (Vec::new(), Vec::new());
        let (mut quotas, mut default_quotas) = (Quotas::default(), Quotas::default());
        while let Some(name) = parser.child()? {
            match &*name {
                "USERS" => users = read::ids(parser)?,
                "ADMINS" => admins = read::ids(parser)?,
                "DEFAULT_GROUP_QUOTAS" => default_quotas = Quotas::read(parser)?,
                other => {
                    if !quotas.element(other, parser)? {
                        head.element(other, parser)?;
                    }
                }
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            name: head.name,
            users,
            admins,
            quotas,
            default_quotas,
            template: head.template,
        })
    }
}
