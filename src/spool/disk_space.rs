//! The disk under a spool, for an operator who wants to see trouble before anything fails.

use std::path::Path;

use super::identity::describe;
use super::open::Spool;
use super::reserve::{ROOM_BYTES, free_bytes};
use crate::error::Result;

/// The room on a spool's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that are free on the disk for this user.
    pub free_bytes: u64,
    /// Bytes that the disk has in all.
    pub total_bytes: u64,
    /// How many more files and directories it can have; `None`: as many as there is room for.
    pub free_inodes: Option<u64>,
    /// How many it can have in all; 0: as many as there is room for.
    pub total_inodes: u64,
    /// Once the disk was full, writers refuse events while fewer bytes than this are free.
    pub needed_bytes: u64,
    /// Whether a sender has found the disk full, and there still is no room.
    pub is_full: bool,
    /// Whether the spool has its reserve, with which pending events are delivered on a full disk.
    pub has_reserve: bool,
}

/// The room on the disk of the spool at `dir`. Changes nothing.
///
/// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if there is no spool, if it is
/// another user's, or if other users may write to it; those of [`Spool::open`].
pub fn disk_space(dir: &Path) -> Result<DiskSpace> {
    describe(dir)?;
    Spool::open_existing(dir)?.disk_space()
}

impl Spool {
    pub(crate) fn disk_space(&self) -> Result<DiskSpace> {
        let disk = self.reserve().disk()?;
        Ok(DiskSpace {
            free_bytes: free_bytes(&disk),
            total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            free_inodes: (disk.f_files > 0).then_some(disk.f_favail),
            total_inodes: disk.f_files,
            needed_bytes: ROOM_BYTES,
            is_full: self.reserve().is_disk_full()?,
            has_reserve: self.reserve().is_allocated()?,
        })
    }
}
