//! The file operations of the gate, one system call each.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The effect boundary of the gate: each method is one step that a test can precede, follow, delay or replace.
///
/// Errors name the path. Where a missing file is an answer and no error, the method says so.
pub trait GateFs {
    /// An open file. Dropping it closes it, which also releases its lock.
    type File;

    /// Opens a file for appending; makes it if it is missing.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Appends `bytes` in one piece: no other writer's bytes come in between.
    fn write(&self, file: &Self::File, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Is the open file the one that the path names now?
    fn is_at(&self, file: &Self::File, path: &Path) -> io::Result<bool>;

    /// Takes the exclusive lock of the file unless another opening of it has it; whether it did.
    fn try_lock(&self, file: &Self::File, path: &Path) -> io::Result<bool>;

    /// Gives the lock back.
    fn unlock(&self, file: &Self::File) -> io::Result<()>;

    /// Renames a file, replacing the one at `to`. `NotFound` if there is none.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The content of a file, `None` if there is none.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Removes a file, if there is one.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Is there a file of this name?
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The names in a directory. `NotFound` if there is none.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory, if it is missing, but not its parent.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
}

impl<F: GateFs> GateFs for &F {
    type File = F::File;

    fn open(&self, path: &Path) -> io::Result<Self::File> {
        (**self).open(path)
    }

    fn write(&self, file: &Self::File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        (**self).write(file, path, bytes)
    }

    fn is_at(&self, file: &Self::File, path: &Path) -> io::Result<bool> {
        (**self).is_at(file, path)
    }

    fn try_lock(&self, file: &Self::File, path: &Path) -> io::Result<bool> {
        (**self).try_lock(file, path)
    }

    fn unlock(&self, file: &Self::File) -> io::Result<()> {
        (**self).unlock(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        (**self).read(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (**self).remove(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        (**self).exists(path)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        (**self).names(dir)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        (**self).make_dir(dir)
    }
}

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl GateFs for Disk {
    type File = File;

    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| explain("open", path, &e))
    }

    fn write(&self, mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match file.write(bytes) {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(_) => Err(explain("write", path, &ErrorKind::StorageFull.into())),
            Err(e) => Err(explain("write", path, &e)),
        }
    }

    fn is_at(&self, file: &File, path: &Path) -> io::Result<bool> {
        let ours = file.metadata().map_err(|e| explain("look at", path, &e))?;
        Ok(or_missing(path.symlink_metadata())
            .map_err(|e| explain("look at", path, &e))?
            .is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    }

    fn try_lock(&self, file: &File, path: &Path) -> io::Result<bool> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(explain("lock", path, &e)),
        }
    }

    fn unlock(&self, file: &File) -> io::Result<()> {
        // Explicitly: a child that is just being started may hold a copy of the descriptor until its exec.
        file.unlock()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to).map_err(|e| explain("rename", from, &e))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        or_missing(std::fs::read(path)).map_err(|e| explain("read", path, &e))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        or_missing(std::fs::remove_file(path))
            .map(|_| ())
            .map_err(|e| explain("remove", path, &e))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        or_missing(path.symlink_metadata())
            .map(|found| found.is_some())
            .map_err(|e| explain("look at", path, &e))
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let explain = |e: io::Error| explain("list", dir, &e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(explain)? {
            names.extend(entry.map_err(explain)?.file_name().into_string());
        }
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o750).create(dir) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(explain("make directory", dir, &e)),
            _ => Ok(()),
        }
    }
}

fn or_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The same kind of error, with what was tried, where, and the way out.
fn explain(what: &str, path: &Path, error: &io::Error) -> io::Error {
    let way_out = match error.kind() {
        ErrorKind::NotFound => "; its directory is missing: make it, owned by the user that runs the hooks",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; its directory must be writable for the user that runs the hooks"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room on that file system",
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("{what} {}: {error}{way_out}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_path_and_the_way_out() {
        for (kind, text) in [
            (ErrorKind::NotFound, "make it"),
            (ErrorKind::PermissionDenied, "must be writable"),
            (ErrorKind::ReadOnlyFilesystem, "must be writable"),
            (ErrorKind::StorageFull, "make room"),
            (ErrorKind::NotADirectory, "open /a/7.dirty: not a directory"),
        ] {
            let error = explain("open", Path::new("/a/7.dirty"), &kind.into());
            assert_eq!(error.kind(), kind);
            let said = error.to_string();
            assert!(
                said.starts_with("open /a/7.dirty: ") && said.contains(text),
                "{said}"
            );
        }
    }

    #[test]
    fn a_renamed_or_replaced_file_is_not_at_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let file = Disk.open(&a).unwrap();
        assert!(Disk.is_at(&file, &a).unwrap());
        Disk.rename(&a, &b).unwrap();
        assert!(!Disk.is_at(&file, &a).unwrap());
        assert!(Disk.is_at(&file, &b).unwrap());
        let _other = Disk.open(&a).unwrap();
        assert!(!Disk.is_at(&file, &a).unwrap());
    }

    #[test]
    fn a_full_disk_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.dirty");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let file = Disk.open(&path).unwrap();
        let error = Disk.write(&file, &path, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().contains("7.dirty"), "{error}");
    }
}
