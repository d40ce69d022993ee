//! The states of clusters, groups and dependencies, by the names that users know.

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every state.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The state's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

states! {
    /// State of a cluster. Computed from its operation and its groups, never set.
    ClusterState {
        /// Not accepted yet; a condition says why.
        Pending = "PENDING",
        /// Being built for the first time.
        Provisioning = "PROVISIONING",
        /// Usable.
        Running = "RUNNING",
        /// Groups are being added, resized or removed.
        Scaling = "SCALING",
        /// On the way to another version.
        Upgrading = "UPGRADING",
        /// Being removed.
        Deprovisioning = "DEPROVISIONING",
        /// Usable perhaps, but something is missing or about to be.
        Warning = "WARNING",
        /// Gone.
        Done = "DONE",
        /// Could not be built.
        ProvisioningFailure = "PROVISIONING_FAILURE",
        /// Could not be resized.
        ScalingFailure = "SCALING_FAILURE",
        /// Could not be upgraded.
        UpgradingFailure = "UPGRADING_FAILURE",
        /// Could not be removed.
        DeprovisioningFailure = "DEPROVISIONING_FAILURE",
    }
}

states! {
    /// State of a group.
    GroupState {
        /// Wanted; nothing was begun.
        Pending = "PENDING",
        /// Its dependencies are being made.
        Bootstrapping = "BOOTSTRAPPING",
        /// Its nodes are being made.
        Provisioning = "PROVISIONING",
        /// The wanted nodes run and are ready.
        Running = "RUNNING",
        /// On the way to another number of nodes.
        Scaling = "SCALING",
        /// On the way to another version.
        Upgrading = "UPGRADING",
        /// Being removed.
        Deprovisioning = "DEPROVISIONING",
        /// A node is missing, down or not ready.
        Warning = "WARNING",
        /// Gone.
        Done = "DONE",
        /// Its dependencies could not be made.
        BootstrappingFailure = "BOOTSTRAPPING_FAILURE",
        /// Its nodes could not be made.
        ProvisioningFailure = "PROVISIONING_FAILURE",
        /// It could not be resized.
        ScalingFailure = "SCALING_FAILURE",
        /// It could not be upgraded.
        UpgradingFailure = "UPGRADING_FAILURE",
        /// It could not be removed.
        DeprovisioningFailure = "DEPROVISIONING_FAILURE",
    }
}

impl GroupState {
    /// Is something being done to the group?
    pub const fn is_working(self) -> bool {
        matches!(
            self,
            Self::Bootstrapping | Self::Provisioning | Self::Scaling | Self::Upgrading | Self::Deprovisioning
        )
    }

    /// The failure that belongs to an action.
    #[must_use]
    pub const fn failed(self) -> Self {
        match self {
            Self::Bootstrapping => Self::BootstrappingFailure,
            Self::Provisioning => Self::ProvisioningFailure,
            Self::Scaling => Self::ScalingFailure,
            Self::Upgrading => Self::UpgradingFailure,
            Self::Deprovisioning => Self::DeprovisioningFailure,
            other => other,
        }
    }

    /// The action that a failure belongs to.
    pub const fn failed_action(self) -> Option<Self> {
        match self {
            Self::BootstrappingFailure => Some(Self::Bootstrapping),
            Self::ProvisioningFailure => Some(Self::Provisioning),
            Self::ScalingFailure => Some(Self::Scaling),
            Self::UpgradingFailure => Some(Self::Upgrading),
            Self::DeprovisioningFailure => Some(Self::Deprovisioning),
            _ => None,
        }
    }
}

states! {
    /// State of a dependency: the seed VM, the virtual router.
    DependencyState {
        /// Not made yet.
        Pending = "PENDING",
        /// Made, not usable yet.
        Creating = "CREATING",
        /// Usable.
        Ready = "READY",
        /// Failed for good.
        Failed = "FAILED",
        /// Was there, is no more.
        Gone = "GONE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_belongs_to_one_action() {
        for &state in GroupState::ALL {
            assert_eq!(state.is_working(), state.failed() != state);
            if state.is_working() {
                assert_eq!(state.failed().failed_action(), Some(state));
            }
        }
    }

    #[test]
    fn names_are_those_of_the_json() {
        for &state in ClusterState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(
            serde_json::to_value(GroupState::BootstrappingFailure).unwrap(),
            "BOOTSTRAPPING_FAILURE"
        );
    }
}
