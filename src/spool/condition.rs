//! What an operator wants to know of a spool's place before anything fails: disk, file system, reserve.

use std::path::Path;

use super::identity::describe;
use super::open::Spool;
use super::reserve::ROOM_BYTES;
use crate::error::Result;

/// The place of a spool, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Bytes that are free on its disk for this user.
    pub free_bytes: u64,
    /// With less than this writers refuse events once the disk was full.
    pub needed_bytes: u64,
    /// Whether a sender has found the disk full and there still is no room.
    pub is_full: bool,
    /// Whether the blocks are set aside that let what was acknowledged be delivered on a full disk.
    pub has_reserve: bool,
}

/// Looks at the spool in `dir`; changes nothing.
///
/// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch) if there is none, if it is another user's, or
/// others may write to it; as for [`Spool::open`].
pub fn condition(dir: &Path) -> Result<Condition> {
    describe(dir)?;
    Spool::existing(dir)?.condition()
}

impl Spool {
    pub(crate) fn condition(&self) -> Result<Condition> {
        Ok(Condition {
            free_bytes: self.reserve().free_bytes()?,
            needed_bytes: ROOM_BYTES,
            is_full: self.reserve().is_disk_full()?,
            has_reserve: self.reserve().is_allocated(),
        })
    }
}
