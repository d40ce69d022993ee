//! States of a VM, as `VirtualMachine.h` of OpenNebula numbers them.

use std::fmt;

macro_rules! states {
    ($(#[$about:meta])* $states:ident { $($(#[$doc:meta])* $state:ident = $number:literal $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $states {
            $($(#[$doc])* $state,)+
            /// A state that this crate does not know.
            Other(u32),
        }

        impl $states {
            /// Every known state.
            pub const ALL: &'static [Self] = &[$(Self::$state),+];

            /// The state with that number.
            pub fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$state,)+
                    other => Self::Other(other),
                }
            }

            /// The state with that name, in OpenNebula's spelling.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$state),)+
                    _ => None,
                }
            }

            /// Its number.
            pub fn number(self) -> u32 {
                match self {
                    $(Self::$state => $number,)+
                    Self::Other(number) => number,
                }
            }

            /// Its name as OpenNebula prints it; empty for a state that this crate does not know.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$state => $name,)+
                    Self::Other(_) => "",
                }
            }
        }

        impl fmt::Display for $states {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Other(number) => write!(f, "state {number}"),
                    state => f.write_str(state.as_str()),
                }
            }
        }
    };
}

states! {
    /// `STATE` of a VM.
    VmState {
        /// Being made.
        Init = 0 "INIT",
        /// Waits for the scheduler.
        Pending = 1 "PENDING",
        /// Waits until it is released.
        Hold = 2 "HOLD",
        /// In the hands of the life-cycle manager: see [`LcmState`].
        Active = 3 "ACTIVE",
        /// Stopped, its state saved to the datastore.
        Stopped = 4 "STOPPED",
        /// Stopped, its state saved on the host.
        Suspended = 5 "SUSPENDED",
        /// Terminated. It never comes back.
        Done = 6 "DONE",
        /// Shut down, its disks on the host.
        Poweroff = 8 "POWEROFF",
        /// Shut down, its disks on the datastore.
        Undeployed = 9 "UNDEPLOYED",
        /// Waits for an image to be cloned.
        Cloning = 10 "CLONING",
        /// The clone failed.
        CloningFailure = 11 "CLONING_FAILURE",
    }
}

