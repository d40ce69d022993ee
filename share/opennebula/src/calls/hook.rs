//! `one.hook.*`, `one.hookpool.info`, `one.hooklog.info`. For administrators.

use super::UpdateMode;
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Hook, HookExecution, Pool};

impl Client {
    /// Makes a hook and returns its id. Its name must be new to the cloud.
    pub fn hook_allocate(&self, template: &str) -> Result<u32, Error> {
        self.new_id("one.hook.allocate", vec![template.into()])
    }

    /// Changes a hook.
    pub fn hook_update(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.hook.update",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// A hook, without the log of its executions.
    pub fn hook_info(&self, id: u32, decrypt: bool) -> Result<Hook, Error> {
        self.object("one.hook.info", vec![id.into(), decrypt.into()], Hook::from_xml)
    }

    /// Deletes a hook.
    pub fn hook_delete(&self, id: u32) -> Result<(), Error> {
        self.done("one.hook.delete", vec![id.into()], Repeat::Idempotent)
    }

    /// The executions of all hooks that are still recorded, from a time in Unix seconds on; only those that failed, if
    /// that is wanted. Each brings its whole input along, so ask for a short time.
    pub fn hooklog_info(&self, since: u64, failed_only: bool) -> Result<Pool<HookExecution>, Error> {
        let since = i32::try_from(since).unwrap_or(i32::MAX);
        let outcome = if failed_only { -1 } else { 0 };
        let params = vec![since.into(), (-1).into(), (-1).into(), outcome.into()];
        self.pool("one.hooklog.info", params)
    }

    /// All hooks.
    pub fn hookpool_info(&self) -> Result<Pool<Hook>, Error> {
        self.pool("one.hookpool.info", vec![])
    }
}
