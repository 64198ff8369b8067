//! Locks of open files, and the directories around a spool.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, SeekFrom};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::process::{ClosedInChild, calls};

/// Takes the lock of an open file or directory, which errors call `what`; `false`: it is held
/// already.
pub(crate) fn try_lock(file: &File, what: impl fmt::Display) -> Result<bool> {
    match calls::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(Error::io(what, e)),
    }
}

/// Takes the lock of an open file only to look at it; `None`: it is held already.
pub(crate) fn try_lock_to_look(
    file: &File,
    what: impl fmt::Display,
) -> Result<Option<LockToLook<'_>>> {
    Ok(try_lock(file, what)?.then_some(LockToLook(file)))
}

/// A lock that is given up when this value is dropped.
///
/// Closing the file would not be enough. A lock belongs to the open file description, which a child
/// forked meanwhile shares, so the lock would last as long as the child.
pub(crate) struct LockToLook<'f>(&'f File);

impl Drop for LockToLook<'_> {
    fn drop(&mut self) {
        // It fails only for a descriptor that is not open.
        let _ = calls::flock(self.0, FlockOperation::Unlock);
    }
}

/// Where the first bytes of a file at `from` or behind it stand that are no hole; `u64::MAX`: there are none.
/// It moves the descriptor's own offset, which nothing here uses.
pub(crate) fn data_from(file: &File, from: u64) -> std::io::Result<u64> {
    match calls::seek(file, SeekFrom::Data(from)) {
        Ok(data) => Ok(data.max(from)),
        Err(Errno::NXIO) => Ok(u64::MAX),
        // This file system knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(from),
        Err(e) => Err(e.into()),
    }
}

/// Opens a directory above the spool, to sync it.
fn open_dir(dir: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(dir)
        .map_err(|e| directory_error(dir, e))
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the entries of a directory durable.
fn sync_dir(dir: &Path) -> Result<()> {
    ClosedInChild::new(open_dir(dir)?)
        .sync_all()
        .map_err(|e| Error::io(dir.display(), e))
}

pub(super) fn directory_error(dir: &Path, cause: std::io::Error) -> Error {
    if cause.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        return Error::io(dir.display(), cause);
    }
    // This is how creating a directory fails where its path is that of another kind of file.
    let cause = match cause.kind() {
        IoKind::AlreadyExists => std::io::Error::from_raw_os_error(libc::ENOTDIR),
        _ => cause,
    };
    let remedy = match cause.kind() {
        IoKind::PermissionDenied => format!(
            "; this process runs as uid {}, which needs a directory of its own here",
            rustix::process::geteuid().as_raw()
        ),
        IoKind::NotFound | IoKind::NotADirectory | IoKind::ReadOnlyFilesystem => {
            "; name a directory that is there, or that can be created".to_owned()
        }
        _ => String::new(),
    };
    Error::io(spool_name(dir), cause).with_note(&remedy)
}

/// How messages name the spool at `dir`.
pub(super) fn spool_name(dir: &Path) -> String {
    format!("spool {}", dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_taken_to_look_is_free_again_although_a_child_shares_the_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locked");
        let open = || {
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .unwrap()
        };
        let file = open();
        // A forked child has the same open file description, as a duplicate has.
        let of_child = file.try_clone().unwrap();
        let other = open();
        let lock = try_lock_to_look(&file, "file").unwrap();
        assert!(lock.is_some());
        assert!(try_lock_to_look(&other, "file").unwrap().is_none());
        drop(lock);
        drop(file);
        assert!(try_lock(&other, "file").unwrap());
        drop(of_child);
    }
}
