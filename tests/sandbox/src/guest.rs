//! What lives inside VMs, and what it can do to the cloud around it.

use opennebula::template::Template;
use opennebula::xmlrpc::Value;

use crate::states::{LcmState, VmState};

/// The software inside all VMs of a sandbox.
///
/// The sandbox calls it from inside [`Sandbox::call`](crate::Sandbox::call) and
/// [`Sandbox::advance_to`](crate::Sandbox::advance_to), never while its own lock is held: an implementation may call
/// back through [`Cloud`].
pub trait Guests: Send {
    /// The reported state of a VM changed. Called once per change, in order, a RUNNING that follows a command
    /// included (see [`VmFacts::prev_lcm_state`]).
    fn vm_changed(&mut self, vm: &VmFacts, cloud: &mut dyn Cloud);

    /// A command was handed to the guest agent of a running VM.
    fn exec(&mut self, vm: &VmFacts, command: &str, stdin: &[u8], cloud: &mut dyn Cloud) -> Started;

    /// The command that runs in a VM was ended: cancelled, or with the VM.
    fn cancelled(&mut self, _vm_id: u32) {}

    /// The moment that [`Guests::next_wake`] named has come.
    fn tick(&mut self, cloud: &mut dyn Cloud);

    /// When something happens inside the VMs by itself. A moment in the past means now.
    fn next_wake(&self) -> Option<u64>;
}

/// What software inside a VM can reach.
pub trait Cloud {
    /// Virtual time, epoch seconds.
    fn now(&self) -> u64;

    /// An XML-RPC call with `session` in front of `params`, from inside the cloud. It has the same effects and emits
    /// the same events as any other, but is not in the call log and meets no injected fault.
    ///
    /// # Errors
    /// OpenNebula refused the call.
    fn call(&mut self, session: &str, method: &str, params: &[Value]) -> Result<Value, CallError>;

    /// `PUT /vm` on OneGate: `KEY=VALUE` lines become attributes of the VM's user template, as the VM's owner, by an
    /// ordinary `one.vm.update`.
    ///
    /// # Errors
    /// The VM has no token (CONTEXT/TOKEN=YES), is gone, or OpenNebula refused the update.
    fn onegate_put(&mut self, vm_id: u32, text: &str) -> Result<(), CallError>;

    /// A command that [runs](Started::Runs) has ended. Without effect if OpenNebula no longer waits for one of that VM.
    fn command_ended(&mut self, vm_id: u32, result: ExecResult);

    /// A random number from the sandbox's seeded sequence.
    fn random(&mut self) -> u64;
}

/// A VM at the moment of a change.
#[derive(Clone, Debug, PartialEq)]
pub struct VmFacts {
    /// Id.
    pub id: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Owner's name.
    pub uname: String,
    /// Name.
    pub name: String,
    /// State.
    pub state: VmState,
    /// State of an active VM.
    pub lcm_state: LcmState,
    /// State before the change. Equal to `state` for a new VM.
    pub prev_state: VmState,
    /// State of an active VM before the change.
    pub prev_lcm_state: LcmState,
    /// Host, if the VM has been placed.
    pub host_id: Option<u32>,
    /// TEMPLATE: what OpenNebula knows (CONTEXT, NIC, DISK, `QEMU_GA_EXEC` …).
    pub template: Template,
    /// `USER_TEMPLATE`: everything else.
    pub user_template: Template,
}

/// Outcome of a command in a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecResult {
    /// Virtual seconds until it has ended.
    pub seconds: u64,
    /// Exit code.
    pub return_code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// What became of a command that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// What it does is done; its result reaches OpenNebula with the first probe after so many seconds.
    Ends(ExecResult),
    /// It runs, and [`Cloud::command_ended`] will tell of its end.
    Runs,
}

/// OpenNebula refused a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct CallError {
    /// One of oned's error codes, such as 512 for a missing right; 0 for a fault of the XML-RPC library.
    pub code: i64,
    /// Text for people.
    pub message: String,
}

impl VmFacts {
    /// A value of CONTEXT.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.template.get_in("CONTEXT", key)
    }

    /// Whether the VM has just booted, as opposed to a RUNNING that follows a command or another hot-plug.
    pub fn has_booted(&self) -> bool {
        self.is_running() && !self.prev_lcm_state.is_hotplug()
    }

    /// Whether the VM runs.
    pub fn is_running(&self) -> bool {
        self.state == VmState::Active && self.lcm_state == LcmState::Running
    }
}
