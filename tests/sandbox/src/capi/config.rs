//! Settings of the guests: how long things take, and what goes wrong.

use std::path::PathBuf;

/// Settings of [`Guests`](super::Guests).
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Program that behaves as `kubectl`, `sleep` and `date` when it is started under these names, see
    /// [`shim_main`](super::shim_main). Without it commands run, but these are missing.
    pub shim: Option<PathBuf>,
    /// Whether scripts find `kubectl` without having put `/var/lib/rancher/rke2/bin` on their PATH, and a server
    /// without KUBECONFIG. No node of RKE2 is like that.
    pub kubectl_everywhere: bool,
    /// How long things take.
    pub timings: Timings,
}

/// Durations in virtual seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// From RUNNING to the first command of the seed's appliance.
    pub seed_boot: u64,
    /// Start of the management cluster in the seed.
    pub seed_management: u64,
    /// Installation of Cluster API in the workload cluster.
    pub seed_init: u64,
    /// `clusterctl move`.
    pub seed_move: u64,
    /// From RUNNING until RKE2 is installed on a node, if there is a way out to the Internet.
    pub rke2_install: u64,
    /// First start of a server that makes a new cluster.
    pub rke2_server_init: u64,
    /// First start of a node that joins a cluster.
    pub rke2_join: u64,
    /// From a node's registration until its network is ready.
    pub node_ready: u64,
    /// Restart of a node that has been off.
    pub node_restart: u64,
    /// Until a node that stopped reporting becomes Unknown.
    pub node_grace: u64,
    /// Until the cloud controller notices a new or a lost node.
    pub cloud_controller: u64,
    /// Draining of a node.
    pub drain: u64,
    /// Period in which the virtual router reads its backends.
    pub router_refresh: u64,
    /// Period of the reconciliation of every object by CAPONE.
    pub resync: u64,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            seed_boot: 30,
            seed_management: 60,
            seed_init: 45,
            seed_move: 15,
            rke2_install: 40,
            rke2_server_init: 110,
            rke2_join: 60,
            node_ready: 25,
            node_restart: 45,
            node_grace: 50,
            cloud_controller: 5,
            drain: 8,
            router_refresh: 30,
            resync: 60,
        }
    }
}

/// Something that goes wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Start of the name of the VM or of the cluster that it concerns. Empty: all.
    pub on: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// How often it still happens; `None`: always.
    pub times: Option<u32>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The seed fails in a phase and reports the failure of that phase.
    SeedFails {
        /// Where.
        phase: SeedPhase,
        /// `ONEKS_ERROR_CODE` that a newer appliance adds.
        cause: Option<String>,
    },
    /// The seed does nothing more once it has reported a phase.
    SeedHangs {
        /// Where.
        phase: SeedPhase,
    },
    /// The seed's appliance never starts.
    SeedSilent,
    /// OneGate does not answer the VM.
    OneGateDown,
    /// The seed and the nodes take so many times longer.
    Slow {
        /// How many times.
        factor: u64,
    },
    /// The node never joins its cluster.
    NodeNeverJoins,
    /// CAPONE does nothing for the cluster.
    CaponeStuck,
    /// CAPONE's look-up of a VM fails as it deletes the machine.
    CaponeBlind,
    /// The guest agent is missing: commands never end.
    AgentMissing,
    /// Commands fail without having run.
    CommandFails {
        /// Exit code.
        code: i32,
        /// Standard error.
        stderr: String,
    },
    /// Commands write so many bytes more.
    CommandFloods {
        /// How many.
        bytes: usize,
    },
    /// Commands take longer.
    CommandSlow {
        /// By how many virtual seconds.
        seconds: u64,
    },
}

/// Phases of the seed, as `ONEKS_STATE` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedPhase {
    /// `PROVISIONING_MGMT`.
    Management,
    /// `PROVISIONING_CP`.
    ControlPlane,
    /// `PIVOTING_CLUSTER`.
    Pivoting,
}

impl SeedPhase {
    /// The state that is reported when the phase begins.
    pub fn state(self) -> &'static str {
        match self {
            Self::Management => "PROVISIONING_MGMT",
            Self::ControlPlane => "PROVISIONING_CP",
            Self::Pivoting => "PIVOTING_CLUSTER",
        }
    }

    /// The state that is reported when it fails.
    pub fn failure(self) -> &'static str {
        match self {
            Self::Management | Self::ControlPlane => "PROVISIONING_FAILURE",
            Self::Pivoting => "PIVOTING_FAILURE",
        }
    }
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Takes the first fault that `wanted` reads, and counts it.
    pub(crate) fn take<T>(&mut self, name: &str, wanted: impl Fn(&FaultKind) -> Option<T>) -> Option<T> {
        let (index, found) = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, fault)| name.starts_with(&fault.on))
            .find_map(|(index, fault)| wanted(&fault.kind).map(|found| (index, found)))?;
        if let Some(times) = &mut self.0[index].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(index);
            }
        }
        Some(found)
    }

    /// Whether a fault is in force, without counting it.
    pub(crate) fn has(&self, name: &str, kind: &FaultKind) -> bool {
        self.0
            .iter()
            .any(|fault| fault.kind == *kind && name.starts_with(&fault.on))
    }

    /// How many times longer things take for a name.
    pub(crate) fn factor(&self, name: &str) -> u64 {
        self.0
            .iter()
            .filter(|fault| name.starts_with(&fault.on))
            .find_map(|fault| {
                if let FaultKind::Slow { factor } = fault.kind {
                    Some(factor)
                } else {
                    None
                }
            })
            .unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_it_was_told() {
        let mut faults = Faults(vec![Fault {
            on: "oneks-1".into(),
            kind: FaultKind::AgentMissing,
            times: Some(2),
        }]);
        let mut hit = |name| {
            faults
                .take(name, |kind| (*kind == FaultKind::AgentMissing).then_some(()))
                .is_some()
        };
        assert!(!hit("oneks-2-cp"));
        assert!(hit("oneks-1-cp"));
        assert!(hit("oneks-1-cp"));
        assert!(!hit("oneks-1-cp"));
    }

    #[test]
    fn slowness_is_not_used_up() {
        let faults = Faults(vec![Fault {
            on: String::new(),
            kind: FaultKind::Slow { factor: 3 },
            times: None,
        }]);
        assert_eq!((faults.factor("a"), faults.factor("b")), (3, 3));
        assert_eq!(Faults::default().factor("a"), 1);
    }
}