states! {
    /// `LCM_STATE` of a VM: what an active one is doing.
    LcmState {
        /// Not in the hands of the life-cycle manager, or just about to be.
        LcmInit = 0 "LCM_INIT",
        /// Its disks are brought to the host.
        Prolog = 1 "PROLOG",
        /// The hypervisor starts it.
        Boot = 2 "BOOT",
        /// It runs, as far as the hypervisor knows.
        Running = 3 "RUNNING",
        /// `MIGRATE`.
        Migrate = 4 "MIGRATE",
        /// `SAVE_STOP`.
        SaveStop = 5 "SAVE_STOP",
        /// `SAVE_SUSPEND`.
        SaveSuspend = 6 "SAVE_SUSPEND",
        /// `SAVE_MIGRATE`.
        SaveMigrate = 7 "SAVE_MIGRATE",
        /// `PROLOG_MIGRATE`.
        PrologMigrate = 8 "PROLOG_MIGRATE",
        /// `PROLOG_RESUME`.
        PrologResume = 9 "PROLOG_RESUME",
        /// `EPILOG_STOP`.
        EpilogStop = 10 "EPILOG_STOP",
        /// Its disks are cleaned up.
        Epilog = 11 "EPILOG",
        /// The guest shuts down.
        Shutdown = 12 "SHUTDOWN",
        /// It is cleaned up to start anew.
        CleanupResubmit = 15 "CLEANUP_RESUBMIT",
        /// The host does not say what became of it.
        Unknown = 16 "UNKNOWN",
        /// A device is changed, or a command is started in the guest.
        Hotplug = 17 "HOTPLUG",
        /// `SHUTDOWN_POWEROFF`.
        ShutdownPoweroff = 18 "SHUTDOWN_POWEROFF",
        /// `BOOT_UNKNOWN`.
        BootUnknown = 19 "BOOT_UNKNOWN",
        /// `BOOT_POWEROFF`.
        BootPoweroff = 20 "BOOT_POWEROFF",
        /// `BOOT_SUSPENDED`.
        BootSuspended = 21 "BOOT_SUSPENDED",
        /// `BOOT_STOPPED`.
        BootStopped = 22 "BOOT_STOPPED",
        /// It is cleaned up to be deleted.
        CleanupDelete = 23 "CLEANUP_DELETE",
        /// `HOTPLUG_SNAPSHOT`.
        HotplugSnapshot = 24 "HOTPLUG_SNAPSHOT",
        /// `HOTPLUG_NIC`.
        HotplugNic = 25 "HOTPLUG_NIC",
        /// `HOTPLUG_SAVEAS`.
        HotplugSaveas = 26 "HOTPLUG_SAVEAS",
        /// `HOTPLUG_SAVEAS_POWEROFF`.
        HotplugSaveasPoweroff = 27 "HOTPLUG_SAVEAS_POWEROFF",
        /// `HOTPLUG_SAVEAS_SUSPENDED`.
        HotplugSaveasSuspended = 28 "HOTPLUG_SAVEAS_SUSPENDED",
        /// `SHUTDOWN_UNDEPLOY`.
        ShutdownUndeploy = 29 "SHUTDOWN_UNDEPLOY",
        /// `EPILOG_UNDEPLOY`.
        EpilogUndeploy = 30 "EPILOG_UNDEPLOY",
        /// `PROLOG_UNDEPLOY`.
        PrologUndeploy = 31 "PROLOG_UNDEPLOY",
        /// `BOOT_UNDEPLOY`.
        BootUndeploy = 32 "BOOT_UNDEPLOY",
        /// `HOTPLUG_PROLOG_POWEROFF`.
        HotplugPrologPoweroff = 33 "HOTPLUG_PROLOG_POWEROFF",
        /// `HOTPLUG_EPILOG_POWEROFF`.
        HotplugEpilogPoweroff = 34 "HOTPLUG_EPILOG_POWEROFF",
        /// `BOOT_MIGRATE`.
        BootMigrate = 35 "BOOT_MIGRATE",
        /// The hypervisor could not start it.
        BootFailure = 36 "BOOT_FAILURE",
        /// `BOOT_MIGRATE_FAILURE`.
        BootMigrateFailure = 37 "BOOT_MIGRATE_FAILURE",
        /// `PROLOG_MIGRATE_FAILURE`.
        PrologMigrateFailure = 38 "PROLOG_MIGRATE_FAILURE",
        /// Its disks could not be brought to the host.
        PrologFailure = 39 "PROLOG_FAILURE",
        /// Its disks could not be cleaned up.
        EpilogFailure = 40 "EPILOG_FAILURE",
        /// `EPILOG_STOP_FAILURE`.
        EpilogStopFailure = 41 "EPILOG_STOP_FAILURE",
        /// `EPILOG_UNDEPLOY_FAILURE`.
        EpilogUndeployFailure = 42 "EPILOG_UNDEPLOY_FAILURE",
        /// `PROLOG_MIGRATE_POWEROFF`.
        PrologMigratePoweroff = 43 "PROLOG_MIGRATE_POWEROFF",
        /// `PROLOG_MIGRATE_POWEROFF_FAILURE`.
        PrologMigratePoweroffFailure = 44 "PROLOG_MIGRATE_POWEROFF_FAILURE",
        /// `PROLOG_MIGRATE_SUSPEND`.
        PrologMigrateSuspend = 45 "PROLOG_MIGRATE_SUSPEND",
        /// `PROLOG_MIGRATE_SUSPEND_FAILURE`.
        PrologMigrateSuspendFailure = 46 "PROLOG_MIGRATE_SUSPEND_FAILURE",
        /// `BOOT_UNDEPLOY_FAILURE`.
        BootUndeployFailure = 47 "BOOT_UNDEPLOY_FAILURE",
        /// `BOOT_STOPPED_FAILURE`.
        BootStoppedFailure = 48 "BOOT_STOPPED_FAILURE",
        /// `PROLOG_RESUME_FAILURE`.
        PrologResumeFailure = 49 "PROLOG_RESUME_FAILURE",
        /// `PROLOG_UNDEPLOY_FAILURE`.
        PrologUndeployFailure = 50 "PROLOG_UNDEPLOY_FAILURE",
        /// `DISK_SNAPSHOT_POWEROFF`.
        DiskSnapshotPoweroff = 51 "DISK_SNAPSHOT_POWEROFF",
        /// `DISK_SNAPSHOT_REVERT_POWEROFF`.
        DiskSnapshotRevertPoweroff = 52 "DISK_SNAPSHOT_REVERT_POWEROFF",
        /// `DISK_SNAPSHOT_DELETE_POWEROFF`.
        DiskSnapshotDeletePoweroff = 53 "DISK_SNAPSHOT_DELETE_POWEROFF",
        /// `DISK_SNAPSHOT_SUSPENDED`.
        DiskSnapshotSuspended = 54 "DISK_SNAPSHOT_SUSPENDED",
        /// `DISK_SNAPSHOT_DELETE_SUSPENDED`.
        DiskSnapshotDeleteSuspended = 56 "DISK_SNAPSHOT_DELETE_SUSPENDED",
        /// `DISK_SNAPSHOT`.
        DiskSnapshot = 57 "DISK_SNAPSHOT",
        /// `DISK_SNAPSHOT_DELETE`.
        DiskSnapshotDelete = 59 "DISK_SNAPSHOT_DELETE",
        /// `PROLOG_MIGRATE_UNKNOWN`.
        PrologMigrateUnknown = 60 "PROLOG_MIGRATE_UNKNOWN",
        /// `PROLOG_MIGRATE_UNKNOWN_FAILURE`.
        PrologMigrateUnknownFailure = 61 "PROLOG_MIGRATE_UNKNOWN_FAILURE",
        /// `DISK_RESIZE`.
        DiskResize = 62 "DISK_RESIZE",
        /// `DISK_RESIZE_POWEROFF`.
        DiskResizePoweroff = 63 "DISK_RESIZE_POWEROFF",
        /// `DISK_RESIZE_UNDEPLOYED`.
        DiskResizeUndeployed = 64 "DISK_RESIZE_UNDEPLOYED",
        /// `HOTPLUG_NIC_POWEROFF`.
        HotplugNicPoweroff = 65 "HOTPLUG_NIC_POWEROFF",
        /// `HOTPLUG_RESIZE`.
        HotplugResize = 66 "HOTPLUG_RESIZE",
        /// `HOTPLUG_SAVEAS_UNDEPLOYED`.
        HotplugSaveasUndeployed = 67 "HOTPLUG_SAVEAS_UNDEPLOYED",
        /// `HOTPLUG_SAVEAS_STOPPED`.
        HotplugSaveasStopped = 68 "HOTPLUG_SAVEAS_STOPPED",
        /// `BACKUP`.
        Backup = 69 "BACKUP",
        /// `BACKUP_POWEROFF`.
        BackupPoweroff = 70 "BACKUP_POWEROFF",
        /// `RESTORE`.
        Restore = 71 "RESTORE",
    }
}

impl LcmState {
    /// Whether an operation failed and somebody has to decide how to go on.
    pub fn is_failure(self) -> bool {
        self.as_str().ends_with("_FAILURE")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree() {
        for state in LcmState::ALL {
            assert_eq!(LcmState::from_number(state.number()), *state);
            assert_eq!(LcmState::from_name(state.as_str()), Some(*state));
        }
        for state in VmState::ALL {
            assert_eq!(VmState::from_number(state.number()), *state);
            assert_eq!(VmState::from_name(&state.to_string()), Some(*state));
        }
        assert_eq!((VmState::ALL.len(), LcmState::ALL.len()), (11, 68));
        assert_eq!(VmState::from_number(7), VmState::Other(7));
        assert_eq!(LcmState::from_number(13).to_string(), "state 13");
        assert_eq!(LcmState::from_name("UNKNOWN"), Some(LcmState::Unknown));
        assert_eq!(LcmState::from_name(""), None);
    }

    #[test]
    fn failures_are_told_by_name() {
        assert!(LcmState::BootFailure.is_failure() && LcmState::PrologMigrateUnknownFailure.is_failure());
        assert!(!LcmState::Unknown.is_failure() && !LcmState::Other(99).is_failure());
    }
}
