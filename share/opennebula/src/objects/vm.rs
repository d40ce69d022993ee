//! Virtual machines.

use std::net::IpAddr;

use super::guest_exec::GuestExec;
use super::permissions::{Lock, Permissions};
use super::read::{self, Element, Head, ObjectError};
use super::state::{LcmState, VmState};
use super::tag::Tag;
use crate::template::{Template, vector_value};
use crate::xml::{Parser, XmlError};

/// `VM`.
///
/// The plain `one.vmpool.info` leaves out permissions, previous states and **all of the user template**, and with it
/// the tag; the extended calls don't.
#[derive(Clone, Debug, PartialEq)]
pub struct Vm {
    /// Id.
    pub id: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name of the owner.
    pub uname: String,
    /// Name of the group.
    pub gname: String,
    /// Name. Not unique.
    pub name: String,
    /// Permission bits.
    pub permissions: Option<Permissions>,
    /// The lock on it, if there is one.
    pub lock: Option<Lock>,
    /// State.
    pub state: VmState,
    /// What it is doing, if it is active.
    pub lcm_state: LcmState,
    /// The state that was reported before this one.
    pub prev_state: Option<VmState>,
    /// The same for the life-cycle state.
    pub prev_lcm_state: Option<LcmState>,
    /// When it was made, in Unix seconds.
    pub stime: u64,
    /// When it ended, in Unix seconds.
    pub etime: Option<u64>,
    /// What oned decided: capacity, disks, NICs, context.
    pub template: Template,
    /// What the owner and the guest may change.
    pub user_template: Template,
    /// The last host it was on.
    pub last_history: Option<History>,
}

/// `HISTORY`: a stay on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Number of the stay, from 0.
    pub seq: u32,
    /// Id of the host.
    pub host_id: Option<u32>,
    /// Name of the host.
    pub hostname: String,
    /// Id of the OpenNebula cluster.
    pub cluster_id: Option<u32>,
    /// Id of the system datastore.
    pub datastore_id: Option<u32>,
    /// Number of the action that ended the stay, 0 while it lasts.
    pub action: u32,
    /// When it began, in Unix seconds.
    pub stime: Option<u64>,
    /// When it ended, in Unix seconds.
    pub etime: Option<u64>,
}

/// `NIC`: a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Id within the VM.
    pub nic_id: Option<u32>,
    /// Id of the network.
    pub network_id: Option<u32>,
    /// Name of the network.
    pub network: String,
    /// Address of the VM. IPv4 if there is one.
    pub ip: Option<IpAddr>,
    /// Address that it shares with the other VMs of its virtual router.
    pub vrouter_ip: Option<IpAddr>,
    /// Hardware address.
    pub mac: String,
}

impl Vm {
    /// The mark of the Kubernetes cluster that the VM claims to belong to.
    pub fn oneks_tag(&self) -> Option<Tag> {
        Tag::of(&self.user_template)
    }

    /// Its network interfaces, passed-through ones included.
    pub fn nics(&self) -> Vec<Nic> {
        let through = |pairs: &&[(String, String)]| vector_value(pairs, "NETWORK_ID").is_some();
        self.template
            .get_vectors("NIC")
            .chain(self.template.get_vectors("PCI").filter(through))
            .map(Nic::new)
            .collect()
    }

    /// The virtual router that it is an instance of.
    pub fn vrouter_id(&self) -> Option<u32> {
        self.template.get("VROUTER_ID")?.parse().ok()
    }

    /// The template that it was instantiated from.
    pub fn template_id(&self) -> Option<u32> {
        self.template.get("TEMPLATE_ID")?.parse().ok()
    }

    /// The command that runs, or last ran, in it.
    pub fn guest_exec(&self) -> Option<GuestExec> {
        GuestExec::of(&self.template)
    }

    /// What a driver says of its last failure. Stays after the failure is overcome.
    pub fn error_text(&self) -> Option<&str> {
        self.user_template.get("ERROR").filter(|text| !text.is_empty())
    }

    /// Why the scheduler does not place it.
    pub fn sched_message(&self) -> Option<&str> {
        self.user_template
            .get("SCHED_MESSAGE")
            .filter(|text| !text.is_empty())
    }

    /// Whether it is active and runs.
    pub fn is_running(&self) -> bool {
        self.state == VmState::Active && self.lcm_state == LcmState::Running
    }

    /// Whether it waits for a decision after a failure.
    pub fn is_failed(&self) -> bool {
        self.state == VmState::CloningFailure
            || (self.state == VmState::Active && self.lcm_state.is_failure())
    }
}

