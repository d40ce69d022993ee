//! Hosts.

use super::read::{self, Element, Head, ObjectError};
use crate::template::Template;
use crate::xml::Parser;

/// `HOST`.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// State.
    pub state: HostState,
    /// Id of its cluster, if it is in one.
    pub cluster_id: Option<u32>,
    /// Name of its cluster.
    pub cluster: String,
    /// Virtualisation driver: `kvm`, `dummy` …
    pub vm_mad: String,
    /// Ids of the VMs on it.
    pub vms: Vec<u32>,
    /// Its attributes, monitored ones included.
    pub template: Template,
}

/// State of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// Not monitored yet.
    Init,
    /// In service.
    Monitored,
    /// Monitoring fails.
    Error,
    /// Takes no new VMs.
    Disabled,
    /// Out of service.
    Offline,
    /// A state that this crate does not know.
    Other(u32),
}

impl Element for Host {
    const NAME: &'static str = "HOST";

    fn read(parser: &mut Parser<'_>, head: &mut Head) -> Result<Self, ObjectError> {
        let mut state = None;
        let mut cluster_id = None;
        let (mut cluster, mut vm_mad) = (String::new(), String::new());
        let mut vms = Vec::new();
        while let Some(name) = parser.child()? {
            match &*name {
                "STATE" => state = Some(HostState::from_number(read::number(parser, "STATE")?)),
                "CLUSTER_ID" => cluster_id = read::maybe(parser)?,
                "CLUSTER" => cluster = read::text(parser)?,
                "VM_MAD" => vm_mad = read::text(parser)?,
                "VMS" => vms = read::ids(parser)?,
                other => head.element(other, parser)?,
            }
        }
        let head = head.take();
        Ok(Self {
            id: head.id(Self::NAME)?,
            name: head.name,
            state: state.ok_or(ObjectError::Missing {
                object: Self::NAME,
                field: "STATE",
            })?,
            cluster_id,
            cluster,
            vm_mad,
            vms,
            template: head.template,
        })
    }
}

impl HostState {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Init,
            2 => Self::Monitored,
            3 => Self::Error,
            4 => Self::Disabled,
            8 => Self::Offline,
            other => Self::Other(other),
        }
    }
}
