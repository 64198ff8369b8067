//! Room kept for the day when the disk is full.
//!
//! Delivering needs a little disk: the store has to write that it delivered. So a spool holds a file,
//! `reserve`, for nothing but its blocks. When the sender finds the disk full it renames the file to
//! `full`, which needs no block and tells every writer to stop, and then gives its blocks up. Once
//! there is room again the file takes its blocks and its name back.
//!
//! Other programs may be quicker and take the blocks: against them this is only best effort.

use std::fs::{self, File};
use std::io::ErrorKind as IoKind;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::files::private_file;
use super::open::Spool;
use crate::error::{Error, Result, is_full};

/// What the store needs to deliver in small steps: its log, its index, and one step's events.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Beyond the reserve, as much again has to be free before writers may go on.
pub(super) const ROOM_BYTES: u64 = 2 * RESERVE_BYTES;
/// Writers look for the flag at least this often while they append.
pub(crate) const FULL_SEEN_WITHIN: Duration = Duration::from_millis(10);

impl Spool {
    /// Sets the reserve aside, or takes it back once there is room. Says whether it stands now.
    pub(crate) fn keep_reserve(&self) -> Result<bool> {
        if self.has_reserve() {
            return Ok(true);
        }
        let flagged = self.is_flagged_full();
        if flagged && !self.has_room()? {
            return Ok(false);
        }
        let path = if flagged {
            self.full()
        } else {
            self.reserve().with_extension("new")
        };
        let set_aside = || {
            let file = private_file().open(&path)?;
            rustix::io::retry_on_intr(|| {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES)
            })?;
            fs::rename(&path, self.reserve())
        };
        match set_aside() {
            Ok(()) => Ok(true),
            // There is no room, or this file system cannot set blocks aside: the spool works without.
            Err(e) if is_full(&e) || e.raw_os_error() == Some(libc::EOPNOTSUPP) => {
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

    /// Tells all writers that the disk is full, and gives the reserve to the store.
    pub(crate) fn spend_reserve(&self) -> Result<()> {
        let path = self.full();
        match fs::rename(self.reserve(), &path) {
            Ok(()) => {}
            // Spent before; or there never was one, and the flag alone has to do.
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) => return Err(Error::io(path.display(), e)),
        }
        let file = private_file()
            .open(&path)
            .map_err(|e| Error::io(path.display(), e))?;
        // Whoever did not see the flag yet would take the blocks.
        std::thread::sleep(2 * FULL_SEEN_WITHIN);
        file.set_len(0).map_err(|e| Error::io(path.display(), e))
    }

    /// Whether a sender has found the disk full, and there still is no room.
    pub(crate) fn is_full(&self) -> Result<bool> {
        Ok(self.is_flagged_full() && !self.has_room()?)
    }

    /// Whether the flag stands. It outlives the trouble until a sender takes it down.
    pub(crate) fn is_flagged_full(&self) -> bool {
        rustix::fs::access(self.full(), rustix::fs::Access::EXISTS).is_ok()
    }

    /// Whether the reserve is set aside.
    pub(super) fn has_reserve(&self) -> bool {
        self.reserve().exists()
    }

    /// Bytes that are free on its disk.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        let about = rustix::fs::statvfs(self.dir()).map_err(|e| Error::io(self.name(), e))?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    fn has_room(&self) -> Result<bool> {
        Ok(self.free_bytes()? >= ROOM_BYTES)
    }

    fn reserve(&self) -> PathBuf {
        self.dir().join("reserve")
    }

    fn full(&self) -> PathBuf {
        self.dir().join("full")
    }
}
