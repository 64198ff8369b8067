//! The directory of a spool: this user's alone, and on a disk whose locks can be trusted.

use std::fs::{self, DirBuilder, File, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files::{named, open_dir, sync_parent, unusable};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::pid;

/// Which directory on which disk: the same under two paths is one, a new one at an old path is another,
/// also where the file system gives the old one's number again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryId {
    pub(super) device: u64,
    pub(super) inode: u64,
    born: Option<SystemTime>,
}

impl DirectoryId {
    /// The directory at `dir`, if it is this user's alone.
    pub(crate) fn of_own(dir: &Path) -> Option<Self> {
        let about = std::fs::metadata(dir).ok()?;
        check_rights(dir, &about).ok()?;
        about.is_dir().then(|| Self::of(&about))
    }

    pub(super) fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            born: about.created().ok(),
        }
    }
}

/// Whether a spool may be in this directory, which has to be there: this user's alone, and on a disk whose
/// locks can be trusted.
///
/// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch), [`Io`](crate::error::ErrorKind::Io).
pub fn check_directory(dir: &Path) -> Result<()> {
    let handle = open_dir(dir)?;
    let about = handle.metadata().map_err(|e| Error::io(named(dir), e))?;
    check_rights(dir, &about)?;
    refuse_network(dir, &handle)
}

/// Creates `dir` (0700) and what is missing above it.
pub(super) fn create_with_parents(dir: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700).recursive(true);
    builder.create(dir).map_err(|e| unusable(dir, e))
}

/// Opens the spool's directory, which has to be this user's alone.
pub(super) fn open_own_dir(dir: &Path) -> Result<(File, Metadata)> {
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

pub(super) fn check_rights(dir: &Path, about: &Metadata) -> Result<()> {
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

/// A directory of its own for `durability = memory`, removed at close.
pub(crate) fn temporary_dir() -> PathBuf {
    // The environment is not read: TMPDIR belongs to the host.
    let shared_memory = Path::new("/dev/shm");
    let base = if shared_memory.is_dir() {
        shared_memory
    } else {
        Path::new("/tmp")
    };
    base.join(format!(
        "meditopia-{}-{:x}-{:08x}",
        pid(),
        clock::boot_ns(),
        fastrand::u32(..)
    ))
}
