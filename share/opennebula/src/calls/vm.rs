//! `one.vm.*`, `one.vmpool.*`

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{PoolFilter, PoolRange, UpdateMode, id_or_none, listing};
use crate::client::{Client, Repeat};
use crate::error::Error;
use crate::objects::{Pool, Vm, VmState};
use crate::xmlrpc::Value;

/// What `one.vm.action` can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VmAction {
    /// Shut the guest down, then remove the VM.
    Terminate,
    /// Remove the VM.
    TerminateHard,
    /// Shut the guest down, then put the disks into the datastore.
    Undeploy,
    /// Put the disks into the datastore.
    UndeployHard,
    /// Shut the guest down.
    Poweroff,
    /// Switch the VM off.
    PoweroffHard,
    /// Restart the guest.
    Reboot,
    /// Reset the VM.
    RebootHard,
    /// Keep the scheduler from placing it.
    Hold,
    /// Let the scheduler place it.
    Release,
    /// Save its state to the datastore.
    Stop,
    /// Save its state on the host.
    Suspend,
    /// Start it again.
    Resume,
    /// Let the scheduler move it.
    Resched,
    /// Take that back.
    Unresched,
}

/// What `one.vm.recover` can do. Needs the ADMIN right, which owners don't have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoverOperation {
    /// Take the pending action as failed.
    Failure,
    /// Take the pending action as done.
    Success,
    /// Do the failed action again.
    Retry,
    /// Remove the VM.
    Delete,
    /// Remove the VM from its host and start over.
    DeleteRecreate,
    /// Remove the VM from the database only.
    DeleteDb,
}

/// The VMs in a pool that are wanted, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmStateFilter {
    /// All, terminated ones too.
    Any,
    /// All that are not terminated.
    NotDone,
    /// Those in one state.
    State(VmState),
}

impl Client {
    /// Makes a VM and returns its id. With `hold` it waits until it is released.
    pub fn vm_allocate(&self, template: &str, hold: bool) -> Result<u32, Error> {
        self.new_id("one.vm.allocate", vec![template.into(), hold.into()])
    }

    /// A VM. `decrypt` has an effect for administrators only.
    pub fn vm_info(&self, id: u32, decrypt: bool) -> Result<Vm, Error> {
        self.object("one.vm.info", vec![id.into(), decrypt.into()], Vm::from_xml)
    }

    /// Starts an action. It goes on after the call has returned.
    pub fn vm_action(&self, action: VmAction, id: u32) -> Result<(), Error> {
        self.done(
            "one.vm.action",
            vec![action.as_str().into(), id.into()],
            Repeat::Acts,
        )
    }

