//! What is to be done: each action is one call to OpenNebula, as the cluster's owner unless said otherwise.
//!
//! An action carries every id, name and text that it needs; whoever executes it has no choice left. None carries a
//! secret: texts have [marks](oneks_driver::secret) in their place.

use std::collections::BTreeMap;

use oneks_driver::VmText;
use serde::{Serialize, Serializer};

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Makes the cluster's credential with this number, or finds it made.
    CreateCredential {
        /// Which one.
        serial: u32,
    },
    /// Revokes the cluster's credential with this number.
    RevokeCredential {
        /// Which one.
        serial: u32,
    },
    /// Registers a VM template.
    CreateTemplate {
        /// Its name.
        name: String,
        /// Its text, with fingerprint.
        text: String,
    },
    /// Replaces the text of a VM template.
    UpdateTemplate {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
        /// Its text, with fingerprint.
        text: String,
    },
    /// Removes a VM template; images stay.
    DeleteTemplate {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Allocates a virtual machine.
    AllocateVm {
        /// The machine.
        vm: VmText,
    },
    /// Starts a virtual machine that somebody stopped.
    ResumeVm {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Ends a virtual machine at once.
    TerminateVm {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Removes a virtual machine that won't end otherwise.
    DeleteVm {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Allocates a virtual router.
    AllocateRouter {
        /// Its name.
        name: String,
        /// Its text.
        text: String,
        /// Floating addresses that it must have, by network id. The others are OpenNebula's choice.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        addresses: BTreeMap<u32, String>,
    },
    /// Makes the virtual machines of a virtual router.
    InstantiateRouter {
        /// Id of the router.
        id: u32,
        /// Its name.
        name: String,
        /// Template of its VMs.
        template: u32,
        /// How many.
        replicas: u32,
    },
    /// Removes a virtual router and its virtual machines.
    DeleteRouter {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Releases an address that is on hold in a reservation.
    ReleaseAddress {
        /// Id of the reservation.
        network: u32,
        /// The address.
        address: String,
    },
    /// Gives a reservation back.
    DeleteReservation {
        /// Its id.
        id: u32,
        /// Its name.
        name: String,
    },
    /// Starts a command in a guest; its result comes as an event.
    Exec {
        /// The virtual machine.
        vm: u32,
        /// The command line.
        command: String,
        /// The script on its standard input.
        script: String,
    },
    /// Ends a command in a guest.
    CancelExec {
        /// The virtual machine.
        vm: u32,
    },
    /// Stores the kubeconfig in the document, as oneadmin.
    StoreKubeconfig {
        /// Its text.
        text: Redacted,
    },
    /// Removes the document, as oneadmin.
    DeleteDocument,
}

/// A text that nobody may see: neither `Debug` nor JSON shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted(String);

impl Redacted {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("REDACTED")
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("REDACTED")
    }
}

impl Action {
    /// The action in a few words, for logs and history.
    pub fn summary(&self) -> String {
        match self {
            Self::CreateCredential { serial } => format!("create credential {serial}"),
            Self::RevokeCredential { serial } => format!("revoke credential {serial}"),
            Self::CreateTemplate { name, .. } => format!("create VM template {name}"),
            Self::UpdateTemplate { id, name, .. } => format!("update VM template {id} ({name})"),
            Self::DeleteTemplate { id, name } => format!("delete VM template {id} ({name})"),
            Self::AllocateVm { vm } => format!("allocate VM {}", vm.name),
            Self::ResumeVm { id, name } => format!("resume VM {id} ({name})"),
            Self::TerminateVm { id, name } => format!("terminate VM {id} ({name})"),
            Self::DeleteVm { id, name } => format!("delete VM {id} ({name})"),
            Self::AllocateRouter { name, addresses, .. } if !addresses.is_empty() => {
                let addresses: Vec<&str> = addresses.values().map(String::as_str).collect();
                format!("allocate virtual router {name} at {}", addresses.join(" and "))
            }
            Self::AllocateRouter { name, .. } => format!("allocate virtual router {name}"),
            Self::InstantiateRouter {
                id, name, replicas, ..
            } => {
                format!("instantiate {replicas} VMs of virtual router {id} ({name})")
            }
            Self::DeleteRouter { id, name } => format!("delete virtual router {id} ({name})"),
            Self::ReleaseAddress { network, address } => format!("release {address} in network {network}"),
            Self::DeleteReservation { id, name } => format!("delete reservation {id} ({name})"),
            Self::Exec { vm, command, .. } => format!("run {command} in VM {vm}"),
            Self::CancelExec { vm } => format!("cancel the command in VM {vm}"),
            Self::StoreKubeconfig { .. } => "store the kubeconfig".to_owned(),
            Self::DeleteDocument => "delete the document".to_owned(),
        }
    }

    /// The object that it is about, for messages.
    pub fn object(&self) -> Option<String> {
        Some(match self {
            Self::CreateCredential { .. } | Self::RevokeCredential { .. } => return None,
            Self::CreateTemplate { name, .. } => format!("VM template {name}"),
            Self::UpdateTemplate { id, .. } | Self::DeleteTemplate { id, .. } => format!("VM template {id}"),
            Self::AllocateVm { vm } => format!("VM {}", vm.name),
            Self::ResumeVm { id, .. } | Self::TerminateVm { id, .. } | Self::DeleteVm { id, .. } => {
                format!("VM {id}")
            }
            Self::Exec { vm, .. } | Self::CancelExec { vm } => format!("VM {vm}"),
            Self::AllocateRouter { name, .. } => format!("virtual router {name}"),
            Self::InstantiateRouter { id, .. } | Self::DeleteRouter { id, .. } => {
                format!("virtual router {id}")
            }
            Self::ReleaseAddress { network, .. } => format!("network {network}"),
            Self::DeleteReservation { id, .. } => format!("network {id}"),
            Self::StoreKubeconfig { .. } | Self::DeleteDocument => "the document".to_owned(),
        })
    }

    /// Does it make or start something, so that it waits out a back-off? What only removes or reads does not.
    pub const fn creates(&self) -> bool {
        matches!(
            self,
            Self::CreateCredential { .. }
                | Self::CreateTemplate { .. }
                | Self::UpdateTemplate { .. }
                | Self::AllocateVm { .. }
                | Self::ResumeVm { .. }
                | Self::AllocateRouter { .. }
                | Self::InstantiateRouter { .. }
        )
    }
}
