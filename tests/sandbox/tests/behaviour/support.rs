//! A standard cloud and short ways to ask it.

use oneks_sandbox::{CallError, Config, Sandbox, VmState};
use opennebula::xmlrpc::Value;

pub const ADMIN: &str = "oneadmin:opennebula";
pub const ALICE: &str = "alice:alicepw";
pub const MALLORY: &str = "mallory:mallorypw";

/// The standard cloud without guests: VMs of the dummy hypervisor.
pub fn cloud() -> Sandbox {
    furnish(Sandbox::new(Config::default()))
}

/// Adds the standard cloud.
pub fn furnish(sandbox: Sandbox) -> Sandbox {
    sandbox.standard_cloud().unwrap();
    sandbox
}

/// A call that must succeed.
pub fn ask(sandbox: &Sandbox, session: &str, method: &str, params: &[Value]) -> Value {
    sandbox
        .ask(session, method, params)
        .unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// A call that must succeed and returns an id.
pub fn id(sandbox: &Sandbox, session: &str, method: &str, params: &[Value]) -> u32 {
    let value = ask(sandbox, session, method, params).as_int();
    u32::try_from(value.unwrap()).unwrap()
}

/// A call that must succeed and returns text.
pub fn text(sandbox: &Sandbox, session: &str, method: &str, params: &[Value]) -> String {
    ask(sandbox, session, method, params).as_str().unwrap().to_owned()
}

/// A call that must be refused: code and message.
pub fn refused(sandbox: &Sandbox, session: &str, method: &str, params: &[Value]) -> (i64, String) {
    match sandbox.ask(session, method, params) {
        Ok(value) => panic!("{method} was not refused but returned {value:?}"),
        Err(CallError { code, message }) => (code, message),
    }
}

/// A call that must be refused: code only.
pub fn code(sandbox: &Sandbox, session: &str, method: &str, params: &[Value]) -> i64 {
    refused(sandbox, session, method, params).0
}

/// A small VM of alice.
pub fn new_vm(sandbox: &Sandbox, name: &str, more: &str) -> u32 {
    let cpu = if more.contains("CPU=") { "" } else { "CPU=1\n" };
    let template = format!("NAME=\"{name}\"\nMEMORY=128\n{cpu}{more}");
    id(
        sandbox,
        ALICE,
        "one.vm.allocate",
        &[template.into(), false.into()],
    )
}

/// A small VM of alice, running.
pub fn running_vm(sandbox: &Sandbox, name: &str, more: &str) -> u32 {
    let vm = new_vm(sandbox, name, more);
    sandbox.advance(30);
    assert_eq!(state(sandbox, vm), "RUNNING");
    vm
}

/// `one.vm.action` of alice.
pub fn act(sandbox: &Sandbox, action: &str, vm: u32) {
    ask(sandbox, ALICE, "one.vm.action", &[action.into(), number(vm)]);
}

/// The state as people name it: that of an active VM's life cycle, or else the VM's own.
pub fn state(sandbox: &Sandbox, vm: u32) -> &'static str {
    sandbox.vm(vm).unwrap().state_name()
}

pub fn is_done(sandbox: &Sandbox, vm: u32) -> bool {
    sandbox.vm(vm).unwrap().state == VmState::Done
}

/// States of one VM that were published since the last time, as in `ACTIVE/BOOT`.
pub fn states(sandbox: &Sandbox, vm: u32) -> Vec<String> {
    let end = format!("/{vm} ");
    sandbox
        .take_published()
        .iter()
        .filter_map(|key| {
            key.strip_prefix("EVENT STATE VM/")?
                .strip_suffix(&end)
                .map(str::to_owned)
        })
        .collect()
}

pub fn number(id: u32) -> Value {
    Value::from(i64::from(id))
}

/// Text of the first element of that name.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.strip_prefix("<![CDATA[").unwrap_or(text);
    Some(text.strip_suffix("]]>").unwrap_or(text).to_owned())
}
