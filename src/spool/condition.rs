//! What an operator wants to know of a spool's place before anything fails: disk, file system, reserve.

use std::path::Path;

use super::directory::{open_dir, refuse_network};
use super::{ROOM_BYTES, Spool, check_rights};
use crate::error::{Error, Result};

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
    super::describe(dir)?;
    Spool::existing(dir)?.condition()
}

impl Spool {
    pub(crate) fn condition(&self) -> Result<Condition> {
        Ok(Condition {
            free_bytes: self.free_bytes()?,
            needed_bytes: ROOM_BYTES,
            is_full: self.is_full()?,
            has_reserve: self.has_reserve(),
        })
    }
}

/// Whether a spool may be in this directory, which has to be there: this user's alone, and on a disk whose
/// locks can be trusted.
///
/// Errors: [`SpoolMismatch`](crate::error::ErrorKind::SpoolMismatch), [`Io`](crate::error::ErrorKind::Io).
pub fn check_directory(dir: &Path) -> Result<()> {
    let handle = open_dir(dir)?;
    let about = handle
        .metadata()
        .map_err(|e| Error::io(super::named(dir), e))?;
    check_rights(dir, &about)?;
    refuse_network(dir, &handle)
}