impl Element for Vm {
    const NAME: &'static str = "VM";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let (mut state, mut lcm_state, mut prev_state, mut prev_lcm_state) = (None, None, None, None);
        let (mut stime, mut etime) = (None, None);
        let mut user_template = Template::new();
        let mut last_history = None;
        while let Some(name) = parser.child()? {
            match &*name {
                "STATE" => state = Some(VmState::from_number(read::number(parser, "STATE")?)),
                "LCM_STATE" => lcm_state = Some(LcmState::from_number(read::number(parser, "LCM_STATE")?)),
                "PREV_STATE" => prev_state = read::maybe(parser)?.map(VmState::from_number),
                "PREV_LCM_STATE" => prev_lcm_state = read::maybe(parser)?.map(LcmState::from_number),
                "STIME" => stime = read::time(parser)?,
                "ETIME" => etime = read::time(parser)?,
                "USER_TEMPLATE" => user_template = Template::from_element(parser)?,
                "HISTORY_RECORDS" => last_history = History::last(parser)?,
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        let missing = |field| ObjectError::Missing {
            object: Self::NAME,
            field,
        };
        Ok(Self {
            id: head.id(Self::NAME)?,
            uid: head.uid(Self::NAME)?,
            gid: head.gid(Self::NAME)?,
            uname: head.uname,
            gname: head.gname,
            name: head.name,
            permissions: head.permissions,
            lock: head.lock,
            state: state.ok_or(missing("STATE"))?,
            lcm_state: lcm_state.ok_or(missing("LCM_STATE"))?,
            prev_state,
            prev_lcm_state,
            stime: stime.unwrap_or_default(),
            etime,
            template: head.template,
            user_template,
            last_history,
        })
    }
}

impl History {
    /// The record with the highest number in the open element.
    fn last(parser: &mut Parser<'_>) -> Result<Option<Self>, XmlError> {
        let mut last: Option<Self> = None;
        while let Some(name) = parser.child()? {
            if &*name != "HISTORY" {
                parser.skip()?;
                continue;
            }
            let history = Self::read(parser)?;
            if last.as_ref().is_none_or(|last| last.seq <= history.seq) {
                last = Some(history);
            }
        }
        Ok(last)
    }

    fn read(parser: &mut Parser<'_>) -> Result<Self, XmlError> {
        let mut history = Self::default();
        while let Some(name) = parser.child()? {
            match &*name {
                "SEQ" => history.seq = read::maybe(parser)?.unwrap_or_default(),
                "HID" => history.host_id = read::maybe(parser)?,
                "HOSTNAME" => history.hostname = read::text(parser)?,
                "CID" => history.cluster_id = read::maybe(parser)?,
                "DS_ID" => history.datastore_id = read::maybe(parser)?,
                "ACTION" => history.action = read::maybe(parser)?.unwrap_or_default(),
                "STIME" => history.stime = read::time(parser)?,
                "ETIME" => history.etime = read::time(parser)?,
                _ => parser.skip()?,
            }
        }
        Ok(history)
    }
}

impl Nic {
    fn new(pairs: &[(String, String)]) -> Self {
        let text = |key| vector_value(pairs, key).unwrap_or_default();
        let first = |keys: &[&'static str]| keys.iter().find_map(|key| text(key).parse().ok());
        Self {
            nic_id: text("NIC_ID").parse().ok(),
            network_id: text("NETWORK_ID").parse().ok(),
            network: text("NETWORK").to_owned(),
            ip: first(&["IP", "IP6", "IP6_GLOBAL", "IP6_ULA"]),
            vrouter_ip: first(&["VROUTER_IP", "VROUTER_IP6_GLOBAL", "VROUTER_IP6_ULA"]),
            mac: text("MAC").to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_unknown_elements_do_not_matter() {
        let xml = "<VM><FUTURE><ID>9</ID></FUTURE><LCM_STATE>16</LCM_STATE><STATE>3</STATE><GID>1</GID><UID>2</UID>\
            <HISTORY_RECORDS><HISTORY><SEQ>1</SEQ><HID>4</HID><HOSTNAME>b</HOSTNAME></HISTORY>\
            <HISTORY><SEQ>0</SEQ><HID>3</HID></HISTORY></HISTORY_RECORDS><ID>7</ID>\
            <TEMPLATE><VROUTER_ID>5</VROUTER_ID><NIC><NETWORK_ID>1</NETWORK_ID><IP>192.0.2.1</IP>\
            <VROUTER_IP>192.0.2.9</VROUTER_IP></NIC><PCI><TYPE>NIC</TYPE><NETWORK_ID>2</NETWORK_ID>\
            <IP6_GLOBAL>2001:db8::1</IP6_GLOBAL></PCI><PCI><VENDOR>10de</VENDOR></PCI></TEMPLATE></VM>";
        let vm = Vm::from_xml(xml).unwrap();
        assert_eq!(
            (vm.id, vm.state, vm.lcm_state),
            (7, VmState::Active, LcmState::Unknown)
        );
        assert_eq!(
            (vm.permissions, vm.prev_state, vm.etime, vm.stime),
            (None, None, None, 0)
        );
        let history = vm.last_history.as_ref().unwrap();
        assert_eq!(
            (history.seq, history.host_id, history.hostname.as_str()),
            (1, Some(4), "b")
        );
        let nics = vm.nics();
        assert_eq!(
            nics.iter().map(|nic| nic.network_id).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        assert_eq!(nics[0].vrouter_ip.unwrap().to_string(), "192.0.2.9");
        assert_eq!(nics[1].ip.unwrap().to_string(), "2001:db8::1");
        assert_eq!(
            (vm.vrouter_id(), vm.oneks_tag(), vm.error_text()),
            (Some(5), None, None)
        );
    }

    #[test]
    fn a_vm_without_state_or_owner_is_refused() {
        for (xml, error) in [
            (
                "<VM><ID>7</ID><UID>2</UID><GID>1</GID><STATE>3</STATE></VM>",
                "VM has no LCM_STATE",
            ),
            (
                "<VM><ID>7</ID><GID>1</GID><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>",
                "VM has no UID",
            ),
            (
                "<VM><ID>7</ID><STATE>x</STATE></VM>",
                "STATE is no number in range",
            ),
            ("<VMS/>", "expected the element VM"),
        ] {
            assert_eq!(Vm::from_xml(xml).unwrap_err().to_string(), error);
        }
    }
}
