//! Hooks.

use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `HOOK`. The log of its executions is not read.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Id.
    pub id: u32,
    /// Name, unique in the cloud.
    pub name: String,
    /// `api` or `state`.
    pub hook_type: String,
    /// Command, arguments and the event that it waits for.
    pub template: Template,
}

impl Element for Hook {
    const NAME: &'static str = "HOOK";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut hook_type = String::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "TYPE" => hook_type = read::text(parser)?,
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            name: head.name,
            hook_type,
            template: head.template,
        })
    }
}
