//! Files and directories in a spool: private, and durable when it matters.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::error::{Error, Result};

/// Replaces a file as a whole, durably: readers see the old one or the new one.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = private_file().truncate(true).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|e| Error::io(path.display(), e))?;
    sync_parent(path)
}

/// Takes the lock of an open file or directory, called `what` in errors; `false`: somebody else has it.
pub(crate) fn try_lock(file: &File, what: impl fmt::Display) -> Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(e) => Err(Error::io(what, e)),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != IoKind::NotFound => Err(Error::io(path.display(), e)),
        _ => Ok(()),
    }
}

/// Options for a file that only its owner can read (0600, whatever the umask lets through).
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

/// Creates `dir` (0700), durably, in a directory that has to be there.
pub(super) fn create(dir: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    match builder.mode(0o700).create(dir) {
        Ok(()) => sync_parent(dir),
        Err(e) if e.kind() == IoKind::AlreadyExists => Ok(()),
        Err(e) => Err(unusable(dir, e)),
    }
}

pub(crate) fn open_dir(dir: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(dir)
        .map_err(|e| unusable(dir, e))
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    open_dir(dir)?
        .sync_all()
        .map_err(|e| Error::io(dir.display(), e))
}

pub(super) fn unusable(dir: &Path, cause: std::io::Error) -> Error {
    // What is there already, and yet was to be made, is something else than a directory.
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
            "; name a directory that is there, or that can be made".to_owned()
        }
        _ => String::new(),
    };
    Error::io(named(dir), cause).and_then_say(&remedy)
}

pub(super) fn named(dir: &Path) -> String {
    format!("spool {}", dir.display())
}
