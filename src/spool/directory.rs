//! Directories and files of a spool: private, on a local disk, and durable when it matters.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as IoKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use super::named;
use crate::error::{Error, ErrorKind, Result};

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

/// Creates `dir` (0700) and what is missing above it.
pub(super) fn create_with_parents(dir: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    builder.create(dir).map_err(|e| unusable(dir, e))
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

/// Opens the spool's directory, which has to be this user's alone.
pub(super) fn open_own_dir(dir: &Path) -> Result<(File, fs::Metadata)> {
    let handle = match open_dir(dir) {
        // Another user's spool cannot even be opened, but whose it is can be told.
        Err(e) => {
            if let Ok(about) = fs::metadata(dir) {
                check_rights(dir, &about)?;
            }
            return Err(e);
        }
        Ok(handle) => handle,
    };
    let about = handle.metadata().map_err(|e| Error::io(named(dir), e))?;
    check_rights(dir, &about)?;
    Ok((handle, about))
}

pub(crate) fn open_dir(dir: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(dir)
        .map_err(|e| unusable(dir, e))
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
    Error::io(named(dir), cause).with_note(&remedy)
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

/// Makes the way to `dir` durable: its own entry, and those of the directories above it that this
/// user may have made, whichever process it was.
pub(super) fn sync_way(dir: &Path) -> Result<()> {
    sync_parent(dir)?;
    let us = rustix::process::geteuid().as_raw();
    for above in dir.ancestors().skip(1) {
        let is_ours = fs::metadata(above).is_ok_and(|about| about.uid() == us);
        // Where one may not even look one has made nothing either.
        if !is_ours || above.parent().is_none() || sync_parent(above).is_err() {
            break;
        }
    }
    Ok(())
}

pub(super) fn check_rights(dir: &Path, about: &fs::Metadata) -> Result<()> {
    let us = rustix::process::geteuid().as_raw();
    let refuse = |why: String| {
        Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!("{}: {why}", named(dir)),
        ))
    };
    if about.uid() != us {
        return refuse(format!(
            "belongs to uid {}, this process runs as uid {us}; run as that user, or use another spool",
            about.uid()
        ));
    }
    if about.mode() & 0o022 != 0 {
        return refuse(format!(
            "others may write to it (mode {:04o}); chmod 0700",
            about.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
pub(super) fn refuse_network(dir: &Path, handle: &File) -> Result<()> {
    const NETWORK: [(u32, &str); 10] = [
        (0x0000_6969, "NFS"),
        (0x0000_517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9P"),
        (0x5346_414F, "AFS"),
        (0x7375_7245, "Coda"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x6573_5546, "FUSE"),
    ];
    let about = rustix::fs::fstatfs(handle).map_err(|e| Error::io(named(dir), e))?;
    let kind = about.f_type as u32;
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: lies on a network file system ({name}), whose locks cannot be trusted; use a local disk, or set allow_network_spool = true",
                named(dir)
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn refuse_network(_: &Path, _: &File) -> Result<()> {
    Ok(())
}
