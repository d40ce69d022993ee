//! A virtual machine changed its state.

use std::io::Read;

use oneks_core::names::Names;
use oneks_core::observed::Kind;
use oneks_core::plan::Told;
use oneks_driver::VmCondition;
use opennebula::objects::{LcmState, VmState};
use quick_xml::events::Event;

use crate::convert;
use crate::gate::Hints;
use crate::handle::machine;

use super::xml::{Damaged, Token, Xml};
use super::{Reason, Verdict, id};

/// Most tags of one VM that are looked at.
const TAGS: usize = 4;

/// Longest name that is read. OpenNebula's longest has 128 bytes.
const NAME: usize = 256;

/// Longest record of a handle that is read. One with a hundred groups has a fifth of it.
const RECORD: usize = 64 * 1024;

/// Longest value that is read: an id, or one word.
const WORD: usize = 64;

pub(super) fn look<R: Read>(mut xml: Xml<R>) -> Verdict {
    match read(&mut xml) {
        Ok(vm) => vm.verdict(),
        Err(Damaged) => Verdict::Drop(Reason::Unreadable),
    }
}

/// What is read of a VM.
#[derive(Debug, Default)]
struct Vm {
    id: Option<u32>,
    uid: Option<u32>,
    name: Option<String>,
    state: Option<u32>,
    lcm_state: Option<u32>,
    previous_state: Option<u32>,
    previous_lcm_state: Option<u32>,
    /// A guest command runs.
    executing: bool,
    clusters: Vec<u32>,
    /// It says that it is a handle.
    handle: bool,
    /// The record of a handle.
    record: Option<String>,
    group: Option<u32>,
    kind: Option<Kind>,
}

/// Reads as far as the end of `USER_TEMPLATE`; what follows is history.
fn read<R: Read>(xml: &mut Xml<R>) -> Result<Vm, Damaged> {
    let mut vm = Vm::default();
    // Which elements are open, at depth 2 and 3.
    let (mut in_template, mut in_command) = (false, false);
    let (mut in_user_template, mut in_tag) = (false, false);
    loop {
        let field = match xml.next()? {
            Token::Open(name) => Field::of(name),
            Token::Close => Field::Close,
            Token::Text(_) => continue,
            Token::End => return Err(Damaged),
        };
        match (xml.depth(), field) {
            (1, Field::Vm) => {}
            (1, _) if vm.id.is_none() => return Err(Damaged),
            (2, Field::Id) => vm.id = id(&xml.text(WORD)?.ok_or(Damaged)?),
            (2, Field::Uid) => vm.uid = number(xml)?,
            (2, Field::Name) => vm.name = xml.text(NAME)?,
            (2, Field::State) => vm.state = number(xml)?,
            (2, Field::LcmState) => vm.lcm_state = number(xml)?,
            (2, Field::PreviousState) => vm.previous_state = number(xml)?,
            (2, Field::PreviousLcmState) => vm.previous_lcm_state = number(xml)?,
            (2, Field::Template) => in_template = true,
            (3, Field::Command) => in_command = in_template,
            (4, Field::Status) if in_command => {
                vm.executing = xml.text(WORD)?.is_some_and(|text| text.trim() == "EXECUTING");
            }
            (2, Field::UserTemplate) => in_user_template = true,
            (3, Field::Tag) => in_tag = in_user_template,
            (3, Field::Handle) if in_user_template => {
                vm.handle = !matches!(xml.text(WORD)?.as_deref().map(str::trim), Some("" | "NO"));
            }
            (3, Field::Record) if in_user_template => vm.record = xml.text(RECORD)?,
            (4, Field::ClusterId) if in_tag => {
                let cluster = number(xml)?;
                if vm.clusters.len() < TAGS && cluster.is_some_and(|cluster| !vm.clusters.contains(&cluster))
                {
                    vm.clusters.extend(cluster);
                }
            }
            (4, Field::GroupId) if in_tag => vm.group = number(xml)?,
            (4, Field::Type) if in_tag => vm.kind = xml.text(WORD)?.map(|text| Kind::parse(text.trim())),
            (2, Field::Close) => (in_tag, in_command) = (false, false),
            (1, Field::Close) if in_user_template => break,
            (1, Field::Close) => in_template = false,
            (0, Field::Close) => break,
            _ => {}
        }
    }
    Ok(vm)
}

/// What OpenNebula says of a VM before anything that its owner wrote but the name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: Option<u32>,
    /// Without what was escaped in it.
    pub(super) name: Option<String>,
    pub(super) state: Option<VmState>,
    pub(super) lcm_state: Option<LcmState>,
}

