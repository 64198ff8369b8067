//! Disk blocks that a spool holds so that delivery can go on when the disk is full.
//!
//! Delivering needs a little disk: the store has to write that it delivered. So a spool holds a
//! file, `reserve`, for nothing but its blocks. When the sender finds the disk full, it renames the
//! file to `full`, which needs no block and makes every writer stop, and then frees the blocks.
//! Once there is room again, the sender allocates the blocks again and gives the file its old name
//! back.
//!
//! Other programs may take the freed blocks first: against them the reserve is only best effort.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::files::{private_file, spool_name};
use crate::error::{Error, Result, is_full, is_unsupported};

/// What the store needs to deliver in small steps: its log, its index, and one step's events.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Free bytes that writers need to go on once the disk was full: the reserve, and as much again.
pub(super) const ROOM_BYTES: u64 = 2 * RESERVE_BYTES;
/// Writers check the flag at least this often while they append.
pub(crate) const FULL_SEEN_WITHIN: Duration = Duration::from_millis(10);

/// The reserve of one spool, and the flag that replaces it while the disk is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserve<'a> {
    dir: &'a Path,
}

impl<'a> Reserve<'a> {
    /// The reserve of the spool at `dir`.
    pub(super) fn new(dir: &'a Path) -> Self {
        Self { dir }
    }

    /// Allocates the reserve, or allocates it again once there is room. Returns whether the spool
    /// has it now.
    pub(crate) fn ensure(self) -> Result<bool> {
        if self.is_allocated() {
            return Ok(true);
        }
        let flagged = self.is_disk_flagged_full();
        if flagged && !self.has_room()? {
            return Ok(false);
        }
        let path = if flagged {
            self.flag_path()
        } else {
            self.path().with_extension("new")
        };
        let allocate = || {
            let file = private_file().open(&path)?;
            rustix::io::retry_on_intr(|| {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES)
            })?;
            fs::rename(&path, self.path())
        };
        match allocate() {
            Ok(()) => Ok(true),
            // There is no room, or this file system cannot allocate blocks: the spool works
            // without a reserve.
            Err(e) if is_full(&e) || is_unsupported(&e) => {
                if flagged {
                    let _ = File::options()
                        .write(true)
                        .open(&path)
                        .and_then(|file| file.set_len(0));
                } else {
                    let _ = fs::remove_file(&path);
                }
                Ok(false)
            }
            Err(e) => Err(Error::io(path.display(), e)),
        }
    }

    /// Makes all writers stop because the disk is full, then frees the blocks for the store.
    pub(crate) fn release(self) -> Result<()> {
        let path = self.flag_path();
        match fs::rename(self.path(), &path) {
            Ok(()) => {}
            // The reserve was released before, or never existed. The flag alone then stops the writers.
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) => return Err(Error::io(path.display(), e)),
        }
        let file = private_file()
            .open(&path)
            .map_err(|e| Error::io(path.display(), e))?;
        // A writer that has not seen the flag yet would take the blocks.
        std::thread::sleep(2 * FULL_SEEN_WITHIN);
        file.set_len(0).map_err(|e| Error::io(path.display(), e))
    }

    /// Whether a sender has found the disk full, and there still is no room.
    pub(crate) fn is_disk_full(self) -> Result<bool> {
        Ok(self.is_disk_flagged_full() && !self.has_room()?)
    }

    /// Whether a sender has found the disk full. The flag stays until a sender removes it, even
    /// when there is room again.
    pub(crate) fn is_disk_flagged_full(self) -> bool {
        rustix::fs::access(self.flag_path(), rustix::fs::Access::EXISTS).is_ok()
    }

    /// Whether the spool has its reserve.
    pub(super) fn is_allocated(self) -> bool {
        self.path().exists()
    }

    /// Bytes that are free on the spool's disk.
    pub(crate) fn free_bytes(self) -> Result<u64> {
        let about =
            rustix::fs::statvfs(self.dir).map_err(|e| Error::io(spool_name(self.dir), e))?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    fn has_room(self) -> Result<bool> {
        Ok(self.free_bytes()? >= ROOM_BYTES)
    }

    fn path(self) -> PathBuf {
        self.dir.join("reserve")
    }

    fn flag_path(self) -> PathBuf {
        self.dir.join("full")
    }
}
