//! The directory of a spool: only this user can write to it, and its disk has locks that can be
//! trusted.

use std::fs::{self, Metadata};
use std::io::ErrorKind as IoKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::dir::Dir;
use super::files::{directory_error, spool_name, sync_parent};
use super::rights::{GroupTrust, check_rights, check_rights_to_read, settle_rights};
use super::walk::{Missing, open_directory};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{calls, pid, random_u64};

/// Which directory on which disk. One directory under two paths has one id; a new directory at an
/// old path has another, even where the file system reuses the inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryId {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl DirectoryId {
    /// Reads the id of `dir`, if that is a directory to which only those can write who may.
    pub(crate) fn read(dir: &Path, trust: GroupTrust) -> Option<Self> {
        let about = std::fs::metadata(dir).ok()?;
        check_rights(dir, &about, trust).ok()?;
        about.is_dir().then(|| Self::from_metadata(&about))
    }

    pub(super) fn from_metadata(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            born: about.created().ok(),
        }
    }
}

/// Checks that a spool may be in `dir`, which has to exist: that only this user can write to it, or a group
/// that is trusted, and that it is not on a network file system.
///
/// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch),
/// [`Io`](crate::error::ErrorKind::Io).
pub fn check_directory(dir: &Path, trust: GroupTrust) -> Result<()> {
    let (opened, about) = open_dir(dir, Missing::Fail, trust)?;
    check_rights(dir, &about, trust)?;
    refuse_network_file_system(dir, file_system(dir, &opened)?)
}

/// Checks that a file can be made and removed in `dir`, a directory that this user may use. Changes no rights.
///
/// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch), [`Io`](crate::error::ErrorKind::Io),
/// [`SpoolFull`](crate::error::ErrorKind::SpoolFull).
#[cfg(feature = "internals")]
pub fn check_writable(dir: &Path) -> Result<()> {
    let (opened, _) = open_own_dir_to_read(dir)?;
    let name = format!(".check-{}", pid());
    let made = opened.create(&name, rustix::fs::OFlags::WRONLY);
    let removed = made.and_then(|_| opened.remove(&name));
    removed.map(drop).map_err(|e| opened.error(&name, e))
}

/// Opens the spool's directory, and sees to it that only those can write to it who may.
pub(super) fn open_own_dir(
    dir: &Path,
    missing: Missing,
    trust: GroupTrust,
) -> Result<(Dir, Metadata)> {
    let (opened, about) = open_dir(dir, missing, trust)?;
    let sharing = settle_rights(dir, &opened, &about, trust)?;
    Ok((opened.shared(sharing), about))
}

/// Opens the spool's directory to look at it; changes nothing.
pub(super) fn open_own_dir_to_read(dir: &Path) -> Result<(Dir, Metadata)> {
    let (opened, about) = open_dir(dir, Missing::Fail, GroupTrust::Allow)?;
    let sharing = check_rights_to_read(dir, &about)?;
    Ok((opened.shared(sharing), about))
}

fn open_dir(dir: &Path, missing: Missing, trust: GroupTrust) -> Result<(Dir, Metadata)> {
    let opened = match open_directory(dir, missing) {
        Ok(handle) => Dir::kept(handle, dir),
        Err(e) => {
            // Another user's spool cannot be opened, but its metadata says whose it is.
            if let Ok(about) = fs::metadata(dir)
                && about.is_dir()
                && e.kind() == IoKind::PermissionDenied
            {
                check_rights(dir, &about, trust)?;
            }
            return Err(directory_error(dir, e));
        }
    };
    let about = opened
        .metadata()
        .map_err(|e| Error::io(spool_name(dir), e))?;
    Ok((opened, about))
}

/// The user and the group that a spool's directory belongs to; `None`: there is no directory. Root asks
/// before it becomes that user: so no link is followed that another user may have put there.
///
/// Errors: [`Io`](crate::error::ErrorKind::Io), [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch).
pub fn owner_of(dir: &Path) -> Result<Option<(u32, u32)>> {
    match open_directory(dir, Missing::Fail).and_then(|handle| handle.metadata()) {
        Ok(about) => Ok(Some((about.uid(), about.gid()))),
        Err(e) if e.kind() == IoKind::NotFound => Ok(None),
        Err(e) => Err(directory_error(dir, e)),
    }
}

/// Makes the path to `dir` durable: its own entry, and the entries of the directories above it that
/// a process of this user may have created.
pub(super) fn sync_ancestors(dir: &Path) -> Result<()> {
    sync_parent(dir)?;
    let us = rustix::process::geteuid().as_raw();
    for above in dir.ancestors().skip(1) {
        let is_ours = fs::metadata(above).is_ok_and(|about| about.uid() == us);
        // A directory that this user cannot open was not created by this user's processes.
        if !is_ours || above.parent().is_none() || sync_parent(above).is_err() {
            break;
        }
    }
    Ok(())
}

/// The kind of the file system that the spool's directory is on, by the kernel's number for it.
#[cfg(target_os = "linux")]
pub(super) fn file_system(dir: &Path, opened: &Dir) -> Result<u32> {
    let handle = opened
        .as_file()
        .map_err(|e| Error::io(spool_name(dir), e))?;
    let about = calls::fstatfs(handle).map_err(|e| Error::io(spool_name(dir), e))?;
    Ok(about.f_type as u32)
}

/// Only Linux has numbers: this one is no file system's.
#[cfg(not(target_os = "linux"))]
pub(super) fn file_system(_: &Path, _: &Dir) -> Result<u32> {
    Ok(0)
}

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

/// Whether a server, or a program in user space, has the files of a [kind of file system](file_system).
pub(super) fn is_network(kind: u32) -> bool {
    NETWORK.iter().any(|(magic, _)| *magic == kind)
}

pub(super) fn refuse_network_file_system(dir: &Path, kind: u32) -> Result<()> {
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(Error::new(
            ErrorKind::SpoolMismatch,
            format!(
                "{}: is on a network file system ({name}), whose locks cannot be trusted; use a local disk, or set allow_network_spool = true",
                spool_name(dir)
            ),
        )),
        None => Ok(()),
    }
}

/// The path of a new private directory for `durability = memory`; the client removes it at close.
pub(crate) fn temporary_dir() -> PathBuf {
    // The environment is not read: TMPDIR belongs to the application.
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
        random_u64() as u32
    ))
}
