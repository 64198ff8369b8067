//! Disk blocks that a spool holds so that delivery can go on when the disk is full.
//!
//! Delivering needs a little disk: the store has to write that it delivered. So a spool holds a
//! file, `reserve`, for nothing but its blocks. When the sender finds the disk full, it renames the
//! file to `full`, which needs no block and makes every writer stop, and then frees the blocks.
//! Once there is room again, the sender allocates the blocks again and gives the file its old name
//! back.
//!
//! Other programs may take the freed blocks first: against them the reserve is only best effort.

use std::io::ErrorKind as IoKind;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags, StatVfs};

use super::dir::Dir;
use super::held::Held;
use crate::error::{Error, Result, is_full, is_unsupported};
use crate::process::{ClosedInChild, calls};

/// What the store needs to deliver in small steps: its log, its index, and one step's events.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Free bytes that writers need to go on once the disk was full: the reserve, and as much again.
pub(super) const ROOM_BYTES: u64 = 2 * RESERVE_BYTES;
/// The same of inodes: a disk on which no file can be made is full.
const ROOM_FILES: u64 = 8;
/// Writers check the flag at least this often while they append.
pub(crate) const FULL_SEEN_WITHIN: Duration = Duration::from_millis(10);

const RESERVE: &str = "reserve";
const FULL: &str = "full";
/// A reserve whose blocks are being allocated.
const UNFINISHED: &str = "reserve.new";

pub(super) fn free_bytes(disk: &StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

/// The reserve of one spool, and the flag that replaces it while the disk is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserve<'a> {
    spool: &'a Held,
}

impl<'a> Reserve<'a> {
    /// The reserve of this spool.
    pub(super) fn new(spool: &'a Held) -> Self {
        Self { spool }
    }

    /// Allocates the reserve, or allocates it again once there is room. Returns whether the spool
    /// has it now.
    pub(crate) fn ensure(self) -> Result<bool> {
        if self.is_allocated()? {
            return Ok(true);
        }
        let flagged = self.is_disk_flagged_full()?;
        if flagged && !self.has_room()? {
            return Ok(false);
        }
        let dir = self.dir()?;
        let name = if flagged { FULL } else { UNFINISHED };
        let allocate = || {
            let file = match flagged {
                true => dir.open_to_write(name)?,
                false => {
                    dir.remove(name)?;
                    ClosedInChild::of(dir.create(name, OFlags::WRONLY)?)
                }
            };
            calls::fallocate(&*file, FallocateFlags::empty(), 0, RESERVE_BYTES)?;
            dir.rename(name, &dir, RESERVE)
        };
        match allocate() {
            Ok(()) => Ok(true),
            // There is no room, or this file system cannot allocate blocks: the spool works
            // without a reserve.
            Err(e) if is_full(&e) || is_unsupported(&e) => {
                if flagged {
                    let _ = dir.open_to_write(name).and_then(|file| file.set_len(0));
                } else {
                    let _ = dir.remove(name);
                }
                Ok(false)
            }
            Err(e) => Err(dir.error(name, e)),
        }
    }

    /// Makes all writers stop because the disk is full, then frees the blocks for the store.
    pub(crate) fn release(self) -> Result<()> {
        let dir = self.dir()?;
        let failed = |e| dir.error(FULL, e);
        match dir.rename(RESERVE, &dir, FULL) {
            Ok(()) => {}
            // The reserve was released before, or never existed. The flag alone then stops the writers.
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        let file = match dir.open_to_write(FULL) {
            Ok(file) => file,
            Err(e) if e.kind() == IoKind::NotFound => {
                ClosedInChild::of(dir.create(FULL, OFlags::WRONLY).map_err(failed)?)
            }
            Err(e) => return Err(failed(e)),
        };
        // A writer that has not seen the flag yet would take the blocks.
        std::thread::sleep(2 * FULL_SEEN_WITHIN);
        file.check().and_then(|()| file.set_len(0)).map_err(failed)
    }

    /// Whether a sender has found the disk full, and there still is no room.
    pub(crate) fn is_disk_full(self) -> Result<bool> {
        Ok(self.is_disk_flagged_full()? && !self.has_room()?)
    }

    /// Whether a sender has found the disk full. The flag stays until a sender removes it, even
    /// when there is room again.
    pub(crate) fn is_disk_flagged_full(self) -> Result<bool> {
        let dir = self.dir()?;
        let size = dir.size(FULL).map_err(|e| dir.error(FULL, e))?;
        Ok(size.is_some())
    }

    /// Whether the spool has its reserve.
    pub(super) fn is_allocated(self) -> Result<bool> {
        let dir = self.dir()?;
        let size = dir.size(RESERVE).map_err(|e| dir.error(RESERVE, e))?;
        Ok(size.is_some())
    }

    /// Bytes that are free on the spool's disk.
    pub(crate) fn free_bytes(self) -> Result<u64> {
        Ok(free_bytes(&self.disk()?))
    }

    fn has_room(self) -> Result<bool> {
        let disk = self.disk()?;
        // Some file systems have as many inodes as there is room for, and say 0.
        let has_inodes = disk.f_files == 0 || disk.f_favail >= ROOM_FILES;
        Ok(has_inodes && free_bytes(&disk) >= ROOM_BYTES)
    }

    /// What the spool's disk says about its room.
    pub(super) fn disk(self) -> Result<StatVfs> {
        let dir = self.dir()?;
        let file = dir.as_file();
        file.and_then(|file| Ok(calls::fstatvfs(file)?))
            .map_err(|e| Error::io(self.spool.name(), e))
    }

    fn dir(self) -> Result<Arc<Dir>> {
        self.spool
            .dir()
            .map_err(|e| Error::io(self.spool.name(), e))
    }
}
