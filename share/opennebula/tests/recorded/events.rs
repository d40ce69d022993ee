//! What hooks got on standard input.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opennebula::objects::{LcmState, Vm, VmState};

use crate::fixtures::hook_inputs;

#[test]
fn state_events_hold_the_vm_in_the_state_of_the_event() {
    let mut vms = 0;
    for (name, input) in hook_inputs() {
        let text = String::from_utf8(STANDARD.decode(&input).unwrap()).unwrap();
        let Some(states) = name[4..].strip_prefix("vm-") else {
            assert!(
                name[4..].starts_with("one.") && text.starts_with("<CALL_INFO>"),
                "{name}"
            );
            continue;
        };
        let (state, lcm_state) = states.split_once('-').unwrap();
        let vm = Vm::from_xml(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(vm.state), VmState::from_name(state), "{name}");
        assert_eq!(Some(vm.lcm_state), LcmState::from_name(lcm_state), "{name}");
        assert!(vm.prev_state.is_some() && vm.prev_lcm_state.is_some(), "{name}");
        vms += 1;
    }
    assert_eq!(vms, 38);
}
