//! States of a VM, with the names and numbers that OpenNebula reports.

/// `VM/STATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VmState {
    /// Never reported.
    Init = 0,
    /// Waits for the scheduler.
    Pending = 1,
    /// Waits for a release.
    Hold = 2,
    /// On a host, see [`LcmState`].
    Active = 3,
    /// Saved and taken from its host.
    Stopped = 4,
    /// Saved on its host.
    Suspended = 5,
    /// Terminated.
    Done = 6,
    /// Off, on its host.
    Poweroff = 8,
    /// Off, taken from its host.
    Undeployed = 9,
    /// Waits for the copy of an image.
    Cloning = 10,
    /// The copy of an image failed.
    CloningFailure = 11,
}

impl VmState {
    /// The name in hooks and messages, such as `PENDING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Pending => "PENDING",
            Self::Hold => "HOLD",
            Self::Active => "ACTIVE",
            Self::Stopped => "STOPPED",
            Self::Suspended => "SUSPENDED",
            Self::Done => "DONE",
            Self::Poweroff => "POWEROFF",
            Self::Undeployed => "UNDEPLOYED",
            Self::Cloning => "CLONING",
            Self::CloningFailure => "CLONING_FAILURE",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        use VmState as S;
        let all = [
            S::Init,
            S::Pending,
            S::Hold,
            S::Active,
            S::Stopped,
            S::Suspended,
            S::Done,
            S::Poweroff,
            S::Undeployed,
            S::Cloning,
            S::CloningFailure,
        ];
        all.into_iter().find(|state| state.name() == name)
    }
}