/// Reads no further than the states, or to the templates if these come first, of the beginning of an event. It is short, so
/// it needs none of the care that whole events do.
pub(super) fn identity(beginning: &str) -> Identity {
    let mut vm = Identity::default();
    let mut reader = quick_xml::Reader::from_str(beginning);
    let (mut depth, mut field) = (0, Field::Other);
    while vm.lcm_state.is_none() {
        let text = match reader.read_event() {
            Ok(Event::Start(start)) => {
                depth += 1;
                field = Field::of(start.name().as_ref());
                match (depth, field) {
                    (1, Field::Vm) | (3.., _) => {}
                    (2, Field::Template | Field::UserTemplate) | (..=1, _) => break,
                    _ => {}
                }
                continue;
            }
            Ok(Event::End(_)) => {
                (depth, field) = (depth - 1, Field::Other);
                continue;
            }
            Ok(Event::Text(text)) => text.to_string(),
            Ok(Event::CData(text)) => text.to_string(),
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => continue,
        };
        match (depth, field) {
            (2, Field::Id) => vm.id = id(&text),
            (2, Field::Name) => vm.name.get_or_insert_default().push_str(&text),
            (2, Field::State) => vm.state = id(&text).map(VmState::from_number),
            (2, Field::LcmState) => vm.lcm_state = id(&text).map(LcmState::from_number),
            _ => {}
        }
    }
    vm
}

fn number<R: Read>(xml: &mut Xml<R>) -> Result<Option<u32>, Damaged> {
    Ok(xml.text(WORD)?.and_then(|text| id(&text)))
}

impl Vm {
    fn verdict(mut self) -> Verdict {
        // Whoever owns a VM writes its tag. Those that are made for a cluster bear its name too.
        let name = self.name.take().unwrap_or_default();
        self.clusters.retain(|cluster| Names::new(*cluster).owns(&name));
        if self.clusters.is_empty() {
            return self.handle().unwrap_or(Verdict::Drop(Reason::NotOurs));
        }
        if let Some(reason) = self.no_news() {
            return Verdict::Drop(reason);
        }
        let mut hints = match (self.id, self.told()) {
            (Some(id), Some(told)) => Hints::told(id, told),
            (Some(id), None) => Hints::vm(id),
            (None, _) => Hints::none(),
        };
        hints.owner = self.uid;
        Verdict::Look {
            clusters: self.clusters,
            hints,
        }
    }

    /// A handle, whose own cluster is not in its tag but in its record.
    fn handle(&self) -> Option<Verdict> {
        let vm = self.id.filter(|_| self.handle || self.record.is_some())?;
        let record = self.record.as_deref();
        let cluster = record.and_then(|text| oneks_core::handle::Record::claimed(text, vm));
        if !self.handle && cluster.is_none() {
            return None;
        }
        let lcm_state = LcmState::from_number(self.lcm_state.unwrap_or_default());
        Some(Verdict::LookHandle {
            vm,
            owner: self.uid,
            cluster,
            place: machine::place(VmState::from_number(self.state?), lcm_state),
        })
    }

    /// Why the event itself shows that there is nothing to be done about it.
    fn no_news(&self) -> Option<Reason> {
        let state = self.state.map(VmState::from_number)?;
        let before = self.previous_state.map(VmState::from_number)?;
        let known = self.kind.is_some_and(|kind| kind != Kind::Other);
        let waits = |state| matches!(state, VmState::Init | VmState::Pending | VmState::Hold);
        if known && waits(state) && waits(before) {
            // It has never run, and whoever made it knows that it is there.
            return Some(Reason::NotYetRunning);
        }
        let active = [state, before] == [VmState::Active; 2];
        let (lcm, lcm_before) = (self.lcm_state?, self.previous_lcm_state?);
        let handed_over = LcmState::from_number(lcm) == LcmState::Running
            && LcmState::from_number(lcm_before) == LcmState::Hotplug;
        (active && handed_over && self.executing).then_some(Reason::StillExecuting)
    }

    /// How the VM is, if that is all there is to the event. One that comes back from hot-plugging has not changed, but
    /// takes commands again.
    fn told(&self) -> Option<Told> {
        if self.clusters.len() > 1 {
            return None;
        }
        let condition =
            |state, lcm| convert::condition(VmState::from_number(state), LcmState::from_number(lcm));
        let now = condition(self.state?, self.lcm_state?);
        let before = condition(self.previous_state?, self.previous_lcm_state?);
        let again = now == VmCondition::Running && before == VmCondition::Running;
        (!again).then_some(Told {
            condition: now,
            kind: self.kind?,
            group: self.group,
        })
    }
}

#[derive(Clone, Copy)]
enum Field {
    Vm,
    Id,
    Uid,
    Name,
    State,
    LcmState,
    PreviousState,
    PreviousLcmState,
    Template,
    Command,
    Status,
    UserTemplate,
    Tag,
    ClusterId,
    GroupId,
    Type,
    Handle,
    Record,
    Other,
    Close,
}

impl Field {
    fn of(name: &str) -> Self {
        match name {
            "VM" => Self::Vm,
            "ID" => Self::Id,
            "UID" => Self::Uid,
            "NAME" => Self::Name,
            "STATE" => Self::State,
            "LCM_STATE" => Self::LcmState,
            "PREV_STATE" => Self::PreviousState,
            "PREV_LCM_STATE" => Self::PreviousLcmState,
            "TEMPLATE" => Self::Template,
            "QEMU_GA_EXEC" => Self::Command,
            "STATUS" => Self::Status,
            "USER_TEMPLATE" => Self::UserTemplate,
            "ONEKS" => Self::Tag,
            "CLUSTER_ID" => Self::ClusterId,
            "GROUP_ID" => Self::GroupId,
            "TYPE" => Self::Type,
            "ONEKS_HANDLE" => Self::Handle,
            "ONEKS_SHOWN" => Self::Record,
            _ => Self::Other,
        }
    }
}
