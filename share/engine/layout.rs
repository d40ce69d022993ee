//! Where the installed files lie.

use std::path::PathBuf;

use opennebula::endpoint::Environment;

/// The folders and files of an installation: those of the system, or all below `ONE_LOCATION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The configuration file.
    pub config: PathBuf,
    /// The configuration of oned.
    pub oned: PathBuf,
    /// Folder of the executables that the hook manager starts.
    pub hooks: PathBuf,
    /// Folder of the drivers, one folder each.
    pub drivers: PathBuf,
    /// Folders of the profiles: first that of the administrators, then the one that was installed, which everybody
    /// may read.
    pub profiles: Vec<PathBuf>,
    /// Folder of locks and marks.
    pub locks: PathBuf,
    /// The log file.
    pub log: PathBuf,
}

impl Layout {
    /// The layout that the environment names.
    pub fn of(environment: &Environment) -> Self {
        match environment.var("ONE_LOCATION").filter(|v| !v.is_empty()) {
            Some(root) => Self::below(&PathBuf::from(root)),
            None => Self {
                config: PathBuf::from("/etc/one/oneks.conf"),
                oned: PathBuf::from("/etc/one/oned.conf"),
                hooks: PathBuf::from("/usr/lib/one/oneks/hooks"),
                drivers: PathBuf::from("/usr/lib/one/oneks/drivers"),
                profiles: vec![
                    PathBuf::from("/var/lib/one/oneks/profiles"),
                    PathBuf::from("/usr/share/one/oneks/profiles"),
                ],
                locks: PathBuf::from("/var/lock/one/oneks"),
                log: PathBuf::from("/var/log/one/oneks.log"),
            },
        }
    }

    /// A self-contained installation.
    pub fn below(root: &std::path::Path) -> Self {
        Self {
            config: root.join("etc/oneks.conf"),
            oned: root.join("etc/oned.conf"),
            hooks: root.join("lib/oneks/hooks"),
            drivers: root.join("lib/oneks/drivers"),
            profiles: vec![root.join("var/oneks/profiles"), root.join("share/oneks/profiles")],
            locks: root.join("var/oneks/locks"),
            log: root.join("var/oneks.log"),
        }
    }
}
