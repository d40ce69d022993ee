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

/// `HOOK_EXECUTION_RECORD`: one run of a hook. Its input is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookExecution {
    /// The hook.
    pub hook_id: u32,
    /// Number of the run, counted for each hook.
    pub execution_id: u32,
    /// When it ended, Unix seconds.
    pub time: u64,
    /// Exit code; 255 also if it could not be started or ran too long.
    pub code: i32,
}

impl Element for HookExecution {
    const NAME: &'static str = "HOOK_EXECUTION_RECORD";

    fn read(parser: &mut Parser<'_>, _: &mut Head) -> Result<Self, ObjectError> {
        let (mut hook_id, mut execution_id, mut time, mut code) = (None, None, 0, None);
        while let Some(name) = parser.child()? {
            match &*name {
                "HOOK_ID" => hook_id = Some(read::number(parser, "HOOK_ID")?),
                "EXECUTION_ID" => execution_id = Some(read::number(parser, "EXECUTION_ID")?),
                "TIMESTAMP" => time = read::maybe(parser)?.unwrap_or_default(),
                "EXECUTION_RESULT" => {
                    while let Some(name) = parser.child()? {
                        match &*name {
                            "CODE" => code = read::maybe(parser)?,
                            _ => parser.skip()?,
                        }
                    }
                }
                _ => parser.skip()?,
            }
        }
        let missing = |field| ObjectError::Missing {
            object: Self::NAME,
            field,
        };
        Ok(Self {
            hook_id: hook_id.ok_or(missing("HOOK_ID"))?,
            execution_id: execution_id.ok_or(missing("EXECUTION_ID"))?,
            time,
            code: code.ok_or(missing("CODE"))?,
        })
    }
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