    /// Changes the user template.
    pub fn vm_update(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.vm.update",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// Changes context, boot and device settings. `Replace` makes the context anew: use `Merge` to add to it.
    pub fn vm_updateconf(&self, id: u32, template: &str, mode: UpdateMode) -> Result<(), Error> {
        self.done(
            "one.vm.updateconf",
            vec![id.into(), template.into(), mode.into()],
            Repeat::Idempotent,
        )
    }

    /// Gets a VM out of a failure.
    pub fn vm_recover(&self, id: u32, operation: RecoverOperation) -> Result<(), Error> {
        self.done("one.vm.recover", vec![id.into(), operation.into()], Repeat::Acts)
    }

    /// Starts a command inside a running VM through the guest agent; the result appears in the VM later.
    ///
    /// There is no shell and quotes are lost on the way: use the command `/bin/sh` with a script on `stdin`, which
    /// arrives as it is (at most about 90 KiB). A VM runs one command at a time; another one is refused
    /// ([`is_wrong_state`](Error::is_wrong_state)).
    pub fn vm_exec(&self, id: u32, command: &str, stdin: &[u8]) -> Result<(), Error> {
        self.done(
            "one.vm.exec",
            vec![id.into(), command.into(), STANDARD.encode(stdin).into()],
            Repeat::Acts,
        )
    }

    /// Kills the command inside a VM.
    pub fn vm_cancelexec(&self, id: u32) -> Result<(), Error> {
        self.done("one.vm.cancelexec", vec![id.into()], Repeat::Acts)
    }

    /// Starts the last command inside a VM again.
    pub fn vm_retryexec(&self, id: u32) -> Result<(), Error> {
        self.done("one.vm.retryexec", vec![id.into()], Repeat::Acts)
    }

    /// Places a VM on a host, checking its capacity if `enforce`. Without a system datastore oned picks one.
    pub fn vm_deploy(
        &self,
        id: u32,
        host: u32,
        enforce: bool,
        datastore: Option<u32>,
        template: &str,
    ) -> Result<(), Error> {
        let params = vec![
            id.into(),
            host.into(),
            enforce.into(),
            id_or_none(datastore),
            template.into(),
        ];
        self.done("one.vm.deploy", params, Repeat::Acts)
    }

    /// Adds scheduled actions (`SCHED_ACTION=[…]`) and returns the id of the last.
    pub fn vm_schedadd(&self, id: u32, template: &str) -> Result<u32, Error> {
        self.new_id("one.vm.schedadd", vec![id.into(), template.into()])
    }

    /// VMs in short form: see [`Vm`] for what is missing.
    pub fn vmpool_info(
        &self,
        filter: PoolFilter,
        range: PoolRange,
        state: VmStateFilter,
    ) -> Result<Pool<Vm>, Error> {
        let mut params = listing(filter, range);
        params.push(state.into());
        self.pool("one.vmpool.info", params)
    }

    /// VMs in full.
    pub fn vmpool_infoextended(
        &self,
        filter: PoolFilter,
        range: PoolRange,
        state: VmStateFilter,
    ) -> Result<Pool<Vm>, Error> {
        let mut params = listing(filter, range);
        params.push(state.into());
        self.pool("one.vmpool.infoextended", params)
    }

    /// The VMs with the given ids, in full if `extended`. Those that don't exist or that the caller may not see are
    /// left out; for no ids there is no call.
    pub fn vmpool_infoset(&self, ids: &[u32], extended: bool) -> Result<Pool<Vm>, Error> {
        if ids.is_empty() {
            return Ok(Pool::default());
        }
        let ids = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        self.pool("one.vmpool.infoset", vec![ids.into(), extended.into()])
    }
}

impl VmAction {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Terminate,
        Self::TerminateHard,
        Self::Undeploy,
        Self::UndeployHard,
        Self::Poweroff,
        Self::PoweroffHard,
        Self::Reboot,
        Self::RebootHard,
        Self::Hold,
        Self::Release,
        Self::Stop,
        Self::Suspend,
        Self::Resume,
        Self::Resched,
        Self::Unresched,
    ];

    /// Its name in calls and templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::TerminateHard => "terminate-hard",
            Self::Undeploy => "undeploy",
            Self::UndeployHard => "undeploy-hard",
            Self::Poweroff => "poweroff",
            Self::PoweroffHard => "poweroff-hard",
            Self::Reboot => "reboot",
            Self::RebootHard => "reboot-hard",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Stop => "stop",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Resched => "resched",
            Self::Unresched => "unresched",
        }
    }

    /// The action of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

impl fmt::Display for VmAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<RecoverOperation> for Value {
    fn from(operation: RecoverOperation) -> Self {
        Self::Int(match operation {
            RecoverOperation::Failure => 0,
            RecoverOperation::Success => 1,
            RecoverOperation::Retry => 2,
            RecoverOperation::Delete => 3,
            RecoverOperation::DeleteRecreate => 4,
            RecoverOperation::DeleteDb => 5,
        })
    }
}

impl From<VmStateFilter> for Value {
    fn from(filter: VmStateFilter) -> Self {
        Self::Int(match filter {
            VmStateFilter::Any => -2,
            VmStateFilter::NotDone => -1,
            VmStateFilter::State(state) => state.number().into(),
        })
    }
}
