//! The programs of a guest: the everyday ones of the host, those of the sandbox, and nothing else.
//!
//! A script can't come across what happens to be installed on the host, above all not a kubectl with a real cluster
//! behind it, nor a clock that goes its own way.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Programs that any Linux image has.
const EVERYDAY: &[&str] = &[
    "[",
    "awk",
    "base64",
    "basename",
    "bash",
    "cat",
    "chmod",
    "cksum",
    "cmp",
    "comm",
    "cp",
    "cut",
    "dd",
    "diff",
    "dirname",
    "echo",
    "egrep",
    "env",
    "expr",
    "false",
    "fgrep",
    "find",
    "fold",
    "getent",
    "grep",
    "gunzip",
    "gzip",
    "head",
    "id",
    "join",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mktemp",
    "mv",
    "nl",
    "nproc",
    "od",
    "paste",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sort",
    "split",
    "stat",
    "tac",
    "tail",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "uname",
    "uniq",
    "wc",
    "xargs",
    "yes",
    "zcat",
];

/// Programs that the sandbox itself plays, for every guest.
const OWN: &[&str] = &["date", "sleep"];

/// Folders with the programs of guests.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    /// Lays the folders out, with `shim` for what the sandbox plays.
    ///
    /// # Errors
    /// The host's file system.
    pub(crate) fn new(shim: Option<&Path>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("guest-programs-").tempdir()?;
        let programs = Self { folder };
        for path in [programs.everyday(), programs.rke2()] {
            fs::create_dir(path)?;
        }
        for name in EVERYDAY {
            let found = ["/usr/bin", "/bin"]
                .iter()
                .map(|folder| Path::new(folder).join(name))
                .find(|path| path.exists());
            if let Some(path) = found {
                symlink(path, programs.everyday().join(name))?;
            }
        }
        if let Some(shim) = shim {
            for name in OWN {
                symlink(shim, programs.everyday().join(name))?;
            }
            symlink(shim, programs.rke2().join("kubectl"))?;
        }
        Ok(programs)
    }

    /// What is on the PATH of every guest.
    pub(crate) fn everyday(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// What RKE2 brings along.
    pub(crate) fn rke2(&self) -> PathBuf {
        self.folder.path().join("rke2")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_host_slips_in() {
        let programs = Programs::new(Some(Path::new("/bin/true"))).unwrap();
        let names = |folder: PathBuf| {
            let entries = fs::read_dir(folder).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let everyday = names(programs.everyday());
        assert!(
            ["sh", "awk", "base64", "sleep", "date"]
                .iter()
                .all(|name| everyday.contains(&(*name).to_owned()))
        );
        assert!(
            !everyday
                .iter()
                .any(|name| name == "kubectl" || name == "systemctl")
        );
        assert_eq!(names(programs.rke2()), ["kubectl"]);
        assert_eq!(
            fs::read_link(programs.everyday().join("sleep")).unwrap(),
            Path::new("/bin/true")
        );
    }
}