macro_rules! lcm_states {
    ($($variant:ident = $number:literal $name:literal,)*) => {
        /// `VM/LCM_STATE`: what happens to an active VM. Everything else has [`LcmState::LcmInit`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LcmState {
            $(#[doc = concat!("`", $name, "`")] $variant = $number,)*
        }

        impl LcmState {
            /// All states, by number.
            pub const ALL: &'static [LcmState] = &[$(LcmState::$variant,)*];

            /// The name in hooks and messages, such as `BOOT_FAILURE`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

lcm_states! {
    LcmInit = 0 "LCM_INIT",
    Prolog = 1 "PROLOG",
    Boot = 2 "BOOT",
    Running = 3 "RUNNING",
    Migrate = 4 "MIGRATE",
    SaveStop = 5 "SAVE_STOP",
    SaveSuspend = 6 "SAVE_SUSPEND",
    SaveMigrate = 7 "SAVE_MIGRATE",
    PrologMigrate = 8 "PROLOG_MIGRATE",
    PrologResume = 9 "PROLOG_RESUME",
    EpilogStop = 10 "EPILOG_STOP",
    Epilog = 11 "EPILOG",
    Shutdown = 12 "SHUTDOWN",
    CleanupResubmit = 15 "CLEANUP_RESUBMIT",
    Unknown = 16 "UNKNOWN",
    Hotplug = 17 "HOTPLUG",
    ShutdownPoweroff = 18 "SHUTDOWN_POWEROFF",
    BootUnknown = 19 "BOOT_UNKNOWN",
    BootPoweroff = 20 "BOOT_POWEROFF",
    BootSuspended = 21 "BOOT_SUSPENDED",
    BootStopped = 22 "BOOT_STOPPED",
    CleanupDelete = 23 "CLEANUP_DELETE",
    HotplugSnapshot = 24 "HOTPLUG_SNAPSHOT",
    HotplugNic = 25 "HOTPLUG_NIC",
    HotplugSaveas = 26 "HOTPLUG_SAVEAS",
    HotplugSaveasPoweroff = 27 "HOTPLUG_SAVEAS_POWEROFF",
    HotplugSaveasSuspended = 28 "HOTPLUG_SAVEAS_SUSPENDED",
    ShutdownUndeploy = 29 "SHUTDOWN_UNDEPLOY",
    EpilogUndeploy = 30 "EPILOG_UNDEPLOY",
    PrologUndeploy = 31 "PROLOG_UNDEPLOY",
    BootUndeploy = 32 "BOOT_UNDEPLOY",
    HotplugPrologPoweroff = 33 "HOTPLUG_PROLOG_POWEROFF",
    HotplugEpilogPoweroff = 34 "HOTPLUG_EPILOG_POWEROFF",
    BootMigrate = 35 "BOOT_MIGRATE",
    BootFailure = 36 "BOOT_FAILURE",
    BootMigrateFailure = 37 "BOOT_MIGRATE_FAILURE",
    PrologMigrateFailure = 38 "PROLOG_MIGRATE_FAILURE",
    PrologFailure = 39 "PROLOG_FAILURE",
    EpilogFailure = 40 "EPILOG_FAILURE",
    EpilogStopFailure = 41 "EPILOG_STOP_FAILURE",
    EpilogUndeployFailure = 42 "EPILOG_UNDEPLOY_FAILURE",
    PrologMigratePoweroff = 43 "PROLOG_MIGRATE_POWEROFF",
    PrologMigratePoweroffFailure = 44 "PROLOG_MIGRATE_POWEROFF_FAILURE",
    PrologMigrateSuspend = 45 "PROLOG_MIGRATE_SUSPEND",
    PrologMigrateSuspendFailure = 46 "PROLOG_MIGRATE_SUSPEND_FAILURE",
    BootUndeployFailure = 47 "BOOT_UNDEPLOY_FAILURE",
    BootStoppedFailure = 48 "BOOT_STOPPED_FAILURE",
    PrologResumeFailure = 49 "PROLOG_RESUME_FAILURE",
    PrologUndeployFailure = 50 "PROLOG_UNDEPLOY_FAILURE",
    DiskSnapshotPoweroff = 51 "DISK_SNAPSHOT_POWEROFF",
    DiskSnapshotRevertPoweroff = 52 "DISK_SNAPSHOT_REVERT_POWEROFF",
    DiskSnapshotDeletePoweroff = 53 "DISK_SNAPSHOT_DELETE_POWEROFF",
    DiskSnapshotSuspended = 54 "DISK_SNAPSHOT_SUSPENDED",
    DiskSnapshotDeleteSuspended = 56 "DISK_SNAPSHOT_DELETE_SUSPENDED",
    DiskSnapshot = 57 "DISK_SNAPSHOT",
    DiskSnapshotDelete = 59 "DISK_SNAPSHOT_DELETE",
    PrologMigrateUnknown = 60 "PROLOG_MIGRATE_UNKNOWN",
    PrologMigrateUnknownFailure = 61 "PROLOG_MIGRATE_UNKNOWN_FAILURE",
    DiskResize = 62 "DISK_RESIZE",
    DiskResizePoweroff = 63 "DISK_RESIZE_POWEROFF",
    DiskResizeUndeployed = 64 "DISK_RESIZE_UNDEPLOYED",
    HotplugNicPoweroff = 65 "HOTPLUG_NIC_POWEROFF",
    HotplugResize = 66 "HOTPLUG_RESIZE",
    HotplugSaveasUndeployed = 67 "HOTPLUG_SAVEAS_UNDEPLOYED",
    HotplugSaveasStopped = 68 "HOTPLUG_SAVEAS_STOPPED",
    Backup = 69 "BACKUP",
    BackupPoweroff = 70 "BACKUP_POWEROFF",
    Restore = 71 "RESTORE",
}

impl LcmState {
    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.name() == name)
    }

    /// Whether the VM failed and stays where it is until somebody recovers or terminates it.
    pub fn is_failure(self) -> bool {
        self.name().ends_with("_FAILURE")
    }

    /// Whether this is one of the short states in which a running VM is changed.
    pub fn is_hotplug(self) -> bool {
        self.name().starts_with("HOTPLUG")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_opennebula() {
        assert_eq!(VmState::parse("POWEROFF").map(|state| state as u8), Some(8));
        assert_eq!(
            VmState::parse("CLONING_FAILURE").map(|state| state as u8),
            Some(11)
        );
        assert_eq!(VmState::parse("poweroff"), None);
        assert_eq!(LcmState::parse("BOOT_FAILURE").map(|state| state as u8), Some(36));
        assert_eq!(LcmState::parse("RESTORE").map(|state| state as u8), Some(71));
        assert_eq!(LcmState::ALL.len(), 68);
        assert!(
            LcmState::ALL
                .iter()
                .all(|state| LcmState::parse(state.name()) == Some(*state))
        );
    }

    #[test]
    fn failures_are_the_terminal_ones() {
        let failures: Vec<u8> = LcmState::ALL
            .iter()
            .filter(|state| state.is_failure())
            .map(|state| *state as u8)
            .collect();
        assert_eq!(failures, [36, 37, 38, 39, 40, 41, 42, 44, 46, 47, 48, 49, 50, 61]);
    }
}
