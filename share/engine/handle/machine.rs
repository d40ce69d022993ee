//! The virtual machine of a handle: reading what it says, writing what it shows.

use std::fmt::Write as _;

use oneks_core::handle::{self, Attributes, Picture};
use oneks_driver::Owner;
use opennebula::calls::UpdateMode;
use opennebula::client::Client;
use opennebula::error::Error;
use opennebula::objects::{LcmState, Vm, VmState};
use opennebula::template::{Attribute, Template};

/// Where a handle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The scheduler would place it if it could.
    Waits,
    /// On hold, or otherwise left alone by the scheduler.
    Rests,
    /// Somebody made it run.
    Runs,
    /// On the way somewhere.
    Moves,
    /// Terminated.
    Done,
}

/// Where the VM is.
pub fn place(state: VmState, lcm_state: LcmState) -> Place {
    match state {
        VmState::Done => Place::Done,
        VmState::Init | VmState::Pending => Place::Waits,
        VmState::Active if matches!(lcm_state, LcmState::Running | LcmState::Unknown) => Place::Runs,
        VmState::Active | VmState::Cloning => Place::Moves,
        _ => Place::Rests,
    }
}

/// The attributes that handles have.
pub fn attributes(template: &Template) -> Attributes {
    let ours = template.names().filter(|name| handle::is_ours(name));
    // Of vectors only that they are there.
    let texts = ours.map(|name| (name.to_owned(), template.get(name).unwrap_or_default().to_owned()));
    texts.collect()
}

/// Its owner.
pub fn owner(vm: &Vm) -> Owner {
    Owner {
        uid: vm.uid,
        name: vm.uname.clone(),
    }
}

/// Could this be made for a cluster? Whoever may change an ordinary machine of somebody else must not get clusters in his
/// name by that: a handle has no disk and has never been on a host, and neither can be brought about by a change.
pub fn is_hollow(vm: &Vm) -> bool {
    vm.last_history.is_none() && vm.template.get_vectors("DISK").next().is_none() && vm.vrouter_id().is_none()
}

/// The networks of its NICs.
pub fn networks(vm: &Vm) -> Vec<u32> {
    vm.nics().iter().filter_map(|nic| nic.network_id).collect()
}

/// Writes these attributes, as a merge that [our own hook](crate::event) knows by its first.
pub fn write(client: &Client, vm: u32, changes: &Picture, shown: Option<&str>) -> Result<(), Error> {
    client.vm_update(vm, &text(changes, shown), UpdateMode::Merge)
}

fn text(changes: &Picture, shown: Option<&str>) -> String {
    let mut text = String::from("<TEMPLATE>");
    let mut add = |name: &str, value: Option<&str>| {
        let Some(value) = value else {
            // A merge with a vector that has nothing in it removes the attribute.
            let _ = write!(text, "<{name}><NONE></NONE></{name}>");
            return;
        };
        let mut one = Template::new();
        one.set(name, value);
        match one.to_xml("T") {
            Ok(xml) => text.push_str(xml.trim_start_matches("<T>").trim_end_matches("</T>")),
            Err(e) => log::warn!("{name} of a handle can't be written: {e}"),
        }
    };
    let first = changes.get(handle::SHOWN).and_then(Option::as_deref).or(shown);
    add(handle::SHOWN, Some(first.unwrap_or("{}")));
    for (name, value) in changes.iter().filter(|(name, _)| *name != handle::SHOWN) {
        add(name, value.as_deref());
    }
    text.push_str("</TEMPLATE>");
    text
}

/// What makes a handle, besides its attributes.
pub fn template(name: &str) -> Template {
    let mut template = Template::new();
    for (key, value) in [
        ("NAME", name),
        ("CPU", "0.01"),
        ("VCPU", "1"),
        ("MEMORY", "1"),
        (handle::REQUIREMENTS, handle::NO_HOST),
        (
            "DESCRIPTION",
            "Stands for a Kubernetes cluster and never runs. Terminating it deletes the cluster.",
        ),
        (handle::TAG, "YES"),
    ] {
        template.push(Attribute::text(key, value));
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_comes_first_and_what_is_to_go_is_an_empty_vector() {
        let changes = Picture::from([
            ("ERROR".to_owned(), None),
            ("ONEKS_STATE".to_owned(), Some("RUNNING".to_owned())),
        ]);
        assert_eq!(
            text(&changes, Some("{\"vm\":1}")),
            "<TEMPLATE><ONEKS_SHOWN><![CDATA[{\"vm\":1}]]></ONEKS_SHOWN><ERROR><NONE></NONE></ERROR>\
             <ONEKS_STATE><![CDATA[RUNNING]]></ONEKS_STATE></TEMPLATE>"
        );
    }
}
